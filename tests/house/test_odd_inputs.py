"""Odd but plausible inputs: the right number, or one line; each was a wrong number or a riddle once."""
import dataclasses
import fractions
import inspect
import math
import numbers
import time
import warnings

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
    cap,
    cls_head,
    consistent_supports,
    gelu,
    identity,
    lab,
    layer_norm,
    mean_bit,
    norm,
    optim,
    sigmoid,
    softmax,
    unit_ball,
)
from minitf.checks import checked, count, describe, each, op, positive, require
from minitf.learn import Rule
from minitf.optim import adam_step, gradient_step
from minitf.projections.newton import newton
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


@pytest.mark.parametrize("kind", ["parity", "majority", "symmetric", "junta", "and"])
def test_numbers_of_supports_that_have_millions_of_digits_are_not_counted(kind):
    start = time.process_time()
    assert not is_checkable(kind, 2 * 10 ** 6, 10 ** 6)
    with pytest.raises(ValueError, match="^k: expected an integer from 1 to 8"):
        is_checkable(kind, 8, 2 ** 62)
    assert time.process_time() - start < 1


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
    assert "<function list of positive at" in str(inspect.signature(f))
    assert "<function dict of reals at" in str(inspect.signature(optim.projected_gradient))


def test_op_holds_a_cotangent_against_the_output():
    @op
    def double(x):
        return 2 * x, lambda dz: 2 * dz

    _, pullback = double(ONES)
    assert np.array_equal(pullback([1, 2]), [2, 4]) and pullback(np.float32([1, 2])).dtype == np.float32
    for dz in np.ones(3), 1.0, "a", None, np.ones(2, np.float16), np.ma.array(ONES, mask=[0, 1]):
        with pytest.raises((ValueError, TypeError), match="^dz: expected"):
            pullback(dz)


class Unreadable:
    """An array of another library that does not convert, in two lines."""
    def __array__(self, *args, **options):
        raise KeyError("two\nlines")


class Broken(fractions.Fraction):
    """A number that has no value."""
    def __float__(self):
        raise RuntimeError


def test_durations_and_broken_numbers_are_no_numbers():
    assert issubclass(np.timedelta64, numbers.Integral)                     # as NumPy has it
    for wrong in np.timedelta64(3), np.timedelta64(3, "D"), Broken(1, 2), np.datetime64("2001"):
        with pytest.raises((ValueError, TypeError), match="^(m|D|T): expected"):
            bounds.rad_dudley_closed(2.0, 1.0, wrong, 0.5)
        with pytest.raises((ValueError, TypeError), match="^D: expected"):
            bounds.rad_dudley_closed(2.0, 1.0, 100, wrong)
        with pytest.raises((ValueError, TypeError), match="^T: expected"):
            ModelConfig(wrong)


def test_what_numpy_cannot_read_is_refused_in_one_line():
    for wrong in Unreadable(), range(10 ** 12):
        for call in (lambda: norm(wrong, "l1"), lambda: attention(ONES[None], wrong, ONES), lambda: identity(ONES)[1](wrong)):
            with pytest.raises(TypeError, match="^(x|k|dy): expected what NumPy can read") as error:
                call()
            assert str(error.value).isprintable()


def test_cotangents_of_another_kind_than_the_output():
    """Real ones of complex outputs, complex ones of real outputs: the pullback is linear."""
    S, dA = np.array([[1 + 1e-3j, 2, 0.5]]), np.array([[1.0, -2.0, 3.0]])
    _, back = softmax(S)
    assert np.array_equal(back(dA), back(dA + 0j)) and np.allclose(back(1j * dA), 1j * back(dA))
    q = np.ones((2, 3))
    _, back = attention(q, q, q, lse=True)
    for mixed, both in zip(back((q, 1j * ONES)), back((q + 0j, 1j * ONES))):
        assert np.allclose(mixed, both)


def test_right_answers_come_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(cap(np.array([1e300, -1e300]), 1e-300)[0], [1e-300, -1e-300])     # x / softcap is inf
        A, _ = attention_weights([[1.0]], [[1.7e308], [-1.7e308]], scale=1.0)                   # so far below: weight 0
        assert np.array_equal(A, [[1, 0]])
        with pytest.raises(ValueError, match="expected numbers that stay in the range of float64"):
            optim.fixed_point_residual({"w": ONES}, {"w": 1e200 * ONES}, {})


def test_dicts_of_arrays_and_of_sets_are_checked():
    ball, w = Ball("l1", 1.0), {"w": ONES}
    for wrong in 3, None, [ball], np.ones(2):
        for call in (lambda: optim.project_params(w, {"w": wrong}), lambda: optim.projected_step(w, w, {"w": wrong}, 0.1),
                     lambda: optim.fixed_point_residual(w, w, {"w": wrong}), lambda: optim.frank_wolfe_gap(w, w, {"w": wrong})):
            with pytest.raises(TypeError, match=r"^constraints\['w'\]: expected a set"):
                call()
    with pytest.raises(TypeError, match=r"^grads\['w'\]: expected a float32 or float64 array"):
        optim.projected_step(w, {"w": np.array(["a", "b"])}, {}, 0.1)
    assert optim.frank_wolfe_gap(w, {"w": [True, False]}, {"w": ball}) == 2.0           # booleans count as numbers
    assert optim.fixed_point_residual({"w": np.matrix([[1.0, 2.0]])}, {"w": ONES[None]}, {}) == 2 ** 0.5
    with pytest.raises(TypeError, match=r"^params\['w'\]: expected a float32 or float64 array"):
        optim.projected_gradient(lambda p: (0.0, p), {"w": 1j * ONES}, {})
    for found in (0.0, None), ("x", {"w": ONES}), (0.0, {"w": "ab"}):
        with pytest.raises((ValueError, TypeError), match="^f"):
            next(optim.projected_gradient(lambda p, found=found: found, w, {}))


def test_parameters_that_are_not_those_of_the_model(rng):
    config = ModelConfig.paper(4, 2)
    result = minitf.fit(np.eye(4, dtype=int), [0, 1, 1, 0], config, train=minitf.TrainConfig(steps=2))
    for name, wrong in ("w", None), (3, ONES), ("w", np.array(["a"])), ("q", np.array([[None] * 4])), ("w", [math.nan]):
        params = {key: x for key, x in (result.params | {name: wrong}).items() if x is not None}
        with pytest.raises((ValueError, TypeError), match="^params"):
            dataclasses.replace(result, params=params)
        if name == 3:
            with pytest.raises(ValueError, match="^params: expected the arrays"):
                minitf.forward(params, [[0, 1, 0, 1]], config)


def test_fields_of_objects_and_empty_tables(rng):
    result = minitf.fit(np.eye(4, dtype=int), [0, 1, 1, 0], train=minitf.TrainConfig(steps=2))
    with pytest.raises(TypeError, match="^negations: expected True or False"):
        dataclasses.replace(result, negations=None)
    with pytest.raises(ValueError, match="^A: expected at least one column"):
        mean_bit(np.ones((2, 0)), np.ones((0, 0)))
    X, y = rng.integers(0, 2, (40, 3)), rng.integers(0, 2, 40)
    both = [lab.plan_table(lab.datasets.Table(rows, ("a", "b", "c"), y, "y")) for rows in (X.astype(np.uint8), X.astype(">f4"))]
    assert both[0].model == both[1].model                   # zeros and ones of any kind


def test_a_root_that_rounding_hides_is_refused_by_name():
    v = np.array([[1e308, 1e308 * (1 - 1e-16), 3.0]])
    with pytest.raises(ValueError, match="^x, radius: expected"):
        newton(lambda hi, lo: v, lambda p: 1.0, v[..., :1], -1.0 + 0 * v[..., :1], 1.0)


def test_sizes_of_models_are_bounded(rng):
    start = time.process_time()
    for wrong in dict(L=10 ** 9), dict(d=10 ** 19), dict(H=2 ** 62):
        with pytest.raises(ValueError, match="^(L|d|H): expected an integer from [01] to"):
            ModelConfig(8, **wrong)
    with pytest.raises(ValueError, match="^model: expected arrays that a memory can hold"):
        minitf.init_params(rng, ModelConfig(8, H=2 ** 30, d=2 ** 30, query="combined"))
    assert time.process_time() - start < 1


def test_what_functions_return_is_checked():
    for found in None, "x", math.nan, [1.0]:
        for call in (lambda f: bounds.rad_chain(f, 10, 0.5), lambda f: bounds.margin_bound(f, 10, 0.05),
                     lambda f: bounds.sample_complexity(f, 0.1)):
            with pytest.raises((ValueError, TypeError), match="^(logcov|bound): expected a function to numbers"):
                call(lambda *args, found=found: found)
    with pytest.raises((ValueError, TypeError), match="^covers: expected"):
        bounds.scalar_logcov(0.25, 100, bounds.ScalarBudgets(T=8, d=11, d_v=1, B_X=1.5, B_q=2.0, B_V=1.0, B_V21=1.0, B_u=2.0),
                             covers={"q": 3})


@pytest.mark.parametrize("names", [3, 0.5, ["a"], {0: "a"}])
def test_names_that_are_too_few(names):
    with pytest.raises(ValueError, match="^names: expected a name for each of 4 columns"):
        Rule((1, 3), (0, 0, 0, 1), 4).say(names)


@pytest.mark.parametrize("wrong, name", [
    (lambda: lab.points([3]), "runs"), (lambda: lab.points("pgd"), "runs"), (lambda: lab.table([{}]), "records"),
    (lambda: lab.fit_laws([1.0]), "rows"), (lambda: lab.fit_laws([{"T": 8}]), "rows"), (lambda: lab.compare([], [None], "pgd"), "runs"),
    (lambda: lab.read_runs([]), "paths"), (lambda: lab.read_runs([1]), "paths"), (lambda: lab.read_published(2.5), "path"),
    (lambda: lab.sweep(1), "path"), (lambda: lab.sweep("runs.jsonl", executor=[1]), "executor"),
    (lambda: lab.sweep("runs.jsonl", m=np.array(["a", "b"])), "m"), (lambda: lab.plan_task(method=np.array([1, 2])), "method"),
    (lambda: lab.plan_table(lab.datasets.Table(True, ("a",), ONES, "y")), "table"),
    (lambda: lab.plan_table(lab.datasets.Table(np.eye(2, dtype=int), 3, ONES, "y")), "table"),
    (lambda: minitf.Simplex(axes=np.void(b"abc")), "axes"), (lambda: lab.plan_task(method=None), "method")])
def test_lab_refuses_by_name_and_opens_nothing(wrong, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=f"^{name}") as error:
        wrong()
    assert len(str(error.value)) <= 300 and not [*tmp_path.iterdir()]


def test_messages_are_one_line_of_at_most_300():
    wide = np.zeros(3, [(f"field {i}", "f8") for i in range(200)])
    with pytest.raises(TypeError) as error:
        norm(wide, "l1")
    assert len(str(error.value)) <= 300

    class Odd:
        def __repr__(self):
            raise RuntimeError

    for value in LOOP, DEEP, "a\nb" * 500, Odd(), 10 ** 5000, [10 ** 5000], np.ones(3), "\x1b[31m":
        assert describe(value).isprintable() and len(describe(value)) <= 120
        with pytest.raises(ValueError) as error:
            require(False, "name" * 100, "words " * 100, value)
        assert len(str(error.value)) <= 300 and str(error.value).isprintable()
