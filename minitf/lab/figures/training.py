"""Panels of what happens during training: attention on the true support; for parity plateau, drop
and Fourier gap.

Each chooses one T and, for a series, one m: the smallest at which 90 % of the runs learn, or else
where most do.
"""
from functools import partial
from itertools import groupby

import numpy as np

from minitf.lab.figures.style import BLUE, GREY, plain_log
from minitf.lab.points import series_of
from minitf.tasks import mean_label, ones_by_count, truth_table

MOST_LINES = 20         # seeds drawn one by one


def trace_panels(runs, looks, ramp):
    """Panels, [(name, function of the axes)], for what runs of one task have kept; looks and ramp
    as of figures.sweep."""
    from scipy.special import entr

    kept = [run for run in runs if run["attention"] is not None and run["snapshots"]]
    gaps = [run for run in runs if run["fourier_gap"] is not None and run["snapshots"]]
    panels = [("attention", partial(attention, runs=kept, looks=looks, ramp=ramp))] * bool(kept)
    if gaps:
        parts = list(map(learning_m,
                         grouped(gaps, lambda run: (series_of(run), run["T"])).values()))
        chosen = max(parts, key=lambda part: (share(part), part[0]["T"], len(part)))
        mean = mean_label(ones_by_count(truth_table("parity", chosen[0]["k"])), chosen[0]["p"])
        label, (T, m) = looks[series_of(chosen[0])]["label"], (chosen[0][key] for key in "Tm")
        where = f"({label}; T = {T}, m = {m})"
        panels += [
            ("loss",
             partial(seeds, runs=chosen, curve=loss_curve, title=f"Plateau and drop {where}",
                             ylabel="training loss (nats)", level=entr(mean) + entr(1 - mean))),
            ("accuracy", partial(seeds, runs=chosen, curve=partial(trace, "accuracy"),
                                 title=f"New samples {where}",
                                 ylabel="share of fresh samples right", level=max(mean, 1 - mean))),
            ("fourier", partial(seeds, runs=chosen, curve=partial(trace, "fourier_gap"),
                                title=f"Hidden progress {where}",
                                ylabel="Fourier gap of the true support", level=0.0))]
    return panels


def grouped(runs, key):
    """{key: runs}, ordered by key."""
    return {name: list(group)
            for name, group in groupby(sorted(runs, key=lambda run: repr(key(run))), key)}


def share(runs):
    """The share of runs that learned."""
    return sum(run["success"] for run in runs) / len(runs)


def learning_m(runs):
    """Of the runs of one series and T those of one m: the smallest at which 90 % learn, else where
    most do."""
    parts = sorted(grouped(runs, lambda run: run["m"]).values(), key=lambda part: part[0]["m"])
    return next((part for part in parts if share(part) >= 0.9), None) or max(parts, key=share)


def trace(name, run):
    """Steps and values of a snapshot entry, the end of the run included."""
    states = [*run["snapshots"], run | {"step": run["steps"]}]
    return np.array([(state["step"], state[name])
                     for state in states if state.get(name) is not None], float).T


def loss_curve(run):
    """Steps and training losses: of the batches where they were kept, else at the snapshots."""
    if run["curve"]:
        return np.array(run["curve"], float).T
    return trace("loss", run | {"loss": run["train_loss"]})


def attention(ax, runs, looks, ramp):
    """Median and quartiles over seeds: of every series at the largest T they share, or of one
    series at every T."""
    series, lengths = {series_of(run) for run in runs}, sorted({run["T"] for run in runs})
    if len(series) > 1:
        T = max(lengths, key=lambda T: (len({series_of(run) for run in runs if run["T"] == T}), T))
        parts = grouped([run for run in runs if run["T"] == T], series_of)
        lines, title = [(part, looks[key])
                        for key, part in parts.items()], f"Attention on the support, T = {T}"
    else:
        lines = [([run for run in runs if run["T"] == T], ramp[T]) for T in lengths]
        title = "Attention on the support"
    alpha = 0.4 / max(2, len(lines))
    for part, look in lines:
        steps, quartiles = over_seeds([trace("attention", run) for run in learning_m(part)])
        ax.plot(steps, quartiles[1], **look | {"marker": None}, linewidth=1.4)
        ax.fill_between(steps, quartiles[0], quartiles[2], color=look["color"], alpha=alpha,
                        linewidth=0)
    ax.set(xlabel="step", ylabel="attention, median and quartiles", title=title, ylim=(-0.04, 1.04))
    plain_log(ax, "x")


def over_seeds(curves):
    """Quartiles (3, steps) over curves that are steps and values; one that has ended keeps its last
    value."""
    steps = np.unique(np.concatenate([curve[0] for curve in curves]))
    steps = steps[steps >= max(curve[0, 0] for curve in curves)]
    at = [curve[1, np.searchsorted(curve[0], steps, side="right") - 1] for curve in curves]
    return steps, np.quantile(at, [0.25, 0.5, 0.75], axis=0)


def seeds(ax, runs, curve, title, ylabel, level):
    """One line a seed, learned or not, above a line at the level of chance."""
    for learned, look in ((False, {"color": GREY, "linestyle": "--",
                                   "label": "seed that did not learn"}),
                          (True, {"color": BLUE, "linestyle": "-", "label": "seed that learned"})):
        for run in [run for run in runs if run["success"] is learned][:MOST_LINES]:
            ax.plot(*curve(run), linewidth=0.8, **look)
    ax.axhline(level, color="black", linewidth=0.8, linestyle=":", label="chance")
    ax.set(xlabel="step", ylabel=ylabel, title=title)
    plain_log(ax, "x")
