"""Max-margin separators with certificates:  min ||W||  such that  C . W >= 1,  a constraint a row.

A duality gap is relative: 1 - dual value / primal value, both made feasible first.
"""
import numpy as np

from minitf.projections import Ball, norm


def frobenius(C):
    """The separator of one run in the Frobenius norm, and its gap; None where nothing separates.

    The dual by non-negative least squares: the residual of  min ||(C^T u, sum u) - (0, 1)||.
    """
    from scipy.optimize import nnls

    A = np.vstack([C.T, np.ones(len(C))])
    u, _ = nnls(A, np.eye(len(A))[-1], maxiter=20_000)
    u = u / max(1 - u.sum(), 1e-300)
    w = C.T @ u
    margin = (C @ w).min()
    if not margin > 0.5:
        return None, None
    primal, dual = ((w / margin) ** 2).sum() / 2, u.sum() - (w @ w) / 2
    return w, 1 - dual / primal


def nuclear(C, steps):
    """Separators in the nuclear norm of all runs (runs, d d), and their duality gaps.

    Primal-dual steps  W <- prox(W + t C^T u),  u <- max(0, u + t (1 - C (2 W - W before))); prox
    takes the nearest point of a spectral ball away. Made feasible, the dual value is sum u where
    ||C^T u||_spectral = 1, the primal the norm where the smallest margin is 1.
    """
    runs, n, dd = C.shape
    square, CT = (runs, round(dd ** 0.5), round(dd ** 0.5)), C.swapaxes(1, 2).copy()
    t = 0.95 / np.linalg.norm(C, ord=2, axis=(1, 2))[:, None, None]
    W, u, ball = np.zeros((runs, dd, 1)), np.zeros((runs, n, 1)), Ball("spectral", 1.0)
    for _ in range(steps):
        moved = ((W + t * (CT @ u)) / t).reshape(square)
        after = t * (moved - ball.project(moved)).reshape(W.shape)
        u = np.maximum(0, u + t * (1 - C @ (2 * after - W)))
        W = after
    dual = u.sum(axis=(1, 2)) / norm((CT @ u).reshape(square), "spectral")
    primal = norm(W.reshape(square), "nuclear") / (C @ W).min(axis=(1, 2))
    return W[..., 0], 1 - dual / primal
