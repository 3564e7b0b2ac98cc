"""Processes that do trials: on this machine, on a Dask cluster, or behind any
concurrent.futures.Executor.

    with crew(jobs=2) as workers:
        workers.submit(job)
        for record in workers.finished(): ...       the trials that are done by now

A worker may die (killed, out of memory): its trial is lost, not the sweep. The trial is handed out
again.
"""
import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from queue import Empty, SimpleQueue

from minitf.files import stop
from minitf.lab.trial import trial

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENCE = 3            # times in a row that all workers may break down without a finished trial


class Processes(ProcessPoolExecutor):
    """Processes that leave Ctrl-C to their parent from their first moment on: it starts them with
    the signal blocked."""

    def submit(self, *work):
        if not hasattr(signal, "pthread_sigmask"):                     # Windows
            return super().submit(*work)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with at_hand(self._max_workers):
                return super().submit(*work)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Crew:
    """Trials under way on an executor; `renew`, if there is one, makes another once that one is
    broken."""

    def __init__(self, executor, renew=None):
        self.executor, self.renew, self.jobs, self.breakdowns = executor, renew, {}, 0
        self.done = SimpleQueue()       # Ctrl-C within `futures.wait` can leave their locks locked

    def submit(self, job):
        try:
            with stop.held():
                future = self.executor.submit(trial, job)
                self.jobs[future] = job
                future.add_done_callback(self.done.put)
        except BrokenExecutor:
            self._start_again([job])

    def finished(self):
        """Yield the records of the trials that are done by now; waits for an end, or for a loss.
        Errors: RuntimeError."""
        ended = []
        while not ended or not self.done.empty():
            with contextlib.suppress(Empty):    # a signal just before a wait is seen at its end
                ended.append(self.done.get(timeout=1))
        done = [(self.jobs.pop(future), future) for future in ended if future in self.jobs]
        lost, failure = [job
                         for job, future in done
                         if isinstance(future.exception(), BrokenExecutor)], None
        if len(lost) < len(done):
            self.breakdowns = 0
        if lost:
            try:
                self._start_again(lost)             # before new trials are handed out
            except RuntimeError as error:
                failure = error
        yield from (future.result() for job, future in done if job not in lost)
        if failure is not None:
            raise failure

    def _start_again(self, lost):
        """All that was under way is lost with a broken executor, whether its future says so already
        or not."""
        self.breakdowns += 1
        if self.renew is None or self.breakdowns > PATIENCE:
            last = f"{lost[0]['method']} at T = {lost[0]['T']}, m = {lost[0]['m']}"
            raise RuntimeError(f"the workers died {self.breakdowns} times in a row, now with "
                               f"{last} (out of memory? or a "
                               "script without if __name__ == '__main__', which every worker "
                               "imports)")
        lost, self.jobs = lost + list(self.jobs.values()), {}
        self.executor = self.renew()
        for job in lost:
            self.submit(job)

    def cancel(self):
        for future in self.jobs:
            future.cancel()


@contextlib.contextmanager
def crew(jobs=1, dask=None, executor=None):
    """A Crew of `jobs` processes, or of a Dask cluster, or of an executor, which stays open. Left
    early, it stops."""
    with contextlib.ExitStack() as stack:
        if executor is None and dask is not None:
            from distributed import Client

            executor = stack.enter_context(Client(dask, timeout=10)).get_executor()
        if executor is not None:
            workers = Crew(executor)
            stack.callback(workers.cancel)
        else:
            renew = stack.enter_context(processes(jobs))
            workers = Crew(renew(), renew)
        yield workers


@contextlib.contextmanager
def at_hand(jobs):
    """Say so where the machine has no processes, open files or shared memory for workers."""
    try:
        yield
    except (ImportError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise RuntimeError(f"jobs: expected {jobs} worker processes, got none: {why}") from None


@contextlib.contextmanager
def processes(jobs):
    """A function that starts an executor of so many processes, one BLAS thread each; they end with
    this block.

    Each worker watches a pipe whose other end is here alone: when that end closes, because the
    block is left or because this process was killed, the worker ends at once.
    """
    context, executor = multiprocessing.get_context("spawn"), None
    with at_hand(jobs):
        theirs, ours = context.Pipe(duplex=False)

    def start():
        nonlocal executor
        with at_hand(jobs):
            executor = Processes(jobs, context, begin, (theirs,))
        return executor

    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)               # read by a spawned process before it imports NumPy
    try:
        yield start
    finally:
        ours.close()                            # the workers end at once: no long wait
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def begin(pipe):
    """Prepare a worker: Ctrl-C is for the parent to see, and without the parent there is nothing to
    do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, args=(pipe,), daemon=True).start()


def watch(pipe):
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
