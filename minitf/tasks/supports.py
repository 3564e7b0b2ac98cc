"""Which supports explain a sample?  Exact search for every set of k positions a rule could use.

    consistent_supports(X, y, "and", 2)     up to two supports: none, exactly one (the sample
                                            determines it), or several

A set of positions or of examples is a Python integer, one bit a member. Three searches, all exact:
- a known rule: depth first; where a label needs a certain next bit, only columns that have it stay;
- an unknown rule: depth first; two examples of different labels in the same state must differ at a
  position to come;
- parity, on a page of its own.
"""
import math
from itertools import islice, product

import numpy as np

from minitf.checks import choice, integer, require
from minitf.tasks.packed import Packed, examples
from minitf.tasks.parity import parity
from minitf.tasks.rules import KINDS, labels_by_count, truth_table
from minitf.tasks.sets import members, pack


def consistent_supports(X, y, kind, k, *, level=None, table=None, limit=2):
    """Find up to `limit` supports (None: all) for which the rule gives every row of X its label.

    X (m, T), perhaps Packed, and y (m,) of zeros and ones -> a sorted list of tuples of k
    positions. kind, k, level and table as in `truth_table`, but table=None for symmetric or junta
    means an unknown rule: a support then counts if no two rows of different labels have the same
    number of ones (symmetric) or the same bits (junta) on it, so rules that ignore some of the k
    positions are included. Labels with noise usually have no consistent support: the list is empty.
    For the cost see `is_checkable`. Errors: a ValueError where the rows of a known rule rule out so
    little that the search gives up, as with hundreds of rows of one label.
    """
    X, y = examples(X, y)
    choice("kind", kind, KINDS)
    require(integer("k", k, 1) <= X.shape[1], "k", f"at most T = {X.shape[1]}", k)
    limit = None if limit is None else integer("limit", limit, 1, 2 ** 62)
    if kind in ("symmetric", "junta") and table is None:
        require(level is None, "level", f"none for {kind}", level)
        found = unknown_rule(np.asarray(X), y, kind, k)
    else:
        rule = truth_table(kind, k, level, table)
        found = parity(np.asarray(X), y, k) if kind == "parity" else known_rule(X, y, kind, rule)
    return sorted(islice(found, limit))


def is_checkable(kind, T, k):
    """Say whether `consistent_supports` can be expected to answer a random sample within seconds.

    The work is about m T for and, or; C(T, ceil(k/2)) look-ups for parity, with C(T, floor(k/2))
    words in memory; C(T, (k-1)//2) nodes for majority and threshold; C(T, k-1) nodes of up to 2^k
    groups for symmetric and junta.
    """
    choice("kind", kind, KINDS), integer("T", T, 1), integer("k", k, 1, T)
    if kind in ("and", "or") or k > 20:         # no rule has more than 20 bits
        return k <= 20
    if kind == "parity":
        return math.comb(T, (k + 1) // 2) <= 5 * 10 ** 7 and math.comb(T, k // 2) <= 10 ** 6
    if kind in ("majority", "threshold"):
        return T <= 65536 and math.comb(T, (k - 1) // 2) <= 3 * 10 ** 5
    return T <= 32768 and math.comb(T, min(k - 1, T // 2)) << k <= 5 * 10 ** 6


def restrict(candidates, rows, some):
    """Intersect candidates with rows[e] for every e of the set `some`, until nothing is left."""
    while some and candidates:
        e = some.bit_length() - 1
        candidates &= rows[e]
        some ^= 1 << e
    return candidates


def divided(groups, column, step):
    """Sort the examples of every group by their bit in one more column.

    groups {(state, label): set of examples}; step(state, bit) is the state that a bit leads to.
    """
    children = {}
    for (state, label), some in groups.items():
        for bit, part in ((0, some & ~column), (1, some & column)):
            if part:
                child = step(state, bit), label
                children[child] = children.get(child, 0) | part
    return children


def grouped(y, state):
    """Return the groups before any bit is known: all examples in one state."""
    return {(state, label): pack([y == label])[0] for label in (0, 1) if label in y}


def columns_by_variable(X, y, table):
    """Return for each variable of the rule, judged alone, which columns of Packed X it could be.

    Where a label occurs with one value of the variable only, its column has that value in every
    example of the label. -> (k, T) booleans.
    """
    k = table.size.bit_length() - 1
    possible, constant = np.ones((k, X.shape[1]), dtype=bool), {}
    for j, label, bit in product(range(k), (0, 1), (0, 1)):
        if label not in table.reshape(-1, 2, 1 << j)[:, 1 - bit]:
            if (label, bit) not in constant:
                constant[label, bit] = X.constant(y == label, bit)
            possible[j] &= constant[label, bit]
    return possible


def known_rule(X, y, kind, table):
    """Yield the supports of a rule given by its truth table, each once.

    The state of an example is what its bits so far leave of the rule: every second entry of a
    junta's table; of a symmetric rule the labels by the number of ones to come. Where a label needs
    a certain bit next, the candidates shrink. A junta takes its positions in ascending order. A
    symmetric rule takes them in any order: the candidates shrink for good, and it branches on the
    `smallest_need`, each position forbidden once tried.
    """
    # 1. Columns that a variable could be, judged alone
    k, ordered, X = len(table).bit_length() - 1, kind == "junta", Packed.of(X)
    possible = columns_by_variable(X, y, np.array(table, dtype=np.uint8))
    kept = np.flatnonzero(possible.any(axis=0))
    X, possible = X[:, kept], pack(possible[:, kept])
    columns, having = pack(X.T), (pack(1 - X), pack(X))     # having[bit][e]: positions of that bit

    def step(left, bit):
        return left[bit::2] if ordered else left[bit:len(left) - 1 + bit]
    # 2. One more position, depth first
    spend = spender(2 * 10 ** 7 if kind in ("and", "or") else 2 * 10 ** 8, f"{kind} of {k}")

    def search(chosen, groups, allowed):
        spend(sum(map(int.bit_count, groups.values())))
        candidates = possible[len(chosen)] & allowed
        for ((left, label), some), bit in product(groups.items(), (0, 1)):
            if label not in step(left, 1 - bit):
                candidates = restrict(candidates, having[bit], some)
        branch = candidates
        if branch and not ordered:
            branch, allowed = smallest_need(candidates, groups, having), candidates
        for t in members(branch):
            if len(chosen) == k - 1:
                yield tuple(kept[sorted((*chosen, t))].tolist())
                continue
            allowed = (allowed >> t + 1) << t + 1 if ordered else allowed ^ 1 << t
            yield from search((*chosen, t), divided(groups, columns[t], step), allowed)
    state = bytes(table if ordered else labels_by_count(table))
    yield from search((), grouped(y, state), (1 << kept.size) - 1)


def spender(left, task):
    """The function that counts the examples looked at, and refuses to look at more than `left`."""
    def spend(count):
        nonlocal left
        left -= count
        require(left > 0, "X, y", "rows that rule out more, to end in seconds", task)
    return spend


def smallest_need(candidates, groups, having):
    """Return the smallest set of candidates of which some example needs a member.

    Its zeros if all ones to come would mislabel it, its ones if all zeros would.
    """
    needs = [candidates]
    for (left, label), some in groups.items():
        for bit, otherwise in ((0, left[-1]), (1, left[0])):
            if otherwise != label:
                needs += [having[bit][e] & candidates for e in members(some)]
    return min(needs, key=int.bit_count)


def unknown_rule(X, y, kind, k):
    """Yield the k-subsets on which no two examples of different labels end in the same state.

    The state is the number of ones so far (symmetric) or the bits so far (junta). Two examples in
    one state with different labels must differ at a position to come: branch on a small set of such
    positions, each forbidden once tried. The last position must separate all positives of a state
    from all its negatives.
    """
    ones, zeros, columns = pack(X), pack(1 - X), pack(X.T)
    step = (lambda n, bit: n + bit) if kind == "symmetric" else (lambda n, bit: 2 * n + bit)

    def separating(conflicts, allowed):
        for pos, neg in conflicts:
            allowed = (restrict(restrict(allowed, ones, pos), zeros, neg)
                       | restrict(restrict(allowed, zeros, pos), ones, neg))
        return allowed

    def differing(conflicts, allowed):
        sides = max(conflicts, key=lambda sides: min(map(int.bit_count, sides)))
        pos, neg = (members(side)[:32] for side in sides)
        return min(((ones[e] ^ ones[f]) & allowed for e, f in product(pos, neg)), key=int.bit_count)

    def search(chosen, groups, allowed):
        conflicts = [(some, groups[state, 0]) for (state, label), some in groups.items()
                     if label and (state, 0) in groups]
        if len(chosen) == k:
            if not conflicts:
                yield tuple(sorted(chosen))
            return
        branch_of = separating if len(chosen) == k - 1 else differing
        branch = branch_of(conflicts, allowed) if conflicts else allowed
        for t in members(branch):
            allowed ^= 1 << t
            yield from search((*chosen, t), divided(groups, columns[t], step), allowed)

    yield from search((), grouped(y, 0), (1 << X.shape[1]) - 1)
