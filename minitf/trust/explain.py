"""A worked example: one small head of attention forward and backward, every number on paper.

    print(render(explain(T=3, d=2, seed=0)))

The head is the tf-scalar of `model`: the [CLS] token asks, T bits answer, one logit comes out. STEPS is the forward
pass, one op a line; the backward pass is the same list read upward. Each gradient is set beside the number that needs
no derivative: how much the loss changes when an entry is moved a little. Source: Edelman et al. 2022, section 3.
"""
import math
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.checks import integer
from minitf.ops import add, attention, embed, linear, logistic, relu, sigmoid, softmax

WIDTH = 80              # columns of the text
NUDGE = 1e-5            # how far an entry is moved to either side for a difference
RATE = 0.01             # of the step of gradient descent at the end
MARGIN, MOVED = "      ", "moved "


def tokens(E, P, x_cls, b):
    """Put x_cls above the embedded bits:  X_0 = x_cls,  X_t = E[b_t] + P_t."""
    rows, back_embed = embed(b, E)
    rows, back_add = add(rows, P)

    def pullback(dX):
        drows, dP = back_add(dX[1:])
        return back_embed(drows), dP, dX[0]

    return np.concatenate([x_cls[None], rows]), pullback


def matvec(W, x):
    """Multiply a matrix by a vector:  y = W x."""
    y, back = linear(x, W.T)

    def pullback(dy):
        dx, dW = back(dy)
        return dW.T, dx

    return y, pullback


def dot(w, o):
    """Multiply two vectors:  y = w . o."""
    y, back = matvec(w[None], o)

    def pullback(dy):
        dw, do = back(dy[None])
        return dw[0], do

    return y[0], pullback


class Step(NamedTuple):
    """One line of the forward pass: name = op(*inputs), inputs without a gradient last, and what to say of it."""
    section: str
    name: str
    op: Callable
    inputs: tuple
    formula: str
    why: str


STEPS = (
    Step("Tokens", "X", tokens, ("E", "P", "x_cls", "b"), "X_0 = x_cls, X_t = E[b_t] + P_t",
         "A row says which bit stands where; row 0 is [CLS], which carries no bit and will ask the question."),
    Step("Scores", "q", matvec, ("W_QK", "x_cls"), "q = W_QK x_cls",
         "The query: the question that [CLS] asks of every row."),
    Step("Scores", "s", matvec, ("X", "q"), "s = X q",
         "Row by row, how well the token answers the question; any number may come out."),
    Step("Weights", "a", softmax, ("s",), "a = exp(s) / sum(exp(s))",
         "Exponentials are positive and dividing by their sum makes them shares of 1: how much of each row to read."),
    Step("Head", "c", linear, ("a", "X"), "c = X^T a",
         "The mean of the rows of X with those weights: what [CLS] has read."),
    Step("Head", "h", linear, ("c", "W_V"), "h = W_V^T c",
         "The value matrix picks out of the mean what matters for the answer."),
    Step("Head", "r", relu, ("h",), "r = max(h, 0)",
         "Negative entries are switched off; without this bend the readout could only be linear in c."),
    Step("Readout", "o", linear, ("r", "W_C"), "o = W_C^T r",
         "The output matrix mixes the entries that are left."),
    Step("Readout", "logit", dot, ("w", "o"), "logit = w . o",
         "One number: above 0 the head answers 1, below 0 it answers 0."),
    Step("Loss", "loss", logistic, ("logit", "label"), "loss = log(1 + exp(logit)) - label logit",
         "The cost of the answer: minus the log of the probability that it gives to the label."),
)
GIVEN = {"b": "bits", "E": "row i stands for the bit i", "P": "row t stands for position t = 1..T",
         "x_cls": "the [CLS] token", "W_QK": "query-key matrix", "W_V": "value matrix", "W_C": "output matrix",
         "w": "readout", "label": "bit 1: what the head should answer"}
PARAMETERS = ("E", "P", "x_cls", "W_QK", "W_V", "W_C", "w")
GRADIENTS = {           # in the order of the backward pass: name -> formula, why
    "logit": ("dlogit = 1 / (1 + exp(-logit)) - label",
              "Probability given to 1, minus the label: the error that everything below shares."),
    "w": ("dw = dlogit o", "logit = w . o is linear in w, with slope o."),
    "o": ("do = dlogit w", "It is linear in o too, with slope w."),
    "W_C": ("dW_C = r do^T", "Entry (i, j) carries r_i into o_j, so it shares do_j in proportion to r_i."),
    "r": ("dr = W_C do", "The way back through a matrix is its transpose: r_i collects from every o_j it went to."),
    "h": ("dh = dr where h > 0, else 0", "An entry that was switched off moves nothing: no error passes through it."),
    "W_V": ("dW_V = c dh^T", "Entry (i, j) carries c_i into h_j: the same rule as for W_C."),
    "c": ("dc = W_V dh", "Back through the matrix, as dr was."),
    "a": ("da = X dc", "More weight on row t moves c towards X_t, so the slope is X_t . dc."),
    "s": ("ds = a * (da - sum(a * da))",
          "Weights sum to 1, so a score matters only as far as its da differs from the weighted mean; ds sums to 0."),
    "q": ("dq = X^T ds", "Score t is X_t . q, so q collects X_t in proportion to ds_t."),
    "X": ("dX = a dc^T + ds q^T", "A row is used twice, as what is read and as what is scored: gradients add."),
    "W_QK": ("dW_QK = dq x_cls^T", "Entry (i, j) carries x_cls_j into q_i."),
    "P": ("dP_t = dX_t", "Each position has a row of its own, so its gradient is that row's."),
    "E": ("dE_i = sum of dX_t over the t with b_t = i", "All positions with the same bit share one row of E."),
    "x_cls": ("dx_cls = dX_0 + W_QK^T dq", "x_cls is used twice as well: it is row 0, and it asks the question."),
}
WORKING = {             # numbers that a student writes down on the way: after which line -> name, formula, value
    "a": (("e", "e = exp(s)", lambda v, g: np.exp(v["s"])), ("sum(e)", "sum(e)", lambda v, g: np.exp(v["s"]).sum())),
    "loss": (("p", "p = 1 / (1 + exp(-logit))", lambda v, g: sigmoid(v["logit"])),),
    "ds": (("sum(a * da)", "sum(a * da)", lambda v, g: v["a"] @ g["a"]),),
}
TITLES = {
    "forward": lambda record: ["FORWARD: from tokens to a loss", ""] + wrap(
        "[CLS] asks a question, every row is scored by how well it answers, the rows are averaged by score, and one "
        "number is read off the average."),
    "backward": lambda record: ["BACKWARD: from the loss to every array above", ""] + wrap(
        "dx has the shape of x and says how the loss changes when an entry of x grows. Read the steps upward: each "
        "turns the gradient of what it made into the gradients of what it used. Beside moved stands, for "
        f"every entry, (loss(x + n) - loss(x - n)) / 2n with n = {record['nudge']:g}: what follows from x is computed "
        "again, all else stays. It needs no derivative, so it is the judge.")}


def explain(T=3, d=2, seed=0):
    """Work one example through a small head; return the record that `render` prints, a dict of JSON values.

    T bits and tokens of width d (from 1 to 8, and 1 to 6; three bits in the plane unless given); the head has 2 values
    and 2 outputs. Every parameter has one decimal; seed chooses them and the bits. The label is bit 1.

    record["arrays"] lists every array in the order of the text, a dict each: part ("forward" or "backward"), section,
    kind ("given", "working", "step"), name, formula, shape, values, why, differences (of a gradient, else None).
    """
    T, d, seed = integer("T", T, 1, 8), integer("d", d, 1, 6), integer("seed", seed, 0)
    values, grads = example(np.random.default_rng(seed), T, d)
    stepped = values | {name: values[name] - RATE * grads[name] for name in PARAMETERS}
    return {"T": T, "d": d, "seed": seed, "loss": float(values["loss"]),
            "arrays": forward_arrays(values) + backward_arrays(values, grads),
            "attention_difference": attention_difference(values, grads),
            "nudge": NUDGE, "rate": RATE, "loss_after": float(forward(stepped)[0]["loss"])}


def example(rng, T, d):
    """Draw until the numbers are worth following: one entry of h is switched off and one is not, no weight takes nearly
    all, the weights differ, every number is below 10 and every gradient shows in 4 decimals. No parameter is 0."""
    shapes = {"E": (2, d), "P": (T, d), "x_cls": (d,), "W_QK": (d, d), "W_V": (d, 2), "W_C": (2, 2), "w": (2,)}
    while True:
        given = {name: np.round(rng.standard_normal(shape), 1) for name, shape in shapes.items()}
        given["W_QK"] = np.round(given["W_QK"] / math.sqrt(d), 1)
        given = {name: np.where(x == 0, 0.1, x) for name, x in given.items()}
        b = rng.integers(0, 2, T)
        values, pullbacks = forward(given | {"b": b, "label": b[0]})
        grads = backward(pullbacks)
        bent = values["h"].min() < -0.1 and values["h"].max() > 0.1
        spread = 1.4 / (T + 1) < values["a"].max() < 0.85 and np.abs(values["s"]).max() < 4
        short = all(np.abs(x).max() < 10 for x in (*values.values(), *grads.values()))
        if bent and spread and short and all(np.abs(grads[name]).max() > 0.01 for name in GRADIENTS):
            return values, grads


def forward(given, held=None):
    """Run the steps; return all values, and a list of (step, pullback). The value `held` is kept as given."""
    values, pullbacks = dict(given), []
    for step in STEPS:
        if step.name != held:
            values[step.name], pullback = step.op(*(values[name] for name in step.inputs))
            pullbacks.append((step, pullback))
    return values, pullbacks


def backward(pullbacks):
    """Read the steps upward; whatever is used twice adds its two gradients."""
    grads = {"loss": np.ones(())}
    for step, pullback in reversed(pullbacks):
        dinputs = pullback(grads[step.name])
        for name, dx in zip(step.inputs, dinputs if isinstance(dinputs, tuple) else (dinputs,)):
            grads[name] = grads.get(name, 0) + dx
    return grads


def differences(values, name):
    """Central differences (loss(x + NUDGE) - loss(x - NUDGE)) / (2 NUDGE) of every entry x of one array."""
    slopes = np.empty(values[name].shape)
    for i in np.ndindex(slopes.shape):
        up, down = np.array(values[name]), np.array(values[name])
        up[i] += NUDGE
        down[i] -= NUDGE
        high, low = (forward(values | {name: x}, held=name)[0]["loss"] for x in (up, down))
        slopes[i] = (high - low) / (up[i] - down[i])
    return slopes


def attention_difference(values, grads):
    """How far c, dq and dX are from what `attention` returns for one query, scale 1, keys = values = X."""
    out, pullback = attention(values["q"][None], values["X"], values["X"], scale=1)
    dq, dk, dv = pullback(grads["c"][None])
    pairs = (out[0], values["c"]), (dq[0], grads["q"]), (dk + dv, grads["X"])
    return max(float(np.abs(x - y).max()) for x, y in pairs)


def entry(part, section, kind, name, formula, value, why="", slopes=None):
    """One array of the record."""
    return {"part": part, "section": section, "kind": kind, "name": name, "formula": formula, "why": why,
            "shape": list(np.shape(value)), "values": np.asarray(value).tolist(),
            "differences": None if slopes is None else slopes.tolist()}


def forward_arrays(values):
    """What each step is given and has not had before, the numbers on the way, and what it makes."""
    arrays, seen = [], set()
    for step in STEPS:
        arrays += [entry("forward", step.section, "given", name, GIVEN[name], values[name])
                   for name in step.inputs if name in GIVEN.keys() - seen]
        seen |= set(step.inputs)
        arrays += [entry("forward", step.section, "working", name, formula, value(values, None))
                   for name, formula, value in WORKING.get(step.name, ())]
        arrays.append(entry("forward", step.section, "step", step.name, step.formula, values[step.name], step.why))
    return arrays


def backward_arrays(values, grads):
    """The gradients upward; each belongs to the first step that uses its array, whose pullback completes it."""
    arrays = []
    for name, (formula, why) in GRADIENTS.items():
        section = next(step.section for step in STEPS if name in step.inputs)
        arrays += [entry("backward", section, "working", short, text, value(values, grads))
                   for short, text, value in WORKING.get("d" + name, ())]
        slopes = differences(values, name)
        arrays.append(entry("backward", section, "step", "d" + name, formula, grads[name], why, slopes))
    return arrays


def render(record):
    """Lay out a record of `explain` as text, 80 columns wide."""
    T, d = record["T"], record["d"]
    lines = [f"One head of attention on paper: T = {T}, d = {d}, seed {record['seed']}", "", *wrap(
        "T bits, tokens of width d. Vectors are written as rows, ^T transposes, * multiplies entry by entry. All "
        "digits are kept and 4 decimals are shown: recomputed from what is shown, the last one may differ.")]
    part = section = None
    for array in record["arrays"]:
        if array["part"] != part:
            part, section = array["part"], None
            lines += ["", "", *TITLES[part](record)]
        if array["section"] != section:
            section = array["section"]
            lines += ["", f"{section} {'-' * (WIDTH - 1 - len(section))}"]
        lines += ["", *show(array)]
    pairs = [(a["values"], a["differences"]) for a in record["arrays"] if a["differences"] is not None]
    worst = max(np.abs(np.subtract(*pair)).max() for pair in pairs)
    return "\n".join([
        *lines, "", "", "Checks " + "-" * (WIDTH - 7), "",
        *wrap(f"Every gradient is within {worst:.0e} of its differences."), "",
        *wrap("minitf.attention(q, X, X, scale=1) returns c, and its pullback at dc returns dq and both parts of dX: "
              f"within {record['attention_difference']:.0e} of the above."), "",
        *wrap(f"A gradient points uphill. Take {record['rate']:g} times each from {', '.join(PARAMETERS)}, "
              f"and the loss goes from {record['loss']:.4f} to {record['loss_after']:.4f}.")])


def wrap(text, indent=""):
    """Break a sentence into lines."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def show(array):
    """The lines of one array: its formula and shape, why, its values, and its differences beside or below them."""
    ndim, shape = len(array["shape"]), " x ".join(map(str, array["shape"])) or "number"
    title = array["formula"] if array["kind"] != "given" else f"{array['name']}    {array['formula']}"
    lines = [f"{title}{shape:>{WIDTH - len(title)}}", *wrap(array["why"], MARGIN)]
    digits = 4 if array["kind"] != "given" else 0 if array["name"] in ("b", "label") else 1
    block = grid(array["values"], ndim, digits)
    if array["differences"] is None:
        return lines + [MARGIN + row for row in block]
    moved = grid(array["differences"], ndim, digits)
    if len(block) > 1 and len(block[0]) + len(moved[0]) + len(MARGIN) + 10 <= WIDTH:
        gaps = [MOVED] + [MARGIN] * (len(block) - 1)
        return lines + [f"{MARGIN}{row}{gap:>10}{other}" for row, gap, other in zip(block, gaps, moved)]
    return lines + [MARGIN + row for row in block] + [MOVED + moved[0]] + [MARGIN + row for row in moved[1:]]


def grid(values, ndim, digits):
    """Lay out numbers in aligned columns, one line a row."""
    rows = [[values]] if ndim == 0 else [values] if ndim == 1 else values
    text = [[f"{round(x, digits) + 0.0:.{digits}f}" for x in row] for row in rows]
    width = max(len(x) for row in text for x in row)
    gap = "  " if len(MARGIN) + len(text[0]) * (width + 2) - 2 <= WIDTH else " "
    return [gap.join(f"{x:>{width}}" for x in row) for row in text]
