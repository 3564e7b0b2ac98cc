"""The heads of the [CLS] query from tables of all scores and values there can be.

A token depends on its symbol and position alone; so do its score and its value.

    u_h = W_QK,h z      what the query z = x_cls (or its norm) looks for:
                        x . u_h is the score of token x                     (H, d)
    s, v = x u, x W_V   for all V T possible tokens at once, and for [CLS]  (V, T, H) (V, T, H, d_v)
    out                 softmax averages over the tokens of every example,
                        by `cls_head`                                       (m, H, d_v)

This is exact for one layer, also behind a layer norm, which acts on every token alone. The
definition, for any number of layers, is in `minitf.model`. Every function returns its pullback;
gradients of parameters come in a dict.
"""
from functools import partial

import numpy as np

from minitf.fast.cls_head import bit_mean, cls_head
from minitf.model import before, complete, per_head, positions, queries
from minitf.ops import add, linear, softmax


def total(*grads):
    """Add dicts of gradients; a name that one of them lacks counts as 0."""
    added = {}
    for some in grads:
        for name, g in some.items():
            added[name] = added[name] + g if name in added else g
    return added


def whole(params, model):
    """The arrays of a model with those that are not trained, for tables.

    Where positions are one-hot, and no norm needs the tokens, P is None: the identity, not built.
    """
    identity = (model.positions, model.block) == ("onehot", "tf")
    return complete(params, model, identity=identity)


def sought(p, z, model):
    """The vectors u (H, d) whose product with a token is its score, for a query z (d,).

    pullback(du) -> dz, a dict.
    """
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

    It is linear in W and returns its pullback to dtokens and dW. pullback(dtokens) -> a dict.
    P = None is the identity.
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
    """All tokens E[b] + e_t of one-hot positions times W:  y[b, t] = E[b] W + W[t].

    No token is built. E (V, d), W (d, n) with d = T + V + 1 -> y (V, T, n). pullback(dy) -> dE, dW.
    """
    T = len(W) - len(E) - 1
    y, back = linear(E, W)

    def pullback(dy):
        dE, dW = back(dy.sum(axis=1))
        dW[:T] += dy.sum(axis=0)
        return dE, dW

    return y[:, None] + W[:T], pullback


def scores_and_values(times, u, W_V):
    """Scores and values of tokens for every head, in one product  times(W) = tokens W.

    -> s (..., H), v (..., H, d_v). pullback(ds, dv) -> dtokens, du (H, d), dW_V.
    """
    H, d, d_v = W_V.shape
    W = np.concatenate([u.T, W_V.transpose(1, 0, 2).reshape(d, H * d_v)], axis=1)
    y, back = times(W)
    s, v = y[..., :H], y[..., H:].reshape(*y.shape[:-1], H, d_v)

    def pullback(ds, dv):
        dy = np.concatenate([ds, dv.reshape(*ds.shape[:-1], H * d_v)], axis=-1)
        dtokens, dW = back(dy)
        return dtokens, dW[:, :H].T, dW[:, H:].reshape(d, H, d_v).transpose(1, 0, 2)

    return s, v, pullback


def attend_table(s, v, s_cls, v_cls, X):
    """cls_head, with the axis of heads behind that of positions in s and v."""
    out, back = cls_head(np.moveaxis(s, -1, 0), np.moveaxis(v, -2, 0), s_cls, v_cls, X)

    def pullback(dout):
        ds, dv, ds_cls, dv_cls = back(dout)
        return np.moveaxis(ds, 0, -1), np.moveaxis(dv, 0, -2), ds_cls, dv_cls

    return out, pullback


def table_heads(params, X, model, z=None):
    """Heads (m, H, d_v) of [CLS] in one layer over symbols; and its row for a residual, x_cls (d,).

    pullback(dout, dx_cls) -> a dict; the second argument is the gradient of that row.
    """
    p = whole(params, model)
    times, back_n = all_tokens(p, model)
    n_cls, back_n_cls = before(p, p["x_cls"], model)
    u, back_u = sought(p, n_cls, model)
    s, v, back_tokens = scores_and_values(times, u, p["W_V"])
    s_cls, v_cls, back_cls = scores_and_values(partial(linear, n_cls), u, p["W_V"])
    out, back_head = attend_table(s, v, s_cls, v_cls, X)

    def pullback(dout, dx_cls):
        ds, dv, ds_cls, dv_cls = back_head(dout)
        dn_cls, du_cls, dW_V_cls = back_cls(ds_cls, dv_cls)
        dn, du, dW_V = back_tokens(ds, dv)
        dz, grads_u = back_u(du + du_cls)
        dtoken_cls, grads_cls = back_n_cls(dn_cls + dz)
        values = {"x_cls": dx_cls + dtoken_cls, "W_V": dW_V + dW_V_cls}
        return total(values, grads_u, grads_cls, back_n(dn))

    return out, p["x_cls"], pullback


def table_attention(p, X, model):
    """Attention (H, T) of [CLS] averaged over examples; p from `whole`.

    It is the derivative of the averaged heads in their values.
    """
    n_cls, _ = before(p, p["x_cls"], model)
    u, _ = sought(p, n_cls, model)
    s, _ = all_tokens(p, model)[0](u.T)
    v, v_cls = np.zeros((*s.shape, 1), s.dtype), np.zeros((model.H, 1), s.dtype)
    _, pullback = attend_table(s, v, n_cls @ u.T, v_cls, X)
    share = np.full((len(X), model.H, 1), 1 / max(len(X), 1), s.dtype)
    _, dv, _, _ = pullback(share)
    return dv[..., 0].sum(axis=0).T


def bit_weights(q, P, model):
    """Attention A (H, T) of [CLS] where values are bits: scores depend on the position alone.

    P = None for one-hot positions. pullback(dA) -> dq.
    """
    s, back_s = (q, lambda ds: (ds,)) if P is None else linear(q, P.T)
    A, back_softmax = softmax(with_cls(s))

    def pullback(dA):
        return back_s(back_softmax(with_cls(dA))[:, 1:])[0]

    return A[:, 1:], pullback


def position_table(params, model):
    """The fixed P (T, d_P) of a model whose values are bits; None where it is the identity."""
    return None if model.positions == "onehot" else positions(model, params["w"].dtype)


def with_cls(s):
    """s (H, T) with the entry of [CLS] in front, which is 0."""
    return np.concatenate([np.zeros_like(s[:, :1]), s], axis=1)


def bit_heads(params, X, model, z=None):
    """Heads (m, H, 1) where values are bits: every head is one mean of the bits.

    No row comes with them. pullback(dout, None) -> a dict.
    """
    A, back_weights = bit_weights(params["q"], position_table(params, model), model)
    r, back_mean = bit_mean(A, X)

    def pullback(dout, dg):
        return {"q": back_weights(back_mean(dout[..., 0]))}

    return r[..., None], None, pullback
