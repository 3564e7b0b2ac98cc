"""Which supports explain a sample of parity?

Meeting in the middle, or linear algebra over GF(2) where k is large and the equations are many.
"""
import math
from itertools import chain, combinations

import numpy as np

from minitf.tasks.sets import members, pack


def parity(X, y, k):
    """Yield the k-subsets whose columns add up to y modulo 2, in lexicographic order."""
    solutions = solve_mod_2(X, y) if k > 4 and X.shape[1] <= len(X) + 12 else None
    if solutions is None:
        yield from meet_in_the_middle(X, y, k)
    else:
        yield from sorted(tuple(members(S)) for S in solutions if S.bit_count() == k)


def solve_mod_2(X, y):
    """Return all solutions S of X S = y over GF(2), as sets of positions; None if more than 2^12.

    An equation is one integer: bit 0 its right side, bits 1..T the unknowns. Gauss-Jordan keeps one
    for each pivot.
    """
    T, equations = X.shape[1], {}
    for row in pack(np.column_stack((y, X))):
        for pivot, equation in equations.items():
            if row >> pivot & 1:
                row ^= equation
        if row == 1:
            return []
        if row:
            new = row.bit_length() - 1
            for pivot, equation in equations.items():
                equations[pivot] = equation ^ (row if equation >> new & 1 else 0)
            equations[new] = row
    free = [t for t in range(1, T + 1) if t not in equations]
    if len(free) > 12:
        return None

    def pivots_with(t):
        return sum((equation >> t & 1) << pivot for pivot, equation in equations.items())

    solutions = [pivots_with(0)]
    for t in free:
        kernel = 1 << t | pivots_with(t)
        solutions += [S ^ kernel for S in solutions]
    return [S >> 1 for S in solutions]


def meet_in_the_middle(X, y, k):
    """Yield the parity supports as ceil(k/2) positions and a second half of larger ones.

    A column is folded to one 64-bit word by adding examples 64 apart modulo 2. That is linear, so
    the words of the two halves add up to the word of y. A table of the low bits of all second words
    rejects nearly every first half; what survives is looked up in the sorted words, then checked on
    all examples.
    """
    # 1. A word for every column, and one for y
    T, h = X.shape[1], k // 2
    words = folded(np.column_stack((X, y)))
    words, goal = words[:-1], words[-1]

    # 2. All second halves, by their sums
    seconds = np.fromiter(chain.from_iterable(combinations(range(T), h)), dtype=np.int64)
    seconds = seconds.reshape(math.comb(T, h), h)
    sums = np.bitwise_xor.reduce(words[seconds], axis=1)
    order = np.argsort(sums, kind="stable")
    seconds, sums = seconds[order], sums[order]
    low_bits = np.uint64((1 << len(sums).bit_length() + 4) - 1)
    seen = np.zeros(int(low_bits) + 1, dtype=bool)
    seen[sums & low_bits] = True

    # 3. First halves, the last position of each for all positions at once
    for start in combinations(range(T), k - h - 1):
        above = start[-1] + 1 if start else 0
        wanted = words[above:] ^ np.bitwise_xor.reduce(words[list(start)]) ^ goal
        hits = np.flatnonzero(seen[wanted & low_bits])
        first, last = (np.searchsorted(sums, wanted[hits], side) for side in ("left", "right"))
        for i in np.flatnonzero(first < last):
            for second in seconds[first[i]:last[i]].tolist():
                S = (*start, above + int(hits[i]), *second)
                if sorted(set(S)) == list(S) and (X[:, S].sum(axis=1) % 2 == y).all():
                    yield S


def folded(X):
    """Return for each column of X one word: the sum modulo 2 of its entries 64 apart."""
    octets = np.packbits(X.T, axis=1, bitorder="little")
    words = np.zeros((X.shape[1], -(-len(X) // 64)), dtype=np.uint64)
    words.view(np.uint8)[:, :octets.shape[1]] = octets
    return np.bitwise_xor.reduce(words, axis=1)
