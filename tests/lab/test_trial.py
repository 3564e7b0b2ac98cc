"""One run of a sweep: its data, its verdict, what it keeps, and that it is a function of the job."""
import importlib
import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sweeps import a_job, stripped

from minitf.lab import holdout, protocol
from minitf.lab.protocol import RECORD, SNAPSHOTS, identity, yardstick
from minitf.lab.trial import trial
from minitf.tasks.rules import KINDS
from minitf.tasks.samples import sample_task
from minitf.tasks.supports import consistent_supports

engine = importlib.import_module("minitf.lab.sweep")
trials = importlib.import_module("minitf.lab.trial")

ROOT = Path(__file__).resolve().parents[2]


def test_the_streams_of_a_job_are_those_documented_and_do_not_depend_on_m_or_the_method():
    job = a_job(seed=5, rep=3, noise=0.125, p=0.25)
    numbers = [KINDS.index("and"), 3, 16, 2 ** 30, 2 ** 29, 3]
    wanted = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(*numbers, 1, 7))).random()
    for change in ({}, {"m": 999}, {"method": "adam", "model": "mlp"}, {"limit": 3.0}):
        assert protocol.stream(job | change, "sample", 7).random() == wanted
    draws = {protocol.stream(job | change, use, 0).random() for use in protocol.USES
             for change in ({}, {"rep": 4}, {"T": 17}, {"k": 2}, {"task": "or"}, {"p": 0.5}, {"noise": 0.0}, {"seed": 6})}
    assert len(draws) == 5 * 8


def test_training_sets_are_nested_and_the_first_that_one_support_explains():
    seen = set()
    for rep in range(6):
        by_attempt = {}
        for m in (4, 5, 7, 12):
            job = a_job(8, m, rep, k=2)
            task = sample_task(protocol.stream(job, "support"), "and", 8, 2)
            X, y, determined, attempt = trials.training_set(job, task)
            for other in range(attempt + 1):
                H, labels = task.sample(protocol.stream(job, "sample", other), m)
                supports = [S for S in combinations(range(8), 2) if (H[:, S].all(axis=1) == labels).all()]
                assert (len(supports) == 1 and len(set(labels)) == 2) == (other == attempt)
            assert determined is True and (X == H).all() and (y == labels).all()
            longer = by_attempt.setdefault(attempt, X)
            assert (X[:len(longer)] == longer[:m]).all()
            seen.add(attempt)
    assert len(seen) > 2


def test_after_200_ambiguous_attempts_nothing_is_trained(monkeypatch):
    monkeypatch.setattr(trials, "fit", lambda *args, **options: pytest.fail("trained"))
    record = trial(a_job(64, 3))
    assert record["attempts"] == 200 and record["determined"] is False
    assert record["success"] is record["success_any"] is record["accuracy"] is None


def test_a_trial_says_what_it_found_and_repeats_itself():
    record = trial(a_job(64, 54))
    assert list(record) == list(RECORD) and json.loads(json.dumps(record)) == record
    assert record["success"] is record["support_exact"] is True and record["accuracy"] == 1 and record["attention"] > 0.9
    assert record["m_star"] == 36 == yardstick(identity(), 64)
    steps = [snapshot["step"] for snapshot in record["snapshots"]]
    assert steps == [1 << i for i in range(len(steps))] and steps[-1] < record["steps"] and len(steps) <= SNAPSHOTS
    assert stripped([record]) == stripped([trial(a_job(64, 54))])
    some = [trial(a_job(64, 20, rep)) for rep in range(6)]
    assert {record["success"] for record in some} == {True, False}
    assert all(record["success"] == (record["accuracy"] == 1) for record in some)


@pytest.mark.slow
def test_the_verdict_is_that_of_a_fresh_count(monkeypatch):
    """The holdout is drawn anew here, and the trained model asked through its Result."""
    kept = []
    fit = trials.fit
    monkeypatch.setattr(trials, "fit", lambda *args, **options: kept.append(fit(*args, **options)) or kept[-1])
    for job in (a_job(32, 18, 1), a_job(16, 100, method="adam", model="gpt"), a_job(16, 60, method="adam", model="mlp")):
        record = trial(job)
        task = sample_task(protocol.stream(job, "support"), "and", job["T"], 3)
        X, y = task.sample(protocol.stream(job, "holdout"), 10_000)
        assert record["accuracy"] == (kept[-1].predict(X) == y).mean()
        assert record["success"] == (record["accuracy"] == 1)
        found = None if job["model"] == "mlp" else kept[-1].support(3) == task.support
        assert record["support_exact"] == found


def test_many_bounded_heads_are_asked_as_one_product():
    task = sample_task(np.random.default_rng(0), "and", 20, 3)
    X, y = task.sample(np.random.default_rng(1), 30)
    heads = []
    trials.fit(X, y, protocol.settings(a_job(20))[0], callback=lambda state: heads.append(state.params.params()))
    model = protocol.settings(a_job(20))[0]
    fast = holdout.labels_of(holdout.predictors_of(heads, model), X)
    slow = np.array([trials.logits_of(head, X, model) for head in heads])
    clear = np.abs(slow) > 1e-9                             # a readout held at a threshold meets ties on the way
    assert len(heads) > 9 and (fast == (slow > 0))[clear].all() and 0 < (slow > 0).mean() < 1 and clear.mean() > 0.9


def test_a_limit_ends_the_training_and_is_no_success():
    for method in ("pgd", "adam", "l1-logistic"):
        record = trial(a_job(64, 54, method=method, limit=1e-9))
        assert record["timeout"] is True and record["success"] is False and record["accuracy"] < 1
        assert record["steps"] == (None if method == "l1-logistic" else 1) and record["snapshots"] == []
    assert identity(method="adam")["limit"] == 20 and identity()["limit"] is None
    assert identity(method="adam", limit=math.inf)["limit"] is None


@pytest.mark.slow
def test_exact_search_names_one_of_the_supports_that_explain_the_first_set():
    """Right as often as one of N at random is: the best that any learner can do."""
    right, expected, spread = 0, 0.0, 0.0
    for m in (12, 16, 24):
        for rep in range(25):
            job = a_job(16, m, rep, method="exact-search")
            record = trial(job)
            task = sample_task(protocol.stream(job, "support"), "and", 16, 3)
            X, y = task.sample(protocol.stream(job, "sample", 0), m)
            n = len(consistent_supports(X, y, "and", 3, limit=None))
            assert record["attempts"] == 1 and record["accuracy"] is None and (record["success"] or n > 1)
            right, expected, spread = right + record["success"], expected + 1 / n, spread + (1 - 1 / n) / n
    assert spread > 5 and abs(right - expected) < 2.5 * math.sqrt(spread)


def test_screening_succeeds_by_its_support():
    shares = [np.mean([trial(a_job(16, m, rep, method="screening"))["success"] for rep in range(10)]) for m in (12, 200)]
    assert shares[0] < 0.7 < shares[1] == 1


def test_the_ablations_change_what_they_say():
    model, train = protocol.settings(a_job(method="pgd"))
    assert model.is_paper and (train.method, train.mirror, train.restarts) == ("pgd", True, None)
    assert protocol.settings(a_job(method="pgd-no-mirror"))[1].mirror is False
    assert protocol.settings(a_job(method="pgd-no-restarts"))[1].restarts == 0
    assert protocol.settings(a_job(method="adam"))[0].block == "tf" and protocol.settings(a_job(method="adam"))[0].H == 16


def test_the_fourier_gap_of_parity_and_of_nothing():
    task = sample_task(np.random.default_rng(2), "parity", 9, 3)
    other = [t for t in range(9) if t not in task.support][:3]
    rng = np.random.default_rng(4)
    X = rng.integers(0, 2, (10_000, 9), dtype=np.uint8)
    predictors = [task.label, lambda X: X[:, other].sum(axis=1) % 2, lambda X: X[:, 0] & X[:, 1] | X[:, 5]]
    gaps = holdout.fourier_gaps(predictors, task, np.random.default_rng(4))
    for predict, gap in zip(predictors, gaps):
        Y = 1 - 2.0 * predict(X)
        F = {S: abs((Y * (1 - 2.0 * (X[:, S].sum(axis=1) % 2))).mean()) for S in combinations(range(9), 3)}
        assert gap == pytest.approx(F.pop(task.support) - max(F.values()), abs=1e-6)
    assert gaps[0] > 0.9 and gaps[1] < -0.9


def test_competitors_are_drawn_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(holdout, "SETS", 50)
    task = sample_task(np.random.default_rng(2), "parity", 30, 3)
    gap, = holdout.fourier_gaps([task.label], task, np.random.default_rng(4))
    assert 0.9 < gap < 1


@pytest.mark.slow
def test_a_parity_run_keeps_its_loss_curve_and_gaps():
    record = trial(a_job(12, 200, task="parity", k=2, method="adam"))
    assert record["success"] and record["fourier_gap"] > 0.9 > 0.3 > record["snapshots"][0]["fourier_gap"]
    steps = [step for step, _ in record["curve"]]
    assert steps[-1] == record["steps"] and steps == sorted(set(steps)) and steps[:6] == [1, 2, 3, 4, 5, 6]


def test_windows_average_all_losses_between():
    losses = [float(i) for i in range(1, 101)]
    curve = trials.windows(losses)
    ends = [0] + [step for step, _ in curve]
    assert ends[-1] == 100 and [loss for _, loss in curve] == [np.mean(losses[a:b]) for a, b in zip(ends, ends[1:])]
    assert trials.windows([3.0]) == [[1, 3.0]]


def test_adam_is_unconstrained_and_tuned_but_for_parity():
    model, train = protocol.settings(a_job(method="adam", model="paper"))
    assert model.is_paper and (train.lr, train.weight_decay, train.restarts, train.steps) == (0.3, 0, 0, 2000)
    assert protocol.settings(a_job(method="adam", task="majority"))[1].lr == 0.01
    assert protocol.settings(a_job(method="adam", task="parity"))[1].lr is None
    record = trial(a_job(64, 60, method="adam", model="paper"))
    assert record["success"] and record["support_exact"]
    taught, sets = [], []
    fit = trials.fit

    def watched(*args, **options):
        sets.append(options["sets"])
        taught.append(fit(*args, **options))
        return taught[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "fit", watched)
        trial(a_job(64, 60, method="adam", model="paper", rep=1))
    assert sets == [{}] and abs(taught[0].params["q"]).sum() > model.radius


@pytest.mark.every(3)
@pytest.mark.parametrize("rule", [
    {"task": "threshold", "k": 3, "level": 2}, {"task": "symmetric", "k": 3, "table": [0, 1, 1, 0]},
    {"task": "junta", "k": 3, "table": [0, 1, 1, 0, 1, 0, 1, 1]}])
def test_rules_of_ones_own_are_swept(rule):
    job = a_job(12, 300, method="adam", **rule)
    record = trial(job)
    assert record["success"] and record["support_exact"] and record["determined"] is True
    assert stripped([record]) == stripped([trial(json.loads(json.dumps(job)))])
    task = sample_task(protocol.stream(job, "support"), T=12, p=job["p"], **{"kind": rule["task"]} | {
        key: value for key, value in rule.items() if key != "task"})
    assert yardstick(job, 12) > 0 and protocol.rule_of(job)["level"] == rule.get("level")
    assert task.kind == rule["task"]
    other = rule | ({"level": 3} if "level" in rule else {"table": [1 - bit for bit in rule["table"]]})
    draws = {protocol.stream(a_job(12, 300, **some), "sample", 0).random() for some in (rule, other)}
    assert len(draws) == 2


@pytest.mark.slow
def test_other_protocols_take_any_sample_and_judge_by_a_share(monkeypatch):
    """The same draws: the first set, determined or not; success where more than the share is right."""
    keep = [a_job(64, 16, rep, ambiguous="keep", success=0.8) for rep in range(8)]
    assert {"ambiguous": "keep", "rate": 0.8}.items() <= keep[0].items() and not {"ambiguous", "rate"} & set(a_job())
    records = [trial(job) for job in keep]
    assert {record["attempts"] for record in records} == {1} and False in {record["determined"] for record in records}
    for job, record in zip(keep, records):
        task = sample_task(protocol.stream(job, "support"), "and", 64, 3)
        X, y = task.sample(protocol.stream(job, "sample", 0), 16)
        assert (trials.training_set(job, task)[0] == X).all()
        assert record["success"] == (record["accuracy"] > 0.8) and record["accuracy"] is not None
    assert 0 < sum(record["success"] for record in records) < 8
    accuracy = records[0]["accuracy"]
    assert not trial(keep[0] | {"rate": accuracy})["success"] and trial(keep[0] | {"rate": accuracy - 1e-4})["success"]
    plain = [trial(a_job(64, 20, rep)) for rep in range(3)]        # without options nothing has changed
    assert all(record["success"] == (record["accuracy"] == 1) for record in plain)
    monkeypatch.setattr(trials, "fit", lambda *args, **options: pytest.fail("trained"))
    assert trial(a_job(64, 3))["success"] is None


def test_a_sample_of_one_label_is_kept_too():
    record = trial(a_job(8, 1, ambiguous="keep", success=0.4))
    assert record["determined"] is False and record["accuracy"] is not None


def test_what_trains_by_starts():
    model, train = protocol.settings(a_job(task="parity", method="adam-starts"))
    assert model.block == "tf" and train == protocol.settings(a_job(task="parity", method="adam-starts", k=2))[1]
    assert (train.method, train.few, train.restarts, train.steps) == ("adam", 4000, None, None)
    train = protocol.settings(a_job(task="parity", method="adam-all-rows"))[1]
    assert (train.few, train.restarts, a_job(method="adam-all-rows")["limit"]) == (None, 8, None)
    record = trial(a_job(12, 600, task="parity", k=2, method="adam-starts"))
    assert record["success"] and record["support_exact"]


@pytest.mark.parametrize("options, message", [
    (dict(ambiguous="drop"), "^ambiguous: expected one of redraw, keep"), (dict(success=1.0), "^success: expected exact or a"),
    (dict(success=0), "^success: "), (dict(success="all"), "^success: "),
    (dict(success=0.9, method="screening"), "^success: expected exact with method screening, got 0.9")])
def test_bad_protocols(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        identity(**options)


def test_a_table_or_level_that_a_rule_lacks_is_refused():
    for options, message in ((dict(task="junta"), "^table: expected 8 labels for junta"),
                             (dict(task="threshold"), "^level: expected an integer from 1 to 3"),
                             (dict(level=1), "^level: expected nothing with and")):
        with pytest.raises(ValueError, match=message):
            identity(**options)
