"""What labelled rows say about a rule: its cost in nats, its rivals, whether it is certain.

A rule of s of T columns that errs on e of m rows takes, with the errors, so many nats:

    cost = m H(e/m) + log C(T, s) + 2^s log 2           H the entropy of a share, in nats

Its rivals are the best rules on the supports around its own: one column less, one or two
more, or one exchanged for another. exp(its cost - theirs) is what the rows leave to a rival.
Source: Occam's razor as a code length (Rissanen 1978).
"""
import math
from copy import copy
from typing import NamedTuple

import numpy as np

from minitf.learn.counts import Counts
from minitf.learn.rule import patterns, relevant

DEALS = 20              # of the errors, to see what chance does
DOUBT = 0.02            # what may be left to all rivals, and to all other tables, of a certain rule
GAIN = 6.0              # nats by which a certain rule must beat the best constant
NOISIEST = 0.25         # the largest share of errors that can pass for noise
WIDEST_RULE = 6         # columns of a rule that is looked for
BEAM = 8                # of two columns more, the first is one of the so many best
PAIRS = 1 << 26         # rows x columns^2 up to which all pairs are tried


class Verdict(NamedTuple):
    """certain: nothing near explains the rows nearly as well. Else `why`, in words, and whether
    more rows would tell, rather than another model."""
    certain: bool
    gain: float             # nats better than the best constant
    why: str = ""
    by_rows: bool = False


class Evidence(Counts):
    """Labelled rows X (m, T), y (m,), and what they say about rules."""

    def cost(self, errors, s):
        """Nats of a rule of s columns with so many errors, one number or an array."""
        share = np.clip(np.asarray(errors) / self.m, 0.5 / self.m, 0.5)
        entropy = -share * np.log(share) - (1 - share) * np.log1p(-share)
        return self.m * entropy + self.code(s)

    def code(self, s):
        """Nats that name s columns and a table on them."""
        choose = math.lgamma(self.T + 1) - math.lgamma(s + 1) - math.lgamma(self.T - s + 1)
        return choose + 2 ** s * math.log(2)

    def rivals(self, support):
        """Yield (support, cost, column exchanged or None) of the supports around one."""
        for j, column in enumerate(support):
            less = support[:j] + support[j + 1:]
            yield less, self.cost(self.errors(less), len(less)), None
            costs = self.cost(self.errors_with(less), len(support))
            for t in set(range(self.T)) - set(support):
                yield tuple(sorted((*less, t))), costs[t], column
        for base, errors in self.wider(support):        # no fewer: the same rule, t is ignored
            costs = self.cost(errors, len(base) + 1)
            for t in np.flatnonzero(errors < self.errors(base)).tolist():
                yield tuple(sorted((*base, t))), costs[t], None

    def wider(self, support):
        """Yield (base, errors with one column more than it (T,)): of the support, then of it and
        one column, each, or each of the best where that would be too many pairs."""
        most = min(WIDEST_RULE, self.T)
        if len(support) >= most:
            return
        errors = self.errors_with(support)
        yield support, errors
        if len(support) + 1 == most:
            return
        if self.m * self.T ** 2 <= PAIRS:
            pairs = enumerate(self.errors_with_two(support))
        else:
            firsts = {*np.argsort(errors, kind="stable")[:BEAM].tolist(),
                      *self.telling_pair(support)[0]}
            pairs = ((t, self.errors_with((*support, t))) for t in sorted(firsts - {*support}))
        for t, errors in pairs:
            if t not in support:
                yield tuple(sorted((*support, t))), errors

    def same_or_opposite(self, t):
        """The columns that equal column t on all rows, and those that are its complement."""
        differ = (self.X != self.X[:, [t]]).sum(axis=0)
        equal = set(np.flatnonzero(differ == 0).tolist()) - {t}
        return equal, set(np.flatnonzero(differ == self.m).tolist())

    def best_table(self, support, default):
        """The table (2^s,) of the more frequent labels; where none is, that of `default`."""
        zeros, ones = self.counts(support).T
        return np.where(ones == zeros, default, ones > zeros).astype(np.uint8)

    def improved(self, support, steps=12):
        """The support reached by moving to the cheapest rival while that is cheaper."""
        now = self.cost(self.errors(support), len(support))
        for _ in range(steps):
            other, price, _ = min(self.rivals(support), key=lambda rival: rival[1],
                                  default=(None, math.inf, None))
            if price >= now - 1e-9:
                break
            support, now = other, price
        return support

    def verdict(self, rule, names):
        """Whether a rule is certain; otherwise why not, by the first of five doubts."""
        gain = float(self.cost(self.errors(()), 0) - self.price(rule))
        for doubt in (self.weak, self.noisy, self.entangled, self.thin, self.rivalled):
            why = doubt(rule, names)
            if why is not None:
                return Verdict(False, gain, why, doubt in (self.thin, self.rivalled))
        return Verdict(True, gain)

    def wrong(self, rule):
        """On how many rows a rule errs, for each entry of its table (2^s,)."""
        counts = self.counts(rule.support)
        return counts[np.arange(len(counts)), 1 - np.asarray(rule.table)]

    def price(self, rule):
        """The cost of a rule."""
        return self.cost(self.wrong(rule).sum(), rule.k)

    def weak(self, rule, names):
        """1  It hardly explains the labels better than a constant."""
        if rule.k == 0 or self.cost(self.errors(()), 0) - self.price(rule) < GAIN:
            return "it explains hardly more of the labels than chance would"

    def noisy(self, rule, names):
        """2  Its errors are too many to be noise."""
        share = self.wrong(rule).sum() / self.m
        if share > NOISIEST:
            return f"it errs on {100 * share:.0f} % of the rows, too many for noise"

    def thin(self, rule, names):
        """4  An entry of its table is not borne out: the rows for it hardly outweigh the others."""
        counts, wrong = self.counts(rule.support), self.wrong(rule)
        share = (wrong.sum() + 0.5) / (self.m + 1)
        margins = math.log((1 - share) / share) * (counts.sum(axis=1) - 2 * wrong)
        if np.exp(-margins).sum() > DOUBT:
            thinnest = int(margins.argmin())
            rows = int(counts[thinnest].sum())
            said = ", ".join(f"{names[t]} = {thinnest >> j & 1}"
                             for j, t in enumerate(rule.support))
            return f"{f'only {rows}' if rows else 'no'} row{'' if rows == 1 else 's'} with {said}"

    def rivalled(self, rule, names):
        """5  A rule on a support around its own explains the rows nearly as well. Of more columns
        the code counts half: a simple rule is likelier, but not so much as to be sure. Such rules
        that are behind by that count no more if they would do as well by chance."""
        price, near = self.price(rule), {}
        same = set().union(*(set().union(*self.same_or_opposite(t)) for t in rule.support))
        for other, cost, _ in self.rivals(rule.support):
            if not set(other) & same:
                more = max(0.0, self.code(len(other)) - self.code(rule.k))
                near[other] = math.exp(min(0.0, price - cost + more / 2))
        fewer = {other: left for other, left in near.items() if len(other) <= rule.k}
        for some in fewer, near:
            best = max(some, key=some.get, default=None)
            if sum(some.values()) > DOUBT and (
                    some is fewer or some[best] == 1 or not self.by_chance(rule)):
                return self.nearest(rule, best, names)

    def by_chance(self, rule):
        """Whether rules of more columns do as well where the errors are dealt anew to the rows of
        each pattern, so that they tell nothing; never if one of them errs on no row."""
        index, wrong = patterns(self.X, rule.support), rule(self.X) != self.y
        rows, dealt = np.argsort(index, kind="stable"), copy(self)
        found = self.least_wider(rule)
        if found <= self.cost(0, 0) - self.code(0) + self.code(min(rule.k + 2, self.T)) / 2:
            return False
        rng, as_well = np.random.default_rng(0), 0
        for _ in range(DEALS):
            moved = np.empty_like(wrong)
            moved[rows] = wrong[np.lexsort((rng.random(self.m), index))]
            dealt.y = (rule(self.X) ^ moved).astype(np.int64)
            as_well += dealt.least_wider(rule) <= found
            if as_well > DEALS / 10:
                return True
        return False

    def least_wider(self, rule):
        """The least cost of a rule of more columns, half its code counted."""
        return min((self.cost(errors.min(), len(base) + 1) - self.code(len(base) + 1) / 2
                    for base, errors in self.wider(rule.support)), default=math.inf)

    def entangled(self, rule, names):
        """3  Its errors depend on a pair of columns."""
        pair, score = self.telling_pair(rule.support)
        if score > math.sqrt(2 * math.log(max(2, self.T ** 2 / 2) / DOUBT)):
            said = " and ".join(names[t] for t in pair)
            return f"its errors depend on {said} together: it is not the whole rule"

    def nearest(self, rule, other, names):
        """Why a rival support leaves a rule in doubt."""
        gone, new = set(rule.support) - set(other), set(other) - set(rule.support)
        if gone and new:
            return (f"{names[new.pop()]} explains the rows about as well as {names[gone.pop()]} "
                    "in its place")
        if gone:
            return f"without {names[gone.pop()]} the rows are explained about as well"
        said = " and ".join(names[t] for t in sorted(new))
        return f"with {said} added the rows are explained about as well"


def rule_on(evidence, support, default, names):
    """The Rule of the more frequent labels on a support, without columns that it ignores."""
    table = evidence.best_table(support, default(list(support)))
    return relevant(support, table, evidence.T, exact=False, names=names)
