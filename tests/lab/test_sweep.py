"""Sweeps: the design, and a file that survives kills, workers and interruptions."""
import concurrent.futures
import gzip
import importlib
import json
import math
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import Fragile, Here, a_job, stripped

from minitf.lab import journal, workers
from minitf.lab.protocol import identity
from minitf.lab.sweep import adaptive, missing, sweep

engine = importlib.import_module("minitf.lab.sweep")
trials = importlib.import_module("minitf.lab.trial")

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.slow
def test_a_task_without_a_competitor_is_swept_too(tmp_path):
    records = sweep(tmp_path / "runs.jsonl", T=[3], reps=4, executor=Here())
    assert {record["m_star"] for record in records} == {0} and len({record["m"] for record in records}) > 2


@pytest.mark.parametrize("options, message", [
    (dict(T=16), "^T: expected a list, got 16"), (dict(m=30), "^m: expected a list"),
    (dict(m=None), "^m: expected a list"), (dict(T=[]), "^T: expected at least one"), (dict(m=["4"]), "^m: expected an int")])
def test_sizes_from_python_are_checked(tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sweep(tmp_path / "runs.jsonl", **options)
    assert not (tmp_path / "runs.jsonl").exists()


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
        count = 0 if end < first - 1 else 1 if end < len(whole) - 1 else 2      # the end of the line may lack
        assert len(journal.read(path)) == count and path.read_bytes() == whole[:end]
        again = journal.Journal(path, config)
        assert again.records == [record, record | {"rep": 1}][:count]
        again.append(record | {"rep": 2})
        again.close()
        assert journal.read(path)[count:] == [record | {"rep": 2}]


@pytest.mark.parametrize("data", [b"name,age\n", b"notes", b'{"a": 1}\n', b'{"protocol": 1, "T"\n', b"\x00\x01\n",
                                  b'{"protocol": 1}\nnotes', b"[1]\n", b'{"protocol": 1}{"protocol": 1}\n',
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


def test_protocols_do_not_mix_in_a_file(tmp_path):
    """Neither way: a key that a file lacks has its usual value."""
    path, options = tmp_path / "runs.jsonl", dict(T=[8], m=[6], reps=1, executor=Here())
    for mine, other, words in (({"ambiguous": "keep"}, {}, "ambiguous redraw, got .* with ambiguous keep$"),
                               ({}, {"ambiguous": "keep"}, "ambiguous keep, got .* with ambiguous redraw$"),
                               ({"success": 0.9}, {"success": 0.8}, "rate 0.8, got .* with rate 0.9$"),
                               ({"success": 0.9}, {}, "rate exact, got .* with rate 0.9$")):
        path.unlink(missing_ok=True)
        sweep(path, **options, **mine)
        with pytest.raises(ValueError, match=f"^out: expected a file of runs with {words}"):
            sweep(path, **options, **other)
        assert len(sweep(path, **options, **mine)) == 1


def test_any_json_lines_of_runs_are_read(tmp_path):
    records = [{"protocol": 1, "task": "and", "m": m} for m in range(3)]
    path = tmp_path / "runs.jsonl"
    for write in (lambda r: json.dumps(r, separators=(",", ":")), lambda r: json.dumps(r, sort_keys=True),
                  lambda r: json.dumps(r) + "\r", lambda r: "  " + json.dumps(r) + " \n"):
        path.write_text("\n".join(map(write, records)) + "\n\n")
        assert journal.read(path) == records
    path.write_text("\n".join(map(json.dumps, records)))                   # no end of the last line
    kept = journal.Journal(path, {"protocol": 1})
    kept.append(records[0])
    kept.close()
    assert journal.read(path) == [*records, records[0]]


def test_a_compressed_journal_is_refused_clearly(tmp_path):
    with pytest.raises(ValueError, match=r"^out: expected a name without \.gz \(compress it when it is whole"):
        sweep(tmp_path / "runs.jsonl.gz", T=[16], executor=Here())
    assert not list(tmp_path.iterdir())
    packed = tmp_path / "runs.jsonl"
    packed.write_bytes(before := gzip.compress(b'{"protocol": 1}\n'))
    with pytest.raises(ValueError, match="^out: expected a file that is not compressed"):
        sweep(packed, T=[16], executor=Here())
    assert packed.read_bytes() == before


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.warns(UserWarning, match="runs.jsonl: its file system has no locks"):
        journal.Journal(tmp_path / "runs.jsonl", identity()).close()


def test_compressed_files_can_be_read(tmp_path):
    path = tmp_path / "runs.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"protocol": 1}\n'))
    assert journal.read(path) == [{"protocol": 1}]
    whole = path.read_bytes()
    for damaged in whole[:-4], whole[:12] + b"\xff" + whole[13:], whole[:-8] + bytes(8):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"runs.jsonl.gz: expected a whole \.gz file, got a damaged one"):
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


@pytest.mark.slow
def test_an_interruption_at_any_moment_leaves_no_future_locked():
    """The executor's own thread needs their locks to end."""
    class Never(Here):
        def submit(self, function, *args):
            return concurrent.futures.Future()

    def interrupt(*_):
        raise KeyboardInterrupt

    crew = workers.Crew(Never())
    for rep in range(200):
        crew.submit(a_job(rep=rep))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(15):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + i % 30))
                list(crew.finished())
            looking = threading.Thread(target=lambda: [future.running() for future in crew.jobs], daemon=True)
            looking.start()
            looking.join(10)
            assert not looking.is_alive()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_workers_that_always_die_end_the_sweep(tmp_path):
    crew = workers.Crew(Fragile(["future"] * 99), lambda: Fragile(["future"] * 99))
    crew.submit(a_job())
    with pytest.raises(RuntimeError, match="died 4 times in a row, now with pgd at T = 16, m = 40 "):
        while True:
            list(crew.finished())
    with pytest.raises(RuntimeError, match="died"):
        sweep(tmp_path / "runs.jsonl", T=[16], executor=Fragile(["future"]))


@pytest.mark.slow
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
