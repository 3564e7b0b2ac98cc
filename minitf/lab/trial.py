"""One run of a sweep: draw a training set, train by one method, and say whether it learned. `trial(job) -> record`.

A job is a dict of JSON values, the identity of its sweep with T, m and rep; the record is the job with what was found.
The randomness is that of the job and of nothing else:

    data      SeedSequence(seed, spawn_key = numbers for (task, k, T, p, noise, rep, use, attempt)), without m:
              the training set is the first m rows of the first attempt that one support alone explains, so the sets
              of different m are nested
    training  the same with m, method and model
"""
import math
import time

import numpy as np

from minitf.checks import choice, integer, real, require
from minitf.fast import attention_of, head_shares
from minitf.files import VERSION
from minitf.lab.baselines import l1_logistic, screening, strongest
from minitf.lab.holdout import correct, fourier_gaps, HOLDOUT, predictors_of
from minitf.lab.run import ATTEMPTS, choose, MODELS
from minitf.learn import fit, Heads, logits_of
from minitf.ops import logistic
from minitf.tasks import (balanced_p, consistent_supports, is_checkable, KINDS, labels_by_count,
                          sample_task, truth_table)
from minitf.theory import m_star, rho_overlap

PROTOCOL = 2            # of the records: raised when a job would give other numbers or a key another meaning
TASKS = ("and", "or", "majority", "parity")
METHODS = ("pgd", "adam", "pgd-no-mirror", "pgd-no-restarts", "l1-logistic", "screening", "exact-search")
TRAINING = {             # one start of Adam, as in the paper; the bounded search in full, or without a part
    "adam": {"restarts": 0, "steps": 2000}, "pgd-no-mirror": {"mirror": False}, "pgd-no-restarts": {"restarts": 0}}
TUNED = {                # but for parity: what did best of several; for gpt and mlp the usual values did as well as any
    "paper": {"lr": 0.3, "weight_decay": 0.0}, "scalar": {"lr": 0.01, "weight_decay": 0.5}}
LARGEST = 1 << 30       # bits of a training set, each a byte, and a float at times
LIMIT = 20.0            # processor seconds of training, unless given, of the methods that may take for ever
SNAPSHOTS = 12          # at steps 1, 2, 4, ..., 2048
USES = ("support", "sample", "holdout", "fourier", "training")
RECORD = {
    "protocol": "version of these records",
    "task": "and, or, majority or parity",
    "k": "size of the support",
    "p": "P(bit = 1)",
    "noise": "probability that a label of the training set was flipped",
    "method": "one of METHODS; adam: one start of at most 2,000 steps, no norm bounded",
    "model": "paper, scalar, gpt or mlp; null for a method without one",
    "limit": "processor seconds of training after which a run is a timeout; null: none",
    "seed": "of the sweep",
    "T": "positions",
    "m": "examples trained on",
    "rep": "0, 1, ...: which of the runs of equal T and m",
    "m_star": "examples that determine the support with probability 0.95 (yardsticks.m_star)",
    "attempts": "training sets drawn, the last of which was used",
    "determined": "whether one support alone explains the training set; null: not checked",
    "success": "every fresh example right at the end of training; null: no attempt determined the support, no training",
    "success_any": "the same at the end or at a snapshot",
    "support_exact": "whether the k strongest positions are the support; null for mlp",
    "accuracy": "on 10,000 fresh examples against clean labels; null where success means an exact support",
    "timeout": "whether the limit ended the training, which is no success",
    "train_loss": "mean logistic loss on the m examples",
    "attention": "on the support, the mean over the examples, and over heads by their shares; null without attention",
    "fourier_gap": "parity: |F(S)| less the largest |F(A)| of other k-sets A",
    "steps": "steps taken",
    "seconds": "processor seconds of the whole run",
    "snapshots": "step, accuracy, loss, attention and fourier_gap at 12 steps at most, the end not among them",
    "curve": "parity with adam: [step, mean batch loss since the entry before] at steps that grow by 2^(1/4)",
    "version": "of the library",
}


class Timeout(Exception):
    """The limit was reached."""


def identity(task="and", k=3, *, p=None, noise=0.0, method="pgd", model=None, limit=None, seed=0):
    """What all runs of one file share, checked and completed: a dict. limit: math.inf for none."""
    choice("task", task, TASKS)
    choice("method", method, METHODS)
    rule = truth_table(task, k)
    drawn = sample_task(np.random.default_rng(0), task, k, k, p=p, noise=noise)
    allowed = MODELS if method == "adam" else ("paper",) if method.startswith("pgd") else ()
    require(model is None or model in allowed, "model", f"{' or '.join(allowed) or 'none'} with method {method}", model)
    require(noise == 0 or method != "exact-search", "noise", "0 with method exact-search", noise)
    model = model or {"adam": "scalar"}.get(method, allowed[0] if allowed else None)
    if limit is None:
        limit = LIMIT if method in ("adam", "l1-logistic") else math.inf
    limit = real("limit", limit, "a number > 0", lambda s: s > 0)
    return {"protocol": PROTOCOL, "task": task, "k": int(k), "p": balanced_p(rule) if p is None else drawn.p,
            "noise": drawn.noise, "method": method, "model": model, "limit": None if limit == math.inf else limit,
            "seed": integer("seed", seed, 0)}


def yardstick(config, T):
    """m*(T) of a sweep, at 95 %."""
    rule = labels_by_count(truth_table(config["task"], config["k"]))
    return m_star(T, rho_overlap(rule, config["p"]), 0.05, config["noise"])


def check_job(config, T, m):
    """Refuse, before any work, a context length or a sample size that a trial could not take."""
    k, method = config["k"], config["method"]
    require(integer("T", T, 1) >= k, "T", f"at least k = {k}", T)
    require(m * T <= LARGEST, "m", f"at most {LARGEST // T} examples of {T} bits (2^30 bits in all)", m)
    checkable = method != "exact-search" or is_checkable(config["task"], T, k)
    require(checkable, "T", f"a task small enough for exact search, {config['task']} of {k} bits", T)
    if config["model"]:
        settings(config | {"T": T})


def settings(job):
    """The ModelConfig and the TrainConfig of a job that trains a model."""
    base = "adam" if job["method"] == "adam" else "pgd"
    *_, model, train = choose(base, job["model"], base, job["T"], job["k"], None, None, None)
    options = TRAINING.get(job["method"], {})
    if job["method"] == "adam" and job["task"] != "parity":
        options = options | TUNED.get(job["model"], {})
    return model, type(train)(method=base, **options)


def stream(job, use, *more):
    """The random generator of one use of a job: see the top of this page."""
    numbers = [KINDS.index(job["task"]), job["k"], job["T"], int(job["p"] * 2 ** 32), int(job["noise"] * 2 ** 32)]
    numbers += [job["rep"], USES.index(use), *more]
    return np.random.default_rng(np.random.SeedSequence(job["seed"], spawn_key=numbers))


def trial(job):
    """Do one run and return its record: the keys of RECORD."""
    start = time.thread_time()
    task = sample_task(stream(job, "support"), job["task"], job["T"], job["k"], p=job["p"], noise=job["noise"])
    X, y, attempt, determined = training_set(job, task)
    record = dict.fromkeys(RECORD) | job | {"m_star": yardstick(job, job["T"]), "attempts": attempt + 1,
                                            "determined": determined, "timeout": False, "snapshots": []}
    if determined is not False or job["method"] == "exact-search":
        record |= learned(job, task, X, y, attempt)
    return record | {"seconds": round(time.thread_time() - start, 4), "version": VERSION}


def training_set(job, task):
    """X, y, the number of the attempt, and whether one support alone explains it (None: not checked).

    Both labels occur, as far as the attempts reach. Exact search takes the first attempt as it is: on a set that
    determines the support it could not fail.
    """
    checked = job["noise"] == 0 and is_checkable(job["task"], job["T"], job["k"])
    for attempt in range(1 if job["method"] == "exact-search" else ATTEMPTS):
        X, y = task.sample(stream(job, "sample", attempt), job["m"])
        determined = bool(y.min() != y.max())
        if determined and checked:
            determined = len(consistent_supports(X, y, task.kind, task.k, limit=2)) == 1
        if determined:
            return X, y, attempt, True if checked else None
    return X, y, attempt, False


def learned(job, task, X, y, attempt):
    """Train by the method of the job and measure: the part of the record that training decides."""
    method = job["method"]
    if method in ("screening", "exact-search"):
        found = screening(X, y, task.k) if method == "screening" else None
        if found is None:
            supports = consistent_supports(X, y, task.kind, task.k, limit=2)
            found = supports[0] if len(supports) == 1 else ()
        return dict.fromkeys(("success", "success_any", "support_exact"), found == task.support)
    rng = stream(job, "training", attempt, job["m"], METHODS.index(method), MODELS.index(job["model"] or "paper"))
    train = linear if method == "l1-logistic" else attentive
    states, predictors, found, part = train(job, task, X, y, rng)
    right = correct(predictors, task, stream(job, "holdout"))
    gaps = fourier_gaps(predictors, task, stream(job, "fourier")) if task.kind == "parity" else [None] * len(right)
    for state, n, gap in zip(states, right, gaps):
        state |= {"accuracy": int(n) / HOLDOUT} | ({} if gap is None else {"fourier_gap": gap})
    *snapshots, end = states
    success = bool(right[-1] == HOLDOUT) and not part["timeout"]
    return part | {"success": success, "success_any": success or HOLDOUT in right.tolist(),
                   "support_exact": None if found is None else found == task.support, "accuracy": end["accuracy"],
                   "train_loss": end["loss"], "attention": end["attention"], "fourier_gap": gaps[-1],
                   "steps": end["step"], "snapshots": snapshots}


def deadline(job):
    """A function that raises Timeout once the limit of the job, counted from now, is reached."""
    end = math.inf if job["limit"] is None else time.thread_time() + job["limit"]

    def check():
        if time.thread_time() > end:
            raise Timeout
    return check


def linear(job, task, X, y, rng):
    """l1-logistic regression: (states, predictors, support, part of the record), as of `attentive`."""
    w, b, timeout = np.zeros(task.T), 0.0, False
    try:
        w, b = l1_logistic(X, y, rng, deadline(job))
    except Timeout:
        timeout = True
    loss = float(logistic(X @ w + b, y)[0].mean())
    state = {"step": None, "loss": loss, "attention": None}
    return [state], [lambda X: X @ w + b > 0], strongest(w, task.k), {"timeout": timeout}


def attentive(job, task, X, y, rng):
    """Train a model of minitf: (states at the snapshots and at the end, predictors, support, part of the record)."""
    model, train = settings(job)
    check, kept, losses, last = deadline(job), [], [], None
    sets = {} if job["method"] == "adam" else None                     # no norm is bounded, or all of the model's are

    def params_of(state):
        return state.params.best() if isinstance(state.params, Heads) else state.params

    def callback(state):
        nonlocal last
        last = state
        losses.append(float(state.loss))
        if state.step == 1 << len(kept) and len(kept) < SNAPSHOTS:
            kept.append((state.step, params_of(state)))
        check()

    try:
        params, timeout = fit(X, y, model, rng, train=train, sets=sets, callback=callback).params, False
    except Timeout:
        params, timeout = params_of(last), True
    if kept[-1][0] == last.step:
        kept.pop()
    kept.append((last.step, params))
    states, strength = [], None
    for step, params in kept:
        loss = float(logistic(logits_of(params, X, model), y)[0].mean())
        strength = head_shares(params, X, model) @ attention_of(params, X, model) if model.H else None
        attention = None if strength is None else round(float(strength[list(task.support)].sum()), 6)
        states.append({"step": step, "loss": round(loss, 6), "attention": attention})
    found = None if strength is None else strongest(strength, task.k)
    curve = windows(losses) if (task.kind, job["method"]) == ("parity", "adam") else None
    return states, predictors_of([params for _, params in kept], model), found, {"timeout": timeout, "curve": curve}


def windows(losses):
    """[step, mean loss since the entry before] at steps 1, 2, ... that grow by 2^(1/4), and at the last."""
    ends = sorted({round(2 ** (j / 4)) for j in range(4 * len(losses).bit_length())} | {len(losses)})
    ends = [end for end in ends if end <= len(losses)]
    return [[b, round(sum(losses[a:b]) / (b - a), 5)] for a, b in zip([0] + ends, ends)]
