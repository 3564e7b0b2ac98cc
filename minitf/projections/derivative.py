"""Projections with their derivatives: DIFFERENTIABLE[kind](M, r) -> P, pullback.

A projection onto a convex set is the gradient of a convex function, so its Jacobian is symmetric:
one function is derivative and pullback. Where the projection has a kink, this is one element of
the generalised Jacobian: on the sphere the identity, as inside; an entry, length or singular value
exactly at the threshold counts as removed, at its cap as free (in linf1 as capped). Source: Held,
Wolfe and Crowder 1974 (l1); Lewis and Sendov 2005 (functions of singular values).
"""
import numpy as np

from minitf.projections.nearest import (
    of_kinds,
    onto_l1,
    onto_linf,
    onto_linf1,
    reassembled,
    resized,
    signed,
)
from minitf.projections.newton import per_row
from minitf.projections.norms import l2

# ---- vectors of parts: (v, r) -> p, free, pullback; the free move, the threshold fixed ----


def l1_pullback(v, r):
    """p = max(v - theta, 0), sum p = r:  dv = dp - mean of dp over the parts left, else 0."""
    p = onto_l1(v, r)
    outside = ((v.sum(axis=-1) > r) | (np.asarray(r) == 0))[..., None]
    free = (p > 0) | ~outside
    count = np.maximum(np.count_nonzero(free, axis=-1, keepdims=True), 1)

    def pullback(dp):
        dp = free * dp
        return dp - free * (outside / count) * dp.sum(axis=-1, keepdims=True)
    return p, free, pullback


def linf_pullback(v, r):
    """p = min(v, r):      dv = dp where v <= r, else 0."""
    cap = per_row(r)
    free = (v <= cap) & (cap > 0)
    return onto_linf(v, r), free, lambda dp: free * dp


def linf1_pullback(v, r):
    """p_ij = min(v_ij, mu_i), sum_i mu_i = r, row i with k_i capped entries:

        d mu_i = (sum of dp over the capped of row i - d theta) / k_i,      sum_i d mu_i = 0.
    """
    p = onto_linf1(v, r)
    outside = (v.max(axis=-1, initial=0).sum(axis=-1, keepdims=True) > r) | (np.asarray(r) == 0)
    outside, mu = outside[..., None], p.max(axis=-1, keepdims=True, initial=0)
    capped = outside & (v >= mu) & (mu > 0)
    free = ~outside | (v < mu)
    k = np.maximum(np.count_nonzero(capped, axis=-1, keepdims=True), 1)
    share = (mu > 0) / k

    def pullback(dp):
        total = (capped * dp).sum(axis=-1, keepdims=True)
        every = share.sum(axis=-2, keepdims=True)
        d_theta = ratio((share * total).sum(axis=-2, keepdims=True), every, 0)
        return np.where(capped, share * (total - d_theta), free * dp)
    return p, free, pullback


# ---- from parts to matrices ---------------------------------------------------------------------


def entries(onto):
    """P = sign(M) p(|M|):      dM = sign(M) dp(sign(M) dP)."""
    def projection(M, r):
        sign = np.copysign(1.0, M)
        p, _, back = onto(np.abs(M), per_row(r))
        return signed(p.copy(), M), lambda dP: sign * back(sign * dP)
    return projection


def lengths(onto):
    """P_i = u_i p_i,  u_i = M_i / ||M_i||:  p's derivative along u_i, p_i / ||M_i|| across."""
    def projection(M, r):
        length = l2(M, -1)
        p, free, back = onto(length, r)
        u, across = ratio(M, length[..., None], 0), ratio(p, length, free)[..., None]

        def pullback(dP):
            along = (u * dP).sum(axis=-1)
            return across * (dP - u * along[..., None]) + u * back(along)[..., None]
        return resized(M, length, p), pullback
    return projection


def turned(M):
    """The transpose of every matrix."""
    return M.swapaxes(-1, -2)


def singular_values(onto):
    """P = U diag(p) V^T. The derivative is diagonal in the singular vectors, G = U^T dP V:

        p's own on the diagonal of G,
        (p_i - p_j) / (s_i - s_j) on its symmetric part,  (p_i + p_j) / (s_i + s_j) on the other,
        p_i / s_i on what U or V leave out of dP.
    """
    def projection(M, r):
        U, s, Vt = np.linalg.svd(M, full_matrices=False)
        p, free, back = onto(s, r)
        V, Ut, one = turned(Vt), turned(U), np.eye(s.shape[-1], dtype=bool)
        (s_i, s_j), (p_i, p_j), (free_i, free_j) = (
            (a[..., :, None], a[..., None, :]) for a in (s, p, free))
        even = np.where(free_i == free_j, free_i, ratio(p_i - p_j, s_i - s_j, 0)) * ~one
        odd = ratio(p_i + p_j, s_i + s_j, free_i) * ~one
        beyond = ratio(p, s, free)[..., None, :]

        def pullback(dP):
            left, right = dP @ V, Ut @ dP
            G = Ut @ left
            own = back(np.diagonal(G, axis1=-2, axis2=-1))[..., None] * one
            core = own + even * (G + turned(G)) / 2 + odd * (G - turned(G)) / 2
            outer = U @ ((right - G @ Vt) * turned(beyond))
            return (U @ core + (left - U @ G) * beyond) @ Vt + outer
        return reassembled(M, U, s, Vt, p), pullback
    return projection


def ratio(p, s, limit):
    """p / s, and its limit where s = 0."""
    shape = np.broadcast_shapes(np.shape(p), np.shape(s))
    return np.divide(p, s, out=np.array(np.broadcast_to(limit, shape), float), where=s != 0)


DIFFERENTIABLE = of_kinds(
    entries, lengths, singular_values, l1_pullback, linf_pullback, linf1_pullback)
