"""Every op of the table against its scalar-loop twin and the laws that all ops share; then what is special to each."""
import ast
import importlib
from pathlib import Path

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_cases import CASES

from minitf.ops.kernels import softmax_rows
from minitf.ops.primitives import (
    cap,
    embed,
    gelu,
    layer_norm,
    linear,
    relu,
    sigmoid,
    softmax,
    unit_ball,
)
from minitf.trust.verify import check_pullback

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture
def rng():
    return np.random.default_rng(2022)


def close(x, y, tol=1e-12):
    return x.shape == y.shape and np.linalg.norm(x - y) <= tol * np.linalg.norm(y)


@pytest.mark.parametrize("name", ["ops.primitives", "ops.attention", "ops.blocked", "fast.cls_head"])
def test_every_op_is_in_the_table(name):
    """An op is a function that returns an output and a function of its own."""
    def is_op(f):
        local = {inner.name for inner in f.body if isinstance(inner, ast.FunctionDef)}
        pairs = [r.value.elts for r in f.body if isinstance(r, ast.Return) and isinstance(r.value, ast.Tuple)]
        answers = [r for r in ast.walk(f) if isinstance(r, ast.Call) and getattr(r.func, "id", None) == "answer"]
        return bool(answers) or any(getattr(last, "id", None) in local for *_, last in pairs)
    page = ast.parse(Path(importlib.import_module(f"minitf.{name}").__file__).read_text())
    parts = {"attend", "plain_head", "bit_mean"}        # of attention, cls_head, mean_bit
    functions = [f for f in page.body if isinstance(f, ast.FunctionDef) and f.name[0] != "_" and f.name not in parts]
    ops = {f.name for f in functions if is_op(f)}
    assert ops and ops <= {case.op.__name__ for case in CASES}


@every_case
def test_value_is_that_of_the_scalar_loops(case, rng):
    op, args = case.draw(rng)
    assert close(op(*args)[0], case.oracle(*args, **case.options))


@pytest.mark.every(2)
@every_case
def test_pullback_is_the_derivative(case, rng):
    op, args = case.draw(rng)
    exact = check_pullback(op, args, rng, wrt=case.wrt)
    assert [record.method for record in exact] == ["complex"] * len(case.wrt)
    check_pullback(op, args, rng, wrt=case.wrt, method="difference")


@pytest.mark.every(3)
@every_case
def test_float32_stays_float32(case, rng):
    op, args = case.draw(rng, np.float32)
    check_pullback(op, args, rng, wrt=case.wrt)
    y, pullback = op(*args)
    assert y.dtype == np.float32
    assert close(y, case.oracle(*args, **case.options), 1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case.leading], ids=lambda case: case.name)
def test_leading_axes_are_a_stack_of_single_calls(case, rng):
    op, args = case.draw(rng)
    y, pullback = op(*args)
    dy = rng.standard_normal(y.shape)
    singles = [op(*(x[i] if j in case.leading else x for j, x in enumerate(args))) for i in range(len(y))]
    assert close(np.stack([single for single, _ in singles]), y)
    stacked = [np.atleast_1d(g) for g in grads_of(pullback, dy)]
    parts = [grads_of(back, dy[i]) for i, (_, back) in enumerate(singles)]
    for j, dx, *pieces in zip(case.wrt, stacked, *parts):
        assert close(np.stack(pieces) if j in case.leading else sum(pieces), dx)


def grads_of(pullback, dy):
    grads = pullback(dy)
    return grads if isinstance(grads, tuple) else (grads,)


@every_case
def test_runs_clean_under_raised_floating_point_errors(case, rng):
    op, args = case.draw(rng)
    with np.errstate(all="raise", under="ignore"):
        y, pullback = op(*args)
        pullback(rng.standard_normal(y.shape))


def test_softmax_jacobian_at_three_written_out():
    a, b, c = A = np.exp([0.3, -1.2, 2.0]) / np.exp([0.3, -1.2, 2.0]).sum()
    J = np.array([[a - a * a, -a * b, -a * c],
                  [-b * a, b - b * b, -b * c],
                  [-c * a, -c * b, c - c * c]])
    y, pullback = softmax(np.array([0.3, -1.2, 2.0]))
    assert np.abs(y - A).max() < 3e-16
    assert np.abs(np.stack([pullback(e) for e in np.eye(3)]) - J).max() < 3e-16
    assert np.abs(pullback(np.ones(3))).max() < 3e-16


@given(st.integers(2, 8), st.floats(0, 30), st.integers(0, 2**32 - 1))
def test_softmax_is_lipschitz_with_the_sharp_constant(T, size, seed):
    """||softmax u - softmax v||_1 <= 2 tanh(||u - v||_inf / 2), with equality in the next test."""
    rng = np.random.default_rng(seed)
    u = 5 * rng.standard_normal(T)
    v = u + size * rng.uniform(-1, 1, T)
    assert np.abs(softmax(u)[0] - softmax(v)[0]).sum() <= 2 * np.tanh(np.abs(u - v).max() / 2) + 1e-12


def test_softmax_attains_its_lipschitz_bound():
    u = np.array([0.5, -0.5])
    assert abs(np.abs(softmax(u)[0] - softmax(-u)[0]).sum() - 0.9242343145200195) < 1e-15


@pytest.mark.parametrize("gap", [1, 10, 20, 40, 300])
def test_softmax_pullback_keeps_its_digits_where_one_weight_is_nearly_one(gap):
    """At two keys dS = w (1 - w) (dA_0 - dA_1) (1, -1); the plain formula keeps 7 digits at a gap of 20, none at 40."""
    dS = softmax(np.array([gap, 0.0]))[1](np.array([0.7, -1.1]))
    exact = 1.8 / (np.exp(gap / 2) + np.exp(-gap / 2)) ** 2
    assert np.abs(dS - [exact, -exact]).max() <= 1e-14 * exact


def test_softmax_in_place_overwrites_only_what_it_is_given():
    S, dA = np.arange(4.0), np.array([1.0, 0, 2, -1])
    A, _, pullback = softmax_rows(S)
    assert A is S and pullback(dA)[0] is dA


def test_softmax_survives_large_scores_and_refuses_rows_without_any():
    assert np.array_equal(softmax(np.array([1e4, 1e4, -np.inf]))[0], [0.5, 0.5, 0])
    for bad in (np.array([[0.0, 1], [-np.inf, -np.inf]]), np.zeros((2, 0)), np.float64(1)):
        with pytest.raises(ValueError, match="^S: expected"):
            softmax(bad)


@pytest.mark.parametrize("x", [3.0, -3.0, 9.0, -9.0, 30.0])
def test_gelu_keeps_its_digits_in_the_tails(x):
    """Rounding 2u, about 60 at x = 9, costs exp(2u) that many units in the last place."""
    import mpmath
    with mpmath.workdps(40):
        f = lambda t: t / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (t + mpmath.mpf(0.044715) * t**3)))
        y, pullback = gelu(np.array(x))
        for got, exact in ((y, f(mpmath.mpf(x))), (pullback(np.array(1.0)), mpmath.diff(f, mpmath.mpf(x)))):
            assert abs(got - float(exact)) <= 1e-12 * abs(float(exact))


def test_sigmoid_in_both_tails():
    z = np.array([-745.0, -40, 0, 40, 800])
    assert sigmoid(z) == pytest.approx([np.exp(-745), np.exp(-40), 0.5, 1, 1], rel=1e-15)


def test_relu_is_flat_at_zero_and_passes_nan_on():
    y, pullback = relu(np.array([-1.0, 0, 2, np.nan]))
    assert np.array_equal(y, [0, 0, 2, np.nan], equal_nan=True)
    assert np.array_equal(pullback(np.array([5.0, 5, 5, 5])), [0, 0, 5, 5])


def test_embed_sums_over_repeats_and_leaves_unused_rows_zero():
    y, pullback = embed(np.array([[3, 1], [3, 3]]), np.arange(8.0).reshape(4, 2))
    assert np.array_equal(y[0], [[6, 7], [2, 3]])
    dy = np.arange(8.0).reshape(2, 2, 2)
    assert np.array_equal(pullback(dy), [[0, 0], [2, 3], [0, 0], [0 + 4 + 6, 1 + 5 + 7]])


def test_embed_of_a_large_table_needs_no_square_of_it():
    """2^17 rows against 2^17 indices: a one-hot matrix would take 128 GB."""
    index = np.arange(2**17, dtype=np.uint32)[::-1]
    dE = embed(index, np.ones((2**17, 1)))[1](np.arange(2.0**17)[:, None])
    assert np.array_equal(dE[:, 0], np.arange(2.0**17)[::-1])


def test_layer_norm_rows_are_standard():
    y, _ = layer_norm(np.random.default_rng(0).normal(1e6, 3, (4, 50)), np.ones(50), np.zeros(50), eps=0)
    assert np.abs(y.mean(axis=-1)).max() < 1e-14
    assert np.abs((y * y).mean(axis=-1) - 1).max() < 1e-14


def test_layer_norm_of_a_constant_row_needs_eps():
    row = np.full((1, 3), 0.1)
    assert np.array_equal(layer_norm(row, np.ones(3), np.zeros(3))[0], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="^x: expected rows that are not constant"):
        layer_norm(row, np.ones(3), np.zeros(3), eps=0)


def test_unit_ball_is_the_identity_inside_and_radial_outside(rng):
    x = rng.standard_normal((50, 4))
    y, pullback = unit_ball(x)
    length = np.linalg.norm(x, axis=1)
    assert np.array_equal(y[length <= 1], x[length <= 1])
    assert np.abs(np.linalg.norm(y[length > 1], axis=1) - 1).max() < 1e-15
    assert np.abs(pullback(x) * (length > 1)[:, None]).max() < 1e-15            # the radial direction is lost
    z = rng.standard_normal((50, 4))
    assert (np.linalg.norm(y - unit_ball(z)[0], axis=1) <= np.linalg.norm(x - z, axis=1) + 1e-15).all()


def test_unit_ball_of_rows_whose_squares_overflow():
    y, pullback = unit_ball(np.array([[3e200, 4e200], [1e-300, 0]]))
    assert np.allclose(y, [[0.6, 0.8], [1e-300, 0]], rtol=1e-15, atol=0)
    assert np.allclose(pullback(np.ones((2, 2))), [[0.16 / 5e200, -0.12 / 5e200], [1, 1]], rtol=1e-14, atol=0)


@pytest.mark.parametrize("op, shapes", [
    (linear, [(0, 3), (3, 2), (2,)]), (linear, [(4, 0), (0, 2)]), (linear, [(4, 3), (3, 0), (0,)]), (softmax, [(0, 3)]),
    (layer_norm, [(0, 3), (3,), (3,)]), (unit_ball, [(0, 3)]), (unit_ball, [(3, 0)]), (gelu, [(0,)]), (relu, [(0,)]),
    (lambda E: embed(np.zeros((0, 2), int), E), [(3, 2)]), (lambda E: embed(np.zeros(2, int), E), [(3, 0)]),
])
def test_nothing_in_nothing_out(op, shapes):
    y, pullback = op(*(np.ones(shape) for shape in shapes))
    grads = grads_of(pullback, np.ones_like(y))
    assert [dx.shape for dx in grads] == shapes and not any(dx.any() for dx in grads)


@pytest.mark.parametrize("call, name, error", [
    (lambda: linear(np.ones((2, 3)), np.ones((4, 5))), "W", ValueError),
    (lambda: linear(np.ones((2, 3)), np.ones(3)), "W", ValueError),
    (lambda: linear(np.ones((2, 3)), np.ones((3, 5)), np.ones(4)), "b", ValueError),
    (lambda: linear(np.ones((2, 3), np.float16), np.ones((3, 5))), "x", TypeError),
    (lambda: embed(np.array([0, 3]), np.ones((3, 2))), "index", ValueError),
    (lambda: embed(np.array([-1]), np.ones((3, 2))), "index", ValueError),
    (lambda: embed(np.array([0.0]), np.ones((3, 2))), "index", TypeError),
    (lambda: layer_norm(np.ones((2, 3)), np.ones(2), np.ones(3)), "gain", ValueError),
    (lambda: layer_norm(np.ones((2, 3)), np.ones(3), np.ones((1, 3))), "bias", ValueError),
    (lambda: layer_norm(np.ones((2, 3)), np.ones(3), np.ones(3), eps=-1e-5), "eps", ValueError),
    (lambda: layer_norm(np.ones((2, 0)), np.ones(0), np.ones(0)), "x", ValueError),
    (lambda: unit_ball(np.float64(1)), "x", ValueError),
    (lambda: cap(np.ones(2), 0.0), "softcap", ValueError),
])
def test_bad_arguments_are_named(call, name, error):
    with pytest.raises(error, match=f"^{name}: expected .*, got "):
        call()


def test_tf_scalar_oracle_on_a_head_that_can_be_read_off():
    """Scores 0 on [CLS] and log 3 on the second token of two: weights 1/5, 1/5, 3/5."""
    x_cls, X = np.array([1.0, 0, 0]), np.array([[[0, 1.0, 0], [0, 0, 1.0]]])
    W_QK = np.zeros((3, 3))
    W_QK[2, 0] = np.log(3)
    W_V = np.array([[1.0, 0], [-5, 0], [0, 1.0]])
    y = oracles.tf_scalar(X, x_cls, W_QK, W_V, np.eye(2), np.array([10.0, 1.0]), oracles.relu)
    assert y == pytest.approx([10 * 0 + 0.6], rel=1e-15)
    y = oracles.tf_scalar(X, x_cls, W_QK, W_V, np.eye(2), np.array([10.0, 1.0]))
    assert y == pytest.approx([10 * (0.2 - 1) + 0.6], rel=1e-15)
