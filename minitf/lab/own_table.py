"""One run on a user's own table: split its rows, train, and measure on the rows held out."""
import numpy as np

from minitf.checks import integer, real, require
from minitf.lab.certainty import certainty, holds, of_copies
from minitf.lab.draw import auto_method
from minitf.lab.holdout import wilson
from minitf.lab.run import Plan, choose, record_of, streams, timed_fit


def plan_table(table, k=None, *, model=None, method="auto", H=None, radius=None, steps=None,
               seed=0, holdout=0.2):
    """Check every option against a user's own bits (datasets.Table) and split them: a Plan as of
    plan_task.

    learned means better than chance: the lower end of the 95 % Wilson interval of the holdout
    accuracy is above the share of the majority label there. Without k the support is every position
    of at least half the largest attention.
    """
    T = table.X.shape[1]
    split_rng, training_rng, shuffle_rng = streams(seed, 3)
    require(k is None or 1 <= integer("k", k) <= T, "k",
            f"an integer from 1 to {T}, the number of columns", k)
    holdout = real("holdout", holdout, "a share above 0 and below 1", lambda share: 0 < share < 1)
    size = min(3, T) if k is None else k
    method, model, config, train = choose(auto_method("and", model), model, method, T, size, H,
                                          radius, steps)
    rows, held = stratified_split(table.X, table.y, holdout, split_rng)
    both = f"a share that leaves some of the {len(table.y)} rows on both sides"
    require(len(held) and len(rows), "holdout", both, holdout)
    X, y = table.X[rows], table.y[rows]

    def run(training=None, counting=None):
        result, seconds = timed_fit(X, y, config, training_rng, train, training)
        right = int((result.predict(table.X[held]) == table.y[held]).sum())
        interval = wilson(right, len(held))
        weights = result.strength()
        found = result.support(int((2 * weights >= weights.max()).sum()) if k is None else k)
        chance = float(max(table.y[held].mean(), 1 - table.y[held].mean()))
        order = shuffle_rng.permutation(len(table.y))

        def again(X, y):
            return timed_fit(X, y, config, np.random.default_rng(seed), train, None)[0]

        sure = certainty(result, table.X[order], table.y[order], k=k, train_again=again,
                         without=of_copies(table.X))
        return result, record_of(
            result, seconds, X, y, found, certificate=sure, **holds(result, None, table.names), description=f"{table.label} from {T} columns",
            label=table.label, names=list(table.names), k=k, chance=chance,
            support_found=[table.names[t] for t in found], holdout=len(held),
            holdout_accuracy=right / len(held), holdout_interval=list(interval),
            learned=interval[0] > chance, method=method, model=model, seed=seed)

    return Plan(config, train, run)


def stratified_split(X, y, share, rng):
    """Split rows 0..m-1 at random into (train, holdout), holdout taking `share` of the rows of each
    label, rounded, as far as equal rows of X can stay on one side."""
    _, first, group = np.unique(np.packbits(X, axis=1), axis=0, return_index=True,
                                return_inverse=True)
    order = np.argsort(np.argsort(first))       # groups in the order of their first rows
    group = order[group.ravel()]
    size = np.bincount(group)
    major = 2 * np.bincount(group, weights=y) > size
    held = np.zeros(len(size), bool)
    for value in (False, True):
        groups = rng.permutation(np.flatnonzero(major == value))
        wanted = round(share * size[groups].sum())
        for i in groups:
            if size[i] <= wanted:
                held[i], wanted = True, wanted - size[i]
    return np.flatnonzero(~held[group]), np.flatnonzero(held[group])
