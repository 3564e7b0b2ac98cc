"""A worked example: one small head of attention forward and backward, every number on paper.

    print(render(explain(T=3, d=2, seed=0)))

The head is the tf-scalar of `model`: the [CLS] token asks, T bits answer, one logit comes out.
STEPS is the forward pass, one op a line; the backward pass is the same list read upward. Each
gradient is set beside the number that needs no derivative: how much the loss changes when an entry
is moved a little. Source: Edelman et al. 2022, section 3.
"""
import math

import numpy as np

from minitf.checks import integer
from minitf.ops import attention
from minitf.trust.explain.layout import CAPTIONS, entry
from minitf.trust.explain.words import GIVEN, GRADIENTS, PARAMETERS, STEPS, WORKING

NUDGE = 1e-5            # how far an entry is moved to either side for a difference
RATE = 0.01             # of the step of gradient descent at the end


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
    values, grads = example(np.random.default_rng(seed), T, d)
    stepped = values | {name: values[name] - RATE * grads[name] for name in PARAMETERS}
    after, off = float(forward(stepped)[0]["loss"]), attention_difference(values, grads)
    text = {"title": f"One head of attention on paper: T = {T}, d = {d}, seed {seed}"}
    return {"T": T, "d": d, "seed": seed, "loss": float(values["loss"]),
            "arrays": forward_arrays(values) + backward_arrays(values, grads),
            "attention_difference": off, "nudge": NUDGE, "rate": RATE, "loss_after": after,
            "text": text | CAPTIONS["head"], "parameters": list(PARAMETERS),
            "closing": closing(float(values["loss"]), after, off)}


def closing(before, after, off):
    """The sentences under the last array."""
    same = f"within {off:.0e} of" if off else "to the last digit as"
    return ["minitf.attention(q, X, X, scale=1) returns c, and its pullback at dc returns dq and "
            f"both parts of dX: {same} the above.",
            f"A gradient points uphill. Take {RATE:g} times each from {', '.join(PARAMETERS)}, and "
            f"the loss goes from {before:.4f} to {after:.4f}."]


def example(rng, T, d):
    """Draw until the numbers are worth following: one entry of h is switched off and one is not,
    no weight takes nearly all, the weights differ, every number is below 10 and every gradient
    shows in 4 decimals. No parameter is 0."""
    shapes = {"E": (2, d), "P": (T, d), "x_cls": (d,), "W_QK": (d, d), "W_V": (d, 2), "W_C": (2, 2),
              "w": (2,)}
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
        shown = all(np.abs(grads[name]).max() > 0.01 for name in GRADIENTS)
        if bent and spread and short and shown:
            return values, grads


def forward(given, held=None):
    """Run the steps; return all values, and a list of (step, pullback). `held` is kept as given."""
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
    """(loss(x + NUDGE) - loss(x - NUDGE)) / (2 NUDGE) for every entry x of one array."""
    slopes = np.empty(values[name].shape)
    for i in np.ndindex(slopes.shape):
        up, down = np.array(values[name]), np.array(values[name])
        up[i] += NUDGE
        down[i] -= NUDGE
        high, low = (forward(values | {name: x}, held=name)[0]["loss"] for x in (up, down))
        slopes[i] = (high - low) / (up[i] - down[i])
    return slopes


def attention_difference(values, grads):
    """How far c, dq and dX are from what `attention` returns for one query, keys = values = X."""
    out, pullback = attention(values["q"][None], values["X"], values["X"], scale=1)
    dq, dk, dv = pullback(grads["c"][None])
    pairs = (out[0], values["c"]), (dq[0], grads["q"]), (dk + dv, grads["X"])
    return max(float(np.abs(x - y).max()) for x, y in pairs)


def forward_arrays(values):
    """What each step is given and has not had before, the numbers on the way, and what it makes."""
    arrays, seen = [], set()
    for step in STEPS:
        arrays += [entry("forward", step.section, "given", name, GIVEN[name], values[name])
                   for name in step.inputs if name in GIVEN.keys() - seen]
        seen |= set(step.inputs)
        arrays += [entry("forward", step.section, "working", name, formula, value(values, None),
                         rule=rule) for name, formula, value, rule in WORKING.get(step.name, ())]
        arrays.append(entry("forward", step.section, "step", step.name, step.formula,
                            values[step.name], step.why, rule=step.rule))
    return arrays


def backward_arrays(values, grads):
    """The gradients upward; each belongs to the first step that uses its array."""
    arrays = []
    for name, (formula, why, rule) in GRADIENTS.items():
        section = next(step.section for step in STEPS if name in step.inputs)
        arrays += [entry("backward", section, "working", short, text, value(values, grads),
                         rule=way)
                   for short, text, value, way in WORKING.get("d" + name, ())]
        arrays.append(entry("backward", section, "step", "d" + name, formula, grads[name], why,
                            differences(values, name), rule))
    return arrays


