"""Heads in equal parts: every iterate in the class, steps along the gradient, and the exact support."""
import numpy as np
import pytest

from minitf.fast.forward import forward
from minitf.learn import parts as equal
from minitf.learn.parts import equal_parts, sized_for, started, without_one
from minitf.learn.readout import RIDGE, mean_loss
from minitf.learn.search import fit_bounded, simplest
from minitf.learn.working_set import Candidates
from minitf.model.config import ModelConfig
from minitf.ops.primitives import logistic
from minitf.tasks.packed import Packed
from minitf.tasks.samples import sample_task


def sample(seed, kind="and", T=64, k=3, m=40, **options):
    rng = np.random.default_rng(seed)
    task = sample_task(rng, kind, T, k, **options)
    X, y = task.sample(rng, m)
    return task, Packed.of(X), y.astype(np.float64)


def quiet(loss, heads):
    """A report that nobody reads."""


def test_the_class_says_for_how_many_positions_it_is_sized():
    for T in 2, 17, 1 << 20:
        assert [sized_for(ModelConfig.paper(T, k)) for k in (1, 2, 7, 12)] == [min(k, T) for k in (1, 2, 7, 12)]
    assert sized_for(ModelConfig.paper(64, radius=0.9)) == 1 and sized_for(ModelConfig.paper(64, 4, radius=1e6)) == 4


@pytest.mark.parametrize("T, parts, radius", [(40, 3, None), (40, 5, None), (40, 2, 3.0), (40, 2, 1e4), (3, 3, None), (1, 1, None)])
def test_every_iterate_is_in_the_class_and_reports_its_own_loss(T, parts, radius):
    _, X, y = sample(0, "majority", T, min(parts, T), noise=0.2)
    model, last, sizes = ModelConfig.paper(T, parts, radius=radius), None, []
    for heads in equal_parts(X, y, parts, model, 8):
        assert (np.abs(heads.q.astype(np.longdouble)).sum(axis=1) <= model.radius * (1 + 1e-12)).all()
        assert (np.abs(heads.w) <= model.bound).all() and (np.abs(heads.c) <= model.bound).all()
        n, = set(np.count_nonzero(heads.q, axis=1))                     # distinct positions, no two parts on one
        sizes.append(n)
        for i in range(0, len(heads.q), 37):
            params = Candidates(*(x[i:i + 1] for x in heads[:4]), heads.at, T).params()
            exact = logistic(forward(params, np.asarray(X), model)[0], y)[0].mean() + RIDGE / 2 * heads.w[i] ** 2
            assert abs(heads.loss[i] - exact) <= 1e-5 * (1 + exact)
            if radius is None and n < parts:
                assert np.allclose(np.exp(params["q"][params["q"] > 0]) / (np.exp(params["q"]).sum() + 1), 1 / parts)
        if n == parts and last is not None and len(last) == len(heads.loss):
            assert (heads.loss <= last + 1e-12).all()
        last = heads.loss if n == parts else None
    assert sizes[:parts] == [*range(1, parts + 1)] and len(sizes) <= parts + 8 + 1


def test_a_part_goes_where_the_loss_falls_fastest():
    _, X, y = sample(1, T=30)
    model = ModelConfig.paper(30)
    pool, first, w, c = started(X, y, 3, model)
    bits, chosen = np.asarray(X, float), first[::7]
    found = pool.steepest(chosen, w[::7], c[::7], chosen)[:, 0]
    r = pool.average(chosen)
    for i in range(len(chosen)):
        slope = [(mean_loss(r[i:i + 1] + h * bits[:, t], y, w[::7][i:i + 1], c[::7][i:i + 1])[0]) for t in range(30) for h in (1e-5, -1e-5)]
        slope = np.array(slope[::2]) - slope[1::2]
        slope[pool.at[chosen[i]]] = np.inf
        assert slope[pool.at[found[i]]] <= slope.min() + 1e-9
    assert set(zip(np.sign(w), np.round(-3 * c / w + 0.5))) == {(s, j) for s in (1, -1) for j in (1, 2, 3)}
    assert len(set(map(tuple, np.column_stack([first[:, 0], w, c]).tolist()))) == len(w)        # no start twice


def test_without_one():
    assert without_one(3).tolist() == [[1, 2], [0, 2], [0, 1]] and without_one(1).shape == (1, 0)


@pytest.mark.parametrize("kind, m", [("and", 40), ("or", 40), ("majority", 42)])
def test_finds_the_support_at_the_limit(kind, m):
    """T = 1024, near the m that 95 % of sets need to determine the support: m* is 48 (and, or), 40 (majority)."""
    right = 0
    for seed in range(10):
        task, X, y = sample(100 + seed, kind, 1024, 3, m)
        params = fit_bounded(X, y, ModelConfig.paper(1024), 8, 0.02, quiet)
        right += tuple(np.flatnonzero(params["q"][0])) == task.support
    assert right >= 9


def test_with_swaps_many_more_heads_find_what_fits():
    fits = {0: [], 8: []}
    for seed in range(6):
        _, X, y = sample(200 + seed, "threshold", 1024, 4, 40, level=2)
        for rounds in fits:
            *_, heads = equal_parts(X, y, 4, ModelConfig.paper(1024, 4), rounds)
            fits[rounds].append((heads.loss < 0.02).sum())
    assert min(fits[8]) >= 1 and sum(fits[8]) >= 3 * sum(fits[0])


@pytest.mark.parametrize("k, wanted", [(1, 1), (2, 2), (4, 4), (5, 4)])
def test_the_fewest_positions_that_fit(k, wanted):
    """A column that is always 1 fits beside any and; a class for four positions does not take it."""
    task, X, y = sample(3, "and", 64, k, 120)
    X = np.asarray(X)
    X[:, sorted(set(range(64)) - set(task.support))[0]] = 1
    params = fit_bounded(Packed.of(X), y, ModelConfig.paper(64, 4), 8, 0.02, quiet)
    if wanted == k:
        assert tuple(np.flatnonzero(params["q"][0])) == task.support
    assert np.array_equal(forward(params, X, ModelConfig.paper(64, 4))[0] > 0, y > 0)


def test_labels_that_are_all_alike_name_no_position():
    _, X, _ = sample(4, T=16)
    X = np.asarray(X)
    X[:, 3] = 0
    for label in 0.0, 1.0:
        reports = []
        fit_bounded(Packed.of(X), np.full(len(X), label), ModelConfig.paper(16), 2, 0.02, lambda loss, heads: reports.append(len(heads.q)))
        assert max(reports) <= equal.SWAPPED


def test_less_loss_must_pay_for_positions_and_for_weights_that_differ():
    """log C(9, 2) = 3.58, log C(9, 4) = 4.84; at m = 40 a weight costs 1.84, at 400 it costs 3.00."""
    def head(scores, loss):
        n = len(scores)
        return Candidates(np.array([scores], float), np.ones(1), np.zeros(1), np.array([loss]), np.arange(n), 9)

    few, many, free = head([2, 2, 0], 0.30), head([3, 3, 3, 3], 0.25), head([1, 2, 3, 4], 0.25)
    assert simplest([many, few], 20, 0) is few and simplest([many, few], 30, 0) is many     # 1.25 against 0.05 m
    assert simplest([free, few], 140, 0) is few and simplest([free, few], 220, 0) is free   # 8.7 against 7.0, 9.3 against 11
    assert simplest([free, few], 20, 0.25) is free and simplest([free, many], 20, 0.3) is many      # that fit: cheapest
