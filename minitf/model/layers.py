"""Tokens through L layers: every row attends, then each row goes on alone. Only [CLS] is read out.

    A_h = softmax(scale g W_QK,h^T g^T),   out_h = A_h g W_V,h,   g <- mix(out, g)
    logit = g[0] . w + c

Rows: m examples x (T+1) tokens, [CLS] first; `rows` has the norms, `tf` and `gpt` what follows the
attention. Of the last layer only the row of [CLS] is computed. Every function returns its pullback;
gradients of parameters come in a dict.
Source: Edelman, Goel, Kakade, Zhang 2022, sections 3 and 4.
"""
import numpy as np

from minitf.model.gpt import mix_gpt
from minitf.model.rows import before, layer_of, named, normed, per_head, queries
from minitf.model.tf import mix_tf
from minitf.ops import add, attention, linear

MIX = {"tf": mix_tf, "gpt": mix_gpt}


def queries_keys(p, z, n, model):
    """Queries of rows z (m, Tq, d), keys of rows n (m, Tk, d), heads on axis 1.

    pullback(dq, dk) -> dz, dn, a dict.
    """
    if model.query == "factored":
        return factored(p, z, n, model)
    k = np.broadcast_to(n[:, None], (len(n), model.H, *n.shape[1:]))
    if model.query == "q":
        q, back_q = p["q"][:, None], lambda dq: (np.zeros_like(z), {"q": dq[:, 0]})
    else:
        y, back_y = per_head(z, p["W_QK"].swapaxes(1, 2))
        q = y.swapaxes(1, 2)

        def back_q(dq):
            dz, dW = back_y(dq.swapaxes(1, 2))
            return dz, {"W_QK": dW.swapaxes(1, 2)}

    def pullback(dq, dk):
        dz, grads = back_q(dq)
        return dz, dk.sum(axis=1), grads

    return q, k, pullback


def factored(p, z, n, model):
    """`queries_keys` from W_Q and W_K."""
    q, back_q = queries(p, z, model)
    k, back_k = per_head(n, p["W_K"])

    def pullback(dq, dk):
        dz, grads = back_q(dq.swapaxes(1, 2))
        dn, dW_K = back_k(dk.swapaxes(1, 2))
        return dz, dn, grads | {"W_K": dW_K}

    return q.swapaxes(1, 2), k.swapaxes(1, 2), pullback


def heads_of(p, z, n, model):
    """Heads (m, Tq, H, d_v) of rows z attending to rows n. pullback(dout) -> dz, dn, a dict."""
    q, k, back_scores = queries_keys(p, z, n, model)
    v, back_v = per_head(n, p["W_V"])
    out, back_attend = attention(q, k, v.swapaxes(1, 2), scale=model.scale)

    def pullback(dout):
        dq, dk, dv = back_attend(dout.swapaxes(1, 2))
        dn_v, dW_V = back_v(dv.swapaxes(1, 2))
        dz, dn, grads = back_scores(dq, dk)
        return dz, dn + dn_v, grads | {"W_V": dW_V}

    return out.swapaxes(1, 2), pullback


def layer(params, g, l, model):
    """One whole layer, rows (m, T+1, d) to rows. pullback(dy) -> dg and a dict of full names."""
    p = layer_of(params, l, model)
    n, back_n = before(p, g, model)
    out, back_heads = heads_of(p, n, n, model)
    y, back_mix = MIX[model.block](p, out, g, model)

    def pullback(dy):
        dout, dg, grads_mix = back_mix(dy)
        dz, dn, grads = back_heads(dout)
        dg_n, grads_n = back_n(dz + dn)
        return dg + dg_n, named(grads_mix | grads | grads_n, l, model)

    return y, pullback


def rows_below(params, g, model):
    """The rows that the last layer gets. pullback(dy) -> dg and a dict."""
    backs = []
    for l in range(model.L - 1):
        g, back = layer(params, g, l, model)
        backs.append(back)

    def pullback(dg):
        grads = {}
        for back in reversed(backs):
            dg, some = back(dg)
            grads |= some
        return dg, grads

    return g, pullback


def cls_heads(params, tokens, model, z=None):
    """Heads (m, H, d_v) of [CLS] in the last layer, and the row g_cls (m, d) that it asked with.

    tokens (m, T+1, d). z (d,) or (m, d) is the query instead of the first row.
    pullback(dout, dg_cls) -> dtokens, dz, a dict.
    """
    p = layer_of(params, model.L - 1, model)
    g, back_g = rows_below(params, tokens, model)
    n, back_n = before(p, g, model)
    query, back_z = n[:, :1], None
    if z is not None:
        query, back_z = add(np.zeros((len(n), 1, 1), n.dtype), z[..., None, :])
    out, back_heads = heads_of(p, query, n, model)

    def pullback(dout, dg_cls):
        dz, dn, grads = back_heads(dout[:, None])
        if z is None:
            dg, grads_n = back_n(first_row(dn, dz[:, 0]))
            dg, dz = first_row(dg, dg_cls), None
        else:
            dg, grads_n = back_n(dn)
            dz = back_z(dz + dg_cls[:, None])[1].reshape(z.shape)
        dtokens, grads_below = back_g(dg)
        return dtokens, dz, named(grads | grads_n, model.L - 1, model) | grads_below

    return out[:, 0], g[:, 0] if z is None else query[:, 0], pullback


def first_row(rows, more):
    """rows (m, T+1, d) with `more` (m, d) added to the first."""
    return np.concatenate([rows[:, :1] + more[:, None], rows[:, 1:]], axis=1)


def readout(params, out, g, model):
    """Logits (m,) from the heads (m, H, d_v) of [CLS] and its row g, (m, d) or (d,).

    pullback(dlogits) -> dout, dg, a dict.
    """
    p = layer_of(params, model.L - 1, model)
    y, back_mix = MIX[model.block](p, out, g, model)
    y, back_last = normed(params, y, model, "") if model.block == "gpt" else (y, lambda y: (y, {}))
    logits, back_logits = linear(y, params["w"][:, None], params["c"][None])

    def pullback(dlogits):
        dy, dw, dc = back_logits(dlogits[:, None])
        dy, grads_last = back_last(dy)
        dout, dg, grads = back_mix(dy)
        grads = named(grads, model.L - 1, model) | grads_last
        return dout, dg, grads | {"w": dw[:, 0], "c": dc[0]}

    return logits[:, 0], pullback
