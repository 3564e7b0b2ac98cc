"""The root of a convex, decreasing, piecewise linear sum, to the last digits."""
import numpy as np

LONG = 2 ** 15          # entries of a row from which it pays to leave out the small ones first


def per_row(r):
    """A number as it is; an array with one more axis, to go with the rows of another."""
    return r if isinstance(r, float) else np.asarray(r)[..., None]


def threshold(v, r):
    """Return p = max(v - theta, 0) with sum p = r in every row, v of any sign.

    The largest entry alone shows  max v - r <= theta <= max v - r/n.  Newton's iteration starts
    between them, at the root for a sample of the row, every s-th entry:
        theta = max_k (v_1 + ... + v_k - r) / k      for v sorted, decreasing.
    """
    n, r = v.shape[-1], per_row(r)
    if v.size == n >= LONG:
        below = np.nextafter(v.max() - np.max(r), -np.inf)          # theta is above it
        left = np.flatnonzero(v >= below)
        if left.size < n / 2:
            p = np.zeros(v.shape)
            p.reshape(-1)[left] = threshold(v.reshape(-1)[left], float(np.max(r)))
            return p
    sample = np.sort(v[..., ::-(-n // 1024)])[..., ::-1]
    size = sample.shape[-1]
    first = (sample.cumsum(axis=-1) - r * size / n) / np.arange(1, size + 1)
    root = first.max(axis=-1, keepdims=True)
    top = sample[..., :1] if size == n else v.max(axis=-1, keepdims=True)
    p = np.empty(v.shape)

    def parts(hi, lo):
        np.subtract(v, hi, out=p)
        np.subtract(p, lo, out=p)
        return np.maximum(p, 0.0, out=p)

    def slope(p):
        active = p > 0
        one_row = active.size == n                              # four times faster
        return np.count_nonzero(active) if one_row else active.sum(axis=-1, keepdims=True)

    return newton(parts, slope, top, np.minimum(np.maximum(root - top, -r), -r / n), r)


def water_level(v, r):
    """Return min(v, mu) with the row levels mu of `onto_linf1`, sum mu = r. v (..., rows, n)."""
    n, r = v.shape[-1], per_row(r)
    k = np.arange(1, n + 1)
    C = np.sort(v)[..., ::-1].cumsum(axis=-1)
    top = C[..., -1].max(axis=-1, keepdims=True)

    def levels(hi, lo):
        q = C - hi[..., None]
        q -= lo[..., None]
        q /= k
        return np.maximum(q.max(axis=-1), 0.0)

    def slope(mu):
        capped = (v >= mu[..., None]).sum(axis=-1)
        return np.where(mu > 0, 1 / np.maximum(capped, 1), 0).sum(axis=-1, keepdims=True)

    return np.minimum(v, newton(levels, slope, top, np.maximum(-n * r, -top), r)[..., None])


def newton(parts, slope, hi, lo, r):
    """Solve sum parts(theta) = r for theta = hi + lo; the sum convex, decreasing, linear in pieces.

    Newton's step is exact on a linear piece and never passes the root from the left; each one
    divides (sum - r) * slope by 4 or more, so 64 are more than float64 can need, and 1 to 6 the
    rule. theta is a pair, hi the leading digits and lo the rest, because the parts may be smaller
    than the last digit of theta: v - hi is exact near theta, and v - hi - lo keeps all digits.
    Source: Michelot 1986; Condat 2016.
    """
    for _ in range(64):
        leading = hi + lo
        hi, lo = leading, lo - (leading - hi)
        p = parts(hi, lo)
        excess = p.sum(axis=-1, keepdims=True) - r
        if (np.abs(excess) <= 1e-14 * r + 5e-324 * p.size).all():   # a hundredth of the slack
            return p
        lo = lo + excess / slope(p)
    raise ValueError("x, radius: expected entries and a radius of sizes that can be told apart")
