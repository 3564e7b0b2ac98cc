"""Softmax attention in memory linear in its lengths: the scores live a block at a time, and are made again backward.

    out, pullback = attention_blocked(q, k, v)        then        dq, dk, dv = pullback(dout)

Letters as in `attention`: H query heads, G key heads, Tq queries, Tk keys, d and dv widths; B queries in a block.
"""
import numpy as np

from minitf.checks import integer
from minitf.ops.arguments import check, cotangent
from minitf.ops.attention import attention


def attention_blocked(q, k, v, *, mask=None, causal=False, scale=None, softcap=None, block=None):
    """Compute `attention` for B queries at a time, so that only B rows of scores and weights exist at once.

    out[rows]            = attention(q[rows], k[keys], v[keys])        rows = i .. i+B-1, keys = 0 .. those they reach

    dq[rows], dk_i, dv_i = the pullback of that block, made again, at dout[rows]
    dk[keys]            += dk_i            a key collects from every block that reads it
    dv[keys]            += dv_i

    A query's weights need all of its own scores and nothing of any other query's, so blocks of queries are independent:
    same arguments, options, edge cases and errors as `attention`, same numbers up to the order of the sums over blocks.
    Causal order also saves the time of the keys that no query of a block can reach; the mask is not read there.

    block    B, a whole number >= 1; unless given, a block has about 2^20 scores, and never fewer than 64 queries

    Memory O(H B Tk) beside arguments and results; the pullback keeps q, k, v and the mask. Time: forward that of
    `attention`, backward six matrix products instead of four, for the scores and averages made again.
    Fused kernels cut the keys too, and carry a running maximum and sum, to stay in fast memory. They then take the mean
    of dA from sum(dout * out), whose rounding is all that is left of the gradient where one weight is nearly 1; with
    whole rows `softmax_pullback` keeps its digits there.
    Source: Rabe and Staats 2021, section 3; Dao et al. 2022, section 3.1 (recomputation).
    """
    q, k, v, _, scale, mask, reach = check(q, k, v, mask, causal, scale)
    Tq, Tk = q.shape[-2], k.shape[-2]
    lead = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3]) + q.shape[-3:-2]
    block = max(64, 2**20 // max(1, np.prod(lead, dtype=int) * Tk)) if block is None else integer("block", block, 1)
    end = Tq if reach is None else min(Tq, Tk - reach)              # the queries from here on reach every key
    edges = sorted({*range(0, Tq, block), end, Tq})
    blocks = [slice(*pair) for pair in zip(edges, edges[1:])] or [slice(0, 0)]

    def attend(rows):
        """Attention of a block of queries, its pullback, and the keys in reach; a corner moves along with them."""
        inside = reach is not None and rows.stop <= end
        keys = slice(0, max(0, rows.stop + reach) if inside else Tk)
        out, pullback = attention(q[..., rows, :], k[..., keys, :], v[..., keys, :], mask=cut(mask, rows, keys),
                                  causal="bottom-right" if inside else False, scale=scale, softcap=softcap)
        return out, pullback, keys

    out = np.empty((*lead, Tq, v.shape[-1]), q.dtype)
    for rows in blocks:
        out[..., rows, :], _, _ = attend(rows)
    shape = out.shape

    def pullback(dout):
        dout = cotangent(dout, shape)
        dq, dk, dv = (np.zeros(x.shape, np.result_type(x, dout)) for x in (q, k, v))
        for rows in blocks:
            _, back, keys = attend(rows)
            dq[..., rows, :], dk_i, dv_i = back(dout[..., rows, :])
            dk[..., keys, :] += dk_i
            dv[..., keys, :] += dv_i
        return dq, dk, dv

    return out, pullback


def cut(mask, rows, keys):
    """Cut [rows, keys] out of a mask, or None; an axis that is missing or of length 1 stands for every row or key."""
    if mask is None:
        return None
    mask = mask[..., rows, :] if mask.ndim > 1 and mask.shape[-2] > 1 else mask
    return mask[..., keys] if mask.ndim else mask
