"""Projected gradient descent on what others bring: names, dtypes, NaN, noise, sets of their own, momentum, a gap."""
import math
import re
import warnings
from itertools import islice

import numpy as np
import pytest
from helpers import frozen

from minitf.optim import frank_wolfe_gap, projected_gradient
from minitf.projections import Ball, Box, Intersection, Simplex, norm
from minitf.projections.norms import KINDS

rng = np.random.default_rng(3)
A, TRUE = rng.standard_normal((60, 20)), 0.1 * rng.standard_normal(20)


def least_squares(dtype=np.float64, noise=0.0, b=A @ TRUE):
    B, c, noises = A.astype(dtype), b.astype(dtype), np.random.default_rng(4)

    def f(params):
        rest = B @ params["x"] - c
        return 0.5 * float(rest @ rest) + noise * noises.standard_normal(), {"x": B.T @ rest}
    return f


def last(f, x, sets, most=3000, **options):
    """The last iterate, and how many there were."""
    for i, it in enumerate(projected_gradient(f, {"x": x}, sets, **options)):
        if it.residual <= 1e-12 or i == most:
            break
    return it, i


def test_a_constraint_on_no_parameter_is_refused():
    with pytest.raises(ValueError, match="constraints: expected names among W, got 'w'"):
        next(projected_gradient(lambda p: (0.0, p), {"W": np.ones(3)}, {"w": Ball("l1", 1)}))
    with pytest.raises(TypeError, match=r"constraints\['W'\]: expected a set with .project, got 3"):
        next(projected_gradient(lambda p: (0.0, p), {"W": np.ones(3)}, {"W": 3}))
    with pytest.raises(ValueError, match="f: expected gradients of W"):
        next(projected_gradient(lambda p: (0.0, {}), {"W": np.ones(3)}, {}))


@pytest.mark.parametrize("momentum", [False, True])
def test_float32_reaches_what_float32_can(momentum):
    b = A @ TRUE + 3 * np.random.default_rng(5).standard_normal(60)         # a minimum of 200: values differ no more
    best = np.linalg.lstsq(A, b, rcond=None)[0]
    steps = projected_gradient(least_squares(np.float32, b=b), {"x": np.zeros(20, np.float32)}, {}, momentum=momentum)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for i, it in enumerate(steps):
            if it.residual == 0 or i == 500:
                break
    assert it.params["x"].dtype == np.float32
    assert np.linalg.norm(it.params["x"] - best) <= 2e-6 * np.linalg.norm(best)


def test_what_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"params\['x'\]: expected finite entries"):
        last(least_squares(), np.full(20, np.nan), {})
    with pytest.raises(ValueError, match="f: expected a finite value at the start, got inf"):
        last(minus_log, np.zeros(3), {})
    for lr in (0, -1, math.nan):
        with pytest.raises(ValueError, match="lr: expected a positive finite number"):
            last(least_squares(), np.zeros(20), {}, lr=lr)

    def cliff(params):                                              # finite at the start alone
        at = float(params["x"][0])
        return (0.0 if at == 1 else math.nan), {"x": np.ones(1)}
    with pytest.raises(ValueError, match="f: expected finite values near an iterate, got nan"):
        last(cliff, np.ones(1), {})
    for known in -1, 1:                                             # its gradient nowhere, and at the start alone
        def no_gradient(params, known=known):
            return 0.0, {"x": np.full(2, 1 if params["x"][0] == known else np.nan)}
        with pytest.raises(ValueError, match=r"^f: grads\['x'\]: expected finite entries, got NaN"):
            last(no_gradient, np.ones(2), {})


def test_no_gradient_at_the_point_that_momentum_takes_is_stepped_back_from():
    def f(params):                                                  # values everywhere, no gradient below 0
        x = params["x"]
        return 0.5 * float(x @ x), {"x": np.where(x < 0, np.nan, x)}
    it, _ = last(f, np.ones(2), {"x": Box(0, 2)}, lr=0.9, momentum=True)
    assert np.abs(it.params["x"]).max() <= 1e-11


def test_f_cannot_write_into_the_iterates():
    def f(params):
        params["x"] += 1
        return float(params["x"].sum()), {"x": np.ones(4)}

    def rebinds(params):
        params["x"] = params["x"] + 1
        return float(params["x"].sum()), {"x": np.ones(4)}
    with pytest.raises(ValueError, match="read-only"):
        last(f, np.ones(4), {"x": Ball("l1", 1)})
    assert norm(next(projected_gradient(rebinds, {"x": np.ones(4)}, {"x": Ball("l1", 1)})).params["x"], "l1") <= 1 + 1e-12


@pytest.mark.parametrize("wrong, told", [
    (lambda x: x * np.nan, "finite entries, got NaN or inf in float64 array of shape (20,)"),
    (lambda x: x[:3], "shape (20,), got float64 array of shape (3,)"), (lambda x: None, "a float32 or float64 array, got"),
    (lambda x: x if not x.any() else x * np.nan, "finite entries, got NaN"),                    # after the start
], ids=["NaN", "short", "None", "later"])
def test_a_set_that_does_not_project_is_named_and_f_is_not(wrong, told):
    class Mine:
        project = staticmethod(wrong)
    with pytest.raises((ValueError, TypeError), match=re.escape("constraints['x'].project: expected " + told)):
        last(least_squares(), np.zeros(20), {"x": Mine()})


def minus_log(params):
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(-np.log(params["x"]).sum()), {"x": -1 / params["x"]}


@pytest.mark.parametrize("momentum", [False, True])
def test_a_barrier_is_stepped_back_from(momentum):
    """min -sum log x on the simplex: x = 1/3. Long steps land at 0, where f is inf."""
    it, _ = last(minus_log, np.array([0.9, 0.05, 0.05]), {"x": Simplex()}, momentum=momentum)
    assert np.abs(it.params["x"] - 1 / 3).max() < 1e-10 and abs(it.gap) < 1e-9


def test_a_noisy_objective_ends_with_a_word():
    f = least_squares(noise=1e-3)
    with pytest.warns(RuntimeWarning, match="noise floor of f is reached"):
        found = [it for it, _ in zip(projected_gradient(f, {"x": np.zeros(20)}, {"x": Ball("l1", 1)}), range(5000))]
    assert len(found) < 5000 and found[-1].value < 1


@pytest.mark.parametrize("set", [Ball(kind, 0.5 * norm(TRUE, kind)) for kind in KINDS] + [Simplex(0.5), Box(-0.02, 0.04)], ids=str)
@pytest.mark.parametrize("momentum", [False, True])
def test_the_gap_certifies_the_optimum(set, momentum):
    it, _ = last(least_squares(), np.zeros(20), {"x": set}, momentum=momentum)
    assert -1e-12 <= it.gap <= 1e-9 * it.value + 1e-12
    other = set.project(it.params["x"] + 0.01 * rng.standard_normal(20))
    value, grads = least_squares()({"x": other})
    assert value - it.value <= frank_wolfe_gap({"x": other}, grads, {"x": set}) * (1 + 1e-12)


def test_the_gap_is_infinite_where_nothing_certifies():
    value, grads = least_squares()({"x": np.zeros(20)})
    assert frank_wolfe_gap({"x": np.zeros(20)}, grads, {}) == math.inf
    assert frank_wolfe_gap({"x": TRUE}, {"x": 0 * TRUE}, {}) == 0


@pytest.mark.slow
def test_momentum_needs_far_fewer_steps_on_a_narrow_valley():
    scales = np.logspace(0, 1.5, 20)

    def f(params):
        rest = scales * (params["x"] - 1)
        return 0.5 * float(rest @ rest), {"x": scales * rest}
    plain, many = last(f, np.zeros(20), {}, most=100_000)
    fast, few = last(f, np.zeros(20), {}, most=100_000, momentum=True)
    assert few < many / 5 and np.abs(fast.params["x"] - 1).max() < 1e-10


class Halfspace:
    """A set of a user's own: sum x >= 1. With its support function it is certified."""

    def project(self, x):
        return x + max(0.0, 1 - x.sum()) / x.size


@pytest.mark.parametrize("momentum", [False, True])
def test_any_object_that_projects_is_a_set(momentum):
    it, _ = last(least_squares(), frozen(np.zeros(20)), {"x": Halfspace()}, momentum=momentum)
    G = A.T @ A                                                     # Lagrange: x = x* + multiplier G^-1 1
    way = np.linalg.solve(G, np.ones(20))
    best = TRUE + max(0.0, 1 - TRUE.sum()) / way.sum() * way
    assert np.abs(it.params["x"] - best).max() < 1e-9 and it.gap == math.inf


@pytest.mark.slow
def test_a_first_step_far_outside_an_intersection_is_certified_without_a_warning():
    common = Intersection([Ball("l21", 1.0), Ball("spectral", 0.7)])
    B, C = 1e4 * rng.standard_normal((50, 8)), 1e4 * rng.standard_normal((50, 5))

    def f(params):
        rest = B @ params["W"] - C
        return 0.5 * float(np.sum(rest * rest)), {"W": B.T @ rest}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for it, _ in zip(projected_gradient(f, {"W": np.zeros((8, 5))}, {"W": common}), range(20)):
            assert common.contains(it.params["W"])


@pytest.mark.every(2)
@pytest.mark.parametrize("constraints", [{}, {"x": Ball("l1", 1.0)}])
def test_a_point_at_rest_stays_at_rest(constraints):
    """The step size once grew there by a tenth for ever, until it overflowed and the caller was blamed."""
    def f(params):
        x = params["x"]
        return 0.5 * float(x @ x) if not constraints else float(x.sum()), {"x": x if not constraints else np.ones(3)}

    it = next(islice(projected_gradient(f, {"x": np.array([3.0, 1.0, 2.0])}, constraints), 8000, None))
    assert it.residual == 0 and it.lr < 2
