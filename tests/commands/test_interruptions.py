"""Progress, interruption, closed pipes, full disks."""
import io
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from shells import ROOT, child, strictly

from minitf.commands import progress
from minitf.learn import Progress

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
    shown = re.findall(r"\rtraining: (\d+) of 100, loss (\d\.\d{4}), at most \d+ s left", terminal.getvalue())
    assert [int(step) for step, _ in shown] == list(range(1, 61)) and shown[-1][1] == "0.0167"
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
    assert process.returncode == 2 and "No space left" in err and "Traceback" not in err
