"""The matrix norms, and the dual of each.

A norm here is a vector norm (l1, l2 or linf) of a vector of parts: the entries of a matrix, the
norms of its columns or of its rows, or its singular values. ||M||_{p,q} is the q-norm of the
vector of p-norms of the columns.

    kind     definition                          dual kind, definition
    l1       sum of all |M_ij|                   linf      largest |M_ij|
    l21      sum of column l2 norms, ||M||_{2,1} l2inf     largest column l2 norm, ||M||_{2,inf}
    l21t     sum of row l2 norms, ||M^T||_{2,1}  l2inft    largest row l2 norm, ||M^T||_{2,inf}
    linf1    sum of column maxima, ||M||_{inf,1} l1inf     largest column l1 norm, ||M||_{1,inf}
    nuclear  sum of singular values              spectral  largest singular value
    l2       Frobenius norm                      l2        its own dual

A norm acts on the last two axes; a vector is one column, a number one entry, earlier axes are
independent matrices. Source: Edelman, Goel, Kakade, Zhang 2022 (the (2,1) norms); Horn and
Johnson, Matrix Analysis, chapter 5 (duals).
"""
import numpy as np

from minitf.checks import choice, floats, require

DUAL = {"l1": "linf", "l21": "l2inf", "l21t": "l2inft", "linf1": "l1inf", "nuclear": "spectral",
        "l2": "l2"}
DUAL |= {dual: kind for kind, dual in DUAL.items()}
KINDS = tuple(DUAL)
COLUMN, ROW = -2, -1        # the axis that runs along a column, the axis that runs along a row


def reals(name, x, finite=True):
    """Return x as a float32 or float64 array of finite numbers, at most 1e300: sums stay so."""
    x = floats(name, x)
    if x.dtype.char == "D":
        require(False, name, "a float32 or float64 array", x, TypeError)
    if finite and not float(np.abs(x).max(initial=0)) <= 1e300:
        floats(name, x, finite=True)
        require(False, name, "entries up to 1e300", x)
    return x


def matrices(x):
    """View x as matrices (..., n, d): a vector is one column, a number one entry."""
    return x if x.ndim >= 2 else x.reshape(-1, 1)


def total(A, axis):
    """Sum in float64 over one axis, a long one block by block.

    NumPy adds a million rows one after the other and loses 1e-11; in blocks of 4096 the loss stays
    below 1e-13.
    """
    while A.shape[axis] > 4096:
        A = np.add.reduceat(A, np.arange(0, A.shape[axis], 4096), axis=axis, dtype=np.float64)
    return A.sum(axis=axis, dtype=np.float64)


def l1(M, axis):
    return total(np.abs(M), axis)


def l2(M, axis):
    """Euclidean norm in float64; where squares leave its range the largest entry is divided out."""
    with np.errstate(over="ignore", under="ignore"):
        length = np.sqrt(total(np.square(M, dtype=np.float64), axis))
    outside = ~((1e-140 < length) & (length < 1e150))
    if outside.any():
        vectors = np.moveaxis(M, axis, -1)[outside].astype(np.float64)
        top = linf(vectors, -1)[..., None]
        ratio = np.divide(vectors, top, out=np.zeros_like(vectors), where=top > 0)
        length = np.asarray(length)
        length[outside] = top[..., 0] * np.sqrt(total(np.square(ratio), -1))
    return length


def linf(M, axis):
    return np.max(np.abs(M), axis=axis, initial=0)


def singular_values(M):
    return np.linalg.svd(M, compute_uv=False)


NORM = {
    "l1": lambda M: l1(l1(M, ROW), -1),
    "l2": lambda M: l2(l2(M, ROW), -1),
    "linf": lambda M: linf(linf(M, ROW), -1),
    "l21": lambda M: l1(l2(M, COLUMN), -1),
    "l21t": lambda M: l1(l2(M, ROW), -1),
    "l2inf": lambda M: linf(l2(M, COLUMN), -1),
    "l2inft": lambda M: linf(l2(M, ROW), -1),
    "l1inf": lambda M: linf(l1(M, COLUMN), -1),
    "linf1": lambda M: l1(linf(M, COLUMN), -1),
    "nuclear": lambda M: l1(singular_values(M), -1),
    "spectral": lambda M: linf(singular_values(M), -1),
}


def measure(M, kind):
    """Norm of matrices M that are known to be valid, in their dtype."""
    return NORM[kind](M).astype(M.dtype)[()]


def norm(x, kind):
    """Norm of every matrix of x:  x (..., n, d) -> (...).

    Cost: one pass over x; one singular value decomposition for nuclear and spectral. Sums are
    taken in float64 and returned in the dtype of x. Errors: an unknown kind; complex, float16, NaN
    or infinite entries, or one above 1e300.
    """
    choice("kind", kind, KINDS)
    x = reals("x", x)
    return measure(matrices(x), kind)


def dual_norm(x, kind):
    """Dual norm of every matrix of x:  max <x, U> over ||U|| <= 1. Shapes and errors as `norm`."""
    return norm(x, DUAL[choice("kind", kind, KINDS)])
