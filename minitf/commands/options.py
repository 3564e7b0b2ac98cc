"""Types of options that several commands take: lists of words, separated by commas."""
import click

from minitf.checks import require


class List(click.ParamType):
    """Values separated by commas: read(word) makes one, or raises ValueError; else what `expected`
    says is asked for."""
    name = "list"

    def __init__(self, read, expected):
        self.read, self.expected = read, expected

    def convert(self, value, param, context):
        if not isinstance(value, str):
            return value
        try:
            return [self.read(word.strip()) for word in value.split(",")]
        except ValueError:
            self.fail(f"expected {self.expected}, got {value!r}", param, context)


class WordOr(click.ParamType):
    """A word, or what another type takes."""

    def __init__(self, word, other):
        self.word, self.other, self.name = word, other, other.name

    def convert(self, value, param, context):
        return value if value == self.word else self.other.convert(value, param, context)


def positive(word):
    """A positive integer in decimal digits."""
    if not (word.isdecimal() and 0 < int(word) < 10 ** 300):
        raise ValueError
    return int(word)


def pair(word):
    """Two of them, as in 64x256."""
    m, T = word.split("x")
    return positive(m), positive(T)


def some_of(words):
    """A list of some of the words."""
    return List(lambda word: words[words.index(word)], f"some of {', '.join(words)}")


SIZES = List(positive, "positive integers as in 16,64,256")
PAIRS = List(pair, "pairs of examples and positions as in 64x64,256x1024")


class Size(click.ParamType):
    """Width and height in inches, as in 6.5x4."""
    name = "size"

    def convert(self, value, param, context):
        try:
            width, height = map(float, value.split("x"))
        except ValueError:
            width = height = 0.0
        if not (1 <= width <= 100 and 1 <= height <= 100):
            self.fail(f"expected width x height from 1x1 to 100x100 inches, got {value!r}", param,
                      context)
        return width, height


SIZE = Size()


def labels_of(table):
    """The labels of a --table, such as 0110 or 0,1,1,0."""
    labels = table.replace(",", "")
    require(labels and set(labels) <= {"0", "1"}, "table", "labels 0 and 1 as in 0110", table)
    return [int(bit) for bit in labels]
