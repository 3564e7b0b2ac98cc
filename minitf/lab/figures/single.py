"""Figures: one function a picture, records and arrays in, a file out. Needs matplotlib, imported
where it is used."""
import math

import numpy as np

from minitf.lab.figures.columns import STRENGTH, columns
from minitf.lab.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    plain_log,
    positions_axis,
    save,
)


def learning(record, result, path):
    """Draw what `learn` learned: where the attention is, beside the training loss."""
    from matplotlib.figure import Figure

    if record["task"] is None:
        return columns(record, path)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    attention, loss = figure.subplots(1, 2, width_ratios=[2, 1])
    weights, true = result.strength(), record["support_true"]
    attention.vlines(np.arange(record["T"]), 0, weights, color=GREY, linewidth=1.5)
    support = list(result.support(len(record["support_found"])))
    attention.plot(support, weights[support], "o", color=BLUE, label="found")
    attention.plot(true, weights[true], "x", color=ORANGE, markersize=10, label="true support")
    attention.set(xlabel="position", ylabel=STRENGTH[record["heads"] > 0], ylim=(0, None))
    attention.xaxis.get_major_locator().set_params(integer=True)
    attention.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    loss.plot(result.history["step"], result.history["loss"], color=BLUE, linewidth=1)
    loss.set(xlabel="step", ylabel="training loss", yscale="log")
    title = f"{record['description']}: {record['holdout_accuracy']:.2%} of new examples right"
    figure.suptitle(title, x=0.01, ha="left")
    save(figure, path)


def construction(record, attention, readout, path):
    """Draw a construction: the attention of [CLS], the support marked, beside the readout f and
    where v can lie.

    attention (T,); readout as of theory.construct.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    peaks, line = figure.subplots(1, 2, width_ratios=[1, 1.1])
    support = record["support"]
    peaks.vlines(np.arange(record["T"]), 0, attention, color=GREY, linewidth=1)
    peaks.vlines(support, 0, attention[support], color=BLUE, linewidth=2)
    peaks.plot(support, attention[support], "o", color=BLUE,
               label=f"support, {100 * (1 - record['leak']):.6g}% in all")
    peaks.set(xlabel="position", ylabel="attention of [CLS]", ylim=(0, 1.2 * attention.max()))
    peaks.xaxis.get_major_locator().set_params(integer=True)
    peaks.legend(frameon=False, loc="upper right")
    readout_panel(line, record, readout)
    figure.legend(*line.get_legend_handles_labels(), frameon=False, loc="outside lower right",
                  ncols=4)
    error = f"error {record['measured']:.3g}, promised {record['promised']:.3g}"
    figure.suptitle(f"{record['description']}: {error}", x=0.01, ha="left")
    save(figure, path)


def readout_panel(line, record, readout):
    """The readout f on the axis of v, the intervals of each label shaded."""
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
    patterns = record["form"] == "heads"
    seen = "m, the match of a pattern" if patterns else "v, the mean bit that the head sees"
    line.set(xlabel=seen, ylabel="f", ylim=(-0.08, 1.17))


GROWTH = (              # name, the key of a row that is drawn, colour, marker, line
    ("parameters, one-hot", "margin_count", PURPLE, "v", (0, (1, 1))),
    ("(1,1) norms", "margin_length_free", SKY, "D", (0, (5, 1, 1, 1))),
    ("margin", "margin_l2", BLUE, "o", "-"),
    ("chain", "chain_l2", ORANGE, "s", "-."),
    ("Dudley", "dudley", GREEN, "^", "--"),
    ("Occam", "occam", GREY, "P", "-"),
    ("exact identification", "m_star", BLACK, "*", "-"),
    ("parameters, narrow", "margin_count_narrow", PURPLE, "<", "--"))


def bounds(record, path):
    """Draw what `bound` says: how examples grow with T, beside the Rademacher complexity of the
    class from below.

    record: theory.bound_table as rows and rademacher_table as rademacher, with what they were
    made for.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    growth_panel(left, record["rows"], record["eps"])
    complexity_panel(right, record["rademacher"])
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.title.set_size(10)
        ax.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14),
                  ncols=2)
    changed = "".join(f", {name} = {value:g}" for name, value in (record["norms"] or {}).items())
    title = f"{record['rule']} of {record['k']} of T bits by one head{changed}"
    figure.suptitle(title, x=0.01, ha="left")
    save(figure, path)


def growth_panel(ax, rows, eps):
    """Every m(T) over the first that is not 0. As numbers of examples the bounds predict nothing,
    so none is shown."""
    T = [row["T"] for row in rows]
    for name, key, color, marker, line in GROWTH:
        m = [row[key] for row in rows]
        first = next((x for x in m if x > 0), 1)
        ax.plot(T, [x / first if x else math.nan for x in m], color=color, marker=marker,
                linestyle=line, label=name, markersize=4.5, linewidth=1.3)
    ax.set(xlabel="T, positions", ylabel=f"m(T) / m({T[0]:,})",
           title=f"How the examples for error {eps:g} grow\n(sizes are vacuous, see the table)")
    positions_axis(ax, T)
    plain_log(ax, "y")


def complexity_panel(ax, rows):
    """Lower estimates of Rad at norms that grow with T and at fixed ones, and how the upper bound
    would go on."""
    T = [row["T"] for row in rows]
    kinds = [("fixed", f"||q|| <= {rows[0]['fixed']['B_q']:g}", ORANGE, "s")]
    if any(row["growing"] != row["fixed"] for row in rows):
        kinds.insert(0, ("growing", "||q|| grows", BLUE, "o"))
    for kind, name, color, marker in kinds:
        column = {key: np.array([row[kind][key] for row in rows])
                  for key in ("mean", "se", "single", "lead")}
        ax.plot(T, column["mean"], color=color, marker=marker, markersize=4.5, linewidth=1.3,
                label=f"{name}: found")
        ax.errorbar(T, column["mean"], 2 * column["se"], color=color, linestyle="", elinewidth=1,
                    capsize=2)
        ax.plot(T, column["single"], color=color, linestyle=":", linewidth=1.5,
                label=f"{name}: one position")
        ax.plot(T, column["mean"][0] * column["lead"] / (column["lead"][0] or 1), color=color,
                linestyle=(0, (6, 4)), linewidth=1, alpha=0.7, label=f"{name}: upper bound, scaled")
    upper = max(row[kind]["upper"] for row in rows for kind in ("growing", "fixed"))
    ax.set(xlabel="T, positions", ylabel="Rad, at least", ylim=(0, None),
           title=f"Rademacher complexity from below, m = {rows[0]['m']}\n"
                 f"(2 standard errors; the upper bound itself is {upper:.3g})")
    positions_axis(ax, T)
