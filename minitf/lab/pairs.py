"""By how much m90 of one series differs from that of another on the same draws.

    compare(rows, runs, "scomp")        sets PAIRED in every row (points.points)

The draws of a run depend on its task, T, seed and rep, not on who learns: the outcomes of one seed
hang together, and a difference is surer than two intervals side by side say.
"""
import math

import numpy as np

from minitf.checks import checked, choice, each, require
from minitf.lab.lines import check_run
from minitf.lab.points import grid, series_of, times
from minitf.lab.stats import RESAMPLES, SHARES, reach, tail_of
from minitf.lab.trial import takes_any

PAIRED = {
    "pairs": "seeds that this series shares with the one compared with",
    "less": "m90 less the other's on these seeds; null where one is beyond the m tried",
    "less_low": "95 % interval; infinite where the m tried leave it open",
    "less_high": "",
}
DRAWS = "task", "k", "p", "noise", "level", "table", "rate", "T"    # of draws, and of success


def check_row(name, row):
    """Return a row; it must say whose it is."""
    known = isinstance(row, dict) and {"method", "T"} <= row.keys()
    require(known, name, "rows of points", row)
    return row


@checked
def compare(rows: each(check_row), runs: each(check_run), against, resamples: times = RESAMPLES):
    """Set PAIRED in the rows of the series that were tried on the draws of one of this method, the
    first of several; None in the others. Errors: ValueError for a method that no run has."""
    choice("against", against, sorted({run["method"] for run in runs}))
    parts, others = {}, {}
    for run in runs:
        if run["success"] is not None:
            parts.setdefault((series_of(run), run["T"]), []).append(run)
    for row in rows:
        if row["method"] == against:
            others.setdefault(draws_of(row), (series_of(row), row["T"]))
    for row in rows:
        keys = (series_of(row), row["T"]), others.get(draws_of(row))
        row |= dict.fromkeys(PAIRED)
        if keys[0] != keys[1] and all(key in parts for key in keys):
            row |= difference(*(parts[key] for key in keys), resamples)


def draws_of(row):
    """What rows of the same draws have in common, whether sets are drawn again included."""
    return *(row.get(name) for name in DRAWS), takes_any(row)


def difference(own, other, resamples=RESAMPLES):
    """PAIRED of the runs that trained of two series at one T.

    The bootstrap resamples seeds, each with all its runs in both series; percentiles as in
    `stats.intervals`. An m90 beyond the m tried may be anywhere beyond.
    """
    seeds = [{(run["seed"], run["rep"]) for run in runs} for runs in (own, other)]
    shared = set.intersection(*seeds)
    n, found = len(shared), {}
    if n > 1:
        drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), resamples)
        a, b = (bounds_of([run for run in runs if (run["seed"], run["rep"]) in shared],
                          np.vstack((np.ones(n, int), drawn))) for runs in (own, other))
        low, high = a[0] - b[1], a[1] - b[0]
        tail = tail_of(n) * (resamples - 1)
        found = {"less": float(low[0]) if low[0] == high[0] else None,
                 "less_low": float(np.sort(low[1:])[math.floor(tail)]),
                 "less_high": float(np.sort(high[1:])[math.ceil(resamples - 1 - tail)])}
    return {"pairs": n} | found


def bounds_of(runs, weights):
    """The least and the largest that m90 can be, for each row of weights of the seeds."""
    m, outcomes = grid(runs, "success")
    ran = ~np.isnan(outcomes)
    m90 = reach(SHARES, m, weights @ np.where(ran, outcomes, 0), weights @ ran)[1]
    return np.where(m90 == math.inf, m[-1], m90), np.where(m90 == 0, m[0], m90)
