"""Figures: one function a picture, records and arrays in, a file out. Needs matplotlib, imported where it is used."""
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


def save(figure, path):
    """Write a figure whole or not at all, in the format that the ending of the path names (PNG without one)."""
    kind = os.path.splitext(path)[1].lstrip(".").lower() or "png"
    write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=150))
