"""Odd but plausible inputs: the right number, or one line; each was a wrong number or a riddle once."""
import time

import numpy as np
import pytest
from hostile import DEEP, LOOP

import minitf
from minitf import (
    Ball,
    Intersection,
    ModelConfig,
    attention,
    attention_blocked,
    attention_tangent,
    attention_weights,
    bounds,
    cls_head,
    consistent_supports,
    gelu,
    identity,
    layer_norm,
    mean_bit,
    norm,
    sigmoid,
    unit_ball,
)
from minitf.checks import checked, count, describe, each, op, positive, require
from minitf.optim import adam_step, gradient_step
from minitf.tasks import count_ones, is_checkable

ONES = np.ones(2)


def test_numpy_integers_do_not_wrap():
    c = bounds.ScalarBudgets(T=np.uint16(65535), d=np.int8(67), d_v=1, B_X=1.4, B_q=9.9, B_V=1.0, B_V21=1.0, B_u=4.0)
    for m in np.int32(100_000), np.uint32(100_000), 100_000:
        assert bounds.scalar_C2(m, c) == bounds.scalar_C2(100_000, c) and bounds.scalar_C2(m, c).C2 > 0
    assert bounds.mau(1.0, 1.0, 0.5, np.uint8(200)) == bounds.mau(1.0, 1.0, 0.5, 200)
    assert bounds.union_U(20, np.int8(64), [0.4, 0.2]) == bounds.union_U(20, 64, [0.4, 0.2])


def test_numbers_beyond_float64_are_refused_by_name():
    for wrong in (lambda: bounds.ds(1e200, 1e200, 1e-200, 10 ** 400), lambda: bounds.mau(1e200, 1e200, 1.0, 5),
                  lambda: bounds.layers_C2(10, 10 ** 400, [], 1.0, 1.0)):
        with pytest.raises(ValueError, match=r"^(n|M, B, eps, V, norm_only|T|layers): expected"):
            wrong()


def test_sigmoid_of_small_integers():
    assert np.allclose(sigmoid(np.uint8([0, 1, 200])), [0.5, 1 / (1 + np.exp(-1)), 1])


@pytest.mark.parametrize("x, eps", [([1e20, -1e20], 1e-5), ([3e38, -3e38], 1e-5), ([1e-30, -1e-30], 0.0)])
def test_layer_norm_beyond_squares_in_float32(x, eps):
    one = np.ones(2, np.float32)
    y, pullback = layer_norm(np.float32(x), one, 0 * one, eps=eps)
    assert np.allclose(y, [1, -1]) and y.dtype == np.float32
    assert all(np.isfinite(g).all() for g in pullback(np.float32([1, 2])))


def test_layer_norm_and_unit_ball_beyond_squares_are_those_of_smaller_rows(rng):
    x, gain, dy = rng.standard_normal((3, 5)), rng.standard_normal(5), rng.standard_normal((3, 5))
    y, pullback = layer_norm(x, gain, gain, eps=0)
    for scale in 2.0 ** 1020, 2.0 ** -1000:
        big, back = layer_norm(scale * x, gain, gain, eps=0)
        assert np.array_equal(big, y)
        assert np.allclose(back(dy)[0] * scale, pullback(dy)[0], rtol=1e-9, atol=0 if scale < 1 else 1e-9)
    assert np.allclose(unit_ball([1.7e308, 1.7e308])[0], 0.5 ** 0.5)


@pytest.mark.parametrize("x", [np.float32([1.5e13, -1.5e13, 3e38]), np.array([1.2e103, -1.2e103, 1e308])])
def test_gelu_has_its_slope_far_out(x):
    y, pullback = gelu(x)
    assert np.array_equal(y, np.maximum(x, 0)) and np.array_equal(pullback(np.ones_like(x)), x > 0)


def test_symbols_and_bits_out_of_range_are_refused(rng):
    s, v = rng.standard_normal((1, 2, 3)), rng.standard_normal((1, 2, 3, 1))
    for X in [[0, 1, 2]], [[0, 1, -1]], [[0.0, 1, 1]]:
        with pytest.raises((ValueError, TypeError), match="^X: "):
            cls_head(s, v, np.ones(1), np.ones((1, 1)), X)
    for X in [[0, 7, 1]], [[0, np.nan, 1]]:
        with pytest.raises(ValueError, match="^X: expected zeros and ones"):
            mean_bit(np.ones((1, 3)), X)


def test_masked_arrays_are_refused_everywhere():
    masked = np.ma.array([1, 1e9], mask=[0, 1])
    for call in (lambda: norm(masked, "l1"), lambda: Ball("l1", masked), lambda: Ball("l1", 1.0).project(masked),
                 lambda: bounds.split(masked, [1, 1], 0.1), lambda: gradient_step(masked, ONES, lr=1.0),
                 lambda: minitf.fit(np.ma.array([[1, 0]], mask=[[0, 1]]), [1]), lambda: identity(ONES)[1](masked)):
        with pytest.raises(TypeError, match="an array without a mask of its own"):
            call()


@pytest.mark.parametrize("kind", minitf.projections.norms.KINDS)
def test_sets_near_the_end_of_float64(kind):
    x = np.array([[1e300, -7e299], [5e299, 8e299]])
    ball, small = Ball(kind, 1.0), Ball(kind, 1.0).support(x / 1e300)
    assert np.isclose(ball.support(x), 1e300 * small) and np.isclose(norm(x, kind), 1e300 * norm(x / 1e300, kind))
    gap = ball.gap(x, ball.project(x))
    assert abs(gap) <= 1e-14 * ball.support(x)
    with pytest.raises(ValueError, match="^x: expected entries up to 1e300"):
        ball.norm(1e5 * x * 1e3)


@pytest.mark.filterwarnings("ignore:.*encountered in")
@pytest.mark.parametrize("k", [[[1e200], [1.0]], [[-1e200], [-1e200]]])
def test_scores_that_overflow_are_refused(k):
    v = [[1.0], [2.0]]
    for attend in (lambda: attention([[1e200]], k, v), lambda: attention_blocked([[1e200]], k, v),
                   lambda: attention_weights([[1e200]], k), lambda: attention_tangent([[1e200]], k, v, [[1.0]], k, v)):
        with pytest.raises(ValueError, match="^q, k: expected scores in the range of float64"):
            attend()
    attention([[np.inf]], k, v)                                         # what was given passes on


@pytest.mark.parametrize("wrong, name", [
    (lambda: minitf.constraints(None), "model"), (lambda: minitf.forward(None, [[0]], ModelConfig(1)), "params"),
    (lambda: minitf.certify(None, [[0]], [0]), "result"), (lambda: Intersection(None), "sets"),
    (lambda: minitf.fit([[0]], [0], callback=3), "callback"), (lambda: identity(ONES)[1]("abc"), "dy"),
    (lambda: identity(ONES)[1](np.ones(3)), "dy"), (lambda: adam_step(ONES, ONES, lr=np.nan), "lr"),
    (lambda: adam_step(ONES, ONES, lr=-1.0), "lr"), (lambda: adam_step(ONES, ONES, beta1=1.0), "beta1"),
    (lambda: bounds.occam_m(1.0, 0.1, 0.1, agnostic="no"), "agnostic"), (lambda: bounds.split(DEEP, [1.0], 0.1), "A"),
    (lambda: attention(LOOP, ONES, ONES), "q"), (lambda: count_ones(10 ** 6), "k"), (lambda: is_checkable("and", "8", 2), "T"),
    (lambda: Ball("l2", 1.0).project(DEEP), "x")])
def test_objects_options_and_cotangents_are_refused_by_name(wrong, name):
    with pytest.raises((ValueError, TypeError)) as error:
        wrong()
    assert str(error.value).startswith(f"{name}: expected") and len(str(error.value)) <= 300


def test_a_search_without_an_end_gives_up(rng):
    X = (rng.random((200, 1000)) < 0.5 ** (1 / 6)).astype(np.uint8)
    start = time.process_time()
    with pytest.raises(ValueError, match="^X, y: expected rows that rule out more"):
        consistent_supports(X, np.zeros(200, int), "and", 6)
    assert time.process_time() - start < 30


def test_checked_reads_annotations():
    @checked
    def f(a: positive, n: count = None, b: bool = False, c: int | str = 0, *, listed: each(positive) = None, rest=None):
        return a, n, b, c, listed, rest

    assert f(np.float32(2), c="x", rest=None) == (2.0, None, False, "x", None, None)
    assert f(1, np.int8(3), np.True_, listed=np.array([1, 2])) == (1.0, 3, True, 0, [1.0, 2.0], None)
    assert type(f(1, np.int8(3))[1]) is int
    for args, options in ((0,), {}), ((1, 0), {}), ((1, 2, 1), {}), ((1, 2, True, None), {}), ((1,), {"listed": [0]}):
        with pytest.raises((ValueError, TypeError), match="^[anbc]|listed: expected"):
            f(*args, **options)
    with pytest.raises(TypeError, match="takes from 1 to 4 positional"):
        f(1, 2, True, 0, 5)


def test_op_holds_a_cotangent_against_the_output():
    @op
    def double(x):
        return 2 * x, lambda dz: 2 * dz

    _, pullback = double(ONES)
    assert np.array_equal(pullback([1, 2]), [2, 4]) and pullback(np.float32([1, 2])).dtype == np.float32
    for dz in np.ones(3), 1.0, "a", None, np.ones(2, np.float16), np.ma.array(ONES, mask=[0, 1]):
        with pytest.raises((ValueError, TypeError), match="^dz: expected"):
            pullback(dz)


def test_messages_are_one_line_of_at_most_300():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    for value in LOOP, DEEP, "a\nb" * 500, Odd(), 10 ** 5000, [10 ** 5000], np.ones(3), "\x1b[31m":
        assert describe(value).isprintable() and len(describe(value)) <= 120
        with pytest.raises(ValueError) as error:
            require(False, "name" * 100, "words " * 100, value)
        assert len(str(error.value)) <= 300 and str(error.value).isprintable()
