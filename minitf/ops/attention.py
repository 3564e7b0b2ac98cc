"""Softmax attention and its derivative, on one page: every mask, length and head count, exact at the edges.

    out, pullback = attention(q, k, v)        then        dq, dk, dv = pullback(dout)

Letters: H query heads, G key heads, Tq queries, Tk keys, d width of queries and keys, dv width of values.
"""
from minitf.ops.arguments import cotangent, prepare, stack, unstack
from minitf.ops.kernels import (by_heads, hide, mix, normalise, pairs, softmax_pullback, sum_to,
                                transpose)
from minitf.ops.primitives import cap, identity


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
    out, back = by_heads(attend, q, k, v, bias, blocked, scale, softcap)
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
