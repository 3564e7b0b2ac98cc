"""Figures: one function a picture, records and arrays in, a file out. Needs matplotlib, imported where it is used."""
import math
import os

import numpy as np

from minitf.params import write_whole

# A palette that stays apart in print and in colour-blind eyes (Okabe and Ito 2008).
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"


def learning(record, result, path):
    """Draw what `learn` learned: attention on every position, the true support marked, beside the training loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    attention, loss = figure.subplots(1, 2, width_ratios=[2, 1])
    weights = result.strength()
    true = record["support_true"] or []
    attention.vlines(np.arange(record["T"]), 0, weights, color=GREY, linewidth=1.5)
    support = list(result.support(len(record["support_found"])))
    attention.plot(support, weights[support], "o", color=BLUE, label="found")
    if true:
        attention.plot(true, weights[true], "x", color=ORANGE, markersize=10, label="true support")
    else:
        for t in support:
            attention.annotate(record["names"][t], (t, weights[t]), xytext=(6, -3), textcoords="offset points")
    attention.set(xlabel="position", ylabel="attention of [CLS]" if record["heads"] else "influence", ylim=(0, None))
    attention.xaxis.get_major_locator().set_params(integer=True)
    attention.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    loss.plot(result.history["step"], result.history["loss"], color=BLUE, linewidth=1)
    loss.set(xlabel="step", ylabel="training loss", yscale="log")
    title = f"{record['description']}: {record['holdout_accuracy']:.2%} of new examples right"
    figure.suptitle(title, x=0.01, ha="left")
    save(figure, path)


def construction(record, attention, readout, path):
    """Draw a construction: the attention of [CLS], the support marked, beside the readout f and where v can lie.

    attention (T,); readout a minitf.codes.Readout.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    peaks, line = figure.subplots(1, 2, width_ratios=[1, 1.1])
    support = record["support"]
    peaks.vlines(np.arange(record["T"]), 0, attention, color=GREY, linewidth=1)
    peaks.vlines(support, 0, attention[support], color=BLUE, linewidth=2)
    peaks.plot(support, attention[support], "o", color=BLUE, label=f"support, {100 * (1 - record['leak']):.6g}% in all")
    peaks.set(xlabel="position", ylabel="attention of [CLS]", ylim=(0, 1.2 * attention.max()))
    peaks.xaxis.get_major_locator().set_params(integer=True)
    peaks.legend(frameon=False, loc="upper right")
    for label, color in ((0, GREY), (1, ORANGE)):
        spans = [line.axvspan(low, high, facecolor=color, edgecolor=color, alpha=0.35, linewidth=1)
                 for low, high, g in readout.intervals if g == label]
        spans[0].set_label(f"where v can lie, label {label}")
    ends = readout.intervals[:, :2]
    v = np.concatenate([[min(ends.min(), 0)], readout.knots, [ends.max()]])
    line.plot(v, np.interp(v, readout.knots, readout.heights), color=BLUE, label="readout f(v)")
    line.plot(readout.knots, readout.heights, ".", color=BLUE, label="knots")
    if len(ends) <= 10:
        line.set_title(f"{record['code']}:", loc="left", fontsize="medium")
        for code, middle in enumerate(ends.mean(axis=1)):
            line.annotate(str(code), (middle, 1.06), ha="center")
    seen = "m, the match of a pattern" if record["form"] == "heads" else "v, the mean bit that the head sees"
    line.set(xlabel=seen, ylabel="f", ylim=(-0.08, 1.17))
    figure.legend(*line.get_legend_handles_labels(), frameon=False, loc="outside lower right", ncols=4)
    title = f"{record['description']}: error {record['measured']:.3g}, promised {record['promised']:.3g}"
    figure.suptitle(title, x=0.01, ha="left")
    save(figure, path)


def plain_log(ax, name):
    """A logarithmic axis with whole numbers at its ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(ax, f"set_{name}scale")("log")
    axis = getattr(ax, f"{name}axis")
    low, high = axis.get_view_interval()
    subs = next(subs for most, subs in ((5, (1, 1.5, 2, 3, 4, 6, 8)), (30, (1, 2, 5)), (1000, (1, 3)), (math.inf, (1,)))
                if high <= most * low)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure, path):
    """Write a figure whole or not at all, in the format that the ending of the path names (PNG without one)."""
    kind = os.path.splitext(path)[1].lstrip(".").lower() or "png"
    write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=150))
