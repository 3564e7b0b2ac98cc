"""An op over many heads: shared key heads, groups that fit the cache, the caller's own shapes.

    outputs, pullback = over_heads(attend, check(q, k, v, ...))
    return answer(outputs, pullback, lse)
"""
import math

import numpy as np

from minitf.checks import cotangent, flag, require
from minitf.ops.arguments import blocked_pairs, finite_part
from minitf.ops.kernels import quiet, sum_to
from minitf.ops.threads import each, one_blas_thread

MANY = 8                # as many groups of rows are made where there are fewer heads
CACHE = 2 ** 20         # bytes of scores worked on at a time: the second-level cache of a core


def stack(x, shared):
    """Put the query heads that read a key head below each other.

    (..., H, n, w) -> (..., H/shared, shared n, w)
    """
    if shared == 1:
        return x
    return x.reshape(*x.shape[:-3], x.shape[-3] // shared, shared * x.shape[-2], x.shape[-1])


def unstack(x, shared):
    """Undo stack."""
    if shared == 1:
        return x
    return x.reshape(*x.shape[:-3], shared * x.shape[-3], x.shape[-2] // shared, x.shape[-1])


def stacked(a):
    """Return q, k, v, bias, sinks, mask, keep, blocked: a row a query, stacked like q."""
    Tq, Tk = a.q.shape[-2], a.k.shape[-2]

    def spread(x, width):
        if x is None:
            return None
        x = np.broadcast_to(x, x.shape[:-2] + (Tq, width))
        if a.shared > 1 and x.shape[-3:-2] in ((), (1,)):
            x = np.broadcast_to(x, x.shape[:-3] + (a.q.shape[-3], Tq, width))
        return stack(x, a.shared)

    sinks = None if a.sinks is None else a.sinks[..., None, None]
    return (stack(a.q, a.shared), a.k, a.v, spread(a.bias, Tk), spread(sinks, 1),
            spread(finite_part(a), Tk), spread(a.keep, Tk), spread(blocked_pairs(a), Tk))


def over_heads(op, a):
    """Run op on stacked heads, in groups: (out, lse) and gradients shaped like the arguments.

    pullback(dout, dlse) -> dq, dk, dv, dbias, dsinks, the last two None where they were not given.
    """
    arrays, shared = stacked(a), a.shared
    with quiet(), one_blas_thread():
        (out, lse), back = by_heads(op, *arrays, scale=a.scale, softcap=a.softcap)
    require_range(lse, a)
    stacked_shapes = [x.shape for x in arrays[:3]]
    bias, sinks = (None if x is None else x.shape for x in (a.bias, a.sinks))

    def pullback(dout, dlse=None):
        dout = stack(dout, shared)
        dlse = None if dlse is None else stack(dlse[..., None], shared)
        with quiet(), one_blas_thread():
            *grads, dbias, dsinks = back(dout, dlse)
        dq, dk, dv = map(sum_to, grads, stacked_shapes)
        dq = unstack(dq, shared)
        dbias = None if bias is None else sum_to(unstack(dbias, shared), bias)
        if sinks is None:
            return dq, dk, dv, dbias, None
        dsinks = sum_to(unstack(dsinks, shared), (*sinks, 1, 1))
        return dq, dk, dv, dbias, dsinks.reshape(sinks)

    return (unstack(out, shared), unstack(lse, shared)[..., 0]), pullback


def require_range(lse, a):
    """Refuse finite q and k whose scores overflow; NaN and inf that were given pass on."""
    if not np.isfinite(lse).all() and np.isfinite(a.q).all() and np.isfinite(a.k).all():
        largest = [float(np.abs(x.real).max(initial=0)) for x in (a.q, a.k)]
        fits = math.prod(largest, start=abs(a.scale) * a.q.shape[-1]) < np.finfo(a.q.dtype).max
        require(fits, "q, k", f"scores in the range of {a.q.dtype}", a.q)


def answer(outputs, back, lse):
    """What a caller gets: out, or (out, lse), and a pullback that takes as much and checks it."""
    shapes, lse = tuple(x.shape for x in outputs), flag("lse", lse)

    def pullback(dout):
        if lse:
            pair = isinstance(dout, (tuple, list)) and len(dout) == 2
            require(pair, "dout", "the pair (dout, dlse)", dout)
            cotangents = dout
        else:
            cotangents = dout,
        named = zip(("dout", "dlse"), cotangents, shapes)
        found = [cotangent(*each) for each in named]
        dtype = np.result_type(*found)
        grads = back(*(x.astype(dtype, copy=False) for x in found))
        return tuple(dx for dx in grads if dx is not None)

    return outputs if lse else outputs[0], pullback


def by_heads(op, q, k, v, bias, *others, **options):
    """Run op(q, k, v, bias, *others, S, **options) for a group of heads, or of rows, at a time.

    op returns (out, lse), pullback, and pullback(dout, dlse) returns dq, dk, dv, dbias, dsinks.
    `bias` and `others` are None or have a row for each query. S is room for the scores: a group has
    about CACHE bytes of them, so that a score is still in the cache when it is next needed. All
    scores share one array: the system clears memory faster in one piece.

    Groups do not meet, so they may run at the same time. They do not depend on the number of
    threads, and so the numbers do not. There are no groups where leading axes broadcast.
    """
    lead, Tq, Tk = q.shape[:-2], q.shape[-2], k.shape[-2]
    heads = math.prod(lead)
    parts = groups(heads, Tq, Tk * q.itemsize) if lead == k.shape[:-2] == v.shape[:-2] else []
    if len(parts) < 2:
        return op(q, k, v, bias, *others, None, **options)
    arrays = [flat(x, lead) for x in (q, k, v)] + [every_head(x, lead) for x in (bias, *others)]
    S = np.empty((heads, Tq, Tk), q.dtype)
    outs = np.empty((heads, Tq, v.shape[-1]), q.dtype), np.empty((heads, Tq, 1), q.dtype)

    def forward(some, rows):
        q, k, v, *extra = arrays
        extra = (part_of(x, some, rows) for x in (*extra, S))
        found, back = op(q[some, rows], k[some], v[some], *extra, **options)
        for whole, part in zip(outs, found):
            whole[some, rows] = part
        return back

    backs = each(forward, parts)
    shapes = [x.shape for x in (*arrays[:3], S[..., :0] if bias is None else S, outs[1])]

    def pullback(dout, dlse=None):
        grads = gather_parts(parts, backs, flat(dout, lead), flat(dlse, lead), shapes)
        return tuple(dx.reshape(*lead, *dx.shape[1:]) for dx in grads)

    return tuple(x.reshape(*lead, *x.shape[1:]) for x in outs), pullback


def gather_parts(parts, backs, dout, dlse, shapes):
    """Run the pullbacks of all parts; join the gradients; those of keys and values are sums."""
    dq, dk, dv, dbias, dsinks = grads = [np.empty(shape, dout.dtype) for shape in shapes]

    def backward(some, rows, back):
        dq[some, rows], dk_part, dv_part, dS, dsink = back(
            dout[some, rows], part_of(dlse, some, rows))
        if dbias.size:
            dbias[some, rows] = dS
        if dsink is not None:
            dsinks[some, rows] = dsink
        return dk_part, dv_part

    shares = each(backward, [(*part, back) for part, back in zip(parts, backs)])
    for (some, rows), share in zip(parts, shares):
        for total, more in zip((dk, dv), share):
            total[some] = more if rows.start == 0 else total[some] + more
    return grads


def groups(heads, Tq, row):
    """Cut heads and rows into parts (heads, rows) of about CACHE bytes; a row of scores has `row`.

    A head is only cut where there are too few heads to share out.
    """
    some, every = max(1, CACHE // max(1, Tq * row)), max(1, Tq)
    rows = every if Tq * row <= CACHE else max(64, -(-Tq * heads // MANY))
    return [(slice(i, i + some), slice(j, j + rows))
            for i in range(0, heads, some) for j in range(0, every, rows)]


def flat(x, lead):
    """Put all heads on one axis; None stays None."""
    if x is None:
        return x
    return np.broadcast_to(x, lead + x.shape[-2:]).reshape(math.prod(lead), *x.shape[-2:])


def every_head(x, lead):
    """Put all heads on one axis, but leave alone an array of two axes: it serves every head."""
    return x if x is None or x.ndim == 2 else flat(x, lead)


def part_of(x, some, rows):
    """Take some heads and rows of a flat array or None."""
    return x if x is None else x[rows] if x.ndim == 2 else x[some, rows]
