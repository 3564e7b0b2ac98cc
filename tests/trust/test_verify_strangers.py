"""The checker on derivatives that strangers write: kinks, float32, scalars, frameworks, ten lines each."""
import functools
import re
import time

import numpy as np
import pytest
from checker_table import RIGHT, WRONG, beside_a_large, fixed_net, normal, rejections

from minitf.trust.verify import check_pullback

CHECK = functools.partial(lambda op, x, rng: check_pullback(op, (x,), rng))


@pytest.mark.every(4)
@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_pass(name):
    pytest.importorskip("torch") if "SDPA" in name else None
    count, _, said = rejections(CHECK, *RIGHT[name], calls=20, seed=1)
    assert not count, said


@pytest.mark.every(3)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_derivatives_do_not(name):
    count, _, said = rejections(CHECK, *WRONG[name], calls=8, seed=1)
    assert count == 8 and said.startswith("AssertionError: ") and "wrong: " in said


def test_a_wrong_sign_beside_a_slope_of_1e9_names_its_entry(rng):
    with pytest.raises(AssertionError, match=r"entry \(1,\): given -?\d.*, expected -?\d"):
        check_pullback(beside_a_large, (rng.standard_normal(2),), rng)


def test_a_failure_gives_the_entries_as_they_are(rng):
    def op(x):
        def pullback(dy):
            dx = 3 * dy
            dx[2] += 0.5 * dy[0]
            return dx
        return 3 * x, pullback
    with pytest.raises(AssertionError) as failure:
        check_pullback(op, (100 * rng.standard_normal(5),), rng)
    said = re.findall(r"entry \((\d),\): given ([^,]+), expected ([^,]+), each to within (\S+)", str(failure.value))
    assert [entry for entry, *_ in said] == ["2"]
    assert 0.001 < abs(float(said[0][1]) - float(said[0][2])) < 3 and abs(float(said[0][2])) < 20
    assert float(said[0][3]) < 1e-9


def test_one_wrong_entry_beside_others_up_to_1e12(rng):
    scale = 10.0 ** np.arange(-6, 7)
    for wrong in range(13):
        def op(x):
            factor = np.where(np.arange(13) == wrong, 1.0006, 1)
            return np.sin(scale * x), lambda dy: dy * scale * np.cos(scale * x) * factor
        with pytest.raises(AssertionError, match="wrong"):
            check_pullback(op, (rng.standard_normal(13) / scale,), rng)


def counted(op):
    calls = []

    def counting(*args):
        calls.append(1)
        return op(*args)
    return counting, calls


@pytest.mark.parametrize("name", RIGHT)
def test_sixty_forward_calls_are_enough_and_four_more_an_entry(rng, name):
    pytest.importorskip("torch") if "SDPA" in name else None
    op, draw = RIGHT[name]
    x = draw(rng)
    counting, calls = counted(op)
    check_pullback(counting, (x,), rng)
    assert len(calls) <= 60 + 4 * (x.size if x.size <= 64 else 0)


def test_a_relu_net_is_checked_in_fifty_milliseconds(rng):
    op, x = fixed_net(), rng.standard_normal((32, 10))
    check_pullback(op, (x,), rng)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        check_pullback(op, (x,), rng)
        best = min(best, time.perf_counter() - start)
    assert best < 0.05


@pytest.mark.parametrize("refuse", [np.complex128, np.float64])
def test_any_exception_means_that_the_method_does_not_apply(rng, refuse):
    """An op that takes only float32 is given only float32; one that refuses complex, differences."""
    dtype = np.float64 if refuse is np.complex128 else np.float32

    def op(x):
        if x.dtype != dtype:
            raise RuntimeError(f"{x.dtype} != {dtype}")
        return np.tanh(x), lambda dy: dy * (1 - np.tanh(x) ** 2)
    (record,) = check_pullback(op, (rng.standard_normal(30).astype(dtype),), rng)
    assert record.method == "difference"
    with pytest.raises(AssertionError, match="wrong"):
        check_pullback(lambda x: (op(x)[0], lambda dy: 1.02 * op(x)[1](dy)),
                       (rng.standard_normal(30).astype(dtype),), rng)


def test_what_is_not_a_number_is_said_to_be_so(rng):
    with np.errstate(invalid="ignore"), pytest.raises(AssertionError, match="NaN or inf forward"):
        check_pullback(lambda x: (np.log(x), lambda dy: dy / x), (np.array([1.0, -2.0]),), rng)
    with pytest.raises(AssertionError, match="NaN or inf gradient"):
        check_pullback(lambda x: (2 * x, lambda dy: np.full(2, np.nan)), (np.ones(2),), rng)


def test_infinite_outputs_get_no_cotangent(rng):
    """The log sum exp of an empty row is -inf and has no slope; the rows beside it are checked."""
    bias = np.array([[0.0, 0.0, 0.0], [-np.inf] * 3])

    def lse(s):
        e = np.exp(s + bias)
        total = e.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            y = np.log(total[:, 0])
        return y, lambda dy: dy[:, None] * e / np.where(total > 0, total, 1)
    (record,) = check_pullback(lse, (rng.standard_normal((2, 3)),), rng)
    assert record.method == "complex" and record.error < 1e-13


@pytest.mark.parametrize("method", ["auto", "difference"])
def test_at_a_kink_it_steps_aside_and_does_not_pass_on_nothing(rng, method):
    def relu(x, slope=1.0):
        return np.maximum(x, 0), lambda dy: np.where(x > 0, slope * dy, 0)
    x = np.array([0.0, 1.0, -1.0, 0.0, 2.0])
    (record,) = check_pullback(relu, (x,), rng, method=method)
    assert record.directions == 3
    with pytest.raises(AssertionError, match="wrong"):
        check_pullback(functools.partial(relu, slope=1.0005), (x,), rng, method=method)
    with pytest.raises(AssertionError, match="kink or edge|vacuous"):
        check_pullback(relu, (np.zeros(5),), rng, method=method)


def test_none_is_no_gradient_and_wrt_chooses(rng):
    def op(x, y):
        return x * y, lambda dz: (y * dz, None)
    args = rng.standard_normal((2, 4))
    (record,) = check_pullback(op, tuple(args), rng, wrt=[0])
    assert record.argument == "x" and record.entries == 4
    with pytest.raises(AssertionError, match="^y: expected a gradient, got None"):
        check_pullback(op, tuple(args), rng)


def test_empty_arguments_and_outputs(rng):
    def op(x, b):
        return x + b, lambda dy: (dy, dy.sum(axis=0))
    records = check_pullback(op, (np.zeros((0, 3)), rng.standard_normal(3)), rng)
    assert {record.method for record in records} == {"empty"}
    with pytest.raises(AssertionError, match=r"b: expected a float64 gradient of shape \(3,\), got float64 \(0, 3\)"):
        check_pullback(lambda x, b: (x + b, lambda dy: (dy, dy)), (np.zeros((0, 3)), np.ones(3)), rng)


def test_an_op_without_a_pullback_is_named(rng):
    with pytest.raises(TypeError, match=r"^op: expected a pair \(y, pullback\)"):
        check_pullback(lambda x: 2 * x, (np.ones(2),), rng)


@pytest.mark.parametrize("x", [1.5, np.float64(1.5), np.array(1.5)])
def test_numbers_are_arguments_too(rng, x):
    (record,) = check_pullback(lambda x: (x**3, lambda dy: 3 * x * x * dy), (x,), rng)
    assert record.argument == "x" and record.error < 1e-11
    with pytest.raises(AssertionError, match="wrong"):
        check_pullback(lambda x: (x**3, lambda dy: 3.002 * x * x * dy), (x,), rng)


def test_a_python_number_beside_arrays_is_an_option_unless_the_pullback_counts_it(rng):
    x = rng.standard_normal(3)
    assert len(check_pullback(lambda x, s: (s * x, lambda dy: s * dy), (x, 2.0), rng)) == 1
    assert len(check_pullback(lambda x, s: (s * x, lambda dy: (s * dy, x @ dy)), (x, 2.0), rng)) == 2


def test_complex_outputs_are_pairs_of_reals(rng):
    """y = exp(i x), <a, b> = Re sum conj(a) b."""
    def op(x, sign=-1):
        y = np.exp(1j * x)
        return y, lambda dy: (dy * np.exp(sign * 1j * x)).imag
    x = rng.standard_normal(6)
    (record,) = check_pullback(op, (x,), rng)
    assert record.method == "difference" and record.error < 1e-8
    with pytest.raises(AssertionError, match="wrong"):
        check_pullback(functools.partial(op, sign=1), (x,), rng)


def test_a_kernel_whose_last_digits_vary_is_measured_first(rng):
    noise = np.random.default_rng(0)

    def op(x, slope=1.0):
        shaken = 1 + 1e-14 * noise.standard_normal(x.shape)
        return np.sin(x) * shaken, lambda dy: slope * dy * np.cos(x) * shaken
    x = rng.standard_normal(8)
    for _ in range(20):
        check_pullback(op, (x,), rng)
        with pytest.raises(AssertionError, match="wrong"):
            check_pullback(functools.partial(op, slope=1.0005), (x,), rng)


def test_it_judges_a_backward_against_its_own_forward(rng):
    """Grouped heads tiled where they should be repeated, in both: consistent, so it passes; golden cases see it."""
    def tiled(k):
        return np.tile(k, (2, 1)), lambda dy: dy.reshape(2, *k.shape).sum(axis=0)
    check_pullback(tiled, (rng.standard_normal((3, 4)),), rng)


@pytest.mark.slow
def test_a_factor_of_one_in_two_thousand_is_found_every_time():
    op, _ = WRONG["factor 1.0005"]
    assert rejections(CHECK, op, normal(100), calls=100, seed=2)[0] == 100
