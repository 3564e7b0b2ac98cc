"""Projected gradient descent on least squares in every set: it comes within 1e-10 of known optima."""
import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from minitf.optim import fixed_point_residual, projected_gradient
from minitf.projections import Ball, Simplex
from minitf.projections.intersections import Intersection
from minitf.projections.norms import KINDS

SETS = [Ball(kind, 1.5) for kind in KINDS] + [Simplex(1.5), Intersection([Ball("l21", 1.5), Ball("spectral", 0.8)])]


def least_squares(A, b):
    def f(params):
        rest = A @ params["x"] - b
        return 0.5 * float(np.sum(rest * rest)), {"x": A.T @ rest}
    return f


def run(f, x, sets, tol=1e-12, most=20_000):
    for i, it in enumerate(projected_gradient(f, {"x": x}, sets)):
        if it.residual <= tol or i == most:
            return it


@pytest.mark.parametrize("set", SETS, ids=str)
def test_reaches_the_certified_optimum(set):
    """min over K >= f(x) - max_{u in K} <grad f(x), x - u>, the Frank-Wolfe gap: no second solver is needed."""
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((12, 6)), 3 * rng.standard_normal((12, 4))
    f = least_squares(A, b)
    it = run(f, np.zeros((6, 4)), {"x": set})
    value, grads = f(it.params)
    if isinstance(set, Intersection):
        other = run(f, set.project(rng.standard_normal((6, 4))), {"x": set})
        assert abs(value - other.value) <= 1e-10 * value
    else:
        gap = float(np.sum(grads["x"] * it.params["x"]) + set.support(-grads["x"]))
        assert -1e-9 * value <= gap <= 1e-10 * value
    assert fixed_point_residual(it.params, grads, {"x": set}, lr=it.lr) <= 1e-8


@pytest.mark.parametrize("radius", [0.3, 1.0, 1.8])
def test_l2_ball_equals_the_ridge_path(radius):
    """The optimum over ||x|| <= r is the ridge solution whose norm is r: found by bisection on the ridge."""
    rng = np.random.default_rng(6)
    A, b = rng.standard_normal((15, 5)), 5 * rng.standard_normal(15)
    it = run(least_squares(A, b), np.zeros(5), {"x": Ball("l2", radius)})
    low, high = 0.0, 1e6
    for _ in range(200):
        ridge = (low + high) / 2
        x = np.linalg.solve(A.T @ A + ridge * np.eye(5), A.T @ b)
        low, high = (ridge, high) if np.linalg.norm(x) > radius else (low, ridge)
    assert np.linalg.norm(np.linalg.lstsq(A, b, rcond=None)[0]) > radius
    np.testing.assert_allclose(it.params["x"], x, rtol=1e-9, atol=1e-10)


def test_l1_ball_agrees_with_a_second_solver():
    """x = u - v with u, v >= 0 and sum u + v <= r, given to SLSQP: its optimum is not below ours."""
    rng = np.random.default_rng(7)
    A, b = rng.standard_normal((20, 8)), 4 * rng.standard_normal(20)
    f = least_squares(A, b)
    it = run(f, np.zeros(8), {"x": Ball("l1", 1.0)})
    inside = {"type": "ineq", "fun": lambda z: 1.0 - z.sum()}
    split = minimize(lambda z: f({"x": z[:8] - z[8:]})[0], np.full(16, 0.01), bounds=[(0, None)] * 16, method="SLSQP",
                     constraints=inside, options={"ftol": 1e-14, "maxiter": 500})
    assert it.value <= split.fun * (1 + 1e-10) and abs(it.value - split.fun) <= 1e-6 * it.value


def test_unconstrained_parameters_pass_through():
    rng = np.random.default_rng(8)
    A, b = rng.standard_normal((10, 3)), rng.standard_normal(10)
    it = run(least_squares(A, b), np.zeros(3), {})
    np.testing.assert_allclose(it.params["x"], np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-10)
    assert nnls(A, b)[1] >= np.sqrt(2 * it.value) - 1e-12


def test_values_never_rise_and_the_start_is_not_written():
    rng = np.random.default_rng(9)
    A, b = rng.standard_normal((10, 6)), rng.standard_normal(10)
    start = rng.standard_normal(6)
    kept = start.copy()
    start.flags.writeable = False
    iterates = projected_gradient(least_squares(A, b), {"x": start}, {"x": Ball("l1", 0.5)}, lr=1e3)
    values = [next(iterates).value for _ in range(50)]
    assert all(later <= earlier * (1 + 1e-15) for earlier, later in zip(values, values[1:]))
    np.testing.assert_array_equal(start, kept)
