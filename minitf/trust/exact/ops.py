"""Every operator of the golden vectors as a formula on the tape of `exact`: forward only,
derivatives come from there.

    twin = OPS["attention"]({"q": Var, "k": Var, "v": Var, "mask": array}, **options)

A float argument is a Var; symbols, labels and masks are arrays. Formulas of whole models:
`exact_models`.
"""
from typing import NamedTuple

import numpy as np

from minitf.trust.exact import sets as exact_sets
from minitf.trust.exact.tape import Var, exp, join, lift, log, number, sqrt, tanh


class Twin(NamedTuple):
    """What an operator gives: outputs {name: Var}, saved {name: array of mpmath numbers}, score:
    the largest |score| before a softmax; zeros {name: booleans}: where an output, saved array or
    gradient is 0 by convention."""
    outputs: dict
    saved: dict = {}
    score: float = 0.0
    zeros: dict = {}


def one(f, name="y"):
    """The twin of an operator of one output and nothing to save, from a formula f(*arguments,
    **options)."""
    return lambda a, **options: Twin({name: f(*a.values(), **options)})


def relu(x):
    return x * (x.value > 0).astype(int)


def gelu(x):
    import mpmath
    u = (x + x * x * x * (number(44715) / 1_000_000)) * mpmath.sqrt(2 / mpmath.pi)
    return x * (tanh(u) + 1) / 2


def cap(x, softcap):
    return tanh(x / number(softcap)) * number(softcap)


def linear(x, W, b=None):
    y = x.reshape(-1, W.shape[0]) @ W
    return (y if b is None else y + b).reshape(*x.shape[:-1], W.shape[1])


def layer_norm(a, eps=1e-5):
    x, d = a["x"], a["x"].shape[-1]
    x = x - x.sum() / d
    s = sqrt((x * x).sum() / d + number(eps))
    n = x / s
    return Twin({"y": n * a["gain"] + a["bias"]}, {"n": n.value, "s": s.value})


def unit_ball(a):
    x = a["x"]
    square = (x * x).sum()
    outside = (square.value > 1).astype(int)
    length = sqrt(square * outside + (1 - outside))
    return Twin({"y": x / length}, {"length": length.value})


def logistic(logits, y):
    """max(z, 0) - y z + log(1 + exp(-|z|))."""
    size = logits * np.where(logits.value < 0, -1, 1)
    return relu(logits) - logits * lift(y) + log(exp(-size) + 1)


def softmax(S, allowed=True, sink=None):
    """Weights of the rows of S over the pairs allowed, their log-sum-exp (-inf for none) as Vars,
    and the largest |score|. sink: one more score, (..., 1), that takes weight."""
    allowed, least = np.broadcast_to(allowed, S.shape), number(-np.inf)
    top = np.where(allowed, S.value, least).max(axis=-1, keepdims=True, initial=least)
    empty = np.equal(top, least)
    shift = np.where(empty, 0, top)
    e = exp(S - shift) * allowed.astype(int)
    total = e.sum() + (empty.astype(int) if sink is None else exp(sink - shift))
    lse = log(total) + (top if sink is None else shift)
    return e / total, lse.reshape(*lse.shape[:-1]), largest(S.value[allowed])


def largest(x):
    """The largest absolute value, as a float; 0 of nothing."""
    return float(abs(x).max(initial=0))


def softmax_op(a):
    A, _, score = softmax(a["S"], allowed := a["S"].value > number(-np.inf))
    return Twin({"A": A}, {}, score, {"A": ~allowed, "dS": ~allowed})


def mean_bit(A, X):
    return A @ lift(X.T)


def cls_head(a):
    """Scores and values of every example looked up, [CLS] before them, and plain attention for each
    head."""
    s, v, X = a["s"], a["v"], a["X"]
    (H, _, T, dv), m = v.shape, len(X)
    look = (slice(None), X, np.arange(T))
    S = join([a["s_cls"].reshape(H, 1, 1) + np.zeros((H, m, 1), int), s[look]], 2)
    values = join([a["v_cls"].reshape(H, 1, 1, dv) + np.zeros((H, m, 1, dv), int), v[look]], 2)
    A, lse, score = softmax(S)
    lse = lse.value
    out = (A.reshape(H, m, 1, T + 1) @ values).reshape(H, m, dv).swap(0, 1)
    return Twin({"out": out}, {"A": A.value.swapaxes(0, 1), "lse": lse.T}, score)


def nearest_point(onto):
    """The twin of a projection."""
    return lambda a, **options: Twin({"p": Var(onto(a["x"].value, **options))})


def projection(a, **options):
    """The twin of a ball's projection with its derivative, which is symmetric."""
    x = a["x"]
    p = exact_sets.ball(x.value, **options)
    return Twin({"p": Var(p, (x, exact_sets.derivative(x.value, **options)))})


OPS = {"add": one(lambda a, b: a + b), "linear": one(linear),
       "embed": one(lambda index, E: E[index]),
       "softmax": softmax_op, "cap": one(cap), "layer_norm": layer_norm, "unit_ball": unit_ball,
       "identity": one(lambda x: x * 1), "relu": one(relu), "gelu": one(gelu),
       "logistic": one(logistic, "loss"),
       "mean_bit": one(lambda A, X: mean_bit(A, X).swap(), "r"), "cls_head": cls_head,

       "Ball": nearest_point(exact_sets.ball), "Simplex": nearest_point(exact_sets.simplex),
       "Intersection": nearest_point(exact_sets.intersection), "projection": projection,
       "lmo": lambda a, **options: Twin({"s": Var(exact_sets.furthest(a["g"].value, **options))})}
ACTIVATIONS = {"identity": lambda x: x, "relu": relu, "gelu": gelu}
