"""Every projection by its certificate of optimality, and against oracles that share no code with it."""
import dataclasses
import math
import warnings
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minitf.projections import balls as projections, newton as thresholds
from minitf.projections.norms import KINDS
from minitf.projections.balls import Ball, Simplex
from minitf.projections.intersections import Intersection, project

kinds = pytest.mark.parametrize("kind", KINDS)
ENTRY = st.one_of(st.integers(-4, 4).map(float), st.floats(-10, 10, allow_subnormal=False))
VECTORS = st.lists(ENTRY, min_size=1, max_size=12)


def draw(name, rng=None):
    rng = rng or np.random.default_rng(11)
    normal = rng.standard_normal
    return {
        "square": lambda: normal((6, 6)),
        "tall": lambda: normal((9, 3)),
        "wide": lambda: normal((3, 9)),
        "vector": lambda: normal(40),
        "long": lambda: normal((50, 60)) ** 3,                  # beyond what the first guess sorts in full
        "one entry": lambda: np.array([[-2.0]]),
        "number": lambda: np.array(-2.0),
        "ties": lambda: np.round(normal((6, 8))),
        "equal": lambda: np.full((7, 5), -0.1),
        "rank one": lambda: np.outer(normal(5), normal(4)),
        "sparse": lambda: np.where(rng.random((8, 8)) < 0.1, normal((8, 8)), 0.0),
        "log-uniform": lambda: np.exp(rng.uniform(-36, 0, (6, 50))),
        "just below the top": lambda: 1 - np.exp(rng.uniform(-36, 0, (6, 50))),
        "stack": lambda: normal((2, 3, 4, 5)) * np.arange(3)[:, None, None],
        "huge": lambda: 1e150 * normal((4, 5)),
        "tiny": lambda: 1e-150 * normal((4, 5)),
    }[name]()


CASES = ["square", "tall", "wide", "vector", "long", "one entry", "number", "ties", "equal", "rank one", "sparse",
         "log-uniform", "just below the top", "stack", "huge", "tiny"]


def certify(set, x, p, dual=None):
    """Assert that p is the projection: a point of the set, with no gap beyond 1e-12 of the scale of the problem."""
    dual = Ball(set.kind, 1, set.axes).support(x) if dual is None else dual
    assert p.shape == x.shape and p.dtype == x.dtype
    assert set.contains(p).all()
    assert (np.abs(set.gap(x, p)) <= 1e-12 * set.radius * dual).all()


@kinds
@pytest.mark.parametrize("name", CASES)
def test_certificate(kind, name):
    x = draw(name)
    for fraction in (1e-9, 0.01, 0.5, 0.99, 1 - 1e-12):
        ball = Ball(kind, fraction * float(np.max(Ball(kind, 1).norm(x))))
        certify(ball, x, ball.project(x))


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
    dual = Ball(projections.DUAL[kind], float(Ball(kind, 1).support(x - p)))
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


def bisect(mass, r, hi):
    """The theta with mass(theta) = r, mass decreasing, in 50 digits."""
    lo, hi = mpmath.mpf(0), mpmath.mpf(hi)
    for _ in range(180):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if mass(mid) > r else (lo, mid)
    return lo


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

def soft(x, t):
    return np.sign(x) * np.maximum(np.abs(x) - t, 0)


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


# ---- rounding -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("top, rest, n, r", [
    (1.5, 1.0, 1_000_000, 1.0),             # parts of 5e-7 below a threshold near 1
    (1.5, 1.0, 1_000_000, 0.5 + 1e-10),     # parts of 1e-16, less than the last digit of the threshold
    (1.0, 1.0, 1_000_000, 1e-9),
    (1.0, 1.0, 1_000_000, 1e-150),
    (1e150, 1e150, 1000, 1e-150),
    (0.1, 0.1, 1_000_000, 99_999.0),
    (2.0, 1.0, 1000, 1.0),                  # the threshold is exactly the tied entry
])
def test_heavy_ties_keep_the_sum(top, rest, n, r):
    x = np.full(n, rest)
    x[n // 3] = top
    p = Ball("l1", r).project(x)
    exact = exact_ties(top, rest, n, r)
    assert p[n // 3] == pytest.approx(exact[0], rel=1e-12, abs=0) and p[0] == pytest.approx(exact[1], rel=1e-9, abs=0)
    assert abs(math.fsum(p) - r) <= 1e-13 * r
    certify(Ball("l1", r), x, p)


def test_long_columns_keep_their_sums():
    x = np.full((200_000, 2), 0.1)
    p = Ball("l1inf", 1999.0).project(x)
    assert max(abs(math.fsum(column) - 1999) for column in p.T) <= 1e-13 * 1999
    p = Ball("l21", 20.0).project(x)
    assert abs(sum(math.sqrt(math.fsum(column * column)) for column in p.T) - 20) <= 1e-12 * 20


def exact_ties(top, rest, n, r):
    top, rest, r = Fraction(top), Fraction(rest), Fraction(r)
    theta = max(top - r, (top + (n - 1) * rest - r) / n)
    return float(top - theta), float(max(rest - theta, 0))


def test_no_input_needs_more_than_a_few_newton_steps(monkeypatch):
    steps = []
    newton = thresholds.newton

    def counting(parts, *rest):
        calls = []
        steps.append(calls)
        return newton(lambda *theta: (calls.append(0), parts(*theta))[1], *rest)

    monkeypatch.setattr(thresholds, "newton", counting)
    rng = np.random.default_rng(1)
    for x in (rng.standard_normal(20000), rng.standard_cauchy(20000), np.exp(rng.uniform(-300, 0, 20000)),
              1 - np.exp(rng.uniform(-36, 0, 20000)), 2.0 ** -np.arange(1000), np.sort(rng.standard_normal(20000)),
              np.where(np.arange(20000) % 20 == 0, 1.0, 1e-3 * rng.random(20000))):     # the sample sees one kind only
        for fraction in (1e-8, 1e-3, 0.3, 0.9, 1 - 1e-9):
            ball = Ball("l1", fraction * np.abs(x).sum())
            certify(ball, x, ball.project(x))
    assert max(map(len, steps)) <= 20 and np.mean([len(s) for s in steps]) < 6


def test_beyond_the_range_of_float64_an_error_and_no_wrong_answer():
    with np.errstate(all="ignore"), pytest.raises(ArithmeticError, match="near the limits of float64"):
        Ball("l1", 1e308).project([1.7e308, 1.7e308, 1.0])


# ---- axes, dtypes, arguments ----------------------------------------------------------------------------------------

SETS = [lambda axes, kind=kind: Ball(kind, 0.7, axes) for kind in KINDS] + [lambda axes: Simplex(0.7, axes)]
sets = pytest.mark.parametrize("make", SETS, ids=[*KINDS, "simplex"])


@sets
def test_leading_axes_are_independent(make):
    x = draw("stack")
    set, p = make(None), make(None).project(draw("stack"))
    for i in np.ndindex(2, 3):
        assert np.allclose(p[i], set.project(x[i]), rtol=0, atol=1e-15)
        assert set.contains(x)[i] == set.contains(x[i])
        assert set.support(x)[i] == pytest.approx(set.support(x[i]), rel=1e-14)
        assert set.gap(x, p)[i] == pytest.approx(set.gap(x[i], p[i]), abs=1e-14)
    assert set.project(np.empty((0, 4, 5))).shape == (0, 4, 5)
    assert set.gap(np.empty((0, 4, 5)), np.empty((0, 4, 5))).shape == (0,)


@sets
def test_axes_1_makes_every_row_a_vector(make):
    x = draw("stack")
    set, single = make(1), make(None)
    p = set.project(x)
    assert set.support(x).shape == set.contains(x).shape == set.gap(x, p).shape == (2, 3, 4)
    for i in np.ndindex(2, 3, 4):
        assert np.allclose(p[i], single.project(x[i]), rtol=0, atol=1e-15)
    assert np.allclose(set.project(x[0, 1, 2]), p[0, 1, 2], rtol=0, atol=1e-15)


@sets
def test_dtypes_and_memory_layouts(make):
    x, set = draw("stack"), make(None)
    p = set.project(x)
    single = set.project(x.astype(np.float32))
    assert single.dtype == np.float32 and np.allclose(single, p, rtol=0, atol=1e-6)
    assert set.contains(single).all()
    assert (np.abs(set.gap(x.astype(np.float32), single)) < 1e-5).all()
    for layout in (np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2], x[..., ::-1][..., ::-1], x.tolist()):
        q = set.project(layout)
        assert q.dtype == np.float64 and np.allclose(q, p, rtol=0, atol=1e-15)
    integers = np.arange(-6, 6).reshape(3, 4)
    assert np.array_equal(set.project(integers), set.project(integers.astype(float)))
    before = x.copy()
    x.flags.writeable = p.flags.writeable = False
    set.project(x), set.gap(x, p), set.contains(x), set.support(x)
    assert np.array_equal(x, before)


@sets
@pytest.mark.parametrize("x, error, words", [
    (np.array([1, np.nan]), ValueError, "x: expected finite entries"),
    (np.array([[np.inf]]), ValueError, "x: expected finite entries"),
    (np.ones(3, np.float16), TypeError, "float16"),
    (np.ones(3, complex), TypeError, "x: expected a float32 or float64 array, got complex128"),
])
def test_refused_arrays(make, x, error, words):
    for set in (make(None), Intersection([make(None)])):
        with pytest.raises(error, match=words):
            set.project(x)
    with pytest.raises(error, match=words.replace("x:", "p:")):
        make(None).gap(np.ones(x.shape), x)


def test_gap_wants_one_shape():
    for set in (Ball("l2", 1), Intersection([Ball("l2", 1)])):
        with pytest.raises(ValueError, match=r"p: expected shape \(3, 2\)"):
            set.gap(np.ones((3, 2)), np.ones(2))


def test_sets_are_values_that_check_themselves():
    ball = Ball("l21", 3)
    assert ball == Ball("l21", 3.0) and hash(ball) == hash(Ball("l21", 3.0)) and isinstance(ball.radius, float)
    assert Intersection([ball, Ball("l1", 2)]) == Intersection((ball, Ball("l1", 2)))
    for value, field in [(ball, "radius"), (Simplex(1), "radius"), (Intersection([ball]), "sets")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)
    with pytest.raises(ValueError) as caught:
        Ball("l3", 1)
    assert "\n" not in str(caught.value) and all(kind in str(caught.value) for kind in KINDS)


@pytest.mark.parametrize("make, error, words", [
    (lambda: Ball("l1", -1), ValueError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", math.nan), ValueError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", "1"), TypeError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", 1, axes=2), ValueError, "axes: expected None"),
    (lambda: Simplex(0), ValueError, "radius: expected a finite number > 0"),
    (lambda: Simplex(math.inf), ValueError, "radius: expected a finite number > 0"),
    (lambda: Simplex(1, axes=0), ValueError, "axes: expected None"),
    (lambda: Simplex(1).project(np.empty((2, 0))), ValueError, "x: expected at least one entry"),
    (lambda: Intersection([]), TypeError, "sets: expected a list of Ball and Simplex"),
    (lambda: Intersection([Ball("l1", 1), "l2"]), TypeError, "sets: expected a list of Ball and Simplex"),
    (lambda: Intersection([Ball("l1", 1), Ball("l2", 1, axes=1)]), ValueError, "sets: expected the same axes"),
    (lambda: Intersection([Simplex(1), Simplex(2)]), ValueError, "sets: expected at most one Simplex"),
    (lambda: Intersection([Simplex(1), Ball("l2", 0.4)]).project(np.ones(4)), ValueError, "sets with a common point"),
    (lambda: project(np.ones(3), "l1"), TypeError, "set: expected a Ball, Simplex or Intersection"),
])
def test_refused_sets(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_project_is_the_method_as_a_function():
    x = draw("square")
    for set in (Ball("l1", 1), Simplex(2), Intersection([Ball("l1", 1)])):
        assert np.array_equal(project(x, set), set.project(x))


# ---- the simplex ----------------------------------------------------------------------------------------------------

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


# ---- intersections --------------------------------------------------------------------------------------------------

def paper(n=8, a=0.5, b=0.5):
    x = np.random.default_rng(1).standard_normal((n, n))
    return x, Intersection([Ball("l21", a * Ball("l21", 1).norm(x)), Ball("spectral", b * Ball("spectral", 1).norm(x))])


@pytest.mark.parametrize("n, a, b", [(8, 0.5, 0.5), (8, 0.3, 0.3), (8, 0.05, 0.1), (32, 0.5, 0.5), (32, 0.9, 0.9)])
def test_intersection_is_certified(n, a, b):
    x, both = paper(n, a, b)
    p, gap, sweeps = both.project_certified(x)
    assert 0 < sweeps < 100 and both.contains(p)
    assert -1e-14 * np.sum(x * x) <= gap <= 1e-14 * np.sum(x * x)
    assert both.gap(x, p) == gap
    rng = np.random.default_rng(2)                           # and without the certificate: no common point is nearer
    for u in np.concatenate([rng.standard_normal((200, n, n)), p + 0.1 * rng.standard_normal((200, n, n))]):
        u = u / max(s.norm(u) / s.radius for s in both.sets)
        assert np.sum((x - p) * (u - p)) <= 1e-13 * np.sum(x * x)


def alternate(x, sets, sweeps):
    for _ in range(sweeps):
        for s in sets:
            x = s.project(x)
    return x


def test_plain_alternating_projection_fails_the_certificate():
    x, both = paper()
    p, q = both.project(x), alternate(x, both.sets, 2000)
    assert both.contains(q) and np.allclose(q, alternate(q, both.sets, 1), rtol=0, atol=1e-14)      # it has converged
    assert both.gap(x, q) > 1e-4 * np.sum(x * x) and np.linalg.norm(x - q) > np.linalg.norm(x - p) + 0.01
    assert np.linalg.norm(p - q) ** 2 <= both.gap(x, q)
    assert both.gap(x, 0.99 * p) > 1e-4 * np.sum(x * x)


CLOSED_FORM = [                                             # the same multiplier bisected by hand
    ([Ball("l1", 2.0), Ball("linf", 0.3)], lambda x, t: np.clip(soft(x, t), -0.3, 0.3), lambda p: np.abs(p).sum() - 2),
    ([Simplex(2.0), Ball("linf", 0.3)], lambda x, t: np.clip(x - t, 0, 0.3), lambda p: p.sum() - 2),
    ([Ball("l2", 0.9), Ball("l1", 2.0)], lambda x, t: soft(x, t) * min(1, 0.9 / np.linalg.norm(soft(x, t))),
     lambda p: np.abs(p).sum() - 2),
    ([Ball("l1", 2.0), Ball("linf", 0.3), Ball("l2", 5.0)], lambda x, t: np.clip(soft(x, t), -0.3, 0.3),
     lambda p: np.abs(p).sum() - 2),
]


@pytest.mark.parametrize("case", range(len(CLOSED_FORM)))
@pytest.mark.parametrize("scale", [1, 3])
def test_intersections_with_a_closed_form(case, scale):
    members, form, excess = CLOSED_FORM[case]
    x = scale * draw("vector")
    lo, hi = -10.0 * scale, float(np.abs(x).max()) * (1 - 1e-15)
    lo = lo if isinstance(members[0], Simplex) else 0.0
    for _ in range(200):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if excess(form(x, mid)) > 0 else (lo, mid)
    p, gap, _ = Intersection(members).project_certified(x)
    assert Intersection(members).contains(p)
    assert np.linalg.norm(p - form(x, lo)) <= max(math.sqrt(max(gap, 0)), 1e-8 * np.linalg.norm(x))


@pytest.mark.parametrize("members", [
    [Ball("l21", 3.0), Ball("l21t", 2.5)],
    [Ball("nuclear", 2.0), Ball("l1inf", 1.0)],
    [Ball("l1", 3.0), Ball("linf", 0.2), Ball("spectral", 0.9)],
    [Ball("l1", 3.0), Ball("linf1", 1.2), Ball("l2", 0.6)],
    [Ball("l1", 3.0), Ball("l21", 2.0), Ball("l21t", 2.0), Ball("linf1", 1.5)],
    [Simplex(3.0), Ball("spectral", 0.7)],
    [Simplex(1.0), Ball("l2", 0.2)],
    [Ball("l1", math.inf), Ball("l21", 2.0), Ball("spectral", 0.9), Ball("l2", math.inf)],
])
def test_any_sets_intersect(members):
    common = Intersection(members)
    for scale in (0.1, 1) if len(members) > 2 else (0.1, 1, 3):
        x = scale * draw("square")
        p, gap, sweeps = common.project_certified(x)
        assert common.contains(p) and gap <= 1e-14 * np.sum(x * x) and sweeps < 1000
        assert np.abs(common.project(p) - p).max() <= 2e-7 * np.abs(x).max()


def test_quick_exits_take_no_sweep_and_change_nothing():
    x, both = paper()
    for a, b in [(0.1, 0.9), (0.9, 0.1), (2, 2)]:
        first, second = (dataclasses.replace(s, radius=f * s.norm(x)) for s, f in zip(both.sets, (a, b)))
        p, gap, sweeps = Intersection([first, second]).project_certified(x)
        assert sweeps == 0 and abs(gap) <= 1e-14 * np.sum(x * x)
        assert np.array_equal(p, first.project(x) if a < b else second.project(x))
        assert np.array_equal(p, Intersection([second, first]).project(x))


def test_intersections_act_on_leading_axes_and_rows():
    x, both = paper()
    stack = np.stack([x, 0.1 * x, 2 * x.T])[:, None]
    p, gap, sweeps = both.project_certified(stack)
    assert gap.shape == sweeps.shape == both.contains(stack).shape == both.gap(stack, p).shape == (3, 1)
    assert len(set(sweeps.ravel())) > 1
    for i in np.ndindex(3, 1):
        one, one_gap, one_sweeps = both.project_certified(stack[i])
        assert np.array_equal(p[i], one) and gap[i] == one_gap and sweeps[i] == one_sweeps
    rows = Intersection([Simplex(1.0, axes=1), Ball("linf", 0.3, axes=1)])
    q, gap, _ = rows.project_certified(x)
    assert gap.shape == (8,) and rows.contains(q).all()
    assert np.allclose(q[2], Intersection([Simplex(1.0), Ball("linf", 0.3)]).project(x[2]), rtol=0, atol=1e-15)
    assert both.project(np.empty((0, 8, 8))).shape == (0, 8, 8)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_intersections_at_the_ends_of_the_range(scale):
    x, both = paper()
    scaled = Intersection([dataclasses.replace(s, radius=scale * s.radius) for s in both.sets])
    assert np.allclose(scaled.project(scale * x) / scale, both.project(x), rtol=0, atol=2e-7)


def test_float32_is_kept():
    x, both = paper()
    p = both.project(x.astype(np.float32))
    assert p.dtype == np.float32 and both.contains(p) and np.allclose(p, both.project(x), rtol=0, atol=1e-6)


def test_a_search_cut_short_says_so():
    x = np.random.default_rng(0).standard_normal(6)
    nearly_one_point = Intersection([Simplex(1.0), Ball("l2", (1 + 1e-4) / math.sqrt(6))])
    with pytest.warns(RuntimeWarning, match="gap .* after 1000 sweeps"):
        p, gap, sweeps = nearly_one_point.project_certified(x)
    assert nearly_one_point.contains(p) and gap > 1e-14 * np.sum(x * x) and sweeps == 1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paper()[1].project(x=paper()[0])


def test_l1_keeps_zeros_exactly_where_rounding_alone_is_outside():
    """The sum is 30.2 to one rounding: theta is 0 to rounding, and must not come out below."""
    x = np.array([7.2, 4.4, 7.8, 6.2, 4.6, 0.0])
    p = Ball("l1", 30.2).project(x)
    assert x.sum() > 30.2 and p[5] == 0 and (p <= x).all() and p.sum() > 30
