"""How often the labels of rows disagree with the best table on some columns.

Two columns more are counted for all pairs at once: with X_g the rows of one pattern on the columns
and one label, X_g^T X_g says how many of them have both bits of a pair, and so how many have one
of them, or none; the best table errs on the rarer label of each of these cells.
"""
import numpy as np

from minitf.learn.rule import patterns

BLOCK = 1 << 25         # bits that are floats at one time
PAIR_ROWS = 8192        # rows on which pairs of columns are held against the errors


class Counts:
    """Labelled rows X (m, T), y (m,), counted."""

    def __init__(self, X, y):
        self.X, self.y = np.asarray(X), np.asarray(y).astype(np.int64)
        self.m, self.T = self.X.shape
        step = max(1, BLOCK // self.T)
        self.cuts = [slice(i, i + step) for i in range(0, self.m, step)]
        self.blocks = self.X.astype(np.float32) if len(self.cuts) == 1 else self.X

    def groups(self, support):
        """For every row the number of its pattern on a support and its label: (m,)."""
        return 2 * patterns(self.X, support) + self.y

    def counts(self, support):
        """The number of rows of each pattern on a support and label: (2^s, 2)."""
        return np.bincount(self.groups(support), minlength=2 << len(support)).reshape(-1, 2)

    def errors(self, support):
        """On how many rows the best table on a support errs."""
        return int(self.counts(support).min(axis=1).sum())

    def errors_with(self, support):
        """The same on the support and one column more, for each column: (T,)."""
        ones, group = 0.0, self.groups(support)
        for cut in self.cuts:
            member = (np.arange(2 << len(support))[:, None] == group[cut]).astype(np.float32)
            ones = ones + (member @ self.blocks[cut].astype(np.float32, copy=False)).astype(float)
        ones = ones.reshape(-1, 2, self.T)
        zeros = self.counts(support)[:, :, None] - ones
        return (ones.min(axis=1) + zeros.min(axis=1)).sum(axis=0).round().astype(int)

    def errors_with_two(self, support):
        """The same on the support and two columns more, for each pair: (T, T)."""
        group, errors = self.groups(support), 0.0
        for zero in range(0, 2 << len(support), 2):
            cells = []
            for number in zero, zero + 1:               # of either label: 11, 10, 01, 00
                X = self.blocks[group == number].astype(np.float32, copy=False)
                both, one = X.T @ X, X.sum(axis=0)
                cells.append((both, one[:, None] - both, one - both,
                              len(X) - one[:, None] - one + both))
            errors = errors + sum(map(np.minimum, *cells))
        return errors.round().astype(int)

    def telling_pair(self, support):
        """The pair of columns most bound to the errors of the best table on a support, and how many
        standard deviations more than none would be.

        z is the error of a row less the mean on its pattern; for independent z the sums
        sum_i z_i x_it x_iu of centred columns, over their standard deviations, are nearly normal.
        """
        X, y = self.X[:PAIR_ROWS].astype(np.float32), self.y[:PAIR_ROWS]
        index = patterns(self.X[:PAIR_ROWS], support)
        sizes, ones = np.bincount(index), np.bincount(index, y)
        z = np.where(2 * ones > sizes, -1, 1)[index] * (y - (ones / np.maximum(sizes, 1))[index])
        z = np.where(sizes[index] > 1, z, 0).astype(np.float32)
        X = X - X.mean(axis=0)
        sums, squares = (X * z[:, None]).T @ X, (X * X * (z * z)[:, None]).T @ (X * X)
        scores = np.triu(np.abs(sums) / np.sqrt(np.maximum(squares, 1.0)), 1)
        t, u = np.unravel_index(int(scores.argmax()), scores.shape)
        return (int(t), int(u)), scores[t, u]
