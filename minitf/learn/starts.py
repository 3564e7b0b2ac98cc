"""From which start to train, on which rows, and when to stop.

More examples must not hurt, and all at once they do: many passes over few rows build the features
that a rule needs, where thousands of rows average their beginnings away. So a start takes

    few      steps on at most FEW rows, until nothing is undecided, or until the rows that it has
             not seen say that it has found something;
    all      then steps on all rows, in batches four times as large, until nothing is undecided;
    polish   else, as noisy labels leave some rows undecided for ever, steps from where it found
             something, with a step size that falls to 0 and a decay under which noise is not kept.

Starts follow one another, every third with twice the steps, for about 75 seconds of one core at
most (`MILLISECONDS`, LATER); the last word is that of the start that ended with the least
undecided.
"""
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minitf.learn.loop import TrainConfig, minibatch_descent
from minitf.learn.result import logits_of
from minitf.model import ModelConfig, init_params
from minitf.ops import logistic

FRESH = 4096            # rows on which a model may show that it has not made up its mind
ENOUGH = 1024           # rows that it has not seen on which it may show that it has found something
LOOK = 100              # steps from one look to the next
FEWEST = 500            # rows of which it pays to hold some back
LARGE = 512             # batch of the stages over all rows
ALL, POLISH = 800, 1500     # steps of these stages
LATER, TWICE = 5500, 9000   # steps of few that take as long as these, as these and a second polish
CLEAR = 0.01            # share undecided after polish that is left
DECAY = 3.0             # of polish, where the class is unbounded
STARTS = 15
MILLISECONDS = {"tf": (0.4, 0.002), "gpt": (2.0, 0.005), "mlp": (0.4, 0.005)}   # a step: a + b T


class Ended(NamedTuple):
    """What training came to: parameters, the share undecided, and in words what could be next."""
    params: dict
    left: float
    next: str


def steps_of_starts(model, train):
    """Steps allowed from each start in turn: by `restarts` if given, else by the time they take."""
    starts = STARTS if train.restarts is None else train.restarts + 1
    steps = [(train.steps or 800) * 2 ** (i // 3) for i in range(starts)]
    if train.restarts is not None:
        return steps
    each, more = MILLISECONDS[model.block]
    within = np.cumsum(steps) <= 75_000 / (each + more * model.T)
    return steps[:max(1, int(within.sum()))]


class Loop(NamedTuple):
    """What the stages of all starts share."""
    X: np.ndarray
    y: np.ndarray
    fresh: np.ndarray
    model: ModelConfig
    rng: np.random.Generator
    train: TrainConfig
    sets: dict
    report: Callable

    def descend(self, rows, params, steps, why, until=None, fade=None, **options):
        """Parameters after at most so many steps on some rows, until a look says enough."""
        X, y = (self.X, self.y) if rows is None else (self.X[rows], self.y[rows])
        moving = minibatch_descent(X, y, params, self.model, self.rng,
                                   replace(self.train, **options), self.sets, fade)
        for step, (loss, params) in enumerate(moving, 1):
            self.report(loss, params, why)
            if step == steps or until and step % LOOK == 0 and until(params):
                return params

    def left(self, params):
        """`undecided`, the training loss that of at most FRESH rows."""
        return undecided(params, self.X[:FRESH], self.y[:FRESH], self.fresh, self.model,
                         self.train.tol)

    def settled(self, params):
        """Whether nothing is undecided."""
        return self.left(params) == 0


def train_from_starts(X, y, model, rng, train, start, sets, report):
    """Train from one start after another until nothing is undecided, or a rule was polished.

    Returns Ended. start: parameters, for the first. report(loss, params, why) after every step.
    """
    loop = Loop(X, y, fresh_rows(X, rng), model, rng, train, sets, report)
    steps = steps_of_starts(model, train)
    best, plain = Ended(None, math.inf, ""), bool(sets) or start is not None
    held = 0 if plain or train.few is None or len(X) < FEWEST else max(len(X) - train.few,
                                                                       len(X) // 5)
    left = sum(steps) if train.restarts is None else math.inf
    for i, most in enumerate(steps):
        params = start if i == 0 and start is not None else init_params(rng, model)
        order = rng.permutation(len(X)) if held else np.arange(len(X))
        seen, unseen = order[:len(X) - held] if held else None, order[len(X) - held:][:ENOUGH]
        ended, later = one_start(loop, seen, unseen, params, most, f"start {i + 1} of {len(steps)}")
        best = min(best, ended, key=lambda ended: ended.left)
        left -= most + later
        if not ended.next or left <= 0:
            break
    return best


def one_start(loop, seen, unseen, params, most, name):
    """The stages few, all and polish from one start: Ended, and how many steps of few take as long
    as those of the others took."""
    X, y, model, train = loop.X, loop.y, loop.model, loop.train

    def has_found(params):
        return len(unseen) > 0 and found(params, X[unseen], y[unseen], model)

    some = "all" if seen is None else f"{len(seen)} of {len(X)}"
    params = loop.descend(seen, params, most, f"{name}, {some} rows, until a rule shows",
                          has_found if len(unseen) else loop.settled)
    if loop.settled(params):
        return Ended(params, 0, ""), 0
    if not has_found(params):
        return Ended(params, loop.left(params), missing(params, X, y, seen, model)), 0
    large = {"batch": train.batch or LARGE}
    whole = loop.descend(None, params, ALL, f"{name}, a rule shows: all rows, until they agree",
                         loop.settled, **large)
    if loop.settled(whole):
        return Ended(whole, 0, ""), ALL
    if not loop.sets and train.weight_decay is None:
        large["weight_decay"] = DECAY
    why = f"{name}, a rule shows through noise: all rows, smaller steps"
    for before in params, whole:                # a weak rule may fade with the weights
        params = loop.descend(None, before, POLISH, why, fade=POLISH, **large)
        if found(params, X, y, model):
            break
    else:
        params = whole
    doubt = unsure(params, loop.fresh, model, noise_level(params, X, y, model))
    took = TWICE if before is whole else LATER
    return Ended(params, doubt, "more examples" if doubt > CLEAR else ""), took


def missing(params, X, y, seen, model):
    """What a start that found nothing would have needed: of one that fits the rows it saw, more
    examples; of one that is still on its plateau, more steps."""
    X, y = (X, y) if seen is None else (X[seen], y[seen])
    loss = logistic(logits_of(params, X, model), y)[0].mean()
    return "more examples" if loss < math.log(2) / 2 else "more steps"


def fresh_rows(X, rng):
    """Rows of independent bits with the frequencies of X (m, T)."""
    rows = max(FRESH // 16, min(FRESH, 2 ** 24 // X.shape[1]))
    return (rng.random((rows, X.shape[1]), np.float32) < X.mean(axis=0)).astype(np.uint8)


def found(params, X, y, model):
    """Whether a model is right on rows it has not seen more than half way from the share of the
    more frequent label to 1, and five standard errors above that share."""
    chance = float(max(y.mean(), 1 - y.mean()))
    right = ((logits_of(params, X, model) > 0) == y).mean()
    return right > chance + max((1 - chance) / 2, 5 * math.sqrt(chance * (1 - chance) / len(y)))


def noise_level(params, X, y, model):
    """Half the |logit| of a model that knows how often its labels are wrong; at most 2, the level
    of labels that are right."""
    wrong = ((logits_of(params, X, model) > 0) != y).mean()
    return min(2.0, math.log((1 - wrong) / wrong) / 2) if wrong > 0 else 2.0


def unsure(params, fresh, model, level=2.0):
    """The share of fresh rows with |logit| < level."""
    return float((np.abs(logits_of(params, fresh, model)) < level).mean())


def undecided(params, X, y, fresh, model, tol):
    """Share of fresh rows on which a model has not made up its mind; 0 when training is over.

    A model that has memorised its examples fits them all, yet on other rows its logits scatter
    around 0; one that has found the rule is as sure there as on the examples. So, without a label:
    the share of fresh rows with |logit| < 2; 1 more while the mean training loss is above tol.
    """
    fitted = logistic(logits_of(params, X, model), y)[0].mean() <= tol
    return unsure(params, fresh, model) + (not fitted)
