"""From the runs of sweeps to rows: what was tried at each T, and how many samples it took.

    rows = points(read_runs(["runs.jsonl"]))        a dict for every series and T: IDENTITY and ROW

A series is what IDENTITY names.
"""
import csv
import math
from collections import Counter
from itertools import groupby

import numpy as np

from minitf.checks import checked, each, integer, require
from minitf.files import read_whole
from minitf.lab.journal import read
from minitf.lab.lines import HUGE, IDENTITY, check_run, checker, is_path
from minitf.lab.protocol import METHODS, TASKS, rule_of
from minitf.lab.stats import RESAMPLES, SHARES, fit_logistic, intervals, isotonic, reach
from minitf.tasks import mean_label, ones_by_count, truth_table
from minitf.theory import fano_m, log_supports

MOST = 1000             # different m at one T
ROW = {
    "T": "positions",
    "runs": "runs that trained",
    "reps": "seeds among them",
    "redraws": "ambiguous samples drawn again",
    "given_up": "runs given up as ambiguous, left out of every fit",
    "timeouts": "runs stopped by the clock, counted as failures",
    "m_lowest": "smallest m tried",
    "m_highest": "largest m tried",
    "m50": "m for 50 % success; 0 below m_lowest, inf above m_highest",
    "m50_low": "95 % interval",
    "m50_high": "",
    "m90": "m for 90 % success, the same",
    "m90_low": "95 % interval",
    "m90_high": "",
    "m90_isotonic": "the same from a curve that only has to increase",
    "m90_any": "m for 90 % success at any time of training",
    "bits": "log2 C(T, k)",
    "m_star": "so many samples determine the support with 95 %",
    "fano": "so many any method needs for 95 %",
    "ratio": "m90 / m_star",
    "ratio_low": "95 % interval",
    "ratio_high": "",
    "bits_each": "bits / m90, the rate of group testing; 0 above m_highest, inf below m_lowest",
    "bits_each_low": "95 % interval",
    "bits_each_high": "",
}


def limits(task, k, T, p, noise, delta=0.05, level=None, table=None):
    """How many samples a task asks for, whoever learns it: log2 C(T, k) bits name the support, and
    with fewer than `fano` samples no method finds it with probability 1 - delta."""
    mean = mean_label(ones_by_count(truth_table(task, k, level, table)), p)
    fano = fano_m(log_supports(T, k), delta, mean + noise - 2 * noise * mean)
    return {"bits": math.log2(math.comb(T, k)), "fano": fano}


def point(runs, resamples=RESAMPLES):
    """The row of the runs of one series at one T: IDENTITY and ROW."""
    first, trained = runs[0], [run for run in runs if run["success"] is not None]
    row = {name: first.get(name) for name in IDENTITY}
    row |= dict.fromkeys((*ROW, "m", "right", "n", "curve")) | {
        "T": first["T"], "runs": len(trained), "given_up": len(runs) - len(trained),
        "reps": len({(run["seed"], run["rep"]) for run in trained}), "m_star": first["m_star"],
        "redraws": sum(run["attempts"] - 1 for run in trained),
        "timeouts": sum(run["timeout"] for run in trained),
        "seconds": sum(run["seconds"] for run in runs)}
    row |= limits(*(row[name] for name in ("task", "k", "T", "p", "noise")), **rule_of(row))
    row |= curve_of(trained, resamples, row["m_star"]) if trained else {}
    if trained and row["bits"]:
        for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
            m90 = row[f"m90{other}"]
            row[f"bits_each{end}"] = row["bits"] / m90 if m90 else math.inf
    return row


def curve_of(trained, resamples, m_star):
    """The part of a row that the curve of success against m decides."""
    m, outcomes = grid(trained, "success")
    right, n = np.nansum(outcomes, axis=0), (~np.isnan(outcomes)).sum(0)
    m50, m90 = reach(SHARES, m, right, n).tolist()
    a, b = fit_logistic(np.log(m), right, n)
    rng = np.random.default_rng(0)
    (low50, high50), (low90, high90) = intervals(m, outcomes, resamples, rng).tolist()
    any_time = np.nansum(grid(trained, "success_any")[1], axis=0)
    part = {"m": m.tolist(), "right": right.astype(int).tolist(), "n": n.tolist(),
            "curve": [float(a), float(b)] if b > 0 and 0 < right.sum() < n.sum() else None,
            "m_lowest": int(m[0]), "m_highest": int(m[-1]),
            "m50": m50, "m50_low": low50, "m50_high": high50,
            "m90": m90, "m90_low": low90, "m90_high": high90,
            "m90_isotonic": isotonic(0.9, m, right, n),
            "m90_any": float(reach(SHARES, m, any_time, n)[1])}
    if m_star:
        part |= {f"ratio{end}": part[f"m90{end}"] / m_star for end in ("", "_low", "_high")}
    return part


def grid(runs, key):
    """The m tried (J,) and an outcome of every seed at every m (reps, J), NaN where it has none."""
    m = sorted({run["m"] for run in runs})
    reps = sorted({(run["seed"], run["rep"]) for run in runs})
    outcomes = np.full((len(reps), len(m)), np.nan)
    row, column = ({key: i for i, key in enumerate(keys)} for keys in (reps, m))
    for run in runs:
        outcomes[row[run["seed"], run["rep"]], column[run["m"]]] = run[key]
    return np.array(m), outcomes


def times(name, value):
    """Return value as int; it must be a whole number from 1 to 10^6."""
    return integer(name, value, 1, 10 ** 6)


@checked
def points(runs: each(check_run), resamples: times = RESAMPLES):
    """A row (`point`) for every series and every T in it, in this order."""
    def place(run):
        numbers = [run[name] for name in ("k", "p", "noise")]
        method = METHODS.index(run["method"])
        return TASKS.index(run["task"]), *numbers, method, repr(series_of(run)), run["T"]

    return [point(list(group), resamples) for _, group in groupby(sorted(runs, key=place), place)]


def series_of(run):
    """What two runs, or rows, of one series have in common."""
    return tuple(run.get(name) for name in IDENTITY)


@checked
def read_runs(paths: each(is_path)):
    """The runs of several files of sweeps, each line a record of minitf.lab.trial.

    Errors: OSError; ValueError for another kind of file or line, another protocol, a run that is
    there twice, and where nothing was trained.
    """
    runs, check = [], checker()
    require(paths, "paths", "at least one file", paths)
    for path in paths:
        found = read(path, check)
        if not found:
            raise ValueError(f"{path}: expected at least one run, got none")
        runs += found
    sizes = Counter(T for T, _ in {(run["T"], run["m"]) for run in runs})
    for T, n in sizes.items():
        require(n <= MOST, paths[0], f"at most {MOST} different m at T = {T}", n)
    if all(run["success"] is None for run in runs):
        raise ValueError(f"{paths[0]}: expected a run that trained, got ambiguous samples alone")
    return runs


@checked
def read_published(path: is_path):
    """[(T, m, share)] of a CSV with these columns; share is 0 to 1."""
    try:
        lines = read_whole(path).decode().splitlines()
        cells = [(int(row["T"]), int(row["m"]), float(row["share"]))
                 for row in csv.DictReader(lines)]
    except (KeyError, TypeError, ValueError, csv.Error):
        cells = []
    known = cells and all(0 < T < HUGE and 0 < m < HUGE and 0 <= share <= 1
                          for T, m, share in cells)
    require(known, "published", "a CSV with columns T, m, share (0 to 1)", path)
    return cells
