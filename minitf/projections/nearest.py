"""Projections of vectors and matrices as functions (M, r) -> P: each projects a vector of parts and puts it back.

A norm of `minitf.norms` is a vector norm of parts: entries, lengths of rows or columns, singular values. Its projection
is that of the vector of parts: take them, project them (`cap`, `lower`, `level`), put them back. The table PROJECTION
is the whole list; `minitf.projections` makes sets of it.
"""
import numpy as np

from minitf.projections.newton import threshold, water_level
from minitf.projections.norms import l2


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
