"""Ctrl-C and SIGTERM at any moment: nothing is lost, nothing is claimed that is not there.

SIGNALS=300 python -m pytest -m slow tests/fuzz/test_signals.py sends so many; half of them at a random moment of the run, half
from the moment on at which the first file is being written.
"""
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from shells import ROOT
from sweeps import Here, invent, stripped

from minitf import load
from minitf.lab import journal, sweep

SWEEP = {"T": [12], "m": [16, 20], "method": "screening", "reps": 10}
RUNS = {                # words -> the files that they write
    "learn --T 6 --k 1 --m 12 --steps 3 --save model.npz --plot f.svg": ["f.svg", "model.npz"],
    "construct --T 8 --k 1 --save model.npz --plot f.svg": ["f.svg", "model.npz"],
    "plot old.jsonl -o f.svg --csv table.csv": ["f.svg", "table.csv"],
    "explain --html page.html": ["page.html"], "learn --T 6 --k 1 --m 12 --steps 3 --save model.npz": ["model.npz"],
    "sweep --T 12 --m 16,20 --method screening --reps 10 --out runs.jsonl": ["runs.jsonl"]}
ENDS = {"model.npz": lambda path: load(path), "f.svg": lambda path: path.read_text().index("</svg>"),
        "table.csv": lambda path: path.read_text().index("\nand,3,0.79"),
        "page.html": lambda path: path.read_text().index("</html>")}


def started(words, folder):
    """A process in which Ctrl-C counts, also where this one was started in the background."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "minitf", *words.split()], cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))


def wait_for_a_file(process, folder):
    """Until something is being written, or all is over."""
    while process.poll() is None:
        if any(path.suffix == ".part" or path.name == "runs.jsonl" for path in folder.iterdir()):
            return
        time.sleep(0.0005)


def whole(folder, names, old):
    """Which of the files are new and whole; the others are as they were."""
    new = []
    for name in names:
        path = folder / name
        if path.exists() and not (old and path.read_text(errors="replace") == "old"):
            ENDS[name](path)
            new.append(name)
        else:
            assert path.exists() == old
    return new


def judge(words, names, folder, process, number, old):
    """What is wrong after a signal, as a sentence, or None."""
    out, err = process.communicate(timeout=120)
    code, last = process.returncode, (err.strip().splitlines() or [""])[-1]
    if any(path.suffix == ".part" for path in folder.iterdir()) and code != -signal.SIGTERM:
        return f"a temporary file is left: {err}"
    starting = code == -signal.SIGINT and "in main" not in err or "Could not import runpy module" in err
    if code == -signal.SIGTERM or starting:                                             # of Python itself
        return None if names == ["runs.jsonl"] or not whole(folder, names, old) else "ended by the signal, yet written"
    if "Traceback" in err or code not in (0, 1, 128 + number):
        return f"code {code}: {err[-1500:]}"
    if names == ["runs.jsonl"]:
        return judge_runs(folder, code, last)
    new = whole(folder, names, old)
    if new not in ([], names):
        return f"{new} alone: {err}"
    said = {0: names, 1: names}.get(code, names if all(name in last for name in names) else [] if "nothing was written" in last else None)
    return None if said == new else f"code {code}, said {last!r} of {new}"


def judge_runs(folder, code, last):
    path = folder / "runs.jsonl"
    kept = journal.read(path) if path.exists() else []
    if code == 0 and len(kept) < 20 or code and len(kept) != (int(last.split()[1]) if "finished runs are kept" in last else 0):
        return f"code {code}, said {last!r} of {len(kept)} runs"
    sweep(path, executor=Here(), k=3, **SWEEP)
    fine = stripped(journal.read(path)) == stripped(sweep(folder / "undisturbed.jsonl", executor=Here(), k=3, **SWEEP))
    return None if fine else "not the undisturbed sweep"


def one(i, rng, lasts, folder):
    """The fault of one signal, or None, and the exit code; lasts: seconds that the command takes undisturbed."""
    words, names = list(RUNS.items())[i % len(RUNS)]
    old = i % 4 > 1 and "sweep" not in words
    if words not in lasts:
        start = time.monotonic()
        started(words, prepared(folder / f"first{i}", [])).communicate()
        lasts[words] = time.monotonic() - start
    process = started(words, prepared(folder / str(i), names if old else []))
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, 1.1) * lasts[words])
    else:
        wait_for_a_file(process, folder / str(i))
        time.sleep(rng.choice([0, 0.001, 0.01, 0.1]) * rng.random())
    number = rng.choice([signal.SIGINT, signal.SIGTERM])
    process.send_signal(number)
    fault = judge(words, names, folder / str(i), process, number, old)
    return fault and f"{number.name}, {words}: {fault}", process.returncode


def prepared(folder, old):
    """A folder with what the commands read, and with old files."""
    folder.mkdir()
    invent(folder / "old.jsonl", T=(16, 64), m=(10, 12), reps=2)
    for name in old:
        (folder / name).write_text("old")
    return folder


@pytest.mark.slow
def test_signals_at_random_moments(tmp_path):
    n, rng, lasts = int(os.environ.get("SIGNALS", 16)), random.Random(5), {}
    ends = [one(i, rng, lasts, tmp_path) for i in range(n)]
    print(f"{n} signals: exit codes {Counter(code for _, code in ends)}")
    assert not [fault for fault, _ in ends if fault]


EARLY = ("click", "numpy", "minitf.commands.learn", "minitf.lab.trial", "matplotlib", "minitf.lab.figures.single")


@pytest.mark.every(4)
@pytest.mark.parametrize("name", EARLY)
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_during_an_import_is_one_line(tmp_path, name, number, code):
    script = f"""if True:
        import os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)

        class Finder:
            def find_spec(name, path=None, target=None):
                if name == {name!r}:
                    os.kill(os.getpid(), {int(number)})

        sys.meta_path.insert(0, Finder)
        import minitf.cli
        minitf.cli.main("sweep --T 8 --m 8 --out runs.jsonl".split() if "trial" in {name!r} else
                        "learn --T 6 --k 1 --m 12 --steps 3 --plot f.svg".split())
    """
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    end = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (end.returncode, end.stdout, end.stderr) == (code, "", "interrupted: nothing was written\n")
    assert not list(tmp_path.iterdir())
