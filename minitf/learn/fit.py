"""Learn from examples: `fit(X, y)` returns a Result that predicts, shows its attention, and saves itself.

fit sees the examples, the model and the options, never the rule or its support. Method "pgd" on the bounded class is
the search of `bounded`; any other pair of method and model is the plain loop below: minibatch gradients by `forward`,
one step of `optim` on the flat parameter vector, one projection onto the model's constraint sets.
"""
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minitf.checks import floats, generator, require, shape
from minitf.fast import attention_of, head_shares, mean_gradient
from minitf.learn.loop import _budget, _plain_loop, TrainConfig
from minitf.learn.result import Result
from minitf.learn.search import fit_bounded, longest_search
from minitf.model import constraints, ModelConfig, same_shapes, shapes
from minitf.optim import fixed_point_residual
from minitf.projections import Ball, Intersection, Simplex
from minitf.tasks import examples


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


def most_steps(model, train):
    """The number of steps that fit will not exceed, for a progress bar."""
    if _searches(model, train):
        return min(longest_search(train.restarts), train.steps or math.inf)
    return sum(_budget(train, i) for i in range(train.restarts + 1))


def _searches(model, train):
    """Whether fit searches the bounded class (ModelConfig.paper with one head, pgd) rather than run the plain loop."""
    return model.is_paper and train.method != "adam"
