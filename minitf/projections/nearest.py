"""Projections (M, r) -> P, all made from three of vectors: l1, linf and the sum of maxima.

A norm of `norms` is a vector norm of parts: entries, lengths of rows or columns, singular values.
Its projection is that of the vector of parts: take them, project them, put them back. So every
table of this room (PROJECTION here, FURTHEST and DIFFERENTIABLE elsewhere) is made by `of_kinds`
from what it does to three vectors and how it takes the parts of a matrix. M (..., n, d); r a
number, or an array (...), one a matrix.
"""
import numpy as np

from minitf.projections.newton import per_row, threshold, water_level
from minitf.projections.norms import l2


def of_kinds(entries, lengths, singular_values, onto_l1, onto_linf, onto_linf1):
    """The table {kind: function of matrices} from what to do with vectors of parts."""
    return {
        "l1": whole(entries(onto_l1)),
        "linf": whole(entries(onto_linf)),
        "l2": whole(lengths(onto_linf)),
        "l21": columns(lengths(onto_l1)),
        "l21t": lengths(onto_l1),
        "l2inf": columns(lengths(onto_linf)),
        "l2inft": lengths(onto_linf),
        "l1inf": columns(entries(onto_l1)),
        "linf1": columns(entries(onto_linf1)),
        "nuclear": singular_values(onto_l1),
        "spectral": singular_values(onto_linf),
    }


def columns(rows):
    """The same for columns in place of rows."""
    return seen_as(rows, lambda M: M.swapaxes(-1, -2), lambda P, shape: P.swapaxes(-1, -2))


def whole(rows):
    """The same for the matrix as one long row."""
    def one_row(M):
        *stack, n, d = M.shape
        return M.reshape(*stack, 1, n * d)
    return seen_as(rows, one_row, np.ndarray.reshape)


def seen_as(rows, view, back):
    """Apply a function of rows to a view of M, turn back what it returns: P, or P and pullback."""
    def function(M, r):
        found = rows(view(M), r)
        if type(found) is not tuple:
            return back(found, M.shape)
        P, pullback = found
        return back(P, M.shape), lambda dP: back(pullback(view(dP)), M.shape)
    return function


# ---- vectors of parts: v (..., n) >= 0, every row on its own, r a number or (...) ----------------


def onto_linf(v, r):
    """Project onto the linf ball:  min ||p - v||^2  subject to  max p <= r.   p = min(v, r)."""
    return np.minimum(v, per_row(r))


def onto_l1(v, r):
    """Project onto the l1 ball:  min ||p - v||^2  subject to  sum p <= r.      O(n).

    p = max(v - theta, 0); theta = 0 if sum v <= r, else the root of  sum max(v - theta, 0) = r,
    which is max_k (v_1 + .. + v_k - r) / k  for v sorted, largest first (found by `threshold`).
    Source: Held, Wolfe and Crowder 1974; Duchi, Shalev-Shwartz, Singer and Chandra 2008.
    """
    def solve(v, r):
        p = threshold(v, r)
        return np.minimum(p, v, out=p)          # theta >= 0, where rounding makes it a little less

    return where(v.sum(axis=-1) > r, solve, v, r)


def onto_linf1(v, r):
    """Project onto the linf,1 ball:  min ||p - v||^2  subject to  sum_i max_j p_ij <= r.

    v (..., rows, n); p_ij = min(v_ij, mu_i): every row loses the same theta = sum_j (v_ij -
    mu_i)_+, a row that has less loses all. With C_ik the sum of the k largest of row i:  mu_i =
    max(0, max_k (C_ik - theta) / k),  and theta solves  sum mu = r.  O(n log n) a row to sort,
    then a few passes. Source: Quattoni, Carreras, Collins and Darrell 2009.
    """
    r = r if isinstance(r, float) else r[..., 0]    # one a matrix, not one a row
    return where(v.max(axis=-1, initial=0).sum(axis=-1) > r, water_level, v, r)


def where(outside, solve, v, r):
    """Apply solve(v, r) to the cases outside, leave the others exactly as they are."""
    count = np.count_nonzero(outside)
    if count == 0:
        return v
    if count == outside.size:
        return solve(v, r)
    p = v.copy()
    p[outside] = solve(v[outside], np.broadcast_to(r, outside.shape)[outside])
    return p


# ---- from parts to matrices: each of these makes a projection (M, r) -> P -----------------------


def entries(onto):
    """Project the absolute values, row by row, and keep the signs:  P = sign(M) onto(|M|)."""
    def projection(M, r):
        v = np.abs(M, dtype=np.float64, order="C")
        return signed(onto(v, per_row(r)), M)
    return projection


def lengths(onto):
    """Project row lengths, keep directions:  P_i = M_i p_i / ||M_i||,  p = onto(||M_1||, ..).

    Proof: ||M - P||_F^2 >= sum_i (||M_i|| - ||P_i||)^2, equal if P_i is a non-negative multiple of
    M_i.
    """
    def projection(M, r):
        length = l2(M, -1)
        return resized(M, length, onto(length, r))
    return projection


def singular_values(onto):
    """Project singular values, keep the vectors:  P = U diag(onto(s)) V^T,  M = U diag(s) V^T.

    Proof: von Neumann's trace inequality <M, P> <= sum_i s_i(M) s_i(P), equal for shared vectors.
    """
    def projection(M, r):
        U, s, Vt = np.linalg.svd(M, full_matrices=False)
        return reassembled(M, U, s, Vt, onto(s.astype(np.float64), r))
    return projection


def signed(p, M):
    """p with the signs of M, in the place of p."""
    np.copysign(p, M, out=p)
    return np.add(p, 0.0, out=p)                    # makes -0.0 an ordinary 0.0


def resized(M, length, p):
    """The rows of M, which have these lengths, at the lengths p."""
    factor = np.divide(p, length, out=np.ones_like(length), where=length > 0)
    return M * factor.astype(M.dtype, copy=False)[..., None]


def reassembled(M, U, s, Vt, p):
    """U diag(p) V^T, or the same as M - U diag(s - p) V^T where less is taken away than stays.

    The rounding of a decomposition, some ten units in the last place of M, so shrinks with the
    distance from the ball, and points inside stay what they are.
    """
    removed = (s - p).max(axis=-1, keepdims=True, initial=0)
    near = removed <= p.max(axis=-1, keepdims=True, initial=0)
    return near[..., None] * M + (U * np.where(near, p - s, p)[..., None, :]) @ Vt


PROJECTION = of_kinds(entries, lengths, singular_values, onto_l1, onto_linf, onto_linf1)
