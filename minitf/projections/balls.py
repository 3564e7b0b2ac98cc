"""Euclidean projection onto norm balls, the simplex and their intersections, each with a certificate of optimality.

    ball = Ball("l21", 3.0)
    p = ball.project(x)         the nearest point of { p : ||p||_{2,1} <= 3 }
    ball.gap(x, p)              0 at the projection, positive at every other point of the ball

The certificate is the variational inequality: a point p of K is the projection of x exactly if <x - p, u - p> <= 0 for
all u in K. The largest left-hand side is gap(x, p) = h(x - p) - <x - p, p>, with the support function h of K, and
||p - projection||^2 <= gap(x, p). How each projection is computed: PROJECTION in `minitf.thresholds`. Source: Bauschke
and Combettes 2011.
"""
import math
from dataclasses import dataclass

import numpy as np

from minitf.checks import choice, real, require, shape
from minitf.projections.nearest import PROJECTION, whole
from minitf.projections.newton import threshold
from minitf.projections.norms import DUAL, KINDS, matrices, measure, reals


class ConvexSet:
    """What Ball and Simplex share: the axes they act on, the slack that rounding needs, and the certificate."""

    def __post_init__(self):
        require(self.axes is None or self.axes == 1, "axes", "None (matrices) or 1 (every row a vector)", self.axes)

    def _matrices(self, name, x):
        x = reals(name, x)
        return matrices(x[..., None] if self.axes == 1 else x)

    def _limit(self, x):
        return self.radius * (1 + (2e-6 if x.dtype == np.float32 else 1e-12))

    def gap(self, x, p):
        """Return h(x - p) - <x - p, p>: for p in the set it bounds ||p - projection||^2, and only the projection has 0.

        x, p of one shape -> one float64 a matrix (a row with axes=1). Rounding leaves about 1e-15 radius ||x||_dual.
        """
        x, p = reals("x", x).astype(np.float64), reals("p", p).astype(np.float64)
        shape("p", p, x.shape)
        normal = x - p
        return self.support(normal) - np.sum(self._matrices("x - p", normal) * self._matrices("p", p), axis=(-2, -1))


@dataclass(frozen=True)
class Ball(ConvexSet):
    """The ball { p : ||p|| <= radius } of a norm of `minitf.norms`, in every matrix of an array.

    The last two axes are a matrix, a vector is one column; with axes=1 every row (last axis) is a vector with a ball of
    its own. The radius may be 0, and math.inf for no constraint. Errors: an unknown kind; a radius negative or NaN.
    """
    kind: str
    radius: float
    axes: int | None = None

    def __post_init__(self):
        choice("kind", self.kind, KINDS)
        radius = real("radius", self.radius, "a number >= 0, math.inf for no constraint", lambda r: r >= 0)
        object.__setattr__(self, "radius", radius)
        super().__post_init__()

    def norm(self, x):
        """||x|| of every matrix:  x (..., n, d) -> (...)."""
        return measure(self._matrices("x", x), self.kind)

    def support(self, g):
        """max <g, u> over the ball = radius * dual norm of g:  g (..., n, d) -> (...)."""
        dual = measure(self._matrices("g", g), DUAL[self.kind])
        return np.multiply(self.radius, dual, out=np.zeros_like(dual), where=dual > 0)[()]

    def contains(self, x):
        """||x|| <= radius up to rounding: 1e-12 relative in float64, 2e-6 in float32."""
        M = self._matrices("x", x)
        return measure(M, self.kind) <= self._limit(M)

    def project(self, x):
        """Return the point nearest to x, in its shape and dtype:  min ||p - x||_F  subject to  ||p|| <= radius.

        A point of the ball is returned equal. Method: PROJECTION[kind]. Cost: a few passes over x; for l1inf and linf1
        a transposed copy, for linf1 sorted; for nuclear and spectral one singular value decomposition.
        """
        M = self._matrices("x", x)
        P = M.copy() if self.radius == math.inf else PROJECTION[self.kind](M, self.radius)
        return P.astype(M.dtype, copy=False).reshape(np.shape(x))


@dataclass(frozen=True)
class Simplex(ConvexSet):
    """The set { p >= 0, sum p = radius }, radius > 0, in every matrix of an array, in every row with axes=1."""
    radius: float = 1.0
    axes: int | None = None

    def __post_init__(self):
        radius = real("radius", self.radius, "a finite number > 0", lambda r: 0 < r < math.inf)
        object.__setattr__(self, "radius", radius)
        super().__post_init__()

    def support(self, g):
        """max <g, u> over the simplex = radius * largest entry of g:  g (..., n, d) -> (...)."""
        return self.radius * self._matrices("g", g).max(axis=(-2, -1))

    def contains(self, x):
        """x >= 0 and sum x = radius, up to rounding as for Ball."""
        M = self._matrices("x", x)
        error = np.abs(M.sum(axis=(-2, -1), dtype=np.float64) - self.radius)
        return (M >= 0).all(axis=(-2, -1)) & (error <= self._limit(M) - self.radius)

    def project(self, x):
        """Return the point nearest to x:  p = max(x - theta, 0) with sum p = radius, see `threshold`."""
        M = self._matrices("x", x)
        require(M.shape[-2] * M.shape[-1], "x", "at least one entry", M)
        P = whole(threshold)(M.astype(np.float64), self.radius) if M.size else M
        return P.astype(M.dtype, copy=False).reshape(np.shape(x))
