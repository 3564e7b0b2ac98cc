"""The nearest point common to several convex sets, by a proximal augmented Lagrangian.

The problem:  min ||p - x||^2 / 2  subject to  p in K_1, .., K_m,  with a normal u_i of each K_i at
p: x - p = sum u_i. One round, from p = c, minimises the smooth and strongly convex

    phi(p) = ||p - x||^2 / 2 + omega ||p - c||^2 / 2 + sigma sum_i dist^2(z_i, K_i) / 2,     z_i =
    p + u_i / sigma, grad   = p - x + omega (p - c) + sum_i w_i,      w_i = sigma (z_i - P_i(z_i))

by Newton's method, whose Hessian  (1 + omega) I + sigma sum_i (I - J_i)  has the derivatives J_i
of the projections, and then takes u_i = w_i: these are normals of K_i at P_i(z_i), and the
distance of p from the sets falls by about  ||x|| / (sigma r)  a round. omega, at first the
distance of x in radii, keeps p from leaving the sets behind while it is not known which of their
faces matter; it falls to 0 by the pace. Source: Rockafellar 1976; Qi, Sun 1993 (semismooth Newton);
Li, Sun and Toh 2018 (the two together).
"""
from functools import partial

import numpy as np

ROUNDS, STEPS = 60, 30


def nearest_common(x, sets, start, size, enough, pace):
    """Return the points P_i(z_i), their normals, the distance from p to them, the sweeps.

    A sweep projects once onto every set. `size` is the length at which sets end, `enough(p,
    normals)` says whether p is certified.
    """
    length = np.linalg.norm(x)
    far = max(1.0, length / size)
    sigma = omega = far
    most, closest, sweeps = 100 * far, np.inf, 0
    p, u = start, [np.zeros_like(x) for _ in sets]
    for _ in range(ROUNDS):
        # 1. Newton's steps from p
        noise = 4e-16 * (sigma * size + length)
        p, at, count = minimise_phi(p, partial(Sweep, u, x, sets, sigma, omega, p), noise)
        sweeps += count
        # 2. the normals; p is done when it is certified and gets no closer to the sets
        u, apart = at.normals, at.apart
        if omega == 0 and apart <= 1e-11 * size and (apart <= 1e-14 * size or apart > closest / 2):
            if enough(at.points, u):
                break
        # 3. the weights of the next round
        if omega == 0 and closest / 5 < apart > 1e-13 * size:
            most = min(10 * most, 1e5 * far)
        closest, sigma = apart, min(most, pace * sigma)
        omega = omega / pace if omega >= 1 else 0.0
    return at.points, u, apart, sweeps


def minimise_phi(p, sweep, noise):
    """Newton's steps, each no further than where phi rises: p, its sweep, how many sweeps."""
    at, count = sweep(p), 1
    for _ in range(STEPS):
        if at.slope <= max(at.weights[0] ** 0.5 * at.apart, noise):
            break
        d = conjugate_gradients(at.hessian, -at.grad)
        down, t = np.vdot(at.grad, d), 2.0
        while t > 1e-3:
            t /= 2
            ahead, count = sweep(p + t * d), count + 1
            if np.vdot(ahead.grad, d) <= -0.5 * down:
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

    def hessian(self, d):
        own, sigma = self.weights
        return own * d + sigma * sum(d - back(d) for back in self.pullbacks)


def conjugate_gradients(A, b, tol=1e-4, most=300):
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
