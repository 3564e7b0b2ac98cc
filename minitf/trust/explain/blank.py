"""Fill in a blank: one quantity of a page is hidden, and an answer is told by the mistake it makes.

    print(blank("dS"))                                 the page, with dS of every head left out
    print(blank("dS", [[0, 0, 0], [..], [..], ..]))    right, or which mistake gives these numbers

Mistakes are made, not guessed: each is computed as a learner would make it, with everything else
right, and the numbers are compared.
"""
import functools
import json
import re
from typing import NamedTuple

import numpy as np

from minitf.checks import require
from minitf.trust.explain.head import explain
from minitf.trust.explain.layout import render
from minitf.trust.explain.lines import backward_lines, forward_lines
from minitf.trust.explain.several import checked, explain_attention, worked

SHOWN = 1e-3            # of the largest entry, and as a number: what 4 decimals leave open


class Answer(NamedTuple):
    """Whether an answer is right (None: none was given), and what to say."""
    right: bool | None
    text: str

    def __str__(self):
        return self.text


def blank(name, answer=None, *, attention=None, **options):
    """Hide one quantity of a page, or judge an answer to it: an array, or text (JSON or rows).

    attention: True for the page of heads, False for the [CLS] head; unless given, the page that has
    the name. A name without the number of a head stands for all heads, one after the other.
    """
    record = drawn(bool(attention), **options)
    if attention is None and not names_of(record, name):
        record = drawn(True, **options)
    names = names_of(record, name)
    known = ", ".join(a["name"] for a in record["arrays"] if a["kind"] != "given")
    require(names, "blank", f"one of {known}", name)
    if answer is None:
        return Answer(None, render(hidden(record, names)))
    values = {a["name"]: np.array(a["values"], float) for a in record["arrays"]}
    right = stacked(values, names)
    given = read(answer, right.shape, record.get("heads", 1))
    mistakes = head_mistakes if "heads" not in record else attention_mistakes
    found = [("right", right), *mistakes(record, values, names), *general(right)]
    return judged(name, given, found, right)


@functools.lru_cache(maxsize=8)
def drawn(attention, **options):
    """The record of one of the two pages."""
    own = {key: options[key] for key in ("T", "d", "seed") if key in options}
    return explain_attention(**options) if attention else explain(**own)


def stacked(values, names):
    """One array, or those of all heads on a leading axis."""
    return values[names[0]] if len(names) == 1 else np.stack([values[n] for n in names])


def names_of(record, name):
    """The arrays that a name stands for: itself, or one a head."""
    names = [a["name"] for a in record["arrays"] if a["kind"] != "given"]
    heads = [n for n in names if re.fullmatch(re.escape(name) + r"\d", n)]
    return [name] if name in names else heads


def hidden(record, names):
    """The record with question marks in the place of some arrays."""
    def marks(x):
        return [marks(row) for row in x] if isinstance(x, list) else "?"
    arrays = [{**a, "values": marks(a["values"]), "differences": None} if a["name"] in names else a
              for a in record["arrays"]]
    return {**record, "arrays": arrays}


def read(answer, shape, heads):
    """An answer as an array: JSON, or rows of numbers."""
    expected = f"{' x '.join(map(str, shape)) or 'one'} numbers, as JSON or rows"
    if isinstance(answer, str):
        text = answer.strip()
        try:
            rows = json.loads(text) if text[:1] in ("[", "{") else [
                [float(x) for x in line.replace(",", " ").split()] for line in text.splitlines()]
            answer = rows if not isinstance(rows, dict) else next(iter(rows.values()))
            if isinstance(answer, list):
                answer = np.concatenate([np.ravel(row) for row in answer])
        except (ValueError, TypeError, StopIteration):
            require(False, "answer", expected, text)
    x = np.asarray(answer, float)
    require(x.size in (np.prod(shape), heads * np.prod(shape)), "answer", expected, x)
    return x.reshape(shape if x.size == np.prod(shape) else (heads, *shape))


def judged(name, given, found, right):
    """Say which of the candidates an answer is."""
    if given.shape != right.shape:
        return Answer(False, f"{name}: not summed over the query heads that share it: add them up.")
    off = [(float(np.abs(given - x).max()), text) for text, x in found if x.shape == given.shape]
    least, text = min(off, key=lambda pair: pair[0])
    size = np.abs(right).max()
    if least <= SHOWN * max(1, size) and least <= 0.2 * size + 1e-12 and text == "right":
        return Answer(True, f"{name}: right, within {least:.1g}.")
    if least <= SHOWN * max(1, size):
        return Answer(False, f"{name}: not yet. These are the numbers if {text}.")
    worst = np.unravel_index(np.abs(given - right).argmax(), right.shape)
    return Answer(False, f"{name}: not yet, and none of the usual mistakes gives these numbers. "
                         f"Look again at entry {list(map(int, worst))}.")


def general(right):
    """Mistakes that any array can have."""
    yield "the sign is turned", -right
    if right.ndim > 1:
        yield "it is transposed", np.swapaxes(right, -1, -2)


def head_mistakes(record, v, names):
    """Mistakes of the [CLS] head."""
    a, da = v["a"], v["da"]
    yield from {
        "ds": [("only the diagonal of the Jacobian is used: a (1 - a) da", a * (1 - a) * da),
               ("sum(a * da) is left out", a * da)],
        "dX": [("x is only read: ds q^T is left out", np.outer(a, v["dc"])),
               ("x is only scored: a dc^T is left out", np.outer(v["ds"], v["q"]))],
        "dx_cls": [("it only asks: dX_0 is left out", v["W_QK"].T @ v["dq"]),
                   ("it is only row 0: W_QK^T dq is left out", v["dX"][0])],
        "dh": [("the switched-off entries are let through", v["dr"])],
    }.get(names[0], [])


def attention_mistakes(record, values, names):
    """Mistakes of attention: other rules, or other numbers under them."""
    o = checked(*(record[key] for key in ("T", "d", "heads", "mask", "sink", "softcap", "seed")))
    lines = forward_lines(o) + backward_lines(o)
    rules = {line.name: line.rule for line in lines}
    given = {line.name: values[line.name] for line in lines if not line.rule}

    def under(change, kept=None):
        """The arrays under changed rules, all of them or those asked for alone."""
        changed = [line._replace(rule=line.rule and change(line.name, line.rule)) for line in lines]
        if kept is not None:
            changed = [line for line in changed if line.name in kept]
        return stacked(worked(changed, values if kept else given), names)

    for text, old, new in SLIPS:
        def change(name, rule, old=old, new=new):
            return re.sub(old, new, rule)
        for kept in (names, None):
            if any(change(n, rules[n]) != rules[n] for n in names) or kept is None:
                yield text, under(change, kept)
    given["M"] = np.ones_like(given["M"])
    yield "the mask is ignored", under(lambda name, rule: rule)
    for shift in range(1, o.T):
        rolled = {n: np.roll(x, shift) if re.fullmatch(r"D\d", n) else x for n, x in values.items()}
        found = worked([line for line in lines if line.name in names], rolled)
        yield "D is that of another row", stacked(found, names)
    for part in (p for p in values if len(names) == 1 and re.fullmatch(names[0] + "_.", p)):
        yield f"only {part} is counted: the other parts are left out", values[part]


SLIPS = (               # what is said, what is replaced in the rules, by what
    ("the scale is missing", r"scale\[\] \* ", ""),
    ("the scale is taken twice", r"scale\[\] \* ", "scale[] * scale[] * "),
    ("only the diagonal of the Jacobian is used: A (1 - A) dA",
     r"(A\d\[i,j\]) \* \((dA\d\[i,j\]) - D\d\[i\]\)", r"\1 * (1 - \1) * \2"),
    ("sum(A * dA) is left out", r"\((dA\d\[i,j\]) - D\d\[i\]\)", r"\1"),
)
