"""Primitives with their derivatives: everything else in minitf composes these.

Each is `y, pullback = op(x, ..., *, options)`. `pullback(dy)` is the transposed derivative at this x: linear, pure,
callable again, one gradient per differentiable argument in argument order. Letters: m examples, T positions, d width.
"""
import math

import numpy as np

from minitf.checks import floats, real, require, shape


def sum_to(dx, like):
    """Sum dx over the axes along which an array of shape `like` was broadcast: the transpose of broadcasting."""
    extra = dx.ndim - len(like)
    stretched = tuple(extra + i for i, n in enumerate(like) if n == 1 and dx.shape[extra + i] != 1)
    return dx.sum(axis=tuple(range(extra)) + stretched).reshape(like) if extra or stretched else dx


def linear(x, W, b=None):
    """Multiply the last axis of x by a matrix:  y = x W + b.

    dx = dy W^T,   dW = x^T dy,   db = sum dy        (sums over all leading axes of x)
    x (..., d), W (d, n), b (n,) -> y (..., n). pullback(dy) -> dx, dW, or dx, dW, db where b was given.
    """
    x, W = floats("x", x), floats("W", W, ndim=2)
    shape("W", W, (x.shape[-1] if x.ndim else None, None))
    y = x @ W
    if b is not None:
        b = floats("b", b)
        shape("b", b, (W.shape[1],))
        y = y + b

    def pullback(dy):
        rows = dy.reshape(-1, W.shape[1])
        grads = (dy @ W.T, x.reshape(-1, W.shape[0]).T @ rows)
        return grads if b is None else (*grads, rows.sum(axis=0))

    return y, pullback


def embed(index, E):
    """Look up rows of a table:  y = E[index].

    dE[i] = sum of dy where index = i
    index integers (...,), E (V, d) -> y (..., d). pullback(dy) -> dE. Errors: an index outside 0..V-1.
    """
    index, E = np.asarray(index), floats("E", E, ndim=2)
    require(index.dtype.kind in "iu", "index", "integers", index, TypeError)
    require(not index.size or (0 <= index.min() and index.max() < len(E)), "index", f"entries from 0 to {len(E) - 1}", index)
    y = E[index]

    def pullback(dy):
        onehot = (index.reshape(-1) == np.arange(len(E))[:, None]).astype(dy.dtype)
        return onehot @ dy.reshape(-1, E.shape[1])

    return y, pullback


def normalise(S):
    """Overwrite S by A = exp(S) / sum exp(S) over the last axis; return A and lse = log sum exp(S), that axis kept at 1.

    The maximum is subtracted first, so nothing overflows. A row that is all -inf (or has no entries) gives A = 0, lse = -inf.
    """
    top = S.real.max(axis=-1, keepdims=True, initial=-np.inf)
    np.copyto(top, 0, where=np.isneginf(top))
    A = np.exp(np.subtract(S, top, out=S), out=S)
    total = A.sum(axis=-1, keepdims=True)
    filled = total != 0
    A /= np.where(filled, total, 1)
    return A, top + np.log(total, where=filled, out=np.full_like(total, -np.inf))


def softmax_pullback(A, dA):
    """Overwrite dA by dS = A * (dA - sum(A * dA)), the Jacobian diag(A) - A A^T of each row applied to dA.

    The weighted mean of dA is taken off twice: where one weight is nearly 1 the first difference is mostly rounding
    error, and the second pass, which finds the mean of what is left, restores its digits.
    """
    for _ in range(2):
        dA -= np.einsum("...t,...t->...", A, dA)[..., None]
    dA *= A
    return dA


def softmax(S):
    """Normalise exponentials over the last axis:  A = exp(S) / sum exp(S), computed from S - max S.

    dS = A * (dA - sum(A * dA))
    S (..., T) -> A (..., T). A row whose entries are all -inf has no softmax: it is refused here and given a meaning
    in `attention`.
    """
    S = floats("S", S)
    require(S.ndim and S.shape[-1], "S", "at least one entry on the last axis", S)
    A, lse = normalise(S.copy())
    require(not np.isneginf(lse.real).any(), "S", "a finite entry in every row", "a row of -inf")

    def pullback(dA):
        return softmax_pullback(A, dA.copy())

    return A, pullback


def cap(x, limit):
    """Bound x smoothly:  y = limit tanh(x / limit), within -limit..limit and close to x near 0.

    dx = dy / cosh(x / limit)^2, from exp(-2 |x / limit|), which keeps its digits where 1 - tanh^2 has none left
    x (...) -> y (...). Errors: a limit that is not positive and finite. Source: Bello et al. 2017 (clipped logits).
    """
    x, limit = floats("x", x), real("softcap", limit, "a positive finite number", lambda c: 0 < c < math.inf)
    u = x / limit

    def pullback(dy):
        small = np.exp(-2 * np.where(u.real < 0, -u, u))
        return dy * (4 * small / (1 + small) ** 2)

    return limit * np.tanh(u), pullback


def relu(x):
    """Keep the positive part:  y = max(x, 0).      dx = dy where x > 0, else 0 (the left derivative at 0)."""
    x = floats("x", x)
    positive = x.real > 0
    y = np.where(positive, x, 0).astype(x.dtype, copy=False)

    def pullback(dy):
        return dy * positive

    return y, pullback


def gelu(x):
    """Gate x by the normal distribution function, in its tanh form:  y = x/2 (1 + tanh u),  u = c (x + a x^3).

    dx = dy (  (1 + tanh u)/2 + x/2 (1 - tanh^2 u) c (1 + 3 a x^2)  ),   c = sqrt(2/pi), a = 0.044715
    Source: Hendrycks and Gimpel 2016, equation 2; this is the form GPT-2 uses.
    """
    x = floats("x", x)
    c, a = math.sqrt(2 / math.pi), 0.044715
    tanh_u = np.tanh(c * (x + a * x * x * x))
    y = 0.5 * x * (1 + tanh_u)

    def pullback(dy):
        return dy * (0.5 * (1 + tanh_u) + 0.5 * x * (1 - tanh_u * tanh_u) * (c * (1 + 3 * a * x * x)))

    return y, pullback


def identity(x):
    """Return x itself, with the pullback dx = dy: the activation that does nothing."""
    return floats("x", x), lambda dy: dy


ACTIVATIONS = {"identity": identity, "relu": relu, "gelu": gelu}
