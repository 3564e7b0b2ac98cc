"""The heads of the [CLS] query, from tables: a token depends on its symbol and position alone; so do score and value.

    u_h = W_QK,h z      what the query z = x_cls (or its norm) looks for: x . u_h is the score of token x      (H, d)
    s, v = x u, x W_V   for all V T possible tokens at once, and for [CLS]                   (V, T, H) (V, T, H, d_v)
    out                 softmax averages over the tokens of every example, by `bits.cls_head`             (m, H, d_v)

This is exact for one layer, also behind a layer norm, which acts on every token alone. `minitf.network` is the ordinary
way, for any number of layers. Every function returns its pullback; gradients of parameters come in a dict.
"""
import math
from functools import partial

import numpy as np

from minitf.bits import cls_head, mean_bit
from minitf.layers import before, per_head, queries
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


def workspace(dtype):
    """A function array(name, *shape) that hands out one uninitialised array for each name, again and again."""
    held = {}

    def array(name, *shape):
        if name not in held or held[name].shape != shape:
            held[name] = np.empty(shape, dtype)
        return held[name]

    return array


def additive_heads(U, rows, turned_rows, array):
    """Heads of [CLS] over tokens E_b + P_t that no norm touches: half the work of `table_heads`, the same function.

    A token weighs e_b e_t, a factor of its symbol and one of its position. With u = [1, v], v_b + v_t the value, and
    A, B the sums over the positions whose bit is 1 and is 0,

        F    = e_t u_t                                                      (H, 1+d_v, T)
        A, B = F X^T, sum_t F - A                                           (H, 1+d_v, m)
        Z, N = e_1 (A + v_1 A_0) + e_0 (B + v_0 B_0) + e_cls u_cls          = M A + base, M (H, 1+d_v, 1+d_v)
        out  = N / Z                                                        (H, d_v, m)

    U (H, 1+d_v, 3+T): scores, in row 0, and values of E_0, E_1, x_cls, P_1 .. P_T, which is overwritten; rows = X, X^T
    of floats 0 and 1, fastest as two arrays. B has lost digits where it is small next to A: so a head that weighs
    symbol 0 more than 16 times as much as symbol 1 trades the symbols and reads turned_rows() = 1 - X, 1 - X^T, and
    elsewhere that error stays below 32 units of Z. Returns None where some Z < sqrt(smallest float), else out and pullback(dout)
    -> dU. All live in `array`s until the next call.
    """
    (H, J, n), (m, T), (s0, s1) = U.shape, rows[0].shape, U[:, 0, :2].T
    turned = s0 > s1 + math.log(16)
    swap = turned.any()
    if swap:
        U[turned, :, :2] = U[turned, :, 1::-1]

    def product(P, i, out):
        """P times rows[i], head by head."""
        if not swap:
            np.matmul(P.reshape(H * J, -1), rows[i], out=out.reshape(H * J, -1))
        else:
            for some, bits in (~turned, rows[i]), (turned, turned_rows()[i]):
                out[some] = (P[some].reshape(-1, len(bits)) @ bits).reshape(-1, J, bits.shape[1])
        return out

    s, e = U[:, 0], array("e", H, n)
    top = np.maximum(s0, s1)
    highest = np.maximum(s[:, 3:].max(axis=1), s[:, 2] - top)
    np.subtract(s[:, :3], top[:, None], out=e[:, :3])
    e[:, 2] -= highest
    np.subtract(s[:, 3:], highest[:, None], out=e[:, 3:])
    np.exp(e, out=e)
    s[:, :2], s[:, 2:] = 0, 1
    e0, e1, e_t, u_t = e[:, :1], e[:, 1:2], e[:, None, 3:], U[:, :, 3:]

    F = np.multiply(e_t, u_t, out=array("F", H, J, T))
    A, S = product(F, 1, array("A", H, J, m)), F.sum(axis=2)
    ends = e[:, None, :3] * U[:, :, :3]
    w0, w1, w_cls = ends.transpose(2, 0, 1)
    M = array("M", H, J, J)
    M[...] = 0
    M.reshape(H, J * J)[:, ::J + 1] = e1 - e0
    M[:, :, 0] += w1 - w0
    base = e0 * S + w0 * S[:, :1] + w_cls
    NZ = np.matmul(M, A, out=array("NZ", H, J, m))
    NZ += base[:, :, None]
    if not NZ[:, 0].min() >= math.sqrt(np.finfo(U.dtype).tiny):
        return None
    over = 1 / NZ[:, :1]
    out = np.multiply(NZ[:, 1:], over, out=array("out", H, J - 1, m))

    def pullback(dout):
        dNZ, dU = array("dNZ", H, J, m), array("dU", H, J, n)
        dN = np.multiply(dout, over, out=dNZ[:, 1:])
        np.negative(np.einsum("hjm,hjm->hm", dN, out), out=dNZ[:, 0])
        dbase = dNZ.sum(axis=2)
        dA = np.matmul(M.transpose(0, 2, 1), dNZ, out=array("dA", H, J, m))
        dF = product(dA, 0, array("dF", H, J, T))
        dS = e0 * dbase
        dS[:, 0] += np.einsum("hj,hj->h", w0, dbase)
        dF += dS[:, :, None]
        dFu = np.multiply(e_t, dF, out=dU[:, :, 3:])
        dU[:, 0, 3:] = np.multiply(dFu, u_t, out=dF).sum(axis=1)
        dM = np.matmul(dNZ, A.transpose(0, 2, 1))
        both = dM.trace(axis1=1, axis2=2)                               # sum of dNZ A, and from here on of
        dends = np.empty_like(ends)                                     # dNZ B_0, dNZ A_0, dNZ
        dends[:, :, 1], dends[:, :, 2] = dM[:, :, 0], dbase
        np.subtract(dbase * S[:, :1], dM[:, :, 0], out=dends[:, :, 0])
        np.multiply(e[:, None, :3], dends, out=dU[:, :, :3])
        np.einsum("hjb,hjb->hb", ends, dends, out=dU[:, 0, :3])
        dU[:, 0, 0] += e[:, 0] * (np.einsum("hj,hj->h", dbase, S) - both)
        dU[:, 0, 1] += e[:, 1] * both
        if swap:
            dU[turned, :, :2] = dU[turned, :, 1::-1]
        return dU

    return out, pullback
