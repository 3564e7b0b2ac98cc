"""Learn from examples: `fit(X, y)` returns a Result that predicts, shows its attention, and saves itself.

fit sees the examples, the model and the options, never the rule or its support. Method "pgd" on the bounded class is
the search of `bounded`; any other pair of method and model is the plain loop below: minibatch gradients by `forward`,
one step of `optim` on the flat parameter vector, one projection onto the model's constraint sets.
"""
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from minitf.bounded import fit_bounded, longest_search
from minitf.checks import choice, floats, generator, integer, real, require, shape
from minitf.losses import logistic
from minitf.model import ModelConfig, attention_of, blocks, constraints, forward, head_shares, init_params, shapes
from minitf.optim import adam, fixed_point_residual, gradient_step, project_params, repeated
from minitf.packed import examples
from minitf.params import flatten, same_shapes, unflatten
from minitf.projections import Ball, Intersection, Simplex
from minitf.result import Result, logits_of
from minitf.scalar import is_scalar, scalar_gradient

FRESH = 4096            # rows on which the plain loop looks for doubts


@dataclass(frozen=True)
class TrainConfig:
    """How to train; None means the method's own value.

    method        "pgd" projected gradient descent, "adam" projected Adam, "auto": pgd for the bounded class, else adam
    steps         the most steps of the bounded search (no limit); steps from the first start of the plain loop (800)
    batch         examples a step, drawn without replacement in epochs (128; at most m)
    lr            step size of the plain loop (adam 3e-3, of gpt 1e-3, of paper 0.3; pgd 0.1, with momentum 0.9)
    weight_decay  decoupled decay of adam (0.1 where the class is unbounded, else 0)
    radius        replaces the model's bound on ||W_QK^T||_{2,1}
    restarts      rounds of restarts of the bounded search; further starts of the plain loop
    tol           mean training loss at which a search is over
    mirror        whether the bounded search begins with mirror steps; False: Euclidean steps alone, for comparison
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
            real("weight_decay", self.weight_decay, "a finite number >= 0", lambda v: 0 <= v < math.inf)


class Progress(NamedTuple):
    """What a callback is shown after a step: its number, the training loss (of the batch, in the plain loop), and the
    parameters: one dict, or the candidates of the bounded search as minitf.bounded.Heads."""
    step: int
    loss: float
    params: object


def fit(X, y, model=None, rng=None, *, train=TrainConfig(), params=None, sets=None, callback=None):
    """Train a model on examples X (m, T), perhaps Packed, and labels y (m,), both of 0 and 1, and return a Result.

    model: ModelConfig.paper(T) unless given. rng: draws the start and the batches of the plain loop; a fixed one unless
    given. params: where to start (the bounded search starts from uniform attention). sets: {name: Ball, Simplex or
    Intersection} in the place of constraints(model); every iterate lies in them. callback(Progress) is called after
    every step; what it raises ends the training. With params or sets given, the plain loop trains.
    """
    X, y = examples(X, y)
    model = ModelConfig.paper(X.shape[1]) if model is None else model
    require(isinstance(model, ModelConfig), "model", "a ModelConfig", model, TypeError)
    learnable = (model.V, model.input) == (2, "bits") and model.normalise != "hard"
    require(learnable, "model", "V = 2, input bits and normalise not hard: what fit can learn", model)
    shape("X", X, (None, model.T))
    require(isinstance(train, TrainConfig), "train", "a TrainConfig", train, TypeError)
    model = model if train.radius is None else replace(model, radius=train.radius)
    rng = np.random.default_rng(0) if rng is None else generator("rng", rng)
    if params is not None:
        same_shapes("params", params, shapes(model))
        params = {name: floats(name, params[name], finite=True) for name in shapes(model)}
    history = {"step": [], "loss": []}

    def report(loss, params):
        history["step"].append(len(history["step"]) + 1)
        history["loss"].append(loss)
        if callback is not None:
            callback(Progress(len(history["step"]), loss, params))

    search = _searches(model, train) and params is None and sets is None
    sets = _checked(sets, model) if sets is not None else constraints(model)
    if search:
        params = fit_bounded(X, y, model, train.restarts, train.tol, report, train.steps, train.mirror)
    else:
        params = _plain_loop(X, y, model, rng, train, params, sets, report)
        params = {name: np.array(value, np.float64, order="C") for name, value in params.items()}
    history = {name: np.array(values) for name, values in history.items()}
    _, grads = mean_gradient(params, X, y, model)
    residual = fixed_point_residual(params, grads, sets)
    weights, shares = attention_of(params, X, model), head_shares(params, X, model)
    return Result(params, model, weights, shares, X.mean(axis=0), history, residual)


def _checked(sets, model):
    """The sets of a caller: a dict from names of the model's parameters to sets that can project."""
    require(isinstance(sets, dict), "sets", "a dict {parameter: set}", sets, TypeError)
    for name, set_ in sets.items():
        require(name in shapes(model), "sets", "names among " + ", ".join(shapes(model)), name)
        require(isinstance(set_, (Ball, Simplex, Intersection)), f"sets[{name!r}]", "a Ball, Simplex or Intersection",
                set_, TypeError)
    return sets


def mean_gradient(params, X, y, model):
    """The mean logistic loss over examples, and its gradient: a dict with the keys of params."""
    total, grads = 0.0, None
    for rows in blocks(len(X), model):
        logits, back_model = forward(params, X[rows], model)
        loss, back_loss = logistic(logits, y[rows])
        part = back_model(back_loss(np.full(len(loss), 1 / len(y), logits.dtype)))
        total += float(loss.sum())
        grads = part if grads is None else {name: grads[name] + part[name] for name in part}
    return total / len(y), grads


def most_steps(model, train):
    """The number of steps that fit will not exceed, for a progress bar."""
    if _searches(model, train):
        return min(longest_search(train.restarts), train.steps or math.inf)
    return sum(_budget(train, i) for i in range(train.restarts + 1))


def _budget(train, i):
    """Steps allowed from start i of the plain loop."""
    return (train.steps or 800) * 2 ** (i // 3)


def _searches(model, train):
    """Whether fit searches the bounded class (ModelConfig.paper with one head, pgd) rather than run the plain loop."""
    return model.is_paper and train.method != "adam"


def _plain_loop(X, y, model, rng, train, start, sets, report):
    """Minibatch steps of one optimiser from one start after another, until one of them has learned beyond doubt.

    Returns the parameters of the start that ended with the fewest doubts.
    """
    rows = max(FRESH // 16, min(FRESH, 2 ** 24 // X.shape[1]))
    fresh = (rng.random((rows, X.shape[1]), np.float32) < X.mean(axis=0)).astype(np.uint8)
    best, fewest = None, math.inf
    for i in range(train.restarts + 1):
        params = start if i == 0 and start is not None else init_params(rng, model)
        for step, (loss, params) in enumerate(descend(X, y, params, model, rng, train, sets), 1):
            report(loss, params)
            last = step == _budget(train, i)
            if last or step % 100 == 0:
                left = _doubts(params, X, y, fresh, model, train.tol)
                if left == 0 or last:
                    break
        if left < fewest:
            best, fewest = params, left
        if left == 0:
            break
    return best


def _doubts(params, X, y, fresh, model, tol):
    """Share of rows on which a model has not made up its mind, 0 when training is over.

    A model that has memorised its examples fits them all, yet on other rows its logits scatter around 0; one that has
    found the rule is as sure there as on the examples. So, without a label: the share of fresh rows, independent bits
    of the training frequencies, with |logit| < 2; 1 more while the mean training loss is above tol.
    """
    fitted = logistic(logits_of(params, X, model), y)[0].mean() <= tol
    return float((np.abs(logits_of(params, fresh, model)) < 2).mean()) + (not fitted)


def descend(X, y, params, model, rng, train, sets):
    """Yield (batch loss, params) after every step, for ever: gradient, optimiser on one vector, projection."""
    m = len(X)
    decay = train.weight_decay if train.weight_decay is not None else 0.0 if sets else 0.1
    usual = 0.3 if model.is_paper else 1e-3 if model.block == "gpt" else 3e-3
    step = adam(lr=train.lr or usual, weight_decay=decay)
    if train.method == "pgd":
        step = repeated(gradient_step, lr=train.lr or 0.1, momentum=0.9)
    dtype = np.float64 if sets else np.float32              # rounding to float32 could leave a set
    pack, unpack, hold, gradient = _on_vectors(model, dtype)
    batch, order = min(train.batch or 128, m), np.empty(0, int)
    x, held = pack(project_params(params, sets)), hold(X, y) if batch == m else None
    while True:
        if len(order) < batch:
            order = rng.permutation(m)
        rows, order = order[:batch], order[batch:]
        loss, dx = gradient(x, hold(X[rows], y[rows]) if batch < m else held)
        x = step(x, dx)
        if sets:
            x = pack(project_params(unpack(x), sets))
        yield loss, unpack(x)


def _on_vectors(model, dtype):
    """mean_gradient with the parameters as one vector, as in `scalar.scalar_gradient`, and by it where it applies:
    x = pack(params), params = unpack(x), data = hold(X, y), gradient(x, data) -> loss, dx until the next call."""
    if is_scalar(model):
        pack, unpack, prepare, fast = scalar_gradient(model, dtype)
    else:
        like = {name: np.empty(shape) for name, shape in shapes(model).items()}
        pack, unpack = lambda params: flatten(params).astype(dtype), partial(unflatten, like=like)
        prepare, fast = lambda X, y: None, lambda x, prepared: None

    def hold(X, y):
        return X, y, prepare(X, y)

    def gradient(x, data):
        X, y, prepared = data
        found = fast(x, prepared)
        if found is None:
            loss, grads = mean_gradient(unpack(x), X, y, model)
            found = loss, pack(grads)
        return found

    return pack, unpack, hold, gradient
