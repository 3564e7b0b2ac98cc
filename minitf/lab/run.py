"""One run of learning, start to end: draw a sample, train, and measure what was learned. Nothing is
printed.

A run on a task uses four independent streams of its seed: task, sample, holdout, training. The
learner sees the sample alone; the rule serves to check the sample before and the result after
training.
"""
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, choice, count, integer, require
from minitf.files import VERSION
from minitf.lab.certainty import REDRAWN, certainty, holds
from minitf.lab.draw import auto_m, auto_method, draw_sample
from minitf.lab.holdout import HOLDOUT, count_correct
from minitf.learn import FitWarning, TrainConfig, fit, most_steps
from minitf.model import ModelConfig, constraints
from minitf.tasks import KINDS, sample_task

MODELS = ("paper", "scalar", "gpt", "mlp")
LARGEST = 1 << 33       # bits of a sample, packed: 1 GB
ROWS = 4096             # fresh rows, their labels unseen, that a model is compared with its rule on
WIDEST = 1 << 25        # heads x positions of a model; one other than paper counts as 1024 heads
RECORD = {
    "task": "kind of rule; null for a user's own table",
    "description": "the same in words",
    "label": "name of the label column of a user's own table",
    "positive": "its word that is 1, if labels are words",
    "names": "names of its T columns",
    "notices": "what was taken for granted in reading it",
    "rows": "its rows",
    "distinct": "how many of them differ",
    "T": "positions",
    "k": "size of the support; null where the rule decides",
    "p": "P(bit = 1)",
    "noise": "probability that a label of the sample was flipped",
    "table": "the rule: 2^k labels, least significant bit first",
    "m": "examples trained on",
    "support_bits": "log2 C(T, k), the bits that name a support",
    "information_limit": "the same under its old name, for one version",
    "determined": "whether one support alone explains the sample; null: not checked",
    "redraws": "samples drawn in vain before this one",
    "chance": "accuracy of the best constant answer (own table: on the held-out rows)",
    "support_true": "positions that the rule depends on",
    "support_found": "positions of most attention; own table: the columns of the rule",
    "rule": "the rule that the model holds, in words; null where none was found",
    "rule_exact": "whether the model is that rule on every input",
    "rule_differs": "own table: training rows on which the model says something else",
    "rule_train_accuracy": "own table: of the rule, on the rows to train on",
    "rule_holdout_accuracy": "own table: of the rule, on the rows held out",
    "certain": "own table: nothing near explains the rows nearly as well",
    "why": "own table: what is in doubt, where something is",
    "label_noise": "own table: the share of labels that look flipped, where the rule is certain",
    "substitutes": "own table: {column: [[another, equal | complementary | as good, rows]]}",
    "tried": "own table: [model, its rule, certain, why, differs] of each that was tried",
    "train_accuracy": "on the m examples, with the labels trained on",
    "train_loss": "mean logistic loss after the last step (of the last batch, in the plain loop)",
    "holdout": "number of fresh examples, or held-out rows",
    "holdout_distinct": "own table: how many of them differ",
    "holdout_accuracy": "on those (drawn task: against clean labels)",
    "holdout_interval": "own table: 95 % Wilson interval of holdout_accuracy",
    "noisy_holdout_accuracy": "drawn task: against labels with the same noise",
    "learned": "drawn task: exact support, every fresh example right; own table: the interval lies "
               "above chance; null: too few distinct rows held out",
    "method": "pgd or adam",
    "model": "paper, scalar, gpt or mlp",
    "heads": "attention heads",
    "radius": "bound on ||q||_1; null for none",
    "steps": "steps taken",
    "seconds": "of training",
    "norms": "every bounded norm: {name: {value, radius}}, the largest over the heads",
    "certificate": "what is certain about the error: {error, confidence, text, rule, prefix, "
                   "differs, nats, norms}",
    "attention_top": "[position, mean attention] of the ten strongest, and of those found",
    "next": "what a run of the loop that learned nothing lacks: more examples or more steps",
    "residual": "||x - P(x - g)||, g the gradient of the mean training loss: how far from "
                "stationary training ended",
    "seed": "of the run",
    "version": "of the library",
}


class Plan(NamedTuple):
    """A run whose every option was checked: run(training=None, counting=None) -> (Result, record),
    a dict of JSON values. training, counting: callbacks (minitf.Progress) after every step and
    every block of fresh examples. steps: of training, not exceeded."""
    model: ModelConfig
    train: TrainConfig
    run: Callable
    steps: int = 0


NORMS = {"q": "||q||_1", "w": "|w|", "c": "|c|"}


def norms(result):
    """Every constrained norm of a trained model, the largest over its heads, beside its radius."""
    return {NORMS[name]: {"value": float(np.max(ball.norm(result.params[name]))),
                          "radius": ball.radius}
            for name, ball in constraints(result.model).items()}


def record_of(result, seconds, X, y, found, **known):
    """The record of a run, its keys those of RECORD: what is known of it and what the training
    itself says."""
    weights, logits = result.strength(), result.logits(X)
    order = np.argsort(-weights, kind="stable")
    top = [*order[:10], *(t for t in order[10:] if t in found)]
    return dict.fromkeys(RECORD) | known | {
        "T": result.T, "m": len(y), "heads": result.model.H, "radius": result.model.radius,
        "version": VERSION, "train_accuracy": float(((logits > 0) == y).mean()),
        "train_loss": float(result.history["loss"][-1]), "steps": len(result.history["step"]),
        "seconds": round(seconds, 4), "norms": norms(result),
        "next": result.header.get("next") or None, "residual": result.residual,
        "attention_top": [[int(t), float(weights[t])] for t in top],
    }


def rule_kind(name, value):
    """Return value; it must be a kind of rule."""
    return choice(name, value, KINDS)


@checked
def plan_task(task: rule_kind = "and", k: count = 2, T: count = 64, *, m=None, p=None, noise=0.0,
              level=None, table=None, model=None, method="auto", H=None, radius=None, steps=None,
              seed=0, redraw=False):
    """Check every option, draw the task and its sample: a Plan whose run(callback) trains and
    measures."""
    task_rng, sample_rng, holdout_rng, training_rng = streams(seed, 4)
    method, model, config, train = choose(auto_method(task, model), model, method, T, k, H, radius,
                                          steps)
    drawn = sample_task(task_rng, task, T, k, level=level, table=table, p=p, noise=noise)
    m = integer("m", auto_m(task, T, k, method, model, drawn.noise) if m is None else m, 1)
    require(m * T <= LARGEST, "m",
            f"at most {LARGEST // T} examples of {T} bits (2^33 bits in all)", m)
    X, y, determined, redraws = draw_sample(drawn, m, sample_rng, redraw=redraw,
                                            rule_known=table is not None)
    rows = partial(unlabelled, drawn, seed)

    def again(X, y):
        fewer = replace(train, restarts=2) if train.method == "adam" else train
        return timed_fit(X, y, config, np.random.default_rng(seed), fewer, None)[0]

    def run(training=None, counting=None):
        result, seconds = timed_fit(X, y, config, training_rng, train, training)
        right = count_correct([result.predict], drawn, holdout_rng, callback=counting)[0].tolist()
        sure = certainty(result, X, y, k=k, train_again=again, rows=rows,
                         without=REDRAWN if redraw else None)
        found = result.support(k)
        return result, record_of(
            result, seconds, X, y, found, certificate=sure, **holds(result, rows),
            **of_task(drawn, found, *right), determined=determined, redraws=redraws,
            method=method, model=model, seed=seed)

    return Plan(config, train, run, most_steps(config, train))


def unlabelled(task, seed):
    """Fresh rows of a task, drawn from a stream of their own."""
    return task.sample(streams(seed, 5)[4], ROWS)[0]


def of_task(task, found, clean, noisy):
    """What a record says of a drawn task and of the fresh examples that were right."""
    name_bits = math.log2(math.comb(task.T, task.k))
    return {
        "task": task.kind, "description": str(task), "k": task.k, "p": task.p, "noise": task.noise,
        "table": list(task.table), "support_bits": name_bits, "information_limit": name_bits,
        "chance": round(task.chance, 12), "support_true": list(task.support),
        "support_found": list(found), "holdout": HOLDOUT, "holdout_accuracy": clean / HOLDOUT,
        "noisy_holdout_accuracy": noisy / HOLDOUT,
        "learned": found == task.support and clean == HOLDOUT}


def streams(seed, n):
    """n independent generators of one seed."""
    return [np.random.default_rng(child) for child in
            np.random.SeedSequence(integer("seed", seed, 0)).spawn(integer("n", n, 0, 10 ** 6))]


def choose(usual, model, method, T, k, H, radius, steps):
    """Fill in what was left to choose: (method, model name, ModelConfig, TrainConfig)."""
    choice("method", method, ("auto", "pgd", "adam"))
    method = usual if method == "auto" else method
    model = {"pgd": "paper", "adam": "scalar"}[method] if model is None else model
    choice("model", model, MODELS)
    options = {name: value for name, value in (("H", H), ("radius", radius)) if value is not None}
    require(H is None or model != "mlp", "H", "none with model mlp", H)
    bounded = model in ("paper", "scalar")
    require(radius is None or bounded, "radius", f"none with model {model}", radius)
    if model == "paper":
        options["k"] = k
    config = getattr(ModelConfig, model)(T, **options)
    heads = config.H if model == "paper" else 1024
    most = f"at most {WIDEST // heads} with model {model} and heads = {config.H}"
    require(T * heads <= WIDEST, "T", most, T)
    return method, model, config, TrainConfig(method=method, steps=steps)


def timed_fit(X, y, config, rng, train, callback):
    """fit, and the seconds that it took."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)             # the record says how it went
        result = fit(X, y, config, rng, train=train, callback=callback)
    return result, time.perf_counter() - start
