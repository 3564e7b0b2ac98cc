"""Boolean tasks to draw examples from: a rule on k hidden positions of T bits.

    task = sample_task(rng, "and", 64, 2)       y = AND of 2 of T = 64 bits, at random positions
    X, y = task.sample(rng, 200)                X (200, 64) and y (200,), both uint8
"""
from dataclasses import dataclass, field

import numpy as np

from minitf.checks import bits, choice, each, instance, integer, real, require, shape
from minitf.tasks.rules import (
    KINDS,
    balanced_p,
    count_ones,
    flips,
    fwht,
    labels_by_count,
    mean_label,
    ones_by_count,
    random_table,
    truth_table,
)

MOST = 2 ** 36          # bits of a sample; `blocks` gives more, in parts


@dataclass(frozen=True)
class BooleanTask:
    """A Boolean function of k of T bits and its examples.

    Bits are Bernoulli(p), labels flipped with probability noise. support: k ascending positions.
    table: 2^k labels (see `truth_table`). str(task) names the rule in words.
    """
    kind: str
    T: int
    k: int
    support: tuple
    table: tuple = field(repr=False)
    p: float
    noise: float = 0.0

    def __post_init__(self):
        T, k = integer("T", self.T, 1, MOST), integer("k", self.k, 1)
        S = tuple(each(lambda name, i: integer(name, i, 0, T - 1))("support", self.support))
        ascending = len(S) == k and list(S) == sorted(set(S))
        require(ascending, "support", f"{k} ascending positions", self.support)
        table = bits("table", self.table, ndim=1)
        shape("table", table, (1 << k,))
        table = tuple(table.tolist())
        by_count = labels_by_count(table)
        choice("kind", self.kind, KINDS)
        given = {"threshold": {"level": k + 1 - sum(by_count)}, "symmetric": {"table": by_count},
                 "junta": {"table": table}}
        rule = truth_table(self.kind, k, **given.get(self.kind, {}))
        require(rule == table, "table", f"the truth table of {self.kind}", self.table)
        p = real("p", self.p, "a probability above 0 and below 1", lambda p: 0 < p < 1)
        expected = "a flip rate from 0 to below 0.5"
        noise = real("noise", self.noise, expected, lambda nu: 0 <= nu < 0.5)
        checked = {"T": T, "k": k, "support": S, "table": table, "p": p, "noise": noise}
        for name, value in checked.items():
            object.__setattr__(self, name, value)       # how a frozen dataclass stores them

    def __str__(self):
        by_count = labels_by_count(self.table)
        words = {"and": "AND", "or": "OR", "threshold": f"threshold {self.k + 1 - sum(by_count)}",
                 "symmetric": "symmetric rule " + "".join(map(str, by_count))}
        return f"{words.get(self.kind, self.kind)} of {self.k} of {self.T} bits"

    def label(self, X):
        """Return the clean labels of the rows of X (m, T), zeros and ones -> y (m,) uint8."""
        X = bits("X", X)
        shape("X", X, (None, self.T))
        index = X[:, self.support].astype(np.int64) @ (1 << np.arange(self.k))
        return np.array(self.table, dtype=np.uint8)[index]

    def sample(self, rng, m):
        """Draw m examples: X (m, T) and y (m,), uint8, y with label noise.

        Equal generators give nested samples. m T is at most 2^36.
        """
        X = np.empty((integer("m", m, 1, max(1, MOST // self.T)), self.T), dtype=np.uint8)
        y = np.empty(m, dtype=np.uint8)
        rows = max(1, (1 << 22) // self.T)
        for i, (X_block, y_block) in enumerate(self.blocks(rng, m, rows)):
            X[i * rows:][:rows], y[i * rows:][:rows] = X_block, y_block
        return X, y

    def blocks(self, rng, m, rows):
        """Yield the m examples of `sample`, at most `rows` at a time, in O(rows T) bytes.

        The cuts do not change them. A bit is one random byte against floor(256 p), a tie decided by
        32 more bits: p is exact to 2^-40. A row takes whole 64-bit words of rng, the last of them
        for its label noise; ties are drawn from a second generator, seeded by the first two words.
        """
        instance("rng", rng, np.random.Generator)
        return self._blocks(rng, integer("m", m, 1), integer("rows", rows, 1))

    def _blocks(self, rng, m, rows):
        def words(*size):
            return rng.integers(0, 2 ** 64, size, dtype=np.uint64)

        high, low = divmod(int(self.p * 2 ** 40), 2 ** 32)
        tie_rng = np.random.default_rng(words(2))
        for start in range(0, m, rows):
            drawn = words(min(rows, m - start), -(-self.T // 8) + 1)
            octets = drawn.astype("<u8", copy=False).view(np.uint8)[:, :self.T]
            X = (octets < high).view(np.uint8)
            if low:
                ties = np.flatnonzero(octets == high)
                more = tie_rng.integers(0, 2 ** 32, ties.size, dtype=np.uint32)
                X.reshape(-1)[ties] = more < low
            flipped = drawn[:, -1] < np.uint64(self.noise * 2 ** 64)
            yield X, self.label(X) ^ flipped

    @property
    def label_probability(self):
        """P(y = 1), clean labels."""
        return mean_label(ones_by_count(self.table), self.p)

    @property
    def chance(self):
        """The accuracy of the best constant prediction against clean labels."""
        return max(self.label_probability, 1 - self.label_probability)

    def influences(self):
        """Return for each variable how probable it is that flipping it changes the label: (k,)."""
        ones = count_ones(self.k)
        return flips(self.table) @ (self.p ** ones * (1 - self.p) ** (self.k - ones))

    def sensitivity(self):
        """Return the largest number of single flips that each change the label of one input."""
        return int(flips(self.table).sum(axis=0).max())

    def average_sensitivity(self):
        """Return the mean number of single flips that change the label: the total influence."""
        return float(self.influences().sum())

    def fourier(self):
        """Return  F[A] = E[ Y prod_{j in A} (-1)^b_j ],  Y = 1 - 2y, of uniform bits.

        A is a bit mask over the support.
        """
        return fwht(1 - 2.0 * np.array(self.table)) / len(self.table)


def sample_task(rng, kind, T, k, *, level=None, table=None, p=None, noise=0.0):
    """Draw a task: its rule from kind, level and table, its support uniform among k-subsets of T.

    table=None draws a symmetric rule or junta at random (`random_table`); p=None balances the
    labels (`balanced_p`). Errors: those of `truth_table`; k above T; p outside (0, 1); noise
    outside [0, 0.5).
    """
    instance("rng", rng, np.random.Generator)
    require(integer("k", k, 1) <= integer("T", T, 1, MOST), "k", f"at most T = {T}", k)
    choice("kind", kind, KINDS)
    drawn = kind in ("symmetric", "junta") and table is None
    require(not drawn or k <= 20, "k", "at most 20 (a rule is kept as a table of 2^k labels)", k)
    require(not drawn or level is None, "level", f"nothing with {kind}", level)
    rule = random_table(rng, kind, k) if drawn else truth_table(kind, k, level, table)
    support = np.sort(rng.choice(T, k, replace=False)).tolist()
    p = balanced_p(rule) if p is None else p
    return BooleanTask(kind, T, k, support, rule, p, noise)
