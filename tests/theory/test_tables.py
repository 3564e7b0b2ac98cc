"""The tables behind `bound`, for every rule and other norms; the command that prints and draws them."""
import json
import math
import sys
import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from minitf import cli
from minitf.tasks.rules import balanced_p, labels_by_count, truth_table
from minitf.tasks.samples import sample_task
from minitf.theory.construct import construct
from minitf.theory.error import gap_bound, margin_bound, rad_chain
from minitf.theory.information import fano_m, log_supports, m_star, occam_m, rho_overlap
from minitf.theory.networks import scalar_logcov
from minitf.theory.readout import ramps
from minitf.theory.table import (
    EVERYWHERE,
    LENGTHS,
    NORMS,
    ROUTES,
    and_class,
    bound_table,
    bounded_head,
    budgets_of,
    narrow,
    rademacher_table,
    routes,
    task_class,
)

COLUMNS = ["dudley", *(f"{kind}_{route}" for route in ("l2", "l1", "best", "length_free", "count", "count_narrow")
                       for kind in ("chain", "margin"))]


# ---- the classes ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, k", [("or", 1), ("or", 3), ("majority", 1), ("majority", 3), ("majority", 4),
                                     ("parity", 1), ("parity", 2), ("parity", 3), ("parity", 5)])
def test_the_class_of_a_task_contains_an_exact_head(kind, k):
    """All inputs of 8 bits through softmax and ReLU units written out: the rule to rounding, with the norms named."""
    T = 8
    c, beta = task_class(kind, T, k)
    table = np.array(truth_table(kind, k))
    units = ramps("plateau", np.array(labels_by_count(table)), 1 / (4 * k))
    B = np.array(list(product((0, 1), repeat=T)))
    a = np.exp(np.r_[0.0, beta * (np.arange(T) < k)])
    tokens = np.concatenate([np.repeat([[0, 0, 1.0]], len(B), 0)[:, None], np.stack([B, 1 - B, 0 * B], axis=2)], axis=1)
    W_V = np.stack([1 - units.theta, -units.theta, -units.theta])           # rows e_1, e_0, e_c
    hidden = np.maximum(np.einsum("t,bti->bi", a / a.sum(), tokens) @ W_V, 0)
    f = units.heights[0] + hidden @ units.u
    assert f == pytest.approx(table[B[:, :k] @ (1 << np.arange(k))], abs=1e-12)
    assert np.linalg.norm(tokens[0, 1]) <= c.B_X and c.d_v == len(units.u) and c.d == T + 3
    assert (c.B_q, c.B_q1) == pytest.approx((np.linalg.norm(np.log(a)), np.log(a).sum()))
    assert (c.B_V, c.B_V21, c.B_V11) == pytest.approx(
        (np.linalg.norm(W_V, 2), np.linalg.norm(W_V, axis=0).sum(), abs(W_V).sum()))
    assert c.B_u == pytest.approx(np.linalg.norm(units.u))
    assert beta == pytest.approx(math.log((T + 1 - k) * (4 * k - 1) / k))


@pytest.mark.parametrize("kind", ["or", "majority", "parity"])
def test_the_class_of_a_task_is_that_of_its_construction(kind):
    """The norms that construct measures on its plateau weights, up to the constant unit that reads 1 - label."""
    for T in (16, 1024):
        c, beta = task_class(kind, T, 3)
        norms = construct(sample_task(np.random.default_rng(0), kind, T, 3), form="plateau")[2].norms
        found = [norms[name][0] for name in ("score", "||W_QK||_2", "||q||_1", "||W_V||_2", "||W_V||_{2,1}",
                                             "||u||_2", "units")]
        assert found == pytest.approx([beta, c.B_q, c.B_q1, c.B_V, c.B_V21, c.B_u, c.d_v])


def test_budgets_are_replaced_and_nothing_else():
    c, beta = task_class("parity", 64, 3)
    assert budgets_of("parity", 64, 3, None) == (c, beta) == budgets_of("parity", 64, 3, {})
    assert budgets_of("parity", 64, 3, {"B_q": 1, "B_u": 2.5}) == (replace(c, B_q=1, B_u=2.5), beta)
    assert budgets_of("and", 64, 3, {"L_s": 0.5}, clip=False)[0] == replace(and_class(64, 3)[0], L_s=0.5, clip=False)


@pytest.mark.parametrize("arguments, error, words", [
    (("parity", 64, 3, {"B_Q": 1.0}), ValueError, "norms: expected one of B_X, B_q"),
    (("parity", 64, 3, {"B_q": -1.0}), ValueError, "B_q: expected a number from 0 to 1e[+]09"),
    (("parity", 64, 3, {"B_q": 1e10}), ValueError, "B_q: "),
    (("parity", 64, 3, {"B_q": math.nan}), ValueError, "B_q: "),
    (("parity", 64, 3, {"B_q": "1"}), TypeError, "B_q: "),
    (("xor", 64, 3, None), ValueError, "kind: expected one of"),
    (("junta", 64, 3, None), ValueError, "table: expected 8 labels"),
    (("or", 2, 3, None), ValueError, "k: expected at most T = 2"), (("or", 2, 0, None), ValueError, "k: "),
    (("or", 0, 1, None), ValueError, "T: "), (("or", 2.0, 1, None), TypeError, "T: ")])
def test_bad_classes(arguments, error, words):
    with pytest.raises(error, match=words):
        budgets_of(*arguments)


# ---- how many examples ------------------------------------------------------------------------------------------

@pytest.mark.every(2)
@pytest.mark.parametrize("task", ["and", "parity"])
def test_rows_are_what_the_functions_say(task):
    """Every column of one row: the crossing of its bound to 0.5 %, the yardsticks exactly."""
    (row,), (c, _) = bound_table(2, [20], 0.2, 0.01, task=task), task_class(task, 20, 2)
    table = truth_table(task, 2)
    supports, rho = log_supports(20, 2), rho_overlap(labels_by_count(table), balanced_p(table))
    assert (row["fano"], row["occam"], row["m_star"]) == (
        fano_m(supports, .01), occam_m(supports, .2, .01), m_star(20, rho, .01))
    assert row["norms"] == {name: getattr(c, name) for name in NORMS}
    covers = routes(c, narrow(c, 2))
    everywhere = {"count": covers["count"], "count_narrow": covers["count_narrow"],
                  "length_free": lambda eps, m: scalar_logcov(eps, m, c, covers=EVERYWHERE)}
    for name, logcov in covers.items():
        def margin(m):
            bounds = [margin_bound(logcov, m, 0.01)]
            if name in everywhere:      # 1 - (delta/N)^(1/m), N of a cover that no number of examples enters
                bounds.append(1 - math.exp((math.log(0.01) - everywhere[name](0.25 * (1 - 1e-9), 1)) / m))
            return min(bounds)

        for kind, bound in (("chain", lambda m: gap_bound(rad_chain(logcov, m, 0.5), m, 0.01)), ("margin", margin)):
            m = row[f"{kind}_{name}"]
            assert bound(m) <= 0.2 < bound(math.ceil(m / 1.0051) - 1), (kind, name)
    assert set(row) == {"T", "beta", "norms", "C2", "scaling", "fano", "m_star", "occam", "averages", "averages_norms",
                        *COLUMNS}
    if task == "parity":
        assert row["averages"] is None is row["averages_norms"]             # no average of bits holds it
    else:
        for name, named in (("averages", True), ("averages_norms", False)):
            bound = bounded_head(2, 20, 0.01, named)
            assert bound(row[name]) <= 0.2 < bound(math.ceil(row[name] / 1.0051) - 1)


def test_the_trained_class_holds_the_rule_with_margin_one_half():
    """f = 1/2 + <v, b - 1/2> + c at attention (1 - lam)/k on the support, lam on one other bit, on all inputs."""
    for k, level in ((2, 2), (3, 2), (3, 1)):
        lam = 1 / (4 * (k + 1))
        W = 1 / ((1 - lam) / k - lam)
        v = W * np.r_[np.full(k, (1 - lam) / k), lam]
        X = np.array(list(product((0, 1), repeat=k + 1)))
        middle = W * ((1 - lam) * (level - 0.5) / k + lam / 2)
        f, y = 0.5 + X @ v - middle, X[:, :k].sum(axis=1) >= level
        assert ((2 * y - 1) * (f - 0.5)).min() >= 0.5 - 1e-9 and abs(v.sum() / 2 - middle) <= W / 2


@pytest.mark.slow
def test_certified_at_a_users_own_m():
    (row,), found = bound_table(2, [20], m=500), bound_table(2, [20])
    at = row.pop("at_m")
    assert [row] == found and at["m"] == 500 and set(at) == {"m", "occam", "averages", "averages_norms", *COLUMNS}
    assert at["occam"] == pytest.approx(1 - (0.05 / math.comb(20, 2)) ** (1 / 500))
    for name in ("margin_count", "averages", "averages_norms", "dudley"):
        assert (at[name] <= 0.1) == (row[name] <= 500)


@pytest.mark.slow
def test_more_is_asked_of_wider_classes():
    """Nondecreasing in T, and the smaller eps and delta; in every norm as far as the split of eps lets it, 3 %, but for
    routes of which one part costs little (`classes`): their values may fall, though the closed form does not."""
    base, = bound_table(3, [64])
    for (row,) in (bound_table(3, [256]), bound_table(3, [64], 0.05), bound_table(3, [64], 0.1, 0.001)):
        assert all(row[name] >= base[name] for name in COLUMNS), row
        assert any(row[name] > 1.02 * base[name] for name in COLUMNS)
    steady = [name for name in COLUMNS if not name.endswith(("_l1", "_length_free"))]
    read = {"B_q1": [], "B_V11": [], "B_V21": ["dudley"]}
    for norm in NORMS:
        row, = bound_table(3, [64], norms={norm: 2 * base["norms"][norm]})
        assert all(row[name] >= 0.97 * base[name] for name in steady), norm
        assert all(row[name] > 1.02 * base[name] for name in read.get(norm, steady)), norm
        assert row["C2"] >= base["C2"] and (row["C2"] > base["C2"]) == (norm not in ("B_q1", "B_V11"))


LONG = (16, 64, 256, 1024, 16384, 2 ** 20)


@pytest.mark.slow
def test_growth_of_the_bounds_of_and_of_three_bits():
    """T = 16 to 2^20: closed x 10.0, l1 chain x 5.3, l1 margin x 6.9, one-hot parameters x 5e4; closed / log^2(5T)."""
    rows = bound_table(3, LONG)
    first, last = rows[0], rows[-1]
    grown = [last[name] / first[name] for name in ("dudley", "chain_l1", "margin_l1", "chain_count")]
    assert grown == pytest.approx([10.0, 5.3, 6.9, 5.2e4], rel=0.02)
    over = [row["dudley"] / math.log(5 * row["T"]) ** 2 for row in rows]
    assert over == pytest.approx([9.9e11, 9.1e11, 8.6e11, 8.2e11, 7.9e11, 7.9e11], rel=0.01)


FIXED = {           # m: for T in LONG, min(1, .) of the chain by ||q||_2 or ||q||_1, by the best covers, of the margin
    10 ** 4: ((1,) * 6, (.76, 1, 1, 1, 1, 1), (.069, .24, .96, 1, 1, 1)),
    10 ** 6: ((1,) * 6, (.076, .14, .27, .54, 1, 1), (.0007, .0024, .0096, .039, .64, 1)),
    10 ** 8: ((1,) * 6, (.008, .014, .027, .054, .22, 1), (7e-6, 2e-5, 1e-4, 4e-4, .006, .29))}


@pytest.mark.parametrize("m", FIXED)
def test_bounds_at_fixed_m(m):
    """To the digits printed."""
    for T, *expected in zip(LONG, *FIXED[m]):
        c, _ = and_class(T, 3)

        def chain(route):
            return gap_bound(rad_chain(lambda eps, m: scalar_logcov(eps, m, c, ROUTES[route]), m, 0.5), m, 0.05)

        margin = margin_bound(lambda eps, m: scalar_logcov(eps, m, c, ROUTES["best"]), m, 0.05)
        for value, printed in zip((min(chain("l1"), chain("l2")), chain("best"), margin), expected):
            digits = 1 if printed < 0.01 else 2
            unit = 10.0 ** (math.floor(math.log10(printed)) + 1 - digits)
            assert abs(min(1, value) - printed) <= 0.55 * unit, (T, value, printed)


def test_table_errors():
    for arguments, options, words in (((3, [16], 1.0), {}, "eps: "), ((3, [16]), {"delta": .2}, "delta: "),
                                      ((3, [16]), {"task": "xor"}, "task: "), ((0, [16]), {}, "k: "),
                                      ((3, [2]), {}, "k: "), ((3, [16]), {"norms": {"B": 1.0}}, "norms: ")):
        with pytest.raises(ValueError, match=words):
            bound_table(*arguments, **options)


# ---- Rademacher complexity from below -----------------------------------------------------------------------------

@pytest.mark.slow
def test_largest_of_many_correlations():
    """E max_t |(1/m) sum_i s_i (2 b_it - 1)|, m = 100: s b is a fair sign, so a mean is a centred binomial."""
    rng = np.random.default_rng(0)
    for T, printed in zip((16, 64, 256, 1024, 4096, 16384), (.206, .257, .303, .338, .375, .408)):
        largest = abs(2 * rng.binomial(100, 0.5, (400, T)) - 100).max(axis=1) / 100
        se = largest.std(ddof=1) / 20
        assert abs(largest.mean() - printed) < 3 * math.hypot(se, se) + 5e-4
        assert (printed / math.sqrt(2 * math.log(2 * T) / 100)) ** 2 == pytest.approx(
            {16: .61, 64: .68, 256: .74, 1024: .75, 4096: .78, 16384: .80}[T], abs=0.015)


@pytest.mark.slow
def test_rademacher_table_of_and():
    """Nested inputs; against the reference run within 3 combined standard errors; the two regimes; the sandwich."""
    rows = {row["T"]: row for row in rademacher_table(3, signs=30)}
    assert tuple(rows) == LENGTHS and {row["m"] for row in rows.values()} == {100}
    for T, kind, mean, se in ((16, "growing", .720, .027), (64, "growing", .833, .024), (256, "growing", .947, .025),
                              (1024, "growing", 1.064, .026), (16, "fixed", .692, .027), (64, "fixed", .744, .023),
                              (256, "fixed", .658, .023), (1024, "fixed", .442, .023)):
        assert abs(rows[T][kind]["mean"] - mean) < 3 * math.hypot(se, rows[T][kind]["se"]), (T, kind)
    for T, row in rows.items():
        assert row["growing"]["B_q"] == pytest.approx(and_class(T, 3)[0].B_q) and row["fixed"]["B_q"] == 6
        for found in (row["growing"], row["fixed"]):
            assert found["single"] < found["mean"] < found["upper"] <= 4 * 1.0213 * math.sqrt(2)
        assert 13 < 100 * row["growing"]["mean"] ** 2 / math.log(2 * T) < 20
    grown = {kind: [row[kind]["mean"] for row in rows.values()] for kind in ("growing", "fixed")}
    assert grown["growing"][-1] > 1.2 * grown["growing"][0] and grown["fixed"][-1] < 0.8 * max(grown["fixed"])
    assert all((np.diff([row[kind]["lead"] for row in rows.values()]) > 0).all() for kind in ("growing", "fixed"))


def test_rademacher_table_of_other_rules():
    """Short lengths are left out, a norm that is given holds in both regimes, the same seed gives the same numbers."""
    few = {"m": 10, "signs": 2, "lengths": (16, 32)}
    row, = rademacher_table(17, task="parity", norms={"B_q": 3.0}, **few)
    assert row["T"] == 32 and row["growing"]["B_q"] == row["fixed"]["B_q"] == 3.0
    again = rademacher_table(2, task="or", **few, seed=1)
    assert again == rademacher_table(2, task="or", **few, seed=1) != rademacher_table(2, task="or", **few)
    assert again[0]["growing"]["B_q"] == pytest.approx(task_class("or", 16, 2)[0].B_q)
    zero = rademacher_table(2, norms={"B_u": 0.0}, **few)[0]["growing"]
    assert (zero["mean"], zero["single"], zero["upper"]) == (0, 0, 0)
    with pytest.raises(ValueError, match="seed: "):
        rademacher_table(2, seed=-1)


# ---- the command ------------------------------------------------------------------------------------------------

@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("--k", 2) -> (exit code, stdout, stderr) of bound, in an empty directory; a warning is an error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("error")
            cli.commands.main(["bound", *map(str, words)])
        return end.value.code or 0, *capsys.readouterr()

    return run


def strict(text):
    """JSON without NaN and infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


@pytest.mark.slow
def test_json_is_the_table(run):
    words = ("--task", "majority", "--k", 3, "--T", "16,5,16", "--eps", 0.2, "--delta", 0.1, "--norms", "B_q=6,B_u=3")
    code, out, err = run(*words, "--json")
    record = strict(out)
    assert (code, err) == (0, "") and run(*words, "--json")[1] == out and out.count("\n") == 1
    assert record["rows"] == bound_table(3, [5, 16], 0.2, 0.1, task="majority", norms={"B_q": 6.0, "B_u": 3.0})
    assert {name: record[name] for name in ("task", "rule", "k", "eps", "delta", "norms", "rademacher")} == {
        "task": "majority", "rule": "majority", "k": 3, "eps": 0.2, "delta": 0.1, "norms": {"B_q": 6.0, "B_u": 3.0}, "rademacher": None}
    assert list(record) == ["task", "level", "table", "rule", "k", "eps", "delta", "norms", "rows", "reading", "rademacher", "version"]


@pytest.mark.slow
def test_report_by_default(run):
    """The numbers of the table, and how to read them: for the class that the theory tabulates."""
    code, out, err = run()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1] == "Class: AND of 3 of T bits by one head of softmax attention. Every constant is explicit."
    assert lines[5].split() == "16 7.359 1.9e13 8.2e11 2.1e8 1.4e7 460 270 2,200 2,200 94 29 8".split()
    assert lines[9].split() == "16384 19.6 1.0e14 5.0e12 1.4e9 1.8e8 180,000 470 1.9e6 92,000 300 60 37".split()
    assert lines[-3:] == [
        "Vacuous in size: the best norm bound asks for 140,000 to 600,000 times Occam's examples.",
        "Its growth informs: from T = 16 to 16,384 it takes 13 times as many, Occam 3.2 times,",
        "counting the parameters of one-hot positions 890 times."]
    assert all(len(line) <= 125 for line in lines) and len({len(line) for line in lines[4:10]}) == 1


@pytest.mark.slow
def test_report_of_one_length_and_of_norms(run):
    code, out, _ = run("--T", 64, "--norms", "B_q=1e9, B_X=1e9")
    assert code == 0 and "softmax attention, B_q = 1e+09, B_X = 1e+09." in out
    assert out.endswith("times Occam's examples.\nOnly its growth with T informs: give several T.\n")
    assert "Vacuous" not in run("--T", "16,32", "--norms", "B_u=0")[1]
    lines = run("--T", f"16,{2 ** 40}")[1].splitlines()
    assert len({len(line) for line in lines[4:7]}) == 1 and lines[6].startswith("1099511627776 ")


@pytest.mark.parametrize("words, line", [
    (("--norms", "B_Q=1"), "Error: Invalid value for '--norms': expected NAME=NUMBER, each name once, of B_X, B_q,"),
    (("--norms", "B_q=1,B_q=2"), "Error: Invalid value for '--norms': expected NAME=NUMBER, each name once"),
    (("--norms", "B_q"), "Error: Invalid value for '--norms': expected NAME=NUMBER"), (("--norms", ""), "Error: "),
    (("--norms", "B_q=x"), "Error: Invalid value for '--norms': expected a number from 0 to 1e+09 for B_q, got 'x'"),
    (("--norms", "B_q=-1"), "Error: Invalid value for '--norms': expected a number from 0 to 1e+09 for B_q, got '-1'"),
    (("--norms", "B_q=nan"), "Error: Invalid value for '--norms'"), (("--norms", "B_q=1e300"), "Error: Invalid value"),
    (("--T", "2"), "Error: --k: expected at most T = 2, got 3"), (("--T", "0"), "Error: Invalid value for '--T'"),
    (("--T", "16,x"), "Error: Invalid value for '--T': expected positive integers as in 16,64,256, got '16,x'"),
    (("--T", 2 ** 41), "Error: --T: expected lengths of at most 2^40"),
    (("--k", 0), "Error: --k: expected an integer >= 1, got 0"), (("--k", 21, "--T", 64), "Error: --k: "),
    (("--k", "x"), "Error: Invalid value for '--k'"),
    (("--eps", 0), "Error: --eps: expected a probability above 0 and below 1, got 0.0"), (("--eps", "nan"), "Error: --eps"),
    (("--eps", 1e-200), "Error: --eps: expected an error that the bound reaches within 1e+120 examples"),
    (("--delta", 0.2), "Error: --delta: expected a probability above 0 and at most 0.125, got 0.2"),
    (("--delta", 0), "Error: --delta"), (("--task", "junta"), "Error: --table: expected 8 labels for junta, got None"),
    (("--task", "xor"), "Error: Invalid value for '--task'"), (("--level", 1), "Error: --level: expected nothing with and"),
    (("--task", "junta", "--table", "0112"), "Error: --table: expected labels 0 and 1 as in 0110, got '0112'"),
    (("--nomrs", "B_q=1"), "Error: No such option")])
def test_bad_input(run, words, line):
    code, out, err = run(*words)
    assert code == 2 and out == "" and err.startswith(line) and err.count("\n") == 1


@pytest.mark.slow
def test_plot(run, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("minitf.commands.bound.rademacher_table",
                        lambda k, **options: rademacher_table(k, m=20, signs=2, lengths=(16, 32), **options))
    for i, words in enumerate((("--T", "3,16", "--norms", "B_u=0"),
                               ("--task", "parity", "--k", 2, "--T", "9,1000,4000", "--norms", "B_q=6"))):
        code, out, err = run(*words, "--plot", f"{i}.png")
        assert (code, err) == (0, "") and f"Written    {i}.png" in out
        assert (tmp_path / f"{i}.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = run("--T", "16,32", "--plot", "b.svg", "--json")
    assert strict(out)["rademacher"] == rademacher_table(3, m=20, signs=2, lengths=(16, 32))
    assert b"</svg>" in (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("words, line", [
    (("--plot", "x.doc"), "Error: --plot: expected a file name ending in"), (("--plot", "no/x.png"), "Error: no/x.png"),
    (("--plot", "x.png", "--T", "16,16"), "Error: --T: expected at least two lengths, to plot growth"),
    (("--plot", "x.png", "--norms", "B_X=1"), "Error: --norms: expected B_X of at least sqrt 2")])
def test_bad_plots_are_refused_before_any_work(run, words, line, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("minitf.commands.bound.bound_table", lambda *args, **options: pytest.fail("work had begun"))
    code, out, err = run(*words)
    assert code == 2 and out == "" and err.startswith(line) and err.count("\n") == 1


def test_plot_without_matplotlib(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run("--plot", "x.png")
    assert (code, out) == (2, "") and err == "Error: this needs matplotlib: pip install 'minitf-attention[plot]'\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_figure_shows_growth_and_no_sizes(monkeypatch):
    """Every line of the left panel starts at 1; on the right the estimates, single positions and scaled bounds."""
    pytest.importorskip("matplotlib")
    from minitf.lab.figures import single as figures
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    rows = bound_table(3, [16, 256])
    record = {"rule": "AND", "k": 3, "eps": 0.1, "norms": None, "rows": rows,
              "rademacher": rademacher_table(3, m=20, signs=2, lengths=(16, 32))}
    figures.bounds(record, "x.png")
    left, right = drawn[0].axes
    lines = {line.get_label(): line.get_ydata() for line in left.get_lines()}
    assert len(lines) == 8 and all(y[0] == 1 and len(y) == 2 for y in lines.values())
    assert lines["exact identification"][-1] == 42 / 29
    assert lines["margin"][-1] == rows[-1]["margin_l2"] / rows[0]["margin_l2"] and left.get_xscale() == "log"
    labels = [line.get_label() for line in right.get_lines() if not line.get_label().startswith("_")]
    assert labels == [f"{q}: {what}" for q in ("||q|| grows", "||q|| <= 6")
                      for what in ("found", "one position", "upper bound, scaled")]
    means = [row["growing"]["mean"] for row in record["rademacher"]]
    assert list(right.get_lines()[0].get_ydata()) == means
    scaled = next(line for line in right.get_lines() if line.get_label() == "||q|| grows: upper bound, scaled")
    assert scaled.get_ydata()[0] == pytest.approx(means[0])
