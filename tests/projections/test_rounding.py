"""Sums that survive a million ties, long columns, the ends of the range of float64."""
import math
from fractions import Fraction

import numpy as np
import pytest
from projections.cases import certify

from minitf.projections import newton as module
from minitf.projections.balls import Ball


@pytest.mark.parametrize("top, rest, n, r", [
    (1.5, 1.0, 1_000_000, 1.0),             # parts of 5e-7 below a threshold near 1
    (1.5, 1.0, 1_000_000, 0.5 + 1e-10),     # parts of 1e-16, less than the last digit of the threshold
    (1.0, 1.0, 1_000_000, 1e-9),
    (1.0, 1.0, 1_000_000, 1e-150),
    (1e150, 1e150, 1000, 1e-150),
    (0.1, 0.1, 1_000_000, 99_999.0),
    (2.0, 1.0, 1000, 1.0),                  # the threshold is exactly the tied entry
])
def test_heavy_ties_keep_the_sum(top, rest, n, r):
    x = np.full(n, rest)
    x[n // 3] = top
    p = Ball("l1", r).project(x)
    exact = exact_ties(top, rest, n, r)
    assert p[n // 3] == pytest.approx(exact[0], rel=1e-12, abs=0) and p[0] == pytest.approx(exact[1], rel=1e-9, abs=0)
    assert abs(math.fsum(p) - r) <= 1e-13 * r
    certify(Ball("l1", r), x, p)


def test_long_columns_keep_their_sums():
    x = np.full((200_000, 2), 0.1)
    p = Ball("l1inf", 1999.0).project(x)
    assert max(abs(math.fsum(column) - 1999) for column in p.T) <= 1e-13 * 1999
    p = Ball("l21", 20.0).project(x)
    assert abs(sum(math.sqrt(math.fsum(column * column)) for column in p.T) - 20) <= 1e-12 * 20


def exact_ties(top, rest, n, r):
    top, rest, r = Fraction(top), Fraction(rest), Fraction(r)
    theta = max(top - r, (top + (n - 1) * rest - r) / n)
    return float(top - theta), float(max(rest - theta, 0))


def test_no_input_needs_more_than_a_few_newton_steps(monkeypatch):
    steps = []
    newton = module.newton

    def counting(parts, *rest):
        calls = []
        steps.append(calls)
        return newton(lambda *theta: (calls.append(0), parts(*theta))[1], *rest)

    monkeypatch.setattr(module, "newton", counting)
    rng = np.random.default_rng(1)
    for x in (rng.standard_normal(20000), rng.standard_cauchy(20000), np.exp(rng.uniform(-300, 0, 20000)),
              1 - np.exp(rng.uniform(-36, 0, 20000)), 2.0 ** -np.arange(1000), np.sort(rng.standard_normal(20000)),
              np.where(np.arange(20000) % 20 == 0, 1.0, 1e-3 * rng.random(20000))):     # the sample sees one kind only
        for fraction in (1e-8, 1e-3, 0.3, 0.9, 1 - 1e-9):
            ball = Ball("l1", fraction * np.abs(x).sum())
            certify(ball, x, ball.project(x))
    assert max(map(len, steps)) <= 20 and np.mean([len(s) for s in steps]) < 6


def test_beyond_the_range_of_float64_an_error_and_no_wrong_answer():
    with pytest.raises(ValueError, match="x: expected entries up to 1e300"):
        Ball("l1", 1e308).project([1.7e308, 1.7e308, 1.0])


def test_l1_keeps_zeros_exactly_where_rounding_alone_is_outside():
    """The sum is 30.2 to one rounding: theta is 0 to rounding, and must not come out below."""
    x = np.array([7.2, 4.4, 7.8, 6.2, 4.6, 0.0])
    p = Ball("l1", 30.2).project(x)
    assert x.sum() > 30.2 and p[5] == 0 and (p <= x).all() and p.sum() > 30
