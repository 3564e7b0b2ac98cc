"""Every projection by its certificate of optimality, and against oracles that share no code with it."""
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from projections.cases import CASES, bisect, certify, draw, soft

from minitf.projections import Ball, Simplex
from minitf.projections.norms import DUAL, KINDS

kinds = pytest.mark.parametrize("kind", KINDS)
ENTRY = st.one_of(st.integers(-4, 4).map(float), st.floats(-10, 10, allow_subnormal=False))
VECTORS = st.lists(ENTRY, min_size=1, max_size=12)


@kinds
@pytest.mark.parametrize("name", CASES)
def test_certificate(kind, name):
    x = draw(name)
    for fraction in (1e-9, 0.01, 0.5, 0.99, 1 - 1e-12):
        ball = Ball(kind, fraction * float(np.max(Ball(kind, 1).norm(x))))
        certify(ball, x, ball.project(x))


@pytest.mark.every(2)
@kinds
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_certificate_of_anything(kind, data):
    entry = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, allow_subnormal=False))
    x = data.draw(arrays(np.float64, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5), elements=entry))
    x[np.abs(x) < 1e-100] = 0
    radius = data.draw(st.floats(1e-3, 30))
    ball = Ball(kind, radius)
    certify(ball, x, ball.project(x))


@kinds
def test_points_of_the_ball_are_returned_equal_and_not_by_reference(kind):
    for name in CASES:
        x = draw(name)
        size = float(np.max(Ball(kind, 1).norm(x)))
        for radius in (size * (1 + 1e-12), 2 * size, math.inf):
            p = Ball(kind, radius).project(x)
            assert np.array_equal(p, x) and not np.shares_memory(p, x)


@kinds
def test_radius_zero_and_input_zero(kind):
    x = draw("stack")
    assert not Ball(kind, 0).project(x).any()
    assert not Ball(kind, 1).project(0 * x).any()
    assert (Ball(kind, 0).gap(x, 0 * x) == 0).all()


@kinds
def test_laws_of_a_projection(kind):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 300, 4, 5))
    ball = Ball(kind, 0.4 * float(np.median(Ball(kind, 1).norm(x))))
    p, q = ball.project(x), ball.project(y)

    def inner(a, b):
        return np.sum(a * b, axis=(-2, -1))

    assert np.allclose(ball.project(p), p, rtol=0, atol=1e-14)                                          # idempotent
    assert (inner(p - q, p - q) <= inner(x - y, p - q) + 1e-13).all()                                   # firm
    assert (inner(p - q, p - q) <= inner(x - y, x - y) + 1e-13).all()                                   # non-expansive
    assert np.allclose(ball.project(-x), -p, rtol=0, atol=1e-14)                                        # odd
    scaled = Ball(kind, 8 * ball.radius).project(8 * x)
    assert np.allclose(scaled, 8 * p, rtol=0, atol=1e-13)                                               # homogeneous
    inside = y * (ball.radius / ball.norm(y))[:, None, None]
    assert (inner(x - p, inside - p) <= 1e-13).all()                                                    # nearest


@kinds
def test_moreau_decomposition(kind):
    """x - projection onto the ball of a norm is the projection onto a ball of the dual norm."""
    x = draw("square")
    p = Ball(kind, 0.4 * float(Ball(kind, 1).norm(x))).project(x)
    dual = Ball(DUAL[kind], float(Ball(kind, 1).support(x - p)))
    assert np.allclose(dual.project(x), x - p, rtol=0, atol=1e-13)


# ---- oracles --------------------------------------------------------------------------------------------------------

def exact_l1(v, r):
    """Project onto the l1 ball in rational arithmetic: try every number of active entries."""
    u = sorted((abs(Fraction(a)) for a in v), reverse=True)
    r = Fraction(r)
    if sum(u) <= r:
        return [float(a) for a in v]
    theta = max((sum(u[:k]) - r) / k for k in range(1, len(u) + 1))
    return [math.copysign(float(max(abs(Fraction(a)) - theta, 0)), a) for a in v]


def oracle(kind, M, r):
    """Projection from the optimality conditions, 50 digits, entry by entry."""
    with mpmath.workdps(50):
        A = [[mpmath.mpf(float(a)) for a in row] for row in M]
        n, d = M.shape
        if kind.endswith("t"):
            return oracle(kind[:-1], M.T, r).T
        columns = [[A[i][j] for i in range(n)] for j in range(d)]
        length = [mpmath.sqrt(sum(a * a for a in column)) for column in columns]
        total = [sum(map(abs, column)) for column in columns]
        if kind == "linf":
            new = [[mpmath.sign(a) * min(abs(a), r) for a in column] for column in columns]
        elif kind == "l2":
            size = mpmath.sqrt(sum(a * a for a in length))
            new = [[a * min(1, r / size) for a in column] for column in columns]
        elif kind == "l2inf":
            new = [[a * min(1, r / s) for a in column] for column, s in zip(columns, length)]
        elif kind == "l21":
            theta = bisect(lambda t: sum(max(s - t, 0) for s in length), r, max(length))
            new = [[a * max(s - theta, 0) / s for a in column] for column, s in zip(columns, length)]
        elif kind in ("l1", "l1inf"):
            parts = [sum(columns, [])] if kind == "l1" else columns
            flat = []
            for part in parts:
                excess = sum(map(abs, part)) > r
                theta = bisect(lambda t: sum(max(abs(a) - t, 0) for a in part), r, max(map(abs, part))) if excess else 0
                flat += [mpmath.sign(a) * max(abs(a) - theta, 0) for a in part]
            new = [flat[j * n:(j + 1) * n] for j in range(d)]
        elif kind == "linf1":
            def cut(column, t):             # the level mu at which the column loses t
                u = sorted(map(abs, column), reverse=True)
                return max(0, max((sum(u[:k + 1]) - t) / (k + 1) for k in range(n)))
            theta = bisect(lambda t: sum(cut(column, t) for column in columns), r, max(total))
            new = [[mpmath.sign(a) * min(abs(a), cut(column, theta)) for a in column] for column in columns]
        return np.array([[float(new[j][i]) for j in range(d)] for i in range(n)])


@pytest.mark.every(3)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("nuclear", "spectral")])
@pytest.mark.parametrize("name", ["tall", "wide", "ties", "rank one", "square"])
@pytest.mark.parametrize("fraction", [0.01, 0.5])
def test_against_fifty_digits(kind, name, fraction):
    x = draw(name)
    if name == "ties":
        x += np.where(x.any(axis=0), 0, 1)                  # the oracle divides by column lengths
        x += np.where(x.any(axis=1, keepdims=True), 0, 1)
    ball = Ball(kind, fraction * float(Ball(kind, 1).norm(x)))
    assert np.allclose(ball.project(x), oracle(kind, x, ball.radius), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("kind", ["nuclear", "spectral"])
@pytest.mark.parametrize("shape", [(5, 5), (7, 4), (4, 7)])
def test_singular_values_prescribed(kind, shape):
    rng = np.random.default_rng(2)
    rank = min(shape)
    U, _ = np.linalg.qr(rng.standard_normal((shape[0], rank)))
    V, _ = np.linalg.qr(rng.standard_normal((shape[1], rank)))
    s = np.array([5.0, 3, 3, 1, 0])[:rank]
    x = (U * s) @ V.T
    for r in (0.25, 2.5, 6.0, 7.5):
        p = exact_l1(s, r) if kind == "nuclear" else np.minimum(s, r)
        assert np.allclose(Ball(kind, r).project(x), (U * p) @ V.T, rtol=0, atol=1e-13)


@settings(max_examples=200, deadline=None)
@given(v=VECTORS, r=st.one_of(st.integers(1, 9).map(float), st.floats(1e-6, 20)))
def test_l1_against_rational_arithmetic(v, r):
    assert np.allclose(Ball("l1", r).project(v), exact_l1(v, r), rtol=1e-13, atol=1e-15 * max(map(abs, v)))


def test_against_a_general_solver():
    """A smooth form of the l1, linf1 and (2,1) problems, given to SLSQP."""
    from scipy.optimize import minimize
    x = draw("square")[:3, :4]
    split = {"l1": lambda u, t: np.concatenate([(t - u).ravel(), (t + u).ravel()]),
             "linf1": lambda u, t: np.concatenate([(t.max(axis=0) * 0 + t[0] - u).ravel(), (t[0] + u).ravel()]),
             "l21": lambda u, t: t[0] ** 2 - np.sum(u * u, axis=0)}
    for kind, inside in split.items():
        ball = Ball(kind, 0.4 * float(Ball(kind, 1).norm(x)))
        total = (lambda t: t.sum()) if kind == "l1" else (lambda t: t[0].sum())
        start = np.concatenate([np.zeros(12), np.full(12, ball.radius / 12)])
        limits = [{"type": "ineq", "fun": lambda z: inside(z[:12].reshape(3, 4), z[12:].reshape(3, 4))},
                  {"type": "ineq", "fun": lambda z: ball.radius - total(z[12:].reshape(3, 4))},
                  {"type": "ineq", "fun": lambda z: z[12:]}]
        found = minimize(lambda z: np.sum((z[:12] - x.ravel()) ** 2) / 2, start, constraints=limits, method="SLSQP",
                         options={"maxiter": 500, "ftol": 1e-14}).x[:12].reshape(3, 4)
        assert np.abs(found - ball.project(x)).max() < 2e-5, kind


# ---- wrong projections must fail ------------------------------------------------------------------------------------

def radial(ball, x):
    return x * min(1, ball.radius / ball.norm(x))


def clipped(ball, x):
    """Clip the entries so far that the norm fits: what is right for linf."""
    top = np.abs(x).max()
    cut = float(bisect(lambda t: ball.norm(np.clip(x, float(t) - top, top - float(t))), ball.radius, top))
    return np.clip(x, cut - top, top - cut) * (1 - 1e-14)


def shrunk(ball, x):
    """Shrink the entries so far that the norm fits: what is right for l1."""
    level = float(bisect(lambda t: ball.norm(soft(x, float(t))), ball.radius, np.abs(x).max()))
    return soft(x, level) * (1 - 1e-14)


@kinds
@pytest.mark.parametrize("wrong, right", [(radial, ["l2"]), (clipped, ["linf"]), (shrunk, ["l1"])])
def test_wrong_projections_have_a_gap(kind, wrong, right):
    x = draw("square")
    ball = Ball(kind, 0.5 * float(Ball(kind, 1).norm(x)))
    p = wrong(ball, x)
    scale = ball.radius * Ball(kind, 1).support(x)
    assert ball.contains(p)                                 # feasible: only optimality can tell
    if kind in right:
        assert abs(ball.gap(x, p)) <= 1e-12 * scale
    else:
        assert ball.gap(x, p) > 1e-2 * scale


@kinds
def test_the_gap_bounds_the_distance_and_sees_a_part_in_a_million(kind):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((5, 4))
    ball = Ball(kind, 0.5 * float(Ball(kind, 1).norm(x)))
    p = ball.project(x)
    for size in (1, 1e-3, 1e-6):
        other = p + size * rng.standard_normal(p.shape)
        other *= ball.radius / ball.norm(other)
        assert ball.gap(x, other) >= np.sum((other - p) ** 2) > 0
    assert ball.gap(x, p * (1 - 1e-6)) > 1e-7 * np.sum((x - p) * p) > 0


# ---- the simplex ----------------------------------------------------------------------------------------------------

@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(v=VECTORS, r=st.floats(1e-6, 20))
def test_simplex_against_rational_arithmetic(v, r):
    u = sorted(map(Fraction, v), reverse=True)
    theta = max((sum(u[:k]) - Fraction(r)) / k for k in range(1, len(u) + 1))
    exact = [float(max(Fraction(a) - theta, 0)) for a in v]
    p = Simplex(r).project(v)
    assert np.allclose(p, exact, rtol=1e-13, atol=1e-15 * (max(map(abs, v)) + r))
    assert p.min() >= 0 and abs(math.fsum(p) - r) <= 1e-13 * r


@pytest.mark.parametrize("name", CASES)
def test_simplex_certificate(name):
    x = draw(name)
    for fraction in (1e-9, 0.1, 3.0, 1e3):
        set = Simplex(fraction * float(np.abs(x).max()))
        p = set.project(x)
        certify(set, x, p, np.abs(x).max() + set.radius)
        assert not set.contains(0.99 * p).any() and not set.contains(p - 1e-3 * set.radius).any()


def test_simplex_gap_sees_a_wrong_point():
    x, set = draw("square"), Simplex(2.0)
    for weight in (np.ones(x.shape), np.exp(x), np.maximum(x, 0)):
        wrong = 2 * weight / weight.sum()
        assert set.contains(wrong) and set.gap(x, wrong) > 0.1
