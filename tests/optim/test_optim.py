"""Optimiser steps against loops over numbers, and the residual that is zero exactly at stationary points."""
import math

import numpy as np
import pytest
from helpers import frozen

from minitf.optim import adam_step, fixed_point_residual, gradient_step, project_params
from minitf.projections import Ball, Simplex


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def run(step, x, gradients, **options):
    """The iterates of a step from x, one gradient after another, all arguments read-only."""
    state, path = None, []
    for g in gradients:
        x, state = step(frozen(x), frozen(g), state, **options)
        path.append(x)
    return path


def heavy_ball(x, gradients, lr, momentum=0.0):
    """One coordinate."""
    v, path = 0.0, []
    for g in gradients:
        v = momentum * v + g
        x = x - lr * v
        path.append(x)
    return path


def adam(x, gradients, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """One coordinate. Moments as explicit weighted sums over all past gradients, not as recursions."""
    path = []
    for i in range(1, len(gradients) + 1):
        n = (1 - beta1) * math.fsum(beta1 ** (i - j) * gradients[j - 1] for j in range(1, i + 1))
        s = (1 - beta2) * math.fsum(beta2 ** (i - j) * gradients[j - 1] ** 2 for j in range(1, i + 1))
        step = n / (1 - beta1 ** i) / (math.sqrt(s / (1 - beta2 ** i)) + eps)
        x = x - lr * weight_decay * x - lr * step
        path.append(x)
    return path


@pytest.mark.parametrize("step, twin, options", [
    (gradient_step, heavy_ball, {"lr": 0.3}), (gradient_step, heavy_ball, {"lr": 0.3, "momentum": 0.9}),
    (adam_step, adam, {}),
    (adam_step, adam, {"lr": 0.1, "weight_decay": 0.2}),
    (adam_step, adam, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 0.1})])
def test_steps_equal_loops_over_numbers(rng, step, twin, options):
    x = rng.standard_normal((2, 3))
    gradients = rng.standard_normal((12, 2, 3)) * 10.0 ** rng.integers(-4, 4, (12, 1, 1))
    path = run(step, x, list(gradients), **options)
    for i in np.ndindex(x.shape):
        want = twin(float(x[i]), [float(g[i]) for g in gradients], **options)
        assert np.allclose([y[i] for y in path], want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("step, options", [(gradient_step, {"lr": 0.1, "momentum": 0.9}),
                                         (adam_step, {"weight_decay": 0.1})])
def test_steps_are_pure_and_keep_the_dtype(rng, step, options):
    x, g = rng.standard_normal((2, 5)).astype(np.float32)
    one, state = step(x, g, None, **options)
    arrays = [a for a in ([state] if isinstance(state, np.ndarray) else state) if isinstance(a, np.ndarray)]
    assert one.dtype == np.float32 and {a.dtype for a in arrays} == {np.dtype(np.float32)}
    assert not any(np.shares_memory(a, b) for a in [one, *arrays] for b in (x, g))
    kept = [a.copy() for a in arrays]
    two = [step(one, g, state, **options)[0] for _ in range(2)]
    assert np.array_equal(*two)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, kept))


def test_a_constant_gradient_moves_adam_by_lr(rng):
    g = rng.standard_normal(5)
    path = run(adam_step, np.zeros(5), [g.copy() for _ in range(4)], lr=0.1, eps=0.0)
    assert np.allclose(path, -0.1 * np.arange(1, 5)[:, None] * np.sign(g), rtol=1e-12)


def test_both_methods_minimise_a_quadratic(rng):
    a = 1 + rng.random(4)
    for step, options in ((gradient_step, {"lr": 0.1, "momentum": 0.5}), (adam_step, {"lr": 0.01})):
        x, state = rng.standard_normal(4), None
        for _ in range(2000):
            x, state = step(x, a * (x - 3), state, **options)
        assert np.abs(x - 3).max() < 1e-3


def test_project_params_replaces_what_is_constrained(rng):
    params = {"q": 9 * rng.standard_normal((2, 5)), "c": np.array(7.0), "W": rng.standard_normal((3, 3))}
    kept = {name: value.copy() for name, value in params.items()}
    sets = {"q": Ball("l1", 2.0, axes=1), "c": Ball("linf", 3.0)}
    projected = project_params(params, sets)
    assert list(projected) == list(params) and projected["W"] is params["W"]
    assert np.allclose(np.abs(projected["q"]).sum(axis=1), 2) and projected["c"] == 3
    assert sets["q"].gap(params["q"], projected["q"]).max() < 1e-12
    assert all(np.array_equal(params[name], kept[name]) for name in params)


@pytest.mark.parametrize("kind", ["l1", "l2", "linf", "l21", "spectral", "nuclear"])
def test_residual_is_zero_at_stationary_points_alone(rng, kind):
    """Minimise ||x - target||^2 / 2 over a ball: the projection of the target is the only stationary point."""
    target, free = 5 * rng.standard_normal((4, 3)), rng.standard_normal(3)
    sets = {"x": Ball(kind, 2.0)}
    best = {"x": sets["x"].project(target), "free": free}

    def residual(params, lr):
        grads = {"x": params["x"] - target, "free": params["free"] - free}
        return fixed_point_residual(params, grads, sets, lr)

    for lr in 0.01, 1.0, 10.0:
        assert residual(best, lr) <= 1e-12 * np.linalg.norm(target) / min(lr, 1)
        other = sets["x"].project(best["x"] + 0.1 * rng.standard_normal((4, 3)))
        assert residual({"x": other, "free": free}, lr) > 1e-3
        assert np.isclose(residual({**best, "free": free + 1}, lr), math.sqrt(3), rtol=1e-9)   # ||(1, 1, 1)||


def test_residual_sees_an_optimum_at_a_corner():
    """A linear loss over the simplex: stationary at the vertex of the smallest cost, nowhere else."""
    cost, sets = np.array([3.0, 1.0, 2.0]), {"x": Simplex()}
    for i, vertex in enumerate(np.eye(3)):
        assert (fixed_point_residual({"x": vertex}, {"x": cost}, sets) < 1e-14) == (i == 1)


@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "weight_decay": 0.2},
                                     {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 0.1}])
def test_adam_has_the_bits_of_decaying_sums_kept_in_place(rng, options):
    """The order of the arithmetic is part of the function: models trained with it are the same again."""
    gradients = rng.standard_normal((50, 7)) * 10.0 ** rng.integers(-4, 4, (50, 1))
    x = rng.standard_normal(7)
    path, step = run(adam_step, x, list(gradients), **options), in_place(**options)
    for g, point in zip(gradients, path):
        x = step(x, g)
        assert np.array_equal(x, point)


def in_place(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    i, n, s = 0, np.zeros(7), np.zeros(7)

    def step(x, g):
        nonlocal i, n, s
        i += 1
        n *= beta1
        n += g
        s *= beta2
        s += g * g
        unit = math.sqrt((1 - beta2) / (1 - beta2 ** i))
        move = n / (np.sqrt(s) + eps / unit) * (lr * (1 - beta1) / (1 - beta1 ** i) / unit)
        return (1 - lr * weight_decay) * x - move

    return step
