"""Euclidean projection onto norm balls, the simplex, and intersections of them, with certificates of optimality."""
import math
from dataclasses import dataclass

import numpy as np

from minitf.checks import choice, floats, real, require
from minitf.norms import COLUMN, KINDS, ROW, as_matrices, dual_norm, l2, norm


def threshold(v, r):
    """(hi, lo) with sum max(v - hi - lo, 0) = r, for a vector v >= 0 with sum v > r > 0: Newton's iteration."""
    hi, lo, active = v.max(), -r, 0
    lo = max(lo, -hi)
    while True:
        hi, lo = hi + lo, lo - ((hi + lo) - hi)
        a = v - hi
        keep = a >= lo
        v, a = v[keep], a[keep]
        lo = (a.sum(dtype=np.float64) - r) / len(a)
        if len(a) == active:
            return hi, lo
        active = len(a)


def vector_l1(v, r):
    """Project vectors v >= 0 (..., n) onto {sum <= r}."""
    if r == 0:
        return np.zeros_like(v)
    out = v.copy()
    for i in np.ndindex(v.shape[:-1]):
        if v[i].sum() > r:
            hi, lo = threshold(v[i], r)
            out[i] = np.maximum((v[i] - hi) - lo, 0)
    return out


def entries(M):
    v = np.abs(M).reshape(*M.shape[:-2], M.shape[-2] * M.shape[-1])
    return v, lambda p: np.copysign(p.reshape(M.shape), M)


def lengths(axis):
    def split(M):
        v = l2(M, axis)
        return v, lambda p: M * np.expand_dims(p / np.where(v > 0, v, 1), axis)
    return split


def vector_linf(v, r):
    return np.minimum(v, r)


def vector_l2(v, r):
    return v * np.expand_dims(np.minimum(1, r / np.maximum(l2(v, -1), r)) if r else np.zeros(v.shape[:-1]), -1)


PROJECT = {
    "l1": (entries, vector_l1), "l2": (entries, vector_l2), "linf": (entries, vector_linf),
    "l21": (lengths(COLUMN), vector_l1), "l21t": (lengths(ROW), vector_l1),
    "l2inf": (lengths(COLUMN), vector_linf), "l2inft": (lengths(ROW), vector_linf),
}


@dataclass(frozen=True)
class Ball:
    """The set { U : ||U|| <= radius } of a norm of `minitf.norms`; axes=1 makes every row a vector of its own."""
    kind: str
    radius: float
    axes: int | None = None

    def __post_init__(self):
        choice("kind", self.kind, KINDS)
        object.__setattr__(self, "radius", real("radius", self.radius, "a number >= 0 (math.inf: no constraint)", lambda r: r >= 0))
        require(self.axes in (None, 1, 2), "axes", "None or 1", self.axes)

    def _matrices(self, name, x):
        x = floats(name, x, finite=True)
        return x[..., None] if self.axes == 1 else as_matrices(x)

    def norm(self, x):
        return norm(self._matrices("x", x), self.kind)

    def support(self, g):
        dual = dual_norm(self._matrices("g", g), self.kind)
        return np.where(dual > 0, self.radius * dual, 0.0) if math.isfinite(self.radius) else np.where(dual > 0, math.inf, 0.0)

    def contains(self, x):
        return self.norm(x) <= self.radius * (1 + 1e-12)

    def project(self, x):
        M = self._matrices("x", x)
        if not math.isfinite(self.radius):
            return np.array(x, dtype=M.dtype)
        split, onto = PROJECT[self.kind]
        inside = np.expand_dims(norm(M, self.kind) <= self.radius, (-2, -1))
        parts, rebuild = split(M)
        return np.where(inside, M, rebuild(onto(parts, self.radius))).astype(M.dtype, copy=False).reshape(np.shape(x))

    def gap(self, x, p):
        M, P = self._matrices("x", x), self._matrices("p", p)
        return self.support((M - P).reshape(np.shape(x))) - np.sum((M - P) * P, axis=(-2, -1))


def project(x, set):
    """Project x onto a set: set.project(x)."""
    return set.project(x)
