"""Fixtures that every room's tests share, and which parameters wait for the slow run."""
import os
import signal
import warnings
from collections import Counter

# before NumPy: what a trial finds to the last bit depends on how BLAS sums, and workers have one thread each
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:       # of a job in the background: its children would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """every(n): one in n of the parameters of a test is tried at once, along the diagonal of a grid; the others are slow.
    Where the variable ONE_IN is n, only one in n of those are: old versions need no more."""
    seen, kept = Counter(), Counter()
    for item in items:
        if mark := item.get_closest_marker("every"):
            n, i = mark.args[0], seen[test := (item.path, item.originalname)]
            seen[test] += 1
            if i % n != i // n % n:
                item.add_marker("slow")
    if n := int(os.environ.get("ONE_IN", 0)):
        for item in items:
            kept[test := (item.path, item.originalname)] += not item.get_closest_marker("slow")
            if kept[test] % n != 1:
                item.add_marker("slow")


def keep_skipped(report):
    """Where CI asks for it, a line for each test that was skipped, to be run where the extras are."""
    path = os.environ.get("SKIPPED_TO")
    if path and report.skipped and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a", encoding="utf-8") as file:
            file.write(report.nodeid + "\n")


pytest_runtest_logreport = pytest_collectreport = keep_skipped


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("learn", "--k", 2) -> (exit code, stdout, stderr): in an empty directory, warnings are errors."""
    from minitf import cli
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("error")
            cli.main([str(word) for word in words])
        return end.value.code or 0, *capsys.readouterr()

    return run
