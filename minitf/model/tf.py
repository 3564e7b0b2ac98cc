"""A layer of the paper: what follows its attention, row by row."""
import numpy as np

from minitf.model.rows import normed, unmoved
from minitf.ops import ACTIVATIONS, add, linear


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
