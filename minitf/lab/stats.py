"""Statistics of a sweep: the share of runs that succeed against m, and the m at which it reaches 50 % and 90 %.

    rows = points(read_runs(["runs.jsonl"]))        a dict for every series and every T in it: IDENTITY and ROW

A series is what IDENTITY names. m50 and m90 solve P(success | m) = 0.5, 0.9 on a logistic curve in log m; 0 stands for
"below the smallest m tried", inf for "above the largest": a curve is never followed beyond its data.
"""
import math
from itertools import groupby

import numpy as np

from minitf.checks import require
from minitf.lab.journal import read
from minitf.lab.limits import limits
from minitf.lab.trial import METHODS, PROTOCOL, TASKS


IDENTITY = ("task", "k", "p", "noise", "method", "model", "limit")
SHARES = (0.5, 0.9)
RESAMPLES = 2000
HUGE = 2 ** 53            # whole numbers below it are exact as floats
NUMBER, MAYBE = (int, float), (int, float, type(None))
FIELDS = {              # what a run must hold, and as what
    "task": str, "k": int, "p": NUMBER, "noise": NUMBER, "method": str, "model": (str, type(None)), "limit": MAYBE,
    "seed": int, "T": int, "m": int, "rep": int, "m_star": MAYBE, "attempts": int, "success": (bool, type(None)),
    "success_any": (bool, type(None)), "timeout": bool, "seconds": NUMBER, "steps": MAYBE, "train_loss": MAYBE,
    "attention": MAYBE, "fourier_gap": MAYBE, "snapshots": list, "curve": (list, type(None))}
ROW = {
    "T": "positions", "runs": "runs that trained", "reps": "seeds among them",
    "redraws": "ambiguous samples drawn again", "ambiguous": "runs given up as ambiguous, left out of every fit",
    "timeouts": "runs stopped by the clock, counted as failures",
    "m_lowest": "smallest m tried", "m_highest": "largest m tried",
    "m50": "m for 50 % success; 0 below m_lowest, inf above m_highest", "m50_low": "95 % interval", "m50_high": "",
    "m90": "m for 90 % success, the same", "m90_low": "95 % interval", "m90_high": "",
    "m90_isotonic": "the same from a curve that only has to increase",
    "m90_any": "m for 90 % success at any time of training",
    "bits": "log2 C(T, k)", "m_star": "so many samples determine the support with 95 %: the information limit",
    "fano": "so many any method needs for 95 %", "screening": "m90 of ranking positions by covariance with the label",
    "ratio": "m90 / m_star", "ratio_low": "95 % interval", "ratio_high": "",
}


def fit_logistic(x, right, n):
    """Fit P(success) = 1/(1 + exp(-(a + b x))) to `right` of n successes at each x: (a, b).

    Maximises  log L + log det(I)/2,  I the information matrix: Firth's penalty, which takes away the bias of first
    order and keeps a and b finite when no failure lies above a success. Shapes: x (J,), right and n (..., J).
    At one x alone b = 0. Source: Firth 1993; Heinze and Schemper 2002.
    """
    if len(x) == 1:
        return np.log((right + 0.5) / (n - right + 0.5))[..., 0], np.zeros(right.shape[:-1])
    width = max(np.ptp(x), 1e-9)
    z = (x - x.mean()) / width
    found, highest = np.zeros((2, *right.shape[:-1])), np.full(right.shape[:-1], -np.inf)
    step = np.zeros_like(found)
    for _ in range(200):                        # all fits at once; one that a step would worsen halves it
        value, newton = penalised(found + step, z, right, n)
        better = value > highest - 1e-12
        found, highest = np.where(better, found + step, found), np.where(better, value, highest)
        step = np.where(better, newton, step / 2)
        if np.abs(step).max() < 1e-7:
            break
    return found[0] - found[1] * x.mean() / width, found[1] / width


def penalised(parameters, z, right, n):
    """The penalised log likelihood at (a, b), and the step of Fisher scoring from there."""
    logit = parameters[0][..., None] + parameters[1][..., None] * z
    log_p = -np.logaddexp(0, -logit)
    log_q = log_p - logit
    p, weight = np.exp(log_p), n * np.exp(log_p + log_q)
    I0, I1, I2 = (np.sum(weight * z ** j, axis=-1) for j in range(3))
    det = np.maximum(I0 * I2 - I1 * I1, 1e-10 * I0 * I2 + 1e-200)
    value = np.sum(right * log_p + (n - right) * log_q, axis=-1) + np.log(det) / 2
    leverage = weight * (I2[..., None] - 2 * I1[..., None] * z + I0[..., None] * z * z) / det[..., None]
    score = right - n * p + leverage * (0.5 - p)
    g0, g1 = score.sum(-1), (score * z).sum(-1)
    return value, np.stack([I2 * g0 - I1 * g1, I0 * g1 - I1 * g0]) / det


def reach(shares, m, right, n):
    """The m at which the fitted curve reaches each share: (len(shares), ...); 0 or inf beyond the m tried.

    Where the curve does not rise (one m alone, or success falls with m) the overall share decides between 0 and inf.
    """
    x, total = np.log(m), n.sum(-1)
    a, b = fit_logistic(x, right, n)
    flat = (b <= 0) | ((n > 0).sum(-1) < 2) | (right.sum(-1) == total) | (right.sum(-1) == 0)
    found = []
    for share in shares:
        level = np.exp(np.clip((math.log(share / (1 - share)) - a) / np.where(flat, 1, b), -1, 100))
        level = np.where(flat, np.where(right.sum(-1) >= share * total, 0, np.inf), level)
        found.append(np.where(level > m[-1] * (1 + 1e-9), np.inf, np.where(level < m[0] * (1 - 1e-9), 0, level)))
    return np.array(found)


def isotonic(share, m, right, n):
    """The m at which the increasing curve nearest to right/n,  max_{i<=j} min_{l>=j} mean(i..l),  reaches a share.

    Straight in log m between two tried m; 0 or inf beyond them. A check on the logistic curve.
    """
    R, N = np.append(0, np.cumsum(right)), np.append(0, np.cumsum(n))
    upper = [[(R[l + 1] - R[i]) / (N[l + 1] - N[i]) for l in range(i, len(m))] for i in range(len(m))]
    curve = np.array([max(min(upper[i][j - i:]) for i in range(j + 1)) for j in range(len(m))])
    if curve[0] >= share or curve[-1] < share:
        return 0.0 if curve[0] >= share else math.inf
    j = int(np.argmax(curve >= share))
    return float(np.exp(np.interp(share, curve[j - 1:j + 1], np.log(m[j - 1:j + 1]))))


def intervals(m, outcomes, resamples, rng):
    """95 % bootstrap intervals of m50 and m90, (2, 2): low, high. outcomes (reps, J): 1, 0, or NaN where none ran.

    They hold the intervals of two bootstraps. One resamples seeds, each with all its runs: the samples of one seed are
    nested, so its outcomes hang together. It takes a size at which all seeds agree for certain; the other, which draws
    new outcomes from the fitted curve, does not. The percentiles are those of a t interval, a little further out than
    2.5 %: with few seeds plain ones are too short. Where one m parts all failures from all successes, the gap belongs
    to both. Source: Hesterberg 2015 (expanded percentiles).
    """
    from scipy.special import expit
    from scipy.stats import norm, t

    reps, ran = len(outcomes), ~np.isnan(outcomes)
    if reps == 1:
        return np.array([[0, math.inf]] * 2)
    right, n = np.nansum(outcomes, axis=0), ran.sum(axis=0)
    a, b = fit_logistic(np.log(m), right, n)
    weights = rng.multinomial(reps, np.full(reps, 1 / reps), resamples)
    drawn = rng.binomial(n, expit(a + b * np.log(m)), (resamples, len(m)))
    tail = norm.cdf(-math.sqrt(reps / (reps - 1)) * t.ppf(0.975, reps - 1))
    counts = (weights @ np.where(ran, outcomes, 0), weights @ ran), (drawn, np.broadcast_to(n, drawn.shape))
    both = np.sort([reach(SHARES, m, *some) for some in counts], axis=-1)
    low = both[..., math.floor(tail * (resamples - 1))].min(axis=0)
    high = both[..., math.ceil((1 - tail) * (resamples - 1))].max(axis=0)
    rise = int(np.argmax(right == n))
    if rise and not right[:rise].any() and (right == n)[rise:].all():
        low, high = np.minimum(low, m[rise - 1]), np.maximum(high, m[rise])
    return np.stack([low, high], axis=1)


def point(runs, resamples=RESAMPLES):
    """The row of the runs of one series at one T: IDENTITY and ROW."""
    first, trained = runs[0], [run for run in runs if run["success"] is not None]
    row = {name: first[name] for name in IDENTITY} | dict.fromkeys((*ROW, "m", "right", "n", "curve")) | {
        "T": first["T"], "runs": len(trained), "ambiguous": len(runs) - len(trained), "m_star": first["m_star"],
        "redraws": sum(run["attempts"] - 1 for run in trained), "timeouts": sum(run["timeout"] for run in trained),
        "reps": len({(run["seed"], run["rep"]) for run in trained}), "seconds": sum(run["seconds"] for run in runs)}
    row |= limits(*(row[name] for name in ("task", "k", "T", "p", "noise")))
    if not trained:
        return row
    m, outcomes = grid(trained, "success")
    right, n = np.nansum(outcomes, axis=0), (~np.isnan(outcomes)).sum(0)
    m50, m90 = reach(SHARES, m, right, n).tolist()
    a, b = fit_logistic(np.log(m), right, n)
    (low50, high50), (low90, high90) = intervals(m, outcomes, resamples, np.random.default_rng(0)).tolist()
    any_time = np.nansum(grid(trained, "success_any")[1], axis=0)
    row |= {"m": m.tolist(), "right": right.astype(int).tolist(), "n": n.tolist(),
            "curve": [float(a), float(b)] if b > 0 and 0 < right.sum() < n.sum() else None,
            "m_lowest": int(m[0]), "m_highest": int(m[-1]), "m50": m50, "m50_low": low50, "m50_high": high50,
            "m90": m90, "m90_low": low90, "m90_high": high90, "m90_isotonic": isotonic(0.9, m, right, n),
            "m90_any": float(reach(SHARES, m, any_time, n)[1])}
    if row["m_star"]:
        row |= {f"ratio{end}": row[f"m90{end}"] / row["m_star"] for end in ("", "_low", "_high")}
    return row


def grid(runs, key):
    """The m tried (J,) and an outcome of every seed at every m (reps, J), NaN where it has none."""
    m = sorted({run["m"] for run in runs})
    reps = sorted({(run["seed"], run["rep"]) for run in runs})
    outcomes = np.full((len(reps), len(m)), np.nan)
    for run in runs:
        outcomes[reps.index((run["seed"], run["rep"])), m.index(run["m"])] = run[key]
    return np.array(m), outcomes


def points(runs, resamples=RESAMPLES):
    """A row (`point`) for every series and every T in it, in this order."""
    def place(run):
        numbers = [run[name] for name in ("k", "p", "noise")]
        return TASKS.index(run["task"]), *numbers, METHODS.index(run["method"]), repr(series_of(run)), run["T"]

    return [point(list(group), resamples) for _, group in groupby(sorted(runs, key=place), place)]


def series_of(run):
    """What two runs, or rows, of one series have in common."""
    return tuple(run[name] for name in IDENTITY)


def read_runs(paths):
    """The runs of several files of sweeps, each line a minitf.lab.trials.RECORD.

    Errors: OSError; ValueError for another kind of file or line, another protocol, a run that is there twice, and where
    nothing was trained.
    """
    seen, runs = {}, []
    for path in paths:
        found = read(path)
        if not found:
            raise ValueError(f"{path}: expected at least one run, got none")
        for number, run in enumerate(found, 1):
            where = f"{path}, line {number}"
            check_run(where, run)
            key = tuple(run[name] for name in (*IDENTITY, "seed", "T", "m", "rep"))
            if key in seen:
                raise ValueError(f"{where}: expected every run once, got that of {seen[key]} again")
            seen[key] = where
            runs.append(run)
    if all(run["success"] is None for run in runs):
        raise ValueError(f"{paths[0]}: expected a run that trained, got ambiguous samples alone")
    return runs


def check_run(where, run):
    """Refuse a line that is no run of this protocol."""
    require(run["protocol"] == PROTOCOL, where, f"a run of protocol {PROTOCOL}", run["protocol"])
    wrong = [key for key, kind in FIELDS.items() if not isinstance(run.get(key, ...), kind)]
    if not wrong:
        wrong += [name for name, known in (("task", TASKS), ("method", METHODS)) if run[name] not in known]
        ranges = {"k": (1, 20), "T": (run["k"], HUGE), "m": (1, HUGE), "m_star": (0, HUGE), "attempts": (1, HUGE),
                  "p": (2 ** -40, 1 - 2 ** -40), "noise": (0, 0.5), "seconds": (0, HUGE)}
        wrong += [name for name, (least, most) in ranges.items()
                  if run[name] is not None and not least <= run[name] <= most]
    if wrong:
        raise ValueError(f"{where}: expected a run of a sweep, got one without a proper {', '.join(wrong)}")
