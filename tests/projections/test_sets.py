"""Axes, dtypes, layouts and arguments of every set."""
import dataclasses
import itertools
import math

import numpy as np
import pytest
from projections.cases import draw

from minitf.projections import Ball, Box, Simplex
from minitf.projections.intersections import Intersection, project
from minitf.projections.norms import KINDS

SETS = [lambda axes, kind=kind: Ball(kind, 0.7, axes) for kind in KINDS] + [lambda axes: Simplex(0.7, axes)]
sets = pytest.mark.parametrize("make", SETS, ids=[*KINDS, "simplex"])


@sets
def test_leading_axes_are_independent(make):
    x = draw("stack")
    set, p = make(None), make(None).project(draw("stack"))
    for i in np.ndindex(2, 3):
        assert np.allclose(p[i], set.project(x[i]), rtol=0, atol=1e-15)
        assert set.contains(x)[i] == set.contains(x[i])
        assert set.support(x)[i] == pytest.approx(set.support(x[i]), rel=1e-14)
        assert set.gap(x, p)[i] == pytest.approx(set.gap(x[i], p[i]), abs=1e-14)
    assert set.project(np.empty((0, 4, 5))).shape == (0, 4, 5)
    assert set.gap(np.empty((0, 4, 5)), np.empty((0, 4, 5))).shape == (0,)


@sets
def test_axes_1_makes_every_row_a_vector(make):
    x = draw("stack")
    set, single = make(1), make(None)
    p = set.project(x)
    assert set.support(x).shape == set.contains(x).shape == set.gap(x, p).shape == (2, 3, 4)
    for i in np.ndindex(2, 3, 4):
        assert np.allclose(p[i], single.project(x[i]), rtol=0, atol=1e-15)
    assert np.allclose(set.project(x[0, 1, 2]), p[0, 1, 2], rtol=0, atol=1e-15)


@sets
def test_dtypes_and_memory_layouts(make):
    x, set = draw("stack"), make(None)
    p = set.project(x)
    single = set.project(x.astype(np.float32))
    assert single.dtype == np.float32 and np.allclose(single, p, rtol=0, atol=1e-6)
    assert set.contains(single).all()
    assert (np.abs(set.gap(x.astype(np.float32), single)) < 1e-5).all()
    for layout in (np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2], x[..., ::-1][..., ::-1], x.tolist()):
        q = set.project(layout)
        assert q.dtype == np.float64 and np.allclose(q, p, rtol=0, atol=1e-15)
    integers = np.arange(-6, 6).reshape(3, 4)
    assert np.array_equal(set.project(integers), set.project(integers.astype(float)))
    before = x.copy()
    x.flags.writeable = p.flags.writeable = False
    set.project(x), set.gap(x, p), set.contains(x), set.support(x)
    assert np.array_equal(x, before)


@sets
@pytest.mark.parametrize("x, error, words", [
    (np.array([1, np.nan]), ValueError, "x: expected finite entries"),
    (np.array([[np.inf]]), ValueError, "x: expected finite entries"),
    (np.ones(3, np.float16), TypeError, "float16"),
    (np.ones(3, complex), TypeError, "x: expected a float32 or float64 array, got complex128"),
])
def test_refused_arrays(make, x, error, words):
    for set in (make(None), Intersection([make(None)])):
        with pytest.raises(error, match=words):
            set.project(x)
    with pytest.raises(error, match=words.replace("x:", "p:")):
        make(None).gap(np.ones(x.shape), x)


def test_gap_wants_one_shape():
    for set in (Ball("l2", 1), Intersection([Ball("l2", 1)])):
        with pytest.raises(ValueError, match=r"p: expected shape \(3, 2\)"):
            set.gap(np.ones((3, 2)), np.ones(2))


def test_sets_are_values_that_check_themselves():
    ball = Ball("l21", 3)
    assert ball == Ball("l21", 3.0) and hash(ball) == hash(Ball("l21", 3.0)) and isinstance(ball.radius, float)
    assert Intersection([ball, Ball("l1", 2)]) == Intersection((ball, Ball("l1", 2)))
    for value, field in [(ball, "radius"), (Simplex(1), "radius"), (Intersection([ball]), "sets")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)
    with pytest.raises(ValueError) as caught:
        Ball("l3", 1)
    assert "\n" not in str(caught.value) and all(kind in str(caught.value) for kind in KINDS)


@pytest.mark.parametrize("make, error, words", [
    (lambda: Ball("l1", -1), ValueError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", math.nan), ValueError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", "1"), TypeError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", 1, axes=2), ValueError, "axes: expected None"),
    (lambda: Simplex(0), ValueError, "radius: expected a finite number > 0"),
    (lambda: Simplex(math.inf), ValueError, "radius: expected a finite number > 0"),
    (lambda: Simplex(1, axes=0), ValueError, "axes: expected None"),
    (lambda: Simplex(1).project(np.empty((2, 0))), ValueError, "x: expected at least one entry"),
    (lambda: Intersection([]), TypeError, "sets: expected a list of Ball, Box and Simplex"),
    (lambda: Intersection([Ball("l1", 1), "l2"]), TypeError, "sets: expected a list of Ball, Box and Simplex"),
    (lambda: Intersection([Ball("l1", 1), Ball("l2", 1, axes=1)]), ValueError, "sets: expected the same axes"),
    (lambda: Intersection([Simplex(1), Simplex(2)]), ValueError, "sets: expected at most one Simplex"),
    (lambda: Intersection([Simplex(1), Ball("l2", 0.4)]).project(np.ones(4)), ValueError, "sets with a common point"),
    (lambda: project(np.ones(3), "l1"), TypeError, "set: expected a set with .project"),
])
def test_refused_sets(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_project_is_the_method_as_a_function():
    x = draw("square")
    for set in (Ball("l1", 1), Simplex(2), Intersection([Ball("l1", 1)])):
        assert np.array_equal(project(x, set), set.project(x))


# ---- the box, a radius each --------------------------------------------------------------------------------------


def test_box_by_its_definition(rng):
    x, low = 2 * rng.standard_normal((3, 4, 5)), -rng.random((4, 5))
    box = Box(low, 1.0)
    p = box.project(x)
    assert np.array_equal(p, np.clip(x, low, 1)) and box.contains(p).all() and not box.contains(p + 1).any()
    assert (np.abs(box.gap(x, p)) <= 1e-13).all() and (box.gap(x, 0 * x) > 0.1).all()
    assert np.allclose(box.support(x), np.maximum(low * x, x).sum(axis=(-2, -1)), rtol=1e-14)
    assert np.array_equal(Box().project(x), np.maximum(x, 0)) and (Box().gap(x, np.maximum(x, 0)) == 0).all()
    assert (Box().support(x) == math.inf).all() and (Box().support(-abs(x)) == 0).all()
    assert Box(0, 1, axes=1).contains(p).shape == (3, 4) and Box(-1, 1).project(x.astype(np.float32)).dtype == np.float32
    assert np.array_equal(Box(np.arange(3.0), 5.0).project([0.0, 3.0, 9.0]), [0, 3, 5])


@pytest.mark.parametrize("make, error, words", [
    (lambda: Box(1, 0), ValueError, "high: expected nothing below low"),
    (lambda: Box(math.nan, 0), ValueError, "low: expected numbers, not NaN nor inf"),
    (lambda: Box(0, [1.0, math.nan]), ValueError, "high: expected numbers, not NaN nor -inf"),
    (lambda: Box(0, np.ones(3)).project(np.ones(4)), ValueError, r"high: expected an array that broadcasts to shape \(4,\)"),
    (lambda: Ball("l1", np.ones(3)).project(np.ones((2, 4, 4))), ValueError, r"radius: expected an array that broadcasts to shape \(2,\)"),
    (lambda: Ball("l1", [1.0, -1.0]), ValueError, "radius: expected a number >= 0"),
    (lambda: Ball("l1", 10**400), ValueError, "radius: expected a number in the range of float64, got a number of 1329 bits"),
])
def test_refused_boxes_and_radii(make, error, words):
    with pytest.raises(error, match=words):
        make()


@sets
def test_a_radius_for_each_matrix_and_each_row(make, rng):
    x, dp = 3 * rng.standard_normal((2, 2, 3, 4, 5))
    radii = 0.5 + rng.random((2, 3))
    radii[0, 1] = 1e9 if isinstance(make(None), Ball) else 1.0
    for axes, cases in ((None, radii), (1, 0.5 + rng.random((2, 3, 4)))):
        set = dataclasses.replace(make(axes), radius=cases)
        p, pullback = set.projection(x)
        assert np.array_equal(p, set.project(x)) and set.contains(p).all()
        assert set == dataclasses.replace(make(axes), radius=cases.copy()) and hash(set) != hash(make(axes))
        for i in np.ndindex(cases.shape):
            one = dataclasses.replace(make(None), radius=cases[i])
            assert np.allclose(p[i], one.project(x[i]), rtol=0, atol=1e-15)
            assert np.allclose(pullback(dp)[i], one.projection(x[i])[1](dp[i]), rtol=0, atol=1e-13)
            assert np.allclose(set.lmo(x)[i], one.lmo(x[i]), rtol=0, atol=1e-14)
            assert set.support(x)[i] == pytest.approx(one.support(x[i]), rel=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_denormal_numbers_stay_inside(kind, rng):
    for size, radius in itertools.product((1e-309, 1e-322), (5e-324, 1e-310)):
        ball = Ball(kind, radius)
        assert ball.contains(ball.project(size * rng.standard_normal((4, 3))))


def test_any_object_that_projects_can_be_projected_onto():
    class Half:
        def project(self, x):
            return np.minimum(x, 0.5)

    assert np.array_equal(project(np.ones(2), Half()), [0.5, 0.5])
