"""Groups of heads and of rows on any number of threads: the same bits; and BLAS gets its threads back."""
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import ROOT

from minitf import attention
from minitf.ops import heads, threads

BITS = """if True:
    import hashlib
    import numpy as np
    from minitf import attention, attention_blocked
    rng = np.random.default_rng(0)
    print(__import__("minitf.ops.threads", fromlist=["blas"]).blas()[0]())
    for lead in (), (3,), (2, 8):
        for T in 64, 260:
            for dtype in "float32", "float64":
                q, k, v, dout = rng.standard_normal((4, *lead, T, 16)).astype(dtype)
                more = {"sinks": rng.standard_normal(lead[-1:]), "bias": rng.standard_normal((T, T)), "window": (90, 7)}
                for op in attention, attention_blocked:
                    for options in {}, {name: x.astype(dtype) if name != "window" else x for name, x in more.items()}:
                        (out, lse), pullback = op(q, k, v, lse=True, **options)
                        for x in (out, lse, *pullback((dout, dout[..., 0]))):
                            print(hashlib.sha256(x.tobytes()).hexdigest())
"""


def test_the_bits_do_not_depend_on_the_number_of_threads():
    if threads.blas() is None:
        pytest.skip("NumPy's linear algebra is not its own OpenBLAS")
    said = {}
    for n in 1, 2, 3:
        env = {**os.environ, "OPENBLAS_NUM_THREADS": str(n), "OMP_NUM_THREADS": str(n), "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", BITS], env=env, capture_output=True, text=True, check=True)
        count, *said[n] = done.stdout.split()
        assert int(count) == min(n, os.cpu_count()) or int(count) == n
    assert said[1] == said[2] == said[3] and len(set(said[1])) > 150


@pytest.fixture
def three(monkeypatch):
    """Three threads, as OpenBLAS would report them; the list of what it was set to."""
    told = []
    monkeypatch.setattr(threads, "blas", lambda: (lambda: told[-1] if told else 3, told.append))
    return told


def test_one_thread_of_blas_inside_and_all_of_them_afterwards(three):
    with threads.one_blas_thread() as outer:
        with threads.one_blas_thread() as inner:
            assert outer == inner == 3 and three == [1]
        assert three == [1]
    assert three == [1, 3]
    with pytest.raises(ZeroDivisionError):
        threads.each(lambda x: 1 / x, [(1,), (0,)])
    assert three[-1] == 3


def test_pieces_run_at_the_same_time_in_order_and_under_the_callers_treatment_of_errors(three):
    meet = threading.Barrier(3, timeout=10)

    def piece(i):
        meet.wait()
        return i, np.geterr()["under"]
    with np.errstate(under="raise"):
        assert threads.each(piece, [(i,) for i in range(3)]) == [(i, "raise") for i in range(3)]


def test_callers_on_several_threads_leave_blas_as_it_was(three):
    def call():
        for _ in range(20):
            threads.each(lambda x: x, [(1,), (2,)])
    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert three[-1] == 3 and not threads.INSIDE


def test_without_openblas_there_is_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "blas", lambda: None)
    assert threads.each(lambda x: threading.current_thread(), [(1,), (2,)]) == [threading.main_thread()] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_of_a_fork_makes_its_own_threads(three):
    threads.each(lambda x: x, [(1,), (2,), (3,)])
    child = os.fork()
    if not child:
        os._exit(0 if threads.each(lambda x: x, [(1,), (2,), (3,)]) == [1, 2, 3] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("lead", [(), (1,), (2, 3), (12,)])
def test_groups_of_rows_give_the_same_numbers(lead, monkeypatch, rng):
    """A head's rows are shared out where there are fewer than 8 heads; the sums over them are dk and dv."""
    q, k, v = (rng.standard_normal((*lead, 150, 3)) for _ in range(3))
    H = lead[-1:]
    bias, sinks, keep = rng.standard_normal((*H, 150, 150)), rng.standard_normal(H), rng.random((150, 150)) < 0.8
    options = dict(bias=bias, sinks=sinks, keep=keep * 1.25, causal=True, mask=rng.random((150, 150)) < 0.9, lse=True)
    cotangent = rng.standard_normal((*lead, 150, 3)), rng.standard_normal((*lead, 150))

    def run():
        outs, pullback = attention(q, k, v, **options)
        return *outs, *pullback(cotangent)
    whole = run()
    monkeypatch.setattr(heads, "CACHE", 1000)
    assert len(heads.groups(int(np.prod(lead)), 150, 1200)) >= 2
    for x, y in zip(run(), whole, strict=True):
        assert x.shape == y.shape and np.linalg.norm(x - y) <= 1e-14 * np.linalg.norm(y)
