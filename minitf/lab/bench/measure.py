"""Times of minitf beside PyTorch and JAX, in one run: who computes the same is checked first, then
all take turns.

    for cell in run("step", threads=1, against=("torch", "jax")): ...       a dict of one size

Every number of threads has a process of its own, whose environment and processors say so to all
libraries alike. Within it the contenders of a size take turns of a millisecond or one call; a ratio
is the median over turns of the ratio to minitf's time in the same round, so that what else the
machine does meets all of them.
"""
import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from minitf.lab.bench.contenders import attentions, steps

SIZES = ((64, 64), (200, 64), (256, 256), (256, 1024), (1024, 4096))
SHAPES = ((8, 4, 64, 16), (8, 4, 128, 64), (4, 8, 512, 64), (1, 8, 1024, 64), (32, 16, 64, 4))
GPT = ((32, 64),)
LIBRARIES = ("torch", "jax")
STEPS = {"torch": "pytorch_steps", "jax": "jax_steps"}
PARTS = ("step", "attention", "gpt")
TURN, ROUNDS = 0.001, 50       # seconds of a turn, most turns of a contender
PAUSE = 0.02            # seconds
TOL = {"float32": 1e-4, "float64": 1e-12}


def steps_of(library):
    """The module that has the functions of a library."""
    return importlib.import_module(f"minitf.lab.bench.{STEPS[library]}")


def cells(part, sizes=None):
    """The sizes of a part, as dicts: of `step` and `gpt` m and T, of `attention` shape and
    dtype."""
    if part == "attention":
        return [{"part": part, "shape": list(shape), "dtype": dtype}
                for shape in sizes or SHAPES for dtype in ("float32", "float64")]
    return [{"part": part, "m": m, "T": T, "dtype": "float32"}
            for m, T in sizes or (SIZES if part == "step" else GPT)]


def run(part, threads, against=(), sizes=None, seconds=2.0):
    """Yield the record of every cell of a part, measured in a child process of so many threads for
    `seconds` each."""
    order = {"cells": cells(part, sizes), "threads": threads, "against": list(against),
             "seconds": seconds}
    count = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
                          str(threads))
    env = os.environ | count | {"PYTHONPATH": os.pathsep.join(path or os.getcwd()
                                                              for path in sys.path)}
    code = "from minitf.lab.bench.measure import child; child()"
    with subprocess.Popen([sys.executable, "-c", code], env=env, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
        finally:
            process.kill()
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the process that measures ended with code {process.returncode}")


def child():
    """Measure the cells of an order read from stdin, one JSON line each; the parent sees to
    Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:order["threads"]])
    peers = {name: steps_of(name) for name in order["against"]}
    for module in peers.values():
        module.use_threads(order["threads"])
    for cell in order["cells"]:
        print(json.dumps(cell | {"threads": order["threads"]}
                         | measure(cell, peers, order["seconds"])), flush=True)


def measure(cell, peers, seconds):
    """The record of one cell: seconds, ratios to minitf by the wall clock and by processor time,
    how far results are apart, who was left out and why; busy = wall clock over processor time of
    minitf, 1 where nothing else ran."""
    field = attentions if cell["part"] == "attention" else steps
    contenders, errors, left_out = field(cell, peers)
    times = take_turns(contenders, seconds)
    wall, processor = ({name: [(own[clock], mine[clock]) for own, mine in turns]
                        for name, turns in times.items()}
                       for clock in (0, 1))
    record = {"seconds": medians(wall, lambda own, mine: own), "ratios": medians(wall, np.divide),
              "processor_ratios": medians(processor, lambda own, mine: own / max(mine, 1e-9)),
              "busy": float(np.median(np.divide(*np.transpose(times["minitf"])[:, 0]))),
              "turns": {name: len(turns) for name, turns in times.items()}, "errors": errors,
              "left_out": left_out,
              "agree": all(error <= TOL[cell["dtype"]] for error in errors.values())}
    if "products" in times:
        flops = 4 * cell["m"] * cell["T"] * 68
        record["gflops"] = {name: flops / record["seconds"][name] / 1e9
                            for name in ("minitf", "products")}
    return record


def medians(times, f):
    """{name: the median of f over the turns}."""
    return {name: float(np.median([f(*turn) for turn in turns])) for name, turns in times.items()}


def take_turns(contenders, seconds):
    """Times of one call, {name: [(its own, minitf's in the same round), ...]}, each (wall clock,
    processor) seconds.

    Everybody has a turn in the first three rounds, and then while the share of the seconds lasts:
    the quick ones have more, pauses not counted. Who needs half of the seconds for one call is
    measured once.
    """
    times, calls = {name: [] for name in contenders}, {}
    for name, call in contenders.items():
        for _ in range(2):                      # the first call also allocates and wakes threads
            took = turn(call, 1)
            if took[0] > 3 * seconds:
                break
        if took[0] > seconds / 2 and name != "minitf":
            times[name].append((took, times["minitf"][0][0]))
        else:
            calls[name] = call, max(1, round(TURN / took[0]))
            times[name] += [(took,
                             took)] * (name == "minitf")          # for those who are measured once
    spent = dict.fromkeys(calls, 0.0)
    times["minitf"].clear()
    for i in range(ROUNDS):
        first = i % len(calls)                  # in step with nothing else on the machine
        order = [*calls][first:] + [*calls][:first]
        found = {name: warm_turn(*calls[name]) for name in order
                 if i < 3 or name == "minitf" or spent[name] < seconds / len(calls)}
        for name, took in found.items():
            spent[name] += took[0] * calls[name][1]
            times[name].append((took, found["minitf"]))
        if i >= 2 and sum(spent.values()) > seconds:
            break
    return times


def turn(call, n):
    """The seconds of one of n calls, by the clock on the wall and by that of the processor."""
    start = np.array([time.perf_counter(), time.process_time()])
    for _ in range(n):
        call()
    return (np.array([time.perf_counter(), time.process_time()]) - start) / n


def warm_turn(call, n):
    """turn, after a pause in which the threads of the one before cease to wait for more, and a call
    that brings things back into the caches."""
    time.sleep(PAUSE)
    call()
    return turn(call, n)
