"""Sparse Boolean functions of long bit strings: the rule.

Whatever its kind, a rule is one truth table of 2^k labels, least significant bit first over the
ascending support: y = table[sum_j b[i_j] 2^j]. Probabilities, influences, sensitivity and Fourier
coefficients are read off that table.
Sources: Edelman, Goel, Kakade, Zhang, ICML 2022 (the tasks); O'Donnell, Analysis of Boolean
Functions, 2014.
"""
import math

import numpy as np

from minitf.checks import bits, choice, integer, require, shape

KINDS = ("and", "or", "majority", "parity", "threshold", "symmetric", "junta")


def count_ones(k):
    """Return the number of ones of each index 0 .. 2^k - 1, k at most 24."""
    ones = np.zeros(1, dtype=np.int64)
    for _ in range(integer("k", k, 0, 24)):
        ones = np.concatenate((ones, ones + 1))
    return ones


def flips(table):
    """Say for each variable and each input whether flipping that one bit changes the label.

    -> (k, 2^k) booleans.
    """
    table = np.asarray(table, dtype=np.uint8)
    halves = [table.reshape(-1, 2, 1 << j) for j in range(table.size.bit_length() - 1)]
    return np.stack([(half != half[:, ::-1]).reshape(-1) for half in halves])


def truth_table(kind, k, level=None, table=None):
    """Return the rule as a tuple of 2^k labels, entry sum_j b_j 2^j for the bits b_0 .. b_{k-1}.

    With c the number of ones: and c = k, or c >= 1, majority c >= k//2 + 1, threshold c >= level,
    parity c mod 2, symmetric table[c] (k + 1 entries), junta the table itself (2^k entries).
    Errors: k outside 1..20, level or table missing or not wanted, a rule that ignores one of its
    variables (a constant ignores all of them).
    """
    choice("kind", kind, KINDS)
    integer("k", k, 1)
    require(k <= 20, "k", "at most 20 (a rule is kept as a table of 2^k labels)", k)
    wanted = f"an integer from 1 to {k} with threshold"
    wanted = wanted if kind == "threshold" else f"nothing with {kind}"
    require((level is None) == (kind != "threshold"), "level", wanted, level)
    size = {"symmetric": k + 1, "junta": 1 << k}.get(kind)
    wanted = f"{size} labels" if size else "nothing"
    require((table is None) == (size is None), "table", f"{wanted} for {kind}", table)
    if size:
        labels = bits("table", table, ndim=1)
        shape("table", labels, (size,))
    elif kind == "parity":
        labels = np.arange(k + 1) % 2
    else:
        least = {"and": k, "or": 1, "majority": k // 2 + 1}.get(kind)
        labels = np.arange(k + 1) >= (least or integer("level", level, 1, k))
    rule = labels if kind == "junta" else labels[count_ones(k)]
    everywhere = flips(rule).any(axis=1).all()
    require(everywhere, "table", f"a rule that depends on each of its {k} variables", table)
    return tuple(np.asarray(rule, dtype=np.uint8).tolist())


def random_table(rng, kind, k):
    """Draw a symmetric rule or junta that depends on every variable, with mean label 0.3 to 0.7.

    It is uniform among those; the mean is over uniform bits. Parity qualifies for every k, so the
    rejection ends; of the juntas of two variables only parity and its complement do.
    """
    while True:
        rule = rng.integers(0, 2, k + 1 if kind == "symmetric" else 1 << k, dtype=np.uint8)
        rule = rule[count_ones(k)] if kind == "symmetric" else rule
        if 0.3 <= rule.mean() <= 0.7 and flips(rule).any(axis=1).all():
            return tuple(rule.tolist())


def labels_by_count(table):
    """Return the labels of the inputs 00..0, 10..0, 110..0, ...: a symmetric rule in short."""
    return tuple(table[(1 << c) - 1] for c in range(len(table).bit_length()))


def ones_by_count(table):
    """Return n_c, the number of inputs with c ones and label 1, c = 0..k."""
    return np.bincount(count_ones(len(table).bit_length() - 1), weights=table)


def mean_label(ones, p):
    """Return  P(y = 1) = sum_c n_c p^c (1-p)^(k-c)  for Bernoulli(p) bits, n from ones_by_count."""
    k = len(ones) - 1
    return math.fsum(n * p ** c * (1 - p) ** (k - c) for c, n in enumerate(ones.tolist()))


def bernstein_roots(b):
    """Return the roots in [0, 1] of  sum_c b_c C(n, c) p^c (1-p)^(n-c).

    Between neighbouring roots of its derivative, whose coefficients are n times the differences of
    b, the polynomial is monotone: recurse on the derivative, then bisect every interval where the
    sign changes. A value within the rounding error of its own sum counts as 0, which finds the
    roots where the polynomial touches 0 and turns.
    """
    n, c = len(b) - 1, np.arange(len(b))
    if n == 0:
        return np.empty(0)
    weights = b * [math.comb(n, j) for j in range(n + 1)]

    def value(p):
        return p[:, None] ** c * (1 - p[:, None]) ** (n - c) @ weights

    ends = np.concatenate(([0.0], np.sort(bernstein_roots(np.diff(b))), [1.0]))
    heights = value(ends)
    heights[np.abs(heights) <= len(b) * np.finfo(float).eps * np.abs(b).max()] = 0
    crossed = heights[:-1] * heights[1:] < 0
    left, right, side = ends[:-1][crossed], ends[1:][crossed], heights[:-1][crossed]
    for _ in range(64):
        middle = (left + right) / 2
        before = value(middle) * side > 0
        left = np.where(before, middle, left)
        right = np.where(before, right, middle)
    return np.concatenate((ends[heights == 0], right))


def balanced_p(table):
    """Return the p closest to 1/2 for which Bernoulli(p) bits give P(y = 1) = 1/2, to rounding.

    A rule that is never balanced has the same label for all zeros and all ones, so P(y = 1) comes
    nearest to 1/2 at a stationary point inside (0, 1): that one is returned. Closed forms: and
    2^(-1/k), or 1 - 2^(-1/k), parity 1/2.
    """
    ones = ones_by_count(table)
    k = len(ones) - 1
    if 2 * ones.sum() == 1 << k:
        return 0.5
    b = ones / [math.comb(k, c) for c in range(k + 1)] - 0.5
    roots = bernstein_roots(b)
    points = (roots if roots.size else bernstein_roots(np.diff(b))).tolist()

    def distance(p):
        return round(abs(mean_label(ones, p) - 0.5), 12), round(abs(p - 0.5), 12), p

    return min(points, key=distance)


def fwht(values):
    """Return the Walsh-Hadamard transform  F[A] = sum_b values[b] (-1)^|A and b|  of 2^k values.

    It costs O(k 2^k); applied twice it multiplies by 2^k.
    """
    F = np.array(values, dtype=np.float64)
    for j in range(F.size.bit_length() - 1):
        zero, one = F.reshape(-1, 2, 1 << j).swapaxes(0, 1)
        F = np.stack((zero + one, zero - one), axis=1).reshape(-1)
    return F
