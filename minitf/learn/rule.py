"""The Boolean rule that a model holds: a few columns and a truth table.

    rule = result.rule()        exact on every input, proved; None where that cannot be done
    rule = result.rule(X)       else read off rows without labels, with the share where it differs
    str(rule)                   "x1 and not x7";  rule.say(names) with other names
    rule(X)                     its labels (m,)

A head whose values are the bits, read out linearly, is affine: logit = c + sum_t v_t b_t. Let S be
s positions and p a pattern on them. Over the other bits the logit fills the interval

    [c + v_S . p + sum_rest min(v, 0),   c + v_S . p + sum_rest max(v, 0)]      both ends attained

If none of the 2^s intervals contains 0, the head is a function of b_S alone, on all 2^T inputs.
"""
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from minitf import checks
from minitf.checks import each, instance, integer, require, shape
from minitf.learn.words import in_words
from minitf.tasks import bits, count_ones, flips

MOST_EXACT = 12         # positions that an exact rule may depend on
MOST_READ = 6           # positions of a rule that is read off rows
ROWS = 256              # rows on which positions are flipped, and unseen patterns tried
CANDIDATES = 64         # positions that are flipped, the strongest
SLACK = 1e-9            # of |c| + sum |v| + 1: rounding cannot turn a sign


@dataclass(frozen=True)
class Rule:
    """y = table[sum_j b[support_j] 2^j] on rows of T columns; it depends on each of its columns.

    exact: the model is this rule on every one of the 2^T inputs. Otherwise it was read off some
    rows, and on `differs` of `rows` others the model says something else.
    """
    support: tuple
    table: tuple
    T: int
    exact: bool = True
    differs: int = 0
    rows: int = 0
    names: tuple | None = None

    def __post_init__(self):
        T = integer("T", self.T, 1)
        each(lambda name, t: integer(name, t, 0, T - 1))("support", self.support)
        shape("table", checks.bits("table", self.table, ndim=1), (1 << len(self.support),))

    def __call__(self, X):
        """Labels (m,) uint8 of rows X (m, T)."""
        X = bits("X", X)
        shape("X", X, (None, self.T))
        return np.asarray(self.table, np.uint8)[patterns(X, self.support)]

    @property
    def k(self):
        """The number of columns that it depends on."""
        return len(self.support)

    @property
    def disagreement(self):
        """The share of rows on which the model differs from it; 0.0 where it is exact."""
        return self.differs / self.rows if self.rows else 0.0

    @cached_property
    def by_count(self):
        """Labels by the number of ones (k + 1,) of a symmetric rule, else None."""
        table = np.asarray(self.table)
        by = table[(1 << np.arange(self.k + 1)) - 1]
        return tuple(by.tolist()) if (table == by[count_ones(self.k)]).all() else None

    def say(self, names=None):
        """The rule in words, with names of the T columns (its own, or x0, x1, .. unless given)."""
        names = self.names if names is None else names
        try:
            known = [f"x{t}" if names is None else str(names[t]) for t in self.support]
        except (LookupError, TypeError):
            require(False, "names", f"a name for each of {self.T} columns", names)
        return in_words(self.table, known)

    def __str__(self):
        return self.say()

    def same_as(self, other):
        """Whether both are the same function."""
        instance("other", other, Rule)
        return (self.support, self.table) == (other.support, other.table)


def patterns(X, support):
    """The number sum_j b[support_j] 2^j of each row of X (m, T): its row of a truth table."""
    return X[:, list(support)].astype(np.int64) @ (1 << np.arange(len(support)))


def exact_rule(v, c, names=None):
    """The Rule of logit = c + v . b on every input b, or None where more than MOST_EXACT of the T
    bits decide, or rounding could."""
    order = np.argsort(-np.abs(v), kind="stable")
    slack = SLACK * (1 + abs(c) + np.abs(v).sum())
    sums = np.array([c])
    for s in range(min(MOST_EXACT, len(v)) + 1):
        rest = v[order[s:]]
        low, high = sums + np.minimum(rest, 0).sum(), sums + np.maximum(rest, 0).sum()
        if ((low > slack) | (high < -slack)).all():
            return relevant(order[:s], low > slack, len(v), names=names)
        if s < len(v):
            sums = np.concatenate([sums, sums + v[order[s]]])
    return None


def relevant(positions, table, T, **how):
    """The Rule of a table over positions in any order, without those that it ignores."""
    positions, table = np.asarray(positions, int), np.asarray(table, np.uint8)
    kept = [j for j in range(len(positions)) if flips(table)[j].any()]
    kept.sort(key=lambda j: positions[j])
    index = sum((np.arange(1 << len(kept)) >> i & 1) << j for i, j in enumerate(kept))
    return Rule(tuple(positions[kept].tolist()), tuple(np.atleast_1d(table[index]).tolist()), T,
                **how)


def read_rule(predict, X, strength, names=None):
    """The Rule nearest to a model, read off every other row of X (m, T), counted on the others.

    1  Flip each of the strongest positions: how often does the prediction change?
    2  For s = 0, 1, .. of the most often decisive: the table by the model's majority on each
       pattern; patterns that no row has are put into the rows.
    3  Keep the s that describes the predictions in fewest nats, 2^s log(n) / 2 for the table and
       the entropy of the exceptions: one more column must explain what it costs.
    """
    require(len(X) >= 2, "X", "at least two rows to read a rule off", X)
    seen, others = X[::2], X[1::2]
    labels = predict(seen)
    few = seen[:ROWS].copy()
    rates = flip_rates(predict, few, strength)
    order = np.argsort(-rates, kind="stable")[:min(MOST_READ, int((rates > 0).sum()))]
    tables = [majority(predict, seen, labels, few, order[:s]) for s in range(len(order) + 1)]
    costs = [length(table[patterns(seen, order[:s])] != labels, s)
             for s, table in enumerate(tables)]
    s = int(np.argmin(costs))
    rule = relevant(order[:s], tables[s], X.shape[1], exact=False, names=names)
    return replace(rule, differs=int((rule(others) != predict(others)).sum()), rows=len(others))


def flip_rates(predict, X, strength):
    """How often a prediction on X (m, T) changes with each of the strongest columns, 0 for the
    others: (T,). X is as before afterwards."""
    base, rates = predict(X), np.zeros(X.shape[1])
    for t in np.argsort(-strength, kind="stable")[:CANDIDATES]:
        X[:, t] ^= 1
        rates[t] = (predict(X) != base).mean()
        X[:, t] ^= 1
    return rates


def majority(predict, X, labels, few, positions):
    """The model's most frequent label on each pattern of some positions (2^s,)."""
    index, size = patterns(X, positions), 1 << len(positions)
    ones, rows = np.bincount(index, labels, size), np.bincount(index, minlength=size)
    for pattern in np.flatnonzero(rows == 0):
        tried = few.copy()
        tried[:, positions] = pattern >> np.arange(len(positions)) & 1
        ones[pattern], rows[pattern] = predict(tried).sum(), len(tried)
    return (2 * ones > rows).astype(np.uint8)


def length(wrong, s):
    """Nats that a table of s columns and its exceptions among n rows take."""
    n, e = len(wrong), int(wrong.sum())
    entropy = 0.0 if e in (0, n) else -e * np.log(e / n) - (n - e) * np.log1p(-e / n)
    return entropy + 2 ** s * np.log(n + 1) / 2
