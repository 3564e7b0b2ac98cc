"""Pairs of sets with one multiplier: few projections, the same point as a bisection in long doubles, at any length."""
import itertools
import warnings

import numpy as np
import pytest
from projections.cases import soft
from projections.test_far import two

from minitf.projections import Ball, Box, Intersection, Simplex
from minitf.projections.intersections import _by_lagrangian, _certificate
from minitf.projections.multipliers import by_multipliers
from minitf.projections.norms import KINDS

FAR = np.longdouble(1e22)


def onto_simplex(x, r):
    """x in decreasing order."""
    return np.maximum(x - ((np.cumsum(x) - r) / np.arange(1, len(x) + 1)).max(), 0)


def size(p):
    return np.sqrt((p * p).sum())


CASES = {                   # radii as shares of another vector's norms; p(t), and what falls to 0 as t grows
    "l1, linf": (lambda l1, l2, linf: [Ball("l1", 0.3 * l1), Ball("linf", 0.2 * linf)],
                 lambda x, t, a, b: np.clip(soft(x, t), -b, b), lambda p, a, b: np.abs(p).sum() - a),
    "l1, l2": (lambda l1, l2, linf: [Ball("l1", 0.3 * l1), Ball("l2", 0.4 * l2)],
               lambda x, t, a, b: soft(x, t) * min(1, b / max(size(soft(x, t)), 1e-30)), lambda p, a, b: np.abs(p).sum() - a),
    "l2, linf": (lambda l1, l2, linf: [Ball("l2", 0.4 * l2), Ball("linf", 0.2 * linf)],
                 lambda x, t, a, b: np.clip(x / (1 + t), -b, b), lambda p, a, b: size(p) - a),
    "l2, Box": (lambda l1, l2, linf: [Ball("l2", 0.05 * l2), Box(-0.1, 0.3)],
                lambda x, t, a, b: np.clip(x / (1 + t), np.longdouble(-0.1), np.longdouble(0.3)), lambda p, a, b: size(p) - a),
    "l1, Box": (lambda l1, l2, linf: [Ball("l1", 0.1 * l1), Box(0.01, 0.5)],
                lambda x, t, a, b: np.clip(soft(x, t), np.longdouble(0.01), np.longdouble(0.5)), lambda p, a, b: p.sum() - a),
    "Simplex, linf": (lambda l1, l2, linf: [Simplex(0.2 * l1), Ball("linf", 0.2 * linf)],
                      lambda x, t, a, b: np.clip(x - t, 0, b), lambda p, a, b: p.sum() - a),
    "Simplex, Box": (lambda l1, l2, linf: [Simplex(0.2 * l1), Box(0.01, 0.5)],
                     lambda x, t, a, b: np.clip(x - t, np.longdouble(0.01), np.longdouble(0.5)), lambda p, a, b: p.sum() - a),
    "Simplex, l2": (lambda l1, l2, linf: [Simplex(0.2 * l1), Ball("l2", 0.4 * l2)],
                    lambda x, t, a, b: onto_simplex(x / (1 + t), a), lambda p, a, b: size(p) - b),
}


def bisected(x, sets, form, excess):
    """The point p(t) where excess is 0, in long doubles: 64 bits, 2^-64 of 1e8 is 5e-12."""
    ends = [np.longdouble(getattr(s, "radius", 0)) for s in sets]
    signed = isinstance(sets[0], Simplex) and getattr(sets[1], "kind", "") != "l2"
    low, high, x = -FAR if signed else np.longdouble(0), FAR, np.longdouble(x)
    x = x - x.max() if isinstance(sets[0], Simplex) else x
    if excess(form(x, low, *ends), *ends) <= 0:
        return form(x, low, *ends)
    for _ in range(150):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(form(x, middle, *ends), *ends) > 0 else (low, middle)
    return form(x, high, *ends)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", [10, 1000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_vectors_at_any_length_and_distance(name, n):
    sets, form, excess = CASES[name]
    rng = np.random.default_rng(n)
    other = rng.standard_normal(n)
    common, counts = Intersection(sets(*(Ball(kind, 1).norm(other) for kind in ("l1", "l2", "linf")))), []
    ordered = [s for kind in name.split(", ") for s in common.sets if kind in (getattr(s, "kind", None), type(s).__name__)]
    for x in [scale * rng.standard_normal(n) for scale in (1e-3, 1, 30, 1e4, 1e8)] + [1e8 + rng.standard_normal(n)]:
        x = -np.sort(-x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            p, gap, sweeps = common.project_certified(x)
        best = bisected(x, ordered, form, excess)
        wanted = 1e-12 * min(abs(s.support(np.abs(x))) for s in common.sets)
        assert common.contains(p) and abs(gap) <= wanted
        if sweeps:                                              # by one multiplier, not by the search for all pairs
            q, normals, _ = by_multipliers(x, common.sets)
            assert np.array_equal(p, q) and abs(_certificate(x, q, common.sets, normals)) <= wanted
        assert np.abs(p - best).max() <= 1e-10 * np.abs(best).max()
        counts.append(2 * sweeps)
    assert np.median(counts) <= 100


@pytest.mark.every(3)
@pytest.mark.parametrize("scale", [0.7, 2, 300])
def test_the_pairs_of_matrices_agree_with_the_search_for_all_pairs(scale):
    found = 0
    for pair in itertools.combinations(KINDS, 2):
        x, common = two(pair)
        answer = by_multipliers(scale * x, common.sets)
        if answer and not any(common.contains(s.project(scale * x)) for s in common.sets):
            p, _, _ = _by_lagrangian(scale * x, common.sets, size(answer[0]), wanted=1e-12, given=common.sets)
            found += 1
            assert np.abs(p - answer[0]).max() <= 1e-10 * np.abs(p).max(), pair
            assert common.contains(answer[0]) and answer[2] <= 150, pair
    assert found >= 12


@pytest.mark.parametrize("n", [6, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e3, 1e8])
@pytest.mark.parametrize("room", [1e-3, 1e-5, 1e-7])
def test_a_simplex_with_little_room_in_the_ball(n, scale, room):
    x = -np.sort(-scale * np.random.default_rng(0).standard_normal(n))
    common = Intersection([Simplex(), Ball("l2", (1 + room) / np.sqrt(n))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = common.project(x)
    best = bisected(x, common.sets, CASES["Simplex, l2"][1], CASES["Simplex, l2"][2])
    assert np.abs(p - best).max() <= 1e-10 / n
