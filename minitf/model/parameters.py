"""The arrays of a model: their `shapes`, a start for training, the balls they are kept in, and those that are fixed.

    E, P, x_cls       tokens: a symbol's vector, a position's vector, the [CLS] token         (V, d) (T, d) (d,)
    q | W_QK | W_Q, W_K     score of token x for query z:  x . q,   x . W_QK z   or   (W_K^T x) . (W_Q^T z)
                                                                       (H, d)   (H, d, d)   (H, d, d_v) twice
    W_V, W_C          values; what combines the heads                                         (H, d, d_v) (width, d_o)
    w, c              readout at [CLS]:  logit = g . w + c                                                  (d_o,) ()
    b_Q, b_V, b_C     biases of gpt; a key bias would shift all scores of a query alike and change nothing
    W_1, b_1, W_2, b_2      its MLP, and the weights of `mlp`
    gain_i, bias_i    of layer norm i; gain, bias: of the last one

Layer l of several is "l/W_V"; a single layer has no prefix. Source: Edelman, Goel, Kakade, Zhang 2022, section 3.
"""
import math

import numpy as np

from minitf.checks import generator, require
from minitf.projections import Ball, Intersection


def same_shapes(name, params, shapes):
    """Require params to hold just the named shapes, naming the first that is missing, unknown or of another shape."""
    require(set(params) == set(shapes), name, "the arrays " + ", ".join(shapes), ", ".join(params))
    for key, shape in shapes.items():
        require(np.shape(params[key]) == tuple(shape), f"{name}[{key!r}]", f"shape {tuple(shape)}", params[key])


def prefix(l, model):
    """What the names of the arrays of layer l begin with."""
    return f"{l}/" if model.L > 1 else ""


def shapes(model):
    """The name and shape of every trained array of a model, in the order of the forward pass."""
    T, d = model.T, model.d
    found = {}
    if model.positions == "learned" and model.input == "bits" and model.block != "mlp":
        found = {"E": (model.V, d), "P": (T, d), "x_cls": (d,)}
    layer = {"tf": tf_shapes, "gpt": gpt_shapes, "mlp": mlp_shapes}[model.block]
    for l in range(model.L):
        found |= {prefix(l, model) + name: shape for name, shape in layer(model, l).items()}
    if model.block == "gpt" and model.norm == "layer":
        found |= {"gain": (d,), "bias": (d,)}
    return {**found, "w": (model.d_ff if model.block == "mlp" else model.d_o or model.width,), "c": ()}


def query_shapes(model):
    """The arrays that make the scores."""
    H, d = model.H, model.d
    return {"q": {"q": (H, d - 3 if model.values == "bit" else d)}, "combined": {"W_QK": (H, d, d)},
            "factored": {"W_Q": (H, d, model.d_v), "W_K": (H, d, model.d_v)}}[model.query]


def tf_shapes(model, l):
    """The arrays of one layer of the paper."""
    values = {} if model.values == "bit" else {"W_V": (model.H, model.d, model.d_v)}
    row = (model.d_v,) if model.heads != "concat" else (model.width,)
    first = {"gain_1": row, "bias_1": row} if model.norm == "layer" else {}
    mixed = {"W_C": (model.width, model.d_o)} if model.d_o else {}
    end = (model.d_o or model.width,)
    last = {"gain_2": end, "bias_2": end} if model.norm == "layer" else {}
    return {**query_shapes(model), **values, **first, **mixed, **last}


def gpt_shapes(model, l):
    """The arrays of one block of gpt."""
    H, d, d_v, d_ff = model.H, model.d, model.d_v, model.d_ff
    first, second = ({f"gain_{i}": (d,), f"bias_{i}": (d,)} if model.norm == "layer" else {} for i in (1, 2))
    heads = {"W_Q": (H, d, d_v), "b_Q": (H, d_v), "W_K": (H, d, d_v), "W_V": (H, d, d_v), "b_V": (H, d_v)}
    mlp = {**second, "W_1": (d, d_ff), "b_1": (d_ff,), "W_2": (d_ff, d), "b_2": (d,)} if d_ff else {}
    return {**first, **heads, "W_C": (d, d), "b_C": (d,), **mlp}


def mlp_shapes(model, l):
    """The arrays of one hidden layer of mlp."""
    return {"W_1": (model.T if l == 0 else model.d_ff, model.d_ff), "b_1": (model.d_ff,)}


def init_params(rng, model):
    """Draw the starting parameters: normal, E, P, x_cls of standard deviation 1/2, matrices and w 1/sqrt(rows),
    q 3/2/sqrt(d), so that every head attends to positions of its own from the start. Gains 1, biases and c 0. Where
    values are bits: uniform attention, q = 0, for one head, a tenth of the usual q for several; and w = 1."""
    generator("rng", rng)
    params = {}
    for name, shape in shapes(model).items():
        short = name.rpartition("/")[2]
        rows = shape[0] if short == "w" else shape[-2] if len(shape) > 1 else 4
        scale = 1.5 / math.sqrt(model.d) if short == "q" else 0.5 if short in ("E", "P") else 1 / math.sqrt(rows)
        constant = 1.0 if short.startswith("gain") else 0.0 if short[0] in "bc" else None
        value = rng.standard_normal(shape)
        params[name] = scale * value if constant is None else np.full(shape, constant)
    if model.values == "bit":
        spread = 0.1 if model.H > 1 else 0.0        # heads that start equal would stay equal
        params |= {"q": spread * params["q"], "w": np.ones(params["w"].shape)}
    return params


def constraints(model):
    """The sets of the class, {name: set}, none where every bound is infinite. Every head has balls of its own:

        q           ||q||_1 <= radius, ||q||_2 <= C_2: for a unit x_cls those of W_QK = q x_cls^T
        W_QK        ||W_QK^T||_{2,1} <= radius (the sum of its row norms), ||W_QK||_2 <= C_2
        W_Q, W_K    ||W_Q||_2 <= b, ||W_K^T||_{2,1} <= radius/b, ||W_K||_2 <= C_2/b with b^2 = min(radius, C_2), which
                    keeps W_K W_Q^T in the balls of W_QK
        W_V, W_C    ||.||_{2,1} <= C_21 (the sum of column norms), ||.||_2 <= C_2
        w, c        |w_j|, |c| <= bound,  ||w||_2 <= B_w
    """
    radius, C_2, C_21 = model.radius, model.C_2, model.C_21
    b = math.sqrt(min(radius, C_2))
    over = b if b < math.inf else 1.0
    balls = {
        "q": [Ball("l1", radius, axes=1), Ball("l2", C_2, axes=1)],
        "W_QK": [Ball("l21t", radius), Ball("spectral", C_2)],
        "W_Q": [Ball("spectral", b)],
        "W_K": [Ball("l21t", radius / over), Ball("spectral", C_2 / over)],
        "W_V": [Ball("l21", C_21), Ball("spectral", C_2)],
        "W_C": [Ball("l21", C_21), Ball("spectral", C_2)],
        "w": [Ball("linf", model.bound), Ball("l2", model.B_w)],
        "c": [Ball("linf", model.bound)],
    }
    sets = {}
    for name in shapes(model):
        finite = [ball for ball in balls.get(name.rpartition("/")[2], []) if ball.radius < math.inf]
        if finite:
            sets[name] = finite[0] if len(finite) == 1 else Intersection(finite)
    return sets
