"""Softmax attention in memory linear in its lengths: scores live a block at a time.

    out, pullback = attention_blocked(q, k, v)        then        dq, dk, dv = pullback(dout)

Letters as in `attention`: H query heads, Tq queries, Tk keys; B queries in a block.
"""
import math

import numpy as np

from minitf.checks import integer
from minitf.ops.arguments import check, cut, part
from minitf.ops.attention import attend
from minitf.ops.heads import answer, over_heads

SCORES = 2 ** 20        # scores of a block, by default


def attention_blocked(
    q, k, v, *,
    mask=None, causal=False, window=None, segments=None,
    bias=None, sinks=None, keep=None,
    scale=None, softcap=None, lse=False,
    block=None,
):
    """Compute `attention` for B queries at a time, so that only B rows of scores exist at once.

    out[rows]            = attention(q[rows], k[keys], v[keys])     keys: those that rows can reach

    dq[rows], dk_i, dv_i = the pullback of that block, made again, at dout[rows]
    dk[keys]            += dk_i            a key collects from every block that reads it
    dv[keys]            += dv_i            and so do a bias that blocks share, and a sink

    A query's weights need all of its own scores and nothing of any other query's, so blocks of
    queries are independent: same arguments, options, edge cases and errors as `attention`, same
    numbers up to the order of the sums over blocks. Keys that causal order, a window or segments
    put out of reach of all queries of a block take no time, and the mask is not read there. No
    array over all pairs is made; a bias and its gradient have the size that the caller gave.

    block    B, a whole number >= 1; unless given, a block has about 2^20 scores, fewer in a narrow
             window, and never fewer than 64 queries

    Memory O(H B Tk) beside arguments and results; the pullback keeps the arguments. Time: forward
    that of `attention`, backward six matrix products instead of four: scores and averages are made
    again. Fused kernels cut the keys too, and carry a running maximum and sum, to stay in fast
    memory. They then take the mean of dA from sum(dout * out), whose rounding is all that is left
    of the gradient where one weight is nearly 1; here whole rows keep their digits.
    Source: Rabe and Staats 2021, section 3; Dao et al. 2022, section 3.1 (recomputation).
    """
    a = check(
        q, k, v,
        mask=mask, causal=causal, window=window, segments=segments,
        bias=bias, sinks=sinks, keep=keep,
        scale=scale, softcap=softcap,
    )
    blocks = list(cuts(a, block))
    out_shape, lse_shape = shapes_of(a)
    out, logs = np.empty(out_shape, a.q.dtype), np.empty(lse_shape, a.q.dtype)
    for rows, keys in blocks:
        (out[..., rows, :], logs[..., rows]), _ = over_heads(attend, part(a, rows, keys))

    def pullback(dout, dlse=None):
        return backward(a, blocks, dout, dlse)

    return answer((out, logs), pullback, lse)


def backward(a, blocks, dout, dlse):
    """Make every block again and add up its gradients: dq, dk, dv, dbias, dsinks, or None."""
    dq, dk, dv, dbias, dsinks = (
        x if x is None else np.zeros(x.shape, np.result_type(x, dout))
        for x in (a.q, a.k, a.v, a.bias, a.sinks))
    for rows, keys in blocks:
        _, back = over_heads(attend, part(a, rows, keys))
        dlse_i = None if dlse is None else dlse[..., rows]
        dq[..., rows, :], dk_i, dv_i, dbias_i, dsinks_i = back(dout[..., rows, :], dlse_i)
        dk[..., keys, :] += dk_i
        dv[..., keys, :] += dv_i
        if dbias is not None:
            cut(dbias, rows, keys)[...] += dbias_i
        if dsinks is not None:
            dsinks += dsinks_i
    return dq, dk, dv, dbias, dsinks


def shapes_of(a):
    """The shapes of out and of lse."""
    q, k, v = (x.shape[:-3] for x in (a.q, a.k, a.v))
    queries = a.q.shape[-3:-1]
    out = *np.broadcast_shapes(q, k, v), *queries, a.v.shape[-1]
    lse = *np.broadcast_shapes(q, k), *queries
    return out, lse


def cuts(a, block):
    """Return the blocks as slices (rows, keys): B queries, and the keys they can reach."""
    Tq, Tk = a.q.shape[-2], a.k.shape[-2]
    first, last = reach(a)
    if block is None:
        heads = math.prod(shapes_of(a)[0][:-2])
        met = np.maximum(last - first, 0)
        wide = int(met.sum()) // max(1, Tq) + 1                     # keys that a query reaches
        block = SCORES // max(1, heads * min(Tk, 2 * wide))
        block = max(64, min(block, wide))
    else:
        block = integer("block", block, 1)
    for i in range(0, max(1, Tq), block):
        rows = slice(i, min(i + block, Tq))
        start = int(min(first[rows], default=0))
        stop = int(max(last[rows], default=0))
        yield rows, slice(start, max(start, stop))


def reach(a):
    """Return (first, last): query i meets only keys first_i .. last_i - 1, by band and segments."""
    Tq, Tk = a.q.shape[-2], a.k.shape[-2]
    i, (low, high) = np.arange(Tq), a.band
    first, last = np.clip(i + low, 0, Tk), np.clip(i + high + 1, 0, Tk)
    if a.segments is None:
        return first, last
    lead = np.broadcast_shapes(*(ids.shape[:-1] for ids in a.segments))
    wide = [np.broadcast_to(ids, lead + ids.shape[-1:]) for ids in a.segments]
    begin, end = np.full(Tq, Tk), np.zeros(Tq, int)
    for at in np.ndindex(lead):
        wanted, ids = (x[at] for x in wide)
        known, start = np.unique(ids, return_index=True)
        stop = Tk - np.unique(ids[::-1], return_index=True)[1]
        at = np.searchsorted(known, wanted)
        there = np.isin(wanted, known)
        begin[there] = np.minimum(begin[there], start[at[there]])
        end[there] = np.maximum(end[there], stop[at[there]])
    return np.maximum(first, begin), np.minimum(last, end)
