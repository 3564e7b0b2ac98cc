"""The search of the bounded class: always inside it, never worse by a step, and it learns."""
import numpy as np
import pytest
from scipy.optimize import minimize

from minitf.fast.forward import forward
from minitf.learn import search as bounded
from minitf.learn.fit import fit
from minitf.learn.loop import TrainConfig
from minitf.learn.readout import RIDGE, loss_gradient, mean_loss, refit
from minitf.learn.search import (
    STAGES,
    STEPS,
    descend,
    direction,
    fit_bounded,
    longest_search,
    refine,
    restarts_from,
)
from minitf.learn.working_set import Candidates, WorkingSet
from minitf.model.config import ModelConfig
from minitf.ops.primitives import logistic, sigmoid
from minitf.tasks.packed import Packed
from minitf.tasks.samples import sample_task


def sample(seed, kind="and", T=64, k=3, m=62, **options):
    rng = np.random.default_rng(seed)
    task = sample_task(rng, kind, T, k, **options)
    return task, *task.sample(rng, m)


def ready(X, y):
    return Packed.of(X), y.astype(np.float64)


def inside(heads, model):
    slack = 1 + 1e-9
    return (np.abs(heads.q.astype(np.longdouble)).sum(axis=1) <= model.radius * slack).all() and \
        (np.abs(heads.w) <= model.bound * slack).all() and (np.abs(heads.c) <= model.bound * slack).all()


@pytest.mark.every(8)
@pytest.mark.parametrize("kind", ["and", "majority", "parity"])
@pytest.mark.parametrize("radius, bound", [(None, None), (0.9, 0.7), (7.3, 2.1), (100.0, 1000.0)])
def test_every_candidate_of_every_step_is_in_the_class(kind, radius, bound):
    _, X, y = sample(0, kind, T=24, m=40, noise=0.1)
    model = ModelConfig.paper(24, radius=radius)
    if bound is not None:
        model = ModelConfig(24, d=27, d_v=1, positions="onehot", values="bit", radius=radius, bound=bound)
    seen, touching = [], []

    def report(loss, heads):
        assert inside(heads, model) and np.isfinite(heads.loss).all() and loss == heads.loss.min()
        seen.append(len(heads.q))
        touching.append(np.abs(heads.q).sum(axis=1).max() > 0.999 * model.radius)

    params = fit_bounded(X, y, model, 3, 1e-9, report)
    assert np.abs(params["q"]).sum() <= model.radius * (1 + 1e-9)
    assert {v.dtype for v in params.values()} == {np.dtype(float)}
    assert len(seen) <= longest_search(model, 3) and len(seen) > (STAGES + 4) * STEPS and (any(touching) or model.radius > 10)


def test_a_descent_never_goes_up_and_reports_the_loss_of_its_heads():
    _, X, y = sample(1)
    model, (packed, y) = ModelConfig.paper(64), ready(X, y)
    sign, last, steps = np.array([1.0, -1.0]), np.inf, 0
    for heads in descend(packed, y, np.zeros((2, 64)), np.arange(64), sign, model):
        assert (heads.loss <= last).all() and (sign * heads.w >= 0).all() and heads.T == 64
        last, steps = heads.loss, steps + 1
        for q, w, c, loss in zip(*heads[:4]) if steps % 10 == 0 else ():
            params = {"q": q[None], "w": np.array([w]), "c": np.array(c)}
            exact = logistic(forward(params, X, model)[0], y)[0].mean() + RIDGE / 2 * w ** 2
            assert abs(loss - exact) <= 1e-5 * (1 + abs(w))                         # attention in float32
    assert steps == STAGES * STEPS and last[0] < 0.02 < 0.1 < last[1]


def test_refit_finds_the_best_readout():
    rng = np.random.default_rng(2)
    for bound in 3.0, 50.0:                                         # w ends at the first and inside the second
        r = rng.random((4, 40))
        y = (rng.random(40) < sigmoid(9 * r[0] - 4)).astype(float)
        sign = np.array([1.0, -1.0, 1.0, -1.0])
        w, c, loss = refit(r, y, np.clip(4 * sign, -bound, bound), np.zeros(4), sign, bound, steps=60)
        before = mean_loss(r, y, np.clip(4 * sign, -bound, bound), np.zeros(4))
        for i in range(4):
            side = (0, bound) if sign[i] > 0 else (-bound, 0)
            best = minimize(lambda z: mean_loss(r[i:i + 1], y, z[:1], z[1:])[0], [sign[i], 0.0],
                            bounds=[side, (-bound, bound)],
                            method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
            assert side[0] <= w[i] <= side[1] and abs(c[i]) <= bound
            inner = side[0] < best.x[0] < side[1]
            assert best.fun - 1e-9 <= loss[i] <= (best.fun + 1e-9 if inner else before[i])


def test_refit_survives_what_has_no_curvature():
    for r, y in ((np.zeros((2, 5)), np.ones(5)), (np.ones((2, 5)), np.arange(5) % 2.0), (np.eye(2, 1), np.zeros(1))):
        w, c, loss = refit(r, y, np.array([4.0, -4.0]), np.zeros(2), np.array([1.0, -1.0]), 48.0, steps=20)
        assert np.isfinite([w, c, loss]).all() and (np.abs(c) <= 48).all()
        assert (loss <= mean_loss(r, y, np.array([4.0, -4.0]), np.zeros(2))).all()


def test_euclidean_steps_follow_the_gradient_and_mirror_steps_its_strong_half():
    _, X, y = sample(3, T=12, m=30)
    seen, y = WorkingSet.of(Packed.of(X), np.arange(0, 12, 2)), y.astype(np.float64)        # six positions; six act as one key
    rng = np.random.default_rng(3)
    q = rng.standard_normal((1, 6))
    w, c = np.array([3.0]), np.array([-1.0])
    a, r = seen.average(q)
    residual, average = loss_gradient(r, y, w, c, np.ones(1))
    assert np.allclose(residual, (sigmoid(w * r + c) - y) / y.size) and np.isclose(average, (residual * r).sum())
    step = direction(a, average, residual @ seen.bits, True, mirror=False)
    for t in range(6):
        h = 1e-2 * np.eye(6)[t]
        rise, fall = (mean_loss(seen.average(q + e)[1], y, w, c)[0] for e in (h, -h))
        decrease = (fall - rise) / 2e-2
        if t == 0:
            size = decrease / step[0, 0]
        assert size > 0 and abs(decrease - size * step[0, t]) <= 3e-3 * size
    mirror = direction(a, average, residual @ seen.bits, True, mirror=True)
    natural = (average - residual @ seen.bits)[0]
    assert ((mirror[0] > 0) == (natural > np.abs(natural).max() / 2)).all() and mirror.min() >= 0 and mirror.max() <= 1
    allowed = np.arange(6) % 2 == 0
    assert not direction(a, average, residual @ seen.bits, allowed, mirror=False)[0, ~allowed].any()


def test_positions_of_score_0_act_as_one_key():
    _, X, y = sample(6, T=30, m=17)
    rng, at = np.random.default_rng(0), np.array([3, 4, 11, 29])
    q, full = rng.standard_normal((2, 4)), np.zeros((2, 30))
    full[:, at] = q
    a, r = WorkingSet.of(Packed.of(X), at).average(q)
    a_full, r_full = WorkingSet.of(Packed.of(X), np.arange(30)).average(full)
    assert np.abs(a - a_full[:, at]).max() < 1e-6 and np.abs(r - r_full).max() < 1e-6
    params = Candidates(q, np.ones(2), np.zeros(2), np.array([2.0, 1.0]), at, 30).params()
    assert np.array_equal(params["q"], full[1:]) and (params["w"].shape, params["c"].shape) == ((1,), ())
    exact = forward(params, X, ModelConfig.paper(30))[0]
    assert np.abs(r[1] - exact).max() < 1e-6


@pytest.mark.parametrize("kind", ["and", "majority"])
def test_of_many_positions_the_steepest_move(kind, monkeypatch):
    """With 48 of 400 positions at a time: every step in the class, and the same rule as with all at once."""
    monkeypatch.setattr(bounded, "WIDE", 48)
    for seed in range(3):
        task, X, y = sample(seed, kind, T=400, m=90)
        model, sizes = ModelConfig.paper(400, 3), []

        def report(loss, heads):
            assert inside(heads, model) and (np.diff(heads.at) > 0).all() and 0 <= heads.at[0] and heads.at[-1] < 400
            sizes.append(len(heads.at))

        params = fit_bounded(X, y, model, 8, 0.02, report)
        assert max(sizes) <= max(8 * 48, 384 * 3)
        assert tuple(np.sort(np.argsort(-params["q"][0])[:3])) == task.support


def test_restarts_forbid_one_strong_position_each_and_refining_keeps_the_strong_half():
    _, X, y = sample(4, T=20, m=25)
    model, (X, y) = ModelConfig.paper(20), ready(X, y)
    q = np.zeros((1, 20))
    q[0, [2, 5, 7, 11]] = [4, 3, 1, -2]
    head = Candidates(q, np.array([5.0]), np.array([-2.0]), np.array([1.0]), np.arange(20), 20)
    for heads in restarts_from(head, X, y, model):
        assert heads.q.shape == (3, 20) and inside(heads, model)
        assert heads.q[0, 2] == heads.q[1, 5] == heads.q[2, 7] == 0
    for heads in refine(head, X, y, model):
        assert set(np.flatnonzero(heads.params()["q"])) <= {2, 5}
    negative = head._replace(q=-1 - np.arange(20.0)[None] / 20)
    assert [*refine(negative, X, y, model)][-1].at.tolist() == [0]


@pytest.mark.parametrize("kind", ["and", "or", "majority"])
@pytest.mark.parametrize("seed", range(4))
def test_learns(kind, seed):
    task, X, y = sample(seed, kind)
    model = ModelConfig.paper(64)
    params = fit_bounded(X, y, model, 8, 0.02, lambda loss, heads: None)
    X_test, y_test = task.sample(np.random.default_rng(seed + 100), 4000)
    assert sorted(np.argsort(-params["q"][0])[:3]) == list(task.support)
    assert ((forward(params, X_test, model)[0] > 0) == y_test).all()


@pytest.mark.every(3)
@pytest.mark.parametrize("seed", [0, 4, 14])
def test_weighted_counts_are_learned_to_a_margin(seed):
    """a + b + 2c + 2d >= 4 of 64 bits, 150 examples: with 40 steps at the end, 14, 1 and 4 of 10,000 were wrong."""
    one, two, three = (np.random.default_rng(seed) for seed in np.random.SeedSequence(seed).spawn(3))
    task = sample_task(one, "junta", 64, 4, table=[int(label) for label in "0000000100011111"])
    result = fit(*task.sample(two, 150), ModelConfig.paper(64, 4))
    X, _ = task.sample(three, 10_000)
    assert result.support(4) == task.support and np.array_equal(result.predict(X), task.label(X))


@pytest.mark.parametrize("kind", ["and", "majority"])
def test_negated_labels_give_the_negated_head(kind):
    task, X, y = sample(5, kind)
    model = ModelConfig.paper(64)
    one, two = (fit_bounded(X, labels, model, 8, 0.02, lambda loss, heads: None) for labels in (y, 1 - y))
    assert one["w"][0] > 0 > two["w"][0] and one["c"] < 0 < two["c"]
    new = task.sample(np.random.default_rng(6), 2000)[0]
    assert np.array_equal(forward(one, new, model)[0] > 0, forward(two, new, model)[0] < 0)


def test_only_the_bounded_class_with_one_head():
    X, y = np.zeros((3, 4), np.uint8), np.zeros(3, np.uint8)
    for model in ModelConfig.paper(4, H=2), ModelConfig(4):
        with pytest.raises(ValueError, match="^model: expected the bounded class"):
            fit_bounded(X, y, model, 1, 0.1, lambda loss, heads: None)


def test_steps_cap_the_search():
    task = sample_task(np.random.default_rng(3), "majority", 32, 3)
    X, y = task.sample(np.random.default_rng(4), 20)
    for steps in (1, 7, 100):
        result = fit(X, y, train=TrainConfig(steps=steps))
        assert len(result.history["step"]) == min(steps, len(fit(X, y).history["step"]))


@pytest.mark.slow
def test_mirror_steps_find_what_euclidean_steps_alone_do_not():
    """AND of 3 of 1024 bits from 50 examples, one descent: of 20 seeds 19 with mirror steps, 6 without."""
    learned = {True: 0, False: 0}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        task = sample_task(rng, "and", 1024, 3)
        X, y = task.sample(rng, 50)
        for mirror in learned:
            train = TrainConfig(mirror=mirror, restarts=0)
            learned[mirror] += fit(X, y, ModelConfig.paper(1024, 3), train=train).support(3) == task.support
    assert learned[True] >= 2 + learned[False]
