"""One run of a sweep: draw a training set, train by one method, and say whether it learned.

    trial(job) -> record            the job with what was found, the keys of protocol.RECORD
"""
import math
import time
import warnings

import numpy as np

from minitf.fast import attention_of, head_shares
from minitf.files import VERSION
from minitf.lab.baselines import l1_logistic, screening, strongest
from minitf.lab.decoders import DECODERS, decode
from minitf.lab.draw import ATTEMPTS, first_determined, is_determined
from minitf.lab.holdout import HOLDOUT, count_correct, fourier_gaps, predictors_of
from minitf.lab.protocol import METHODS, RECORD, SNAPSHOTS, rule_of, settings, stream, yardstick
from minitf.lab.run import MODELS
from minitf.learn import Candidates, FitWarning, fit, logits_of
from minitf.ops import logistic
from minitf.tasks import consistent_supports, sample_task


class Timeout(Exception):
    """The limit was reached."""


def trial(job):
    """Do one run and return its record: the keys of RECORD."""
    start = time.thread_time()
    task = sample_task(stream(job, "support"), job["task"], job["T"], job["k"], **rule_of(job),
                       p=job["p"], noise=job["noise"])
    X, y, determined, attempt = training_set(job, task)
    record = dict.fromkeys(RECORD) | job | {
        "m_star": yardstick(job, job["T"]), "attempts": attempt + 1, "determined": determined,
        "timeout": False, "snapshots": []}
    if determined is not False or takes_any(job):
        record |= learned(job, task, X, y, attempt)
    return record | {"seconds": round(time.thread_time() - start, 4), "version": VERSION}


def training_set(job, task):
    """X, y, whether one support alone explains it (None: not checked), the number of the attempt.

    Both labels occur, as far as the attempts reach. Exact search names the first support it finds:
    of N that explain the set each is as likely the truth, so no learner is right more often.
    """
    def draw(attempt):
        return task.sample(stream(job, "sample", attempt), job["m"])

    def determined(X, y):
        return is_determined(task, X, y) if y.min() != y.max() else False

    return first_determined(draw, determined, 1 if takes_any(job) else ATTEMPTS)


def takes_any(job):
    """Whether a job takes the first set drawn, determined or not: where those are kept, and for
    exact search, which on a set that determines the support could not fail."""
    return job["method"] == "exact-search" or job.get("ambiguous") == "keep"


def learned(job, task, X, y, attempt):
    """Train by the method of the job and measure: the part of the record that training decides."""
    method = job["method"]
    if method in ("screening", "exact-search", *DECODERS):
        return named(job, task, X, y)
    rng = stream(job, "training", attempt, job["m"], METHODS.index(method),
                 MODELS.index(job["model"] or "paper"))
    train = linear if method == "l1-logistic" else attentive
    states, predictors, found, part = train(job, task, X, y, rng)
    right = count_correct(predictors, task, stream(job, "holdout"))[:, 0]
    gaps = [None] * len(right)
    if task.kind == "parity":
        gaps = fourier_gaps(predictors, task, stream(job, "fourier"))
    for state, n, gap in zip(states, right, gaps):
        state |= {"accuracy": int(n) / HOLDOUT} | ({} if gap is None else {"fourier_gap": gap})
    *snapshots, end = states
    enough = right > job.get("rate", 1 - 0.5 / HOLDOUT) * HOLDOUT
    success = bool(enough[-1]) and not part["timeout"]
    return part | {"success": success, "success_any": success or bool(enough.any()),
                   "support_exact": None if found is None else found == task.support,
                   "accuracy": end["accuracy"], "train_loss": end["loss"],
                   "attention": end["attention"], "fourier_gap": gaps[-1], "steps": end["step"],
                   "snapshots": snapshots}


def named(job, task, X, y):
    """The same of a method that names positions. A decoder may name any number of them: its rule is
    asked for the fresh examples, until one is wrong."""
    method, right = job["method"], False
    if method in DECODERS:
        found, rule = decode(method, X, y, task.kind), np.all if task.kind == "and" else np.any
        fresh = task.blocks(stream(job, "holdout"), HOLDOUT, max(1, (1 << 22) // task.T))
        right = found != task.support and all(
            (rule(H[:, found], axis=1) == task.label(H)).all() for H, _ in fresh)
    elif method == "screening":
        found = screening(X, y, task.k)
    else:
        try:
            supports = consistent_supports(X, y, task.kind, task.k, limit=1, **rule_of(job))
        except ValueError:                      # the search gave up
            supports = []
        found, = supports or [()]
    exact = found == task.support
    return {"success": exact or right, "success_any": exact or right, "support_exact": exact}


def deadline(job):
    """A function that raises Timeout once the limit of the job, counted from now, is reached."""
    end = math.inf if job["limit"] is None else time.thread_time() + job["limit"]

    def check():
        if time.thread_time() > end:
            raise Timeout
    return check


def linear(job, task, X, y, rng):
    """l1-logistic regression: (states, predictors, support, part of the record), as of
    `attentive`."""
    w, b, timeout = np.zeros(task.T), 0.0, False
    try:
        w, b = l1_logistic(X, y, rng, deadline(job))
    except Timeout:
        timeout = True
    loss = float(logistic(X @ w + b, y)[0].mean())
    state = {"step": None, "loss": loss, "attention": None}
    return [state], [lambda X: X @ w + b > 0], strongest(w, task.k), {"timeout": timeout}


def attentive(job, task, X, y, rng):
    """Train a model of minitf: (states at the snapshots and at the end, predictors, support, part
    of the record)."""
    model, train = settings(job)
    kept, losses, timeout = train_with_snapshots(job, X, y, model, rng, train)
    states, strength = [], None
    for step, params in kept:
        loss = float(logistic(logits_of(params, X, model), y)[0].mean())
        state = {"step": step, "loss": round(loss, 6), "attention": None}
        if model.H:
            strength = head_shares(params, X, model) @ attention_of(params, X, model)
            state["attention"] = round(float(strength[list(task.support)].sum()), 6)
        states.append(state)
    found = None if strength is None else strongest(strength, task.k)
    curve = windows(losses) if (task.kind, job["method"]) == ("parity", "adam") else None
    predictors = predictors_of([params for _, params in kept], model)
    return states, predictors, found, {"timeout": timeout, "curve": curve}


def train_with_snapshots(job, X, y, model, rng, train):
    """[(step, params)] at the snapshots and at the end, the loss of every step, and whether the
    limit ended the training."""
    check, kept, losses, last = deadline(job), [], [], None
    # no norm is bounded, or all the model's are
    sets = {} if job["method"].startswith("adam") else None

    def params_of(state):
        return state.params.params() if isinstance(state.params, Candidates) else state.params

    def callback(state):
        nonlocal last
        last = state
        losses.append(float(state.loss))
        if state.step == 1 << len(kept) and len(kept) < SNAPSHOTS:
            kept.append((state.step, params_of(state)))
        check()

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)         # the record says how it went
            params = fit(X, y, model, rng, train=train, sets=sets, callback=callback).params
        timeout = False
    except Timeout:
        params, timeout = params_of(last), True
    kept = [*(pair for pair in kept if pair[0] < last.step), (last.step, params)]
    return kept, losses, timeout


def windows(losses):
    """[step, mean loss since the entry before] at steps 1, 2, ... that grow by 2^(1/4), and at the
    last."""
    ends = sorted({round(2 ** (j / 4)) for j in range(4 * len(losses).bit_length())}
                  | {len(losses)})
    ends = [end for end in ends if end <= len(losses)]
    return [[b, round(sum(losses[a:b]) / (b - a), 5)] for a, b in zip([0] + ends, ends)]
