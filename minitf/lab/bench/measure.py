"""Times of minitf beside PyTorch and JAX, in one run: who computes the same is checked first, then all take turns.

    for cell in run("step", threads=1, against=("torch", "jax")): ...       a dict of one size, as soon as it is there

Every number of threads has a process of its own, whose environment and processors say so to all libraries alike. Within
it the contenders of a size take turns of a millisecond or one call; a ratio is the median over turns of the ratio to
minitf's time in the same round, so that what else the machine does meets all of them.
"""
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from minitf.fast import mean_gradient
from minitf.learn import descend, TrainConfig
from minitf.model import init_params, ModelConfig
from minitf.ops import attention

SIZES = ((64, 64), (200, 64), (256, 256), (256, 1024), (1024, 4096))
SHAPES = ((8, 4, 64, 16), (8, 4, 128, 64), (4, 8, 512, 64), (1, 8, 1024, 64), (32, 16, 64, 4))
GPT = ((32, 64),)
LIBRARIES = ("torch", "jax")
STEPS = {"torch": "pytorch_steps", "jax": "jax_steps"}
PARTS = ("step", "attention", "gpt")
TURN, ROUNDS = 0.001, 50       # seconds of a turn, most turns of a contender
LARGE = 2 ** 18                 # examples times positions above which forms that build every token are left out
PAUSE = 0.02            # seconds
LR = 1e-3
TOL = {"float32": 1e-4, "float64": 1e-12}


def cells(part, sizes=None):
    """The sizes of a part, as dicts: of `step` and `gpt` m and T, of `attention` shape and dtype."""
    if part == "attention":
        return [{"part": part, "shape": list(shape), "dtype": dtype}
                for shape in sizes or SHAPES for dtype in ("float32", "float64")]
    return [{"part": part, "m": m, "T": T, "dtype": "float32"} for m, T in sizes or (SIZES if part == "step" else GPT)]


def run(part, threads, against=(), sizes=None, seconds=2.0):
    """Yield the record of every cell of a part, measured in a child process of so many threads for `seconds` each."""
    order = {"cells": cells(part, sizes), "threads": threads, "against": list(against), "seconds": seconds}
    count = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    env = os.environ | count | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
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
    """Measure the cells of an order read from stdin, one JSON line each; the parent sees to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:order["threads"]])
    peers = {name: importlib.import_module(f"minitf.lab.bench.{STEPS[name]}") for name in order["against"]}
    for module in peers.values():
        module.use_threads(order["threads"])
    for cell in order["cells"]:
        print(json.dumps(cell | {"threads": order["threads"]} | measure(cell, peers, order["seconds"])), flush=True)


def measure(cell, peers, seconds):
    """The record of one cell: seconds, ratios to minitf by the wall clock and by processor time, how far results are
    apart, who was left out and why; busy = wall clock over processor time of minitf, 1 where nothing else ran."""
    contenders, errors, left_out = {"step": steps, "gpt": steps, "attention": attentions}[cell["part"]](cell, peers)
    times = take_turns(contenders, seconds)
    wall, processor = ({name: [(own[clock], mine[clock]) for own, mine in turns] for name, turns in times.items()}
                       for clock in (0, 1))
    record = {"seconds": medians(wall, lambda own, mine: own), "ratios": medians(wall, np.divide),
              "processor_ratios": medians(processor, lambda own, mine: own / max(mine, 1e-9)),
              "busy": float(np.median(np.divide(*np.transpose(times["minitf"])[:, 0]))),
              "turns": {name: len(turns) for name, turns in times.items()}, "errors": errors, "left_out": left_out,
              "agree": all(error <= TOL[cell["dtype"]] for error in errors.values())}
    if "products" in times:
        flops = 4 * cell["m"] * cell["T"] * 68
        record["gflops"] = {name: flops / record["seconds"][name] / 1e9 for name in ("minitf", "products")}
    return record


def medians(times, f):
    """{name: the median of f over the turns}."""
    return {name: float(np.median([f(*turn) for turn in turns])) for name, turns in times.items()}


def take_turns(contenders, seconds):
    """Times of one call, {name: [(its own, minitf's in the same round), ...]}, each (wall clock, processor) seconds.

    Everybody has a turn in the first three rounds, and then while the share of the seconds lasts: the quick ones have
    more, pauses not counted. Who needs half of the seconds for one call is measured once.
    """
    times, calls = {name: [] for name in contenders}, {}
    for name, call in contenders.items():
        for _ in range(2):                          # the first call also allocates and wakes threads
            took = turn(call, 1)
            if took[0] > 3 * seconds:
                break
        if took[0] > seconds / 2 and name != "minitf":
            times[name].append((took, times["minitf"][0][0]))
        else:
            calls[name] = call, max(1, round(TURN / took[0]))
            times[name] += [(took, took)] * (name == "minitf")          # for those who are measured once
    spent = dict.fromkeys(calls, 0.0)
    times["minitf"].clear()
    for i in range(ROUNDS):
        order = [*calls][i % len(calls):] + [*calls][:i % len(calls)]   # in step with nothing else on the machine
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
    """turn, after a pause in which the threads of the one before cease to wait for more, and a call that brings things
    back into the caches."""
    time.sleep(PAUSE)
    call()
    return turn(call, n)


def distance(some, exact):
    """The largest relative distance, in norm, of arrays from others; infinite if a name or a shape is not the same."""
    if some.keys() != exact.keys() or any(np.shape(some[name]) != np.shape(exact[name]) for name in exact):
        return np.inf
    apart = [np.linalg.norm(some[name] - exact[name]) / (np.linalg.norm(exact[name]) or 1.0) for name in exact]
    return float(np.nan_to_num(max(apart), nan=np.inf))


def steps(cell, peers):
    """Contenders of a training step, full batch: (name: call), errors of loss and gradients, who is left out."""
    m, T, rng = cell["m"], cell["T"], np.random.default_rng(0)
    model = ModelConfig.gpt(T, L=2) if cell["part"] == "gpt" else ModelConfig.scalar(T, H=4, d_o=64)
    X = rng.integers(0, 2, (m, T), np.uint8)
    y, params = X[:, 0] & X[:, -1], init_params(rng, model)
    loss, exact = mean_gradient(params, X, y, model)
    small = {name: value.astype(np.float32) for name, value in params.items()}
    own_loss, own = mean_gradient(small, X, y, model)
    exact, own = exact | {"loss": loss}, own | {"loss": own_loss}
    forms = {"gpt": ["gpt"], "step": ["identity", "tokens"]}[cell["part"]]
    contenders, left_out = {"minitf": minitf_step(params, X, y, model)}, {}
    errors = {"minitf": distance(own, exact)}
    if cell["part"] == "step":
        contenders["products"] = products(m, T)
    for library, module in peers.items():
        for form in [form for form in forms if form in module.FORMS]:
            name = f"{library} {form}"
            if form == "tokens" and m * T > LARGE:
                left_out[name] = f"{m * T * model.d * 4 / 2 ** 30:.0f} GB for each array of all tokens"
                continue
            trained = module.training(module.FORMS[form], params, X, y, LR)
            contenders[name], (its_loss, grads) = trained.step, trained.start
            errors[name] = distance(grads | {"loss": its_loss}, exact)
        if cell["part"] == "step" and hasattr(module, "encoder"):
            if m * T > LARGE:
                left_out[f"{library} encoder"] = "as above"
            else:
                contenders[f"{library} encoder"] = module.encoder(params, X, y, LR).step
    return contenders, errors, left_out


def minitf_step(params, X, y, model):
    """One step of the loop that `fit` runs, on all examples."""
    train = TrainConfig(method="adam", batch=len(X), lr=LR, weight_decay=0.0)
    return functools.partial(next, descend(X, y, params, model, np.random.default_rng(0), train, {}))


def products(m, T, columns=68):
    """The two bare matrix products of a step, written into arrays that are there: the measure of the machine."""
    rng = np.random.default_rng(0)
    X, F, dA = (rng.standard_normal(shape, np.float32) for shape in ((m, T), (columns, T), (columns, m)))
    X_T, A, dF = np.ascontiguousarray(X.T), np.empty_like(dA), np.empty_like(F)

    def call():
        np.matmul(F, X_T, out=A)
        np.matmul(dA, X, out=dF)

    return call


def attentions(cell, peers):
    """Contenders of attention, forward and backward."""
    rng = np.random.default_rng(0)
    q, k, v, dout = (rng.standard_normal(cell["shape"]).astype(cell["dtype"]) for _ in range(4))

    def call():
        out, pullback = attention(q, k, v)
        return out, *pullback(dout)

    out, pullback = attention(*(x.astype(np.float64) for x in (q, k, v)))
    exact = dict(enumerate((out, *pullback(dout.astype(np.float64)))))
    contenders = {"minitf": call}
    if "torch" in peers:
        contenders["torch"] = peers["torch"].attention(q, k, v, dout)
    return contenders, {name: distance(dict(enumerate(call())), exact) for name, call in contenders.items()}, {}
