"""What attention and softmax are computed with: rows in place, products next to NaN, heads that fit the cache."""
import math

import numpy as np

SMALL = 30.0            # scores whose exponentials, and their sums and ratios, are far from the ends of float32


def sum_to(dx, like):
    """Sum dx over the axes along which an array of shape `like` was broadcast: the transpose of broadcasting."""
    extra = dx.ndim - len(like)
    stretched = tuple(extra + i for i, n in enumerate(like) if n == 1 and dx.shape[extra + i] != 1)
    return dx.sum(axis=tuple(range(extra)) + stretched).reshape(like) if extra or stretched else dx


def normalise(S):
    """Overwrite S by A = exp(S) / sum exp(S) over the last axis; return A and lse = log sum exp(S), that axis kept.

    The maximum is taken off first, so nothing overflows, unless all scores are so small that nothing can. A row that is
    all -inf, or has no entries, gives A = 0 and lse = -inf.
    """
    if S.size and -SMALL <= S.real.min() and S.real.max() <= SMALL:     # this costs less than the other way
        top = 0.0
    else:
        top = S.real.max(axis=-1, keepdims=True, initial=-np.inf)
        np.copyto(top, 0, where=np.isneginf(top))
        S -= top
    A = np.exp(S, out=S)
    total = np.einsum("...t->...", A)[..., None]
    filled = total != 0
    A /= np.where(filled, total, 1)
    return A, top + np.log(total, where=filled, out=np.full_like(total, -np.inf))


def softmax_pullback(A, dA):
    """Overwrite dA by dS = A * (dA - sum(A * dA)), the Jacobian diag(A) - A A^T of each row applied to dA.

    Where one weight is nearly 1 the first difference is mostly rounding error: there the weighted mean of dA is taken
    off twice, and the second pass, which finds the mean of what is left, restores its digits.
    """
    for _ in range(1 if A.real.max(initial=0) < 0.9 else 2):
        dA -= np.einsum("...t,...t->...", A, dA)[..., None]
    dA *= A
    return dA


CACHE = 2 ** 20         # bytes of scores that are worked on at a time: what the second-level cache of a core holds


def by_heads(attend, q, k, v, bias, blocked, *options):
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


def transpose(x):
    """Swap the last two axes; None stays None."""
    return None if x is None else np.swapaxes(x, -1, -2)


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

