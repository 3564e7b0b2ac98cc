"""The derivative of every projection: check_pullback away from kinks, closed forms on the support, symmetry, kinks."""
import numpy as np
import pytest

from minitf import check_pullback
from minitf.projections import Ball, Box, Simplex
from minitf.projections.norms import KINDS

SETS = [lambda f, kind=kind: Ball(kind, f * (9.0 if kind == "l1" else 3.0)) for kind in KINDS]
SETS += [lambda f: Simplex(9 * f), lambda f: Box(-f, 2 * f)]
sets = pytest.mark.parametrize("make", SETS, ids=[*KINDS, "simplex", "box"])


@pytest.mark.every(3)
@sets
@pytest.mark.parametrize("shape", [(5, 4), (3, 6), (2, 4, 4), (7,)])
@pytest.mark.parametrize("size", [0.6, 1.0, 40.0])
def test_is_the_derivative(make, shape, size):
    rng = np.random.default_rng(sum(shape))
    for record in check_pullback(make(size).projection, (2 * rng.standard_normal(shape),), rng):
        assert record.error < 1e-6


@sets
def test_value_linear_symmetric_and_of_a_stack(make, rng):
    x, dp, dq = 2 * rng.standard_normal((3, 2, 5, 4))
    set = make(1.0)
    p, pullback = set.projection(x)
    assert np.array_equal(p, set.project(x))
    assert np.allclose(pullback(dp + 2 * dq), pullback(dp) + 2 * pullback(dq), rtol=0, atol=1e-13)
    assert np.sum(dq * pullback(dp)) == pytest.approx(np.sum(dp * pullback(dq)), rel=1e-12)
    assert np.sum(dp * pullback(dp)) >= np.sum(pullback(dp) ** 2) - 1e-12           # 0 <= J <= 1
    for i in range(2):
        one, back = set.projection(x[i])
        assert np.allclose(one, p[i], rtol=0, atol=1e-15) and np.allclose(back(dp[i]), pullback(dp)[i], rtol=0, atol=1e-13)
    single, back = set.projection(x.astype(np.float32))
    assert single.dtype == back(dp.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="dp: expected shape"):
        pullback(dp[0])


def test_closed_forms_on_the_support():
    """l1 and the simplex: the mean leaves the support; l2: the radial part leaves; the box: outside leaves."""
    x, dp = np.array([3.0, -2.5, 0.5, 0.1]), np.array([1.0, 2.0, 4.0, 8.0])
    assert np.allclose(Ball("l1", 2.0).projection(x)[1](dp), [1.5, 1.5, 0, 0])      # signs + and -: mean of 1, -2
    assert np.allclose(Simplex(2.0).projection(abs(x))[1](dp), [-0.5, 0.5, 0, 0])
    u = x / np.linalg.norm(x)
    assert np.allclose(Ball("l2", 2.0).projection(x)[1](dp), 2 / np.linalg.norm(x) * (dp - u * (u @ dp)))
    assert np.array_equal(Box(0, 1).projection(x)[1](dp), [0, 0, 4, 8])


@pytest.mark.parametrize("kind", KINDS)
def test_inside_and_on_the_sphere_the_identity_and_of_radius_zero_nothing(kind, rng):
    x, dp = rng.standard_normal((2, 4, 3))
    x = np.round(8 * x) / 8
    assert np.array_equal(Ball(kind, 100).projection(x)[1](dp), dp) or np.allclose(
        Ball(kind, 100).projection(x)[1](dp), dp, rtol=0, atol=1e-14)
    assert not Ball(kind, 0).projection(x)[1](dp).any()
    assert np.array_equal(Ball(kind, np.inf).projection(x)[1](dp), dp)


def test_kinks_take_the_side_that_is_written():
    dp = np.array([1.0, 2.0, 4.0])
    assert np.array_equal(Ball("l1", 2.0).projection(np.array([1.0, 1, 0]))[1](dp), dp)         # on the sphere
    assert np.array_equal(Ball("l1", 1.0).projection(np.array([2.0, 1, 0]))[1](dp), [0, 0, 0])  # 1 is at the threshold
    assert np.array_equal(Ball("linf", 1.0).projection(np.array([2.0, 1, 0]))[1](dp), [0, 2, 4])
    assert np.array_equal(Box(0, 1).projection(np.array([0.0, 1, 2]))[1](dp), [1, 2, 0])


@pytest.mark.parametrize("kind", ["nuclear", "spectral"])
def test_equal_singular_values(kind, rng):
    """Where singular values meet on one side of the threshold the projection is smooth."""
    U, _ = np.linalg.qr(rng.standard_normal((5, 3)))
    V, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    x, ball, h = (U * [2.0, 2.0, 0.5]) @ V.T, Ball(kind, 1.0), 1e-6
    dx, dp = rng.standard_normal((2, 5, 3))
    slope = (ball.project(x + h * dx) - ball.project(x - h * dx)) / (2 * h)
    assert np.allclose(np.sum(dp * slope), np.sum(dx * ball.projection(x)[1](dp)), rtol=1e-6)
