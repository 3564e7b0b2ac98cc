"""The nearest point common to several convex sets, by a proximal augmented Lagrangian.

The problem:  min ||p - x||^2 / 2  subject to  p in K_1, .., K_m,  with a normal u_i of each K_i at
p: x - p = sum u_i. One round, from p = c, minimises the smooth and strongly convex

    phi(p) = ||p - x||^2 / 2 + omega ||p - c||^2 / 2 + sigma sum_i dist^2(z_i, K_i) / 2
    grad   = p - x + omega (p - c) + sum_i w_i
             with  z_i = p + u_i / sigma,  w_i = sigma (z_i - P_i(z_i))

by Newton's method, whose Hessian  (1 + omega) I + sigma sum_i (I - J_i)  has the derivatives J_i
of the projections, and then takes u_i = w_i: these are normals of K_i at P_i(z_i), and the
distance of p from the sets falls by about  ||x|| / (sigma r)  a round. omega, at first the
distance of x in radii, keeps p from leaving the sets behind while it is not known which of their
faces matter; it falls to 0 by the pace. Source: Rockafellar 1976; Qi, Sun 1993 (semismooth Newton);
Li, Sun and Toh 2018 (the two together).
"""
from functools import partial

import numpy as np

ROUNDS, STEPS, TRIES = 100, 12, 6


def nearest_common(x, sets, start, size, enough):
    """Return the points P_i(z_i), their normals, the distance from p to them, the sweeps.

    A sweep projects once onto every set. `size` is the length at which sets end, `enough(p,
    normals)` says whether p is certified. The pace adapts: a round of many sweeps met new faces,
    and one that does not end is tried again nearer to p. At last sigma falls, as it multiplies
    the rounding of z_i - P_i(z_i).
    """
    length, closest, apart, sweeps, pace = np.linalg.norm(x), np.inf, np.inf, 0, 10.0
    sigma = omega = far = max(1.0, length / size)
    p, u = start, [np.zeros_like(x) for _ in sets]
    for _ in range(ROUNDS):
        # 1. Newton's steps from p
        noise = 1e-15 * (sigma * size + length)
        p, at, count = minimise_phi(p, partial(Sweep, u, x, sets, sigma, omega, p), noise)
        sweeps += count
        pace = max(1.5, pace ** 0.5) if count > 12 else min(30.0, 2 * pace) if count <= 3 else pace
        if not at.rests(100 * noise):
            sigma, omega = max(far, sigma / pace), min(far, 10 * omega)
            continue
        # 2. the normals; p is done when it is certified and gets no closer to the sets
        u, closest, apart = at.normals, apart, at.apart
        if omega == 0 and apart <= 1e-11 * size:
            if (apart <= 1e-14 * size or apart > closest / 2) and enough(at.points, u):
                break
            sigma = max(far, sigma / 10) if apart <= 1e-13 * size else sigma
            continue
        # 3. the weights of the next round
        most = 20 if omega else 1e4 if apart < closest / 5 else 1e6
        sigma = max(sigma, min(most * far, pace * sigma))
        omega = omega / pace if omega >= 1 else 0.0
    return at.points, u, apart, sweeps


def minimise_phi(p, sweep, noise):
    """Newton's steps, each to about where phi is least along it: p, its sweep, how many sweeps."""
    at, count = sweep(p), 1
    for _ in range(STEPS):
        if at.rests(noise):
            break
        d = conjugate_gradients(at.hessian, -at.grad)
        down = np.vdot(at.grad, d)
        low, high, t = (0.0, down), None, 1.0
        for _ in range(TRIES):
            ahead, count = sweep(p + t * d), count + 1
            slope = np.vdot(ahead.grad, d)
            if slope <= -0.3 * down and (slope >= 0.9 * down or high is None):
                break
            low, high = ((t, slope), high) if slope < 0 else (low, (t, slope))
            share = low[1] / (low[1] - high[1])
            t = low[0] + (high[0] - low[0]) * np.clip(share, 0.05, 0.95)
        if at.rests(10 * noise) and ahead.slope > at.slope:
            break
        p, at = p + t * d, ahead
    return p, at, count


class Sweep:
    """The projections P_i(z_i) at p, the normals w_i, the gradient and the Hessian of phi."""

    def __init__(self, u, x, sets, sigma, omega, centre, p):
        z = [p + normal / sigma for normal in u]
        self.points, self.pullbacks = zip(*(s.projection(at) for s, at in zip(sets, z)))
        self.normals = [sigma * (a - b) for a, b in zip(z, self.points)]
        self.grad = p - x + omega * (p - centre) + sum(self.normals)
        self.slope, self.weights = np.linalg.norm(self.grad), (1 + omega, sigma)
        self.apart = max(np.linalg.norm(p - point) for point in self.points)

    def rests(self, noise):
        """Whether the gradient is 0, next to the distance from the sets or to the rounding."""
        return self.slope <= max(self.weights[0] ** 0.5 * self.apart, noise)

    def hessian(self, d):
        own, sigma = self.weights
        return own * d + sigma * sum(d - back(d) for back in self.pullbacks)


def conjugate_gradients(A, b, tol=1e-4, most=1000):
    """Solve A d = b, A symmetric positive, to ||b - A d|| <= tol ||b||. Hestenes, Stiefel 1952."""
    d, rest = np.zeros_like(b), b
    way, square = rest, np.vdot(b, b)
    stop = tol ** 2 * square
    for _ in range(most):
        if square <= stop:
            break
        bent = A(way)
        step = square / np.vdot(way, bent)
        d, rest = d + step * way, rest - step * bent
        square, before = np.vdot(rest, rest), square
        way = rest + square / before * way
    return d
