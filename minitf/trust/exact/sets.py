"""Projections to any number of digits: arrays of mpmath numbers in, the nearest point of a set out.

Thresholds come from sorting, so they are exact up to rounding; singular values from mpmath; a point
common to several sets from Dykstra's sweeps, until they stand still at the working precision.
"""
import numpy as np

from minitf.trust.exact.tape import lift


def ball(x, kind, radius, axes=None):
    """Nearest point of a Ball to every matrix of x, to every row with axes=1."""
    return each(lambda M: onto_ball(M, kind, lift(radius)[()]), x, axes)


def simplex(x, radius=1.0, axes=None):
    """Nearest point of a Simplex."""
    return each(lambda M: soften(M.ravel(), lift(radius)[()]).reshape(M.shape), x, axes)


def furthest(g, kind, radius):
    """The point of a ball with the least <g, s>: the projection of -t g, which is that point itself
    from some t on, where no two parts of g are equal."""
    def least(M):
        with precisely():
            return onto_ball(M * -2**30, kind, lift(radius)[()])
    return each(least, g, None)


def derivative(x, kind, radius):
    """The function dp -> J dp of the symmetric Jacobian of a ball's projection: a central
    difference with a third of three times the digits, so exact to rounding away from kinks."""
    def along(dp):
        import mpmath
        step = mpmath.ldexp(1, -mpmath.mp.prec)
        with precisely():
            ahead, behind = (ball(x + sign * step * dp, kind, radius) for sign in (1, -1))
            return (ahead - behind) / (2 * step)
    return along


def precisely():
    """Three times the digits, and 50 at least, for what cancels."""
    import mpmath
    return mpmath.workprec(3 * max(mpmath.mp.prec, 56))


def intersection(x, sets):
    """Nearest common point of sets, each the options of `ball` or, without a kind, of `simplex`:
    one number is left with an l2 ball, else Dykstra's sweeps."""
    kinds = [one.get("kind") for one in sets]
    if len(sets) == 2 and kinds[1] == "l2" and kinds[0] is not None:
        return each(lambda M: with_l2(M, *sets), x, sets[0].get("axes"))

    def sweep(M):
        import mpmath
        y, more = M, [M * 0 for _ in sets]
        enough = mpmath.ldexp(1, 4 - mpmath.mp.prec) * length(M.ravel())
        for _ in range(20_000):
            moved = 0
            for i, one in enumerate(sets):
                z = y + more[i]
                y = (ball if "kind" in one else simplex)(z, **one | {"axes": None})
                moved = max(moved, length((z - y - more[i]).ravel()))
                more[i] = z - y
            if moved <= enough:
                return y
        raise ArithmeticError("Dykstra's sweeps have not converged")

    return each(sweep, x, sets[0].get("axes"))


def with_l2(M, one, l2):
    """x - p = u + lambda p, u normal to the first ball at p:  p = P(x / (1 + lambda)), and
    ||p|| = radius, if P(x) is longer, has the root 1 / (1 + lambda) by bisection."""
    import mpmath
    kind, r, most = one["kind"], lift(one["radius"])[()], lift(l2["radius"])[()]
    if not length(onto_ball(M, kind, r).ravel()) > most:
        return onto_ball(M, kind, r)
    with precisely():
        low, high = mpmath.mpf(0), mpmath.mpf(1)
        for _ in range(mpmath.mp.prec):
            mid = (low + high) / 2
            outside = length(onto_ball(mid * M, kind, r).ravel()) > most
            low, high = (low, mid) if outside else (mid, high)
        return onto_ball(low * M, kind, r)


def each(onto, x, axes):
    """Apply onto to every matrix of x, as Ball does: the last two axes, a vector as one column, a
    row with axes=1."""
    x = np.asarray(x, object)
    M = x[..., None] if axes == 1 else x if x.ndim > 1 else x.reshape(-1, 1)
    p = np.empty(M.shape, object)
    for i in np.ndindex(M.shape[:-2]):
        p[i] = onto(M[i])
    return p.reshape(x.shape)


def onto_ball(M, kind, r):
    """Nearest point of one ball to one matrix."""
    if kind in ("l21", "l2inf"):
        return onto_ball(M.T, kind + "t", r).T
    if kind == "linf":
        return np.minimum(np.maximum(M, -r), r)
    if kind == "l2":
        return M * shorten(length(M.ravel()), r)
    if kind == "l1":
        return signs(M) * lower(abs(M).ravel(), r).reshape(M.shape)
    if kind == "l1inf":
        return np.stack([signs(column) * lower(abs(column), r) for column in M.T], axis=1)
    if kind == "linf1":
        return signs(M) * np.minimum(abs(M), levels(abs(M), r))
    if kind in ("l21t", "l2inft"):
        long = np.array([length(row) for row in M], object)
        new = lower(long, r) if kind == "l21t" else np.minimum(long, r)
        return M * np.array([b / a if a else a for a, b in zip(long, new)], object)[:, None]
    return spectrum(M, r, lower if kind == "nuclear" else np.minimum)


def spectrum(M, r, onto):
    """Project the singular values."""
    import mpmath
    U, s, V = mpmath.svd_r(mpmath.matrix(M.tolist()))
    U, s, V = (np.array(x.tolist(), object) for x in (U, s, V))
    return (U * onto(s.ravel(), r)) @ V


def signs(x):
    return np.where(x < 0, -1, 1)


def length(v):
    """l2 norm of a vector."""
    import mpmath
    return mpmath.sqrt((v * v).sum())


def shorten(a, r):
    """The factor that brings a length a down to r."""
    return r / a if a > r else 1


def lower(v, r):
    """Nearest point of the l1 ball to a vector without negative entries."""
    return v if v.sum() <= r else soften(v, r)


def soften(v, r):
    """max(v - theta, 0) with sum r: theta is the largest (v_1 + .. + v_k - r) / k over v sorted,
    decreasing."""
    top = np.sort(v)[::-1]
    theta = ((top.cumsum() - r) / np.arange(1, len(v) + 1)).max()
    return np.maximum(v - theta, 0)


def levels(V, r):
    """The level at which the linf1 projection clips every column: each column above its level loses
    the same theta.

    The sum of the levels is piecewise linear in theta; between the corners around r it is solved
    exactly.
    """
    if V.max(axis=0).sum() <= r:
        return V.max(axis=0)
    n = len(V)
    S = np.sort(V, axis=0)[::-1]
    C, k = S.cumsum(axis=0), np.arange(1, n + 1)[:, None]

    def mu(theta):
        return np.maximum(((C - theta) / k).max(axis=0), 0)

    corners = sorted({C[0, 0] * 0, *(C[:-1] - k[:-1] * S[1:]).ravel(), *C[-1]})
    last = max(i for i, theta in enumerate(corners) if mu(theta).sum() >= r)
    if mu(corners[last]).sum() == r:
        return mu(corners[last])
    a, b = corners[last:last + 2]
    high, low = mu(a).sum(), mu(b).sum()
    return mu(a + (high - r) / (high - low) * (b - a))
