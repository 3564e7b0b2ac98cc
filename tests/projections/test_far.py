"""Intersections of any two kinds, near and far: certified, on the ray where they must be, against second methods."""
import itertools
import math
import warnings

import numpy as np
import pytest

from minitf.projections import Ball, Box, Intersection, Simplex, norm
from minitf.projections.norms import KINDS

PAIRS = list(itertools.combinations(KINDS, 2))
far = [pytest.param(scale, marks=pytest.mark.slow) for scale in (1e-3, 0.5, 2, 300, 1e6, 1e8)]


def two(pair, shape=(6, 4), seed=0):
    """A matrix, and balls of half the radius that it needs for another matrix."""
    rng = np.random.default_rng([seed, *map(KINDS.index, pair)])
    other = rng.standard_normal(shape)
    return rng.standard_normal(shape), Intersection([Ball(kind, 0.5 * norm(other, kind)) for kind in pair])


def quietly_certified(common, x):
    """p and the sweeps, no warning; the gap is what the contract asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p, gap, sweeps = common.project_certified(x)
    assert common.contains(p) and abs(gap) <= 1e-12 * min(s.support(x) for s in common.sets)
    return p, sweeps


def quietly_certified_gap(common, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return common.project_certified(x)[:2]


@pytest.mark.every(3)
@pytest.mark.parametrize("scale", [30, *far, pytest.param(30.0001, marks=pytest.mark.slow)])
def test_every_pair_is_certified_and_a_point_of_its_ray(scale):
    """P(p + t (x - p)) = p for every t >= 0: the same point from a place far nearer, another problem to solve."""
    counts = []
    for pair in PAIRS[::4] if scale == 30 else PAIRS:
        x, common = two(pair)
        x = scale * x
        p, sweeps = quietly_certified(common, x)
        near, _ = quietly_certified(common, p + (x - p) / max(1.0, scale))
        assert np.abs(near - p).max() <= 1e-10 * np.abs(p).max(), pair
        counts.append(2 * max(sweeps, 1))
    assert np.median(counts) <= 100


@pytest.mark.parametrize("pair", [("l1", "linf"), ("l21", "l2inf"), ("linf", "l1inf"), ("linf1", "l1inf"), ("l1", "linf1")])
def test_flat_faces_are_found_from_far(pair):
    """Newton's steps alone leave these sets behind: a polytope's face decides, not its curvature."""
    for seed in range(3):
        x, common = two(pair, seed=seed)
        quietly_certified(common, 1e4 * x)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "l2"])
@pytest.mark.parametrize("scale", [3, 1e4, 1e8])
def test_with_the_l2_ball_one_number_is_left(kind, scale):
    """x - p = u + lambda p, u normal to the other ball at p: so p = P(x / (1 + lambda)), and ||p|| = radius finds lambda."""
    x, common = two((kind, "l2"))
    x, (round_ball,) = scale * x, [s for s in common.sets if s.kind == "l2"]
    (other,) = [s for s in common.sets if s.kind == kind]
    p, _ = quietly_certified(common, x)
    low, high = 0.0, 1.0
    if np.linalg.norm(other.project(x)) > round_ball.radius:
        for _ in range(200):
            mid = (low + high) / 2
            low, high = (mid, high) if np.linalg.norm(other.project(mid * x)) < round_ball.radius else (low, mid)
    best = other.project(high * x)
    assert np.abs(p - best).max() <= 1e-10 * np.abs(best).max()


def test_a_point_far_outside_as_a_reader_reported_it():
    p = Intersection([Ball("l1", 1), Ball("l2", 0.7)]).project(np.array([1, 0.9, 0.5, 0.2]) * 1e5)
    assert np.allclose(p, [0.544903, 0.439118, 0.015978, 0], rtol=0, atol=5e-7)


@pytest.mark.parametrize("scale", [1, 1e3, 1e6])
@pytest.mark.parametrize("n", [10, 1000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_long_vectors(n, scale):
    x = scale * np.random.default_rng(3).standard_normal(n)
    for kinds in (("l1", "l2"), ("l2", "linf")):
        other = np.random.default_rng(4).standard_normal(n)
        fractions = (0.3, 0.4) if "l1" in kinds else (0.4, 0.2)
        common = Intersection([Ball(kind, f * norm(other, kind)) for kind, f in zip(kinds, fractions)])
        quietly_certified(common, x)


@pytest.mark.parametrize("members", [
    [Box(), Ball("l2", 0.7)], [Box(-0.1, 0.3), Ball("l1", 1.0)], [Box(), Ball("nuclear", 1.0)], [Simplex(), Box(-1, 0.2)],
    [Box(), Ball("spectral", 0.5), Ball("l21", 1.0)], [Box(0.0, 2.0), Box(-1.0, 0.2), Ball("l2", 0.5)],
], ids=str)
@pytest.mark.every(2)
@pytest.mark.parametrize("scale", [1, 100])
def test_boxes_intersect(members, scale):
    x = scale * np.random.default_rng(5).standard_normal((6, 4))
    common = Intersection(members)
    p, gap, _ = common.project_certified(x)
    near = common.project(p + (x - p) / scale / 3)
    assert common.contains(p) and abs(gap) <= 1e-10 * scale and np.abs(near - p).max() <= 1e-10


def test_boxes_that_miss_a_ball_are_said():
    assert np.allclose(Intersection([Box(1, 2), Ball("l1", 5), Ball("linf", 1.5)]).project([1, -0.9, 0.5, 3.2]), [1, 1, 1, 1.5])
    with pytest.raises(ValueError, match="sets: expected sets with a common point"):
        Intersection([Box(1, 2), Ball("l1", 3)]).project([1, -0.9, 0.5, 3.2])


def test_a_radius_each_in_intersections(rng):
    x, radii = 3 * rng.standard_normal((3, 5, 4)), np.array([1.0, 2.0, 1e9])
    common = Intersection([Ball("l21", radii), Ball("spectral", 1.0)])
    p = common.project(x)
    for i in range(3):
        assert np.array_equal(p[i], Intersection([Ball("l21", radii[i]), Ball("spectral", 1.0)]).project(x[i]))


@pytest.mark.parametrize("scale", [1, 1e6])
@pytest.mark.parametrize("shape, axes", [((6,), None), ((3, 2), None), ((2, 6), 1)])
def test_a_simplex_that_touches_the_ball_has_one_point_and_it_is_certified(scale, shape, axes):
    """No multipliers exist in the middle of the simplex; the point alone is the set, and its gap is 0."""
    x = scale * np.random.default_rng(0).standard_normal(shape)
    p, gap = quietly_certified_gap(Intersection([Simplex(1, axes), Ball("l2", 1 / math.sqrt(6), axes)]), x)
    assert np.allclose(p, 1 / 6, rtol=0, atol=1e-15) and np.all(np.abs(gap) <= 1e-14 * scale)
    near = Intersection([Simplex(1, axes), Ball("l2", 1.001 / math.sqrt(6), axes)])
    assert np.abs(near.project(x) - 1 / 6).max() > 1e-3                          # a little room is room


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_cvxpy(seed):
    cvxpy = pytest.importorskip("cvxpy")
    forms = {"l1": lambda P: cvxpy.sum(cvxpy.abs(P)), "l2": lambda P: cvxpy.norm(P, "fro"),
             "linf": lambda P: cvxpy.max(cvxpy.abs(P)), "l21": lambda P: cvxpy.sum(cvxpy.norm(P, 2, axis=0)),
             "l21t": lambda P: cvxpy.sum(cvxpy.norm(P, 2, axis=1)), "l2inf": lambda P: cvxpy.max(cvxpy.norm(P, 2, axis=0)),
             "l2inft": lambda P: cvxpy.max(cvxpy.norm(P, 2, axis=1)), "nuclear": cvxpy.normNuc, "spectral": cvxpy.sigma_max,
             "l1inf": lambda P: cvxpy.max(cvxpy.norm(P, 1, axis=0)), "linf1": lambda P: cvxpy.sum(cvxpy.max(cvxpy.abs(P), axis=0))}
    for pair in PAIRS:
        x, common = two(pair, (4, 3), seed)
        P = cvxpy.Variable((4, 3))
        problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(P - 2 * x)), [forms[s.kind](P) <= s.radius for s in common.sets])
        problem.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        p, q = common.project(2 * x), P.value / max(1.0, *(s.norm(P.value) / s.radius for s in common.sets))
        assert np.abs(P.value - p).max() < 1e-4, pair               # what the solver reaches
        assert np.linalg.norm(p - 2 * x) <= np.linalg.norm(q - 2 * x) + 1e-12, pair
        assert np.linalg.norm(p - q) <= math.sqrt(max(0.0, common.gap(2 * x, q))) + 1e-8, pair      # as its gap says
