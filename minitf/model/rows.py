"""What a layer does to every row alone: norms, queries, a matrix for every head.

tf (the paper; Pi is the norm between layers: rows onto the unit ball, layer norm, or nothing)
    sum-pre   g <- Pi([g +] sigma(Pi(sum_h A_h g W_V,h)) W_C)
    sum-out   g <- Pi([g +] sum_h sigma(Pi(A_h g W_V,h)) W_C,h)
    concat    g <- Pi([g +] sigma(Pi([A_1 g W_V,1 .. A_H g W_V,H]) W_C))
gpt
    n = Pi(g),  g <- [g +] [A_1 n W_V,1 + b_V,1 ..] W_C + b_C
    n = Pi(g),  g <- [g +] sigma(n W_1 + b_1) W_2 + b_2,        and Pi once more at the end
both
    A_h = softmax(scale g W_QK,h^T g^T),  logit = g[0] . w + c

Every function returns its pullback; gradients of parameters come in a dict, which callers merge.
Source: Edelman, Goel, Kakade, Zhang 2022, sections 3 and 4; Radford et al. 2019 (gpt).
"""
import numpy as np

from minitf.model.parameters import prefix
from minitf.ops import add, identity, layer_norm, linear, unit_ball


def layer_of(params, l, model):
    """The arrays of layer l under their short names."""
    start = prefix(l, model)
    return {name[len(start):]: value for name, value in params.items() if name.startswith(start)}


def named(grads, l, model):
    """Gradients of layer l under their full names."""
    return {prefix(l, model) + name: g for name, g in grads.items()}


def per_head(x, W):
    """A matrix for every head:  y_h = x W_h.

    x (..., d), W (H, d, n) -> y (..., H, n). pullback(dy) -> dx, dW.
    """
    H, d, n = W.shape
    y, back = linear(x, W.transpose(1, 0, 2).reshape(d, H * n))

    def pullback(dy):
        dx, dW = back(dy.reshape(*dy.shape[:-2], H * n))
        return dx, dW.reshape(d, H, n).transpose(1, 0, 2)

    return y.reshape(*x.shape[:-1], H, n), pullback


def normed(p, x, model, i):
    """Norm i of the rows of x: layer norm with gain_i and bias_i, onto the unit ball, or nothing.

    pullback(dy) -> dx and a dict. i = "" is the last norm of gpt.
    """
    if model.norm != "layer":
        y, back = (unit_ball if model.norm == "ball" else identity)(x)
        return y, lambda dy: (back(dy), {})
    gain, bias = f"gain{i}", f"bias{i}"
    y, back = layer_norm(x, p[gain], p[bias])

    def pullback(dy):
        dx, dgain, dbias = back(dy)
        return dx, {gain: dgain, bias: dbias}

    return y, pullback


def before(p, x, model):
    """What a layer does to its tokens first: the norm of gpt. pullback(dy) -> dx and a dict."""
    return normed(p, x, model, "_1") if model.block == "gpt" else (x, lambda dy: (dy, {}))


def queries(p, z, model):
    """W_Q^T z + b_Q for every head:  z (..., d) -> (..., H, d_v). pullback(dy) -> dz and a dict."""
    y, back = per_head(z, p["W_Q"])
    y, back_bias = add(y, p["b_Q"] if "b_Q" in p else np.zeros((1, 1), z.dtype))

    def pullback(dy):
        dy, db_Q = back_bias(dy)
        dz, dW_Q = back(dy)
        return dz, {"W_Q": dW_Q, "b_Q": db_Q}

    return y, pullback


def plus(g, o, model):
    """[g +] o, with what came in where the model has residuals. pullback(dr) -> dg, do."""
    if model.residual:
        return add(g, o)
    return o, lambda dr: (None if g is None else np.zeros_like(g), dr)
