"""Softmax attention and its derivative, on one page: every mask, length and head count, exact at the edges.

    out, pullback = attention(q, k, v)        then        dq, dk, dv = pullback(dout)

Letters: H query heads, G key heads, Tq queries, Tk keys, d width of queries and keys, dv width of values.
"""
import math

import numpy as np

from minitf.checks import floats, real, require
from minitf.ops import cap, identity, normalise, softmax_pullback, sum_to

CACHE = 2 ** 20         # bytes of scores that are worked on at a time: what the second-level cache of a core holds


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
    out, back = by_heads(q, k, v, bias, blocked, scale, softcap)
    out = unstack(out, shared)
    shape = out.shape

    def pullback(dout):
        dq, dk, dv = back(stack(cotangent(dout, shape), shared))
        return unstack(dq, shared), dk, dv

    return out, pullback


def attend(q, k, v, bias, blocked, S, scale, softcap):
    """The equations of `attention`, line by line. pullback(dout) -> dq, dk, dv.

    pairs(a, b) is a b^T and mix(P, b) is P b, without the blocked pairs; query heads that share k are stacked. S may
    bring an array to be filled.
    """
    S = pairs(scale * q, k, blocked, out=S)
    S, uncap = identity(S) if softcap is None else cap(S, softcap)
    S = hide(S, bias, blocked)
    A, _ = normalise(S)
    out = mix(A, v, blocked)

    def pullback(dout):
        dv = mix(transpose(A), dout, transpose(blocked))
        dA = pairs(dout, v, blocked)
        dS = softmax_pullback(A, dA)
        dS = uncap(dS)
        dq = scale * mix(dS, k, blocked)
        dk = scale * mix(transpose(dS), q, transpose(blocked))
        return sum_to(dq, q.shape), sum_to(dk, k.shape), sum_to(dv, v.shape)

    return out, pullback


def by_heads(q, k, v, bias, blocked, *options):
    """attend, one group of heads after the other: as many as have CACHE bytes of scores, so that a score is still in
    the cache when it is next needed. Heads do not meet, so the numbers are the same up to rounding.

    All at once where leading axes broadcast. All scores share one array: the system clears memory faster in one piece.
    """
    lead, pair = q.shape[:-2], (q.shape[-2], k.shape[-2])
    heads, group = math.prod(lead), max(1, CACHE // max(1, pair[0] * pair[1] * q.itemsize))
    if heads <= group or not lead == k.shape[:-2] == v.shape[:-2]:
        return attend(q, k, v, bias, blocked, None, *options)
    groups = [slice(i, i + group) for i in range(0, heads, group)]

    def flat(x, tail):
        return x if x is None or x.ndim == 2 else np.broadcast_to(x, lead + tail).reshape(heads, *tail)

    def cut(x, some):
        return x if x is None or x.ndim == 2 else x[some]

    arrays = [flat(x, x.shape[-2:]) for x in (q, k, v)] + [flat(x, pair) for x in (bias, blocked)]
    arrays.append(np.empty((heads, *pair), q.dtype))
    outs, backs = zip(*(attend(*(cut(x, some) for x in arrays), *options) for some in groups))

    def pullback(dout):
        dout = flat(dout, dout.shape[-2:])
        grads = zip(*(back(dout[some]) for some, back in zip(groups, backs)))
        return tuple(np.concatenate(dx).reshape(x.shape) for dx, x in zip(grads, (q, k, v)))

    return np.concatenate(outs).reshape(*lead, pair[0], v.shape[-1]), pullback


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
    """Put the `shared` query heads of a key head below each other: (..., H, n, w) -> (..., H/shared, shared n, w)."""
    return x if shared == 1 else x.reshape(*x.shape[:-3], x.shape[-3] // shared, shared * x.shape[-2], x.shape[-1])


def unstack(x, shared):
    """Undo stack."""
    return x if shared == 1 else x.reshape(*x.shape[:-3], shared * x.shape[-3], x.shape[-2] // shared, x.shape[-1])


def pairs(a, b, blocked, out=None):
    """Multiply every row of a by every row of b, a b^T; next to NaN or inf, blocked pairs read 0."""
    if blocked is None:
        return np.matmul(a, transpose(b), out=out)
    with np.errstate(invalid="ignore"):
        P = np.matmul(a, transpose(b), out=out)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        np.copyto(P, 0, where=blocked)
    return P


def mix(P, b, blocked):
    """Add up the rows of b with weights, P b; to a sum that is not finite, blocked pairs then contribute nothing."""
    if blocked is None:
        return P @ b
    with np.errstate(invalid="ignore"):
        y = P @ b
    if np.isfinite(y).all():
        return y
    P, finite = np.where(blocked, 0, P), np.isfinite(b)
    y = P @ np.where(finite, b, 0)
    for j in np.unique(np.nonzero(~finite)[-2]):
        row = np.where(finite[..., j, None, :] | blocked[..., j, None], 0, b[..., j, None, :])
        y = y + P[..., j, None] * row
    return y


def hide(S, bias, blocked):
    """Add the finite part of the mask to S, in place, and write -inf over the blocked pairs."""
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
    """Check the arguments; return stacked q, k, v of one dtype, H/G, scale, and the mask as bias and blocked pairs."""
    q, k, v, shared, scale, mask, reach = check(q, k, v, mask, causal, scale)
    Tq, Tk = q.shape[-2], k.shape[-2]
    bias, blocked = (None, None) if mask is None else split(mask, q.real.dtype)
    if reach is not None:
        future = np.arange(Tk) > np.arange(Tq)[:, None] + reach
        blocked = future if blocked is None else blocked | future
    bias, blocked = (x if x is None else spread(x, shared, Tq, Tk) for x in (bias, blocked))
    return stack(q, shared), k, v, shared, scale, bias, blocked


def check(q, k, v, mask, causal, scale):
    """Check the arguments; return q, k, v of one dtype, H/G, scale, mask (array or None), reach (`corner`)."""
    q, k, v = floats("q", q), floats("k", k), floats("v", v)
    require(q.ndim >= 2 and q.shape[-1] > 0, "q", "shape (..., H, Tq, d) or (Tq, d) with d >= 1", q)
    for name, x in ("k", k), ("v", v):
        same = x.ndim == 2 if q.ndim == 2 else x.ndim > 2
        require(same, name, f"{'2' if q.ndim == 2 else '3 or more'} axes, as q {q.shape} has", x)
    require(k.shape[-1] == q.shape[-1], "k", f"width {q.shape[-1]}, as q has", k)
    require(v.shape[-2] == k.shape[-2], "v", f"{k.shape[-2]} rows, as k has", v)
    H, G = q.shape[-3:-2], k.shape[-3:-2]
    require(v.shape[-3:-2] == G, "v", f"{G and G[0]} heads, as k has", v)
    require(H == G or H[0] and G[0] and H[0] % G[0] == 0, "k", f"a number of heads that divides {H and H[0]}", k)
    shapes = q.shape[:-3], k.shape[:-3], v.shape[:-3]
    require(broadcasts(*shapes), "q, k, v", "leading axes that broadcast", shapes)
    shared, Tq, Tk = 1 if H == G else H[0] // G[0], q.shape[-2], k.shape[-2]
    dtype = np.result_type(q, k, v)
    q, k, v = (x.astype(dtype, copy=False) for x in (q, k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else real("scale", scale)
    if mask is not None:
        mask, scores = np.asarray(mask), (*np.broadcast_shapes(*shapes[:2]), *H, Tq, Tk)
        kinds = "booleans (True = may attend), or float32 or float64 numbers to add"
        require(mask.dtype in (np.bool_, np.float32, np.float64), "mask", kinds, mask, TypeError)
        fits = broadcasts(mask.shape, scores) and np.broadcast_shapes(mask.shape, scores) == scores
        require(fits, "mask", f"a shape that broadcasts to the scores {scores}", mask)
    return q, k, v, shared, scale, mask, corner(causal, Tq, Tk)


def broadcasts(*shapes):
    """Do the shapes broadcast?"""
    try:
        return np.broadcast_shapes(*shapes) is not None
    except ValueError:
        return False


def corner(causal, Tq, Tk):
    """Return r where causal order lets query i attend to keys 0..i+r; None without causal order."""
    known = isinstance(causal, (bool, np.bool_)) or isinstance(causal, str) and causal in ("top-left", "bottom-right")
    require(known, "causal", 'False, True, "top-left" or "bottom-right"', causal)
    if not causal:
        return None
    named = isinstance(causal, str) or Tq == Tk
    require(named, "causal", f'"top-left" or "bottom-right" with {Tq} queries and {Tk} keys', causal)
    return Tk - Tq if causal == "bottom-right" else 0


def split(mask, dtype):
    """Split a mask for scores of this dtype: its finite part or None, its blocked pairs."""
    if mask.dtype == np.bool_:
        return None, ~mask
    blocked = np.isneginf(mask)
    with np.errstate(over="ignore"):
        bias = np.where(blocked, 0, mask).astype(dtype)
    require(bool(np.isfinite(bias).all()), "mask", f"-inf, or numbers finite in {dtype}", mask)
    return bias, blocked


def spread(x, shared, Tq, Tk):
    """Broadcast a part of the mask over all pairs, and stack it like the queries."""
    x = np.broadcast_to(x, x.shape[:-2] + (Tq, Tk))
    if shared > 1 and x.shape[-3:-2] in ((), (1,)):
        x = np.broadcast_to(x, x.shape[:-3] + (shared, Tq, Tk))
    return stack(x, shared)
