"""Softmax attention and its derivative, on one page: every mask, length and head count, exact at the edges.

    out, pullback = attention(q, k, v)        then        dq, dk, dv = pullback(dout)

Letters: H query heads, G key heads, Tq queries, Tk keys, d width of queries and keys, dv width of values.
"""
import math

import numpy as np

from minitf.checks import floats, real, require
from minitf.ops import cap, identity, normalise, softmax_pullback, sum_to


def attention(q, k, v, *, mask=None, causal=False, scale=None, softcap=None):
    """Average values, each query with its own weights: the softmax of its scores against the keys.

    S   = scale q k^T                     scores: how well each query matches each key         (..., H, Tq, Tk)
    S   = softcap tanh(S / softcap)       where softcap is given                               (..., H, Tq, Tk)
    S   = S + mask                        -inf where a query may not attend                    (..., H, Tq, Tk)
    A   = exp(S) / sum exp(S)             weights: every row sums to 1                         (..., H, Tq, Tk)
    out = A v                             averages of the values                               (..., H, Tq, dv)

    dv  = A^T dout                        summed over the query heads that share v             (..., G, Tk, dv)
    dA  = dout v^T                                                                             (..., H, Tq, Tk)
    dS  = A * (dA - sum(A * dA))          the Jacobian of softmax, row by row                  (..., H, Tq, Tk)
    dS  = dS / cosh(S / softcap)^2        at the S before its cap, where softcap is given      (..., H, Tq, Tk)
    dq  = scale dS k                                                                           (..., H, Tq, d)
    dk  = scale dS^T q                    summed over the query heads that share k             (..., G, Tk, d)

    q (..., H, Tq, d), k (..., G, Tk, d), v (..., G, Tk, dv), or all three without a head axis: (Tq, d), (Tk, d),
    (Tk, dv). H is a multiple of G and query head h reads key head h // (H/G). Leading axes broadcast.

    mask     boolean (True = may attend) or real (added to the scores, -inf = may not attend), broadcasting to the
             scores; not differentiated. It follows the softcap, which would turn -inf into -softcap.
    causal   True: query i attends to keys 0..i. With Tq != Tk name the corner: "top-left" (keys 0..i) or
             "bottom-right" (keys 0..i+Tk-Tq, decoding with a cache). A mask restricts it further.
    scale    1/sqrt(d) unless given; 0 gives uniform weights

    A query that may attend to nothing returns zeros and has zero gradients. NaN and inf propagate as in arithmetic,
    but never between a query and a key that it may not attend to, not even as 0 * NaN.
    Time O(H Tq Tk (d + dv)); the pullback keeps A. Errors: ValueError or TypeError naming the argument.
    Source: Vaswani et al. 2017, equation 1; shared key heads: Shazeer 2019, Ainslie et al. 2023.
    """
    q, k, v, shared, scale, bias, blocked = prepare(q, k, v, mask, causal, scale)
    S = pairs(scale * q, k, blocked)
    S, uncap = identity(S) if softcap is None else cap(S, softcap)
    S = hide(S, bias, blocked)
    A, _ = normalise(S)
    out = unstack(mix(A, v, blocked), shared)
    shape = out.shape

    def pullback(dout):
        dout = stack(cotangent(dout, shape), shared)
        dv = mix(transpose(A), dout, transpose(blocked))
        dA = pairs(dout, v, blocked)
        dS = uncap(softmax_pullback(A, dA))
        dq = scale * mix(dS, k, blocked)
        dk = scale * mix(transpose(dS), q, transpose(blocked))
        return unstack(sum_to(dq, q.shape), shared), sum_to(dk, k.shape), sum_to(dv, v.shape)

    return out, pullback


def attention_weights(q, k, *, mask=None, causal=False, scale=None, softcap=None):
    """Return the weights A (..., H, Tq, Tk) of `attention`, same options, and lse = log sum exp(S) (..., H, Tq).

    A v is the output of `attention`; lse is -inf for a query that may attend to nothing.
    """
    q, k, _, shared, scale, bias, blocked = prepare(q, k, k, mask, causal, scale)
    S = pairs(scale * q, k, blocked)
    S, _ = identity(S) if softcap is None else cap(S, softcap)
    S = hide(S, bias, blocked)
    A, lse = normalise(S)
    return unstack(A, shared), unstack(lse, shared)[..., 0]


def transpose(x):
    """Swap the last two axes; None stays None."""
    return None if x is None else np.swapaxes(x, -1, -2)


def stack(x, shared):
    """Lay the `shared` query heads that read one key head under each other, as more queries of one head."""
    if shared == 1:
        return x
    *lead, H, n, width = x.shape
    return x.reshape(*lead, H // shared, shared * n, width)


def unstack(x, shared):
    """Undo stack."""
    if shared == 1:
        return x
    *lead, G, n, width = x.shape
    return x.reshape(*lead, G * shared, n // shared, width)


def pairs(a, b, blocked):
    """a b^T, row by row of each; where NaN or inf is about, blocked pairs read 0."""
    if blocked is None:
        return a @ transpose(b)
    with np.errstate(invalid="ignore"):
        P = a @ transpose(b)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        np.copyto(P, 0, where=blocked)
    return P


def mix(P, b, blocked):
    """P b, to which blocked pairs contribute nothing, not even 0 * NaN; looked into only if the product is not finite."""
    if blocked is None:
        return P @ b
    with np.errstate(invalid="ignore"):
        y = P @ b
    if np.isfinite(y).all():
        return y
    P, finite = np.where(blocked, 0, P), np.isfinite(b)
    y = P @ np.where(finite, b, 0)
    for j in np.unique(np.nonzero(~finite)[-2]):
        y = y + P[..., j, None] * np.where(finite[..., j, None, :] | blocked[..., j, None], 0, b[..., j, None, :])
    return y


def hide(S, bias, blocked):
    """Add the finite part of a mask to scores that this page owns, and write -inf over the blocked pairs."""
    if bias is not None:
        S += bias
    if blocked is not None:
        np.copyto(S, -np.inf, where=blocked)
    return S


def cotangent(dout, shape):
    """Return dout as an array; it must have the shape of the output."""
    dout = floats("dout", dout)
    require(dout.shape == shape, "dout", f"shape {shape}", dout)
    return dout


def prepare(q, k, v, mask, causal, scale):
    """Check the arguments of attention; return q, k, v in one dtype with stacked heads, H/G, scale, bias and blocked."""
    q, k, v = floats("q", q), floats("k", k), floats("v", v)
    require(q.ndim >= 2 and q.shape[-1] >= 1, "q", "shape (..., H, Tq, d) or (Tq, d), d >= 1", q)
    like = "a head axis as in q" if q.ndim > 2 else "no head axis, as in q"
    for name, x in (("k", k), ("v", v)):
        require(x.ndim >= 2 and (x.ndim > 2) == (q.ndim > 2), name, f"at least 2 axes, {like} {q.shape}", x)
    require(k.shape[-1] == q.shape[-1], "k", f"width {q.shape[-1]} as in q", k)
    require(v.shape[-2] == k.shape[-2], "v", f"{k.shape[-2]} rows, one for each key", v)
    H, G = q.shape[-3:-2], k.shape[-3:-2]
    require(v.shape[-3:-2] == G, "v", f"heads as in k {k.shape}", v)
    require(H == G or G[0] and H[0] % G[0] == 0, "k", f"a number of heads that divides the {H and H[0]} of q", k)
    try:
        lead = np.broadcast_shapes(q.shape[:-3], k.shape[:-3])
        np.broadcast_shapes(lead, v.shape[:-3])
    except ValueError:
        raise ValueError(f"q, k, v: expected leading axes that broadcast, got shapes {q.shape}, {k.shape}, {v.shape}") from None
    dtype = np.result_type(q, k, v)
    q, k, v = (x.astype(dtype, copy=False) for x in (q, k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else real("scale", scale)
    Tq, Tk, shared = q.shape[-2], k.shape[-2], 1 if H == G else H[0] // G[0]
    bias, blocked = masks(mask, (*lead, *H, Tq, Tk), q.real.dtype)
    corner = triangle(causal, Tq, Tk)
    blocked = corner if blocked is None else blocked if corner is None else blocked | corner
    bias, blocked = (x if x is None else spread(x, shared, Tq, Tk) for x in (bias, blocked))
    return stack(q, shared), k, v, shared, scale, bias, blocked


def masks(mask, shape, dtype):
    """Split a mask that broadcasts to the scores into its finite part (or None) and its blocked pairs (or None)."""
    if mask is None:
        return None, None
    mask = np.asarray(mask)
    require(mask.dtype in (np.bool_, np.float32, np.float64), "mask", "booleans (True = may attend) or float32 or float64 numbers to add", mask, TypeError)
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    require(fits, "mask", f"a shape that broadcasts to the scores {shape}", mask)
    if mask.dtype == np.bool_:
        return None, ~mask
    blocked = np.isneginf(mask)
    with np.errstate(over="ignore"):
        bias = np.where(blocked, 0, mask).astype(dtype)
    require(np.isfinite(bias).all(), "mask", f"numbers that are finite in {dtype}, or -inf", mask)
    return bias, blocked


def triangle(causal, Tq, Tk):
    """Return the pairs (Tq, Tk) that a causal query may not attend to, or None."""
    require(isinstance(causal, (bool, np.bool_)) or isinstance(causal, str) and causal in ("top-left", "bottom-right"),
            "causal", 'False, True, "top-left" or "bottom-right"', causal)
    require(not (causal is True or causal is np.True_) or Tq == Tk, "causal",
            f'"top-left" or "bottom-right" for {Tq} queries and {Tk} keys', causal)
    last = np.arange(Tq)[:, None] + (Tk - Tq if causal == "bottom-right" else 0)
    return np.arange(Tk) > last if causal else None


def spread(x, shared, Tq, Tk):
    """Broadcast part of a mask over queries and keys, and stack it as the queries are stacked."""
    heads = x.shape[-3] if x.ndim > 2 else 1
    x = np.broadcast_to(x, x.shape[:-2] + (Tq, Tk))
    if shared == 1:
        return x
    return stack(np.broadcast_to(x, x.shape[:-3] + (max(heads, shared), Tq, Tk)), shared)
