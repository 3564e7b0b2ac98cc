"""Intersections: certified, against closed forms, at any scale."""
import dataclasses
import math
import re
import warnings

import numpy as np
import pytest
from projections.cases import draw, soft

from minitf.projections import Ball, Box, Intersection, Simplex


def certified(common, x):
    """The gap that is asked for: 1e-12 r ||x||_dual, the least of the sets."""
    return 1e-12 * min(s.radius * np.abs(Ball(getattr(s, "kind", "l1"), 1).support(x)) for s in common.sets)


def paper(n=8, a=0.5, b=0.5):
    x = np.random.default_rng(1).standard_normal((n, n))
    return x, Intersection([Ball("l21", a * Ball("l21", 1).norm(x)), Ball("spectral", b * Ball("spectral", 1).norm(x))])


@pytest.mark.parametrize("n, a, b", [(8, 0.5, 0.5), (8, 0.3, 0.3), (8, 0.05, 0.1), (32, 0.5, 0.5), (32, 0.9, 0.9)])
def test_intersection_is_certified(n, a, b):
    x, both = paper(n, a, b)
    p, gap, sweeps = both.project_certified(x)
    assert 0 < sweeps < 100 and both.contains(p)
    assert abs(gap) <= certified(both, x)
    assert both.gap(x, p) == gap
    rng = np.random.default_rng(2)                           # and without the certificate: no common point is nearer
    for u in np.concatenate([rng.standard_normal((200, n, n)), p + 0.1 * rng.standard_normal((200, n, n))]):
        u = u / max(s.norm(u) / s.radius for s in both.sets)
        assert np.sum((x - p) * (u - p)) <= 1e-13 * np.sum(x * x)


def alternate(x, sets, sweeps):
    for _ in range(sweeps):
        for s in sets:
            x = s.project(x)
    return x


def test_plain_alternating_projection_fails_the_certificate():
    x, both = paper()
    p, q = both.project(x), alternate(x, both.sets, 2000)
    assert both.contains(q) and np.allclose(q, alternate(q, both.sets, 1), rtol=0, atol=1e-14)      # it has converged
    assert both.gap(x, q) > 1e-4 * np.sum(x * x) and np.linalg.norm(x - q) > np.linalg.norm(x - p) + 0.01
    assert np.linalg.norm(p - q) ** 2 <= both.gap(x, q)
    assert both.gap(x, 0.99 * p) > 1e-4 * np.sum(x * x)


CLOSED_FORM = [                                             # the same multiplier bisected by hand
    ([Ball("l1", 2.0), Ball("linf", 0.3)], lambda x, t: np.clip(soft(x, t), -0.3, 0.3), lambda p: np.abs(p).sum() - 2),
    ([Simplex(2.0), Ball("linf", 0.3)], lambda x, t: np.clip(x - t, 0, 0.3), lambda p: p.sum() - 2),
    ([Ball("l2", 0.9), Ball("l1", 2.0)], lambda x, t: soft(x, t) * min(1, 0.9 / np.linalg.norm(soft(x, t))),
     lambda p: np.abs(p).sum() - 2),
    ([Ball("l1", 2.0), Ball("linf", 0.3), Ball("l2", 5.0)], lambda x, t: np.clip(soft(x, t), -0.3, 0.3),
     lambda p: np.abs(p).sum() - 2),
]


@pytest.mark.parametrize("case", range(len(CLOSED_FORM)))
@pytest.mark.parametrize("scale", [1, 3, 100])
def test_intersections_with_a_closed_form(case, scale):
    members, form, excess = CLOSED_FORM[case]
    x = scale * draw("vector")
    lo, hi = -10.0 * scale, float(np.abs(x).max()) * (1 - 1e-15)
    lo = lo if isinstance(members[0], Simplex) else 0.0
    for _ in range(200):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if excess(form(x, mid)) > 0 else (lo, mid)
    p, gap, _ = Intersection(members).project_certified(x)
    assert Intersection(members).contains(p)
    assert np.linalg.norm(p - form(x, lo)) <= 1e-11


@pytest.mark.parametrize("members", [
    [Ball("l21", 3.0), Ball("l21t", 2.5)],
    [Ball("nuclear", 2.0), Ball("l1inf", 1.0)],
    [Ball("l1", 3.0), Ball("linf", 0.2), Ball("spectral", 0.9)],
    [Ball("l1", 3.0), Ball("linf1", 1.2), Ball("l2", 0.6)],
    [Ball("l1", 3.0), Ball("l21", 2.0), Ball("l21t", 2.0), Ball("linf1", 1.5)],
    [Simplex(3.0), Ball("spectral", 0.7)],
    [Simplex(1.0), Ball("l2", 0.2)],
    [Ball("l1", math.inf), Ball("l21", 2.0), Ball("spectral", 0.9), Ball("l2", math.inf)],
])
def test_any_sets_intersect(members):
    common = Intersection(members)
    for scale in (0.1, 1) if len(members) > 2 else (0.1, 1, 3):
        x = scale * draw("square")
        p, gap, sweeps = common.project_certified(x)
        assert common.contains(p) and abs(gap) <= certified(common, x) and sweeps < 200
        assert np.abs(common.project(p) - p).max() <= 1e-12 * np.abs(x).max()


def test_quick_exits_take_no_sweep_and_change_nothing():
    x, both = paper()
    for a, b in [(0.1, 0.9), (0.9, 0.1), (2, 2)]:
        first, second = (dataclasses.replace(s, radius=f * s.norm(x)) for s, f in zip(both.sets, (a, b)))
        p, gap, sweeps = Intersection([first, second]).project_certified(x)
        assert sweeps == 0 and abs(gap) <= certified(both, x)
        assert np.array_equal(p, first.project(x) if a < b else second.project(x))
        assert np.array_equal(p, Intersection([second, first]).project(x))


def test_intersections_act_on_leading_axes_and_rows():
    x, both = paper()
    stack = np.stack([x, 0.1 * x, 2 * x.T])[:, None]
    p, gap, sweeps = both.project_certified(stack)
    assert gap.shape == sweeps.shape == both.contains(stack).shape == both.gap(stack, p).shape == (3, 1)
    assert len(set(sweeps.ravel())) > 1
    for i in np.ndindex(3, 1):
        one, one_gap, one_sweeps = both.project_certified(stack[i])
        assert np.array_equal(p[i], one) and gap[i] == one_gap and sweeps[i] == one_sweeps
    rows = Intersection([Simplex(1.0, axes=1), Ball("linf", 0.3, axes=1)])
    q, gap, _ = rows.project_certified(x)
    assert gap.shape == (8,) and rows.contains(q).all()
    assert np.allclose(q[2], Intersection([Simplex(1.0), Ball("linf", 0.3)]).project(x[2]), rtol=0, atol=1e-15)
    assert both.project(np.empty((0, 8, 8))).shape == (0, 8, 8)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_intersections_at_the_ends_of_the_range(scale):
    x, both = paper()
    scaled = Intersection([dataclasses.replace(s, radius=scale * s.radius) for s in both.sets])
    assert np.allclose(scaled.project(scale * x) / scale, both.project(x), rtol=0, atol=1e-12)


def test_float32_is_kept():
    x, both = paper()
    p = both.project(x.astype(np.float32))
    assert p.dtype == np.float32 and both.contains(p) and np.allclose(p, both.project(x), rtol=0, atol=1e-6)


def test_a_search_cut_short_says_so():
    x = np.random.default_rng(0).standard_normal(6)
    nearly_one_point = Intersection([Simplex(1.0), Ball("l2", (1 + 1e-11) / math.sqrt(6))])
    with pytest.warns(RuntimeWarning, match="gap .* after .* sweeps"):
        p, gap, sweeps = nearly_one_point.project_certified(x)
    assert nearly_one_point.contains(p) and abs(gap) > 1e-12 * np.linalg.norm(x) and sweeps < 2000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paper()[1].project(x=paper()[0])


@pytest.mark.parametrize("sets", [[Simplex(5), Ball("l1", 1)], [Ball("linf", 1), Box(2, 3)], [Box(0, 1), Box(2, 3)]], ids=str)
def test_sets_that_do_not_meet_are_said_as_they_were_given(sets):
    with pytest.raises(ValueError, match=re.escape(f"sets: expected sets with a common point, got {sets}") + "$"):
        Intersection(sets).project([1.0, 2, 3])
