"""What a set does with its arguments: axes, radii, the slack that rounding needs, equality."""
import dataclasses

import numpy as np

from minitf.checks import real, require
from minitf.projections.norms import matrices, reals


class OnMatrices:
    """A frozen dataclass with `axes`: None, every matrix of an array; 1, every row (last axis)."""

    def __post_init__(self):
        known = self.axes is None or isinstance(self.axes, (int, np.integer)) and self.axes == 1
        known = known and self.axes is not True
        require(known, "axes", "None (matrices) or 1 (every row a vector)", self.axes)

    def _matrices(self, name, x):
        x = reals(name, x)
        return matrices(x[..., None] if self.axes == 1 else x)

    def of_case(self, cases, shape, i, unit):
        """The set of the case at index i of arrays of this shape, in lengths of a unit."""
        new = {}
        for name in {"radius", "low", "high"} & vars(self).keys():
            value = spread(name, getattr(self, name), cases if name == "radius" else shape)
            new[name] = (value if isinstance(value, float) else value[i]) / unit
        return dataclasses.replace(self, **new)

    def _fields(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def __eq__(self, other):
        same = type(self) is type(other)
        return same and all(map(np.array_equal, self._fields(), other._fields()))

    def __hash__(self):
        return hash((type(self), *(np.asarray(value).tobytes() for value in self._fields())))


def convex_set(name, value):
    """Return value; it must project."""
    able = callable(getattr(value, "project", None))
    require(able, name, "a set with .project", value, TypeError)
    return value


def numbers(name, value, expected, where):
    """Return a number as float, an array as read-only float64; `where` allows each of them."""
    if not isinstance(value, (np.ndarray, list, tuple)):
        return real(name, value, expected, where)
    value = reals(name, value, finite=False).astype(np.float64)
    require(value.size and all(map(where, value.flat)), name, expected, value)
    value.flags.writeable = False
    return value


def spread(name, value, shape):
    """A number as it is, an array at the shape it is wanted in."""
    if isinstance(value, float):
        return value
    fits = np.ndim(value) <= len(shape) and all(
        n in (1, m) for n, m in zip(value.shape[::-1], shape[::-1]))
    require(fits, name, f"an array that broadcasts to shape {tuple(shape)}", value)
    return np.broadcast_to(value, shape)


def slack(x):
    """What rounding may add to the norm of a matrix x: relative, and of denormal numbers."""
    relative, least = (2e-6, 1.5e-45) if x.dtype.char == "f" else (1e-12, 5e-324)
    return relative, x.shape[-2] * x.shape[-1] * least
