"""Sweeps: the data of a trial, the verdict, the design, and a file that survives kills, workers and interruptions."""
import concurrent.futures
import gzip
import importlib
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minitf import cli
from minitf.tasks.supports import consistent_supports
from minitf.lab import holdout as judge, journal, trial as trials, workers
from minitf.lab.sweep import adaptive, missing, sweep, table
from minitf.lab.trial import identity, RECORD, SNAPSHOTS, trial, yardstick
from minitf.tasks.rules import KINDS
from minitf.tasks.samples import sample_task

engine = importlib.import_module("minitf.lab.sweep")

ROOT = Path(__file__).resolve().parents[1]


def a_job(T=16, m=40, rep=0, **options):
    return identity(**options) | {"T": T, "m": m, "rep": rep}


def stripped(records):
    """Records without `seconds`, in order of their keys."""
    records = [{key: value for key, value in record.items() if key != "seconds"} for record in records]
    return sorted(records, key=lambda record: (record["T"], record["m"], record["rep"]))


class Here(concurrent.futures.Executor):
    """An executor without workers."""
    def submit(self, function, *args):
        future = concurrent.futures.Future()
        future.set_result(function(*args))
        return future


# A trial


def test_the_streams_of_a_job_are_those_documented_and_do_not_depend_on_m_or_the_method():
    job = a_job(seed=5, rep=3, noise=0.125, p=0.25)
    numbers = [KINDS.index("and"), 3, 16, 2 ** 30, 2 ** 29, 3]
    wanted = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(*numbers, 1, 7))).random()
    for change in ({}, {"m": 999}, {"method": "adam", "model": "mlp"}, {"limit": 3.0}):
        assert trials.stream(job | change, "sample", 7).random() == wanted
    draws = {trials.stream(job | change, use, 0).random() for use in trials.USES
             for change in ({}, {"rep": 4}, {"T": 17}, {"k": 2}, {"task": "or"}, {"p": 0.5}, {"noise": 0.0}, {"seed": 6})}
    assert len(draws) == 5 * 8


def test_training_sets_are_nested_and_the_first_that_one_support_explains():
    seen = set()
    for rep in range(6):
        by_attempt = {}
        for m in (4, 5, 7, 12):
            job = a_job(8, m, rep, k=2)
            task = sample_task(trials.stream(job, "support"), "and", 8, 2)
            X, y, attempt, determined = trials.training_set(job, task)
            for other in range(attempt + 1):
                H, labels = task.sample(trials.stream(job, "sample", other), m)
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


def test_the_verdict_is_that_of_a_fresh_count(monkeypatch):
    """The holdout is drawn anew here, and the trained model asked through its Result."""
    kept = []
    fit = trials.fit
    monkeypatch.setattr(trials, "fit", lambda *args, **options: kept.append(fit(*args, **options)) or kept[-1])
    for job in (a_job(32, 18, 1), a_job(16, 100, method="adam", model="gpt"), a_job(16, 60, method="adam", model="mlp")):
        record = trial(job)
        task = sample_task(trials.stream(job, "support"), "and", job["T"], 3)
        X, y = task.sample(trials.stream(job, "holdout"), 10_000)
        assert record["accuracy"] == (kept[-1].predict(X) == y).mean()
        assert record["success"] == (record["accuracy"] == 1)
        found = None if job["model"] == "mlp" else kept[-1].support(3) == task.support
        assert record["support_exact"] == found


def test_many_bounded_heads_are_asked_as_one_product():
    task = sample_task(np.random.default_rng(0), "and", 20, 3)
    X, y = task.sample(np.random.default_rng(1), 30)
    heads = []
    trials.fit(X, y, trials.settings(a_job(20))[0], callback=lambda state: heads.append(state.params.best()))
    heads, model = heads[::8], trials.settings(a_job(20))[0]
    fast = judge.labels_of(judge.predictors_of(heads, model), X)
    slow = np.array([trials.logits_of(head, X, model) > 0 for head in heads])
    assert len(heads) > 9 and (fast == slow).all() and 0 < slow.mean() < 1


def test_a_limit_ends_the_training_and_is_no_success():
    for method in ("pgd", "adam", "l1-logistic"):
        record = trial(a_job(64, 54, method=method, limit=1e-9))
        assert record["timeout"] is True and record["success"] is False and record["accuracy"] < 1
        assert record["steps"] == (None if method == "l1-logistic" else 1) and record["snapshots"] == []
    assert identity(method="adam")["limit"] == 20 and identity()["limit"] is None
    assert identity(method="adam", limit=math.inf)["limit"] is None


def test_screening_and_exact_search_succeed_by_their_support():
    for m in (12, 20, 40):
        for rep in range(4):
            job = a_job(16, m, rep, method="exact-search")
            record = trial(job)
            task = sample_task(trials.stream(job, "support"), "and", 16, 3)
            X, y = task.sample(trials.stream(job, "sample", 0), m)
            assert record["success"] == (consistent_supports(X, y, "and", 3) == [task.support])
            assert record["attempts"] == 1 and record["accuracy"] is None
    shares = [np.mean([trial(a_job(16, m, rep, method="screening"))["success"] for rep in range(10)]) for m in (12, 200)]
    assert shares[0] < 0.7 < shares[1] == 1


def test_the_ablations_change_what_they_say():
    model, train = trials.settings(a_job(method="pgd"))
    assert model.is_paper and (train.method, train.mirror, train.restarts) == ("pgd", True, 8)
    assert trials.settings(a_job(method="pgd-no-mirror"))[1].mirror is False
    assert trials.settings(a_job(method="pgd-no-restarts"))[1].restarts == 0
    assert trials.settings(a_job(method="adam"))[0].block == "tf" and trials.settings(a_job(method="adam"))[0].H == 16


def test_the_fourier_gap_of_parity_and_of_nothing():
    task = sample_task(np.random.default_rng(2), "parity", 9, 3)
    other = [t for t in range(9) if t not in task.support][:3]
    rng = np.random.default_rng(4)
    X = rng.integers(0, 2, (10_000, 9), dtype=np.uint8)
    predictors = [task.label, lambda X: X[:, other].sum(axis=1) % 2, lambda X: X[:, 0] & X[:, 1] | X[:, 5]]
    gaps = judge.fourier_gaps(predictors, task, np.random.default_rng(4))
    for predict, gap in zip(predictors, gaps):
        Y = 1 - 2.0 * predict(X)
        F = {S: abs((Y * (1 - 2.0 * (X[:, S].sum(axis=1) % 2))).mean()) for S in combinations(range(9), 3)}
        assert gap == pytest.approx(F.pop(task.support) - max(F.values()), abs=1e-6)
    assert gaps[0] > 0.9 and gaps[1] < -0.9


def test_competitors_are_drawn_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(judge, "SETS", 50)
    task = sample_task(np.random.default_rng(2), "parity", 30, 3)
    gap, = judge.fourier_gaps([task.label], task, np.random.default_rng(4))
    assert 0.9 < gap < 1


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


# The design


def asked(design, share):
    """Run a design against shares of success: {m: most trials asked for}, in the order of asking, and the rounds."""
    total, rounds, answer = {}, [], None
    while True:
        try:
            points = design.send(answer)
        except StopIteration:
            return total, rounds
        rounds.append(points)
        for m, n in points.items():
            total[m] = max(n, total.get(m, 0))
        answer = {m: share(m) for m in points}


@given(st.floats(1.2, 12), st.floats(0.3, 8), st.integers(10, 60))
def test_the_design_brackets_the_transition_with_all_repetitions(slope, place, base):
    def share(m):
        return 1 / (1 + math.exp(-slope * 4 * math.log(m / (place * base))))
    for options in ({}, {"first": 8, "stride": 4}):
        total, _ = asked(adaptive(base, 40, **options), share)
        full = sorted(m for m, n in total.items() if n == 40)
        assert set(total.values()) <= {5, 40} and share(full[-2]) >= 0.95
        assert share(full[0]) <= 0.5 or full[0] <= max(2, base * 2 ** (engine.LOWEST / 4) + 0.5)
        ratio = 2 ** 0.5 if options else 2 ** 0.25
        assert all(n <= ratio * m + 2 for m, n in zip(full, full[1:]))               # 2: both are rounded


def test_without_any_success_the_design_stops_at_the_cap_with_few_trials():
    total, rounds = asked(adaptive(40, 20, 300), lambda m: 0.0)
    assert max(total) == 300 and set(total.values()) == {5} and len(rounds) == len(total)
    total, _ = asked(adaptive(40, 20, 300), lambda m: 0.3 if m == 300 else 0.0)
    assert total[300] == 20 and max(total) == 300
    assert asked(adaptive(36, 3), lambda m: 1.0)[0] == {m: 3 for m in (18, 21, 25, 30, 36)}


def test_a_task_without_a_competitor_is_swept_too(tmp_path):
    records = sweep(tmp_path / "runs.jsonl", T=[3], reps=4, executor=Here())
    assert {record["m_star"] for record in records} == {0} and len({record["m"] for record in records}) > 2


@pytest.mark.parametrize("options, message", [
    (dict(T=16), "^T: expected at least one context length, got 16"), (dict(m=30), "^m: expected auto or at least one"),
    (dict(m=None), "^m: expected auto or"), (dict(T=[]), "^T: expected at least one"), (dict(m=["4"]), "^m: expected an int")])
def test_sizes_from_python_are_checked(tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sweep(tmp_path / "runs.jsonl", **options)
    assert not (tmp_path / "runs.jsonl").exists()


def test_adam_is_unconstrained_and_tuned_but_for_parity():
    model, train = trials.settings(a_job(method="adam", model="paper"))
    assert model.is_paper and (train.lr, train.weight_decay, train.restarts, train.steps) == (0.3, 0, 0, 2000)
    assert trials.settings(a_job(method="adam", task="majority"))[1].lr == 0.01
    assert trials.settings(a_job(method="adam", task="parity"))[1].lr is None
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


@settings(max_examples=25)
@given(st.data())
def test_a_design_resumed_from_any_of_its_trials_wants_the_rest(data):
    """Outcomes are a function of the trial; the file may hold any subset of the trials, in any order."""
    def outcome(key):
        return {"success": np.random.default_rng(key).random() < (key[1] / 60 - 0.3)}

    def whole(done):
        for lacking in missing(adaptive(36, 8), 64, done):
            assert lacking and not set(lacking) & set(done)
            done |= {key: outcome(key) for key in lacking}
        return done

    first = whole({})
    kept = data.draw(st.sets(st.sampled_from(sorted(first))))
    assert whole({key: first[key] for key in kept}) == first


def test_ambiguous_trials_count_for_no_share():
    done = {(9, m, rep): {"success": None if rep == 0 or m == 2 else rep == 1} for m in (2, 3) for rep in range(3)}
    shares = []

    def design():
        shares.append((yield {2: 3, 3: 3}))
    assert list(missing(design(), 9, done)) == [] and shares == [{2: 0, 3: 0.5}]


# The file


def test_a_sweep_is_the_same_for_any_workers_and_goes_on_where_it_was(tmp_path):
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    options = dict(T=[16, 12], method="screening", reps=6, seed=3)
    first = sweep(here, executor=Here(), **options)
    assert stripped(first) == stripped(journal.read(here)) and len(first) == len(here.read_text().splitlines()) > 20
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        assert stripped(sweep(there, executor=executor, **options)) == stripped(first)
    lines = here.read_bytes().splitlines(keepends=True)
    for cut in (0, 1, len(lines) // 2):
        here.write_bytes(b"".join(lines[:cut]) + lines[cut][:-20])
        counts = []
        again = sweep(here, executor=Here(), progress=lambda new, waiting: counts.append(len(new)), **options)
        assert stripped(again) == stripped(first) and counts == list(range(1, len(lines) - cut + 1))
    assert sweep(here, executor=None, **options)        # nothing to do: no worker is started
    grown = sweep(here, executor=Here(), **options | {"reps": 9, "T": [10, 16]})
    assert stripped(first)[-1] in stripped(grown) and {record["T"] for record in grown} == {10, 16}


def test_two_processes_find_what_one_finds(tmp_path):
    options = dict(T=[16], m=[12, 29], reps=3)
    first = sweep(tmp_path / "1.jsonl", executor=Here(), **options)
    before = dict(os.environ)
    assert stripped(sweep(tmp_path / "2.jsonl", jobs=2, **options)) == stripped(first)
    assert dict(os.environ) == before


def test_every_torn_end_is_cut_off_and_nothing_else(tmp_path):
    path, config = tmp_path / "runs.jsonl", identity()
    record = config | {"T": 16, "m": 3, "rep": 0}
    kept = journal.Journal(path, config)
    kept.append(record)
    kept.append(record | {"rep": 1})
    kept.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        count = 0 if end < first else 1 if end < len(whole) else 2
        assert len(journal.read(path)) == count and path.read_bytes() == whole[:end]
        again = journal.Journal(path, config)
        assert again.records == [record, record | {"rep": 1}][:count]
        again.append(record | {"rep": 2})
        again.close()
        assert journal.read(path)[count:] == [record | {"rep": 2}]


@pytest.mark.parametrize("data", [b"name,age\n", b"notes", b'{"a": 1}\n', b'{"protocol": 1, "T"\n', b"\x00\x01\n",
                                  b'{"protocol": 1}\n\n', b'{"protocol": 1}\nnotes', b"[1]\n",
                                  b'{"protocol": ' + b"[" * 10 ** 5 + b"\n"])
def test_a_foreign_or_damaged_file_is_refused_and_left_alone(tmp_path, data):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(data)
    for open_ in (journal.read, lambda path: journal.Journal(path, {})):
        with pytest.raises(ValueError, match="runs.jsonl: not a file of runs, or damaged"):
            open_(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("key, other", [("task", "or"), ("k", 2), ("p", 0.25), ("noise", 0.1), ("method", "screening"),
                                        ("model", "gpt"), ("seed", 1), ("limit", 3), ("protocol", 0)])
def test_a_file_of_another_identity_is_refused_by_name(tmp_path, key, other):
    path = tmp_path / "runs.jsonl"
    record = identity() | {key: other}
    path.write_text(json.dumps(record) + "\n")
    before = path.read_bytes()
    message = f"^out: expected a file of runs with {key} {identity()[key]}, got .*runs.jsonl with {key} {other}$"
    with pytest.raises(ValueError, match=message):
        sweep(path, T=[16], executor=Here())
    assert path.read_bytes() == before


def test_compressed_files_can_be_read(tmp_path):
    path = tmp_path / "runs.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"protocol": 1}\n'))
    assert journal.read(path) == [{"protocol": 1}]
    whole = path.read_bytes()
    for damaged in whole[:-4], whole[:12] + b"\xff" + whole[13:], whole[:-8] + bytes(8):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a file of runs"):
            journal.read(path)


def test_two_sweeps_cannot_write_one_file(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "runs.jsonl"
    first = journal.Journal(path, identity())
    with pytest.raises(ValueError, match="^out: expected a file that no other sweep is writing"):
        sweep(path, T=[16], executor=Here())
    first.close()
    journal.Journal(path, identity()).close()


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"
    kept = journal.Journal(path, {})
    kept.append({"protocol": 1})
    write = os.write
    monkeypatch.setattr(journal.os, "write", lambda file, data: write(file, data[:5]))
    with pytest.raises(OSError, match="disk is full"):
        kept.append({"protocol": 1})
    kept.close()
    assert path.read_text() == '{"protocol": 1}\n'


# Workers that die


class Fragile(Here):
    """An executor that breaks at the given calls of submit, at once or through the future."""
    def __init__(self, breaks):
        self.breaks = breaks

    def submit(self, function, *args):
        broken = self.breaks.pop(0) if self.breaks else None
        if broken == "submit":
            raise concurrent.futures.BrokenExecutor
        if broken == "future":
            future = concurrent.futures.Future()
            future.set_exception(concurrent.futures.BrokenExecutor())
            return future
        return super().submit(function, *args)


@pytest.mark.parametrize("breaks", [["future"], ["submit"], [None, "future", None, "submit"], ["future"] * 3])
def test_what_broken_executors_lose_is_handed_out_again(breaks):
    crew = workers.Crew(Fragile(breaks), lambda: Fragile(breaks))
    jobs = [a_job(16, 30, rep, method="screening") for rep in range(4)]
    for job in jobs:
        crew.submit(job)
    records = []
    while len(records) < 4:
        records += crew.finished()
    assert sorted(record["rep"] for record in records) == [0, 1, 2, 3] and not crew.jobs


def test_workers_that_always_die_end_the_sweep(tmp_path):
    crew = workers.Crew(Fragile(["future"] * 99), lambda: Fragile(["future"] * 99))
    crew.submit(a_job())
    with pytest.raises(RuntimeError, match="died 4 times in a row, now with pgd at T = 16, m = 40 "):
        while True:
            list(crew.finished())
    with pytest.raises(RuntimeError, match="died"):
        sweep(tmp_path / "runs.jsonl", T=[16], executor=Fragile(["future"]))


def test_a_killed_worker_loses_nothing(tmp_path):
    killed = []

    def kill_one(finished, waiting):
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()
    options = dict(T=[16], m=[20, 29], reps=8)
    records = sweep(tmp_path / "runs.jsonl", jobs=2, progress=kill_one, **options)
    killed[0].join(10)
    assert killed[0].exitcode == -signal.SIGKILL and len(journal.read(tmp_path / "runs.jsonl")) == 16
    assert stripped(records) == stripped(sweep(tmp_path / "here.jsonl", executor=Here(), **options))


@pytest.mark.slow
def test_a_dask_cluster_of_which_a_worker_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = dict(T=[16], m=[20, 29], reps=30)
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        pids = [nanny.pid for nanny in cluster.workers.values()]
        counts = []

        def kill_one(finished, waiting):
            counts.append(len(finished))
            if len(counts) == 5:
                os.kill(pids[0], signal.SIGKILL)
        records = sweep(tmp_path / "runs.jsonl", dask=cluster.scheduler_address, progress=kill_one, **options)
        assert pids[0] not in [nanny.pid for nanny in cluster.workers.values()]
    assert counts == list(range(1, 61)) and len(journal.read(tmp_path / "runs.jsonl")) == 60
    assert stripped(records) == stripped(sweep(tmp_path / "here.jsonl", executor=Here(), **options))


# The command


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("--T", 16) -> (exit code, stdout, stderr) of `minitf sweep`, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as end:
            cli.main(["sweep", *map(str, words)])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def child(folder, *words):
    command = [sys.executable, "-m", "minitf", "sweep", "--out", "runs.jsonl", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
                            start_new_session=True, **pipes)


def lines_of(path, n):
    """Wait until a file has n lines."""
    end = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < n:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_command_prints_a_table_or_json_and_repeats_nothing(run):
    words = ("--T", "16,12", "--m", "20,40", "--method", "screening", "--reps", 5, "--out", "runs.jsonl")
    code, out, err = run(*words)
    assert code == 0 and err == "" and "20 runs in runs.jsonl, 20 of them new" in out
    code, out, err = run(*words, "--json")
    summary = json.loads(out)
    assert code == 0 and err == "" and summary["runs"] == 20 and summary["new"] == 0
    assert [(row["T"], row["m"]) for row in summary["points"]] == [(12, 20), (12, 40), (16, 20), (16, 40)]
    records = journal.read("runs.jsonl")
    for row in summary["points"]:
        own = [record for record in records if (record["T"], record["m"]) == (row["T"], row["m"])]
        assert row["runs"] == len(own) == 5 and row["successes"] == sum(record["success"] for record in own)
        assert row["redrawn"] == sum(record["attempts"] - 1 for record in own)


def test_the_table_counts_ambiguous_trials_and_timeouts_apart():
    records = [trial(a_job(64, 3)), trial(a_job(64, 54, limit=1e-9)), trial(a_job(64, 54))]
    first, second = table(records)
    assert first == {"T": 64, "m": 3, "runs": 1, "successes": 0, "ambiguous": 1, "timeouts": 0, "redrawn": 0, "share": None}
    assert second["share"] == 0.5 and second["timeouts"] == 1 and second["ambiguous"] == 0


@pytest.mark.parametrize("words, message", [
    (["--T", "16,x"], "'--T': expected positive integers as in 16,64,256, got '16,x'"),
    (["--T", "auto"], "'--T': expected positive integers as in 16,64,256, got 'auto'"),
    (["--m", "0"], "'--m': expected positive integers"),
    (["--T", "2"], "--T: expected at least k = 3, got 2"),
    (["--k", "0"], "--k: expected an integer >= 1, got 0"),
    (["--reps", "0"], "--reps: expected an integer >= 1, got 0"),
    (["--jobs", "0"], "--jobs: expected an integer from 1 to 1024, got 0"),
    (["--seed", "-1"], "--seed: expected an integer >= 0, got -1"),
    (["--p", "1"], "--p: expected a probability above 0 and below 1, got 1.0"),
    (["--noise", "0.5"], "--noise: expected a flip rate from 0 to below 0.5, got 0.5"),
    (["--limit", "0"], "--limit: expected a number > 0, got 0.0"),
    (["--limit", "nan"], "--limit: expected a number > 0, got nan"),
    (["--model", "gpt"], "--model: expected paper with method pgd, got 'gpt'"),
    (["--model", "gpt", "--method", "screening"], "--model: expected none with method screening, got 'gpt'"),
    (["--T", "1000000", "--m", "2000"], "--m: expected at most 1073 examples of 1000000 bits"),
    (["--T", "100000", "--method", "adam"], "--T: expected at most 32768 with model scalar"),
    (["--T", "100000", "--method", "exact-search", "--task", "parity"], "--T: expected a task small enough for exact"),
    (["--noise", "0.1", "--method", "exact-search"], "--noise: expected 0 with method exact-search, got 0.1"),
    (["--out", "no/runs.jsonl"], "no/runs.jsonl: no such directory"),
    (["--out", "."], ".: is a directory"),
])
def test_bad_input_is_one_line_before_any_work(run, monkeypatch, words, message):
    monkeypatch.setattr(engine, "run", lambda *args: pytest.fail("work had begun"))
    code, out, err = run("--out", "runs.jsonl", *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("Error: ") and message in err
    assert not os.path.exists("runs.jsonl")


def test_a_cluster_that_does_not_answer_is_one_line(run, monkeypatch):
    distributed = pytest.importorskip("distributed")

    def refuse(address, timeout):
        raise OSError(f"Timed out trying to connect to {address}")
    monkeypatch.setattr(distributed, "Client", refuse)
    code, out, err = run("--out", "runs.jsonl", "--dask", "nowhere:1")
    assert (code, out, err) == (2, "", "Error: Timed out trying to connect to nowhere:1\n")


def test_workers_that_keep_dying_are_one_line(run, monkeypatch):
    monkeypatch.setattr(workers, "Processes", lambda *args: Fragile([None, None] + ["future"] * 99))
    monkeypatch.setattr(workers.Crew, "__init__", lambda self, executor, renew: vars(self).update(
        executor=executor, renew=None, jobs={}, breakdowns=0))
    code, out, err = run("--out", "runs.jsonl", "--T", 16, "--m", 30, "--method", "screening")
    assert code == 2 and "the workers died" in err and "2 finished runs are kept in runs.jsonl" in err
    assert err.count("\n") == 1 and len(journal.read("runs.jsonl")) == 2


def test_killed_and_started_again_it_repeats_nothing_and_leaves_no_worker(tmp_path):
    words = ("--T", 16, "--m", "20,29,40", "--reps", 10, "--jobs", 2)
    process = child(tmp_path, *words)
    lines_of(tmp_path / "runs.jsonl", 3)
    process.kill()
    process.communicate(timeout=20)             # the pipes close once the workers, who have them too, have ended
    kept = journal.read(tmp_path / "runs.jsonl")
    again = child(tmp_path, *words, "--json")
    summary = json.loads(again.communicate(timeout=60)[0])
    assert 3 <= len(kept) < 30 and summary["runs"] == 30 and summary["new"] == 30 - len(kept)
    records = sweep(tmp_path / "here.jsonl", T=[16], m=[20, 29, 40], reps=10, executor=Here())
    assert stripped(journal.read(tmp_path / "runs.jsonl")) == stripped(records)


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3])
def test_ctrl_c_while_the_workers_start_is_one_line(tmp_path, seconds):
    process = child(tmp_path, "--T", 16, "--m", 40, "--reps", 40, "--jobs", 2)
    lines_of(tmp_path / "runs.jsonl", 0)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)                               # as a terminal does: to the workers, too
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err.lstrip().startswith("interrupted: ") and err.strip().count("\n") == 0, err


def test_ctrl_c_says_what_was_kept(tmp_path):
    process = child(tmp_path, "--T", 16, "--m", "20,29,40", "--reps", 40, "--jobs", 2)
    lines_of(tmp_path / "runs.jsonl", 3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    n = len(journal.read(tmp_path / "runs.jsonl"))
    assert process.returncode == 130 and out == "" and time.monotonic() - start < 5
    assert err.lstrip() in [f"interrupted: {k} finished runs are kept in runs.jsonl, the same command goes on\n" for k in (n, n - 1)]
