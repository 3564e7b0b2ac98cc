"""The heads of the [CLS] query, from tables: a token depends on its symbol and position alone; so do score and value.

    u_h = W_QK,h z      what the query z = x_cls (or its norm) looks for: x . u_h is the score of token x      (H, d)
    s, v = x u, x W_V   for all V T possible tokens at once, and for [CLS]                   (V, T, H) (V, T, H, d_v)
    out                 softmax averages over the tokens of every example, by `bits.cls_head`             (m, H, d_v)

This is exact for one layer, also behind a layer norm, which acts on every token alone. `minitf.network` is the ordinary
way, for any number of layers. Every function returns its pullback; gradients of parameters come in a dict.
"""
from functools import partial

import numpy as np

from minitf.fast.cls_head import cls_head, mean_bit
from minitf.model import before, per_head, queries
from minitf.ops import add, linear, softmax


def plus(*grads):
    """Add dicts of gradients; a name that one of them lacks counts as 0."""
    total = {}
    for some in grads:
        for name, g in some.items():
            total[name] = total[name] + g if name in total else g
    return total


def sought(p, z, model):
    """The vectors u (H, d) whose product with a token is its score, for a query z (d,). pullback(du) -> dz, a dict."""
    if model.query == "q":
        return p["q"], lambda du: (np.zeros_like(z), {"q": du})
    if model.query == "combined":
        u, back = per_head(z, p["W_QK"].swapaxes(1, 2))

        def pullback(du):
            dz, dW = back(du)
            return dz, {"W_QK": dW.swapaxes(1, 2)}

        return u, pullback
    y, back_query = queries(p, z, model)
    each = [linear(y[h], model.scale * W_K.T) for h, W_K in enumerate(p["W_K"])]

    def pullback(du):
        dy, dW_K = zip(*(back(du[h]) for h, (_, back) in enumerate(each)))
        dz, grads = back_query(np.array(dy))
        return dz, grads | {"W_K": model.scale * np.array(dW_K).swapaxes(1, 2)}

    return np.array([u for u, _ in each]), pullback


def all_tokens(p, model):
    """The map from matrices W to  tokens W  (V, T, n) of all V T tokens, for gpt behind their norm.

    It is linear in W and returns its pullback to dtokens and dW. pullback(dtokens) -> a dict. P = None is the identity.
    """
    if p["P"] is None:
        return partial(onehot_linear, p["E"]), lambda dE: {"E": dE}
    tokens, back_add = add(p["E"][:, None], p["P"])
    n, back_n = before(p, tokens, model)

    def pullback(dn):
        dtokens, grads = back_n(dn)
        dE, dP = back_add(dtokens)
        return grads | {"E": dE[:, 0], "P": dP}

    return partial(linear, n), pullback


def onehot_linear(E, W):
    """All tokens E[b] + e_t of one-hot positions times W, none of them built:  y[b, t] = E[b] W + W[t].

    E (V, d), W (d, n) with d = T + V + 1 -> y (V, T, n). pullback(dy) -> dE, dW.
    """
    T = len(W) - len(E) - 1
    y, back = linear(E, W)

    def pullback(dy):
        dE, dW = back(dy.sum(axis=1))
        dW[:T] += dy.sum(axis=0)
        return dE, dW

    return y[:, None] + W[:T], pullback


def scores_and_values(times, u, W_V):
    """Scores and values of tokens for every head, in one product  times(W) = tokens W:  s (..., H), v (..., H, d_v).

    pullback(ds, dv) -> dtokens, du (H, d), dW_V.
    """
    H, d, d_v = W_V.shape
    W = np.concatenate([u.T, W_V.transpose(1, 0, 2).reshape(d, H * d_v)], axis=1)
    y, back = times(W)
    s, v = y[..., :H], y[..., H:].reshape(*y.shape[:-1], H, d_v)

    def pullback(ds, dv):
        dtokens, dW = back(np.concatenate([ds, dv.reshape(*ds.shape[:-1], H * d_v)], axis=-1))
        return dtokens, dW[:, :H].T, dW[:, H:].reshape(d, H, d_v).transpose(1, 0, 2)

    return s, v, pullback


def attend_table(s, v, s_cls, v_cls, X, model):
    """cls_head with heads behind positions in s, v; uniform attention is that of equal scores: no derivative."""
    zero = 0.0 if model.normalise == "uniform" else 1.0
    out, back = cls_head(zero * np.moveaxis(s, -1, 0), np.moveaxis(v, -2, 0), zero * s_cls, v_cls, X)

    def pullback(dout):
        ds, dv, ds_cls, dv_cls = back(dout)
        return zero * np.moveaxis(ds, 0, -1), np.moveaxis(dv, 0, -2), zero * ds_cls, dv_cls

    return out, pullback


def table_heads(p, X, model):
    """Heads (m, H, d_v) of [CLS] in a model of one layer over bits, and what else a residual needs: x_cls (d,).

    p holds E, P, x_cls too. pullback(dout, dx_cls) -> a dict; the second argument is the gradient of that x_cls.
    """
    times, back_n = all_tokens(p, model)
    n_cls, back_n_cls = before(p, p["x_cls"], model)
    u, back_u = sought(p, n_cls, model)
    s, v, back_tokens = scores_and_values(times, u, p["W_V"])
    s_cls, v_cls, back_cls = scores_and_values(partial(linear, n_cls), u, p["W_V"])
    out, back_head = attend_table(s, v, s_cls, v_cls, X, model)

    def pullback(dout, dx_cls):
        ds, dv, ds_cls, dv_cls = back_head(dout)
        dn_cls, du_cls, dW_V_cls = back_cls(ds_cls, dv_cls)
        dn, du, dW_V = back_tokens(ds, dv)
        dz, grads_u = back_u(du + du_cls)
        dtoken_cls, grads_cls = back_n_cls(dn_cls + dz)
        values = {"x_cls": dx_cls + dtoken_cls, "W_V": dW_V + dW_V_cls}
        return plus(values, grads_u, grads_cls, back_n(dn))

    return out, p["x_cls"], pullback


def table_attention(p, X, model):
    """Attention (H, T) of [CLS] averaged over examples: the derivative of the averaged head in its values."""
    n_cls, _ = before(p, p["x_cls"], model)
    u, _ = sought(p, n_cls, model)
    s, _ = all_tokens(p, model)[0](u.T)
    v, v_cls = np.zeros((*s.shape, 1), s.dtype), np.zeros((model.H, 1), s.dtype)
    _, pullback = attend_table(s, v, n_cls @ u.T, v_cls, X, model)
    _, dv, _, _ = pullback(np.full((len(X), model.H, 1), 1 / max(len(X), 1), s.dtype))
    return dv[..., 0].sum(axis=0).T


def bit_weights(q, P, model):
    """Attention of [CLS] where values are bits, so that scores depend on the position alone: A (H, T), P = None for
    one-hot positions. pullback(dA) -> dq."""
    s, back_s = (q, lambda ds: (ds,)) if P is None else linear(q, P.T)
    A, back_softmax = softmax(np.concatenate([np.zeros_like(s[:, :1]), s], axis=1))

    def pullback(dA):
        return back_s(back_softmax(np.concatenate([np.zeros_like(dA[:, :1]), dA], axis=1))[:, 1:])[0]

    return A[:, 1:], pullback


def bit_heads(p, P, X, model):
    """Heads (m, H, 1) where values are bits: every head is one mean of the bits. pullback(dout) -> a dict."""
    A, back_weights = bit_weights(p["q"], P, model)
    r, back_mean = mean_bit(A, X)
    return r[..., None], lambda dout: {"q": back_weights(back_mean(dout[..., 0]))}
