"""What a sweep is held against: how many samples its task asks for, whatever learns it, or when one position at a time
is looked at. The information limit m*(T), where one support alone explains the samples, is in every line of a sweep.
"""
import math
from functools import cache

import numpy as np

from minitf.tasks import labels_by_count, mean_label, ones_by_count, truth_table
from minitf.theory import fano_m, log_supports, sample_complexity

MOST, DRAWS = 1024, 1000        # samples that screening may ask for; supports drawn to average over


@cache
def limits(task, k, T, p, noise, delta=0.05):
    """Return a dict: bits = log2 C(T, k); fano, which no learner undercuts (1 - delta); screening, `screening_m`."""
    table = truth_table(task, k)
    mean = mean_label(ones_by_count(table), p)
    return {"bits": math.log2(math.comb(T, k)),
            "fano": fano_m(log_supports(T, k), delta, mean + noise - 2 * noise * mean),
            "screening": screening_m(T, labels_by_count(table), p, noise)}


def screening_m(T, g, p, noise=0.0, share=0.9):
    """The least m at which ranking positions by |covariance| with the label finds the support with probability `share`.

    g: the labels of 0, 1, ..., k ones. P(found) is the mean of P(a position off the support ranks below it)^(T - k)
    over supports drawn at random; the rest is exact. None if MOST samples do not do, as for parity.
    """
    def missed(m):
        return 1 - np.mean(ranked_below(m, g, p, noise) ** (T - len(g) + 1))

    limit = next((m for m in (MOST // 32, MOST // 16, MOST // 8, MOST // 4, MOST) if missed(m) <= 1 - share), None)
    return None if limit is None else sample_complexity(missed, 1 - share, limit=limit)


@cache
def ranked_below(m, g, p, noise):
    """P(a position off the support has less |covariance| than all k on it), for each of DRAWS supports of m samples.

    Covariances are compared as integers  |ones among the n1 positives * n0 - ones among the n0 negatives * n1|;  the
    other position has Bin(n1, p) and Bin(n0, p) ones there. Half a tie counts.
    """
    X, y = (array[:, :m] for array in draw_supports(g, p, noise))
    n1, below = y.sum(-1), np.zeros(len(y))
    weakest = np.abs(m * (X & y[..., None]).sum(1) - X.sum(1) * n1[:, None]).min(-1)
    for a in set(n1.tolist()) - {0, m}:
        b, group = m - a, n1 == a
        cdf, among = np.append(0, np.cumsum(binomial(a, p))), np.arange(b + 1) * a

        def smaller(s):
            high, low = (among + s - 1) // b, (among - s) // b      # ones among the positives: up to high, above low
            return (cdf[np.clip(high + 1, 0, a + 1)] - cdf[np.clip(low + 1, 0, a + 1)]).clip(0) @ binomial(b, p)

        s = weakest[group, None]
        below[group] = np.minimum(1, (smaller(s) + smaller(s + 1)) / 2)
    return below


@cache
def draw_supports(g, p, noise):
    """Bits (DRAWS, MOST, k) on supports, and their labels (DRAWS, MOST)."""
    rng = np.random.default_rng(0)
    X = rng.random((DRAWS, MOST, len(g) - 1)) < p
    return X, np.asarray(g, bool)[X.sum(-1)] ^ (rng.random((DRAWS, MOST)) < noise)


@cache
def binomial(n, p):
    """The distribution of Bin(n, p)."""
    from scipy.stats import binom

    return binom.pmf(np.arange(n + 1), n, p)
