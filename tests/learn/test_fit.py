"""fit and what it returns: it learns from X and y alone, stays in its class, and comes back from a file bit for bit."""
import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

import minitf.tasks.rules
import minitf.tasks.samples
import minitf.tasks.supports
from minitf.fast.forward import attention_of, forward, head_shares
from minitf.files import load_arrays, save_arrays
from minitf.learn.fit import Progress, fit, most_steps
from minitf.learn.loop import TrainConfig
from minitf.learn.result import Result, load
from minitf.learn.starts import undecided
from minitf.learn.working_set import Candidates
from minitf.model.config import ModelConfig
from minitf.model.parameters import constraints, init_params, shapes
from minitf.projections.balls import Ball
from minitf.projections.intersections import Intersection
from minitf.tasks.samples import sample_task

SMALL = ModelConfig.scalar(16, H=2, d=8, d_o=6)
SHORT = TrainConfig(steps=30, restarts=1)


def sample(seed, kind="and", T=64, k=3, m=62, **options):
    rng = np.random.default_rng(seed)
    task = sample_task(rng, kind, T, k, **options)
    return task, *task.sample(rng, m)


def frozen(x):
    x = np.array(x)
    x.flags.writeable = False
    return x


def hand_built(kind):
    """A model whose heads each look at one place: AND of bits 1 and 4 of 6, or their parity |x_1 - x_4|."""
    q = np.zeros((1 if kind == "and" else 2, 6))
    if kind == "and":
        model, q[0, [1, 4]] = ModelConfig.paper(6), 40
        params = {"q": q, "w": np.array([40.0]), "c": np.array(-30.0)}
    else:
        model = ModelConfig(6, H=2, d=9, d_v=1, d_o=2, heads="concat", activation="relu", positions="onehot",
                            values="bit")
        q[[0, 1], [1, 4]] = 60
        params = {"q": q, "W_C": np.array([[1.0, -1.0], [-1.0, 1.0]]), "w": np.array([20.0, 20.0]),
                  "c": np.array(-10.0)}
    X = (np.arange(64)[:, None] >> np.arange(6)) & 1
    weights, shares = attention_of(params, X, model), head_shares(params, X, model)
    return Result(params, model, weights=weights, shares=shares, frequency=np.full(6, 0.5))


@pytest.mark.parametrize("kind", ["and", "or", "majority"])
@pytest.mark.parametrize("seed", range(10, 13))
def test_learns_from_62_examples_of_64_bits(kind, seed):
    task, X, y = sample(seed, kind)
    result = fit(X, y)
    X_test, y_test = task.sample(np.random.default_rng(seed), 10_000)
    assert result.support(3) == task.support and np.array_equal(result.predict(X_test), y_test)
    assert result.model == ModelConfig.paper(64) and result.history["loss"].shape == result.history["step"].shape
    assert result.history["step"].tolist() == list(range(1, len(result.history["step"]) + 1))
    assert len(result.history["step"]) <= most_steps(result.model, TrainConfig())


def test_learns_parity_by_the_plain_loop():
    task, X, y = sample(0, "parity", T=20, k=2, m=400)
    result = fit(X, y, ModelConfig.scalar(20), np.random.default_rng(0))
    X_test, y_test = task.sample(np.random.default_rng(1), 4000)
    assert result.support(2) == task.support and np.array_equal(result.predict(X_test), y_test)


def test_never_sees_the_rule(monkeypatch):
    _, X, y = sample(10)

    def forbidden(*args, **options):
        raise AssertionError("training looked at the rule")

    for name in ("consistent_supports", "known_rule", "unknown_rule", "parity"):
        monkeypatch.setattr(minitf.tasks.supports, name, forbidden)
    for name in ("label", "sample", "blocks"):
        monkeypatch.setattr(minitf.tasks.samples.BooleanTask, name, forbidden)
    monkeypatch.setattr(minitf.tasks.rules, "truth_table", forbidden)
    with pytest.raises(AssertionError, match="looked at the rule"):
        sample(10)
    fit(X, y)
    fit(X[:, :16], y, SMALL, train=SHORT)


@pytest.mark.every(3)
@pytest.mark.parametrize("method", ["adam", "pgd"])
@pytest.mark.parametrize("model", [ModelConfig.scalar(16, H=2, d=8, d_o=6, radius=0.3),
                                   ModelConfig.paper(16, radius=1.1),
                                   ModelConfig.paper(16, H=2, radius=1.1)], ids=["scalar", "paper", "two heads"])
def test_every_iterate_is_in_the_class(method, model):
    _, X, y = sample(1, T=16)
    sets, seen = constraints(model), []

    def callback(progress):
        params = progress.params
        params = {"q": params.q, "w": params.w, "c": params.c[:, None]} if isinstance(params, Candidates) else params
        for name, ball in sets.items():
            value = params[name].astype(np.float64)
            size = np.abs(value).sum(axis=-1) if ball.kind == "l1" else np.abs(value)
            assert (size <= ball.radius * (1 + 1e-9)).all(), name
        seen.append(np.abs(params["q"]).sum(axis=-1).max() / model.radius)

    train = TrainConfig(method=method, steps=60, restarts=1, lr=0.3)
    start = {name: 9 * value + 3 for name, value in init_params(np.random.default_rng(0), model).items()}
    for params in None, start:
        result = fit(X, y, model, np.random.default_rng(0), train=train, params=params, callback=callback)
        assert np.abs(result.params["q"]).sum(axis=1).max() <= model.radius * (1 + 1e-9)
    assert max(seen) > 0.999 and len(seen) >= 120


def test_radius_of_the_options_replaces_that_of_the_model():
    _, X, y = sample(1, T=16)
    for model in None, SMALL:
        result = fit(X, y, model, train=TrainConfig(radius=0.5, steps=20, restarts=0))
        assert result.model.radius == 0.5 and np.abs(result.params["q"]).sum(axis=1).max() <= 0.5 * (1 + 1e-9)


@pytest.mark.parametrize("model, train", [(None, TrainConfig()), (SMALL, SHORT),
                                          (SMALL, TrainConfig("pgd", steps=30, restarts=0)),
                                          (ModelConfig.paper(16), TrainConfig("adam", steps=30, restarts=0))])
def test_same_seed_same_bits_and_arguments_are_left_alone(model, train):
    _, X, y = sample(2, T=16)
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        start = None if model is None else {name: frozen(value) for name, value in init_params(rng, model).items()}
        seen = []
        result = fit(frozen(X), frozen(y), model, rng, train=train, params=start, callback=seen.append)
        assert all(isinstance(p, Progress) for p in seen)
        assert [p.step for p in seen] == list(range(1, len(seen) + 1)) == result.history["step"].tolist()
        assert [p.loss for p in seen] == result.history["loss"].tolist()
        runs.append(result)
    one, two = runs
    assert all(one.params[name].tobytes() == two.params[name].tobytes() for name in shapes(one.model))
    assert one.history["loss"].tobytes() == two.history["loss"].tobytes()
    assert {value.dtype for value in one.params.values()} == {np.dtype(float)}
    if model is SMALL:
        other, fixed, again = (fit(X, y, model, rng, train=train) for rng in (np.random.default_rng(6), None, None))
        assert not np.array_equal(one.params["q"], other.params["q"])
        assert np.array_equal(fixed.params["q"], again.params["q"])


@pytest.mark.parametrize("model", [None, SMALL])
def test_what_a_callback_raises_ends_the_training(model):
    _, X, y = sample(2, T=16)
    steps = []

    def callback(progress):
        steps.append(progress.step)
        if progress.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(X, y, model, callback=callback)
    assert steps == list(range(1, 8))


@pytest.mark.every(3)
@pytest.mark.parametrize("X, y", [
    (np.eye(6), np.zeros(6)), (np.eye(6), np.ones(6)), (np.zeros((5, 3)), [0, 1, 0, 1, 1]),
    (np.ones((5, 3)), [0, 1, 0, 1, 1]),
    ([[0], [1], [1]], [0, 1, 1]), ([[1]], [1]), ([[0, 1, 1]], [0]), (np.repeat(np.eye(4), 2, axis=1), [1, 0, 0, 0])],
    ids=["all 0", "all 1", "no ones", "no zeros", "T=1", "T=m=1", "m=1", "twin columns"])
@pytest.mark.parametrize("scalar", [False, True])
def test_degenerate_samples(X, y, scalar):
    X, y = np.array(X), np.array(y)
    model = ModelConfig.scalar(X.shape[1], H=2, d=4, d_o=3) if scalar else None
    with np.errstate(all="raise", under="ignore"):
        result = fit(X, y, model, train=TrainConfig(steps=200 if scalar else None, restarts=1, lr=0.03))
    assert np.isfinite(result.logits(X.astype(int))).all() and np.isfinite(result.history["loss"]).all()
    assert len(result.support(1)) == 1 and result.influence(8).shape == (X.shape[1],)
    best = max(y.mean(), 1 - y.mean()) if len(np.unique(X, axis=0)) == 1 else 1.0
    assert (result.predict(X) == y).mean() >= best


def test_twin_columns_share_or_split_the_head():
    _, X, y = sample(11, T=32)
    result = fit(np.concatenate([X, X], axis=1), y)
    assert (result.predict(np.concatenate([X, X], axis=1)) == y).all()
    assert {t % 32 for t in result.support(3)} <= {t for t in range(32) if np.abs(np.corrcoef(X[:, t], y)[0, 1]) > 0.2}


def test_negated_labels_negate_the_predictions():
    task, X, y = sample(10)
    one, two = fit(X, y), fit(X, 1 - y)
    assert one.params["w"][0] > 0 > two.params["w"][0] and one.support(3) == two.support(3)
    new = task.sample(np.random.default_rng(1), 2000)[0]
    assert np.array_equal(one.predict(new), 1 - two.predict(new))


def test_a_memorising_model_is_doubted_and_a_true_one_is_not():
    """24 heads that each read one bit make a linear model; of least norm it fits 15 examples, and no rule."""
    rng = np.random.default_rng(0)
    X, fresh = rng.integers(0, 2, (15, 24)), rng.integers(0, 2, (2000, 24))
    y = X[:, 3]
    model = ModelConfig(24, H=24, d=27, d_v=1, heads="concat", positions="onehot", values="bit")
    reading = {"q": 60 * np.eye(24), "c": np.array(-8.0)}
    memory = reading | {"w": np.linalg.lstsq(X, 16.0 * y, rcond=None)[0]}
    rule = reading | {"w": 16.0 * np.eye(24)[3]}
    for params in memory, rule:
        assert (np.abs(forward(params, X, model)[0] - np.where(y, 8, -8)) < 1e-6).all()             # both fit
    assert undecided(rule, X, y, fresh, model, 0.02) == 0
    assert 0.05 < undecided(memory, X, y, fresh, model, 0.02) < 1
    assert undecided(rule, X, 1 - y, fresh, model, 0.02) == 1                                         # sure, and wrong
    share = (np.abs(forward(memory, fresh, model)[0]) < 2).mean()
    assert undecided(memory, X, 1 - y, fresh, model, 0.02) == 1 + share


def test_a_start_without_doubt_ends_the_training():
    """The plain loop from a solution stops at its first look, after 100 steps, however many are allowed."""
    result = hand_built("parity")
    X = np.random.default_rng(0).integers(0, 2, (200, 6))
    again = fit(X, X[:, 1] ^ X[:, 4], result.model, params=result.params, train=TrainConfig(steps=5000, weight_decay=0))
    assert len(again.history["step"]) == 100


@pytest.mark.parametrize("kind", ["and", "parity"])
def test_what_a_result_says_of_a_known_rule(kind):
    result, rows = hand_built(kind), 20_000
    X = (np.arange(64)[:, None] >> np.arange(6)) & 1
    y = X[:, 1] & X[:, 4] if kind == "and" else X[:, 1] ^ X[:, 4]
    assert np.array_equal(result.predict(X), y) and result.predict(X).dtype == np.uint8
    assert np.allclose(result.predict_proba(X), 1 / (1 + np.exp(-result.logits(X))), rtol=1e-12)
    assert result.logits(X[:0]).shape == (0,)
    assert np.array_equal(result.predict(X.astype(float)), y) and np.array_equal(result.predict(X.astype(bool)), y)
    assert result.support(2) == (1, 4) and result.support(6) == tuple(range(6))
    weights = result.attention()
    assert weights.shape == (result.model.H, 6) and (weights >= 0).all() and (weights.sum(axis=1) <= 1 + 1e-12).all()
    for p in 0.5, 0.8:
        task = minitf.tasks.samples.BooleanTask(kind, 6, 2, (1, 4), minitf.tasks.rules.truth_table(kind, 2), p)
        exact = np.zeros(6)
        exact[[1, 4]] = task.influences()
        known = replace(result, frequency=np.full(6, p))
        got = known.influence(rows, seed=3)
        assert (np.abs(got - exact) <= 4 * np.sqrt(exact * (1 - exact) / rows)).all()
        assert np.array_equal(got, known.influence(rows, seed=3))


def test_result_refuses_what_it_cannot_use():
    result = hand_built("and")
    for bad, error in ((np.zeros((2, 5), int), ValueError), (np.full((2, 6), 2), ValueError),
                       (np.zeros(6, int), ValueError),
                       (np.full((2, 6), 0.5), ValueError), (np.array([["a"] * 6]), TypeError)):
        with pytest.raises(error, match="^X: expected "):
            result.predict(bad)
    for k, error in ((0, ValueError), (7, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="^k: expected "):
            result.support(k)


@pytest.mark.parametrize("model", [None, SMALL, ModelConfig.paper(16, H=2)])
def test_a_file_brings_everything_back_bit_for_bit(tmp_path, model):
    _, X, y = sample(3, T=16)
    result, path = fit(X, y, model, train=SHORT), tmp_path / "model.npz"
    result.save(path, seed=7, names=["a", "b"])
    again = load(path)
    assert again.model == result.model and list(again.params) == list(result.params)
    for one, two in ((result.weights, again.weights), (result.shares, again.shares),
                     (result.frequency, again.frequency), (result.logits(X), again.logits(X)),
                     *((result.params[name], again.params[name]) for name in result.params)):
        assert (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    assert again.header["seed"] == 7 and again.header["names"] == ["a", "b"] and again.header["format"] == 1
    again.save(tmp_path / "again.npz")
    assert load(tmp_path / "again.npz").header == again.header


@pytest.mark.parametrize("spoil", [
    lambda arrays, header: arrays.update({"params/q": arrays["params/q"][:, 1:]}),
    lambda arrays, header: arrays.update({"params/w": np.array([np.nan])}),
    lambda arrays, header: arrays.update({"params/c": np.array("0")}),
    lambda arrays, header: arrays.update({"weights": np.full((1, 6), np.inf)}),
    lambda arrays, header: arrays.update({"weights": np.zeros((1, 5))}),
    lambda arrays, header: arrays.update({"shares": np.zeros(2)}),
    lambda arrays, header: arrays.update({"frequency": np.zeros(5)}),
    lambda arrays, header: arrays.update({"params/q": arrays["params/q"] + 0j}),
    lambda arrays, header: arrays.update({"extra": np.zeros(5)}),
    lambda arrays, header: arrays.pop("params/w"),
    lambda arrays, header: arrays.pop("weights"),
    lambda arrays, header: header.pop("model"),
    lambda arrays, header: header.update(model=3),
    lambda arrays, header: header["model"].update(T=7),
    lambda arrays, header: header["model"].update(T="6"),
    lambda arrays, header: header["model"].update(depth=2),
    lambda arrays, header: header["model"].pop("T")])
def test_a_spoilt_file_is_named(tmp_path, spoil):
    path = tmp_path / "model.npz"
    hand_built("and").save(path)
    arrays, header = load_arrays(path)
    save_arrays(path, arrays, **header)
    load(path)
    spoil(arrays, header)
    save_arrays(path, arrays, **header)
    with pytest.raises(ValueError, match=f"^{path}: "):
        load(path)


def test_a_foreign_or_truncated_file_is_named(tmp_path):
    path = tmp_path / "model.npz"
    hand_built("and").save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-1], json.dumps({"format": 1}).encode(), pickle.dumps({"format": 1})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path}: "):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize("bad, error", [
    ({"method": "sgd"}, ValueError), ({"steps": 0}, ValueError), ({"steps": 1.5}, TypeError),
    ({"batch": 0}, ValueError),
    ({"lr": 0}, ValueError), ({"lr": math.nan}, ValueError), ({"lr": math.inf}, ValueError),
    ({"weight_decay": -1}, ValueError),
    ({"weight_decay": math.inf}, ValueError), ({"radius": 0}, ValueError), ({"restarts": -1}, ValueError),
    ({"tol": 0}, ValueError),
    ({"tol": "0.1"}, TypeError)])
def test_bad_options_are_named_in_one_line(bad, error):
    name = next(iter(bad))
    with pytest.raises(error, match=f"^{name}: expected [^\n]*, got [^\n]*$"):
        TrainConfig(**bad)
    with pytest.raises(TypeError):
        TrainConfig(learning_rate=0.1)


def test_bad_arguments_are_named():
    X, y = np.eye(4, dtype=int), np.array([0, 1, 0, 1])
    wrong = init_params(np.random.default_rng(0), SMALL)
    for args, options, error, message in (
            ((X + 1, y), {}, ValueError, "^X: "), ((X, y[1:]), {}, ValueError, "^y: "),
            ((X, y - 1), {}, ValueError, "^y: "),
            ((X[:0], y[:0]), {}, ValueError, "^X: "), ((X, y, ModelConfig.paper(5)), {}, ValueError, "^X: "),
            ((X, y, "paper"), {}, TypeError, "^model: "), ((X, y, ModelConfig(4, V=3)), {}, ValueError, "^model: "),
            ((X, y, None, 0), {}, TypeError, "^rng: "), ((X, y), {"params": wrong}, ValueError, "^params: "),
            ((X, y), {"train": {"steps": 3}}, TypeError, "^train: ")):
        with pytest.raises(error, match=message):
            fit(*args, **options)


def test_any_model_trains_in_any_class():
    """Sets of the caller hold at every iterate, an intersection included, and the residual is that of these sets."""
    rng = np.random.default_rng(5)
    X = rng.integers(0, 2, (60, 6)).astype(np.uint8)
    y = X[:, 1] & X[:, 4]
    model = ModelConfig.scalar(6, H=2, d=4, d_o=5)
    both = Intersection([Ball("l21", 1.5), Ball("spectral", 0.8)])

    class Own:
        """A set of a caller's own: entries of at most 1."""

        def project(self, x):
            return np.clip(x, -1, 1)

        def contains(self, x):
            return np.abs(x).max() <= 1

    sets = {"W_C": both, "w": Ball("l2", 2.0), "P": Ball("l2inft", 0.3), "W_V": Own()}
    for method in ("adam", "pgd"):
        def inside(progress):
            assert all(sets[name].contains(progress.params[name]) for name in sets)
        train = TrainConfig(method=method, steps=12, restarts=1)
        result = fit(X, y, model, rng, train=train, sets=sets, callback=inside)
        assert result.residual > 0 and math.isfinite(result.residual)
    with pytest.raises(ValueError, match="sets: expected names among"):
        fit(X, y, model, sets={"W_VV": Ball("l2", 1.0)})
    with pytest.raises(TypeError, match=r"sets\['w'\]: expected a set with .project"):
        fit(X, y, model, sets={"w": 1.0})
