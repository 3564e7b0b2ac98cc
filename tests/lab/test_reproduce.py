"""Results of the literature, each in a small version with a tolerance; gradients against differences."""
import itertools
import json

import numpy as np
import pytest

from minitf import check_pullback
from minitf.lab import reproduce
from minitf.lab.reproduce import (
    NAMES,
    cot_parity,
    flip_flop,
    hidden_progress,
    max_margin,
    page_of,
    rerun,
    simplicity,
    single_location,
    sparse_averaging,
)


def small(name, **sizes):
    """{figure: row} of a small version."""
    rows, curves, seconds = rerun(page_of(name), **sizes)
    assert seconds > 0 and rows and json.dumps(rows, allow_nan=False)
    for found in rows:
        assert found["low"] is None or found["low"] <= found["ours"] <= found["high"]
    return {found["figure"]: found for found in rows}, curves


@pytest.mark.slow
def test_max_margin():
    rows, _ = small("max-margin", runs=8, steps=1000, svm_steps=600, ns=(5,), ds=(5, 10), rank_runs=4)
    assert rows["(a) correlation with the Frobenius separator"]["ours"] > 0.99
    assert rows["(b) correlation with the nuclear separator"]["ours"] > 0.99
    assert rows["(a) largest duality gap of a separator"]["ours"] < 1e-9
    assert rows["(b) largest duality gap, dual of spectral norm 1"]["ours"] < 1e-3
    assert rows["n = 5, d = 10: nuclear over Frobenius rank"]["ours"] < 0.8


def test_max_margin_has_the_gradient_of_its_loss(rng):
    inputs = max_margin.draw_inputs(rng, 3, 4, 5, 6)
    check_pullback(lambda W: wrap(max_margin.loss_of(W, *inputs)), (rng.standard_normal((3, 6, 6)),), rng)


def wrap(pair):
    """A pullback that returns a tuple."""
    y, pullback = pair
    return y, lambda dy: (pullback(dy),)


def test_separators_are_those_of_a_small_problem_by_hand():
    """Of x . W >= 1 alone the nearest W is x / ||x||^2; in the nuclear norm any with spectrum one."""
    x = np.array([[3.0, 0.0, 0.0, 4.0]])
    w, gap = max_margin.frobenius(x[None])
    assert np.allclose(w, x / 25) and abs(gap[0]) < 1e-12
    against = np.stack([x[0], -x[0]])
    assert max_margin.frobenius(against[None])[1][0] == 1              # nothing separates
    w, gap = max_margin.nuclear(x[None], 400)               # largest singular value of x is 4
    assert np.allclose(w, [[0, 0, 0, 0.25]], atol=1e-6) and abs(gap[0]) < 1e-6


def test_chain_of_thought():
    rows, _ = small("cot-parity", d=16, ks=(8,), n=1000, steps=400, fresh=2000)
    assert rows["k = 8: accuracy, steps rounded to +-1"]["ours"] == 1
    assert abs(rows["k = 8: accuracy without the chain"]["ours"] - 0.5) < 0.05


def test_teacher_forcing_has_the_gradient_of_its_loss(rng):
    """In float32: against differences of its loss, summed in float64."""
    d, pairs = 6, cot_parity.tree(rng, 6, 4)
    X = cot_parity.chain(rng, 50, d, pairs)
    may = np.arange(d + 3) < d + np.arange(3)[:, None]
    w = rng.standard_normal(may.shape)
    _, pullback, _ = cot_parity.teacher_forced(w, X, may, X[:, d:])
    dw, direction = pullback(1.0), rng.standard_normal(may.shape)
    up, down = (cot_parity.teacher_forced(w + h * direction, X, may, X[:, d:])[0] for h in (0.01, -0.01))
    assert abs((up - down) / 0.02 - (dw * direction).sum()) < 1e-3 * np.linalg.norm(dw)
    assert not dw[~may].any()


@pytest.mark.slow
def test_single_location():
    ways = {"on the manifold": (True, 3000, 0.02, 0.3, 0), "anywhere, falling": (False, 6000, 0.02, 1.0, 2e-3)}
    rows, _ = small("single-location", d=40, L=4, repeats=6, ways=ways)
    assert rows["recovered (|kappa|, |nu| > .95), start on the manifold"]["ours"] == 1
    assert rows["recovered (|kappa|, |nu| > .95), start anywhere, falling"]["ours"] > 0.6


def test_four_coordinates_walk_as_all_do(rng):
    """The same overlaps on the way as vectors of length d."""
    k_true, v_true, k, v = single_location.unit(rng.standard_normal((4, 3, 12)))
    v_true = single_location.across(v_true, k_true)
    four = np.moveaxis(np.linalg.qr(np.stack([k_true, v_true, k, v], axis=2))[1], 2, 0)
    ends = [single_location.walk(k, v, (a, b), 12, 50, 0.05, 0.5, 0.01, L=3, gamma=0.7)[0]
            for a, b, k, v in ((k_true, v_true, k, v), four)]
    assert np.allclose(*ends, atol=1e-12) and np.abs(ends[0]).max() > 0.1


def test_the_risk_is_that_of_samples_and_its_pullback_the_derivative(rng):
    from scipy.special import erf

    d, L, gamma, lam, n = 20, 3, 0.7, 0.4, 100_000
    check_pullback(lambda o: wrap(single_location.risk(o, d, L, gamma, lam)),
                   (rng.uniform(-0.5, 0.5, (5, 7)),), rng)
    k_true, v_true = np.eye(d)[:2]
    k, v = (x / np.linalg.norm(x) for x in (rng.standard_normal(d) + [3, 2] @ np.eye(d)[:2],
                                            rng.standard_normal(d) + [2, 3] @ np.eye(d)[:2]))
    X = rng.standard_normal((n, L, d)) * np.array([gamma] + [1] * (L - 1))[:, None]
    X[:, 0] += np.sqrt(d / 2) * k_true
    error = (X[:, 0] @ v_true - (erf(lam * X @ k) * (X @ v)).sum(axis=1)) ** 2
    overlaps = np.array([[v @ k_true, k @ k_true, k @ v_true, v @ v_true, k @ v]]).T
    want = single_location.risk(overlaps, d, L, gamma, lam)[0][0]
    assert abs(error.mean() - want) < 5 * error.std() / np.sqrt(n)


def test_sparse_averaging():
    rows, _ = small("sparse-averaging", small=8, large=300, qs=(2, 3), sets=50)
    assert all(found["ours"] <= 0.05 and " certified" in found["note"] for found in rows.values())


def test_the_certificate_of_an_average_is_not_met_by_a_narrow_head(rng):
    """A head much narrower than q log T has no gap, and says so."""
    U = rng.choice([-1.0, 1.0], (200, 12)) / np.sqrt(12)
    sets = np.array([rng.choice(200, 4, replace=False) for _ in range(5)])
    w = sparse_averaging.queries(U, sets)
    S = w @ U.T
    assert np.allclose(np.take_along_axis(S, sets, axis=1), 1, atol=0.05)
    np.put_along_axis(S, sets, -np.inf, axis=1)
    assert (S.max(axis=1) > 0.6).all()


def test_flip_flop():
    rows, _ = small("flip-flop", T=64, reads=4000, p_ignores=(0.9, 0.3), lengths=(16, 64))
    assert rows["all: share of wrong reads"]["ours"] == 0 and rows["T = 64: smallest margin"]["ours"] > 0.3


def test_flip_flop_against_a_loop(rng):
    """Strings obey the rule; too small a scale misreads."""
    told, bits = flip_flop.strings(rng, 30, 40, 0.6)
    for instructions, values in zip(told, bits):
        held = None
        for what, bit in zip(instructions, values):
            held = bit if what == flip_flop.WRITE else held
            assert what != flip_flop.READ or bit == held
        assert instructions[0] == flip_flop.WRITE and instructions[-1] == flip_flop.READ
    answers, right = flip_flop.read_last(told, bits, flip_flop.scales_for(40))
    assert ((answers > 0.5) == right).all()
    answers, right = flip_flop.read_last(told, bits, (1.0, 1.0))
    assert ((answers > 0.5) != right).any()


def test_and_grid():
    rows, _ = small("and-grid", lengths=(20, 100), sizes=(10, 60), trials=3)
    assert rows["all cells with m >= 60"]["ours"] == rows["the worst cell with m >= 60"]["ours"] == 1 and rows["T = 100, m = 10"]["ours"] < 1


def test_simplicity():
    rows, _ = small("simplicity", n=8, models=6, inputs=60, d=8, spreads=(10.0,))
    assert rows["a = 10: LSTM less transformer"]["ours"] > 0


def test_sensitivity_of_known_functions(rng):
    """Parity changes with every bit, a dictator with one, a constant with none."""
    X = simplicity.neighbours(rng, 50, 6).astype(int)
    for logits, want in ((X.sum(axis=1) % 2 - 0.5, 1), (X[:, 2] - 0.5, 1 / 6), (np.ones(len(X)), 0)):
        assert simplicity.sensitivity(logits, 6) == pytest.approx(want)


def test_an_lstm_is_its_formula(rng):
    """One step at a time, one example at a time, from the same draws."""
    import copy

    again, X, d = copy.deepcopy(rng), rng.integers(0, 2, (3, 5)), 4
    again.integers(0, 2, (3, 5))
    logits = simplicity.lstm(rng, X, d, 1.0)
    E, w = again.uniform(-1, 1, (2, d)), again.uniform(-1, 1, d)
    W, b = again.uniform(-1, 1, (2 * d, 4 * d)), again.uniform(-1, 1, 4 * d)
    for x, logit in zip(X, logits):
        h = c = np.zeros(d)
        for bit in x:
            i, f, o, u = np.split(np.concatenate([E[bit], h]) @ W + b, 4)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(u)
            h = o * np.tanh(c)
        assert abs(h @ w - logit) < 1e-12


@pytest.mark.slow
def test_length_free():
    rows, _ = small("length-free", lengths=(16, 128), s=3, m=100, seeds=2, fresh=500)
    assert abs(rows["bounded, T = 128: gap"]["ours"]) < 0.1


def test_hidden_progress():
    rows, _ = small("hidden-progress", lengths=(6, 10), k=2, seeds=1, batch=64, most=600)
    assert rows["n = 6: steps"]["ours"] < 600


def test_fourier_coefficients_by_enumeration():
    n = 6
    X = np.array(list(itertools.product((0, 1), repeat=n)))
    for j in range(5):
        want = ((X.sum(axis=1) > n / 2) * (-1.0) ** X[:, :j].sum(axis=1)).mean()
        assert hidden_progress.coefficient(j, n) == pytest.approx(want, abs=1e-15)
    assert hidden_progress.slope(np.array([1.0, 2, 4, 8]), 3 * np.array([1.0, 2, 4, 8]) ** 2.5)[0] == pytest.approx(2.5)


@pytest.mark.parametrize("words", [(), ("max-margin", "--json")])
def test_the_command(run, words, monkeypatch):
    def rerun(page, *_):
        return [{"figure": "x", "ours": 1.0, "low": 0.5, "high": 1.5, "n": 3, "note": None}], {}, 0.25

    monkeypatch.setattr("minitf.lab.reproduce.rerun", rerun)
    monkeypatch.setattr("minitf.lab.reproduce.met", lambda page, rows: {"x is 1": True, "x is 2": False})
    code, out, err = run("reproduce", *words)
    assert code == 0 and not err
    if words:
        found = json.loads(out)["max-margin"]
        assert found["rows"][0]["ours"] == 1 and found["seconds"] == 0.25 and "source" in found
        assert found["criteria"] == {"x is 1": True, "x is 2": False} and found["verdict"] == "not reproduced: x is 2"
        out = run("reproduce", "max-margin")[1]
        assert "ours       x: 1  (0.5 to 1.5)" in out and "criterion  x is 2: NOT met" in out
        assert "verdict    not reproduced: x is 2" in out
    else:
        assert [line.split()[0] for line in out.splitlines()] == list(NAMES)


def drawing(rng, a, b):
    return float(rng.random()) + a * b


def a_page(asked):
    """An entry of two calls, six pieces; it counts those that are done."""
    def counted(rng, *cell):
        asked.append(cell)
        return drawing(rng, *cell)

    def run(each, n=3):
        one, two = each(counted, [(i, 2) for i in range(n)]), each(counted, [(i, 5) for i in range(n)])
        return [{"figure": "x", "ours": sum(one + two)}], {"one": one}
    return max_margin.PAGE._replace(run=run, criteria={"x > 20": lambda found: found["x"]["ours"] > 20})


def test_an_entry_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """With a journal, without, stopped in the middle: the same, and no piece is done twice."""
    asked, path = [], tmp_path / "pieces.jsonl"
    page, plain = a_page(asked), rerun(a_page([]), "a")[:2]
    seen = []

    def stopping(cells, name):
        for cell in cells:
            if len(asked) == 4 and not seen:
                seen.append(name)
                raise KeyboardInterrupt
            yield cell

    for _ in range(2):
        journal = reproduce.Journal(path, {"protocol": 1, "kind": "reproduce"})
        try:
            found = rerun(page, "a", journal, stopping)[:2]
        except KeyboardInterrupt:
            assert len(asked) == 4
        journal.close()
    assert found == plain and len(asked) == 6 and len(path.read_text().splitlines()) == 6
    assert len(set(plain[1]["one"])) == 3 and rerun(page, "b", n=2)[0] != plain[0]
    assert reproduce.met(page, plain[0]) == {"x > 20": True}


def test_the_command_keeps_pieces(run, monkeypatch):
    asked = []
    page = a_page(asked)._replace(run=lambda each: ([page_row(sum(each(lambda rng, a: asked.append(a) or a, [(1,), (2,)])))], {}))
    monkeypatch.setattr("minitf.lab.reproduce.page_of", lambda name: page)
    first = run("reproduce", "max-margin", "--out", "pieces.jsonl", "--json")
    again = run("reproduce", "max-margin", "--out", "pieces.jsonl", "--json")
    assert first[0] == again[0] == 0 and asked == [1, 2] and not first[2]
    assert json.loads(first[1])["max-margin"]["rows"] == json.loads(again[1])["max-margin"]["rows"]


def page_row(x):
    return {"figure": "x", "ours": x, "low": None, "high": None, "n": 1, "note": None}


def test_what_the_command_refuses(run):
    for words in (("nope",), ("all", "--plot", "x.png"), ("--plot", "x.png"), ("--out", "x.jsonl"), ("all", "--out", "")):
        code, out, err = run("reproduce", *words)
        assert code == 2 and not out and err.startswith("Error: ")


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_says_what_it_is(name):
    page = page_of(name)
    assert all(isinstance(text, str) and text for text in page[:4]) and "arXiv" in page.source
    assert page.criteria and all(callable(holds) for holds in page.criteria.values())


@pytest.mark.slow
def test_pictures(run):
    pytest.importorskip("matplotlib")
    code, out, err = run("reproduce", "sparse-averaging", "--plot", "x.png")
    assert code == 0 and not err and open("x.png", "rb").read(4) == b"\x89PNG"


@pytest.mark.every(3)
@pytest.mark.parametrize("name, sizes", [
    ("and-grid", dict(lengths=(20, 30), sizes=(40, 60), trials=1)),
    ("max-margin", dict(runs=4, steps=500, svm_steps=300, ns=(5,), ds=(5, 10), rank_runs=2)),
    ("cot-parity", dict(d=8, ks=(4,), n=100, steps=20, fresh=50)),
    ("single-location", dict(d=20, repeats=2, ways={"a": (True, 100, 4e-3, 0.1, 0)})),
    ("hidden-progress", dict(lengths=(5, 6), k=2, seeds=1, batch=16, most=20)),
    ("simplicity", dict(n=4, models=2, inputs=5, d=8)),
    ("flip-flop", dict(T=16, reads=100, p_ignores=(0.5,), lengths=(8, 16))),
    ("length-free", dict(lengths=(16, 20), s=3, m=50, seeds=2, fresh=50))])
def test_every_entry_draws(name, sizes):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    page = page_of(name)
    page.draw(figure, rerun(page, **sizes)[1])
    assert figure.axes
