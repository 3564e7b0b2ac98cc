"""What is certain about a trained model, from its examples alone.

    sure = certify(result, X, y)
    print(sure)         error at most 9.3 % with 95 % confidence, from the 65 training examples alone

The rule that the model holds (minitf.learn.rule) is certified twice, and the smaller counts:

    rule     a prior over rules is fixed before the sample; with probability 1 - d1, for every rule h
                 err(h) <= e(errors of h, m, d1 prior(h))
    prefix   h0 is what the same training makes of the first n = m // 2 examples. The others do not
             know it: with probability 1 - d2
                 err(h0) <= e(its errors on them, m - n, d2)
             and if the model holds the rule h0, that is its error too: nothing is paid for naming it

    e(j, m, a) = max { e : P(Bin(m, e) <= j) >= a },   1 - a^(1/m) for j = 0

A model that is its rule on every input errs as the rule does. Of any other, on rows without labels,
    err(model) <= err(rule) + P(model differs from its rule)                  at the rest of delta
Assumed: independent examples. Copies of rows, or samples drawn until they pleased, are not.
Source: Occam's razor (Blumer et al. 1987) with an exact binomial tail (Langford 2005); the prefix is
Langford and Blum's progressive validation at one point.
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import examples, integer, require
from minitf.learn import Result, fit_quietly
from minitf.tasks import count_ones
from minitf.theory.by_norms import NormCertificate, certify_norms
from minitf.theory.error import confidence
from minitf.theory.information import log_supports

EXACT = {"rule": 0.2, "prefix": 0.8}                    # shares of delta: of a model that is a rule
READ = {"rule": 0.2, "prefix": 0.6, "differs": 0.2}     # of one off which a rule was read
USUAL_K = 3             # columns that the prior expects where none are named


class Bound(NamedTuple):
    """P(wrong) <= error at confidence 1 - delta, from `errors` among m examples."""
    error: float
    errors: int
    m: int
    delta: float


class Certificate(NamedTuple):
    """What is certain about a model. None where there is no such bound; `why` says why not.

    error     P(model is wrong) is at most this, with probability >= 1 - delta over samples
    rule      the Bound of its rule by the prior; nats: -log of the prior
    prefix    the Bound of the same rule by the second half, None where the first half taught another
    differs   the Bound on how often the model is not its rule, None where it is that on every input
    norms     what its norms certify, at a confidence of their own: never part of the minimum
    """
    error: float | None
    delta: float
    m: int
    holds: object
    rule: Bound | None
    prefix: Bound | None
    differs: Bound | None
    nats: float | None
    norms: NormCertificate
    why: str = ""

    def __str__(self):
        if self.error is None or self.error >= 0.5:
            return self.why or f"nothing yet from {self.m} examples: {self.needs()}"
        return (f"error at most {percent(self.error)} with {100 * (1 - self.delta):.4g} % "
                f"confidence, from the {self.m:,} training examples alone")

    def needs(self, eps=0.1):
        """In words, how many examples without an error would certify eps."""
        d = EXACT if self.differs is None else READ
        m = math.ceil((self.nats - math.log(d["rule"] * self.delta)) / -math.log1p(-eps))
        return f"about {m:,} examples without an error would certify {eps:.0%}"


def certify(result, X, y, delta=0.05, *, k=None, train_again=None, rows=None, logits=None):
    """Bound the error of a model from the examples X (m, T), y (m,) it was trained on: Certificate.

    k            columns that the prior expects (3 unless the user named a number beforehand)
    train_again  (X, y) -> Result of the same procedure, for the prefix; fit with the same model
    rows         (n, T) of the same source, which the model has not seen, labels not needed: for
                 models that are no rule
    logits       (m,), those of X, if they are known
    Cost: one more fit, of half the examples. Errors: as fit, and delta outside (0, 1/8].
    """
    require(isinstance(result, Result), "result", "a Result of fit", result, TypeError)
    X, y = examples(X, y)
    delta = confidence(delta, 0.125)
    k = min(USUAL_K, result.T) if k is None else integer("k", k, 0, result.T)
    norms = certify_norms(result, X, y, delta, k=k or None, logits=logits)
    rule = result.rule(rows)
    if rule is None:
        return Certificate(None, delta, len(y), None, None, None, None, None, norms,
                           "nothing: this model is no rule of few bits on every input")
    shares, nats = (EXACT if rule.exact else READ), description_length(rule, k, result.negations)
    errors = int((rule(X) != y).sum())
    by_prior = Bound(tail_bound(errors, len(y), math.log(shares["rule"] * delta) - nats), errors,
                     len(y), shares["rule"] * delta)
    by_half = prefix_bound(rule, result, X, y, shares["prefix"] * delta, train_again, rows)
    differs, left = None, 0.0
    if not rule.exact:
        d = shares["differs"] * delta
        left = tail_bound(rule.differs, rule.rows, math.log(d))
        differs = Bound(left, rule.differs, rule.rows, d)
    best = min(bound.error for bound in (by_prior, by_half) if bound is not None)
    return Certificate(min(1.0, best + left), delta, len(y), rule, by_prior, by_half, differs, nats,
                       norms)


def prefix_bound(rule, result, X, y, delta, train_again, rows):
    """The Bound of the rule by the examples after the first half, if that half teaches it."""
    n = len(y) // 2
    if n < 1:
        return None
    again = train_again or (lambda X, y: fit_quietly(X, y, result.model,
                                                     negations=result.negations))
    earlier = again(X[:n], y[:n]).rule(rows)
    if earlier is None or not earlier.same_as(rule):
        return None
    errors = int((rule(X[n:]) != y[n:]).sum())
    return Bound(tail_bound(errors, len(y) - n, math.log(delta)), errors, len(y) - n, delta)


def tail_bound(errors, m, log_a):
    """e(errors, m, a) = max { e : P(Bin(m, e) <= errors) >= a },  a = exp(log_a): the upper end of
    Clopper and Pearson's interval."""
    if errors >= m:
        return 1.0
    if errors == 0:
        return -math.expm1(log_a / m)
    from scipy.special import betaincinv
    return float(1 - betaincinv(m - errors, errors + 1, math.exp(log_a)))


def description_length(rule, k, negations=False):
    """-log of the prior of a rule, in nats; the prior over all rules sums to at most 1.

        (1/3) 2^-|s-k|  x  1/C(T, s)  x  [ 1/2 x 1/(2 max(s, 1))  for "at least so many" and its
        negations,  1/2 x 2^-2^s  for any table ]

    With negations the columns are T and their complements: C(2T, s), and "at least so many" of them.
    """
    s, T = rule.k, 2 * rule.T if negations else rule.T
    sums = (1 << s) * math.log(2)
    if is_count(rule.table, negations):
        sums = min(sums, math.log(2 * max(s, 1)))
    return math.log(3) + (abs(s - k) + 1) * math.log(2) + log_supports(T, s) + sums


def is_count(table, negations):
    """Whether a rule is "at least so many of its columns", or not; negations: of any literals."""
    table = np.asarray(table)
    s = len(table).bit_length() - 1
    for flipped in range(1 << s if negations else 1):
        turned = table[np.arange(1 << s) ^ flipped]
        by_count = turned[(1 << np.arange(s + 1)) - 1]
        steps = np.count_nonzero(np.diff(by_count))
        if steps <= 1 and np.array_equal(by_count[count_ones(s)], turned):
            return True
    return False


def percent(share):
    """A share in per cent, two digits, rounded up: 9.3 %, 0.26 %, 21 %."""
    digits = 1 if share >= 0.1 else 1 - math.floor(math.log10(max(share, 1e-9) * 100))
    scaled = 10 ** digits if share < 0.1 else 10
    return f"{math.ceil(100 * share * scaled - 1e-9) / scaled:g} %"
