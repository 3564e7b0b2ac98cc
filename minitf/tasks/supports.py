"""Which supports explain a sample?  Exact search for every set of k positions that a Boolean rule could have used.

    consistent_supports(X, y, "and", 2)     up to two supports: none, exactly one (the sample determines it), or several

A set of positions or of examples is a Python integer, one bit a member. Three searches, each exact:
- a known rule: depth first; where a label needs a certain next bit, only the columns that have it stay;
- parity: meeting in the middle, or linear algebra over GF(2) where k is large and the equations are many;
- an unknown rule: depth first; two examples of different labels in the same state must differ at a position to come.
"""
import math
from itertools import chain, combinations, islice, product

import numpy as np

from minitf.checks import choice, integer, require
from minitf.tasks.packed import Packed, examples
from minitf.tasks.rules import KINDS, labels_by_count, truth_table


def consistent_supports(X, y, kind, k, *, level=None, table=None, limit=2):
    """Find up to `limit` supports (None: all) for which the rule gives every row of X its label.

    X (m, T), perhaps Packed, and y (m,) of zeros and ones -> a sorted list of tuples of k positions. kind, k, level and
    table as in `truth_table`, but table=None for symmetric or junta means an unknown rule: a support then counts if no
    two rows of different labels have the same number of ones (symmetric) or the same bits (junta) on it, so rules that
    ignore some of the k positions are included.
    Labels with noise usually have no consistent support: the list is empty. For the cost see `is_checkable`.
    """
    X, y = examples(X, y)
    choice("kind", kind, KINDS)
    require(integer("k", k, 1) <= X.shape[1], "k", f"at most T = {X.shape[1]}", k)
    limit = None if limit is None else integer("limit", limit, 1)
    if kind in ("symmetric", "junta") and table is None:
        require(level is None, "level", f"none for {kind}", level)
        found = unknown_rule(np.asarray(X), y, kind, k)
    else:
        rule = truth_table(kind, k, level, table)
        found = parity(np.asarray(X), y, k) if kind == "parity" else known_rule(X, y, kind, rule)
    return sorted(islice(found, limit))


def is_checkable(kind, T, k):
    """Say whether `consistent_supports` can be expected to answer a random sample within seconds.

    The work is about m T for and, or; C(T, ceil(k/2)) look-ups for parity, with C(T, floor(k/2)) words in memory;
    C(T, (k-1)//2) nodes for majority and threshold; C(T, k-1) nodes of up to 2^k groups for symmetric and junta.
    """
    if kind in ("and", "or"):
        return True
    if kind == "parity":
        return math.comb(T, (k + 1) // 2) <= 5 * 10 ** 7 and math.comb(T, k // 2) <= 10 ** 6
    if kind in ("majority", "threshold"):
        return T <= 65536 and math.comb(T, (k - 1) // 2) <= 3 * 10 ** 5
    return T <= 32768 and math.comb(T, min(k - 1, T // 2)) << k <= 5 * 10 ** 6


def pack(rows):
    """Return each row of zeros and ones as an integer whose bit i is entry i."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(rows, axis=1, bitorder="little")]


def members(bits):
    """Return the ascending list of the bits that are 1 in an integer."""
    if not bits:
        return []
    octets = np.frombuffer(bits.to_bytes((bits.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(octets, bitorder="little")).tolist()


def restrict(candidates, rows, some):
    """Intersect candidates with rows[e] for every e of the set `some`, stopping where nothing is left."""
    while some and candidates:
        e = some.bit_length() - 1
        candidates &= rows[e]
        some ^= 1 << e
    return candidates


def split(groups, column, step):
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
    """Return for each variable of the rule, judged alone, the columns of Packed X it could be: (k, T) booleans.

    Where a label occurs with one value of the variable only, its column has that value in every example of the label.
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

    The state of an example is what its bits so far leave of the rule: every second entry of a junta's table; of a
    symmetric rule the labels by the number of ones to come. Where a label needs a certain bit next, the candidates
    shrink. A junta takes its positions in ascending order. A symmetric rule takes them in any order: the candidates
    shrink for good, and it branches on the smallest set of which some example needs a member (its zeros if all ones
    would mislabel it, its ones if all zeros would), each position forbidden once tried.
    """
    k, ordered, X = len(table).bit_length() - 1, kind == "junta", Packed.of(X)
    possible = columns_by_variable(X, y, np.array(table, dtype=np.uint8))
    kept = np.flatnonzero(possible.any(axis=0))
    X, possible = X[:, kept], pack(possible[:, kept])
    columns, having = pack(X.T), (pack(1 - X), pack(X))         # having[bit][e]: the positions where example e has it

    def step(left, bit):
        return left[bit::2] if ordered else left[bit:len(left) - 1 + bit]

    def search(chosen, groups, allowed):
        candidates = possible[len(chosen)] & allowed
        for ((left, label), some), bit in product(groups.items(), (0, 1)):
            if label not in step(left, 1 - bit):
                candidates = restrict(candidates, having[bit], some)
        branch = candidates
        if candidates and not ordered:
            needs = (having[bit][e] & candidates for (left, label), some in groups.items()
                     for bit, else_label in ((0, left[-1]), (1, left[0])) if else_label != label for e in members(some))
            branch, allowed = min(chain([candidates], needs), key=int.bit_count), candidates
        for t in members(branch):
            if len(chosen) == k - 1:
                yield tuple(kept[sorted((*chosen, t))].tolist())
                continue
            allowed = (allowed >> t + 1) << t + 1 if ordered else allowed ^ 1 << t
            yield from search((*chosen, t), split(groups, columns[t], step), allowed)

    yield from search((), grouped(y, bytes(table if ordered else labels_by_count(table))), (1 << kept.size) - 1)


def unknown_rule(X, y, kind, k):
    """Yield the k-subsets on which no two examples of different labels end in the same state, each once.

    The state is the number of ones so far (symmetric) or the bits so far (junta). Two examples in one state with
    different labels must differ at a position to come: branch on a small set of such positions, each forbidden once
    tried. The last position must separate all positives of a state from all its negatives.
    """
    ones, zeros, columns = pack(X), pack(1 - X), pack(X.T)
    step = {"symmetric": lambda count, bit: count + bit, "junta": lambda code, bit: 2 * code + bit}[kind]

    def search(chosen, groups, allowed):
        conflicts = [(groups[state, 1], groups[state, 0]) for state, label in groups if label and (state, 0) in groups]
        if len(chosen) == k:
            if not conflicts:
                yield tuple(sorted(chosen))
            return
        branch = allowed
        if conflicts and len(chosen) == k - 1:
            for pos, neg in conflicts:
                branch = (restrict(restrict(branch, ones, pos), zeros, neg)
                          | restrict(restrict(branch, zeros, pos), ones, neg))
        elif conflicts:
            pos, neg = (members(side)[:32] for side in max(conflicts, key=lambda sides: min(map(int.bit_count, sides))))
            branch = min(((ones[e] ^ ones[f]) & allowed for e in pos for f in neg), key=int.bit_count)
        for t in members(branch):
            allowed ^= 1 << t
            yield from search((*chosen, t), split(groups, columns[t], step), allowed)

    yield from search((), grouped(y, 0), (1 << X.shape[1]) - 1)


def parity(X, y, k):
    """Yield the k-subsets whose columns add up to y modulo 2, in lexicographic order."""
    solutions = solve_mod_2(X, y) if k > 4 and X.shape[1] <= len(X) + 12 else None
    if solutions is None:
        yield from meet_in_the_middle(X, y, k)
    else:
        yield from sorted(tuple(members(S)) for S in solutions if S.bit_count() == k)


def solve_mod_2(X, y):
    """Return all solutions S of X S = y over GF(2), each as a set of positions; None if there are more than 2^12.

    An equation is one integer: bit 0 its right side, bits 1..T the unknowns. Gauss-Jordan keeps one for each pivot.
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
            equations = {pivot: eq ^ row if eq >> new & 1 else eq for pivot, eq in equations.items()} | {new: row}
    free = [t for t in range(1, T + 1) if t not in equations]
    if len(free) > 12:
        return None
    solutions = [sum((equation & 1) << pivot for pivot, equation in equations.items())]
    for t in free:
        kernel = 1 << t | sum((equation >> t & 1) << pivot for pivot, equation in equations.items())
        solutions += [S ^ kernel for S in solutions]
    return [S >> 1 for S in solutions]


def meet_in_the_middle(X, y, k):
    """Yield the parity supports as a first half of ceil(k/2) positions and a second half of larger ones.

    A column is folded to one 64-bit word by adding examples 64 apart modulo 2. That is linear, so the words of the two
    halves add up to the word of y. A table of the low bits of all second words rejects nearly every first half; what
    survives is looked up in the sorted words, then checked on all examples.
    """
    T, h = X.shape[1], k // 2
    packed = np.packbits(np.column_stack((X, y)).T, axis=1, bitorder="little")
    words = np.zeros((T + 1, -(-len(X) // 64)), dtype=np.uint64)
    words.view(np.uint8)[:, :packed.shape[1]] = packed
    words = np.bitwise_xor.reduce(words, axis=1)
    words, goal = words[:-1], words[-1]

    seconds = np.fromiter(chain.from_iterable(combinations(range(T), h)), dtype=np.int64).reshape(math.comb(T, h), h)
    sums = np.bitwise_xor.reduce(words[seconds], axis=1)
    order = np.argsort(sums, kind="stable")
    seconds, sums = seconds[order], sums[order]
    low_bits = np.uint64((1 << len(sums).bit_length() + 4) - 1)
    seen = np.zeros(int(low_bits) + 1, dtype=bool)
    seen[sums & low_bits] = True

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
