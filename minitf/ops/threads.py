"""Independent pieces of work on as many threads as the linear algebra of NumPy may use."""
import contextlib
import ctypes
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np


def each(f, items):
    """Return [f(*item) for item in items], on several threads where BLAS has them, each with one.

    A product may order its sums by how many threads it has. It has one here, whatever the number of
    workers: the results are the same bits.
    """
    errors = np.geterr()

    def work(item):
        with np.errstate(**errors):                     # as the caller wants them treated
            return f(*item)

    with one_blas_thread() as threads:
        workers = min(threads, len(items))
        return list((map if workers < 2 else pool(os.getpid(), workers).map)(work, items))


@functools.cache
def pool(process, workers):
    """Threads of this process; after a fork the child makes its own."""
    return ThreadPoolExecutor(workers, "minitf")


@functools.cache
def blas():
    """Return (get, set) of the threads of NumPy's own OpenBLAS; None if it has another."""
    folder = Path(np.__file__).parent
    for path in (*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")):
        library = ctypes.CDLL(str(path))
        for name in "scipy_openblas_{}64_", "openblas_{}64_", "openblas_{}":
            get, set_threads = (name.format(f"{verb}_num_threads") for verb in ("get", "set"))
            if hasattr(library, set_threads):
                return getattr(library, get), getattr(library, set_threads)
    return None


LOCK, INSIDE = threading.Lock(), []     # INSIDE: for each caller, how many threads there were


@contextlib.contextmanager
def one_blas_thread():
    """Give BLAS one thread while this is open; the value is how many it had, and gets back."""
    if blas() is None:
        yield 1
        return
    get, set_threads = blas()
    with LOCK:
        INSIDE.append(INSIDE[0] if INSIDE else get())
        threads = INSIDE[0]
        if threads > 1 and len(INSIDE) == 1:
            set_threads(1)
    try:
        yield threads
    finally:
        with LOCK:
            INSIDE.pop()
            if not INSIDE and threads > 1:
                set_threads(threads)
