"""Starts of the loop: few rows first, then all, then smaller steps; and when they stop."""
import numpy as np
import pytest

from minitf import Ball, ModelConfig, TrainConfig, fit, sample_task
from minitf.learn import FitWarning, most_steps
from minitf.learn.loop import optimiser
from minitf.learn.starts import (
    MILLISECONDS,
    Ended,
    found,
    noise_level,
    steps_of_starts,
)
from minitf.model import init_params


def parity(seed, T, k, m, noise=0.0):
    rng = np.random.default_rng(seed)
    task = sample_task(rng, "parity", T, k, noise=noise)
    return task, *task.sample(rng, m)


def taught(X, y, seed=0, **options):
    """The Result of tf-scalar by Adam, and what the steps were for."""
    whys = []
    result = fit(X, y, ModelConfig.scalar(X.shape[1]), np.random.default_rng(seed),
                 train=TrainConfig("adam", **options), callback=lambda state: whys.append(state.note))
    return result, whys


def exact(result, task):
    X, _ = task.sample(np.random.default_rng(99), 10_000)
    return result.support(task.k) == task.support and np.array_equal(result.predict(X), task.label(X))


@pytest.mark.slow
def test_many_examples_are_learned_from_few_first():
    task, X, y = parity(0, 24, 3, 9000)
    result, whys = taught(X, y)
    assert exact(result, task) and result.header["next"] == ""
    assert whys[0] == "start 1 of 15, 4000 of 9000 rows, until a rule shows"
    assert len(result.history["step"]) <= most_steps(result.model, TrainConfig("adam"))


@pytest.mark.slow
def test_noisy_labels_end_by_themselves_and_the_rule_is_exact():
    task, X, y = parity(1, 20, 2, 3000, noise=0.1)
    result, whys = taught(X, y)
    assert exact(result, task) and whys[-1].endswith("through noise: all rows, smaller steps")
    assert 0.05 < (result.predict(X) != y).mean() < 0.15                    # the noise is not learned


@pytest.mark.slow
def test_a_polish_that_loses_the_rule_is_not_kept(monkeypatch):
    """Weights that decay too fast take the rule with them: then the model is that from before."""
    monkeypatch.setattr("minitf.learn.starts.DECAY", 300.0)
    task, X, y = parity(1, 20, 2, 3000, noise=0.1)
    result, _ = taught(X, y, restarts=0)
    assert (result.predict(X) != y).mean() < 0.15


@pytest.mark.slow
def test_more_examples_never_hurt():
    """Nested samples of parity of 4 of 40 bits: learned from 5,000 examples on. The loop that sees all
    rows from the start learned 0 of 3 from 30,000 of them."""
    task, X, y = parity(2, 40, 4, 30_000)       # the seed of the first four that takes least
    assert all(exact(taught(X[:m], y[:m], 2)[0], task) for m in (5_000, 30_000))


@pytest.mark.slow
def test_what_would_be_tried_next():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (600, 30), dtype=np.uint8)
    result, _ = taught(X, rng.integers(0, 2, 600), steps=1500, restarts=0)
    assert result.header["next"] == "more examples"                         # it knows them by heart
    task, X, y = parity(0, 30, 6, 20_000)
    assert taught(X, y, steps=200, restarts=0)[0].header["next"] == "more steps"


def test_all_rows_from_the_start_where_few_is_none_or_sets_or_parameters_are_given():
    task, X, y = parity(0, 12, 2, 700)
    model, train = ModelConfig.scalar(12, H=2, d=8, d_o=6), TrainConfig("adam", steps=20, restarts=0)
    for options in ({"train": TrainConfig("adam", steps=20, restarts=0, few=None)},
                    {"train": train, "sets": {"W_C": Ball("l2", 5.0)}}, {"train": train, "params": init_params(np.random.default_rng(0), model)}):
        whys = []
        fit(X, y, model, np.random.default_rng(0), callback=lambda state: whys.append(state.note), **options)
        assert set(whys) == {"start 1 of 1, all rows, until a rule shows"}
    assert taught(X[:400], y[:400], steps=20, restarts=0)[1][0] == "start 1 of 1, all rows, until a rule shows"



def test_found_needs_half_the_way_and_more_than_luck(monkeypatch):
    import minitf.learn.starts as page
    monkeypatch.setattr(page, "logits_of", lambda params, X, model: params)
    y = np.arange(1000) % 2

    def right(share, n=1000):
        guess = np.where(np.arange(n) < share * n, y[:n], 1 - y[:n])
        return found(2.0 * guess - 1, None, y[:n], None)

    assert right(0.8) and not right(0.7) and not right(0.5)
    assert right(0.9, 100) and not right(0.74, 100) and not right(0.9, 20)    # 18 of 20 is luck at this level
    z = np.where(np.arange(1000) < 950, 2.0 * y - 1, 1 - 2.0 * y)
    assert noise_level(z, None, y, None) == pytest.approx(np.log(19) / 2)
    assert noise_level(2.0 * y - 1, None, y, None) == 2.0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_training_that_diverges_names_the_step_size():
    _, X, y = parity(0, 12, 2, 600)
    for method in ("adam", "pgd"):
        with pytest.raises(ValueError, match="^lr: expected a step size at which training does not diverge, got 1e[+]20$"):
            fit(X, y, ModelConfig.scalar(12, H=2), train=TrainConfig(method, lr=1e20, restarts=0))


def test_a_rule_that_the_class_does_not_hold_is_warned_of_by_method(monkeypatch):
    import minitf.learn.starts as page
    monkeypatch.setattr(page, "steps_of_starts", lambda model, train: [100])
    _, X, y = parity(0, 12, 2, 300)
    for model, method, more in ((ModelConfig.paper(12), "adam", r"ModelConfig\.scalar\(T\), method adam, holds any rule"),
                                (ModelConfig.scalar(12, H=2), "pgd", "more steps would be tried next")):
        with pytest.warns(FitWarning, match=f"a rule that method {method} on this class does not find [(].*{more}"):
            fit(X, y, model, train=TrainConfig(method, lr=1e-6))


def test_starts_end_when_polishing_has_taken_their_time(monkeypatch):
    """Every start shows a rule that is never clear: each takes 800 steps and LATER, of 15 starts' 74,400 in all."""
    import minitf.learn.starts as page
    asked = []
    monkeypatch.setattr(page, "one_start", lambda *args: asked.append(args[4]) or (Ended({}, 0.5, "more examples"), page.LATER))
    X, model = np.zeros((600, 40), np.uint8), ModelConfig.scalar(40)
    best, left, more = page.train_from_starts(X, X[:, 0], model, np.random.default_rng(0), TrainConfig(), None, {}, None)
    assert (left, more) == (0.5, "more examples")
    spent = [sum(asked[:n]) + n * page.LATER for n in (len(asked) - 1, len(asked))]
    assert spent[0] < sum(steps_of_starts(model, TrainConfig())) <= spent[1] and len(asked) < 15


def test_the_time_that_starts_may_take_is_bounded():
    for model in (ModelConfig.scalar(40), ModelConfig.scalar(4096), ModelConfig.gpt(64), ModelConfig.mlp(1024)):
        steps, (each, more) = steps_of_starts(model, TrainConfig()), MILLISECONDS[model.block]
        assert sum(steps) * (each + more * model.T) <= 75_000 and steps[0] == 800
    assert steps_of_starts(ModelConfig.scalar(40), TrainConfig(steps=10, restarts=4)) == [10, 10, 10, 20, 20]


def test_the_step_size_fades():
    model = ModelConfig.scalar(4)
    for method in ("pgd", "adam"):
        steps = []
        step, x = optimiser(model, TrainConfig(method, lr=0.1, weight_decay=0.0), {}, fade=4), np.zeros(1)
        for _ in range(5):
            moved = step(x, np.ones(1))
            steps.append(float(abs(moved - x)[0]))
            x = moved
        assert steps[0] > 0 and steps[-1] == 0
        if method == "adam":                            # of a constant gradient every step is lr
            assert steps == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.0], abs=1e-8)


def test_the_start_with_the_least_undecided_is_kept():
    assert min(Ended("a", 0.5, ""), Ended("b", 0.1, ""), key=lambda ended: ended.left).params == "b"
