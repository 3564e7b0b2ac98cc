"""Thousands of command lines: no traceback, no long message, no exit code that lies."""
import os
import resource
import subprocess
import sys
from collections import Counter

import pytest
from fuzz.lines import Bench, drawn, faults, files_of, state
from shells import ROOT

from minitf.commands import commands


def found_in(lines, bench):
    """{line: its faults}, and how often each exit code came."""
    wrong, codes = {}, Counter()
    for words in lines:
        end = bench.end(words)
        codes[end[0]] += 1
        if bad := list(faults(words, end, bench.before, state(bench.folder))):
            wrong[repr(words)[:300]] = bad, end[2][-600:]
    return wrong, codes


@pytest.mark.parametrize("seed, n", [(0, 300), pytest.param(1, 5000, marks=pytest.mark.slow)])
def test_no_command_line_ends_in_a_lie(tmp_path, monkeypatch, seed, n):
    bench = Bench(tmp_path, 0.05, monkeypatch)
    wrong, codes = found_in(drawn(seed, n), bench)
    print(f"{n} lines: exit codes {dict(codes)}, {bench.stopped} stopped by Ctrl-C, {len(wrong)} with faults")
    assert not wrong
    assert codes[0] > n / 20 and codes[2] > n / 5 and codes[130]


def test_every_command_and_option_is_tried():
    lines = drawn(0, 5000)
    for name in commands.summaries:
        own = [words for words in lines if name in words]
        options = {option for param in commands.get_command(None, name).params for option in param.opts if option[:1] == "-"}
        assert not {option for option in options if not any(option in words for words in own)}


@pytest.mark.slow
def test_processes_end_as_the_lines_do_here(tmp_path, monkeypatch):
    """200 lines that were not stopped here, as processes within 4 GB: the same exit code, no traceback."""
    (tmp_path / "here").mkdir()
    bench, wrong, done = Bench(tmp_path / "here", 0.05, monkeypatch), {}, 0
    for words in drawn(2, 2000):
        folder = tmp_path / str(done)
        stopped, here = bench.stopped, bench.end(words)
        if bench.stopped > stopped or words[:1] in (["bench"], ["sweep"]):
            continue
        folder.mkdir()
        files_of(folder)
        before = state(folder)
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8:strict"}
        process = subprocess.run([sys.executable, "-m", "minitf", *words], cwd=folder, env=env, capture_output=True, timeout=120,
                                 input=b"a,y\n0,1\n1,0\n", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32)))
        end = process.returncode, *(text.decode("utf-8", "surrogateescape") for text in (process.stdout, process.stderr))
        bad = list(faults(words, end, before, state(folder))) + ["another exit code"] * (end[0] != here[0])
        if bad:
            wrong[repr(words)[:300]] = bad, here[0], end[0], end[2][-600:]
        done += 1
        if done == 200:
            break
    assert not wrong and done == 200


def test_the_checks_of_an_end_can_fail(tmp_path):
    files_of(tmp_path)
    before = state(tmp_path)
    new = before | {tmp_path / "new.npz": b"x"}
    part = before | {tmp_path / ".minitf-1.part": b""}
    learn, save = ["learn"], ["learn", "--save", "new.npz"]
    for words, end, after in [
        (learn, (3, "", "Traceback"), before), (learn, (-2, "", ""), before), (learn, (2, "", ""), before), (learn, (2, "", "Error: "), before),
        (learn, (2, "", "Error: " + "x" * 300), before), (learn, (0, "", ""), before), (learn, (0, "\x1b[31m", ""), before),
        (learn, (0, "fine", ""), part), (save, (0, "fine", ""), before), (learn, (0, "Written    new.npz\n", ""), before),
        (["learn", "--json"], (0, '{"a": NaN}', ""), before), (save, (130, "", "interrupted: nothing was written"), new),
        (save, (130, "", "interrupted: written new.npz"), before), (save, (130, "", ""), before),
        (learn, (0, "fine", ""), {path: b"" for path in before})]:
        assert list(faults(words, end, before, after)), (words, end)
    assert not list(faults(save, (0, "Written    new.npz\n", ""), before, new))
    assert not list(faults(save, (130, "", "interrupted: nothing was written"), before, before))
