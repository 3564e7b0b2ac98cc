"""The point common to several sets that is nearest, certified."""
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from minitf.checks import require, shape
from minitf.projections.arguments import convex_set
from minitf.projections.balls import Ball, ConvexSet
from minitf.projections.lagrangian import nearest_common
from minitf.projections.multipliers import by_multipliers
from minitf.projections.norms import reals
from minitf.projections.polytopes import Box, Simplex


@dataclass(frozen=True)
class Intersection:
    """The points common to several sets: Intersection([Ball("l21", a), Ball("spectral", b)]).

    Balls, boxes and at most one simplex. For every split x - p = sum u_i and every common point q,

        <x - p, q - p> <= gap := sum h_i(u_i) - <x - p, p>,      and so  ||p - projection||^2 <= gap

    with the support functions h_i: normals u_i certify the answer. Projecting onto one set after
    the other ends in some common point, not in the nearest one; `by_multipliers` finds it where
    proximal maps compose, `nearest_common` elsewhere, and the normals.
    """
    sets: Sequence[ConvexSet]

    def __post_init__(self):
        sets = tuple(self.sets) if np.iterable(self.sets) else ()
        known = sets and all(isinstance(s, ConvexSet) for s in sets)
        require(known, "sets", "a list of Ball, Box and Simplex", self.sets, TypeError)
        require(len({s.axes for s in sets}) == 1, "sets", "the same axes in all of them", sets)
        one = sum(isinstance(s, Simplex) for s in sets) <= 1
        require(one, "sets", "at most one Simplex", sets)
        object.__setattr__(self, "sets", tuple(sorted(sets, key=_order)))

    def contains(self, x):
        """Whether every set contains x, up to rounding, for every matrix."""
        return np.logical_and.reduce([s.contains(x) for s in self.sets])

    def project(self, x):
        """Return the common point nearest to x, as `project_certified` does."""
        return self.project_certified(x)[0]

    def project_certified(self, x):
        """Return p, gap, sweeps, the last two for every matrix (every row with axes=1).

        If one projection lands in all sets it is the answer, after 0 sweeps. Otherwise a sweep
        projects once onto every set, until  gap <= 1e-12 r ||x||_dual,  r ||x||_dual the least of
        the sets', and p stands still to the last digits: at the radii 10 to 100 sweeps. Where that
        cannot be reached, a RuntimeWarning states the gap. Errors: no common point.
        """
        x = reals("x", x)
        p, gap = np.empty(x.shape), np.zeros(self._cases(x))
        sweeps = np.zeros(gap.shape, dtype=int)
        for i in np.ndindex(gap.shape):
            p[i], _, gap[i], sweeps[i] = self._nearest(x, i)
        return p.astype(x.dtype), gap[()], sweeps[()]

    def gap(self, x, p):
        """Return a bound on ||p - projection||^2 of a common point p, by the normals of x."""
        x, p = reals("x", x).astype(np.float64), reals("p", p).astype(np.float64)
        shape("p", p, x.shape)
        gap = np.zeros(self._cases(x))
        for i in np.ndindex(gap.shape):
            _, normals, _, _ = self._nearest(x, i)
            gap[i] = _certificate(x[i], p[i], self._of_case(x, i, 1.0), normals)
        return gap[()]

    def _cases(self, x):
        return x.shape[:-1] if self.sets[0].axes == 1 else x.shape[:-2]

    def _of_case(self, x, i, unit):
        """The sets of one matrix of x, in lengths of a unit; several boxes are one.

        A simplex that touches an l2 ball does so in its centre alone: that point is the set.
        """
        sets = [s.of_case(self._cases(x), x.shape, i, unit) for s in self.sets]
        if isinstance(sets[0], Simplex):
            c = sets[0].project(np.zeros(x[i].shape))
            balls = [s.radius for s in sets if getattr(s, "kind", "") == "l2"]
            if balls and abs(min(balls) / np.linalg.norm(c) - 1) <= 1e-12 and _contain(sets, c):
                return [Box(c, c, sets[0].axes)]
        boxes = [s for s in sets if isinstance(s, Box)]
        if len(boxes) < 2:
            return sets
        low = reduce(np.maximum, [s.low for s in boxes])
        high = reduce(np.minimum, [s.high for s in boxes])
        _require_common(np.all(low <= high), self.sets)
        return sets[:-len(boxes)] + [Box(low, high, boxes[0].axes)]

    def _nearest(self, x, i):
        """p, normals, gap, sweeps for one matrix, computed in lengths of the smallest radius."""
        radii = [getattr(s, "radius", 0.0) for s in self._of_case(x, i, 1.0)]
        unit = 2.0 ** math.frexp(min((r for r in radii if 0 < r < math.inf), default=1.0))[1]
        sets = self._of_case(x, i, unit)
        p, normals, gap, sweeps = _common_point(x[i].astype(np.float64) / unit, sets, self.sets)
        return unit * p, [unit * u for u in normals], unit * unit * gap, sweeps


def _order(s):
    """A simplex first, boxes last: the first set takes what rounding leaves of x - p."""
    everything = np.all(getattr(s, "radius", 0) == math.inf)
    return not isinstance(s, Simplex), isinstance(s, Box), everything


def _certificate(x, p, sets, normals):
    """The gap of p with these normals; the first is what the others lack of x - p."""
    split = [x - p - sum(normals[1:]), *normals[1:]]
    return sum(float(s.support(part)) for s, part in zip(sets, split)) - np.sum((x - p) * p)


def _contain(sets, p):
    return all(s.contains(p) for s in sets)


def _require_common(found, sets):
    """Require a common point of the sets as they were given."""
    if not found:
        text = f"sets: expected sets with a common point, got {list(sets)}"
        raise ValueError(" ".join(text.split())[:300])


def _common_point(x, sets, given):
    """p, normals, gap, sweeps: by one projection if it lands in all sets, else by many."""
    corners = [s.project(x) for s in sets]
    for s, p in zip(sets, corners):
        if _contain(sets, p):
            normals = [x - p if other is s else np.zeros_like(x) for other in sets]
            return p, normals, _certificate(x, p, sets, normals), 0
    size = width_of(corners, x)
    ends = [s.support(x if isinstance(s, Ball) else np.abs(x)) for s in sets]
    wanted, answers = 1e-12 * min(map(abs, ends)), []
    for solve in by_multipliers, partial(_by_lagrangian, size=size, wanted=wanted, given=given):
        if found := solve(x, sets):
            p, normals, count = found
            gap, inside = _certificate(x, p, sets, normals), _contain(sets, p)
            answers.append((p, normals, gap, -(-count // len(sets))))
            if inside and abs(gap) <= wanted:
                return answers[-1]
    best = min(answers, key=lambda answer: (not _contain(sets, answer[0]), abs(answer[2])))
    warnings.warn(f"Intersection: gap {best[2]:.3g} > {wanted:.3g} after {best[3]} sweeps",
                  RuntimeWarning, stacklevel=5)
    return best


def _by_lagrangian(x, sets, size, wanted, given):
    """p, normals and the count of projections, by `nearest_common`."""
    boxed = isinstance(sets[-1], Box)
    centre = sets[0].project(0 * x)                 # by symmetry common, if there are balls alone
    central = _contain(sets, centre)
    _require_common(central or boxed, given)
    own = -1 if boxed and not isinstance(sets[0], Simplex) else 0     # its limits have no slack

    def certified(points, normals):
        gap = _certificate(x, points[own], sets, normals)
        return abs(gap) <= wanted and _contain(sets, points[own])

    start = sets[-1].project(x)
    points, normals, apart, sweeps = nearest_common(x, sets, start, size, certified)
    _require_common(central or apart <= 1e-6 * size, given)
    p = points[own]
    if central and not certified(points, normals):
        p = _pull_inside(p, centre, sets)
    return p, normals, sweeps * len(sets)


def width_of(corners, x):
    """The length at which sets end; x must be near enough to be moved there, in its digits."""
    size = min(np.linalg.norm(p) for p in corners)
    near = np.abs(x).max(initial=0) <= 1e60 * size
    require(near, "x", "a point within 1e60 times the width of the sets", x)
    return size


def _pull_inside(y, centre, sets):
    """Move y towards the centre just so far that every ball contains it: norms are convex."""
    t = 1.0
    for s in sets:
        if isinstance(s, Ball) and not s.contains(y):
            start = s.norm(centre)
            t = min(t, max(0.0, (s.radius - start) / (s.norm(y) - start)))
    return t * y + (1 - t) * centre


def project(x, set):
    """Return the point of a set nearest to x: set.project(x)."""
    return convex_set("set", set).project(x)
