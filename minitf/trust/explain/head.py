"""A worked example: one small head of attention forward and backward, every number on paper.

    print(render(explain(T=3, d=2, seed=0)))

The head is the tf-scalar of `model`: the [CLS] token asks, T bits answer, one logit comes out. Each
gradient is set beside the number that needs no derivative: how much the loss changes when an entry
is moved a little. Source: Edelman et al. 2022, section 3.
"""
import math

import numpy as np

from minitf.checks import integer
from minitf.ops import attention
from minitf.trust.explain.layout import CAPTIONS, near
from minitf.trust.explain.words import LINES, PARAMETERS
from minitf.trust.explain.work import RATE, stepped, worked, written


def explain(T=3, d=2, seed=0):
    """Work one example through a small head; return the record that `render` prints, JSON values.

    T bits and tokens of width d (from 1 to 8, and 1 to 6; three bits in the plane unless given);
    the head has 2 values and 2 outputs. Every parameter has one decimal; seed chooses them and the
    bits. The label is bit 1.

    record["arrays"] lists every array in the order of the text, a dict each: part ("forward" or
    "backward"), section, kind ("given", "working", "step"), name, formula, shape, values, why,
    differences (of a gradient, else None), rule (of each entry, as the live page runs it), code.
    """
    T, d, seed = integer("T", T, 1, 8), integer("d", d, 1, 6), integer("seed", seed, 0)
    values = example(np.random.default_rng(seed), T, d)
    step, off = stepped(LINES, values, PARAMETERS), attention_difference(values)
    text = {"title": f"One head of attention on paper: T = {T}, d = {d}, seed {seed}"}
    return {"T": T, "d": d, "seed": seed, **step, "arrays": written(LINES, values),
            "attention_difference": off, "text": text | CAPTIONS["head"],
            "closing": closing(step["loss"], step["loss_after"], off)}


def closing(before, after, off):
    """The sentences under the last array."""
    return ["minitf.attention(q, X, X, scale=1) returns c, and its pullback at dc returns dq and "
            f"both parts of dX, as above, {near(off)}.",
            f"A gradient points uphill. Take {RATE:g} times each from {', '.join(PARAMETERS)}, and "
            f"the loss goes from {before:.4f} to {after:.4f}."]


def example(rng, T, d):
    """Draw until the numbers are worth following: one entry of h is switched off and one is not,
    no weight takes nearly all, the weights differ, every number is below 10 and every gradient
    shows in 4 decimals. No parameter is 0."""
    shapes = {"E": (2, d), "P": (T, d), "x_cls": (d,), "W_QK": (d, d), "W_V": (d, 2), "W_C": (2, 2),
              "w": (2,)}
    gradients = [line.name for line in LINES if line.part == "backward" and line.kind == "step"]
    while True:
        given = {name: np.round(rng.standard_normal(shape), 1) for name, shape in shapes.items()}
        given["W_QK"] = np.round(given["W_QK"] / math.sqrt(d), 1)
        given = {name: np.where(x == 0, 0.1, x) for name, x in given.items()}
        b = rng.integers(0, 2, T)
        v = worked(LINES, given | {"b": b, "label": b[0], "X": np.empty((T + 1, d))})
        bent = v["h"].min() < -0.1 and v["h"].max() > 0.1
        spread = 1.4 / (T + 1) < v["a"].max() < 0.85 and np.abs(v["s"]).max() < 4
        short = all(np.abs(v[line.name]).max() < 10 for line in LINES if line.kind != "working")
        if bent and spread and short and all(np.abs(v[name]).max() > 0.01 for name in gradients):
            return v


def attention_difference(v):
    """How far c, dq and dX are from what `attention` returns for one query, keys = values = X."""
    out, pullback = attention(v["q"][None], v["X"], v["X"], scale=1)
    dq, dk, dv = pullback(v["dc"][None])
    pairs = (out[0], v["c"]), (dq[0], v["dq"]), (dk + dv, v["dX"])
    return max(float(np.abs(x - y).max()) for x, y in pairs)
