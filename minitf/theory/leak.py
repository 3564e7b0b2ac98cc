"""How a softmax average of bits carries a sparse rule: leak and temperature, scores, and the
readout of the label.

Tokens x_t = E[b_t] + P_t and x_0 = x_cls, all of E, P, x_cls orthonormal. S is the support, k its
size.

1. Attention picks the support.  q = sum_{i in S} (beta + log w_i) P_i makes the scores x . q: beta
+ log w_i on S, 0 on
   the T+1-k other rows, whatever the bits. The attention outside S is the leak, and the average of
   the bits is

       lam = (T+1-k) / (W e^beta + T+1-k),    v = (1-lam) code/W + lam r,
       code = sum_{i in S} w_i b_i,   W = sum w_i

   with some r in [0, 1], the mean of the other bits. A symmetric rule is a function of the count of
   ones: w_i = 1. Any other needs to tell its bits apart: w_i = 2^j for the j-th of S, so that code
   is the index of the truth table.
2. The readout tells the codes apart.  Code c leaves v in [(1-lam) c/W, (1-lam) c/W + lam], whose
ends are reached with
   the other bits all 0 and, but for [CLS], all 1. o = E_0 + E_1 + x_cls has product 1 with every
   row, and attention sums to 1: column E_1 - theta o of W_V makes the unit relu(v - theta). Units
   add up to any piecewise linear f(v).

Source: Edelman, Goel, Kakade, Zhang 2022, sparse variable creation; the constants are derived here.
"""
import math

import numpy as np

from minitf.checks import require
from minitf.tasks import count_ones, labels_by_count


def leak(beta, T, k, W):
    """Return the attention outside the support:  lam = (T+1-k) / (W e^beta + T+1-k)."""
    return (T + 1 - k) / (W * math.exp(beta) + T + 1 - k)


def beta_for_leak(lam, T, k, W):
    """Return the temperature that leaks lam:  beta = log((T+1-k)(1-lam)/(lam W)), the inverse of
    `leak`."""
    return math.log((T + 1 - k) * (1 - lam) / (lam * W))


def least_gap(lam, T, k):
    """Return log((T+1-k)(1-lam)/(k lam)): a temperature of order log T is necessary.

    In any softmax over T+1 rows with weight at most lam outside k of them, some score inside
    exceeds some score outside by at least this: the largest weight inside is at least (1-lam)/k,
    the smallest outside at most lam/(T+1-k); take the logarithm of their ratio. Hence ||q||_2 >=
    gap / max ||x_i - x_t||.
    """
    return math.log((T + 1 - k) * (1 - lam) / (k * lam))


def code_of(table):
    """Return the weights w (k,) and the labels of the codes 0..W: ones and the labels by count for
    a symmetric rule, powers of 2 and the truth table for any other."""
    table = np.asarray(table, np.int64)
    k, by_count = len(table).bit_length() - 1, np.array(labels_by_count(table))
    if np.array_equal(by_count[count_ones(k)], table):
        return np.ones(k), by_count
    return 2.0 ** np.arange(k), table


def query(T, S, w, lam, P=None):
    """Return q, beta and the leak for scores beta + log w on S. P = None: one-hot positions.

    For other positions P (T, d_P), q = sum_i c_i P_i with G c = scores, G the Gram matrix of P_S,
    is exact on S. The scores of the rest are then affine in beta; where their slopes are below 1
    the leak falls with beta, and beta is the root of log(leak/(1-leak)) = log(lam/(1-lam)).
    """
    k, W = len(S), w.sum()
    beta = beta_for_leak(lam, T, k, W)
    if P is None:
        q = np.zeros(T)
        q[S] = beta + np.log(w)
        return q, beta, leak(beta, T, k, W)
    from scipy.optimize import brentq
    require(np.linalg.matrix_rank(P[S]) == k, "d_P",
            f"a width at which the positions of {k} bits are independent",
            P.shape[1])
    c = np.linalg.solve(P[S] @ P[S].T, np.stack([np.ones(k), np.log(w)], axis=1))
    slope, offset = np.delete(P @ (P[S].T @ c), S, axis=0).T
    require(slope.max(initial=0) < 0.95, "d_P",
            "a width at which no other position scores 95 % of the support",
            P.shape[1])

    def excess(beta):
        odds = np.logaddexp.reduce(np.append(slope * beta + offset, 0.0)) - beta - math.log(W)
        return odds - math.log(lam / (1 - lam))

    high = 2 * beta
    while excess(high) > 0:
        high *= 2
    beta = brentq(excess, 0.0, high, xtol=1e-13, rtol=1e-13)
    return P[S].T @ c @ (beta, 1.0), beta, 1 / (1 + (1 - lam) / lam * math.exp(-excess(beta)))
