"""Bits of many examples, eight to a byte, and the products that a long search needs of them.

    X = Packed.of(bits)             (m, T) zeros and ones, held in m T / 8 bytes
    X[rows], X[:, columns]          parts of it as uint8 arrays; np.asarray(X) is all of it
    G @ X                           (n, m) @ (m, T) -> (n, T)

One byte holds one position of eight examples. So G @ X adds, at every position, one number for
eight examples at a time, looked up among the 2^8 sums that eight entries of a row of G can have: an
eighth of the additions, and no float for every bit.
Source: Arlazarov, Dinic, Kronrod and Faradzhev 1970 (the four Russians).
"""
from functools import cached_property

import numpy as np

from minitf import checks
from minitf.checks import require, shape

BLOCK = 1 << 14         # positions that a product takes at once
OCTETS = np.arange(256, dtype=np.uint8)
BYTES = np.unpackbits(OCTETS[:, None], axis=1, bitorder="little")           # (256, 8)


class Packed:
    """Bits (m, T) of examples, eight examples to a byte.

    octets (ceil(m/8), T) hold them, the first example in the lowest bit.
    """
    ndim, dtype = 2, np.dtype(np.uint8)                     # of the bits
    __array_ufunc__ = None                                  # so that G @ X is ours, not NumPy's

    def __init__(self, octets, m):
        self.octets, self.shape = octets, (m, octets.shape[1])

    @classmethod
    def of(cls, X):
        """Pack the rows of X (m, T)."""
        return X if isinstance(X, Packed) else cls.joined([checks.bits("X", X)])

    @classmethod
    def joined(cls, blocks):
        """Pack blocks of rows one after the other, all but the last a multiple of eight long."""
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
        """X[rows] or X[rows, columns] as a uint8 array; slices, or arrays of integers."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        i = np.atleast_1d(np.arange(len(self))[rows])
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
            sums = BYTES.astype(G.dtype) @ eights[i:i + 64]                 # (64, 256, n)
            for t in range(0, T, BLOCK):
                for table, octets in zip(sums, self.octets[i:i + 64, t:t + BLOCK]):
                    out[t:t + BLOCK] += table.take(octets, axis=0)
        return out.T

    @cached_property
    def ones(self):
        """The number of ones in every example (m,)."""
        sums = np.zeros((len(self.octets), 256), np.int64)
        for t in range(0, self.shape[1], BLOCK):
            for total, octets in zip(sums, self.octets[:, t:t + BLOCK]):
                total += np.bincount(octets, minlength=256)
        return (sums @ BYTES).reshape(-1)[:len(self)]

    def constant(self, rows, bit):
        """Whether a position has the same bit in all rows of a mask (m,) of them: (T,) booleans."""
        same = np.full(self.shape[1], 255, np.uint8)
        for octets, others in zip(self.octets, ~np.packbits(rows, bitorder="little")):
            same &= (octets if bit else ~octets) | others
        return same == 255

    def mean(self, axis=0):
        """The share of ones at every position (T,)."""
        require(axis == 0, "axis", "0", axis)
        return (np.ones((1, len(self))) @ self)[0] / len(self)


def bits(name, X):
    """checks.bits, for a Packed X too."""
    return X if isinstance(X, Packed) else checks.bits(name, X)


def examples(X, y):
    """checks.examples, for a Packed X too."""
    if not isinstance(X, Packed):
        return checks.examples(X, y)
    y = checks.bits("y", y, ndim=1)
    shape("y", y, (len(X),))
    return X, y
