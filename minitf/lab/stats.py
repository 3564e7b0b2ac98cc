"""Statistics of success against m: the m at which a share of runs succeeds, and its interval.

m50 and m90 solve P(success | m) = 0.5, 0.9 on a logistic curve in log m; 0 stands for "below the
smallest m tried", inf for "above the largest": a curve is never followed beyond its data.
"""
import math

import numpy as np

SHARES = (0.5, 0.9)
RESAMPLES = 2000


def fit_logistic(x, right, n):
    """Fit P(success) = 1/(1 + exp(-(a + b x))) to `right` of n successes at each x: (a, b).

    Maximises  log L + log det(I)/2,  I the information matrix: Firth's penalty, which takes away
    the bias of first order and keeps a and b finite when no failure lies above a success. Shapes: x
    (J,), right and n (..., J). At one x alone b = 0. Source: Firth 1993; Heinze and Schemper 2002.
    """
    if len(x) == 1:
        return np.log((right + 0.5) / (n - right + 0.5))[..., 0], np.zeros(right.shape[:-1])
    width = max(np.ptp(x), 1e-9)
    z = (x - x.mean()) / width
    found, highest = np.zeros((2, *right.shape[:-1])), np.full(right.shape[:-1], -np.inf)
    step = np.zeros_like(found)
    for _ in range(200):                # all fits at once; one that a step would worsen halves it
        value, newton = penalised(found + step, z, right, n)
        better = value > highest - 1e-12
        found, highest = np.where(better, found + step, found), np.where(better, value, highest)
        step = np.where(better, newton, step / 2)
        if np.abs(step).max() < 1e-7:
            break
    return found[0] - found[1] * x.mean() / width, found[1] / width


def penalised(parameters, z, right, n):
    """The penalised log likelihood at (a, b), and the step of Fisher scoring from there."""
    logit = parameters[0][..., None] + parameters[1][..., None] * z
    log_p = -np.logaddexp(0, -logit)
    log_q = log_p - logit
    p, weight = np.exp(log_p), n * np.exp(log_p + log_q)
    I0, I1, I2 = (np.sum(weight * z ** j, axis=-1) for j in range(3))
    det = np.maximum(I0 * I2 - I1 * I1, 1e-10 * I0 * I2 + 1e-200)
    value = np.sum(right * log_p + (n - right) * log_q, axis=-1) + np.log(det) / 2
    leverage = weight * (I2[..., None] - 2 * I1[..., None] * z + I0[..., None] * z
                         * z) / det[..., None]
    score = right - n * p + leverage * (0.5 - p)
    g0, g1 = score.sum(-1), (score * z).sum(-1)
    return value, np.stack([I2 * g0 - I1 * g1, I0 * g1 - I1 * g0]) / det


def reach(shares, m, right, n):
    """The m at which the fitted curve reaches each share: (len(shares), ...); 0 or inf beyond the m
    tried.

    Where the curve does not rise (one m alone, or success falls with m) the overall share decides
    between 0 and inf.
    """
    x, total = np.log(m), n.sum(-1)
    a, b = fit_logistic(x, right, n)
    flat = (b <= 0) | ((n > 0).sum(-1) < 2) | (right.sum(-1) == total) | (right.sum(-1) == 0)
    found = []
    for share in shares:
        level = np.exp(np.clip((math.log(share / (1 - share)) - a) / np.where(flat, 1, b), -1, 100))
        level = np.where(flat, np.where(right.sum(-1) >= share * total, 0, np.inf), level)
        found.append(np.where(level > m[-1] * (1 + 1e-9), np.inf,
                              np.where(level < m[0] * (1 - 1e-9), 0, level)))
    return np.array(found)


def isotonic(share, m, right, n):
    """The m at which the increasing curve nearest to right/n,  max_{i<=j} min_{l>=j} mean(i..l),
    reaches a share.

    Straight in log m between two tried m; 0 or inf beyond them. A check on the logistic curve.
    """
    R, N = np.append(0, np.cumsum(right)), np.append(0, np.cumsum(n))
    later = np.triu(np.ones((len(m), len(m)), bool))        # i <= l
    mean = np.full(later.shape, np.inf)
    np.divide(R[1:] - R[:-1, None], N[1:] - N[:-1, None], out=mean, where=later)
    least = np.minimum.accumulate(mean[:, ::-1], axis=1)[:, ::-1]
    curve = np.where(later, least, -np.inf).max(axis=0)
    if curve[0] >= share or curve[-1] < share:
        return 0.0 if curve[0] >= share else math.inf
    j = int(np.argmax(curve >= share))
    return float(np.exp(np.interp(share, curve[j - 1:j + 1], np.log(m[j - 1:j + 1]))))


def intervals(m, outcomes, resamples, rng):
    """95 % bootstrap intervals of m50 and m90, (2, 2): low, high. outcomes (reps, J): 1, 0, or NaN
    where none ran.

    They hold the intervals of two bootstraps. One resamples seeds, each with all its runs: the
    samples of one seed are nested, so its outcomes hang together. It takes a size at which all
    seeds agree for certain; the other, which draws new outcomes from the fitted curve, does not.
    The percentiles are those of a t interval, a little further out than 2.5 %: with few seeds plain
    ones are too short. Where one m parts all failures from all successes, the gap belongs to both.
    Source: Hesterberg 2015 (expanded percentiles).
    """
    from scipy.special import expit

    reps, ran = len(outcomes), ~np.isnan(outcomes)
    if reps == 1:
        return np.array([[0, math.inf]] * 2)
    right, n = np.nansum(outcomes, axis=0), ran.sum(axis=0)
    a, b = fit_logistic(np.log(m), right, n)
    weights = rng.multinomial(reps, np.full(reps, 1 / reps), resamples)
    drawn = rng.binomial(n, expit(a + b * np.log(m)), (resamples, len(m)))
    tail = tail_of(reps)
    counts = (weights @ np.where(ran, outcomes, 0), weights @ ran), (drawn,
                                                                     np.broadcast_to(n,
                                                                                     drawn.shape))
    both = np.sort([reach(SHARES, m, *some) for some in counts], axis=-1)
    low = both[..., math.floor(tail * (resamples - 1))].min(axis=0)
    high = both[..., math.ceil((1 - tail) * (resamples - 1))].max(axis=0)
    rise = int(np.argmax(right == n))
    if rise and not right[:rise].any() and (right == n)[rise:].all():
        low, high = np.minimum(low, m[rise - 1]), np.maximum(high, m[rise])
    return np.stack([low, high], axis=1)


def tail_of(reps):
    """The share of resamples beyond each end of a 95 % interval from so many seeds."""
    from scipy.stats import norm, t

    return norm.cdf(-math.sqrt(reps / (reps - 1)) * t.ppf(0.975, reps - 1))
