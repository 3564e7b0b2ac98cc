"""The risk of a head for single-location regression in closed form, with its gradient.

The risk E (y - T(X))^2 depends on the overlaps theta = v . k*, kappa = k . k*, eta = k . v*,
nu = v . v*, rho = k . v. With t = lambda s kappa, g = lambda gamma, F = E erf(t + g n) and
Z = E erf(t + g n)^2, dashes for derivatives in t, Stein's lemma gives

    R = gamma^2 - 2 (gamma^2 nu F + g gamma s theta eta F' + g^2 gamma^2 eta rho F'')
        + (s^2 theta^2 + gamma^2) Z + 2 g gamma s theta rho Z' + g^2 gamma^2 rho^2 Z''
        + (L-1) (Z_0 + rho^2 Z_2 + (L-2) rho^2 C^2 + 2 rho C (s theta F + g gamma rho F'))

F = erf(t/sqrt(b)), Z' = 2/sqrt(b) erf(t/sqrt((1 + 4 g^2) b)) erf'(t/sqrt(b)), b = 1 + 2 g^2; C, Z_0
and Z_2 are lambda F', Z and lambda^2 Z'' at t = 0 where g = lambda: those of the other tokens, with
Z_0 = 2/pi arcsin(2 lambda^2 / (1 + 2 lambda^2)).
"""
import math

import numpy as np

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


def erf_derivatives(x):
    """erf and its first three derivatives."""
    from scipy.special import erf

    first = 2 / math.sqrt(math.pi) * np.exp(-x * x)
    return erf(x), first, -2 * x * first, (4 * x * x - 2) * first


def means(t, g):
    """F, F', F'', F''' and Z, Z', Z'', Z''' at t."""
    b = 1 + 2 * g * g
    root, wide = math.sqrt(b), math.sqrt((1 + 4 * g * g) * b)
    a0, a1, a2, a3 = erf_derivatives(t / root)
    w0, w1, w2, _ = erf_derivatives(t / wide)
    Z = erf_derivatives(t[:, None] + g * NODES)[0] ** 2 @ WEIGHTS / math.sqrt(2 * math.pi)
    slopes = [w0 * a1, w1 * a1 / wide + w0 * a2 / root,
              w2 * a1 / wide ** 2 + 2 * w1 * a2 / (wide * root) + w0 * a3 / b]
    return (a0, a1 / root, a2 / b, a3 / (b * root)), (Z, *(2 / root * x for x in slopes))


def risk(overlaps, d, L, gamma, lam):
    """R of overlaps (5, n) = theta, kappa, eta, nu, rho. pullback(dR) -> doverlaps."""
    theta, kappa, eta, nu, rho = overlaps
    s, g = math.sqrt(d / 2), lam * gamma
    (F, F1, F2, F3), (Z, Z1, Z2, Z3) = means(lam * s * kappa, g)
    b, h, st = 1 + 2 * lam * lam, g * gamma, s * theta
    Z_0, C = 2 / math.pi * math.asin(1 - 1 / b), 2 * lam / math.sqrt(math.pi * b)
    Z_2 = 2 * C * C / math.sqrt(1 + 4 * lam * lam)
    square, G2 = st * st + gamma ** 2, h * h
    alone = Z_2 + (L - 2) * C * C
    R = (gamma ** 2 - 2 * (gamma ** 2 * nu * F + h * st * eta * F1 + G2 * eta * rho * F2)
         + square * Z + 2 * h * st * rho * Z1 + G2 * rho ** 2 * Z2
         + (L - 1) * (Z_0 + rho ** 2 * alone + 2 * rho * C * (st * F + h * rho * F1)))

    def pullback(dR):
        dt = (square * Z1 + 2 * h * st * rho * Z2 + G2 * rho ** 2 * Z3
              - 2 * (gamma ** 2 * nu * F1 + h * st * eta * F2 + G2 * eta * rho * F3)
              + 2 * (L - 1) * rho * C * (st * F1 + h * rho * F2))
        dst = 2 * (st * Z + h * rho * Z1 - h * eta * F1 + (L - 1) * rho * C * F)
        deta = -2 * (h * st * F1 + G2 * rho * F2)
        drho = (2 * h * st * Z1 + 2 * G2 * rho * Z2 - 2 * G2 * eta * F2
                + 2 * (L - 1) * (rho * alone + C * (st * F + 2 * h * rho * F1)))
        return np.stack([s * dst, lam * s * dt, deta, -2 * gamma ** 2 * F, drho]) * dR

    return R, pullback
