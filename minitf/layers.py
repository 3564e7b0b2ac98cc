"""What a layer does to every row alone: norms, projections of heads, and the rest of a layer after its attention.

tf (the paper; Pi is the norm between layers: rows onto the unit ball, layer norm, or nothing)
    sum-pre   g <- Pi([g +] sigma(Pi(sum_h A_h g W_V,h)) W_C)
    sum-out   g <- Pi([g +] sum_h sigma(Pi(A_h g W_V,h)) W_C,h)
    concat    g <- Pi([g +] sigma(Pi([A_1 g W_V,1 .. A_H g W_V,H]) W_C))
gpt
    n = Pi(g),  g <- [g +] [A_1 n W_V,1 + b_V,1 ..] W_C + b_C
    n = Pi(g),  g <- [g +] sigma(n W_1 + b_1) W_2 + b_2,        and Pi once more at the end
both
    A_h = softmax(scale g W_QK,h^T g^T),  logit = g[0] . w + c

Every function returns its pullback; gradients of parameters come in a dict, which callers add or merge.
Source: Edelman, Goel, Kakade, Zhang 2022, sections 3 and 4; Radford et al. 2019 (gpt).
"""
import numpy as np

from minitf.arrays import prefix
from minitf.ops import ACTIVATIONS, add, identity, layer_norm, linear, unit_ball


def layer_of(params, l, model):
    """The arrays of layer l under their short names."""
    start = prefix(l, model)
    return {name[len(start):]: value for name, value in params.items() if name.startswith(start)}


def named(grads, l, model):
    """Gradients of layer l under their full names."""
    return {prefix(l, model) + name: g for name, g in grads.items()}


def per_head(x, W):
    """A matrix for every head:  y_h = x W_h.      x (..., d), W (H, d, n) -> y (..., H, n); pullback(dy) -> dx, dW."""
    H, d, n = W.shape
    y, back = linear(x, W.transpose(1, 0, 2).reshape(d, H * n))

    def pullback(dy):
        dx, dW = back(dy.reshape(*dy.shape[:-2], H * n))
        return dx, dW.reshape(d, H, n).transpose(1, 0, 2)

    return y.reshape(*x.shape[:-1], H, n), pullback


def normed(p, x, model, i):
    """Norm i of the rows of x: layer norm with gain_i and bias_i, projection onto the unit ball, or nothing.

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


def unmoved(g):
    """The gradient of rows that a layer without residual leaves out; None for none."""
    return None if g is None else np.zeros_like(g)


def mix(p, out, g, model):
    """The rest of a layer, row by row: heads (..., H, d_v) and the rows (..., d) that came in -> (..., d_o).

    pullback(dy) -> dout, dg, a dict.
    """
    return (mix_gpt if model.block == "gpt" else mix_tf)(p, out, g, model)


def mix_tf(p, out, g, model):
    """mix for the layer of the paper."""
    concat, sigma = model.heads == "concat", ACTIVATIONS[model.activation]
    flat = (*out.shape[:-2], model.width)
    pooled = out.sum(axis=-2) if model.heads == "sum-pre" else out.reshape(flat) if concat else out
    n, back_n = normed(p, pooled, model, "_1")
    a, back_a = (n, None) if concat else sigma(n)
    o, back_o = linear(a.reshape(flat), p["W_C"] if model.d_o else np.eye(model.width, dtype=p["w"].dtype))
    o, back_a = sigma(o) if concat else (o, back_a)
    r, back_r = add(g, o) if model.residual else (o, lambda dr: (unmoved(g), dr))
    y, back_y = normed(p, r, model, "_2")

    def pullback(dy):
        dr, grads_2 = back_y(dy)
        dg, do = back_r(dr)
        da, dW_C = back_o(back_a(do) if concat else do)
        da = da.reshape(n.shape)
        dpooled, grads_1 = back_n(da if concat else back_a(da))
        dout = np.broadcast_to(dpooled[..., None, :], out.shape) if model.heads == "sum-pre" else dpooled
        return dout.reshape(out.shape), dg, grads_1 | grads_2 | {"W_C": dW_C}

    return y, pullback


def mix_gpt(p, out, g, model):
    """mix for a block of gpt."""
    values, back_b_V = add(out, p["b_V"])
    o, back_o = linear(values.reshape(*out.shape[:-2], model.width), p["W_C"], p["b_C"])
    r, back_r = add(g, o) if model.residual else (o, lambda dr: (unmoved(g), dr))
    y, back_y = mlp_block(p, r, model) if model.d_ff else (r, lambda dr: (dr, {}))

    def pullback(dy):
        dr, grads = back_y(dy)
        dg, do = back_r(dr)
        dvalues, dW_C, db_C = back_o(do)
        dout, db_V = back_b_V(dvalues.reshape(out.shape))
        return dout, dg, grads | {"W_C": dW_C, "b_C": db_C, "b_V": db_V}

    return y, pullback


def mlp_block(p, r, model):
    """The MLP of gpt:  [r +] sigma(Pi(r) W_1 + b_1) W_2 + b_2. pullback(dy) -> dr and a dict."""
    n, back_n = normed(p, r, model, "_2")
    h, back_h = linear(n, p["W_1"], p["b_1"])
    a, back_a = ACTIVATIONS[model.activation](h)
    o, back_o = linear(a, p["W_2"], p["b_2"])
    y, back_y = add(r, o) if model.residual else (o, lambda dy: (unmoved(r), dy))

    def pullback(dy):
        dr, do = back_y(dy)
        da, dW_2, db_2 = back_o(do)
        dn, dW_1, db_1 = back_h(back_a(da))
        dr_n, grads = back_n(dn)
        return dr + dr_n, grads | {"W_1": dW_1, "b_1": db_1, "W_2": dW_2, "b_2": db_2}

    return y, pullback


def mlp(params, X, model):
    """Logits (m,) of a multi-layer perceptron on 2 X - 1. pullback(dlogits) -> a dict."""
    x, backs = 2 * X.astype(params["w"].real.dtype) - 1, []
    for l in range(model.L):
        p = layer_of(params, l, model)
        h, back_h = linear(x, p["W_1"], p["b_1"])
        x, back_x = ACTIVATIONS[model.activation](h)
        backs.append((l, back_h, back_x))
    logits, back_logits = linear(x, params["w"][:, None], params["c"][None])

    def pullback(dlogits):
        dx, dw, dc = back_logits(dlogits[:, None])
        grads = {"w": dw[:, 0], "c": dc[0]}
        for l, back_h, back_x in reversed(backs):
            dx, dW_1, db_1 = back_h(back_x(dx))
            grads |= named({"W_1": dW_1, "b_1": db_1}, l, model)
        return grads

    return logits[:, 0], pullback
