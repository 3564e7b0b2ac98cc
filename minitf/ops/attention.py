"""Softmax attention and its derivative, on one page.

    out, pullback = attention(q, k, v)        then        dq, dk, dv = pullback(dout)

Letters: H query heads, G key heads, Tq queries, Tk keys, d width of queries and keys, dv of values.
"""
from minitf.ops.arguments import check
from minitf.ops.heads import answer, over_heads, require_range, stacked, unstack
from minitf.ops.kernels import hide, masked_products, quiet, softmax_rows
from minitf.ops.primitives import cap


def attention(
    q, k, v, *,
    mask=None, causal=False, window=None, segments=None,
    bias=None, sinks=None, keep=None,
    scale=None, softcap=None, lse=False,
):
    """Average values, each query with its own weights: the softmax of its scores against the keys.

    S0   = scale q k^T                     how well each query matches each key  (..., H, Tq, Tk)
    S    = softcap tanh(S0 / softcap)      where softcap is given, else S0
    S    = S + bias + mask                 -inf where a query may not attend
    lse  = log(sum exp(S) + exp(sink))     a sink is one more score, without a value  (..., H, Tq)
    A    = exp(S - lse)                    weights: with the sink's, every row sums to 1
    out  = (A * keep) v                    averages of the values                (..., H, Tq, dv)

    dv    = (A * keep)^T dout              summed over the query heads that share v
    dA    = keep * (dout v^T)
    dS    = A * (dA - sum(A * dA) + dlse)  the derivative of softmax, row by row: see below
    dsink = A_sink (0 - sum(A * dA) + dlse)  A_sink = exp(sink - lse); summed over queries
    dbias = dS                             summed over the axes along which bias was broadcast
    dS0   = dS / cosh(S0 / softcap)^2      where softcap is given, else dS
    dq    = scale dS0 k
    dk    = scale dS0^T q                  summed over the query heads that share k

    Why: S_j moves A_i by A_i ([i = j] - A_j), and lse by A_j. So
    dS_j = sum_i dA_i A_i ([i = j] - A_j) + dlse A_j = A_j (dA_j - sum_i A_i dA_i + dlse).
    A sink is a score like any other, but it has no value: its own dA is 0.

    q (..., H, Tq, d), k (..., G, Tk, d), v (..., G, Tk, dv), or all without a head axis: (Tq, d),
    (Tk, d), (Tk, dv). Query head h reads key head h // (H/G). Leading axes broadcast.

    bias     added to the scores, broadcasting to them; differentiated
    sinks    (H,), or () without a head axis; differentiated
    lse      True: the output is the pair (out, lse), and pullback takes the pair (dout, dlse)
    keep     multiplies the weights, broadcasting to them; dropout has 0 and 1/(1-p)
    scale    1/sqrt(d) unless given

    Which pairs of a query and a key may meet: all that none of these four forbids.

    mask     boolean (True = may) or real (added to scores, -inf = may not), broadcasting to them
    causal   True: query i meets keys 0..i. With Tq != Tk name the corner: "top-left" (keys 0..i) or
             "bottom-right" (keys 0..i+Tk-Tq, decoding with a cache)
    window   (left, right): query i meets keys i-left..i+right, None = no limit; with Tq != Tk the
             corner of causal, or (left, right, corner): i is i+Tk-Tq in the bottom right
    segments (query ids, key ids), integers (..., Tq) and (..., Tk): equal ids may meet

    pullback(dout) -> dq, dk, dv, then dbias and dsinks where given. mask and keep get no gradient.
    A query that meets no key returns zeros, lse = sink or -inf; all it gives is dlse to dsink.
    NaN and inf propagate as in arithmetic, but never between a query and a key that may not meet.
    Errors: ValueError or TypeError naming the argument. Time O(H Tq Tk (d + dv)).
    Source: Vaswani et al. 2017, equation 1; shared key heads: Ainslie et al. 2023; softcap: Bello
    et al. 2017; windows: Beltagy et al. 2020; sinks: Xiao et al. 2024; lse: Dao et al. 2022.
    """
    a = check(
        q, k, v,
        mask=mask, causal=causal, window=window, segments=segments,
        bias=bias, sinks=sinks, keep=keep,
        scale=scale, softcap=softcap,
    )
    return answer(*over_heads(attend, a), lse)


def attend(q, k, v, bias, sinks, mask, keep, blocked, S, *, scale, softcap):
    """The equations of `attention`, line by line; query heads that share a key head are stacked.

    `blocked` marks the pairs that may not meet, and the three products leave them out:
    pairs(a, b) = a b^T, mix(P, b) = P b, gather(P, a) = P^T a. S is room for the scores, or None.
    """
    pairs, mix, gather = masked_products(blocked)
    S = pairs(scale * q, k, S)
    S, uncap = cap(S, softcap)
    S = hide(S, bias, mask, blocked)
    A, lse, unsoftmax = softmax_rows(S, sinks)
    kept = A if keep is None else A * keep
    out = mix(kept, v)

    def pullback(dout, dlse=None):
        dv = gather(kept, dout)
        dA = pairs(dout, v)
        dA = dA if keep is None else dA * keep
        dS, dsinks = unsoftmax(dA, dlse)
        dS0 = uncap(dS)
        dq = scale * mix(dS0, k)
        dk = scale * gather(dS0, q)
        return dq, dk, dv, dS, dsinks

    return (out, lse), pullback


@quiet()
def attention_weights(
    q, k, *,
    mask=None, causal=False, window=None, segments=None,
    bias=None, sinks=None,
    scale=None, softcap=None,
):
    """Return the weights A (..., H, Tq, Tk) and lse (..., H, Tq) of `attention`, same options.

    A v is its output, without keep.
    """
    a = check(
        q, k, k,
        mask=mask, causal=causal, window=window, segments=segments,
        bias=bias, sinks=sinks,
        scale=scale, softcap=softcap,
    )
    q, k, _, bias, sinks, mask, _, blocked = stacked(a)
    pairs, _, _ = masked_products(blocked)
    S, _ = cap(pairs(a.scale * q, k), softcap)
    S = hide(S, bias, mask, blocked)
    A, lse, _ = softmax_rows(S, sinks)
    require_range(lse, a)
    return unstack(A, a.shared), unstack(lse, a.shared)[..., 0]
