"""The simplex and the box: sets that are no balls of a norm."""
import math
from dataclasses import dataclass

import numpy as np

from minitf.checks import require
from minitf.projections.arguments import numbers, slack, spread
from minitf.projections.balls import ConvexSet
from minitf.projections.nearest import whole
from minitf.projections.newton import per_row, threshold


@dataclass(frozen=True, eq=False)
class Simplex(ConvexSet):
    """The set { p >= 0, sum p = radius }, radius > 0, in every matrix, in every row with axes=1.

    The nearest point is  p = max(x - theta, 0)  with sum p = radius, see `threshold`.
    """
    radius: float | np.ndarray = 1.0
    axes: int | None = None

    def __post_init__(self):
        within = "a finite number > 0"
        radius = numbers("radius", self.radius, within, lambda r: 0 < r < math.inf)
        object.__setattr__(self, "radius", radius)
        super().__post_init__()

    def support(self, g):
        """max <g, u> over the simplex = radius * largest entry of g:  g (..., n, d) -> (...)."""
        M = self._matrices("g", g)
        return self._radii(M) * M.max(axis=(-2, -1))

    def contains(self, x):
        """x >= 0 and sum x = radius, up to rounding as for Ball."""
        M = self._matrices("x", x)
        radius = self._radii(M)
        error = np.abs(M.sum(axis=(-2, -1), dtype=np.float64) - radius)
        relative, least = slack(M)
        return (M >= 0).all(axis=(-2, -1)) & (error <= radius * relative + least)

    def _matrices(self, name, x):
        M = super()._matrices(name, x)
        require(M.shape[-2] * M.shape[-1], name, "at least one entry", M)
        return M

    def _radii(self, M):
        return spread("radius", self.radius, M.shape[:-2])

    def _nearest(self, M, _):
        by_rows = whole(lambda v, r: threshold(v, per_row(r)))
        radius = self._radii(M)
        return by_rows(M.astype(np.float64), radius) if M.size else M

    def _differentiable(self, M, x_shape):
        P = self._nearest(M, x_shape)
        free = P > 0
        share = free / np.maximum(np.count_nonzero(free, axis=(-2, -1), keepdims=True), 1)
        return P, lambda dP: free * dP - share * (free * dP).sum(axis=(-2, -1), keepdims=True)

    def _furthest(self, M, _):
        flat = M.reshape(*M.shape[:-2], -1)
        first = np.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
        return (first * per_row(self._radii(M))).reshape(M.shape)


@dataclass(frozen=True, eq=False)
class Box(ConvexSet):
    """The box { low <= p <= high }; an end is a number or an array that broadcasts to x; or inf.

    Box(0.0, math.inf) is the non-negative orthant. With axes=1 every row (last axis) is a case of
    its own. The nearest point is  min(max(x, low), high).  Its derivative is 1 from end to end, 0
    outside.
    """
    low: float | np.ndarray = 0.0
    high: float | np.ndarray = math.inf
    axes: int | None = None

    def __post_init__(self):
        for name, outside in (("low", math.inf), ("high", -math.inf)):
            end = numbers(name, getattr(self, name), f"numbers, not NaN nor {outside}",
                          lambda a, outside=outside: a == a and a != outside)
            object.__setattr__(self, name, end)
        try:
            fits = np.all(np.asarray(self.low) <= self.high)
        except ValueError:
            fits = False
        require(fits, "high", "nothing below low, and a shape that broadcasts with it", self.high)
        super().__post_init__()

    def support(self, g):
        """max <g, u> over the box = sum of high g where g > 0, low g where g < 0."""
        M = self._matrices("g", g)
        low, high = self._ends(M, np.shape(g))
        ends = np.where(M > 0, high, low)
        return np.multiply(M, ends, out=np.zeros(M.shape), where=M != 0).sum(axis=(-2, -1))

    def contains(self, x):
        """low <= x <= high, up to rounding as for Ball."""
        M = self._matrices("x", x)
        low, high = self._ends(M, np.shape(x))
        over, _ = slack(M)
        inside = (M >= low - over * np.abs(low)) & (M <= high + over * np.abs(high))
        return inside.all(axis=(-2, -1))

    def _ends(self, M, x_shape):
        ends = (spread(name, getattr(self, name), x_shape) for name in ("low", "high"))
        return [end if np.ndim(end) == 0 else end.reshape(M.shape) for end in ends]

    def _nearest(self, M, x_shape):
        low, high = self._ends(M, x_shape)
        return np.minimum(np.maximum(M, low), high)

    def _differentiable(self, M, x_shape):
        low, high = self._ends(M, x_shape)
        free = (low <= M) & (M <= high) & np.less(low, high)
        return self._nearest(M, x_shape), lambda dP: free * dP

    def _furthest(self, M, x_shape):
        low, high = self._ends(M, x_shape)
        return np.where(M > 0, high, np.where(M < 0, low, self._nearest(0 * M, x_shape)))
