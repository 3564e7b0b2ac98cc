"""The command `sweep`: table, JSON, bad input, Ctrl-C, kills."""
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import Fragile, Here, a_job, stripped

from minitf.lab import journal, workers
from minitf.lab.sweep import sweep, table
from minitf.lab.trial import trial

engine = importlib.import_module("minitf.lab.sweep")
trials = importlib.import_module("minitf.lab.trial")

ROOT = Path(__file__).resolve().parents[2]


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
    code, out, err = run("sweep", *words)
    assert code == 0 and "20 runs in runs.jsonl, 20 of them new" in out
    code, out, err = run("sweep", *words, "--json")
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
    (["--reps", "0"], "--reps: expected an integer from 1 to 250000, got 0"),
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
    (["--task", "majority", "--method", "scomp"], "--task: expected and, or with method scomp, got 'majority'"),
    (["--out", "no/runs.jsonl"], "no/runs.jsonl: no such directory"),
    (["--out", "."], ".: is a directory"),
])
def test_bad_input_is_one_line_before_any_work(run, monkeypatch, words, message):
    monkeypatch.setattr(engine, "run", lambda *args: pytest.fail("work had begun"))
    code, out, err = run("sweep", "--out", "runs.jsonl", *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("Error: ") and message in err
    assert not os.path.exists("runs.jsonl")


def test_a_cluster_that_does_not_answer_is_one_line(run, monkeypatch):
    distributed = pytest.importorskip("distributed")

    def refuse(address, timeout):
        raise OSError(f"Timed out trying to connect to {address}")
    monkeypatch.setattr(distributed, "Client", refuse)
    code, out, err = run("sweep", "--out", "runs.jsonl", "--dask", "nowhere:1")
    assert (code, out, err) == (2, "", "Error: Timed out trying to connect to nowhere:1\n")


def test_workers_that_keep_dying_are_one_line(run, monkeypatch):
    monkeypatch.setattr(workers, "Processes", lambda *args: Fragile([None, None] + ["future"] * 99))
    begin = workers.Crew.__init__
    monkeypatch.setattr(workers.Crew, "__init__", lambda self, executor, renew: begin(self, executor))
    code, out, err = run("sweep", "--out", "runs.jsonl", "--T", 16, "--m", 30, "--method", "screening")
    assert code == 2 and "the workers died" in err and "2 finished runs are kept in runs.jsonl" in err
    assert err.count("\n") == 1 and len(journal.read("runs.jsonl")) == 2


@pytest.mark.slow
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


@pytest.mark.every(3)
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
    assert err.splitlines()[-1] == f"interrupted: {n} finished runs are kept in runs.jsonl, the same command goes on"
