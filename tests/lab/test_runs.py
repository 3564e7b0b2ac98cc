"""Runs: their streams of randomness, the sample, the verdict and the record, each against an independent account."""
import dataclasses
import json
import math
from itertools import combinations

import numpy as np
import pytest

import minitf.learn
from minitf.files import as_json
from minitf.lab import draw, own_table
from minitf.lab import run as runs
from minitf.lab.datasets import Table
from minitf.lab.holdout import count_correct, wilson
from minitf.model import config as models
from minitf.tasks import supports as identify
from minitf.tasks.samples import sample_task

KEYS = """task description label positive names notices rows distinct T k p noise table m support_bits information_limit determined
    redraws chance support_true support_found rule rule_exact rule_differs rule_train_accuracy rule_holdout_accuracy certain
    why label_noise substitutes tried train_accuracy train_loss holdout holdout_distinct holdout_accuracy holdout_interval
    noisy_holdout_accuracy learned method model heads radius steps seconds norms certificate attention_top next residual seed
    version""".split()


def streams(seed, n):
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(n)]


def a_table(m=60, T=5, seed=0):
    """A table whose label is the AND of columns 1 and 3."""
    X = np.random.default_rng(seed).integers(0, 2, (m, T), dtype=np.uint8)
    return Table(X, tuple("abcdefgh"[:T]), X[:, 1] & X[:, 3], "y")


# The defaults


def test_the_methods_and_sample_sizes_that_are_documented():
    assert {draw.auto_method(kind) for kind in ("and", "or", "majority", "threshold")} == {"pgd"}
    assert {draw.auto_method(kind) for kind in ("parity", "symmetric", "junta")} == {"adam"}
    assert draw.auto_m("and", 64, 2, "pgd") == 65 == int(6 * math.log2(64 * 63 / 2))
    assert draw.auto_m("and", 2, 2, "pgd") == 16
    for T, k in ((64, 3), (1024, 3), (16384, 5)):
        m = draw.auto_m("majority", T, k, "pgd")
        assert 2 ** (m / 6) <= math.comb(T, k) < 2 ** ((m + 1) / 6)
    table = [(8, 1, 500), (64, 2, 500), (64, 3, 2000), (64, 4, 8000), (128, 2, 1000), (96, 3, 3000)]
    for T, k, m in table:
        assert draw.auto_m("parity", T, k, "adam") == m


def test_the_paper_class_is_the_default_for_pgd_and_the_scalar_model_for_adam():
    plan = runs.plan_task("and", 2, 16)
    assert plan.model == models.ModelConfig.paper(16, 2) and plan.train.method == "pgd"
    plan = runs.plan_task("parity", 2, 16)
    assert plan.model == models.ModelConfig.scalar(16) and plan.train.method == "adam"
    plan = runs.plan_task("and", 2, 16, method="adam", model="paper", H=3, radius=7.0, steps=5)
    assert plan.model == models.ModelConfig.paper(16, 2, H=3, radius=7.0) and plan.train == minitf.learn.TrainConfig("adam", 5)


# Randomness


@pytest.mark.slow
def test_the_four_streams_are_task_sample_holdout_training(monkeypatch):
    seen = {}
    fit = minitf.learn.fit

    def watched(X, y, *rest, **options):
        seen.setdefault("X", X)             # of the first call: the certificate trains once more, on half
        seen.setdefault("y", y)
        return fit(X, y, *rest, **options)

    monkeypatch.setattr(runs, "fit", watched)
    result, record = runs.plan_task("parity", 2, 8, m=60, steps=20, noise=0.1, seed=5).run()

    task_rng, sample_rng, holdout_rng, training_rng = streams(5, 4)
    task = sample_task(task_rng, "parity", 8, 2, noise=0.1)
    X, y = task.sample(sample_rng, 60)
    assert record["support_true"] == list(task.support) and record["p"] == task.p
    assert np.array_equal(seen["X"], X) and np.array_equal(seen["y"], y)

    again = fit(X, y, models.ModelConfig.scalar(8), training_rng, train=minitf.learn.TrainConfig("adam", 20))
    assert all(np.array_equal(again.params[name], value) for name, value in result.params.items())

    X, noisy = task.sample(holdout_rng, 10_000)
    predicted = again.predict(X)
    assert record["holdout"] == 10_000
    assert record["holdout_accuracy"] == np.mean(predicted == task.label(X))
    assert record["noisy_holdout_accuracy"] == np.mean(predicted == noisy)


def test_same_seed_same_record_and_another_seed_another():
    first, again, other = (runs.plan_task("and", 2, 32, seed=seed).run()[1] for seed in (3, 3, 4))
    for record in (first, again, other):
        del record["seconds"]
    assert first == again and json.dumps(first) == json.dumps(again)
    assert first["support_true"] != other["support_true"]
    table = [own_table.plan_table(a_table(), seed=seed).run()[1] for seed in (3, 3)]
    assert table[0] | {"seconds": 0} == table[1] | {"seconds": 0}


def test_the_split_and_the_training_of_a_table_have_streams_of_their_own(monkeypatch):
    held = []

    def split(X, y, share, rng):
        held.append(rng.random())
        return np.arange(50), np.arange(50, 60)

    monkeypatch.setattr(own_table, "stratified_split", split)
    own_table.plan_table(a_table(), seed=9)
    assert held == [streams(9, 2)[0].random()]


def test_training_sees_no_search_for_supports_and_no_rule(monkeypatch):
    plan = runs.plan_task("and", 2, 16)

    def forbidden(*args, **options):
        raise AssertionError("the learner looked for supports")

    monkeypatch.setattr(identify, "consistent_supports", forbidden)
    monkeypatch.setattr(draw, "consistent_supports", forbidden)
    assert plan.run()[1]["learned"]


# The sample


def explains(X, y, kind, support, table=None):
    """Whether the rule on a support gives every label; symmetric or junta without a table: whether any rule does."""
    part = X[:, support].astype(int)
    count = part.sum(axis=1)
    if kind in ("and", "or", "parity"):
        return np.array_equal(y, {"and": count == len(support), "or": count > 0, "parity": count % 2 == 1}[kind])
    state = count if kind == "symmetric" else part @ (1 << np.arange(len(support)))
    if table is not None:
        return np.array_equal(y, np.array(table)[state])
    return all(len(set(y[state == value])) == 1 for value in set(state))


@pytest.mark.parametrize("kind, table, m", [
    ("and", None, 8), ("or", None, 8), ("parity", None, 6), ("symmetric", [0, 1, 0], 6), ("symmetric", None, 9),
    ("junta", None, 8)])
def test_redraw_draws_until_one_support_alone_explains_the_sample(kind, table, m):
    waited = 0
    for seed in range(6):
        task_rng, sample_rng = streams(seed, 2)
        task = sample_task(task_rng, kind, 10, 2, table=table)
        X, y, determined, redraws = draw.draw_sample(task, m, sample_rng, redraw=True, rule_known=table is not None)
        waited += redraws

        again = streams(seed, 2)[1]
        samples = [task.sample(again, m) for _ in range(redraws + 1)]
        explained = [[S for S in combinations(range(10), 2) if explains(*sample, kind, S, table)] for sample in samples]
        assert determined is True and explained[-1] == [task.support]
        assert all(len(supports) > 1 for supports in explained[:-1])
        assert np.array_equal(samples[-1][0], X) and np.array_equal(samples[-1][1], y)
    assert waited > 0


def test_without_redraw_the_first_sample_is_kept_and_judged():
    verdicts = []
    for seed in range(12):
        task = sample_task(np.random.default_rng(seed), "and", 10, 2)
        X, y, determined, redraws = draw.draw_sample(task, 8, np.random.default_rng(seed))
        first = task.sample(np.random.default_rng(seed), 8)
        assert np.array_equal(first[0], X) and np.array_equal(first[1], y) and redraws == 0
        assert determined is (sum(explains(X, y, "and", S) for S in combinations(range(10), 2)) == 1)
        verdicts.append(determined)
    assert True in verdicts and False in verdicts


def test_noise_and_size_leave_the_sample_unchecked(monkeypatch):
    rng = np.random.default_rng(0)
    noisy = sample_task(rng, "and", 10, 2, noise=0.1)
    assert draw.draw_sample(noisy, 8, rng)[2:] == (None, 0)
    with pytest.raises(ValueError, match="^redraw: expected noise 0 and a task small enough to check"):
        draw.draw_sample(noisy, 8, rng, redraw=True)
    large = sample_task(rng, "parity", 200, 10)
    assert draw.draw_sample(large, 8, rng)[2:] == (None, 0)
    with pytest.raises(ValueError, match="^redraw: "):
        draw.draw_sample(large, 8, rng, redraw=True)


def test_a_sample_that_never_determines_its_support_is_given_up_after_200(monkeypatch):
    drawn = []
    search = draw.consistent_supports

    def counted(X, *rest, **options):
        drawn.append(X)
        return search(X, *rest, **options)

    monkeypatch.setattr(draw, "consistent_supports", counted)
    with pytest.raises(ValueError, match="^redraw: expected a sample of m = 1 .* got 200 ambiguous ones$"):
        runs.plan_task("majority", 3, 64, m=1, redraw=True)
    assert len(drawn) == 200 == len({X.tobytes() for X in drawn})


# The verdict


def conjunction(*positions):
    """Predict the AND of given positions."""
    return lambda X: X[:, list(positions)].all(axis=1).astype(np.uint8)


@pytest.mark.parametrize("T, n", [(8, 1000), (1 << 15, 1500)])
def test_every_fresh_example_is_counted_once(T, n):
    task = sample_task(np.random.default_rng(0), "and", T, 2, noise=0.2)
    X, y = task.sample(np.random.default_rng(1), n)             # the larger T is counted in three blocks
    guesses = [conjunction(*task.support), conjunction(task.support[0])]
    expected = [((guess(X) == task.label(X)).sum(), (guess(X) == y).sum()) for guess in guesses]
    assert (count_correct(guesses, task, np.random.default_rng(1), n) == expected).all()
    assert expected[0][0] == n > expected[1][0]


@pytest.mark.parametrize("clean, support, learned", [
    (10_000, True, True), (9_999, True, False), (10_000, False, False)])
def test_learned_means_exact_support_and_every_fresh_example(monkeypatch, clean, support, learned):
    plan = runs.plan_task("and", 2, 16, m=50)
    monkeypatch.setattr(runs, "count_correct", lambda *args, callback: np.array([[clean, clean]]))
    if not support:
        monkeypatch.setattr(minitf.learn.Result, "support", lambda self, k: (0, 1))
    record = plan.run()[1]
    assert record["learned"] is learned and record["holdout_accuracy"] == clean / 10_000


@pytest.mark.parametrize("n", [1, 2, 7, 48, 10_000])
def test_wilson_solves_its_equation_and_agrees_with_scipy(n):
    from scipy.stats import binomtest, norm
    for right in sorted({0, 1, n // 3, n - 1, n}):
        low, high = wilson(right, n)
        expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
        assert abs(low - expected.low) < 1e-12 and abs(high - expected.high) < 1e-12
        for q in (low, high):
            if 0 < q < 1:
                assert abs(abs(right / n - q) - norm.ppf(0.975) * math.sqrt(q * (1 - q) / n)) < 1e-12


@pytest.mark.every(3)
@pytest.mark.parametrize("m, flipped, learned", [
    (50, 0.45, False), (100, 0.0, True), (60, 0.25, False), (200, 0.1, True), (120, 0.4, False), (60, 0.5, False)])
def test_a_table_is_learned_if_the_wilson_interval_lies_above_chance(monkeypatch, m, flipped, learned):
    from scipy.stats import binomtest
    table = a_table(m, 8, seed=m)
    noise = np.random.default_rng(1).random(m) < flipped
    table = table._replace(y=table.y ^ noise)
    monkeypatch.setattr("minitf.learn.table_rule.STARTS", 1)
    monkeypatch.setattr("minitf.learn.table_rule.STEPS", 100)
    result, record = own_table.plan_table(table, seed=1).run()
    n = record["holdout"]
    right = round(record["holdout_accuracy"] * n)
    low, high = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert record["m"] + n == m and abs(n - m / 5) <= 1
    assert record["holdout_interval"] == pytest.approx([low, high], abs=1e-12)
    assert record["learned"] is bool(low > record["chance"]) is learned


def test_the_rows_held_out_decide_and_set_the_chance(monkeypatch):
    table = a_table()
    held = np.arange(48, 60)
    monkeypatch.setattr(own_table, "stratified_split", lambda X, y, share, rng: (np.arange(48), held))
    result, record = own_table.plan_table(table).run()
    share = table.y[held].mean()
    assert record["chance"] == max(share, 1 - share)
    assert record["holdout_accuracy"] == np.mean(result.predict(table.X[held]) == table.y[held])
    assert record["train_accuracy"] == np.mean(result.predict(table.X[:48]) == table.y[:48])


def test_the_support_of_a_table_is_that_of_its_rule():
    for options in ({}, {"k": 2}, {"negations": False}, {"seed": 1}):
        result, record = own_table.plan_table(a_table(100, 8), **options).run()
        assert record["support_found"] == ["b", "d"] and record["rule"] == "b and d" and record["certain"]
        assert record["table"] == [0, 0, 0, 1] and record["rule_train_accuracy"] == record["rule_holdout_accuracy"] == 1
        assert record["k"] == options.get("k") and result.negations is options.get("negations", True)


# The record


@pytest.mark.every(3)
@pytest.mark.parametrize("plan", [
    lambda: runs.plan_task("and", 2, 16), lambda: runs.plan_task("parity", 2, 8, m=60, steps=5, noise=0.1, H=2),
    lambda: own_table.plan_table(a_table()), lambda: runs.plan_task("or", 1, 3, radius=math.inf),
    lambda: runs.plan_task("and", 2, 16, H=2, method="adam", model="paper", steps=3),
    lambda: runs.plan_task("and", 2, 16, steps=7)])
def test_a_record_has_the_documented_keys_and_is_strict_json(plan):
    result, record = plan().run()
    assert list(record) == KEYS == list(runs.RECORD)
    text = as_json(record)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    copy = json.loads(text, parse_constant=refuse)
    assert copy["radius"] == (record["radius"] if record["radius"] < math.inf else None)
    assert copy | {"radius": 0} == json.loads(json.dumps(record)) | {"radius": 0}
    assert record["heads"] == result.model.H and record["T"] == result.T
    assert record["steps"] == len(result.history["loss"])
    assert record["version"] == "0.1.0" and record["seconds"] > 0


def test_numbers_that_json_does_not_know_become_null():
    value = {"a": math.inf, "b": [1.5, -math.inf, (math.nan, "inf")], "c": {"d": math.nan, "e": True, "f": None}}
    expected = {"a": None, "b": [1.5, None, [None, "inf"]], "c": {"d": None, "e": True, "f": None}}
    assert json.loads(as_json(value)) == expected


@pytest.mark.slow
def test_every_bounded_norm_is_reported_beside_its_radius():
    for options in (dict(), dict(H=2, method="adam", model="paper", steps=5)):
        result, record = runs.plan_task("and", 2, 16, **options).run()
        unequal = {"q": result.params["q"] * np.linspace(1, 0.5, result.model.H)[:, None]}
        result = dataclasses.replace(result, params=result.params | unequal)
        params, reported = result.params, runs.norms(result)
        assert result.model.H > 1 or reported == record["norms"]
        by_hand = {"||q||_1": (max(np.abs(q).sum() for q in params["q"]), 2 * (math.log(16) + 4)),
                   "|w|": (np.abs(params["w"]).max(), 32.0), "|c|": (abs(params["c"]), 32.0)}
        assert set(reported) == set(by_hand)
        for name, (value, radius) in by_hand.items():
            assert reported[name]["value"] == pytest.approx(value, rel=1e-12) and reported[name]["radius"] == radius
            assert value <= radius * (1 + 1e-12)
    assert "||q||_1" not in runs.plan_task("and", 2, 16, radius=math.inf).run()[1]["norms"]
    assert runs.plan_task("parity", 1, 4, m=40, steps=2).run()[1]["norms"] == {}


@pytest.mark.slow
def test_the_strongest_positions_are_listed_in_order():
    result, record = runs.plan_task("and", 12, 16, m=200).run()
    top = record["attention_top"]
    weights = result.shares @ result.attention()
    assert len(top) == 12 and {t for t, _ in top} == set(record["support_found"])
    assert [a for _, a in top] == sorted(weights, reverse=True)[:12] and all(weights[t] == a for t, a in top)


# Refusals, before any work


@pytest.mark.parametrize("options, message", [
    (dict(k=65), "^k: expected at most T = 64, got 65"),
    (dict(k=0), "^k: expected an integer >= 1"),
    (dict(T=0), "^T: expected an integer >= 1"),
    (dict(T=10 ** 12), "^T: expected at most 33554432 with model paper and heads = 1"),
    (dict(T=10 ** 30), "^T: expected an integer from 1 to"),
    (dict(T=10 ** 5, task="parity"), "^T: expected at most 32768 with model scalar"),
    (dict(H=10 ** 9), "^T: expected at most 0 with model paper and heads = 1000000000"),
    (dict(k=10 ** 6, T=2 * 10 ** 6), "^k: expected at most 20"),
    (dict(k=20, task="parity"), r"^m: expected at most 134217728 examples of 64 bits \(2\^33 bits in all\), got 34359"),
    (dict(m=10 ** 9), "^m: expected at most 134217728 examples"),
    (dict(m=0), "^m: expected an integer >= 1"),
    (dict(steps=0, task="parity"), "^steps: expected an integer >= 1"),
    (dict(seed=-1), "^seed: expected an integer >= 0"),
    (dict(method="newton"), "^method: expected one of auto, pgd, adam"),
    (dict(model="bert"), "^model: expected one of paper, scalar, gpt, mlp"),
    (dict(task="xor"), "^task: expected one of and"),
    (dict(radius=math.nan), "^radius: expected a number > 0"),
    (dict(noise=0.5), "^noise: expected a flip rate"),
])
def test_a_bad_task_is_refused_at_once(monkeypatch, options, message):
    monkeypatch.setattr("minitf.tasks.samples.BooleanTask.sample", lambda *args: pytest.fail("a sample was drawn"))
    with pytest.raises(ValueError, match=message):
        runs.plan_task(**options)


@pytest.mark.parametrize("m, options, message", [
    (60, dict(k=6), "^k: expected an integer from 1 to 5, the number of columns, got 6"),
    (60, dict(k=0), "^k: expected an integer from 1 to 5"),
    (60, dict(holdout=0.0), "^holdout: expected a share above 0 and below 1"),
    (60, dict(holdout=math.nan), "^holdout: expected a share above 0 and below 1"),
    (60, dict(holdout=0.999), "^holdout: expected a share that leaves some of the 60 rows to train on, got 0.999"),
    (60, dict(steps=0), "^steps: expected an integer >= 1"),
    (60, dict(seed=-1), "^seed: "),
])
def test_a_bad_table_run_is_refused_at_once(m, options, message):
    with pytest.raises(ValueError, match=message):
        own_table.plan_table(a_table(m), **options)


def test_the_largest_sizes_allowed_are_not_refused(monkeypatch):
    class Drawn(Exception):
        pass

    def drawn(*args, **options):
        raise Drawn

    monkeypatch.setattr(runs, "draw_sample", drawn)
    for options in (dict(T=1 << 22, m=1 << 8), dict(m=1 << 24), dict(T=1 << 15, task="parity", m=1), dict(H=1 << 16)):
        with pytest.raises(Drawn):
            runs.plan_task(**options)
