"""The loop of training: batch, gradient, step, project, yield.

It trains any model, from one start after another, until one of them has learned beyond doubt. The
bounded class has a search of its own (minitf.learn.search).
"""
import math
from dataclasses import dataclass

import numpy as np

from minitf.checks import choice, integer, real, require
from minitf.fast import on_vectors
from minitf.learn.result import logits_of
from minitf.model import init_params
from minitf.ops import logistic
from minitf.optim import adam_step, gradient_step, project_params, repeated

FRESH = 4096            # rows on which a model may show that it has not made up its mind


@dataclass(frozen=True)
class TrainConfig:
    """How to train; None means the method's own value.

    method        "pgd" projected gradient descent, "adam" projected Adam, "auto": pgd for the
                  bounded class, else adam
    steps         the most steps of the bounded search (no limit); steps from the first start of the
                  loop (800)
    batch         examples a step, drawn without replacement in epochs (128; at most m)
    lr            step size of the loop (adam 3e-3, of gpt 1e-3, of paper 0.3; pgd 0.1, with
                  momentum 0.9)
    weight_decay  decoupled decay of adam (0.1 where the class is unbounded, else 0)
    radius        replaces the model's bound on ||q||_1 of every head
    restarts      rounds of restarts of the bounded search; further starts of the loop
    tol           mean training loss at which a search is over
    mirror        whether the bounded search begins with mirror steps; False: Euclidean steps alone,
                  for comparison
    """
    method: str = "auto"
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    radius: float | None = None
    restarts: int = 8
    tol: float = 0.02
    mirror: bool = True

    def __post_init__(self):
        choice("method", self.method, ("auto", "pgd", "adam"))
        for name in ("steps", "batch"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name), 1)
        integer("restarts", self.restarts, 0)
        require(isinstance(self.mirror, bool), "mirror", "True or False", self.mirror, TypeError)
        for name in ("radius", "tol"):
            if getattr(self, name) is not None:
                real(name, getattr(self, name), "a number > 0", lambda v: v > 0)
        if self.lr is not None:
            real("lr", self.lr, "a finite number > 0", lambda v: 0 < v < math.inf)
        if self.weight_decay is not None:
            real("weight_decay", self.weight_decay, "a finite number >= 0",
                 lambda v: 0 <= v < math.inf)


def minibatch_descent(X, y, params, model, rng, train, sets):
    """Yield (batch loss, params) after every step of projected minibatch descent, for ever.

        x <- P(step(x, gradient of the mean loss of a batch at x))      P projects onto the sets
    """
    dtype = np.float64 if sets else np.float32              # rounding to float32 could leave a set
    pack, unpack, hold, gradient = on_vectors(model, dtype)
    step = optimiser(model, train, sets)
    x = pack(project_params(params, sets))
    for batch in batches(X, y, min(train.batch or 128, len(X)), rng, hold):
        loss, dx = gradient(x, batch)
        x = step(x, dx)
        if sets:
            x = pack(project_params(unpack(x), sets))
        yield loss, unpack(x)


def batches(X, y, size, rng, hold):
    """Yield hold(rows of X, rows of y), `size` rows drawn without replacement in epochs, for ever.
    All rows are held once, in their order."""
    order, everything = np.empty(0, int), hold(X, y) if size == len(X) else None
    while True:
        if len(order) < size:
            order = rng.permutation(len(X))
        rows, order = order[:size], order[size:]
        yield hold(X[rows], y[rows]) if everything is None else everything


def optimiser(model, train, sets):
    """The function x, dx -> x of one step of the method, which keeps its state."""
    if train.method == "pgd":
        return repeated(gradient_step, lr=train.lr or 0.1, momentum=0.9)
    usual = 0.3 if model.is_paper else 1e-3 if model.block == "gpt" else 3e-3
    decay = 0.0 if sets else 0.1
    return repeated(adam_step, lr=train.lr or usual,
                    weight_decay=decay if train.weight_decay is None else train.weight_decay)


def steps_from(train, i):
    """Steps allowed from start i: twice as many after every third start."""
    return (train.steps or 800) * 2 ** (i // 3)


def train_from_starts(X, y, model, rng, train, start, sets, report):
    """Descend from one start after another until a look, every 100 steps, finds nothing undecided.

    Returns the parameters of the start that ended with the least undecided.
    """
    fresh = fresh_rows(X, rng)
    best, least = None, math.inf
    for i in range(train.restarts + 1):
        params = start if i == 0 and start is not None else init_params(rng, model)
        descent = minibatch_descent(X, y, params, model, rng, train, sets)
        for step, (loss, params) in enumerate(descent, 1):
            report(loss, params)
            last = step == steps_from(train, i)
            if last or step % 100 == 0:
                left = undecided(params, X, y, fresh, model, train.tol)
                if left == 0 or last:
                    break
        if left < least:
            best, least = params, left
        if left == 0:
            break
    return best


def fresh_rows(X, rng):
    """Rows of independent bits with the frequencies of X (m, T)."""
    rows = max(FRESH // 16, min(FRESH, 2 ** 24 // X.shape[1]))
    return (rng.random((rows, X.shape[1]), np.float32) < X.mean(axis=0)).astype(np.uint8)


def undecided(params, X, y, fresh, model, tol):
    """Share of fresh rows on which a model has not made up its mind; 0 when training is over.

    A model that has memorised its examples fits them all, yet on other rows its logits scatter
    around 0; one that has found the rule is as sure there as on the examples. So, without a label:
    the share of fresh rows with |logit| < 2; 1 more while the mean training loss is above tol.
    """
    fitted = logistic(logits_of(params, X, model), y)[0].mean() <= tol
    return float((np.abs(logits_of(params, fresh, model)) < 2).mean()) + (not fitted)
