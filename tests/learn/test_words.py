"""Rules in words: every sentence, parsed back by a reader written here, is the table it was made of."""
import itertools
import re

import numpy as np
import pytest

from minitf.learn import in_words
from minitf.learn.words import MOST, by_products

NAMES = ["a", "b", "c", "d", "e", "f"]


def depends(table, k):
    table = np.asarray(table)
    pairs = (table.reshape(-1, 2, 1 << j) for j in range(k))
    return all((pair[:, 0] != pair[:, 1]).any() for pair in pairs)


def tables(k):
    for code in range(1 << (1 << k)):
        table = tuple(code >> i & 1 for i in range(1 << k))
        if depends(table, k):
            yield table


class Reader:
    """Evaluates a sentence on a dict of bits, by recursive descent over its words."""

    def __init__(self, text, value):
        self.words = re.findall(r'"(?:[^"]|"")*"|[(),]|[^\s(),"]+', text)
        self.value, self.at = value, 0

    def peek(self):
        return self.words[self.at] if self.at < len(self.words) else None

    def take(self, *wanted):
        for word in wanted:
            assert self.peek() == word, (self.words, self.at, word)
            self.at += 1

    def next(self):
        self.at += 1
        return self.words[self.at - 1]

    def rule(self):
        terms, words = [self.term()], set()
        while self.peek() in ("and", "or"):
            words.add(self.next())
            terms.append(self.term())
        assert len(words) <= 1, "and beside or needs parentheses"
        return all(terms) if words == {"and"} else any(terms)

    def term(self):
        word = self.peek()
        if word == "(":
            self.take("(")
            inner = self.rule()
            self.take(")")
            return inner
        if word == "if":
            self.take("if")
            case = self.term()
            self.take("then")
            yes = self.term()
            self.take("else")
            no = self.term()
            return yes if case else no
        if word == "not" and self.words[self.at + 1] != "all":
            self.take("not")
            return not self.name()
        if word in ("none", "not", "at", "exactly", "an", "both", "table", "always") or re.fullmatch(r"\d+", word):
            return self.count()
        return self.name()

    def name(self):
        word = self.next()
        if word[0] == '"':
            return self.value[word[1:-1].replace('""', '"')]
        while self.peek() not in (None, "and", "or", "then", "else", ",", ")"):
            word += " " + self.next()
        return self.value[word]

    def listed(self):
        self.take("of")
        bits = [self.literal()]
        while self.peek() == ",":
            self.take(",")
            bits.append(self.literal())
        return bits

    def literal(self):
        if self.peek() == "not":
            self.take("not")
            return 1 - self.name()
        return self.name()

    def count(self):
        word = self.next()
        if word == "always":
            return self.next() == "1"
        if word == "none":
            return sum(self.listed()) == 0
        if word == "not":
            self.take("all")
            return not all(self.listed())
        if word == "both":
            self.take("or", "neither")
            a, b = self.listed()
            return a == b
        if word == "at":
            way, n = self.next(), int(self.next())
            c = sum(self.listed())
            return c >= n if way == "least" else c <= n
        if word == "exactly":
            n = self.next()
            return sum(self.listed()) == (1 if n == "one" else int(n))
        if word == "an":
            odd = self.next() == "odd"
            self.take("number")
            return sum(self.listed()) % 2 == odd
        if word == "table":
            labels = self.next()
            return labels[sum(bit << j for j, bit in enumerate(self.listed()))] == "1"
        counts = {int(word)}
        while self.peek() in (",", "or"):
            self.next()
            counts.add(int(self.next()))
        return sum(self.listed()) in counts


def parsed(text, names):
    labels = []
    for bits in itertools.product((0, 1), repeat=len(names)):
        reader = Reader(text, dict(zip(names[::-1], bits)))
        labels.append(int(reader.rule()))
        assert reader.peek() is None, (text, reader.words[reader.at:])
    return tuple(labels)


def check(table, names):
    text = in_words(table, names)
    assert parsed(text, names) == tuple(table), text
    return text


def test_all_tables_of_up_to_three_columns():
    for k in range(4):
        for table in tables(k):
            assert len(check(table, NAMES[:k])) <= 54 and "table" not in check(table, NAMES[:k])


@pytest.mark.slow
def test_random_tables_of_four_to_six_columns(rng):
    for k, n in (4, 600), (5, 60), (6, 10):
        for _ in range(n):
            table = tuple(rng.integers(0, 2, 1 << k).tolist())
            if depends(table, k):
                check(table, NAMES[:k])


@pytest.mark.slow
def test_tables_of_four_columns():
    """Every tenth of them: no truth table; the longest sentence of all has 92 letters."""
    said = [check(table, NAMES[:4]) for table in list(tables(4))[3::10]]
    assert len(said) > 5_000 and not any("table" in text for text in said) and 80 < max(map(len, said)) <= 92


@pytest.mark.parametrize("rule, text", [
    (lambda a, b, c, d: a & b & c & d, "a and b and c and d"),
    (lambda a, b, c, d: a & (1 - b) & c & d, "a and not b and c and d"),
    (lambda a, b, c, d: a | (1 - b) | c | d, "a or not b or c or d"),
    (lambda a, b, c, d: 1 - (a | b | c | d), "none of a, b, c, d"),
    (lambda a, b, c, d: 1 - (a & b & c & d), "not all of a, b, c, d"),
    (lambda a, b, c, d: a + b + c + d >= 2, "at least 2 of a, b, c, d"),
    (lambda a, b, c, d: a + 1 - b + c + d >= 3, "at least 3 of a, not b, c, d"),
    (lambda a, b, c, d: a + b + c + d <= 1, "at most 1 of a, b, c, d"),
    (lambda a, b, c, d: a + b + c + d == 1, "exactly one of a, b, c, d"),
    (lambda a, b, c, d: a ^ b ^ c ^ d, "an odd number of a, b, c, d"),
    (lambda a, b, c, d: 1 - (a ^ b ^ c ^ d), "an even number of a, b, c, d"),
    (lambda a, b, c, d: (a + b + c + d) in (0, 3), "0 or 3 of a, b, c, d"),
    (lambda a, b, c, d: a & b & (c ^ d), "a and b and (exactly one of c, d)"),
    (lambda a, b, c, d: d | (a & b & c), "d or (a and b and c)"),
    (lambda a, b, c, d: (a & b) | (c & d), "(a and b) or (c and d)"),
    (lambda a, b, c, d: b & c if a else d, "if a then (b and c) else d"),
])
def test_what_is_said_of_well_known_rules(rule, text):
    table = [int(rule(*(i >> j & 1 for j in range(4)))) for i in range(16)]
    assert check(table, NAMES[:4]) == text


@pytest.mark.slow
def test_many_columns():
    ones = np.array([i.bit_count() for i in range(1 << 12)])
    names = [f"x{j}" for j in range(12)]
    mask = np.arange(1 << 12) ^ 0b101
    for table in ones >= 12, ones >= 5, ones <= 3, ones % 2, (ones >= 7)[mask], (ones >= 1)[mask]:
        assert "table" not in check(table.astype(int).tolist(), names)


def test_names_that_are_words_are_quoted():
    names = ["rock and roll", "not", 'a "b"', "bit 50"]
    text = check([0] * 15 + [1], names)
    assert text == '"rock and roll" and "not" and "a ""b""" and bit 50'


def test_products_are_short_or_not_used():
    parity = np.array([i.bit_count() % 2 for i in range(16)], np.uint8)
    assert by_products(parity, tuple(NAMES[:4])) is None and MOST < 32
