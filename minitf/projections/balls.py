"""Euclidean projection onto a norm ball, with a certificate that it is the nearest point.

    ball = Ball("l21", 3.0)
    p = ball.project(x)         the nearest point of { p : ||p||_{2,1} <= 3 }
    ball.gap(x, p)              0 at the projection, positive at every other point of the ball

The problem:  min ||p - x||_F  subject to  ||p|| <= r.  Every norm here is a norm of parts
(entries, lengths of rows or columns, singular values), and its projection changes the parts alone.
For the sum of the parts v_1 >= v_2 >= ... they all lose the same theta, down to 0:

    p_i = max(v_i - theta, 0),      theta = max_k (v_1 + .. + v_k - r) / k      (0 inside),

for their largest p_i = min(v_i, r). `nearest` has these functions and takes parts out and puts
them back.

The certificate: p in K is the projection of x exactly if  <x - p, u - p> <= 0  for all u in K. The
largest left-hand side is  gap(x, p) = h(x - p) - <x - p, p>  with the support function  h(g) =
max_{u in K} <g, u>, for a ball r times the dual norm; and  ||p - projection||^2 <= gap(x, p),
because with q the projection <x - p, q - p> <= gap  and  <x - q, p - q> <= 0  add up to that.
Source: Bauschke and Combettes 2011.
"""
import math
from dataclasses import dataclass

import numpy as np

from minitf.checks import choice, require, shape
from minitf.projections.arguments import OnMatrices, numbers, slack, spread
from minitf.projections.derivative import DIFFERENTIABLE
from minitf.projections.furthest import FURTHEST
from minitf.projections.nearest import PROJECTION
from minitf.projections.norms import DUAL, KINDS, measure, reals


class ConvexSet(OnMatrices):
    """A closed convex set with its projection, its support function, and what follows from them."""

    def project(self, x):
        """Return the point nearest to x, in its shape and dtype:  min ||p - x||_F  over the set.

        A point of the set is returned equal. Cost: a few passes over x; for l1inf and linf1 a
        transposed copy, for linf1 sorted; for nuclear and spectral one singular value
        decomposition.
        """
        M, like = self._matrices("x", x), np.shape(x)
        return self._nearest(M, like).astype(M.dtype, copy=False).reshape(like)

    def projection(self, x):
        """Return p, pullback: the nearest point, and dx = J dp with the derivative J of project.

        J is symmetric. At kinks it is one element of the generalised Jacobian: see `derivative`.
        """
        M = self._matrices("x", x)
        P, back = self._differentiable(M.astype(np.float64), np.shape(x))

        def pullback(dp):
            dP = reals("dp", dp)
            shape("dp", dP, np.shape(x))
            return back(dP.reshape(M.shape)).astype(M.dtype, copy=False).reshape(np.shape(x))
        return P.astype(M.dtype, copy=False).reshape(np.shape(x)), pullback

    def lmo(self, g):
        """Return a point s of the set with the least <g, s>: Frank-Wolfe's linear minimisation.

        Certificate:  <g, s> = -h(-g),  for a ball -radius times the dual norm of g. Of equal parts
        of g the first counts; g = 0 gives a point of the set. Errors: no minimum, as the set has
        no end there.
        """
        M = self._matrices("g", g)
        _, exponent = np.frexp(np.abs(M).max(axis=(-2, -1), keepdims=True, initial=0))
        if not M.size:
            return M.reshape(np.shape(g)).copy()
        S = self._furthest(np.ldexp(-M.astype(np.float64), -exponent), np.shape(g))
        require(np.isfinite(S).all(), "g", "a direction in which the set ends", np.asarray(g))
        return (S + 0.0).astype(M.dtype).reshape(np.shape(g))

    def gap(self, x, p):
        """Return h(x - p) - <x - p, p>: for p in the set it bounds ||p - projection||^2.

        x, p of one shape -> one float64 a matrix (a row with axes=1), 0 at the projection alone.
        Rounding leaves about 1e-15 radius ||x||_dual.
        """
        x, p = reals("x", x).astype(np.float64), reals("p", p).astype(np.float64)
        shape("p", p, x.shape)
        unit = 2.0 ** 600 if np.abs(x).max(initial=0) > 1e150 else 1.0      # h may pass 1e308
        normal = (x - p) / unit
        inner = self._matrices("x - p", normal) * self._matrices("p", p)
        return unit * (self.support(normal) - np.sum(inner, axis=(-2, -1)))


@dataclass(frozen=True, eq=False)
class Ball(ConvexSet):
    """The ball { p : ||p|| <= radius } of a norm of `norms`, in every matrix of an array.

    The last two axes are a matrix, a vector is one column; with axes=1 every row (last axis) is a
    vector with a ball of its own. The radius may be 0, and math.inf for no constraint; an array of
    radii broadcasts over the leading axes, one a matrix, one a row with axes=1. Errors: an unknown
    kind; a radius negative or NaN.
    """
    kind: str
    radius: float | np.ndarray
    axes: int | None = None

    def __post_init__(self):
        choice("kind", self.kind, KINDS)
        expected = "a number >= 0, math.inf for no constraint"
        radius = numbers("radius", self.radius, expected, lambda r: r >= 0)
        object.__setattr__(self, "radius", radius)
        object.__setattr__(self, "_everything", bool(np.all(radius == math.inf)))
        super().__post_init__()

    def norm(self, x):
        """||x|| of every matrix:  x (..., n, d) -> (...)."""
        return measure(self._matrices("x", x), self.kind)

    def support(self, g):
        """max <g, u> over the ball = radius * dual norm of g:  g (..., n, d) -> (...)."""
        M = self._matrices("g", g)
        dual = measure(M, DUAL[self.kind])
        return np.multiply(self._radii(M), dual, out=np.zeros_like(dual), where=dual > 0)[()]

    def contains(self, x):
        """||x|| <= radius up to rounding: 1e-12 relative in float64, 2e-6 in float32."""
        M = self._matrices("x", x)
        relative, least = slack(M)
        return measure(M, self.kind) <= self._radii(M) * (1 + relative) + least

    def _radii(self, M):
        r = self.radius
        return r if isinstance(r, float) else spread("radius", r, M.shape[:-2])

    def _nearest(self, M, _):
        if self._everything:
            return M.copy()
        return PROJECTION[self.kind](M, self._radii(M))

    def _differentiable(self, M, _):
        if self._everything:
            return M.copy(), lambda dP: dP.copy()
        return DIFFERENTIABLE[self.kind](M, self._radii(M))

    def _furthest(self, M, _):
        require(np.all(self.radius < math.inf), "radius", "a finite one", self.radius)
        return FURTHEST[self.kind](M, self._radii(M))
