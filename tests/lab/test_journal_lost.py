"""A journal that something else removes, replaces or changes while a sweep writes it; workers that are not to be had."""
import json
import os
from pathlib import Path

import pytest
from shells import one_line
from sweeps import Here, stripped

from minitf.files import stop
from minitf.lab import journal, sweep, workers
from minitf.lab.protocol import identity

OPTIONS = {"T": [12], "m": [16, 20], "method": "screening", "reps": 6}
WORDS = "sweep --T 12 --m 16,20 --method screening --reps 6 --out runs.jsonl".split()


def at(run_number, act):
    """A progress that acts once so many runs are done."""
    def progress(finished, waiting):
        if len(finished) == run_number:
            act()
    return progress


def touched(path):
    """What may happen to a file: {name: function}."""
    def cut():
        path.write_bytes(path.read_bytes()[:-7])

    def replaced():
        other = path.with_suffix(".other")
        other.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
        other.replace(path)

    return {"removed": path.unlink, "emptied": lambda: path.write_text(""), "cut": cut, "replaced": replaced,
            "renamed": lambda: path.rename(path.with_suffix(".away"))}


def test_a_second_interruption_knows_of_the_runs(tmp_path):
    """It ends the process at once, with what `stop` has to say."""
    with stop:
        assert stop.said() == "nothing was written"
        sweep(tmp_path / "runs.jsonl", executor=Here(), **OPTIONS)
        assert stop.said() == f"written {tmp_path / 'runs.jsonl'}"


@pytest.mark.every(4)
@pytest.mark.parametrize("run_number", [1, 5, 11, 12])
@pytest.mark.parametrize("what", touched(Path("runs.jsonl")))
def test_what_the_file_lacks_is_written_again(tmp_path, what, run_number):
    path = tmp_path / "runs.jsonl"
    undisturbed = sweep(tmp_path / "whole.jsonl", executor=Here(), **OPTIONS)
    records = sweep(path, executor=Here(), progress=at(run_number, touched(path)[what]), **OPTIONS)
    assert stripped(journal.read(path)) == stripped(records) == stripped(undisturbed)
    assert sweep(path, executor=Here(), progress=lambda *args: pytest.fail("a run again"), **OPTIONS)


def test_another_kind_of_file_in_its_place_ends_the_sweep(run, tmp_path, monkeypatch):
    path, real = tmp_path / "runs.jsonl", journal.Journal.append
    other = {"notes": "dear diary\n", "identity": json.dumps(identity("or")) + '\n'}
    monkeypatch.setattr(workers, "Processes", lambda *args: Here())

    for text in other.values():
        def append(self, record, text=text, done=[]):     # noqa: B006 (it counts)
            real(self, record)
            done.append(record)
            if len(done) == 3:
                path.unlink()
                path.write_text(text)

        monkeypatch.setattr(journal.Journal, "append", append)
        one_line(run(*WORDS), "runs.jsonl: not a file of runs, or damaged|out: expected a file of runs with task and")
        assert path.read_text() == text
        path.unlink()


def test_a_run_that_contradicts_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl"

    def contradict():
        first, *rest = map(json.loads, path.read_text().splitlines())
        path.unlink()
        path.write_text(json.dumps(first | {"success": not first["success"]}) + "\n")

    with pytest.raises(ValueError, match="runs.jsonl, a run of this sweep: expected every run once, got that of .*line 1 again"):
        sweep(path, executor=Here(), progress=at(4, contradict), **OPTIONS)


def test_a_folder_that_is_gone_is_one_line(run, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    real = journal.Journal.append

    def append(self, record):
        real(self, record)
        os.unlink("folder/runs.jsonl")
        os.rmdir("folder")

    monkeypatch.setattr(journal.Journal, "append", append)
    monkeypatch.setattr(workers, "Processes", lambda *args: Here())
    one_line(run(*WORDS[:-1], "folder/runs.jsonl"), "^Error: folder/runs.jsonl: No such file or directory$")


@pytest.mark.parametrize("where", ["Pipe", "ProcessPoolExecutor", "submit"])
def test_no_workers_to_be_had_is_one_line(run, monkeypatch, tmp_path, where):
    def none(*args, **options):
        raise OSError(24, "Too many open files")

    if where == "Pipe":
        monkeypatch.setattr(workers.multiprocessing.get_context("spawn").__class__, "Pipe", none)
    else:
        name = {"submit": "submit", "ProcessPoolExecutor": "__init__"}[where]
        monkeypatch.setattr(workers.ProcessPoolExecutor, name, none)
    one_line(run(*WORDS), "^Error: jobs: expected 1 worker processes, got none: Too many open files$")
