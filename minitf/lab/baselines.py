"""What a trained head is compared with: ranking positions one by one, and a sparse linear
threshold.

    screening(X, y, k)                  the k positions of largest covariance with the label
    w, b = l1_logistic(X, y, rng)       predict 1 where X w + b > 0

Both see the examples alone. `tasks.consistent_supports` is the third comparison, the exact
search.
"""
import numpy as np

from minitf.checks import examples, integer
from minitf.ops import logistic

PENALTIES = 12          # penalties on the path, each half of the one before
FOLDS = 5


def strongest(weights, k):
    """The k positions of largest |weight|, ascending; the first of equal ones."""
    return tuple(sorted(np.argsort(-np.abs(weights), kind="stable")[:k].tolist()))


def screening(X, y, k):
    """The k positions whose bit has the largest sample covariance with y, in absolute value."""
    X, y = examples(X, y)
    return strongest((y - y.mean()) @ X, integer("k", k, 1, X.shape[1]))


def l1_logistic(X, y, rng, after=lambda: None):
    """Minimise  mean logistic loss of X w + b, plus penalty ||w||_1.

    X (m, T), y (m,) -> w (T,), b

    The penalty is the one of fewest errors, then of least loss, in 5-fold cross-validation on the
    examples, the folds drawn from rng with both labels spread evenly. The path starts where w = 0
    is the answer and halves the penalty 12 times. after() is called after every fit; what it raises
    ends the search.
    """
    X, y = examples(X, y)
    X = X.astype(np.float64)
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), int)
    fold[order] = np.arange(len(y)) % FOLDS
    penalties = np.abs((y - y.mean()) @ X).max() / len(y) * 0.5 ** np.arange(1, PENALTIES + 1)
    errors, losses = np.zeros(PENALTIES, int), np.zeros(PENALTIES)
    for held in (fold == i for i in range(min(FOLDS, len(y)))):
        for j, (w, b) in enumerate(path(X[~held], y[~held], penalties)):
            logits = X[held] @ w + b
            errors[j] += ((logits > 0) != y[held]).sum()
            losses[j] += logistic(logits, y[held])[0].sum()
            after()
    best = min(range(PENALTIES), key=lambda j: (errors[j], losses[j]))
    for w, b in path(X, y, penalties[:best + 1]):     # noqa: B007 (the last is returned)
        after()
    return w, b


def path(X, y, penalties):
    """Yield (w, b) for each penalty, each search started from the one before: w = u - v with u, v
    >= 0."""
    from scipy.optimize import Bounds, minimize

    m, T = X.shape
    bounds = Bounds(np.concatenate((np.zeros(2 * T), [-30.0])),
                    np.concatenate((np.full(2 * T, np.inf), [30.0])))
    x = np.zeros(2 * T + 1)

    def objective(x, penalty):
        loss, pullback = logistic(X @ (x[:T] - x[T:-1]) + x[-1], y)
        dlogits = pullback(np.full(m, 1 / m))
        dw = dlogits @ X
        gradient = np.concatenate((penalty + dw, penalty - dw, [dlogits.sum()]))
        return loss.mean() + penalty * x[:-1].sum(), gradient

    for penalty in penalties:
        x = minimize(objective, x, (penalty,), "L-BFGS-B", jac=True, bounds=bounds).x
        yield x[:T] - x[T:-1], x[-1]
