"""Primitives with their derivatives: everything else in minitf composes these.

Each is `y, pullback = op(x, ..., *, options)`. `pullback(dy)` is the transposed derivative at this
x: linear, pure, callable again, one gradient per differentiable argument in argument order.
Letters: m examples, T positions, d width.
"""
import math

import numpy as np

from minitf.checks import array, floats, nonnegative, op, positive, require, shape, symbols
from minitf.ops.kernels import mean, quiet, sigmoid, softmax_rows, standardised, sum_to, unit_of


@op
def add(a, b):
    """Add with broadcasting:  y = a + b.    da, db = dy, summed over broadcast axes."""
    a, b = floats("a", a), floats("b", b)
    try:
        y = a + b
    except ValueError:
        require(False, "a, b", "shapes that broadcast", (a.shape, b.shape))

    def pullback(dy):
        return sum_to(dy, a.shape), sum_to(dy, b.shape)

    return y, pullback


@op
def linear(x, W, b=None):
    """Multiply the last axis of x by a matrix:  y = x W + b.

    dx = dy W^T,   dW = x^T dy,   db = sum dy        (sums over all leading axes of x)
    x (..., d), W (d, n), b (n,) -> y (..., n). pullback(dy) -> dx, dW, and db where b was given.
    """
    x, W = floats("x", x), floats("W", W, ndim=2)
    require(x.ndim, "x", "at least one axis", x)
    shape("W", W, (x.shape[-1], None))
    rows = x.reshape(math.prod(x.shape[:-1]), W.shape[0])   # one product, not one a leading index
    y = rows @ W
    if b is not None:
        b = floats("b", b)
        shape("b", b, (W.shape[1],))
        y = np.add(y, b, out=y if np.can_cast(b.dtype, y.dtype) else None)

    def pullback(dy):
        dy = dy.reshape(len(rows), W.shape[1])
        grads = ((dy @ W.T).reshape(x.shape), rows.T @ dy)
        return grads if b is None else (*grads, np.ones(len(dy), dy.dtype) @ dy)

    return y.reshape(*x.shape[:-1], W.shape[1]), pullback


@op
def embed(index, E):
    """Look up rows of a table:  y = E[index].

    dE[i] = sum of dy where index = i
    index integers (...,), E (V, d) -> y (..., d). pullback(dy) -> dE.
    Errors: an index outside 0..V-1.
    """
    E = floats("E", E, ndim=2)
    index = symbols("index", index, len(E))
    y = E[index]

    def pullback(dy):
        order = index.argsort(axis=None, kind="stable")
        symbol = index.reshape(-1)[order]
        first = np.flatnonzero(np.diff(symbol.astype(np.int64), prepend=-1))
        dE = np.zeros(E.shape, dy.dtype)
        rows = dy.reshape(index.size, E.shape[1])[order]
        dE[symbol[first]] = np.add.reduceat(rows, first, axis=0)
        return dE

    return y, pullback


@op
def softmax(S):
    """Normalise exponentials over the last axis:  A = exp(S) / sum exp(S), computed from S - max S.

    dS = A * (dA - sum(A * dA))
    Why: S_j moves A_i by A_i ([i = j] - A_j), so dS_j = sum_i dA_i A_i ([i = j] - A_j).
    S (..., T) -> A (..., T). A row whose entries are all -inf has no softmax: it is refused here
    and given a meaning in `attention`.
    """
    S = floats("S", S)
    require(S.ndim and S.shape[-1], "S", "at least one entry on the last axis", S)
    A, lse, unsoftmax = softmax_rows(S.copy())
    require(not np.isneginf(lse.real).any(), "S", "a finite entry in every row", "a row of -inf")

    def pullback(dA):
        dS, _ = unsoftmax(dA.astype(np.result_type(dA, A)))
        return dS

    return A, pullback


def cap(x, softcap):
    """Bound x smoothly:  y = softcap tanh(x / softcap), near x while |x| is small next to softcap.

    dx = dy / cosh(x / softcap)^2, from exp(-2 |x / softcap|): 1 - tanh^2 has no digits in the tails
    x (...) -> y (...); None: y = x. Source: Bello et al. 2017, section 3 (clipped logits).
    """
    x = floats("x", x)
    if softcap is None:
        return x, lambda dy: dy
    softcap = positive("softcap", softcap)
    with np.errstate(over="ignore"):            # tanh of inf is right
        u = x / softcap
    y = softcap * np.tanh(u)

    def pullback(dy):
        with quiet():
            small = np.exp(-2 * np.where(u.real < 0, -u, u))
            return dy * (4 * small / (1 + small) ** 2)

    return y, pullback


@op
def layer_norm(x, gain, bias, *, eps=1e-5):
    """Standardise the last axis, then stretch and shift it.

    n = (x - mean x) / s,   s = sqrt(mean (x - mean x)^2 + eps)
    y = gain n + bias

    dn = gain dy
    dx = (dn - mean dn - n mean(n dn)) / s
    dgain = sum n dy,   dbias = sum dy                                 (over leading axes)
    x (..., d), gain (d,), bias (d,) -> y (..., d). eps >= 0 is part of the function; with eps = 0 a
    constant row has no value. Source: Ba, Kiros and Hinton 2016, section 3.
    """
    x, gain, bias = floats("x", x), floats("gain", gain), floats("bias", bias)
    require(x.ndim and x.shape[-1], "x", "at least one entry on the last axis", x)
    shape("gain", gain, x.shape[-1:])
    shape("bias", bias, x.shape[-1:])
    eps = nonnegative("eps", eps)
    n, s, unit = *standardised(x, eps), None
    if not (eps > 1e-30 and s.real.max(initial=0) < np.inf):
        unit = unit_of(x, 0 if eps else -np.inf)            # squares left the range of x
        n, s = standardised(x / unit, eps / unit / unit)
    require(bool((s != 0).all()), "x", "rows that are not constant, or eps > 0", x)
    n, s = np.divide(n, s, out=n), s if unit is None else s * unit
    y = gain * n + bias

    def pullback(dy):
        dn = gain * dy
        dx = (dn - mean(dn) - n * mean(n, dn)) / s
        rows = dy.reshape(-1, len(gain))
        dgain = np.einsum("nd,nd->d", n.reshape(rows.shape), rows)
        return dx, dgain, np.ones(len(rows), dy.dtype) @ rows

    return y, pullback


@op
def unit_ball(x):
    """Project every row onto the Euclidean unit ball:  y = x / max(1, ||x||).

    dx = dy inside (||x|| <= 1),   dx = (dy - y (y . dy)) / ||x|| outside
    x (..., d) -> y (..., d). It is 1-Lipschitz, as layer_norm is not.
    Source: Edelman et al. 2022, section 4 (Pi_norm).
    """
    x = floats("x", x)
    require(x.ndim, "x", "at least one axis", x)
    unit = np.abs(x.real).max(axis=-1, keepdims=True, initial=1)    # squares cannot overflow
    ratio = np.sqrt(((x / unit) ** 2).sum(axis=-1, keepdims=True))
    with np.errstate(over="ignore", invalid="ignore"):
        length = unit * ratio
        outside = length.real > 1
        length = np.where(outside, length, 1)
        y = x / length
    if np.isinf(length).any():
        y = np.where(np.isinf(length), x / unit / ratio, y)

    def pullback(dy):
        radial = np.where(outside, (y * dy).sum(axis=-1, keepdims=True), 0)
        return (dy - y * radial) / length

    return y, pullback


@op
def identity(x):
    """Return x itself:  y = x,  dx = dy.  The activation that does nothing."""
    return floats("x", x), lambda dy: dy


@op
def relu(x):
    """Keep the positive part:  y = max(x, 0).      dx = dy where x > 0, 0 elsewhere."""
    x = floats("x", x)
    on = ~(x.real <= 0)                 # NaN passes on
    y = np.maximum(x, 0)

    def pullback(dy):
        return dy * on

    return y, pullback


@op
def gelu(x):
    """Gate x by the normal distribution function, in its tanh form:  y = x (1 + tanh(u/2))/2.

    g = sigmoid(u),   u = 2 c (x + a x^3),   c = sqrt(2/pi),   a = 0.044715
    dx = dy ( g + x g (1 - g) du/dx ),   du/dx = 2 c (1 + 3 a x^2)
    Source: Hendrycks and Gimpel 2016, section 2; this is the form GPT-2 uses.
    """
    x = floats("x", x)
    c, a = math.sqrt(2 / math.pi), 0.044715
    with np.errstate(over="ignore"):                                # g is 0 or 1 there
        u = x * (2 * c + 2 * c * a * (x * x))                       # x ** 3 is 12 times slower
    g = sigmoid(u)
    y = x * g

    def pullback(dy):
        xw = x * (g * (1 - g))                                      # 0 before x * x overflows
        return dy * (g + 2 * c * (xw + 3 * a * (xw * x * x)))

    return y, pullback


ACTIVATIONS = {"identity": identity, "relu": relu, "gelu": gelu}


@op
def logistic(logits, y):
    """Cross-entropy of Boolean labels from logits z:  -y log sigmoid(z) - (1 - y) log sigmoid(-z).

    loss = max(z, 0) - y z + log(1 + exp(-|z|))
    dz   = dloss ( (1 - y) sigmoid(z) - y sigmoid(-z) )
    z = logits (...), y of the same shape, 0 and 1 or probabilities between -> loss (...). Both are
    written so that a well-classified example keeps its digits: no clipping, no epsilon.
    """
    z, y = floats("logits", logits), array("y", y)
    shape("y", y, z.shape)
    require(y.dtype.kind in "biuf", "y", "labels from 0 to 1", y, TypeError)
    require(y.min(initial=0) >= 0 and y.max(initial=0) <= 1, "y", "labels from 0 to 1", y)
    y = y.astype(z.real.dtype)
    above = np.where(z.real > 0, z, 0)
    with quiet():
        loss = above - y * z + np.log1p(np.exp(z - above - above))

    def pullback(dloss):
        return dloss * ((1 - y) * sigmoid(z) - y * sigmoid(-z))

    return loss, pullback
