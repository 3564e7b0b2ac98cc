"""The loop of training: batch, gradient, step, project, yield.

It trains any model from where it is; `starts` says from where, on which rows and for how long. The
bounded class has a search of its own, `search`.
"""
import inspect
from dataclasses import dataclass

import numpy as np

from minitf.checks import choice, flag, integer, nonnegative, positive, real, require
from minitf.fast import on_vectors
from minitf.optim import adam_step, gradient_step, project_params


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
    restarts      rounds of swaps, and of restarts, of the bounded search (8); further starts of the
                  loop (as many as take about 75 seconds on one core, at most 14)
    tol           mean training loss at which a search is over
    mirror        whether the bounded search takes conditional gradient and mirror steps; False:
                  Euclidean steps alone, for comparison
    few           rows that a start of the loop sees before it has found something; None: all
    """
    method: str = "auto"
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    radius: float | None = None
    restarts: int | None = None
    tol: float = 0.02
    mirror: bool = True
    few: int | None = 4000

    def __post_init__(self):
        choice("method", self.method, ("auto", "pgd", "adam"))
        for name, least in ("steps", 1), ("batch", 1), ("few", 1), ("restarts", 0):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name), least)
        flag("mirror", self.mirror)
        for name in ("radius", "tol"):
            if getattr(self, name) is not None:
                real(name, getattr(self, name), "a number > 0", lambda v: v > 0)
        if self.lr is not None:
            positive("lr", self.lr)
        if self.weight_decay is not None:
            nonnegative("weight_decay", self.weight_decay)


def minibatch_descent(X, y, params, model, rng, train, sets, fade=None):
    """Yield (batch loss, params) after every step of projected minibatch descent, for ever.

        x <- P(step(x, gradient of the mean loss of a batch at x))      P projects onto the sets

    fade: the number of steps over which the step size falls to 0; None: it stays.
    """
    dtype = np.float64 if sets else np.float32              # rounding to float32 could leave a set
    pack, unpack, hold, gradient = on_vectors(model, dtype)
    step = optimiser(model, train, sets, fade)
    x = pack(project_params(params, sets))
    for batch in batches(X, y, min(train.batch or 128, len(X)), rng, hold):
        loss, dx = gradient(x, batch)
        x = step(x, dx)
        require(np.isfinite(x).all(), "lr",
                "a step size at which training does not diverge", train.lr)
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


def optimiser(model, train, sets, fade=None):
    """The function x, dx -> x of one step of the method, which keeps its state."""
    usual = 0.3 if model.is_paper else 1e-3 if model.block == "gpt" else 3e-3
    decay = 0.0 if sets else 0.1
    step, lr = adam_step, train.lr or usual
    options = {"weight_decay": decay if train.weight_decay is None else train.weight_decay}
    if train.method == "pgd":
        step, lr, options = gradient_step, train.lr or 0.1, {"momentum": 0.9}
    step, state, done = inspect.unwrap(step), None, 0           # the arguments are our own

    def advance(x, dx):
        nonlocal state, done
        rate = lr if fade is None else lr * max(0.0, 1 - done / fade)
        x, state = step(x, dx, state, lr=rate, **options)
        done += 1
        return x

    return advance
