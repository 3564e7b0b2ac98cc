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
import warnings
from dataclasses import dataclass

import numpy as np

from minitf.checks import choice, real, require, shape
from minitf.norms import DUAL, KINDS, matrices, measure, reals
from minitf.thresholds import PROJECTION, threshold, whole


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


@dataclass(frozen=True)
class Intersection:
    """The points common to several balls and at most one simplex: Intersection([Ball("l21", a), Ball("spectral", b)]).

    For every split x - p = sum g_i and every common point u,  <x - p, u - p> <= gap := sum h_i(g_i) - <x - p, p>,  and
    so ||p - projection||^2 <= gap: increments g_i certify the answer. Those that close the gap solve the dual problem
        min  ||x - sum g_i||^2 / 2 + sum h_i(g_i).
    Dykstra's algorithm minimises over one g_i after the other, each time by one projection:
        z = y + g_i,   y = P_i(z),   g_i = z - y.
    (Without the increments it ends in some common point, not in the nearest one.) Here g_1 is minimised out, and the
    m - 1 others take the proximal gradient step
        y = P_1(x - sum g_i),   z_i = (m - 1) g_i + y,   g_i = (z_i - P_i(z_i)) / (m - 1),      i = 2..m,
    which for two sets is Dykstra's sweep, with Nesterov's momentum, restarted when it points uphill: a third to a tenth
    of the sweeps for points far outside. Source: Boyle and Dykstra 1986; Gaffke and Mathar 1989 (the dual); Beck and
    Teboulle 2009 (momentum); O'Donoghue and Candes 2015 (restarts).
    """
    sets: tuple

    def __post_init__(self):
        sets = tuple(self.sets)
        known = sets and all(isinstance(s, ConvexSet) for s in sets)
        require(known, "sets", "a list of Ball and Simplex", sets, TypeError)
        require(len({s.axes for s in sets}) == 1, "sets", "the same axes in all of them", sets)
        require(sum(isinstance(s, Simplex) for s in sets) <= 1, "sets", "at most one Simplex", sets)
        order = sorted(sets, key=lambda s: (not isinstance(s, Simplex), s.radius == math.inf))
        object.__setattr__(self, "sets", tuple(order))

    def contains(self, x):
        """Whether every set contains x, up to rounding, for every matrix."""
        return np.logical_and.reduce([s.contains(x) for s in self.sets])

    def project(self, x):
        """Return the common point nearest to x, as `project_certified` does."""
        return self.project_certified(x)[0]

    def project_certified(self, x):
        """Return p, gap, sweeps, the last two for every matrix (every row with axes=1).

        If one projection lands in all sets it is the answer, after 0 sweeps. Otherwise stops at gap <= 1e-14 ||x||^2,
        so that ||p - projection|| <= 1e-7 ||x||, or after 1000 sweeps with a RuntimeWarning that states the gap.
        Cost: a sweep is two to three times the projections. Errors: no common point.
        """
        x = reals("x", x)
        p, gap = np.empty(x.shape), np.zeros(self._cases(x))
        sweeps = np.zeros(gap.shape, dtype=int)
        for i in np.ndindex(gap.shape):
            p[i], _, gap[i], sweeps[i] = self._nearest(x[i].astype(np.float64))
        return p.astype(x.dtype), gap[()], sweeps[()]

    def gap(self, x, p):
        """Return a bound on ||p - projection||^2 for a common point p: the gap of p with the increments found for x."""
        x, p = reals("x", x).astype(np.float64), reals("p", p).astype(np.float64)
        shape("p", p, x.shape)
        gap = np.zeros(self._cases(x))
        for i in np.ndindex(gap.shape):
            gap[i] = self._certificate(x[i], p[i], self._nearest(x[i])[1])
        return gap[()]

    def _cases(self, x):
        return x.shape[:-1] if self.sets[0].axes == 1 else x.shape[:-2]

    def _certificate(self, x, p, g):
        """The gap of p with the increments g_2, g_3, ...; the first is what they lack of x - p."""
        split = [x - p - sum(g), *g]
        return sum(s.support(part) for s, part in zip(self.sets, split)) - np.sum((x - p) * p)

    def _nearest(self, x):
        """p, increments g_2, g_3, ..., gap, sweeps for one matrix."""
        first, *others = self.sets
        g = before = [np.zeros_like(x) for _ in others]
        for i, s in enumerate(self.sets):
            p = s.project(x)
            if self.contains(p):
                g = [x - p if j == i else a for j, a in enumerate(g, start=1)]
                return p, g, self._certificate(x, p, g), 0
        centre = first.project(np.zeros_like(x))                    # 0, or the uniform point of the simplex
        require(self.contains(centre), "sets", "sets with a common point", self.sets)
        enough, n, t = 1e-14 * np.sum(x * x), len(others), 1.0
        for sweep in range(1, 1001):
            t, previous = (1 + math.sqrt(1 + 4 * t * t)) / 2, t
            ahead = [a + (previous - 1) / t * (a - b) for a, b in zip(g, before)]
            y, before = first.project(x - sum(ahead)), g
            g = [a + (y - s.project(n * a + y)) / n for s, a in zip(others, ahead)]
            if sum(np.sum((a - b) * (b - c)) for a, b, c in zip(ahead, g, before)) > 0:
                t = 1.0
            p = self._pull_inside(y, centre)
            gap = self._certificate(x, p, g)
            if gap <= enough:
                return p, g, gap, sweep
        warnings.warn(f"Intersection: gap {gap:.3g} > {enough:.3g} after {sweep} sweeps", RuntimeWarning, stacklevel=3)
        return p, g, gap, sweep

    def _pull_inside(self, y, centre):
        """Move y towards the centre just so far that every ball contains it (norms are convex along the way)."""
        t = 1.0
        for s in self.sets:
            if not s.contains(y):
                start = s.norm(centre)
                t = min(t, max(0.0, (s.radius - start) / (s.norm(y) - start)))
        return t * y + (1 - t) * centre


def project(x, set):
    """Return the point of a Ball, Simplex or Intersection nearest to x: set.project(x)."""
    require(isinstance(set, (ConvexSet, Intersection)), "set", "a Ball, Simplex or Intersection", set, TypeError)
    return set.project(x)
