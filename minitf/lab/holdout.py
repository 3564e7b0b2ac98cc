"""How trained models are judged: fresh samples that many predictors share, and the Fourier gap of a
hidden support."""
import math
from itertools import combinations

import numpy as np

from minitf.fast import predictor
from minitf.learn import Progress, in_blocks
from minitf.ops import softmax

HOLDOUT = 10_000        # fresh samples that decide whether a rule was learned
SETS = 20_000           # competitors of the support in a Fourier gap


def wilson(right, n, z=1.959963984540054):
    """95 % interval of a share of which `right` of n were seen: all q with |right/n - q| <= z
    sqrt(q (1-q) / n).

    Source: Wilson 1927.
    """
    centre, half = right + z * z / 2, z * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, (centre - half) / (n + z * z)), min(1.0, (centre + half) / (n + z * z))


def count_correct(predictors, task, rng, n=HOLDOUT, callback=None):
    """Of n fresh samples, each drawn once, how many predictions equal the clean label and how many
    the label with noise: an array (predictors, 2).

    predictors: functions from X to labels, (rows,) or (several, rows), which count one by one.
    """
    counts, done = 0, 0
    for X, y in task.blocks(rng, n, max(1, (1 << 22) // task.T)):
        truth = np.stack((task.label(X), y))
        counts += (labels_of(predictors, X)[:, None] == truth).sum(axis=-1)
        done += len(X)
        if callback is not None:
            callback(Progress(done, None, None))
    return counts


def predictors_of(several, model):
    """Functions from X to labels, (n, rows) or (rows,), of several parameters of one model; the
    last decides success.

    Many bounded heads are one product in float32, which is enough for a diagnostic; the last is
    asked in full.
    """
    def of(params):
        logits = predictor(params, model)
        return lambda X: in_blocks(logits, X, model) > 0

    if not model.is_paper or len(several) == 1:
        return [of(params) for params in several]
    scores = np.concatenate([params["q"] for params in several[:-1]])
    a = softmax(np.pad(scores, ((0, 0), (1, 0))))[0][:, 1:].astype(np.float32)
    w, c = (np.array([np.ravel(params[name]) for params in several[:-1]], np.float32)
            for name in ("w", "c"))
    return [lambda X: w * (a @ X.T.astype(np.float32)) + c > 0, of(several[-1])]


def labels_of(predictors, X):
    """The labels (n, rows) of all predictors."""
    return np.concatenate([np.atleast_2d(predict(X)) for predict in predictors])


def fourier_gaps(predictors, task, rng):
    """|F(S)| - max |F(A)| over k-sets A other than the support S, for every predictor.

    F(A) = mean of Y prod_{j in A} (-1)^b_j, Y the +-1 prediction, on 10,000 uniform inputs; all A
    if there are at most 20,000, else so many random ones.
    """
    X = rng.integers(0, 2, (HOLDOUT, task.T), dtype=np.uint8)
    Y = 1 - 2 * labels_of(predictors, X).astype(np.float32)
    if math.comb(task.T, task.k) <= SETS:
        sets = np.array(list(combinations(range(task.T), task.k)))
    else:
        sets = np.sort(rng.permuted(np.tile(np.arange(task.T), (SETS, 1)), axis=1)[:, :task.k])
    sets = sets[(sets != task.support).any(axis=1)]
    signs = 1 - 2 * X.T.astype(np.float32)

    def largest(sets):
        chi = np.prod(signs[sets], axis=1)
        return np.abs(chi @ Y.T).max(axis=0)

    others = [largest(sets[i:i + 256]) for i in range(0, len(sets), 256)]
    gaps = largest(np.array([task.support])) - np.max(others, axis=0, initial=0)
    return [round(float(gap) / HOLDOUT, 6) for gap in gaps]
