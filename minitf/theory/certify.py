"""What is certain about a trained model, from its examples alone.

    sure = certify(result, X, y)
    print(sure)
    error at most 9.3 % with 95 % confidence, from the 65 training examples alone

The rule that the model holds (minitf.learn.rule) is certified twice, and the smaller counts:

    rule     a prior over rules is fixed before the sample; with probability 1 - d1, for every h
                 err(h) <= e(errors of h, m, d1 prior(h))
    prefix   h0 is what the same training makes of the first n = m // 2 examples. The others do
             not know it: with probability 1 - d2
                 err(h0) <= e(its errors on them, m - n, d2)
             and if the model holds the rule h0, that is its error too: naming it costs nothing

    e(j, m, a) = max { e : P(Bin(m, e) <= j) >= a },   1 - a^(1/m) for j = 0

A model that is its rule on every input errs as the rule does. Of any other, on rows without labels,

    err(model) <= err(rule) + P(model differs from its rule)                  at the rest of delta

Assumed: independent examples. Copies of rows, or samples drawn until they pleased, are not.
Source: Occam's razor (Blumer et al. 1987) with an exact binomial tail (Langford 2005); the prefix
is progressive validation at one point (Blum, Kalai and Langford 1999).
"""
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, integer
from minitf.learn import Result, Rule, fit_quietly, has_copies
from minitf.tasks import Packed, count_ones, examples
from minitf.theory.by_norms import NormCertificate, certify_norms
from minitf.theory.error import confidence, sample_complexity
from minitf.theory.information import log_supports

EXACT = {"rule": 0.2, "prefix": 0.8}                    # shares of delta: of a model that is a rule
READ = {"rule": 0.2, "prefix": 0.6, "differs": 0.2}     # of one off which a rule was read
USUAL_K = 3             # columns that the prior expects where none are named
ABOVE = 0.1             # a bound that far above the share of errors is told to those who have none


class Bound(NamedTuple):
    """P(wrong) <= error with probability 1 - delta, from `errors` among m rows."""
    error: float
    errors: int
    m: int
    delta: float


class Certificate(NamedTuple):
    """What is certain about a model or a rule. None where there is no such bound.

    error     P(wrong) is at most this, with probability >= 1 - delta over samples
    m         examples it is certified from;  guessing: the share of the rarer label among them
    holds     the Rule of the model
    rule      the Bound of its rule by the prior;  nats: -log of the prior
    prefix    the Bound of the same rule by the second half; None where the first taught another
    differs   the Bound on how often the model is not its rule; None where it is, on every input
    norms     what norms certify, at a confidence of their own: never part of the minimum
    why       in words, why nothing is certified
    """
    error: float | None
    delta: float
    m: int
    guessing: float = 0.5
    holds: Rule | None = None
    rule: Bound | None = None
    prefix: Bound | None = None
    differs: Bound | None = None
    nats: float | None = None
    norms: NormCertificate | None = None
    why: str = ""

    def __str__(self):
        return self.say()

    def say(self, examples="training examples alone"):
        """In words: the error and its confidence, or why there is none or what would be needed."""
        if self.error is None or self.error >= self.guessing:
            return f"nothing: {self.why or self.needs()}"
        if self.differs is not None:
            examples = f"{examples.removesuffix(' alone')} and {self.differs.m:,} without labels"
        return (f"error at most {percent(self.error)} with {100 * (1 - self.delta):.4g} % "
                f"confidence, from the {self.m:,} {examples}")

    def rule_in_words(self, names=None):
        """The rule, "bit 50 and bit 60" unless names are given, and where the model is that."""
        if self.holds is None:
            return "none of few bits that holds on every input"
        names = self.holds.names if names is None else names
        if names is None:
            names = {t: f"bit {t}" for t in self.holds.support}
        where = f"on every one of 2^{self.holds.T} inputs"
        if self.differs is not None:
            where = f"on {1 - self.holds.disagreement:.2%} of {self.differs.m:,} fresh inputs"
        return f"{self.holds.say(names)} ({where})"

    def needs(self):
        """In words, how many examples, as often wrong, would certify ABOVE more than that share."""
        share = self.rule.errors / self.rule.m
        if share >= self.guessing:
            return f"the rule is wrong on {share:.1%} of the examples, like a constant answer"
        target = share + min(ABOVE, 0.9 * (self.guessing - share))
        log_a = math.log(self.rule.delta) - self.nats
        try:
            m = sample_complexity(lambda m: tail_bound(math.ceil(share * m), m, log_a), target)
        except ValueError:                      # the bound comes near the share, and not below it
            return f"{self.m:,} examples are too few"
        wrong = f"{share:.1%} of them wrong" if share else "none of them wrong"
        return f"{self.m:,} examples are too few; {m:,}, {wrong}, would certify {target:.3g}"


@checked
def certify(result: Result, X, y, delta=0.05, *, k=None, train_again: Callable | None = None,
            prefix: bool = True, rows=None, logits=None, independent: bool = False):
    """Bound the error of a model from the examples X (m, T), y (m,) that it was trained on: a
    Certificate.

    k            columns that the prior expects (3, unless a number was named beforehand)
    train_again  (X, y) -> Result of the same procedure, for the prefix; else fit of the same model
    prefix       False, said beforehand: no second fit, its share of delta to the rule
    rows         (n, T) of the same source that the model has not seen, labels not needed: for
                 models that are no rule
    logits       (m,), those of X, if they are known
    independent  True: equal rows are examples of their own, not copies
    Cost: one more fit, of half the examples. Errors: as fit, and delta outside (0, 1/8].
    """
    X, y = examples(X, y)
    k = None if k is None else integer("k", k, 0, result.T)
    norms = certify_norms(result, X, y, delta, k=k or None, logits=logits)

    def again(X, y):
        if train_again is None:
            return fit_quietly(X, y, result.model, negations=result.negations).rule(rows)
        return train_again(X, y).rule(rows)

    rule = result.rule(rows)
    if rule is None:
        why = "the model is no rule of few bits on every input, and there are no fresh rows to " \
              "compare it with one"
        return Certificate(None, confidence(delta, 0.125), len(y), norms=norms, why=why)
    return certify_rule(rule, X, y, delta, k=k, again=again if prefix else None, norms=norms,
                        negations=result.negations, independent=independent)


@checked
def certify_rule(rule: Rule, X, y, delta=0.05, *, k=None, again: Callable | None = None,
                 negations: bool = False, norms: NormCertificate | None = None,
                 independent: bool = False):
    """Bound the error of a rule that was found in examples X (m, T), y (m,), by whatever means.

    again  (X, y) -> the Rule, or None, that the same means find in fewer examples; None: no prefix
    The rest is as in `certify`; of a rule that was read off a model, the model's error.
    """
    X, y = examples(X, y)
    delta, m = confidence(delta, 0.125), len(y)
    k = min(USUAL_K, rule.T) if k is None else integer("k", k, 0, rule.T)
    rarer = float(min(y.mean(), 1 - y.mean())) or 0.5
    blank = Certificate(None, delta, m, rarer, rule, norms=norms)
    if not independent and has_copies(X):
        return blank._replace(why="rows are copies of others, not examples of their own")
    shares = {name: share * delta for name, share in (EXACT if rule.exact else READ).items()}
    if again is None:
        shares["rule"] += shares.pop("prefix")
    nats, wrong = description_length(rule, k, negations), rule(X) != y
    by_prior, by_half, differs = bound_of(wrong, shares["rule"], nats), None, None
    n = m // 2 - (m // 2) % 8 if isinstance(X, Packed) else m // 2      # whole bytes of packed rows
    if again is not None and n:
        earlier = again(Packed(X.octets[:n // 8], n) if isinstance(X, Packed) else X[:n], y[:n])
        if earlier is not None and earlier.same_as(rule):
            by_half = bound_of(wrong[n:], shares["prefix"])
    error = min(bound.error for bound in (by_prior, by_half) if bound is not None)
    if not rule.exact:
        d, errors, rows = shares["differs"], rule.differs, rule.rows
        differs = Bound(tail_bound(errors, rows, math.log(d)), errors, rows, d)
        error = min(1.0, error + differs.error)
    return blank._replace(error=error, rule=by_prior, prefix=by_half, differs=differs, nats=nats)


def bound_of(wrong, delta, nats=0.0):
    """The Bound of one of the rules of a prior, from where it is wrong (m,)."""
    errors, m = int(np.count_nonzero(wrong)), len(wrong)
    return Bound(tail_bound(errors, m, math.log(delta) - nats), errors, m, delta)


def tail_bound(errors, m, log_a):
    """e(errors, m, a) = max { e : P(Bin(m, e) <= errors) >= a },  a = exp(log_a): the upper end of
    Clopper and Pearson's interval."""
    if errors >= m:
        return 1.0
    if errors == 0:
        return -math.expm1(log_a / m)
    if log_a < -700:                            # exp of it is no float64
        return 1.0
    from scipy.special import betaincinv
    return float(1 - betaincinv(float(m - errors), errors + 1.0, math.exp(log_a)))


def description_length(rule, k, negations=False):
    """-log of the prior of a rule, in nats; the prior over all rules sums to at most 1.

        (1/3) 2^-|s-k|  x  1/C(T, s)  x  [ 1/2 x 1/(2 max(s, 1))  for "at least so many" and its
        negations,  1/2 x 2^-2^s  for any table ]

    With negations the columns are the T and their complements: C(2T, s) in the place of C(T, s).
    """
    s, T = rule.k, 2 * rule.T if negations else rule.T
    table = (1 << s) * math.log(2)
    if is_count(rule.table, negations):
        table = min(table, math.log(2 * max(s, 1)))
    return math.log(3) + (abs(s - k) + 1) * math.log(2) + log_supports(T, s) + table


def is_count(table, negations):
    """Whether a rule is "at least so many of its columns", or not that; negations: of columns or
    their complements."""
    table = np.asarray(table)
    s = len(table).bit_length() - 1
    ones, flips = count_ones(s), range(1 << s if negations else 1)
    for turned in (table[np.arange(1 << s) ^ flipped] for flipped in flips):
        by_count = turned[(1 << np.arange(s + 1)) - 1]
        if np.count_nonzero(np.diff(by_count)) <= 1 and np.array_equal(by_count[ones], turned):
            return True
    return False


def percent(share):
    """A share in per cent, rounded up to two digits: 9.3 %, 0.26 %, 21 %; 14.9 %."""
    digits = 1 if share >= 0.01 else 1 - math.floor(math.log10(max(share, 1e-9) * 100))
    return f"{math.ceil(100 * share * 10 ** digits - 1e-9) / 10 ** digits:g} %"
