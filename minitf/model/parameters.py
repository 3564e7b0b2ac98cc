"""The arrays of a model: their `shapes`, a start for training, the balls they are kept in.

    E, P, x_cls     a symbol's vector, a position's, the [CLS] token    (V, d) (T, d) (d,)
    q               score of token x for query z:  x . q                (H, d)
    | W_QK            or  x . W_QK z                                    (H, d, d)
    | W_Q, W_K        or  (W_K^T x) . (W_Q^T z)                         (H, d, d_v) twice
    W_V, W_C        values; what combines the heads                     (H, d, d_v) (width, d_o)
    w, c            readout at [CLS]:  logit = g . w + c                (d_o,) ()
    b_Q, b_V, b_C   biases of gpt; a key bias would shift all scores of a query alike
    W_1, b_1, W_2, b_2  its MLP, and the weights of `mlp`
    gain_i, bias_i  of layer norm i; gain, bias: of the last one

Layer l of several is "l/W_V"; a single layer has no prefix.
Source: Edelman, Goel, Kakade, Zhang 2022, section 3.
"""
import math

import numpy as np

from minitf.checks import checked, require
from minitf.model.config import ModelConfig
from minitf.projections import Ball, Intersection


def same_shapes(name, params, shapes):
    """Require params to hold just the named shapes; the first that does not fit is named."""
    names = ", ".join(map(str, params))
    require(set(params) == set(shapes), name, "the arrays " + ", ".join(shapes), names)
    for key, shape in shapes.items():
        fits = np.shape(params[key]) == tuple(shape)
        require(fits, f"{name}[{key!r}]", f"shape {tuple(shape)}", params[key])


def prefix(l, model):
    """What the names of the arrays of layer l begin with."""
    return f"{l}/" if model.L > 1 else ""


def shapes(model):
    """The name and shape of every trained array of a model, in the order of the forward pass."""
    T, d, found = model.T, model.d, {}
    if model.positions == "learned" and model.input == "bits" and model.block != "mlp":
        found = {"E": (model.V, d), "P": (T, d), "x_cls": (d,)}
    layer = {"tf": tf_shapes, "gpt": gpt_shapes, "mlp": mlp_shapes}[model.block]
    for l in range(model.L):
        found |= {prefix(l, model) + name: shape for name, shape in layer(model, l).items()}
    if model.block == "gpt" and model.norm == "layer":
        found |= {"gain": (d,), "bias": (d,)}
    end = model.d_ff if model.block == "mlp" else model.d_o or model.width
    return {**found, "w": (end,), "c": ()}


def query_shapes(model):
    """The arrays that make the scores."""
    H, d, d_v = model.H, model.d, model.d_v
    return {
        "q": {"q": (H, d - 3 if model.values == "bit" else d)},
        "combined": {"W_QK": (H, d, d)},
        "factored": {"W_Q": (H, d, d_v), "W_K": (H, d, d_v)},
    }[model.query]


def norm_shapes(model, i, width):
    """The gain and bias of layer norm i, where there is one."""
    return {f"gain{i}": (width,), f"bias{i}": (width,)} if model.norm == "layer" else {}


def tf_shapes(model, l):
    """The arrays of one layer of the paper."""
    values = {} if model.values == "bit" else {"W_V": (model.H, model.d, model.d_v)}
    mixed = {"W_C": (model.width, model.d_o)} if model.d_o else {}
    return {
        **query_shapes(model),
        **values,
        **norm_shapes(model, "_1", model.width if model.heads == "concat" else model.d_v),
        **mixed,
        **norm_shapes(model, "_2", model.d_o or model.width),
    }


def gpt_shapes(model, l):
    """The arrays of one block of gpt."""
    d, d_ff, matrix, row = model.d, model.d_ff, (model.H, model.d, model.d_v), (model.H, model.d_v)
    mlp = {
        **norm_shapes(model, "_2", d),
        "W_1": (d, d_ff), "b_1": (d_ff,),
        "W_2": (d_ff, d), "b_2": (d,),
    }
    return {
        **norm_shapes(model, "_1", d),
        "W_Q": matrix, "b_Q": row,
        "W_K": matrix,
        "W_V": matrix, "b_V": row,
        "W_C": (d, d), "b_C": (d,),
        **(mlp if d_ff else {}),
    }


def mlp_shapes(model, l):
    """The arrays of one hidden layer of mlp."""
    return {"W_1": (model.T if l == 0 else model.d_ff, model.d_ff), "b_1": (model.d_ff,)}


@checked
def init_params(rng: np.random.Generator, model: ModelConfig):
    """Draw the starting parameters.

    Normal numbers: E, P, x_cls with standard deviation 1/2; matrices and w with 1/sqrt(rows); q
    with 3/2/sqrt(d), so that every head attends to positions of its own from the start. Gains are
    1, biases and c are 0. Where values are bits, w = 1 and a single head starts with uniform
    attention, q = 0; several start with a tenth of the usual q, as equal heads would stay equal.
    """
    params = {}
    largest = max(map(math.prod, shapes(model).values()))
    require(largest < 2 ** 56, "model", "arrays that a memory can hold", model)
    for name, shape in shapes(model).items():
        short = name.rpartition("/")[2]
        rows = shape[0] if short == "w" else shape[-2] if len(shape) > 1 else 4
        scale = {"q": 1.5 / math.sqrt(model.d), "E": 0.5, "P": 0.5}.get(short, 1 / math.sqrt(rows))
        params[name] = scale * rng.standard_normal(shape)
        if short.startswith("gain"):
            params[name] = np.ones(shape)
        elif short[0] in "bc":
            params[name] = np.zeros(shape)
    if model.values == "bit":
        params["q"] = params["q"] * (0.1 if model.H > 1 else 0.0)
        params["w"] = np.ones(params["w"].shape)
    return params


@checked
def constraints(model: ModelConfig):
    """The sets of the class, {name: set}, none where every bound is infinite.

    Every head has balls of its own:

        q           ||q||_1 <= radius, ||q||_2 <= C_2: for a unit x_cls those of W_QK = q x_cls^T
        W_QK        ||W_QK^T||_{2,1} <= radius (the sum of its row norms), ||W_QK||_2 <= C_2
        W_Q, W_K    ||W_Q||_2 <= b, ||W_K^T||_{2,1} <= radius/b, ||W_K||_2 <= C_2/b with
                    b^2 = min(radius, C_2), which keeps W_K W_Q^T in the balls of W_QK
        W_V, W_C    ||.||_{2,1} <= C_21 (the sum of column norms), ||.||_2 <= C_2
        w, c        |w_j|, |c| <= bound,  ||w||_2 <= B_w
    """
    radius, C_2 = model.radius, model.C_2
    b = math.sqrt(min(radius, C_2))
    over = b if b < math.inf else 1.0
    column_balls = [Ball("l21", model.C_21), Ball("spectral", C_2)]
    balls = {
        "q": [Ball("l1", radius, axes=1), Ball("l2", C_2, axes=1)],
        "W_QK": [Ball("l21t", radius), Ball("spectral", C_2)],
        "W_Q": [Ball("spectral", b)],
        "W_K": [Ball("l21t", radius / over), Ball("spectral", C_2 / over)],
        "W_V": column_balls,
        "W_C": column_balls,
        "w": [Ball("linf", model.bound), Ball("l2", model.B_w)],
        "c": [Ball("linf", model.bound)],
    }
    sets = {}
    for name in shapes(model):
        short = name.rpartition("/")[2]
        finite = [ball for ball in balls.get(short, []) if ball.radius < math.inf]
        if finite:
            sets[name] = finite[0] if len(finite) == 1 else Intersection(finite)
    return sets
