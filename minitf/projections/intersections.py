"""The point common to several balls that is nearest: Dykstra's algorithm, certified."""
import math
import warnings
from dataclasses import dataclass

import numpy as np

from minitf.checks import require, shape
from minitf.projections.balls import ConvexSet, Simplex
from minitf.projections.norms import reals


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
