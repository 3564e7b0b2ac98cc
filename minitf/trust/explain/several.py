"""Queries, keys and values worked by hand: several heads that share one key head, under a mask.

    print(render(explain_attention(T=3, d=2, heads=2, seed=0)))

Every array is one line below: its formula, its reason, the line of ops/attention.py that computes
it, and the rule that gives its numbers here (trust/explain/rules.py), so that nothing is taken from
the op that it explains; the numbers are compared with the op's at the end.
Source: Vaswani et al. 2017; Ainslie et al. 2023; Dao et al. 2022 (D = rowsum(dO * O)).
"""
from typing import NamedTuple

import numpy as np

from minitf.checks import LARGEST, checked, choice, integer, real
from minitf.ops import attention
from minitf.trust.explain.layout import CAPTIONS, near
from minitf.trust.explain.lines import backward_lines, forward_lines
from minitf.trust.explain.work import RATE, stepped, worked, written

MASKS = "none", "causal", "window"


class Options(NamedTuple):
    """What is drawn and what is computed."""
    T: int
    d: int
    heads: int
    mask: str
    sink: bool
    softcap: float | None
    seed: int


def least(low, high=LARGEST):
    """The rule of a whole number from low to high."""
    return lambda name, value: integer(name, value, low, high)


def bounding(name, value):
    """Return value as float; it must be a number from 0.5 to 1e6."""
    return real(name, value, "a number from 0.5 to 1e6", lambda c: 0.5 <= c <= 1e6)


@checked
def explain_attention(T: least(1, 8) = 3, d: least(1, 6) = 2, heads: least(1, 4) = 2,
                      mask="causal", sink: bool = False, softcap: bounding = None,
                      seed: least(0) = 0):
    """Work attention with `heads` query heads over one key head; return a record for `render`.

    Tokens x of width d give queries (a matrix a head), keys and values (one matrix each); the loss
    is half the squared distance of the outputs from targets. mask "window": a query meets its own
    key and the one before.
    """
    o = Options(T, d, heads, choice("mask", mask, MASKS), sink, softcap, seed)
    lines = forward_lines(o) + backward_lines(o)
    values = example(o, lines)
    count = f"{heads} head{'s' * (heads > 1)}"
    text = {"title": f"Attention on paper: T = {T}, d = {d}, {count} over one key head, "
                     f"mask {mask}, seed {seed}", **CAPTIONS["attention"]}
    step = stepped(lines, values, parameters(o))
    return {**o._asdict(), **step, "arrays": written(lines, values), "text": text,
            "attention_difference": attention_difference(o, values),
            "closing": closing(o, values, step)}


def parameters(o):
    """The names of what a step of gradient descent moves."""
    return [f"W_Q{h}" for h in range(o.heads)] + ["W_K", "W_V"]


def allowed(o):
    """The mask as 0 and 1: which key (column) a query (row) may meet."""
    i, j = np.ogrid[:o.T, :o.T]
    far = {"none": np.inf, "causal": 0, "window": 0}[o.mask]
    near = (j - i <= far) & (j >= (i - 1 if o.mask == "window" else -np.inf))
    return (near + 0 * i).astype(int)


def example(o, lines):
    """Draw until the numbers are worth following: none large, the gradients of scores show."""
    rng, wide, size = np.random.default_rng(o.seed), (o.d, o.d), 1.0

    def draw(*shape):
        x = np.round(size * rng.standard_normal(shape), 1)
        return np.where(x == 0, 0.1, x)

    while True:
        values = {"x": draw(o.T, o.d), "W_K": draw(*wide), "W_V": draw(*wide), "M": allowed(o),
                  "scale": np.array(o.d**-0.5)}
        for h in range(o.heads):
            values |= {f"W_Q{h}": draw(*wide), f"Y{h}": draw(o.T, o.d), f"sink{h}": draw()}
        if o.softcap:
            values["softcap"] = np.array(o.softcap)
        values = worked(lines, values)
        sizes = [np.abs(x).max() for name, x in values.items() if name != "softcap"]
        if max(sizes) < 10 and (o.T == 1 or np.abs(values["dS0"]).max() > 0.02):
            return values
        size *= 0.99


def attention_difference(o, values):
    """How far the outputs and gradients are from what `attention` and its pullback return."""
    def stacked(name):
        return np.stack([values[f"{name}{h}"] for h in range(o.heads)])
    sinks = stacked("sink") if o.sink else None
    out, pullback = attention(stacked("q"), values["k"][None], values["v"][None],
                              mask=values["M"].astype(bool), sinks=sinks, softcap=o.softcap)
    dq, dk, dv, *dsinks = pullback(stacked("dout"))
    pairs = [(out, stacked("out")), (dq, stacked("dq")), (dk[0], values["dk"]),
             (dv[0], values["dv"])]
    pairs += [(dsinks[0], stacked("dsink"))] if o.sink else []
    return max(float(np.abs(x - y).max()) for x, y in pairs)


def closing(o, values, step):
    """The sentences under the last array."""
    row = o.T - 1
    gap = np.abs(values["JdA"] - values["dZ0" if o.softcap else "dS0"][row]).max()
    same = np.abs(values["D0"] - values["O0"]).max()
    return [f"The Jacobian times dA0[{row}] and row {row} of the formula agree {near(gap)}, and "
            f"the two ways to D0 {near(same)}.",
            "minitf.attention(q, k, v) with these heads returns the same outputs, and its pullback "
            f"the same dq, dk and dv, {near(attention_difference(o, values))}.",
            f"A gradient points uphill. Take {RATE:g} times each from {', '.join(parameters(o))}: "
            f"to first order the loss falls from {values['loss']:.4f} by {RATE:g} times the sum of "
            f"all squared gradients, to {step['loss_predicted']:.4f}; what is seen is "
            f"{step['loss_after']:.4f}."]
