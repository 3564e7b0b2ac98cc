"""Learn from examples: `fit(X, y)` returns a Result that predicts, shows its attention, is saved.

fit sees the examples, the model and the options, never the rule or its support. The bounded class
has a search of its own (`search`); every other model, and method "adam", goes through `loop`.
"""
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, require, shape, values
from minitf.fast import attention_of, head_shares, mean_gradient
from minitf.learn.loop import TrainConfig
from minitf.learn.result import Result, read_bits, with_negations
from minitf.learn.search import fit_bounded, longest_search
from minitf.learn.starts import ALL, POLISH, steps_of_starts, train_from_starts
from minitf.model import ModelConfig, constraints, same_shapes, shapes
from minitf.optim import fixed_point_residual
from minitf.projections import convex_set, reals
from minitf.tasks import examples

DOUBTFUL = 0.6          # errors in training, of those of the more frequent label, that are no fit


class Progress(NamedTuple):
    """What a callback is shown after a step: its number, the training loss (of the batch, in the
    loop), the parameters (one dict, or the Candidates of the bounded search), and in words what
    this step is for."""
    step: int
    loss: float
    params: object
    note: str = ""


class FitWarning(UserWarning):
    """A model explains its own examples badly: noise, or a rule that its class cannot hold."""


@checked
def fit(X, y, model: ModelConfig | None = None, rng: np.random.Generator | None = None, *,
        train: TrainConfig = TrainConfig(), params: Mapping | None = None,
        sets: Mapping | None = None, callback: Callable | None = None, negations: bool = False):
    """Train a model on examples X (m, T), perhaps Packed or a data frame, and labels y (m,), both
    of 0 and 1, and return a Result. FitWarning where training ends hardly above a constant.

    model      ModelConfig.paper(T) unless given
    rng        draws the start and the batches of the loop; a fixed one unless given
    params     where to start (the bounded search starts from uniform attention)
    sets       {name: set with .project(x)} in the place of constraints(model); every
               iterate lies in them. With params or sets given, the loop trains.
    callback   callback(Progress) is called after every step; what it raises ends the training
    negations  the model reads 2 T bits, the columns and then their complements: a bounded head
               weighs all its bits with one sign, and on both says "x1 and not x7"
    """
    X, y, names = read_examples(X, y)
    X = with_negations(X) if negations else X
    model = checked_model(model, X, train)
    rng = np.random.default_rng(0) if rng is None else rng
    if params is not None:
        same_shapes("params", params, shapes(model))
        params = {name: reals(f"params[{name!r}]", params[name]) for name in shapes(model)}
    search = searches(model, train) and params is None and sets is None
    sets = checked_sets(sets, model) if sets is not None else constraints(model)
    history, report = recorder(callback)
    header = {} if names is None else {"names": names}
    if search:
        params = fit_bounded(X, y, model, rounds_of(train), train.tol, report, train.steps,
                             train.mirror)
    else:
        params, _, more = train_from_starts(X, y, model, rng, train, params, sets, report)
        header |= {"next": more}
    result = finished(params, X, y, model, sets, history, header, negations)
    if train.steps is None:
        warn_of_a_bad_fit(result, X, y, "pgd" if search or train.method == "pgd" else "adam")
    return result


def fit_quietly(*args, **options):
    """fit without its warning, for those who judge the result themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return fit(*args, **options)


def read_examples(X, y):
    """Bits X and y, and the names of the columns where X is a data frame."""
    names = None
    if hasattr(X, "columns"):                   # else `examples` looks at the bits, once
        (X, names), y = read_bits(X), np.asarray(y)
    return *examples(X, y), names


def checked_model(model, X, train):
    """The model to train on the bits X (m, T), with the radius of the options."""
    model = ModelConfig.paper(X.shape[1]) if model is None else model
    learnable = (model.V, model.input) == (2, "bits")
    require(learnable, "model", "V = 2 and input bits: what fit can learn", model)
    shape("X", X, (None, model.T))
    return model if train.radius is None else replace(model, radius=train.radius)


def checked_sets(sets, model):
    """The sets of a caller: a dict from names of the model's parameters to sets that project."""
    for name in sets:
        require(name in shapes(model), "sets", "names among " + ", ".join(shapes(model)), name)
    return values(convex_set)("sets", sets)


def recorder(callback):
    """A history of steps and losses, and the function report(loss, params) that fills it."""
    history = {"step": [], "loss": []}

    def report(loss, params, note=""):
        history["step"].append(len(history["step"]) + 1)
        history["loss"].append(loss)
        if callback is not None:
            callback(Progress(len(history["step"]), loss, params, note))

    return history, report


def finished(params, X, y, model, sets, history, header, negations=False):
    """The Result of trained parameters: float64, with what it says of the training rows."""
    params = {name: np.array(value, np.float64, order="C") for name, value in params.items()}
    history = {name: np.array(values) for name, values in history.items()}
    _, grads = mean_gradient(params, X, y, model)
    residual = fixed_point_residual(params, grads, sets)
    weights, shares = attention_of(params, X, model), head_shares(params, X, model)
    return Result(params, model, weights, shares, X.mean(axis=0), history, residual, header,
                  negations)


def warn_of_a_bad_fit(result, X, y, method):
    """FitWarning where the model errs almost as often as the more frequent label would."""
    errors = int(np.count_nonzero((result.model_logits(X) > 0) != y))
    constant = int(min(y.sum(), len(y) - y.sum()))
    if errors > DOUBTFUL * constant:
        better = f"{result.header.get('next')} would be tried next"
        if result.model.is_paper:
            better = ("bounded heads hold weighted counts; ModelConfig.scalar(T), method adam, "
                      "holds any rule")
        warnings.warn(f"the model is wrong on {errors} of its {len(y)} examples, the more frequent "
                      f"label on {constant}: noise, or a rule that method {method} on this class "
                      f"does not find ({better})", FitWarning, stacklevel=3)


@checked
def most_steps(model: ModelConfig, train: TrainConfig):
    """The number of steps that fit will not exceed, for a progress bar."""
    if searches(model, train):
        return min(longest_search(model, rounds_of(train)), train.steps or math.inf)
    steps = steps_of_starts(model, train)
    return sum(steps) + len(steps) * (ALL + 2 * POLISH)


def rounds_of(train):
    """Rounds of restarts of the bounded search."""
    return 8 if train.restarts is None else train.restarts


def searches(model, train):
    """Whether fit searches the bounded class (ModelConfig.paper with one head, pgd) rather than go
    through the loop."""
    return model.is_paper and train.method != "adam"
