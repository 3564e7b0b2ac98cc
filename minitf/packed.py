"""Bits of many examples, eight to a byte, and the products that a long search needs of them.

    X = Packed.of(bits)             (m, T) zeros and ones, held in m T / 8 bytes
    X[rows], X[:, columns]          parts of it as ordinary uint8 arrays;  np.asarray(X) is all of it
    G @ X, A @ X.T                  (n, m) @ (m, T) -> (n, T),  (n, T) @ (T, m) -> (n, m)

One byte holds one position of eight examples. So G @ X adds, at every position, one number for eight examples at a
time, looked up among the 2^8 sums that eight entries of a row of G can have; A @ X.T adds every entry of A once for
eight examples, to one of 2^8 sums. An eighth of the additions, and no float for every bit. Source: Arlazarov, Dinic,
Kronrod and Faradzhev 1970 (the four Russians).
"""
from functools import cached_property

import numpy as np

from minitf import checks
from minitf.checks import bits, require, shape

LONG = 4096             # positions from which a product of packed bits is faster than one of floats
BLOCK = 1 << 14         # positions that a product takes at once


BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")           # (256, 8)


class Packed:
    """Bits (m, T) of examples, eight examples to a byte: octets (ceil(m/8), T), the first example in the lowest bit."""
    __array_ufunc__ = None                                  # so that G @ X is ours, not NumPy's

    def __init__(self, octets, m):
        self.octets, self.shape = octets, (m, octets.shape[1])

    @classmethod
    def of(cls, X):
        """Pack the rows of X (m, T)."""
        X = X if isinstance(X, Packed) else bits("X", X)
        return X if isinstance(X, Packed) else cls.joined([X])

    @classmethod
    def joined(cls, blocks):
        """Pack blocks of rows, all but the last a multiple of eight rows long, one after the other."""
        parts, m = [], 0
        for X in blocks:
            require(m % 8 == 0, "blocks", "multiples of eight rows before the last block", m)
            octets = np.zeros((-(-len(X) // 8), X.shape[1]), np.uint8)
            for j in range(8):
                octets[:len(X[j::8])] |= X[j::8] << np.uint8(j)
            parts.append(octets)
            m += len(X)
        return cls(parts[0] if len(parts) == 1 else np.concatenate(parts), m)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        """X[rows] or X[rows, columns] as a uint8 array; rows and columns are slices or arrays of integers."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        i = np.arange(len(self))[rows]
        part = self.octets[:, columns][i >> 3]
        part >>= (i & 7).astype(np.uint8)[..., None]
        part &= 1
        return part

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or np.uint8, copy=False)

    def __rmatmul__(self, G):
        """G @ X:  (n, m) -> (n, T)."""
        n, (m, T) = len(G), self.shape
        shape("G", G, (None, m))
        out = np.zeros((T, n), G.dtype)
        eights = np.pad(G, ((0, 0), (0, -m % 8))).reshape(n, -1, 8).transpose(1, 2, 0)
        for i in range(0, len(eights), 64):
            sums = BYTES.astype(G.dtype) @ eights[i:i + 64]                         # (64, 256, n)
            for t in range(0, T, BLOCK):
                for table, octets in zip(sums, self.octets[i:i + 64, t:t + BLOCK]):
                    out[t:t + BLOCK] += table.take(octets, axis=0)
        return out.T

    @property
    def T(self):
        return Transposed(self)

    @cached_property
    def ones(self):
        """The number of ones in every example (m,)."""
        each = [(self.octets >> np.uint8(j) & 1).sum(axis=1) for j in range(8)]
        return np.stack(each, axis=1).reshape(-1)[:len(self)]

    def mean(self, axis=0):
        """The share of ones at every position (T,)."""
        require(axis == 0, "axis", "0", axis)
        return (np.ones((1, len(self))) @ self)[0] / len(self)


class Transposed:
    """X.T of a Packed X, to be multiplied from the left:  A @ X.T."""
    __array_ufunc__ = None

    def __init__(self, X):
        self.X = X

    def __rmatmul__(self, A):
        """(n, T) -> (n, m). Positions of the usual weight of a row count together, where the others are few."""
        shape("A", A, (None, self.X.shape[1]))
        return np.stack([self._row(a, rest) for a, rest in zip(A, usual(A))]).astype(A.dtype)

    def _row(self, a, rest):
        X, other = self.X, np.flatnonzero(a != rest)
        if 32 * len(other) < len(a):
            r = rest * X.ones
            for t in range(0, len(other), BLOCK):
                some = other[t:t + BLOCK]
                r += (a[some] - rest) @ X[:, some].T.astype(a.dtype)
            return r
        sums = np.zeros((len(X.octets), 256))
        for t in range(0, len(a), BLOCK):
            for b, octets in enumerate(X.octets[:, t:t + BLOCK]):
                sums[b] += np.bincount(octets, a[t:t + BLOCK], 256)
        return (sums @ BYTES).reshape(-1)[:len(X)]


def usual(A):
    """One number for every row of A (n, T): what most of it equals, if most of it is one number (judged by a sample)."""
    sample = np.sort(A[:, ::-(-A.shape[1] // 999)], axis=1)
    return sample[:, sample.shape[1] // 2]


def examples(X, y):
    """checks.examples, for a Packed X too."""
    if not isinstance(X, Packed):
        return checks.examples(X, y)
    y = bits("y", y, ndim=1)
    shape("y", y, (len(X),))
    return X, y
