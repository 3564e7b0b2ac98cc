"""A truth table in words: the shortest of a few ways to say it.

    in_words((0, 0, 0, 1), ["a", "b"])                      a and b
    in_words((0, 0, 0, 1, 0, 1, 1, 1), ["a", "b", "c"])     at least 2 of a, b, c

The table has 2^k labels, entry sum_j b_j 2^j. Tried in this order, all exact:

    always 0, a, not a
    a and not b, a or b, none of .., not all of .., at least 2 of ..       the label depends on how
    exactly one of .., an odd number of .., 0 or 3 of ..                   many literals are 1
    a and (REST), a or (REST)                           one literal decides, the rest is a rule
    (a and b) or (not a and c), or the same with and, or exchanged         at most MOST literals
    if a then (RULE) else (RULE)                        where that is shorter, of at most 4 names
    table 0110.. of a, b, ..                            the labels, in the order of the table

A name that could be taken for one of these words stands in double quotes.
"""
import re
from functools import cache, lru_cache
from itertools import product

import numpy as np

from minitf.tasks import count_ones

MOST = 18               # literals of a sum of products that is still read with ease
WIDEST = 6              # columns of which all literals, and all products, are tried
WORDS = set("always and or not none all of at least most exactly one an odd even number both "
            "neither table if then else".split())


def in_words(table, names):
    """The rule of a table of 2^k labels that depends on each of its k named variables."""
    return sentence(tuple(map(int, table)), tuple(quoted(name) for name in names))


def quoted(name):
    """A name as it stands, or in quotes where a reader could mistake it for words of the rule."""
    plain = name and name == name.strip() and not re.search(r'[(),"]', name)
    if plain and not WORDS & set(name.split()) and not re.fullmatch(r"[0-9]+", name):
        return name
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=4096)
def sentence(table, names):
    """The words for a table and names that need no quotes."""
    if not names:
        return f"always {table[0]}"
    labels = np.array(table, np.uint8)
    simple = by_count(labels, names) or by_literal(labels, names)
    if simple:
        return simple
    ways = [by_products(labels, names), *by_cases(labels, names)]
    return min([way for way in ways if way], key=len,
               default=f"table {''.join(map(str, table))} of {', '.join(names)}")


def by_count(table, names):
    """Where the label depends on how many of k literals are 1; of fewest negations. Else None."""
    for negated in negations(table):
        turned, ones = table[np.arange(len(table)) ^ negated], count_ones(len(names))
        by = [turned[(1 << count) - 1] for count in range(len(names) + 1)]
        if (turned == np.array(by)[ones]).all():
            literals = [literal(name, not negated >> j & 1) for j, name in enumerate(names)]
            counts = [count for count, label in enumerate(by) if label]
            if not negated or (counts[0], counts[-1]) not in ((0, 0), (0, len(names) - 1)):
                return counted(counts, literals)            # else "and", "or" say it better
    return None


def negations(table):
    """Sets of variables to negate, as bits of a number, the smallest first. Of many variables only
    the one that makes the rule increase in all of them, if there is one, and none and all."""
    k = len(table).bit_length() - 1
    if k <= WIDEST:
        return sorted(range(1 << k), key=lambda mask: (mask.bit_count(), mask))
    pairs = [table.reshape(-1, 2, 1 << j).astype(int) for j in range(k)]
    falls = sum(1 << j for j, pair in enumerate(pairs) if (pair[:, 0] > pair[:, 1]).any())
    return sorted({0, falls, falls ^ (1 << k) - 1}, key=int.bit_count)


def literal(name, positive):
    return name if positive else f"not {name}"


def counted(counts, literals):
    """The sentence "so many of the literals are 1" for the counts that make the label 1."""
    k, low, high = len(literals), min(counts), max(counts)
    listed = " of " + ", ".join(literals)
    if counts == [k]:
        return " and ".join(literals)
    if counts == [*range(1, k + 1)]:
        return " or ".join(literals)
    if counts == [0]:
        return literal(literals[0], False) if k == 1 else "none" + listed
    if counts == [*range(k)]:
        return "not all" + listed
    if k == 2:
        return ("exactly one" if counts == [1] else "both or neither") + listed
    if high == k and len(counts) == k - low + 1:
        return f"at least {low}" + listed
    if low == 0 and len(counts) == high + 1:
        return f"at most {high}" + listed
    if len(counts) == 1:
        return f"exactly {'one' if low == 1 else low}" + listed
    if counts in ([*range(1, k + 1, 2)], [*range(0, k + 1, 2)]):
        return f"an {'odd' if low else 'even'} number" + listed
    return f"{', '.join(map(str, counts[:-1]))} or {high}" + listed


def by_literal(table, names):
    """Where literals decide alone: "a and not b and (REST)", or the same with or. Else None."""
    for word, forced in ("and", 0), ("or", 1):
        found, rest, left = [], table, list(names)
        for name in names:
            j = left.index(name)
            halves = rest.reshape(-1, 2, 1 << j)
            for bit in (0, 1):
                if (halves[:, bit] == forced).all():
                    found.append(literal(name, bit == forced))
                    rest, left = halves[:, 1 - bit].reshape(-1), left[:j] + left[j + 1:]
                    break
        if found:
            return f" {word} ".join([*found, part(rest, tuple(left))])
    return None


def by_cases(table, names):
    """Of at most 4 names: "if a then (RULE) else (RULE)" for each name."""
    for j, name in enumerate(names if len(names) <= 4 else ()):
        no, yes = (part(*essential(half, names[:j] + names[j + 1:]))
                   for half in table.reshape(-1, 2, 1 << j).swapaxes(0, 1).reshape(2, -1))
        yield f"if {name} then {yes} else {no}"


def essential(table, names):
    """A table and its names without the names that it ignores."""
    for j in reversed(range(len(names))):
        no, yes = table.reshape(-1, 2, 1 << j).swapaxes(0, 1).reshape(2, -1)
        if (no == yes).all():
            table, names = no, names[:j] + names[j + 1:]
    return table, names


def part(table, names):
    """A rule as a part of another: in parentheses, if it is more than a literal."""
    text = sentence(tuple(table.tolist()), names)
    return text if len(names) < 2 else f"({text})"


def by_products(table, names):
    """The shorter of a sum of products and a product of sums, if it is short. Else None."""
    if len(names) > WIDEST:
        return None
    ways = []
    for words, label in ((" and ", " or "), 1), ((" or ", " and "), 0):
        terms = cover(table == label)
        size = sum(len(term) for term in terms)
        # label 0 is a sum of products; its negation, a product of sums, negates every literal
        texts = [words[0].join(literal(names[j], bit == label) for j, bit in term)
                 for term in terms]
        texts = [f"({text})" if len(term) > 1 else text for text, term in zip(texts, terms)]
        ways.append((size, words[1].join(texts)))
    size, text = min(ways, key=lambda way: way[0])
    return text if size <= MOST else None


def cover(wanted):
    """Products, as lists of (variable, bit), that hold on exactly the wanted inputs: greedily the
    product that holds on most inputs not yet held, the shortest first, then without idle ones."""
    k = len(wanted).bit_length() - 1
    cubes, holds = products(k)
    inside = ~(holds & ~wanted).any(axis=1)
    cubes, holds = cubes[inside], holds[inside]
    chosen, left = [], wanted.copy()
    while left.any():
        news = (holds & left).sum(axis=1) * (k + 1) + (cubes == 2).sum(axis=1)
        chosen.append(int(news.argmax()))
        left &= ~holds[chosen[-1]]
    for i in list(chosen):
        others = [j for j in chosen if j != i]
        if (holds[others].any(axis=0) == wanted).all():
            chosen = others
    return [[(j, int(bit)) for j, bit in enumerate(cubes[i]) if bit < 2] for i in chosen]


@cache
def products(k):
    """All products of k variables: (3^k, k) of 0, 1, and 2 for none; where they hold (3^k, 2^k)."""
    inputs = np.arange(1 << k)[:, None] >> np.arange(k) & 1
    cubes = np.array(list(product((0, 1, 2), repeat=k)))
    return cubes, ((cubes[:, None] == 2) | (cubes[:, None] == inputs)).all(axis=2)
