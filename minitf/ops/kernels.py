"""What ops are computed with: softmax in place, products next to NaN, means, freed memory."""
from functools import partial

import numpy as np

from minitf.checks import floats

SMALL = 30.0            # exponentials of such scores, their sums and ratios are far from overflow


def keep_freed_memory():
    """Let the C library keep what NumPy frees.

    That of Linux gives freed arrays back to the system, and the next step then pays for clearing
    fresh pages. Once a block of nearly 32 MB was freed, it keeps up to 64 MB (mallopt(3),
    M_MMAP_THRESHOLD). This one is never touched.
    """
    np.empty(2 ** 25 - 2 ** 16, np.uint8)


keep_freed_memory()


def sum_to(dx, like):
    """Sum dx over the axes along which an array of shape `like` was broadcast: its transpose."""
    if dx.shape == like:
        return dx
    extra = dx.ndim - len(like)
    stretched = tuple(extra + i for i, n in enumerate(like) if n == 1 and dx.shape[extra + i] != 1)
    return dx.sum(axis=tuple(range(extra)) + stretched).reshape(like)


def softmax_rows(S, sink=None):
    """Overwrite S by A = exp(S) / (sum exp(S) + exp(sink)) over the last axis.

    lse   = log(sum exp(S) + exp(sink))
    dS    = A * (dA - sum(A * dA) + dlse)
    dsink = A_sink (dlse - sum(A * dA)),   A_sink = exp(sink - lse)
    S (..., T), sink (..., 1) or None -> A (..., T), lse (..., 1). pullback(dA, dlse or None) -> dS,
    dsink; it overwrites dA. A row without a finite score or sink gives A = 0, lse = -inf, dS = 0.

    """
    with quiet():
        top = take_off_maximum(S, sink)
        A = np.exp(S, out=S)
        total = np.einsum("...t->...", A)[..., None]
        A_sink = None if sink is None else np.exp(sink - top)
        total = total if sink is None else total + A_sink
        filled = total != 0
        divisor = np.where(filled, total, 1)
        A /= divisor
        A_sink = None if sink is None else A_sink / divisor
        lse = top + np.log(total, where=filled, out=np.full_like(total, -np.inf))

    def pullback(dA, dlse=None):
        dlse = None if dlse is None else np.where(filled, dlse, 0)
        with quiet():
            return softmax_pullback(A, A_sink, dA, dlse)

    return A, lse, pullback


def softmax_pullback(A, A_sink, dA, dlse):
    """Overwrite dA by dS = A * (dA - sum(A * dA) + dlse); return it and dsink.

    Where one weight is nearly 1 the first difference is mostly rounding: there the mean is taken
    off twice, and the second, of what is left, restores the digits. The sink's own dA is 0, and the
    mean is taken off it too.
    """
    dA_sink = 0.0
    for _ in range(1 if A.real.max(initial=0) < 0.9 else 2):
        mean = np.einsum("...t,...t->...", A, dA)[..., None]
        if A_sink is not None:
            mean += A_sink * dA_sink
            dA_sink = dA_sink - mean
        dA -= mean
    if dlse is not None:
        dA = dA + dlse                          # of another dtype, perhaps
        dA_sink = dA_sink + dlse
    dA *= A
    return dA, None if A_sink is None else A_sink * dA_sink


def take_off_maximum(S, sink):
    """Take the largest score or sink of every row off S, in place: no exponential overflows.

    Return it. It is 0 in a row without a finite one, and where all scores are so small that nothing
    can overflow: to see that costs less than to subtract.
    """
    small = S.size and -SMALL <= S.real.min() and S.real.max() <= SMALL
    if small and (sink is None or sink.real.max() <= SMALL):
        return 0.0
    top = S.real.max(axis=-1, keepdims=True, initial=-np.inf)
    top = top if sink is None else np.maximum(top, sink.real)
    np.copyto(top, 0, where=np.isneginf(top))
    with np.errstate(over="ignore"):                    # what is that far below has the weight 0
        S -= top
    return top


def quiet():
    """Let underflow pass, in a `with` or above a function: an exponential that is 0 is right."""
    return np.errstate(under="ignore")


def transpose(x):
    """Swap the last two axes; None stays None."""
    return None if x is None else np.swapaxes(x, -1, -2)


def masked_products(blocked):
    """Return the functions a b^T, P b and P^T a, of (a, b), (P, b), (P, a), without blocked pairs.

    A blocked pair contributes nothing, not even 0 * NaN.
    """
    def gather(P, a):
        return mix(transpose(P), a, transpose(blocked))

    return partial(pairs, blocked=blocked), partial(mix, blocked=blocked), gather


def pairs(a, b, out=None, blocked=None):
    """Multiply every row of a by every row of b; next to NaN or inf, blocked pairs read 0."""
    if blocked is None:
        return np.matmul(a, transpose(b), out=out)
    with np.errstate(invalid="ignore"):
        P = np.matmul(a, transpose(b), out=out)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        np.copyto(P, 0, where=blocked)
    return P


def mix(P, b, blocked=None):
    """Add up the rows of b with weights P; blocked pairs add nothing, not even 0 * NaN."""
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


def hide(S, bias, mask, blocked):
    """Add bias and the finite part of a mask to S, in place; write -inf over the blocked pairs."""
    for added in bias, mask:
        if added is not None:
            S += added
    if blocked is not None:
        np.copyto(S, -np.inf, where=blocked)
    return S


def mean(*factors):
    """Mean of a product of arrays over the last axis, that axis kept."""
    axes = ",".join(["...d"] * len(factors)) + "->..."
    return np.einsum(axes, *factors)[..., None] / factors[0].shape[-1]


@np.errstate(invalid="ignore")
def standardised(x, eps):
    """x - mean x and sqrt(mean (x - mean x)^2 + eps), over the last axis."""
    n = x - mean(x)
    n -= mean(n)                                      # the first mean was rounded at the scale of x
    return n, np.sqrt(mean(n, n) + eps)


def unit_of(x, least):
    """The power of 2 next to the largest entry of every row, and at least 2^least."""
    _, exponent = np.frexp(np.abs(x.real).max(axis=-1, keepdims=True))
    least = max(least, np.finfo(x.dtype).minexp)
    return np.ldexp(x.real.dtype.type(1), np.maximum(exponent - 1, least))


def sigmoid(z):
    """Return 1 / (1 + exp(-z)), to full relative accuracy; 0 where exp(-z) overflows."""
    with np.errstate(over="ignore", under="ignore"):
        e = np.asarray(np.exp(-floats("z", z)))
    e += 1
    return 1 / e
