"""Covering numbers of matrices of bounded (2,1) norm, and the smallest cover of any linear class.

Conventions and the shorter covers are in `linear`.
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, choice, count, each, nonnegative, positive, require
from minitf.theory.linear import ds, log_binomial, mau, sid, vol


@checked
def l21_K(n: count, p: count):
    """Return  K(n, p) = sqrt(2 log(p+1)) + 2 + 2 sqrt(log(2n)), the constant of `l21_closed`."""
    return math.sqrt(2 * math.log(p + 1)) + 2 + 2 * math.sqrt(math.log(2 * n))


def gaussian_width(trace, n):
    """Return  sqrt(trace) + sqrt(2 log(2n)).

    With probability 1/2, n Gaussian vectors of covariances D <= I, tr D <= trace, are all no longer
    than this.
    """
    return math.sqrt(trace) + math.sqrt(2 * math.log(2 * n))


@checked
def l21_closed(B: nonnegative, B_X: nonnegative, eps: positive, n: count, p: count):
    """log N <= (B B_X/eps)^2 K(n, p)^2 + 2 log(p+1) + log 2  for x -> W x in R^p, ||W^T||_{2,1} <=
    B, ||x||_2 <= B_X.

    `l21_truncated` at its best split, with log C(p + 2N, p) <= 2N log(p+1) and the ceiling paid by
    2 log(p+1). The value map x -> W_V^T x is this class with B = B_V21 and p = d_v.
    """
    r, K = B * B_X / eps, l21_K(n, p)
    return (r * K) ** 2 + 2 * math.log(p + 1) + math.log(2) if r > 1 else 0.0


@checked
def l21_truncated(B: nonnegative, B_X: nonnegative, eps: positive, n: count, p: count):
    """log N <= min_N  log C(p + 2N, p) + log 2 + 2 A^2/(eps^2 - A^2/N) (sqrt 2 + sqrt(2 log 2n))^2,
    A = B B_X.

    The class of `l21_closed`, N > (A/eps)^2. Why: rows shorter than B/N are dropped, which costs
    A/sqrt(N); the lengths of the others are rounded up to multiples of B/N, in at most C(p + 2N, p)
    ways; given these, the rows fill an ellipsoid whose covering number dual Sudakov bounds. Dropped
    and kept rows are different coordinates, so squares of errors add. Every N is valid; a grid is
    searched.
    """
    r = B * B_X / eps
    if r <= 1:
        return 0.0
    cover = 2 * (r * gaussian_width(2, n)) ** 2
    grid = (math.floor(r * r * (1 + excess)) + 1 for excess in np.geomspace(1e-3, 1e6, 91).tolist())
    return math.log(2) + min(log_binomial(p + 2 * N, p) + cover / (1 - r * r / N) for N in grid)


@checked
def l21_counted(B: nonnegative, B_X: nonnegative, eps: positive, n: count, p: count):
    """log N <= min_N  log C(N + 2p, p) + log 2 + 2 (B B_X/eps)^2 (sqrt(1 + p/N) + sqrt(2 log
    2n))^2.

    The class of `l21_closed`, its rows rounded without dropping any: better for few outputs. Every
    N >= 1 is valid.
    """
    r = B * B_X / eps
    if r <= 1:
        return 0.0
    grid = (math.ceil(p * part) for part in np.geomspace(1e-3, 1e6, 91).tolist())
    return math.log(2) + min(log_binomial(N + 2 * p,
                                          p) + 2 * (r * gaussian_width(1 + p / N, n)) ** 2
                             for N in grid)


@checked
def l21_frobenius(B_F: nonnegative, B_X: nonnegative, eps: positive, n: count, p: count):
    """log N <= log 2 + 2 (B_F B_X/eps)^2 (sqrt p + sqrt(2 log 2n))^2  for x -> W x in R^p, ||W||_F
    <= B_F.

    ||x||_2 <= B_X. Dual Sudakov for matrices; it needs no (2,1) norm, and ||W||_F <= ||W^T||_{2,1}.
    """
    r = B_F * B_X / eps
    return math.log(2) + 2 * (r * gaussian_width(p, n)) ** 2 if r > 1 else 0.0


class Linear(NamedTuple):
    """The maps x -> W x, W (p, d), on n points of norm at most B, with ||W||_F <= F.

    l21 bounds ||W^T||_{2,1} and l11 bounds ||W||_{1,1}; None: not known. d=None leaves out what
    counts parameters.
    """
    p: int
    d: int
    n: int
    B: float
    F: float
    l21: float | None = None
    l11: float | None = None


COVERS = {          # name: the field it needs besides F, the bound
    "ds": ("F", lambda W, eps: ds(W.F, W.B, eps, W.n)),
    "sid": ("F", lambda W, eps: sid(W.F, W.B, eps, W.n)),
    "frobenius": ("F", lambda W, eps: l21_frobenius(W.F, W.B, eps, W.n, W.p)),
    "vol": ("d", lambda W, eps: vol(W.p * W.d, W.F * W.B, eps)),
    "mau": ("l11", lambda W, eps: mau(W.l11, W.B, eps, 2 * W.p * W.d)),
    "mau-norm": ("l11", lambda W, eps: mau(W.l11, W.B, eps, 2 * W.p * W.d, norm_only=True)),
    "closed": ("l21", lambda W, eps: l21_closed(W.l21, W.B, eps, W.n, W.p)),
    "truncated": ("l21", lambda W, eps: l21_truncated(W.l21, W.B, eps, W.n, W.p)),
    "counted": ("l21", lambda W, eps: l21_counted(W.l21, W.B, eps, W.n, W.p)),
}
SCALAR = ("ds", "sid")     # bounds for one output, p = 1


def applies(name, W):
    """Say whether the cover is one of the class W: its norm is known, and it has one output if the
    cover needs that."""
    return getattr(W, COVERS[name][0]) is not None and (W.p == 1 or name not in SCALAR)


def cover(name, value):
    """Return value; it must be one of the covers."""
    return choice(name, value, COVERS)


def linear_logcov(W, eps, covers=None):
    """Return the smallest of the bounds named in `covers` (default: all that apply) on log N of the
    class W.

    0 for eps >= F B. Errors: a cover unknown, or one that the norms of W do not support.
    """
    for name in each(cover)("covers", () if covers is None else covers):
        if not applies(name, W):
            require(False, "covers", f"bounds for the known norms of {W}", name)
    if eps >= W.F * W.B:
        return 0.0
    return min(COVERS[name][1](W, eps) for name in covers or COVERS if applies(name, W))
