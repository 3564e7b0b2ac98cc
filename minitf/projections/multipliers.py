"""The nearest common point of sets whose proximal maps compose: one number is left to find.

With a multiplier t of the norm of a ball A, the nearest common point of A and a set B is

    p(t) = P_B(prox(x, t)),      prox(x, t) = argmin_y  ||y - x||^2 / 2 + t ||y||_A,

at the root t of  ||p(t)||_A = radius,  which falls as t grows, if every subgradient of the norm at
y is one at P_B(y) too: for l1 if P_B keeps signs (or makes entries 0), for l21 if it scales
columns, for linf1 if the largest entries of a column stay the largest. The normals are
x - prox(x, t) and prox(x, t) - p. For l2, prox is s x with some s < 1, and B may be any convex set:
||p||^2 / 2  leads to the same p, and to the normal (1/s - 1) p of A. A simplex is an l1 ball for x
moved to the positive side. Source: Yu 2013, theorem 1; for the root Chandrupatla 1997.
"""
import numpy as np

from minitf.projections.balls import Ball
from minitf.projections.nearest import columns, entries, lengths, onto_l1, whole
from minitf.projections.norms import DUAL, KINDS, matrices
from minitf.projections.polytopes import Box

MOST = 1000         # projections; more mean that rounding hides the root


def lowered(v, t):
    """The prox of t times the sum of parts v >= 0."""
    return np.maximum(v - t, 0.0)


def capped(v, t):
    """The prox of t times the largest of the parts: what is above one level, in sum t, goes."""
    level = v.max(axis=-1) - onto_l1(v, t).max(axis=-1)
    return np.minimum(v, level[..., None])


PROX = {"l1": whole(entries(lowered)), "linf1": columns(entries(capped)),
        "l21": columns(lengths(lowered)), "l21t": lengths(lowered), "l2": whole(lengths(lowered))}
THEN = {"Simplex": {"linf", "Box"}, "l1": {*KINDS, "Box"} - {"nuclear", "spectral"},
        "linf1": {"linf", "l1inf", "l2inf", "l21"}, "l21": {"l2inf"}, "l21t": {"l2inft"},
        "l2": {*KINDS, "Box", "Simplex"}}
VALUES = {"nuclear": "l1", "spectral": "linf", "l2": "l2"}      # what they are of singular values
COLUMNS = {"l1inf": "l1", "linf": "linf", "l2inf": "l2"}        # of every column


def by_multipliers(x, sets):
    """Return p, the normals of the sets, the projections it took; None for other sets.

    The normal of a simplex may lack a constant.
    """
    if len(sets) == 1:
        p = sets[0].project(x)
        return p, [x - p], 1
    names = [getattr(s, "kind", type(s).__name__) for s in sets]
    if "Simplex" in names:              # a constant in x is normal to it, and would cost digits
        x = x - x.max()
    if {*names} <= {*VALUES} and {*names} != {"l2"}:
        U, v, Vt = np.linalg.svd(matrices(x), full_matrices=False)
        found = by_multipliers(v, [Ball(VALUES[s.kind], s.radius) for s in sets])
        if found:
            p, *normals = (((U * a) @ Vt).reshape(x.shape) for a in (found[0], *found[1]))
            return p, normals, found[2]
    if {*names} <= {*COLUMNS}:
        vectors = [Ball(COLUMNS[s.kind], s.radius) for s in sets]
        found = [by_multipliers(column, vectors) for column in matrices(x).T]
        if all(found):
            p, *normals = (np.stack(parts, axis=-1).reshape(x.shape)
                           for parts in zip(*((p, *normals) for p, normals, _ in found)))
            return p, normals, max(count for _, _, count in found)
    able = [i for kind in THEN for i, name in enumerate(names) if name == kind
            and {*names[:i], *names[i + 1:]} <= THEN[kind]]
    return by_multiplier(x, sets, able[0]) if able else None


def by_multiplier(x, sets, i):
    """The same, with the multiplier of set i; the others are one set."""
    ball, rest, start = sets[i], [*sets[:i], *sets[i + 1:]], x
    if not isinstance(ball, Ball):
        ball, start = Ball("l1", ball.radius), x - (x.min() - ball.radius)

    def prox(y, t):
        return PROX[ball.kind](matrices(y), t).reshape(x.shape)

    def at(y):
        found = by_multipliers(y, rest)
        return (float(ball.norm(found[0])) - ball.radius, found[2] + 1) if found else (np.nan, MOST)

    top = float(Ball(DUAL[ball.kind], 1.0).norm(start))
    y, count = root(start, prox, at, top, 3e-17 * ball.radius)
    found = by_multipliers(y, rest) if count else None
    if not found:
        return None
    p, normals, _ = found
    own = x - y
    if ball.kind == "l2" and y.any():
        s = np.linalg.norm(y) / np.linalg.norm(x)
        own, normals = (1 / s - 1) * p, [u / s for u in normals]
    elif isinstance(rest[-1], Box):                 # its ends may keep entries of p from 0
        kept = np.sign(p) * np.abs(start - y).max() + y - start
        kept = np.where((p != 0) & (np.sign(y) != np.sign(p)), kept, 0.0)
        own, normals = own + kept, [*normals[:-1], normals[-1] - kept]
    return p, [*normals[:i], own, *normals[i:]], count


def root(x, prox, excess, top, tol):
    """Return y = prox(x, t) where the excess is 0, or x if it has none; and the projections.

    The excess falls as t grows to top. Inverse quadratic interpolation where three values allow
    it, else bisection. Near the root x is moved to the lower end of the bracket: prox(x, t) has
    then all its digits. 0 projections: it was not found.
    """
    y, a, b, share = prox(x, top), top, 0.0, 0.5
    (f_b, count), (f_a, more) = excess(x), excess(y)
    count += more
    if not f_b > tol or f_a > 0:
        return x, count
    while count < MOST and abs(a - b) * y.size > tol:
        if abs(a - b) <= 1e-9 * top:
            low = min(a, b)
            x, a, b, top = prox(x, low), a - low, b - low, abs(a - b)
        c, f_c, b = b, f_b, b + share * (a - b)
        y = prox(x, b)
        f_b, more = excess(y)
        count += more
        if abs(f_b) <= count * tol:
            return y, count
        if (f_b > 0) != (f_c > 0):
            a, f_a, c, f_c = c, f_c, a, f_a             # b and a on either side, c beyond b
        xi, phi, share = (b - a) / (c - a), (f_b - f_a) / (f_c - f_a), 0.5
        if phi * phi < xi and (1 - phi) ** 2 < 1 - xi:
            share = f_b / (f_b - f_a) * f_c / (f_c - f_a) + (
                (c - b) / (a - b) * f_b / (f_b - f_c) * f_a / (f_a - f_c))
    return y, count if abs(f_b) <= 3e3 * tol else 0
