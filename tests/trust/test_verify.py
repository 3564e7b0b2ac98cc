"""The checker is checked: it must pass right pullbacks, and reject each way in which one can be wrong."""
import functools

import numpy as np
import pytest

from minitf.ops.attention import attention
from minitf.ops.primitives import linear, softmax
from minitf.projections.balls import Ball
from minitf.trust.verify import check_pullback, projection_gap, saved


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def attention_arguments(rng):
    return tuple(rng.standard_normal(shape) for shape in [(2, 5, 4), (2, 6, 4), (2, 6, 3)])


def spoilt(op, spoil):
    """The op, with spoil applied to the tuple of its gradients."""
    @functools.wraps(op)
    def wrong(*args):
        y, pullback = op(*args)
        return y, lambda dy: spoil(*pullback(dy))
    return wrong


methods = pytest.mark.parametrize("method", ["auto", "complex", "difference"])


@methods
@pytest.mark.parametrize("which", [0, 1, 2])
def test_rejects_a_derivative_wrong_by_one_part_in_two_thousand(rng, which, method):
    wrong = spoilt(attention, lambda *grads: tuple(1.0005 * g if i == which else g for i, g in enumerate(grads)))
    with pytest.raises(AssertionError, match=f"^{'qkv'[which]}: .*relative error 0.0005"):
        check_pullback(wrong, attention_arguments(rng), rng, method=method)


@methods
def test_rejects_a_zero_pullback(rng, method):
    with pytest.raises(AssertionError, match="^q: .*relative error 1 "):
        check_pullback(spoilt(attention, lambda *grads: tuple(0 * g for g in grads)), attention_arguments(rng), rng,
                       method=method)


@methods
def test_rejects_a_dropped_term(rng, method):
    """softmax without - A sum(A dA)."""
    def wrong(S):
        A, _ = softmax(S)
        return A, lambda dA: A * dA
    with pytest.raises(AssertionError, match="^S: .*relative error"):
        check_pullback(wrong, (rng.standard_normal((3, 4)),), rng, method=method)


@methods
def test_rejects_one_wrong_entry_of_many(rng, method):
    def spoil(dx, dW, db):
        dW = dW.copy()
        dW[17, 3] *= 1.01
        return dx, dW, db
    args = rng.standard_normal((9, 40)), rng.standard_normal((40, 50)), rng.standard_normal(50)
    with pytest.raises(AssertionError, match="^W: "):
        check_pullback(spoilt(linear, spoil), args, rng, method=method)


@methods
def test_rejects_a_sum_over_the_wrong_broadcast_axis(rng, method):
    """A square batch hides it from every test of shapes."""
    def wrong(x, b):
        return x + b, lambda dy: (dy, dy.sum(axis=1))
    with pytest.raises(AssertionError, match="^b: .*relative error"):
        check_pullback(wrong, (rng.standard_normal((4, 4)), rng.standard_normal(4)), rng, method=method)


@methods
def test_rejects_a_forgotten_mask(rng, method):
    def wrong(q, k, v):
        return attention(q, k, v, mask=np.arange(6) > 0)[0], attention(q, k, v)[1]
    with pytest.raises(AssertionError, match="^q: .*relative error"):
        check_pullback(wrong, attention_arguments(rng), rng, method=method)


def test_rejects_exchanged_gradients(rng):
    def wrong(x, y):
        return x * y * y, lambda dz: (2 * x * y * dz, y * y * dz)
    with pytest.raises(AssertionError, match="^x: "):
        check_pullback(wrong, (rng.standard_normal(3), rng.standard_normal(3)), rng)


def test_rejects_a_wrong_dtype_shape_or_number_of_gradients(rng):
    x = rng.standard_normal((3, 1))
    with pytest.raises(AssertionError, match=r"x: expected a float32 gradient of shape \(3, 1\), got float64 \(3, 1\)"):
        check_pullback(lambda x: (2 * x, lambda dy: 2 * dy.astype(np.float64)), (x.astype(np.float32),), rng)
    with pytest.raises(AssertionError, match=r"x: expected a float64 gradient of shape \(3, 1\), got float64 \(3,\)"):
        check_pullback(lambda x: (2 * x, lambda dy: 2 * dy[:, 0]), (x,), rng)
    with pytest.raises(AssertionError, match="returns 2 gradients, expected 1"):
        check_pullback(lambda x: (2 * x, lambda dy: (2 * dy, dy)), (x,), rng)


def test_rejects_a_pullback_with_a_memory(rng):
    def counting(x):
        calls = []

        def pullback(dy):
            calls.append(1)
            return 2 * dy * (1 + (len(calls) > 3))
        return 2 * x, pullback

    def reusing(x):
        buffer = np.empty_like(x)
        return 2 * x, lambda dy: np.multiply(2, dy, out=buffer)

    def writing(x):
        y = 2 * x

        def pullback(dy):
            y[0] += 1
            return 2 * dy
        return y, pullback

    x = rng.standard_normal(4)
    for wrong, message in [(counting, "when it is called again"), (reusing, "writes into gradients"),
                           (writing, "writes into y")]:
        with pytest.raises(AssertionError, match=message):
            check_pullback(wrong, (x,), rng)


def test_rejects_writing_into_arguments_and_cotangents(rng):
    def normalise(x):
        x /= 2
        return x, lambda dy: dy / 2

    def scale(x):
        def pullback(dy):
            dy *= 2
            return dy
        return 2 * x, pullback

    x = rng.standard_normal(4)
    for wrong, error, told in (normalise, ValueError, "read-only"), (scale, AssertionError, "the pullback writes into dy"):
        with pytest.raises(error, match=told):
            check_pullback(wrong, (x,), rng)


def test_rejects_a_pullback_that_is_not_linear(rng):
    with pytest.raises(AssertionError, match="not linear"):
        check_pullback(lambda x: (2 * x, lambda dy: 2 * dy + 1e-9), (rng.standard_normal(4),), rng)


def test_rejects_a_forward_that_is_not_a_function(rng):
    with pytest.raises(AssertionError, match="another y"):
        check_pullback(lambda x: (2 * x + rng.standard_normal(), lambda dy: 2 * dy), (rng.standard_normal(4),), rng)


@pytest.mark.parametrize("size", [0.0, 1e-12])
def test_rejects_a_check_that_could_not_fail(rng, size):
    """At scale 0 the output does not depend on q, and any pullback near 0 would pass."""
    with pytest.raises(AssertionError, match="^q: vacuous"):
        check_pullback(functools.partial(attention, scale=size), attention_arguments(rng), rng)


def test_auto_takes_differences_where_the_forward_is_not_analytic(rng):
    def absolute(x, slope=1.0):
        return np.abs(x), lambda dy: slope * np.sign(x) * dy
    x = rng.standard_normal(5) + np.array([2, -2, 3, -3, 2])
    (record,) = check_pullback(absolute, (x,), rng)
    assert record.method == "difference" and record.error < 1e-11
    with pytest.raises(AssertionError, match="relative error"):
        check_pullback(functools.partial(absolute, slope=1.0001), (x,), rng)
    with pytest.raises(AssertionError, match="vacuous"):
        check_pullback(absolute, (x,), rng, method="complex")


def test_auto_takes_differences_where_the_forward_refuses_complex_numbers(rng):
    def cube(x):
        if np.iscomplexobj(x):
            raise TypeError("real only")
        return x**3, lambda dy: 3 * x * x * dy
    (record,) = check_pullback(cube, (rng.standard_normal(5),), rng)
    assert record.method == "difference" and record.error < 1e-10
    with pytest.raises(AssertionError, match="refuses complex"):
        check_pullback(cube, (rng.standard_normal(5),), rng, method="complex")


def test_records_say_what_was_found(rng):
    records = check_pullback(attention, attention_arguments(rng), rng)
    assert [record.argument for record in records] == ["q", "k", "v"]
    assert all(record.error <= 1e-13 and record.tol == 1e-11 and record.method == "complex" for record in records)


def test_outputs_and_cotangents_may_be_tuples_and_integers_are_left_alone(rng):
    def both(x, n, slope=3):
        def pullback(dys):
            da, db = dys
            return 2 * x * da + slope * db.sum() * n
        return (x * x, 3 * (n * x).sum(keepdims=True)), pullback
    x = rng.standard_normal(4)
    check_pullback(both, (x, np.arange(4)), rng)
    with pytest.raises(AssertionError, match="^x: .*relative error"):
        check_pullback(functools.partial(both, slope=3.01), (x, np.arange(4)), rng)


def test_needs_something_to_differentiate(rng):
    with pytest.raises(ValueError, match="^args: expected a float"):
        check_pullback(softmax, (np.arange(3),), rng)


def test_arguments_stay_as_they_were(rng):
    args = attention_arguments(rng)
    copies = [x.copy() for x in args]
    check_pullback(attention, args, rng)
    assert all(x.flags.writeable and np.array_equal(x, copy) for x, copy in zip(args, copies))


def test_saved_names_what_a_pullback_keeps(rng):
    q, k, v = attention_arguments(rng)
    _, pullback = attention(q, k, v, softcap=2.0, mask=np.ones((5, 6), bool))
    kept = saved(pullback)
    assert {f"back.back.{name}" for name in ("kept", "k", "q", "uncap.u", "v", "gather.blocked")} <= {*kept}
    assert kept["back.back.kept"].shape == kept["back.back.uncap.u"].shape == (2, 5, 6)
    assert kept["back.back.q"] is q and kept["back.back.v"] is v


def test_saved_walks_tuples_dicts_and_cycles():
    x, y, z = np.zeros(1), np.ones(2), np.ones(3)
    pullbacks = [lambda dy: dy * x, {"deep": lambda dy: dy * y}]

    def pullback(dy, default=z):
        return pullbacks, pullback
    kept = saved(pullback)
    assert kept == {"pullbacks.0.x": x, "pullbacks.1.deep.y": y}
    assert saved(lambda dy: dy) == {}


def test_projection_gap_is_the_certificate_of_the_set(rng):
    x, ball = 3 * rng.standard_normal((4, 3)), Ball("l1", 2.0)
    p = ball.project(x)
    assert projection_gap(x, p, ball) <= 1e-12
    assert projection_gap(x, x * (2 / np.abs(x).sum()), ball) > 1e-3          # radial scaling is feasible, not nearest
