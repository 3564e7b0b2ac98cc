"""The logistic loss where it is hard: labels that are certain, logits that are huge. Values and laws: test_ops.py."""
import mpmath
import numpy as np
import pytest

from minitf.ops.primitives import logistic


@pytest.mark.parametrize("z", [0.0, 1e-8, -0.7, 5.0, 36.0, 40.0, -40.0, 700.0, -700.0])
@pytest.mark.parametrize("y", [0, 1, 0.25])
def test_value_and_gradient_to_full_relative_accuracy(z, y):
    """The usual sigmoid(z) - y has no digit left at y = 1, z = 40, where the gradient is -4e-18."""
    with mpmath.workdps(400):
        p, target = 1 / (1 + mpmath.exp(-mpmath.mpf(z))), mpmath.mpf(y)
        exact = float(-target * mpmath.log(p) - (1 - target) * mpmath.log(1 - p)), float(p - target)
    loss, pullback = logistic(np.array([z]), np.array([y]))
    assert abs(loss[0] - exact[0]) <= 1e-15 * exact[0]
    assert abs(pullback(np.ones(1))[0] - exact[1]) <= 4e-16 * abs(exact[1])


def test_limits_run_clean():
    z, y = np.array([1e308, 1e308, -1e308, -1e308]), np.array([1, 0, 1, 0], np.uint8)
    with np.errstate(all="raise", under="ignore"):
        loss, pullback = logistic(z, y)
        assert np.array_equal(loss, [0, 1e308, 1e308, 0])
        assert np.array_equal(pullback(np.ones(4)), [0, 1, -1, 0])


def test_mean_is_the_callers_cotangent(rng=np.random.default_rng(0)):
    z, y = rng.standard_normal((4, 6)), rng.integers(0, 2, (4, 6)).astype(bool)
    loss, pullback = logistic(z, y)
    p = 1 / (1 + np.exp(-z))
    assert loss.mean() == pytest.approx(-np.log(np.where(y, p, 1 - p)).mean(), rel=1e-14)
    assert np.abs(pullback(np.full(loss.shape, 1 / 24)) - (p - y) / 24).max() < 1e-16


def test_no_examples():
    loss, pullback = logistic(np.zeros(0), np.zeros(0, int))
    assert loss.shape == pullback(loss).shape == (0,)


@pytest.mark.parametrize("y, error", [
    (np.array([0, 2]), ValueError), (np.array([-0.5, 1]), ValueError), (np.array([np.nan, 1]), ValueError),
    (np.array([0, 1, 1]), ValueError), (np.array([[0], [1]]), ValueError), (np.array(["0", "1"]), TypeError),
])
def test_bad_labels_are_named(y, error):
    with pytest.raises(error, match="^y: expected .*, got "):
        logistic(np.zeros(2), y)
