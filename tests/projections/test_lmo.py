"""The linear minimiser of every set by its certificate <g, s> = -h(-g), its ties and ends, and a loop of ten lines."""
import math

import numpy as np
import pytest
from projections.cases import CASES, draw

from minitf.projections import Ball, Box, Simplex, dual_norm
from minitf.projections.norms import KINDS

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize("name", CASES)
def test_certificate(kind, name):
    g, ball = draw(name), Ball(kind, 2.5)
    s = ball.lmo(g)
    assert s.shape == g.shape and ball.contains(s).all()
    matrices = (-2, -1) if g.ndim > 1 else None
    least = np.sum(g * s, axis=matrices)
    assert np.allclose(least, -2.5 * dual_norm(g, kind), rtol=1e-12, atol=0)


@kinds
def test_zero_gives_a_point_and_infinity_is_refused(kind):
    assert Ball(kind, 2.0).contains(Ball(kind, 2.0).lmo(np.zeros((3, 4))))
    with pytest.raises(ValueError, match="radius: expected a finite one"):
        Ball(kind, math.inf).lmo(np.ones((3, 4)))


def test_of_equal_parts_the_first_counts():
    g = np.array([[1.0, -2, 2], [2, 1, 0]])
    assert np.array_equal(Ball("l1", 3).lmo(g), [[0, 3, 0], [0, 0, 0]])
    assert np.array_equal(Ball("linf", 3).lmo(g), [[-3, 3, -3], [-3, -3, 0]])
    assert np.array_equal(Ball("linf1", 3).lmo(np.ones((2, 3))), [[-3, 0, 0], [-3, 0, 0]])
    assert np.array_equal(Ball("l21t", 5).lmo([[3.0, 4], [4, 3]]), [[-3, -4], [0, 0]])
    assert np.array_equal(Simplex(2).lmo([3.0, 1, 1]), [0, 2, 0])
    assert np.array_equal(Box(-1, 2).lmo([3.0, -1, 0]), [-1, 2, 0])


def test_spectral_is_the_polar_factor(rng):
    from scipy.linalg import polar
    g = rng.standard_normal((6, 4))
    assert np.allclose(Ball("spectral", 1).lmo(g), -polar(g)[0], rtol=0, atol=1e-14)
    u, s = Ball("nuclear", 1).lmo(g), np.linalg.svd(g)
    assert np.allclose(u, -np.outer(s[0][:, 0], s[2][0]), rtol=0, atol=1e-14)


@pytest.mark.parametrize("set", [Simplex(2.5), Box(-1.0, 2.0), Box(-np.arange(20.0).reshape(5, 4), 3.0)], ids=["simplex", "box", "array"])
def test_simplex_and_box(set, rng):
    g = rng.standard_normal((3, 5, 4))
    s = set.lmo(g)
    assert set.contains(s).all() and np.allclose(np.sum(g * s, axis=(-2, -1)), -set.support(-g), rtol=1e-14)
    with pytest.raises(ValueError, match="a direction in which the set ends"):
        Box().lmo([1.0, -1.0])


@pytest.mark.every(6)
@kinds
def test_frank_wolfe_reaches_what_projected_gradient_does(kind, rng):
    A, B, ball = rng.standard_normal((30, 4)), rng.standard_normal((30, 3)), Ball(kind, 0.3)
    x = np.zeros((4, 3))
    for _ in range(3000):
        g = A.T @ (A @ x - B)
        way = ball.lmo(g) - x
        gap = -np.sum(g * way)
        bend = np.sum((A @ way) ** 2)
        x = x + min(1.0, gap / max(bend, 1e-300)) * way
    assert ball.contains(x) and -1e-12 <= gap <= 2e-2
    assert ball.gap(x - g, x) <= gap + 1e-12                        # the projected step is certified by the same gap
