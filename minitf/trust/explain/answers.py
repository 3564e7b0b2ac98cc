"""What a learner hands in: read as numbers, and called right or by the mistake that gives them."""
import json
import math
import re
from typing import NamedTuple

import numpy as np

from minitf.checks import array, require


class Answer(NamedTuple):
    """Whether an answer is right (None: none was given), and what to say."""
    right: bool | None
    text: str

    def __str__(self):
        return self.text

    __repr__ = __str__                          # what a notebook shows


def read(answer, found, where=""):
    """An answer as an array in the shape of a candidate: numbers, JSON, rows as written or printed.

    Rows may stand below each other for several heads; a matrix turned round is left as it is.
    """
    shapes = dict.fromkeys(x.shape for _, x in found)
    expected = f"{' x '.join(map(str, found[0][1].shape)) or 'one'} numbers{where}, as JSON or rows"
    try:
        x = array("answer", numbers(answer))
    except (ValueError, OverflowError, RecursionError):
        require(False, "answer", expected, answer)
    require(x.dtype.kind in "iuf" and np.isfinite(x).all(), "answer", expected, answer)
    while x.ndim > 1 and x.shape[0] == 1 and x.shape not in shapes:     # one head, one row
        x = x[0]
    x = x.ravel() if x.ndim == 2 and x.shape[1] == 1 else x
    loose = (shape for shape in shapes if x.size == math.prod(shape)
             and (min(x.ndim, len(shape)) < 2 or x.ndim == 2 and x.shape[-1] == shape[-1]))
    shape = x.shape if x.shape in shapes else next(loose, None)
    require(shape is not None, "answer", expected, answer if isinstance(answer, str) else x)
    return x.reshape(shape)


def numbers(answer):
    """Text as lists of numbers; what stands under several names in one list."""
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except ValueError:
            rows = [re.sub(r"[][(),;]", " ", line).split() for line in answer.splitlines()]
            answer = [[float(x) for x in row] for row in rows if row]
    if isinstance(answer, dict):
        answer = list(answer.values())
        answer = answer[0] if len(answer) == 1 else answer
    return answer


def judged(name, names, given, found, slack):
    """Say which of the candidates an answer is: the nearest, or right where none is much nearer."""
    off = [(float(np.abs(given - x).max()), text) for text, x in found if x.shape == given.shape]
    (least, text), right = min(off, key=lambda pair: pair[0]), found[0][1]
    if off[0][1] == "right" and off[0][0] <= min(10 * least + 1e-12, slack):
        least, text = off[0]
    if least > slack:
        return Answer(False, f"{name}: not yet{hint(names, given, right)}")
    if text == "right":
        return Answer(True, f"{name}: right, within {least:.1g}.")
    return Answer(False, f"{name}: not yet. These are the numbers if {text}.")


def hint(names, given, right):
    """What to say of numbers that no mistake explains."""
    if given.shape != right.shape:
        return f": its shape is {' x '.join(map(str, right.shape))}."
    if any((np.round(right, n) == np.round(given, 9)).all() for n in (1, 2, 3)):
        return ", though as near as so few decimals can be: give 4."
    *at, = map(int, np.unravel_index(np.abs(given - right).argmax(), right.shape))
    entry = f"{names[at.pop(0) if len(names) > 1 else 0]}{at or ''}"
    return f", and none of the usual mistakes gives these numbers. Look again at {entry}."
