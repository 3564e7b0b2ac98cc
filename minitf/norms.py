"""Matrix norms and their duals.

Every norm here is a vector norm (l1, l2 or linf) of a vector of parts: the entries of the matrix, the norms of its
columns or of its rows, or its singular values. With ||M||_{p,q} the q-norm of the vector of p-norms of the columns:

    l1       sum of all |M_ij|                       linf     largest |M_ij|
    l2       Frobenius norm
    l21      ||M||_{2,1}, sum of column l2 norms     l2inf    ||M||_{2,inf}, largest column l2 norm
    l21t     ||M^T||_{2,1}, sum of row l2 norms      l2inft   ||M^T||_{2,inf}, largest row l2 norm
    linf1    sum of column maxima                    l1inf    largest column l1 norm
    nuclear  sum of singular values                  spectral largest singular value

The two norms on one line are dual to each other; l2 is its own dual. A norm acts on the last two axes, a vector is one
column, earlier axes are independent matrices.
"""
import numpy as np

from minitf.checks import choice, floats

DUAL = {"l2": "l2"}
for one, other in [("l1", "linf"), ("l21", "l2inf"), ("l21t", "l2inft"), ("linf1", "l1inf"), ("nuclear", "spectral")]:
    DUAL |= {one: other, other: one}
KINDS = tuple(DUAL)


def as_matrices(x):
    """View x as matrices (..., rows, columns): a vector is one column, a number one entry."""
    return x if x.ndim >= 2 else x.reshape(-1, 1)


def l2(M, axis):
    """Euclidean norm over the given axes, free of overflow and underflow: the largest entry is divided out first."""
    top = np.max(np.abs(M), axis=axis, keepdims=True, initial=0)
    scale = np.where(top > 0, top, 1)
    return np.squeeze(scale, axis) * np.sqrt(np.sum(np.square(M / scale), axis=axis))


def l1(M, axis):
    return np.sum(np.abs(M), axis=axis)


def linf(M, axis):
    return np.max(np.abs(M), axis=axis, initial=0)


def singular_values(M):
    return np.linalg.svd(M, compute_uv=False)


BOTH, COLUMN, ROW = (-2, -1), -2, -1
NORM = {
    "l1": lambda M: l1(M, BOTH),
    "l2": lambda M: l2(M, BOTH),
    "linf": lambda M: linf(M, BOTH),
    "l21": lambda M: l1(l2(M, COLUMN), -1),
    "l2inf": lambda M: linf(l2(M, COLUMN), -1),
    "l21t": lambda M: l1(l2(M, ROW), -1),
    "l2inft": lambda M: linf(l2(M, ROW), -1),
    "l1inf": lambda M: linf(l1(M, COLUMN), -1),
    "linf1": lambda M: l1(linf(M, COLUMN), -1),
    "spectral": lambda M: linf(singular_values(M), -1),
    "nuclear": lambda M: l1(singular_values(M), -1),
}


def norm(x, kind):
    """Norm of each matrix of x.      x (..., n, d) -> (...)"""
    return NORM[choice("kind", kind, KINDS)](as_matrices(floats("x", x, finite=True)))


def dual_norm(x, kind):
    """Dual norm:  max over ||U|| <= 1 of <x, U>, for each matrix of x.      x (..., n, d) -> (...)"""
    return norm(x, DUAL[choice("kind", kind, KINDS)])
