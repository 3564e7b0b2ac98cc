"""A layer of the paper: what follows its attention, row by row; three ways to combine the heads.

    y = Pi([g +] o),    o one of the three formulas: `sum_pre`, `sum_out`, `concat`
"""
import numpy as np

from minitf.model.rows import normed, plus
from minitf.ops import ACTIVATIONS, linear


def sum_pre(p, out, model):
    """o = sigma(Pi(sum_h out_h)) W_C:      out (..., H, d_v) -> o (..., d_o).

    pullback(do) -> dout and a dict; so for the two others.
    """
    n, back_n = normed(p, out.sum(axis=-2), model, "_1")
    a, back_a = ACTIVATIONS[model.activation](n)
    o, back_o = linear(a, mixer(p, model))

    def pullback(do):
        da, dW_C = back_o(do)
        dsum, grads = back_n(back_a(da))
        return np.broadcast_to(dsum[..., None, :], out.shape), grads | {"W_C": dW_C}

    return o, pullback


def sum_out(p, out, model):
    """o = sum_h sigma(Pi(out_h)) W_C,h, where W_C holds the W_C,h one below the other."""
    n, back_n = normed(p, out, model, "_1")
    a, back_a = ACTIVATIONS[model.activation](n)
    o, back_o = linear(a.reshape(*out.shape[:-2], model.width), mixer(p, model))

    def pullback(do):
        da, dW_C = back_o(do)
        dout, grads = back_n(back_a(da.reshape(out.shape)))
        return dout, grads | {"W_C": dW_C}

    return o, pullback


def concat(p, out, model):
    """o = sigma(Pi([out_1 .. out_H]) W_C)."""
    n, back_n = normed(p, out.reshape(*out.shape[:-2], model.width), model, "_1")
    h, back_h = linear(n, mixer(p, model))
    o, back_o = ACTIVATIONS[model.activation](h)

    def pullback(do):
        dn, dW_C = back_h(back_o(do))
        dout, grads = back_n(dn)
        return dout.reshape(out.shape), grads | {"W_C": dW_C}

    return o, pullback


def mixer(p, model):
    """W_C, or the identity where the model has none."""
    return p["W_C"] if model.d_o else np.eye(model.width, dtype=p["w"].dtype)


COMBINED = {"sum-pre": sum_pre, "sum-out": sum_out, "concat": concat}


def mix_tf(p, out, g, model):
    """The rest of a layer of the paper:  y = Pi([g +] o). pullback(dy) -> dout, dg, a dict."""
    o, back_o = COMBINED[model.heads](p, out, model)
    r, back_r = plus(g, o, model)
    y, back_y = normed(p, r, model, "_2")

    def pullback(dy):
        dr, grads_y = back_y(dy)
        dg, do = back_r(dr)
        dout, grads = back_o(do)
        return dout, dg, grads | grads_y

    return y, pullback
