"""Progress, interruption, closed pipes, full disks."""
import io
import os
import re
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from shells import ROOT, child, one_line, strictly
from sweeps import invent

from minitf import files
from minitf.commands import progress
from minitf.learn import Progress
from minitf.theory import rademacher_table

# Progress, interruption, pipes

def test_a_bar_appears_on_stderr_only_when_training_takes_long(run, monkeypatch):
    code, out, err = run("learn", "--json", "--T", 16)
    assert err == ""
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    late = run("learn", "--json", "--T", 16)
    assert late[0] == code and strictly(late[1]) | {"seconds": 0} == strictly(out) | {"seconds": 0}
    assert re.fullmatch(r"training: 1 of .*\nfresh examples: \d+ of 10000, .*\n", late[2])    # now and then


def test_the_line_follows_the_steps_and_the_loss(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setattr(progress, "EVERY", (-1.0, 30.0))
    with progress.progress(("training", 100), ("counting", 4)) as (training, counting):
        for step in range(1, 61):
            training(Progress(step, 1 / step, None))
        counting(Progress(3, None, None))
    shown = re.findall(r"\rtraining: (\d+) of 100, loss (\d\.\d{4})(, at most \d+ s left)?", terminal.getvalue())
    assert [int(step) for step, *_ in shown] == list(range(1, 61)) and shown[-1][1] == "0.0167"
    assert [bool(left) for *_, left in shown] == [False] * 9 + [True] * 51         # a guess from a tenth on
    assert re.search(r"\n\rcounting: 3 of 4, at most 0 s left +\n$", terminal.getvalue())
    assert training.seconds > 0 and counting.seconds > 0


def test_an_interruption_of_training_leaves_nothing(tmp_path):
    code = """if True:
        import signal
        from minitf import cli
        from minitf.commands import progress
        signal.signal(signal.SIGINT, signal.default_int_handler)        # also where the parent ignores Ctrl-C
        progress.PATIENCE = 0
        cli.main("learn --task parity --k 5 --T 64 --m 2000 --steps 100000 --save model.npz".split())
    """
    process = child(code=code, cwd=tmp_path)
    try:
        assert process.stderr.readline().startswith("training: ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130 and out == ""
    assert err.split("\n")[-2] == "interrupted: nothing was written" and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_of_writing_leaves_nothing(run, monkeypatch, tmp_path):
    def savez(file, **arrays):
        file.write(b"half of a model")
        raise KeyboardInterrupt

    (tmp_path / "model.npz").write_text("an older model")
    monkeypatch.setattr(np, "savez", savez)
    code, out, err = run("learn", "--T", 16, "--save", "model.npz")
    assert code == 130 and out == "" and err.strip() == "interrupted: nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    assert (tmp_path / "model.npz").read_text() == "an older model"


@pytest.mark.parametrize("words, code", [("--T 16", 0), ("--m 8 --T 256 --seed 1", 1)])
def test_a_reader_that_has_left_changes_no_verdict(words, code):
    process = child("learn", *words.split())
    process.stdout.close()                      # as in: minitf learn | true
    assert process.stderr.read() == "" and process.wait(timeout=20) == code


def test_a_code_page_without_a_letter_breaks_no_report(tmp_path):
    rows = [[i >> j & 1 for j in range(6)] for i in range(64)] * 2
    lines = ["\u03b2,b,c,d,e,f,y", *(",".join(map(str, [*row, row[0]])) for row in rows)]
    (tmp_path / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "minitf", "learn", "--data", "data.csv"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stderr == b"" and b"\ny = ?   (" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        process = child("learn", "--T", "16", stdout=full)
        err = process.communicate(timeout=20)[1]
    assert process.returncode == 2 and err.endswith("Error: stdout: No space left on device\n") and "Traceback" not in err


# Two outputs: both or none, and what is said of them is so

TWO = {"learn --T 8 --k 1 --save model.npz --plot f.svg": ["f.svg", "model.npz"],
       "construct --T 8 --k 1 --save model.npz --plot f.svg": ["f.svg", "model.npz"],
       "bound --k 1 --T 2,4 --plot f.svg --csv t.csv": ["f.svg", "t.csv"], "plot old.jsonl -o f.svg --csv t.csv": ["f.svg", "t.csv"]}


@pytest.fixture
def short(monkeypatch):
    """A figure of bounds in a second."""
    monkeypatch.setattr("minitf.commands.bound.rademacher_table", partial(rademacher_table, lengths=[16, 32], signs=2))


TWICE = pytest.mark.parametrize("words", [
    pytest.param(words, id=words.split()[0], marks=[pytest.mark.slow] * words.startswith(("bound", "plot"))) for words in TWO])


def pressed_at(monkeypatch, name, call, after):
    """Ctrl-C at a call (counted from 1) of a function of os, before it or after."""
    real, calls = getattr(os, name), []

    def pressed(*args):
        calls.append(args)
        if len(calls) == call and not after:
            signal.raise_signal(signal.SIGINT)
        result = real(*args)
        if len(calls) == call and after:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(files.os, name, pressed)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)     # also where Ctrl-C is ignored


@pytest.mark.every(2)
@TWICE
def test_ctrl_c_between_two_outputs_leaves_none_of_them(run, short, monkeypatch, tmp_path, words):
    invent(tmp_path / "old.jsonl", T=(16, 64), m=(10, 12), reps=2)
    before = sorted(path.name for path in tmp_path.iterdir())
    for call, after in (1, True), (2, False):           # the first is whole, the second not
        with monkeypatch.context() as patch:
            pressed_at(patch, "fsync", call, after)
            code, out, err = run(*words.split())
        assert (code, out, err.splitlines()[-1]) == (130, "", "interrupted: nothing was written")
        assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.every(5)
@TWICE
@pytest.mark.parametrize("call, after", [(1, False), (1, True), (2, False), (2, True)])
def test_ctrl_c_at_the_rename_says_what_is_written(run, short, monkeypatch, tmp_path, words, call, after):
    invent(tmp_path / "old.jsonl", T=(16, 64), m=(10, 12), reps=2)
    pressed_at(monkeypatch, "replace", call, after)
    code, out, err = run(*words.split())
    assert (code, out, err.splitlines()[-1]) == (130, "", f"interrupted: written {', '.join(TWO[words])}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*TWO[words], "old.jsonl"])


def test_ctrl_c_at_a_rename_in_python_leaves_the_new_file_or_the_old(tmp_path, monkeypatch):
    real = os.replace
    for interrupt in (lambda *names: 1 / 0, lambda *names: real(*names) or 1 / 0):
        (tmp_path / "file").write_text("old")
        monkeypatch.setattr(files.os, "replace", interrupt)
        with pytest.raises(ZeroDivisionError):
            files.write_whole(tmp_path / "file", lambda file: file.write(b"new"))
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_full_disk_names_the_file(run, monkeypatch, tmp_path, name):
    def full(*args):
        raise OSError(28, "No space left on device", *map(str, args[:1] if name == "replace" else ()))

    monkeypatch.setattr(files.os, name, full)
    one_line(run("learn", "--T", 8, "--k", 1, "--save", "model.npz"), "^Error: model.npz: No space left on device$")
    assert not list(tmp_path.iterdir())


def test_what_ctrl_c_becomes_on_its_way_is_an_interruption_still(run, monkeypatch):
    """A library may turn it into an error of its own: matplotlib's affine_transform into a TypeError."""
    def turned(*args, **options):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise TypeError("incompatible function arguments") from None

    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    monkeypatch.setattr("minitf.trust.explain.explain", turned)
    assert run("explain") == (130, "", "interrupted: nothing was written\n")
    assert run("explain", "--nonsense")[0] == 2          # and the next command is judged by itself
