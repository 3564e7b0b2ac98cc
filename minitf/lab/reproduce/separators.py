"""Max-margin separators with certificates:  min ||W||  such that  C . W >= 1,  a constraint a row.

A duality gap is relative: 1 - dual value / primal value, both made feasible first.
"""
import numpy as np

from minitf.lab.reproduce.page import unit
from minitf.projections import Ball, norm


def draw_inputs(rng, runs, n, T, d):
    """Tokens X (runs, n, T, d), queries z (runs, n, d), values X v (runs, n, T, 1), labels."""
    X, z, v = (unit(rng.standard_normal((runs, *s, d))) for s in ((n, T), (n,), ()))
    return X, z, np.einsum("rntd,rd->rnt", X, v)[..., None], rng.integers(0, 2, (runs, n))


def constraints_of(scores, X, z):
    """Rows C (runs, n (T-1), d d) with  C . W = (x_chosen - x_t)^T W z,  of largest scores."""
    runs, n, T, d = X.shape
    chosen = scores.argmax(axis=-1)
    best = np.take_along_axis(X, chosen[..., None, None], axis=2)
    others = np.arange(T) != chosen[..., None]
    gaps = (best - X)[others].reshape(runs, n, T - 1, d)
    return np.einsum("rnti,rnj->rntij", gaps, z).reshape(runs, n * (T - 1), d * d)


def correlation(a, b):
    """Cosines between the rows of two arrays."""
    return (unit(a) * unit(b)).sum(axis=-1)


def frobenius(C):
    """Separators in the Frobenius norm of all runs (runs, d d), and their duality gaps, 1 where
    nothing separates.

    The dual by non-negative least squares: the residual of  min ||(C^T u, sum u) - (0, 1)||.
    """
    from scipy.optimize import nnls

    found, gaps = np.zeros((len(C), C.shape[2])), np.ones(len(C))
    for r, c in enumerate(C):
        A = np.vstack([c.T, np.ones(len(c))])
        u, _ = nnls(A, np.eye(len(A))[-1], maxiter=20_000)
        u = u / max(1 - u.sum(), 1e-300)
        w = c.T @ u
        margin = (c @ w).min()
        if margin > 0.5:
            found[r] = w
            gaps[r] = 1 - (u.sum() - (w @ w) / 2) / (((w / margin) ** 2).sum() / 2)
    return found, gaps


def nuclear(C, steps):
    """Separators in the nuclear norm of all runs (runs, d d), and their duality gaps: a run ends
    at a gap of 1e-8, or after so many steps.

    Primal-dual steps  W' = prox(W + t C^T u),  u' = max(0, u + s (1 - C (2 W' - W))),  t s = 0.9 /
    ||C||^2, and 1.8 times as far (Condat 2013); prox takes the nearest point of a spectral ball
    away. Made feasible, the dual value is sum u where ||C^T u||_spectral = 1, the primal the norm
    where the smallest margin is 1.
    """
    runs, n, dd = C.shape
    side, CT, ball = round(dd ** 0.5), C.swapaxes(1, 2).copy(), Ball("spectral", 1.0)
    s = 0.475 / np.linalg.norm(C, ord=2, axis=(1, 2))[:, None, None]
    W, u = np.zeros((runs, dd, 1)), np.zeros((runs, n, 1))
    left, found, gaps = np.arange(runs), np.zeros((runs, dd)), np.ones(runs)
    for step in range(1, steps + 1):
        t = 4 * s
        moved = ((W + t * (CT @ u)) / t).reshape(-1, side, side)
        to = t * (moved - ball.project(moved)).reshape(W.shape)
        up = np.maximum(0, u + s * (1 - C @ (2 * to - W)))
        W, u = W + 1.8 * (to - W), u + 1.8 * (up - u)
        if step % 25 == 0 or step == steps:
            dual = up.sum(axis=(1, 2)) / norm((CT @ up).reshape(moved.shape), "spectral")
            margin = (C @ to).min(axis=(1, 2))
            primal = norm(to.reshape(moved.shape), "nuclear") / margin
            found[left], gaps[left] = to[..., 0] / abs(margin[:, None]), 1 - dual / primal
            more = ~(abs(gaps[left]) < 1e-8)
            C, CT, s, W, u, left = (x[more] for x in (C, CT, s, W, u, left))
            if not len(left):
                break
    return found, gaps


def ranks(rng, runs, n, T, d, svm_steps):
    """Mean ranks of the Frobenius and the nuclear separator of the best tokens, where there is one
    and its duality gap is below 1e-4; and in how many runs."""
    X, z, values, y = draw_inputs(rng, runs, n, T, d)
    C = constraints_of(values[..., 0] * (2 * y[..., None] - 1), X, z)
    pairs = frobenius(C), nuclear(C, svm_steps)
    fine = np.all([abs(gaps) < 1e-4 for _, gaps in pairs], axis=0)
    sizes = [np.linalg.svd(w[fine].reshape(-1, d, d), compute_uv=False) for w, _ in pairs]
    left = int(fine.sum())
    return [int((s > 1e-4 * s[:, :1]).sum()) / max(left, 1) for s in sizes], left
