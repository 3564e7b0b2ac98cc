"""Projections of vectors and matrices as functions (M, r) -> P: each projects a vector of parts and puts it back.

A norm of `minitf.norms` is a vector norm of parts: entries, lengths of rows or columns, singular values. Its projection
is that of the vector of parts: take them, project them (`cap`, `lower`, `level`), put them back. The table PROJECTION
is the whole list; `minitf.projections` makes sets of it.
"""
import numpy as np

from minitf.norms import l2

# ---- vectors of parts: v (..., n) >= 0, every row on its own --------------------------------------------------------


def cap(v, r):
    """Project onto the linf ball:  min ||p - v||^2  subject to  max p <= r.      p = min(v, r).      O(n)."""
    return np.minimum(v, r)


def lower(v, r):
    """Project onto the l1 ball:  min ||p - v||^2  subject to  sum p <= r.

    p = max(v - theta, 0); theta = 0 if sum v <= r, else the root of sum max(v - theta, 0) = r (see `threshold`). O(n).
    Source: Held, Wolfe and Crowder 1974; Duchi, Shalev-Shwartz, Singer and Chandra 2008.
    """
    def solve(v, r):
        p = threshold(v, r)
        return np.minimum(p, v, out=p)              # theta >= 0, also where rounding makes it a little less

    return where(v.sum(axis=-1) > r, solve, v, r)


def level(v, r):
    """Project onto the linf,1 ball:  min ||p - v||^2  subject to  sum_i max_j p_ij <= r.      v (..., rows, n).

    p_ij = min(v_ij, mu_i): every row loses the same theta = sum_j (v_ij - mu_i)_+, a row that has less loses all.
    With C_ik the sum of the k largest of row i:  mu_i = max(0, max_k (C_ik - theta) / k),  and theta solves sum mu = r.
    O(n log n) a row to sort, then a few passes. Source: Quattoni, Carreras, Collins and Darrell 2009.
    """
    return where(v.max(axis=-1, initial=0).sum(axis=-1) > r, water_level, v, r)


def where(outside, solve, v, r):
    """Apply solve(v, r) to the cases outside, leave the others exactly as they are."""
    count = np.count_nonzero(outside)
    if count == 0:
        return v
    if count == outside.size:
        return solve(v, r)
    p = v.copy()
    p[outside] = solve(v[outside], r)
    return p


def threshold(v, r):
    """Return p = max(v - theta, 0) with sum p = r in every row, v of any sign.

    The largest entry alone shows  max v - r <= theta <= max v - r/n.  Newton's iteration starts between them, at the
    root for a sample of the row, every s-th entry:  theta = max_k (v_1 + ... + v_k - r) / k  for v sorted, decreasing.
    """
    n = v.shape[-1]
    sample = np.sort(v[..., ::-(-n // 1024)])[..., ::-1]
    size = sample.shape[-1]
    root = ((sample.cumsum(axis=-1) - r * size / n) / np.arange(1, size + 1)).max(axis=-1, keepdims=True)
    top = sample[..., :1] if size == n else v.max(axis=-1, keepdims=True)
    p = np.empty(v.shape)

    def parts(hi, lo):
        np.subtract(v, hi, out=p)
        np.subtract(p, lo, out=p)
        return np.maximum(p, 0.0, out=p)

    def slope(p):
        active = p > 0
        return np.count_nonzero(active) if active.size == n else active.sum(axis=-1, keepdims=True)   # 4 times faster

    return newton(parts, slope, top, np.minimum(np.maximum(root - top, -r), -r / n), r)


def water_level(v, r):
    """Return min(v, mu) with the row levels mu of `level`, sum mu = r.      v (..., rows, n)."""
    n = v.shape[-1]
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
    """Solve  sum parts(theta) = r  for theta = hi + lo, where the sum is convex, decreasing and piecewise linear.

    Newton's step is exact on a linear piece and never passes the root from the left; each one divides (sum - r) * slope
    by 4 or more, so 64 are more than float64 can need, and 1 to 6 the rule. theta is a pair, hi the leading digits and
    lo the rest, because the parts may be smaller than the last digit of theta: v - hi is exact near theta, and
    v - hi - lo keeps all digits. Source: Michelot 1986; Condat 2016.
    """
    for _ in range(64):
        leading = hi + lo
        hi, lo = leading, lo - (leading - hi)
        p = parts(hi, lo)
        excess = p.sum(axis=-1, keepdims=True) - r
        if np.abs(excess).max() <= 1e-14 * r:                   # a hundredth of what counts as feasible
            return p
        lo = lo + excess / slope(p)
    raise ArithmeticError("entries or radius near the limits of float64: scale both")


# ---- from parts to matrices: each of these makes a projection (M, r) -> P, M (..., n, d) ----------------------------

def entries(onto):
    """Project the absolute values, row by row, and keep the signs:  P = sign(M) onto(|M|)."""
    def projection(M, r):
        p = onto(np.abs(M, dtype=np.float64, order="C"), r)
        np.copysign(p, M, out=p)
        return np.add(p, 0.0, out=p)                            # makes -0.0 an ordinary 0.0
    return projection


def lengths(onto):
    """Project the vector of row lengths and keep the directions:  P_i = M_i p_i / ||M_i||_2,  p = onto(||M_1||_2, ...).

    Proof: ||M - P||_F^2 >= sum_i (||M_i|| - ||P_i||)^2, with equality if P_i is a non-negative multiple of M_i.
    """
    def projection(M, r):
        length = l2(M, -1)
        factor = np.divide(onto(length, r), length, out=np.ones_like(length), where=length > 0)
        return M * factor.astype(M.dtype, copy=False)[..., None]
    return projection


def singular_values(onto):
    """Project the singular values and keep the singular vectors:  P = U diag(onto(s)) V^T,  M = U diag(s) V^T.

    Proof: von Neumann's trace inequality <M, P> <= sum_i s_i(M) s_i(P), with equality for shared singular vectors.
    """
    def projection(M, r):
        U, s, Vt = np.linalg.svd(M, full_matrices=False)
        p = onto(s.astype(np.float64), r)
        U *= p[..., None, :]
        P = U @ Vt
        inside = (p == s).all(axis=-1)
        P[inside] = M[inside]
        return P
    return projection


def columns(projection):
    """The same for columns in place of rows."""
    return lambda M, r: projection(M.swapaxes(-1, -2), r).swapaxes(-1, -2)


def whole(projection):
    """The same for the matrix as one long row."""
    return lambda M, r: projection(M.reshape(*M.shape[:-2], 1, M.shape[-2] * M.shape[-1]), r).reshape(M.shape)


PROJECTION = {
    "l1": whole(entries(lower)),
    "linf": whole(entries(cap)),
    "l2": whole(lengths(cap)),
    "l21": columns(lengths(lower)),
    "l21t": lengths(lower),
    "l2inf": columns(lengths(cap)),
    "l2inft": lengths(cap),
    "l1inf": columns(entries(lower)),
    "linf1": columns(entries(level)),
    "nuclear": singular_values(lower),
    "spectral": singular_values(cap),
}
