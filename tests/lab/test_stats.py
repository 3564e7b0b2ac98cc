"""Statistics of sweeps against independent oracles, and against invented runs whose truth is known."""
import gzip
import json
import math

import numpy as np
import pytest
from sweeps import invent

from minitf.lab import laws
from minitf.lab.points import IDENTITY, ROW, limits, points, read_runs
from minitf.lab.stats import fit_logistic, intervals, isotonic, reach

M = np.array([20, 24, 28, 34, 40, 48, 57, 68, 80])
M50, SLOPE = 40.0, 10.0
M90 = M50 * 9 ** (1 / SLOPE)


def outcomes(rng, reps, shared, m=M, middle=M50, slope=SLOPE):
    """Outcomes of a logistic truth; a share of the luck of a run is that of its seed."""
    luck = np.where(rng.random((reps, len(m))) < shared, rng.logistic(size=(reps, 1)), rng.logistic(size=(reps, len(m))))
    return (slope * np.log(m / middle) + luck > 0).astype(float)


# the logistic fit

def firth_loss(parameters, x, right, n):
    """-(log L + log det(I)/2), written plainly."""
    eta = parameters[0] + parameters[1] * x
    p, rows = 1 / (1 + np.exp(-eta)), np.stack([np.ones_like(x), x])
    information = rows * (n * p * (1 - p)) @ rows.T
    likelihood = -(right * np.logaddexp(0, -eta) + (n - right) * np.logaddexp(0, eta)).sum()
    return -likelihood - 0.5 * np.linalg.slogdet(information)[1]


def test_the_fit_maximises_the_penalised_likelihood():
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    x, n = np.log(M / 40), np.full(len(M), 12)
    tables = [rng.binomial(n, 1 / (1 + np.exp(-slope * (x - shift)))) for slope in (2, 8, 30) for shift in (-.3, 0, .3)]
    tables += [np.where(M > 40, 12, 0), np.where(M > 20, 12, 0), np.full(len(M), 12), np.zeros(len(M), int)]
    for right, *found in zip(tables, *fit_logistic(x, np.array(tables), n)):
        best = min((minimize(firth_loss, start, (x, right, n), method="Nelder-Mead", options={"xatol": 1e-7})
                    for start in ((0.0, 3.0), (10.0, 20.0))), key=lambda end: end.fun)
        np.testing.assert_allclose(found, best.x, rtol=1e-4, atol=1e-4)


def test_at_two_m_the_penalty_is_half_a_run_of_each_kind():
    right, n, x = np.array([1, 18]), np.array([20, 20]), np.log([30, 60])
    a, b = fit_logistic(x, right, n)
    np.testing.assert_allclose(1 / (1 + np.exp(-a - b * x)), (right + 0.5) / (n + 1), rtol=1e-6)


def test_many_runs_give_the_true_m50_and_m90():
    Y = outcomes(np.random.default_rng(1), 20_000, 0.5)
    np.testing.assert_allclose(reach((0.5, 0.9), M, Y.sum(0), np.full(len(M), len(Y))), [M50, M90], rtol=0.01)


@pytest.mark.parametrize("right, m50, m90", [
    ([9] * 9, 0, 0), ([0] * 9, math.inf, math.inf), ([8] * 9, 0, math.inf),      # without a slope
    ([9, 9, 8, 8, 8, 8, 7, 7, 7], 0, math.inf), ([3, 3, 3, 2, 2, 2, 1, 1, 1], math.inf, math.inf),   # a falling curve
])
def test_a_curve_is_not_followed_beyond_its_data(right, m50, m90):
    assert reach((0.5, 0.9), M, np.array(right), np.full(9, 9)).tolist() == [m50, m90]


def test_one_m_alone_says_above_or_below():
    one = np.array([40])
    assert reach((0.5, 0.9), one, np.array([18]), np.array([20])).tolist() == [0, 0]
    assert reach((0.5, 0.9), one, np.array([15]), np.array([20])).tolist() == [0, math.inf]
    (low50, high50), (low90, high90) = intervals(one, np.ones((20, 1)), 400, np.random.default_rng(0))
    assert low50 == high50 == low90 == 0 and high90 == math.inf        # 20 of 20 may be a rate of 0.86


def test_m90_above_the_largest_m_is_cut_off():
    few = M[:6]
    Y = outcomes(np.random.default_rng(2), 400, 0.5, few)
    m50, m90 = reach((0.5, 0.9), few, Y.sum(0), np.full(6, 400))
    assert 38 < m50 < 42 and m90 == math.inf


def test_where_one_m_parts_failures_from_successes_the_interval_is_the_gap():
    Y = np.tile(M >= 48, (10, 1)).astype(float)
    middle = reach((0.5, 0.9), M, Y.sum(0), np.full(9, 10))
    found = intervals(M, Y, 200, np.random.default_rng(0))
    assert (found[:, 0] <= 40).all() and (found[:, 1] >= 48).all()
    assert ((found[:, 0] <= middle) & (middle <= found[:, 1])).all() and 40 < middle[0] < 48


# its intervals

def coverage(trials, reps, shared, seed, slope=SLOPE):
    """How often the intervals hold m50 and m90, wherever the truth lies between two sizes."""
    rng, held = np.random.default_rng(seed), np.zeros(2)
    for _ in range(trials):
        middle = M50 * 2 ** rng.uniform(-0.125, 0.125)
        truth = middle * np.array([1, 9 ** (1 / slope)])
        found = intervals(M, outcomes(rng, reps, shared, M, middle, slope), 400, rng)
        held += (found[:, 0] <= truth) & (truth <= found[:, 1])
    return held / trials


@pytest.mark.slow
def test_intervals_hold_the_truth_when_runs_of_a_seed_hang_together():
    held = coverage(120, 20, 1.0, 0)
    assert (0.9 <= held).all() and (held < 1).all()


def test_one_success_below_a_clean_jump_does_not_pin_m90():
    """1 of 20 at 950 and 20 of 20 at 1344: resampled seeds alone put m90 within 1.5 % of 1236."""
    m, Y = np.array([672, 950, 1344, 1901]), np.zeros((20, 4))
    Y[:, 2:] = Y[0, 1] = 1
    (_, _), (low, high) = intervals(m, Y, 2000, np.random.default_rng(0))
    assert low < 1220 and high > 1344


@pytest.mark.slow
@pytest.mark.parametrize("reps, shared, slope", [(5, 0.7, 8), (5, 0.7, 25), (10, 0.7, 25), (20, 0.0, 8), (20, 1.0, 25),
                                                 (40, 0.0, 25), (40, 1.0, 8)])
def test_coverage_of_the_intervals(reps, shared, slope):
    held = coverage(120, reps, shared, 1, slope)
    assert (0.86 <= held).all(), held


def test_one_seed_says_nothing_of_its_spread():
    assert intervals(M, outcomes(np.random.default_rng(0), 1, 0), 100, None).tolist() == [[0, math.inf]] * 2


def test_a_seed_may_lack_some_m():
    rng = np.random.default_rng(3)
    Y = outcomes(rng, 60, 0.5)
    whole = intervals(M, Y, 400, np.random.default_rng(0))
    Y[rng.random(Y.shape) < 0.2] = np.nan
    holes = intervals(M, Y, 400, np.random.default_rng(0))
    np.testing.assert_allclose(holes, whole, rtol=0.08)


# the isotonic check

def pooled(right, n):
    """Pool adjacent violators."""
    blocks = []
    for s, of in zip(right, n):
        blocks.append([s, of, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            s, of, length = blocks.pop()
            blocks[-1] = [blocks[-1][0] + s, blocks[-1][1] + of, blocks[-1][2] + length]
    return np.concatenate([np.full(length, s / of) for s, of, length in blocks])


def test_the_isotonic_curve_pools_what_falls():
    rng = np.random.default_rng(4)
    for _ in range(50):
        n = rng.integers(1, 20, len(M))
        right = rng.binomial(n, np.sort(rng.random(len(M))))
        curve, found = pooled(right, n), isotonic(0.6, M, right, n)
        j = int(np.argmax(curve >= 0.6))
        if curve[-1] < 0.6:
            assert found == math.inf
        elif j == 0:
            assert found == 0
        else:
            part = (0.6 - curve[j - 1]) / (curve[j] - curve[j - 1])
            assert found == pytest.approx(M[j - 1] * (M[j] / M[j - 1]) ** part)


# growth

def grown(law, T=(16, 64, 256, 1024, 4096, 16384), sd=0.03, rng=None, **more):
    """Rows of a series whose m90 is law(T), known to a factor of 1 +- sd."""
    noise = np.zeros(len(T)) if rng is None else rng.normal(0, sd, len(T))
    rows = []
    for t, e in zip(T, noise):
        m90 = law(t) * math.exp(e)
        rows.append({"T": t, "bits": math.log2(math.comb(t, 3)), "m90": m90, "m90_low": m90 * math.exp(-1.96 * sd),
                     "m90_high": m90 * math.exp(1.96 * sd), "m_star": 30, "ratio": m90 / 30,
                     "ratio_high": m90 / 30 * math.exp(1.96 * sd), "method": "pgd", "task": "and"} | more)
    return rows


LAWS = {"log": (lambda T: 10 + 5 * math.log2(T), "ab", (10, 5)),
        "log_squared": (lambda T: 20 + 0.6 * math.log2(T) ** 2, "ab", (20, 0.6)),
        "power": (lambda T: 15 * T ** 0.3, "cg", (15, 0.3))}


@pytest.mark.parametrize("name", LAWS)
def test_growth_tells_the_three_laws_apart(name):
    law, names, truth = LAWS[name]
    fitted = laws.fit_laws(grown(law))["laws"]
    assert fitted[name]["delta_aic"] == pytest.approx(0, abs=1e-6)
    assert all(fitted[other]["delta_aic"] > 4 for other in LAWS if other != name)
    found = fitted[name]["parameters"]
    assert [found[key]["value"] for key in names] == pytest.approx(truth, rel=1e-3)
    picked = [min(LAWS, key=lambda key: laws.fit_laws(grown(law, rng=np.random.default_rng(i)))["laws"][key]["chi2"])
              for i in range(20)]
    assert picked.count(name) >= 16


@pytest.mark.parametrize("name, key", [("log", "b"), ("power", "g")])
def test_intervals_of_growth_hold_the_truth(name, key):
    law, names, truth = LAWS[name]
    rng, held, value = np.random.default_rng(5), 0, dict(zip(names, truth))[key]
    for _ in range(150):
        found = laws.fit_laws(grown(law, rng=rng))["laws"][name]["parameters"][key]
        held += found["low"] <= value <= found["high"]
    assert 0.9 <= held / 150 < 1


def test_the_power_law_is_a_weighted_line_through_the_logarithms():
    rows = grown(LAWS["log"][0], sd=0.05)
    for row, sd in zip(rows, (0.02, 0.1, 0.05, 0.03, 0.2, 0.04)):
        row |= {f"m90_{end}": row["m90"] * math.exp(sign * 1.96 * sd) for end, sign in (("low", -1), ("high", 1))}
        row["sd"] = sd
    x, y = np.log([row["T"] for row in rows]), np.log([row["m90"] for row in rows])
    weights = 1 / np.array([row["sd"] for row in rows])
    line, covariance = np.polyfit(x, y, 1, w=weights, cov="unscaled")
    found = laws.fit_laws(rows)["laws"]["power"]
    g = found["parameters"]["g"]
    chi2 = ((weights * (y - np.polyval(line, x))) ** 2).sum()
    assert (g["value"], found["chi2"]) == pytest.approx((line[0], chi2), rel=1e-3)
    assert g["high"] - g["value"] == pytest.approx(1.96 * math.sqrt(covariance[0, 0] * max(1, chi2 / 4)), rel=1e-3)


def test_the_slope_against_the_information_limit_is_exact_where_it_holds():
    rows = grown(lambda T: 4 + 1.5 * math.log2(math.comb(T, 3)))
    found = laws.fit_laws(rows)["laws"]["information"]
    assert found["chi2"] == pytest.approx(0, abs=1e-6)
    assert [found["parameters"][key]["value"] for key in "ab"] == pytest.approx([4, 1.5], rel=1e-3)


def test_a_law_that_does_not_fit_has_a_wider_interval():
    sure = laws.fit_laws(grown(LAWS["power"][0], sd=0.001))["laws"]
    width = {name: law["parameters"]["b"]["high"] - law["parameters"]["b"]["low"]
             for name, law in sure.items() if name != "power"}
    assert sure["power"]["chi2"] < 1e-3 and sure["log"]["chi2"] > 1e4
    assert width["log"] > 1                             # 0.02 by the errors of the points alone


def test_m90_that_is_cut_off_is_left_out_and_named():
    rows = grown(LAWS["log"][0])
    rows[0] |= {"m90": 0, "m90_low": 0}
    rows[-1] |= {"m90_high": math.inf}
    rows[2] |= {"m90": None, "m90_low": None, "m90_high": None}
    found = laws.fit_laws(rows)
    assert found["T"] == [64, 1024, 4096] and found["left_out"] == [16, 256, 16384]
    assert laws.fit_laws(rows[:2]) is None


# limits

def test_fano_is_that_of_the_table():
    assert [limits("and", 3, T, 0.5 ** (1 / 3), 0.0)["fano"] for T in (16, 64, 1024)] == [8, 14, 26]
    assert limits("majority", 3, 64, 0.5, 0.0)["bits"] == pytest.approx(15.35, abs=0.01)
    assert limits("parity", 2, 64, 0.5, 0.1)["fano"] > limits("parity", 3, 16, 0.5, 0.0)["fano"] - 2


# runs and rows

def test_rows_count_runs_and_keep_the_ambiguous_out(tmp_path):
    runs = read_runs([invent(tmp_path / "a.jsonl", T=(16, 64), reps=12)])
    known = points(runs)
    m = sorted({run["m"] for run in runs if run["T"] == 64})
    for run in runs:
        if run["T"] == 64 and run["m"] == m[0]:
            run |= {"success": None, "success_any": None, "attempts": 200}
    runs[0] |= {"timeout": True}
    small, large = points(runs)
    assert set(small) >= {*IDENTITY, *ROW}
    assert (large["runs"], large["given_up"], large["reps"], large["m_lowest"]) == (12 * (len(m) - 1), 12, 12, m[1])
    assert large["m90"] == pytest.approx(known[1]["m90"], rel=0.05)
    assert small["timeouts"] == 1 and small["m_star"] == 29
    assert small["redraws"] == sum(run["attempts"] - 1 for run in runs if run["T"] == 16)
    assert small["ratio_high"] == small["m90_high"] / 29
    assert small["m90_any"] <= small["m90"]


@pytest.mark.slow
def test_rows_do_not_depend_on_the_order_of_lines_or_on_other_files(tmp_path):
    one, two = invent(tmp_path / "a.jsonl"), invent(tmp_path / "b.jsonl", method="adam", model="gpt")
    runs = read_runs([one])
    both = read_runs([two, one])
    np.random.default_rng(0).shuffle(both)
    assert points(both)[:3] == points(runs)
    assert [row["method"] for row in points(both)] == ["pgd"] * 3 + ["adam"] * 3


def test_seeds_of_several_sweeps_are_seeds_of_one_series(tmp_path):
    files = [invent(tmp_path / f"{seed}.jsonl", T=(64,), reps=5, seed=seed) for seed in (0, 1)]
    row, = points(read_runs(files))
    assert (row["reps"], row["n"][0]) == (10, 10)


def test_a_point_with_nothing_but_ambiguous_samples_has_no_numbers(tmp_path):
    runs = read_runs([invent(tmp_path / "a.jsonl", T=(16, 64))])
    for run in runs:
        if run["T"] == 16:
            run |= {"success": None, "success_any": None}
    empty, whole = points(runs)
    assert empty["m90"] is None and empty["given_up"] and whole["m90"] and empty.keys() == whole.keys()
    assert laws.fit_laws([empty, whole]) is None


def test_compressed_runs_and_a_torn_last_line_are_read(tmp_path):
    path = invent(tmp_path / "a.jsonl", T=(16,))
    text = path.read_bytes()
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(text))
    assert read_runs([packed]) == read_runs([path])
    path.write_bytes(text[:-20])
    assert len(read_runs([path])) == text.count(b"\n") - 1


def changed(number, **values):
    def edit(lines):
        lines[number] = json.dumps(json.loads(lines[number]) | values)
    return edit


@pytest.mark.parametrize("edit, message", [
    (lambda lines: lines.clear(), "at least one run, got none"),
    (changed(4, protocol=5), "line 5: expected a run of protocol 4, got 5"),
    (changed(4, m="40"), "line 5: .*a proper m"),
    (changed(4, success=1), "line 5: .*a proper success"),
    (changed(4, method="sgd"), "line 5: .*a proper method"),
    (changed(4, T=2), "line 5: .*a proper T$"),
    (changed(4, p=2.0), "line 5: .*a proper p$"),
    (changed(4, p=math.nan), "line 5: .*a proper p$"),
    (changed(4, m=10 ** 400), "line 5: .*a proper m$"),
    (changed(4, k=40, T=64), "line 5: .*a proper k$"),
    (changed(4, m_star=-1, noise=0.9), "line 5: .*a proper noise, m_star$"),
    (lambda lines: lines.append(lines[2]), r"expected every run once, got that of .*, line 3 again"),
    (lambda lines: lines.insert(2, '{"protocol": 1, "torn'), "line 3"),
    (lambda lines: lines.insert(0, "m,success"), "line 1"),
    (lambda lines: [changed(i, success=None)(lines) for i in range(len(lines))], "a run that trained"),
])
def test_other_lines_are_refused_by_number(tmp_path, edit, message):
    path = invent(tmp_path / "a.jsonl", T=(16,), reps=3)
    lines = path.read_text().splitlines()
    edit(lines)
    path.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(ValueError, match=message):
        read_runs([path])


def test_a_run_in_two_files_is_refused(tmp_path):
    path = invent(tmp_path / "a.jsonl", T=(16,), reps=3)
    with pytest.raises(ValueError, match="every run once"):
        read_runs([path, path])
