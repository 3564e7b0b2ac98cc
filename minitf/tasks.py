"""Sparse Boolean functions of long bit strings, and the labelled examples drawn from them.

    task = sample_task(rng, "and", T=64, k=2)       y = AND of 2 of 64 bits, the support drawn at random
    X, y = task.sample(rng, 200)                    X (200, 64) and y (200,), both uint8

Whatever its kind, a rule is one truth table of 2^k entries, least significant bit first over the sorted support:
label = table[sum_j b[i_j] 2^j]. Probabilities, influences, sensitivity and Fourier coefficients are read off that table.
Source: Edelman, Goel, Kakade, Zhang, ICML 2022, section 5 (the tasks); O'Donnell, Analysis of Boolean Functions, 2014.
"""
import math
from dataclasses import dataclass, field

import numpy as np

from minitf.checks import bits, choice, generator, integer, real, require, shape

KINDS = ("and", "or", "majority", "parity", "threshold", "symmetric", "junta")


def count_ones(k):
    """Return the number of ones in each index 0 .. 2^k - 1."""
    ones = np.zeros(1, dtype=np.int64)
    for _ in range(k):
        ones = np.concatenate((ones, ones + 1))
    return ones


def flips(table):
    """Say for each variable and each input whether flipping that one bit changes the rule: (k, 2^k) booleans."""
    table = np.asarray(table, dtype=np.uint8)
    pairs = (table.reshape(-1, 2, 1 << j) for j in range(table.size.bit_length() - 1))
    return np.stack([(pair != pair[:, ::-1]).reshape(-1) for pair in pairs])


def truth_table(kind, k, level=None, table=None):
    """Return the rule as a tuple of 2^k labels, least significant bit first: entry sum_j b_j 2^j belongs to bits b_0 .. b_{k-1}.

    With c the number of ones: and c = k, or c >= 1, majority c >= k//2 + 1, threshold c >= level, parity c mod 2,
    symmetric table[c] (k + 1 entries), junta table itself (2^k entries).
    Errors: k outside 1..20, level or table missing or not wanted, a rule that ignores one of its variables (a constant
    one ignores all of them).
    """
    choice("kind", kind, KINDS)
    integer("k", k, 1)
    require(k <= 20, "k", "at most 20 (a rule is kept as a table of 2^k labels)", k)
    require((level is None) == (kind != "threshold"), "level", f"{'1 to k' if kind == 'threshold' else 'none'} for {kind}", level)
    size = {"symmetric": k + 1, "junta": 1 << k}.get(kind)
    require((table is None) == (size is None), "table", f"{f'{size} zeros and ones' if size else 'none'} for {kind}", table)
    if kind == "junta":
        rule = bits("table", table, ndim=1)
        shape("table", rule, (size,))
    else:
        if kind == "symmetric":
            by_count = bits("table", table, ndim=1)
            shape("table", by_count, (size,))
        elif kind == "parity":
            by_count = np.arange(k + 1, dtype=np.uint8) % 2
        else:
            least = {"and": k, "or": 1, "majority": k // 2 + 1}.get(kind)
            least = integer("level", level, 1, k) if least is None else least
            by_count = (np.arange(k + 1) >= least).astype(np.uint8)
        rule = by_count[count_ones(k)]
    require(flips(rule).any(axis=1).all(), "table", f"a rule that depends on all {k} variables", table)
    return tuple(rule.tolist())


def random_table(rng, kind, k):
    """Draw a symmetric rule or junta uniformly among those that depend on all k variables with 0.3 <= mean label <= 0.7.

    The mean is over uniform bits. Parity always qualifies, so the rejection ends; for juntas of 2 variables only parity
    and its complement do.
    """
    while True:
        rule = rng.integers(0, 2, k + 1 if kind == "symmetric" else 1 << k, dtype=np.uint8)
        rule = rule[count_ones(k)] if kind == "symmetric" else rule
        if 0.3 <= rule.mean() <= 0.7 and flips(rule).any(axis=1).all():
            return tuple(rule.tolist())


def ones_by_count(table):
    """Return n_c, the number of inputs with c ones that the rule labels 1:  P(y = 1) = sum_c n_c p^c (1-p)^(k-c)."""
    k = len(table).bit_length() - 1
    return np.bincount(count_ones(k), weights=table, minlength=k + 1)


def bernstein_roots(b):
    """Return the roots in [0, 1] of  sum_c b_c C(n, c) p^c (1-p)^(n-c),  ascending.

    Between neighbouring roots of the derivative, whose coefficients are the differences of b, the polynomial is monotone:
    recurse on the derivative, then bisect all intervals at once. A value below the rounding of its own sum counts as 0,
    which finds the roots where the polynomial only touches 0.
    """
    n = len(b) - 1
    if n == 0:
        return np.empty(0)
    c = np.arange(n + 1)
    weights = b * [math.comb(n, j) for j in range(n + 1)]

    def value(p):
        return p[:, None] ** c * (1 - p[:, None]) ** (n - c) @ weights

    ends = np.concatenate(([0.0], bernstein_roots(np.diff(b)), [1.0]))
    at_ends = value(ends)
    at_ends[np.abs(at_ends) <= (n + 1) * np.finfo(float).eps * np.abs(b).max()] = 0
    crossed = at_ends[:-1] * at_ends[1:] < 0
    low, high, side = ends[:-1][crossed], ends[1:][crossed], at_ends[:-1][crossed]
    for _ in range(64):
        middle = (low + high) / 2
        before = value(middle) * side > 0
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return np.sort(np.concatenate((ends[at_ends == 0], high)))


def balanced_p(table):
    """Return the p closest to 1/2 for which Bernoulli(p) bits give P(y = 1) = 1/2.

    A rule that is never balanced (its label then is the same for all zeros and all ones) gets the p that brings
    P(y = 1) nearest to 1/2. Closed forms: and 2^(-1/k), or 1 - 2^(-1/k), parity and odd majority 1/2.
    """
    ones = ones_by_count(table)
    k = len(ones) - 1
    if 2 * ones.sum() == 1 << k:
        return 0.5
    b = ones / [math.comb(k, c) for c in range(k + 1)] - 0.5
    roots = bernstein_roots(b)
    if roots.size:
        return float(roots[np.abs(roots - 0.5).argmin()])
    turns = bernstein_roots(np.diff(b))
    miss = [abs(label_mean(ones, p) - 0.5) for p in turns]
    return float(turns[np.argmin(miss)])


def label_mean(ones, p):
    """Return P(y = 1) under Bernoulli(p) bits from the counts of `ones_by_count`."""
    k = len(ones) - 1
    return math.fsum(n * p ** c * (1 - p) ** (k - c) for c, n in enumerate(ones.tolist()))


def fwht(values):
    """Return the fast Walsh-Hadamard transform  F[A] = sum_b values[b] (-1)^|A and b|  of 2^k values, in O(k 2^k).

    Its own inverse up to the factor 2^k.
    """
    F = np.array(values, dtype=np.float64)
    for j in range(F.size.bit_length() - 1):
        pairs = F.reshape(-1, 2, 1 << j)
        F = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).reshape(-1)
    return F


@dataclass(frozen=True)
class BooleanTask:
    """A Boolean function of k of T bits, with the distribution of its examples: bits Bernoulli(p), labels flipped at rate noise.

    support: k ascending positions. table: 2^k labels (see `truth_table`). `str(task)` names the rule in words.
    """
    kind: str
    T: int
    k: int
    support: tuple
    table: tuple = field(repr=False)
    p: float
    noise: float = 0.0

    def __post_init__(self):
        integer("T", self.T, 1)
        integer("k", self.k, 1)
        require(self.k <= self.T, "k", f"at most T = {self.T}", self.k)
        S = tuple(int(i) for i in self.support)
        rising = len(S) == self.k and S[0] >= 0 and S[-1] < self.T and all(i < j for i, j in zip(S, S[1:]))
        require(rising, "support", f"{self.k} ascending positions below {self.T}", self.support)
        table = tuple(int(label) for label in self.table)
        require(len(table) == 1 << self.k, "table", f"{1 << self.k} entries", self.table)
        profile = self.labels_by_count(table)
        options = {"threshold": {"level": self.k + 1 - sum(profile)}, "symmetric": {"table": profile}, "junta": {"table": table}}
        rule = truth_table(self.kind, self.k, **options.get(self.kind, {}))
        require(rule == table, "table", f"the table of {self.kind}", self.table)
        p = real("p", self.p, "a probability above 0 and below 1", lambda p: 0 < p < 1)
        noise = real("noise", self.noise, "a flip rate from 0 to below 0.5", lambda nu: 0 <= nu < 0.5)
        for name, value in {"support": S, "table": table, "p": p, "noise": noise}.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def labels_by_count(table):
        """Return the labels of the inputs 00..0, 10..0, 110..0, ...: of a symmetric rule they are all there is."""
        return tuple(table[(1 << c) - 1] for c in range(len(table).bit_length()))

    def __str__(self):
        by_count = self.labels_by_count(self.table)
        rule = {"and": "AND", "or": "OR", "threshold": f"threshold {self.k + 1 - sum(by_count)}",
                "symmetric": "symmetric rule " + "".join(map(str, by_count)),
                "junta": "junta " + "".join(map(str, self.table)) if self.k <= 4 else "junta"}.get(self.kind, self.kind)
        return f"{rule} of {self.k} of {self.T} bits"

    def label(self, X):
        """Return the clean labels of the rows of X.      X (m, T) of zeros and ones -> y (m,) uint8."""
        X = bits("X", X)
        shape("X", X, (None, self.T))
        index = X[:, self.support].astype(np.int64) @ (1 << np.arange(self.k))
        return np.array(self.table, dtype=np.uint8)[index]

    def sample(self, rng, m):
        """Draw m examples: X (m, T) and y (m,), uint8, y with label noise. The rows of a smaller m are the first of a larger one."""
        X, y = np.empty((integer("m", m, 1), self.T), dtype=np.uint8), np.empty(m, dtype=np.uint8)
        rows = max(1, (1 << 22) // self.T)
        for i, (X_block, y_block) in enumerate(self.blocks(rng, m, rows)):
            X[i * rows:][:rows], y[i * rows:][:rows] = X_block, y_block
        return X, y

    def blocks(self, rng, m, rows):
        """Yield the same m examples as `sample`, at most `rows` at a time, in O(rows T) bytes.

        A bit is one random byte against floor(256 p); a tie is decided by 32 more bits, so p is exact to 2^-40. A row
        takes whole 64-bit words of rng, the last of them for its label noise, and ties take theirs from a generator seeded
        by the first two words: hence the stream does not depend on how it is cut.
        """
        generator("rng", rng)
        return self._blocks(rng, integer("m", m, 1), integer("rows", rows, 1))

    def _blocks(self, rng, m, rows):
        def draw(*size):
            return rng.integers(0, 2 ** 64, size, dtype=np.uint64)

        high, low = divmod(int(self.p * 2 ** 40), 2 ** 32)
        tie_rng = np.random.default_rng(draw(2))
        for start in range(0, m, rows):
            words = draw(min(rows, m - start), -(-self.T // 8) + 1)
            octets = words.astype("<u8", copy=False).view(np.uint8)[:, :self.T]
            X = (octets < high).view(np.uint8)
            if low:
                ties = np.flatnonzero(octets == high)
                X.reshape(-1)[ties] = tie_rng.integers(0, 2 ** 32, ties.size, dtype=np.uint32) < low
            yield X, self.label(X) ^ (words[:, -1] < np.uint64(self.noise * 2 ** 64))

    @property
    def label_probability(self):
        """P(y = 1), clean labels."""
        return label_mean(ones_by_count(self.table), self.p)

    @property
    def chance(self):
        """The accuracy of the best constant prediction, clean labels."""
        return max(self.label_probability, 1 - self.label_probability)

    def influences(self):
        """Return for each variable of the support the probability that flipping its bit changes the label: (k,)."""
        ones = count_ones(self.k)
        return flips(self.table) @ (self.p ** ones * (1 - self.p) ** (self.k - ones))

    def sensitivity(self):
        """Return the largest number of single flips that change the label of one input."""
        return int(flips(self.table).sum(axis=0).max())

    def average_sensitivity(self):
        """Return the mean number of single flips that change the label: the total influence."""
        return float(self.influences().sum())

    def fourier(self):
        """Return F[A] = E[ Y prod_{j in A} (-1)^b_j ] for uniform bits, Y = 1 - 2y, A a bit mask over the support: (2^k,)."""
        return fwht(1 - 2.0 * np.array(self.table)) / len(self.table)


def sample_task(rng, kind, T, k, *, level=None, table=None, p=None, noise=0.0):
    """Draw a task: the support uniformly among the k-subsets of T positions, the rule from kind, level and table.

    table=None draws a symmetric rule or junta at random (see `random_table`). p=None balances the labels (see
    `balanced_p`). Errors: those of `truth_table`; k above T; p outside (0, 1); noise outside [0, 0.5).
    """
    generator("rng", rng)
    integer("T", T, 1)
    require(integer("k", k, 1) <= T, "k", f"at most T = {T}", k)
    if kind in ("symmetric", "junta") and table is None:
        rule = random_table(rng, kind, k)
    else:
        rule = truth_table(kind, k, level, table)
    support = sorted(rng.choice(T, k, replace=False).tolist())
    return BooleanTask(kind, T, k, tuple(support), rule, balanced_p(rule) if p is None else p, noise)
