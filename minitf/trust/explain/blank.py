"""Fill in a blank: one quantity of a page is hidden, and an answer is told by the mistake it makes.

    print(blank("dS"))                                 the page, with dS of every head left out
    print(blank("dS", [[0, 0, 0], [..], [..], ..]))    right, or which mistake gives these numbers

Mistakes are made, not guessed: each is computed as a learner would make it, at one line or at all
lines that invite it, with everything else right, and the numbers are compared.
"""
import functools
import json
import re
from typing import NamedTuple

import numpy as np

from minitf.checks import require
from minitf.trust.explain.head import explain
from minitf.trust.explain.layout import render
from minitf.trust.explain.rules import key, run
from minitf.trust.explain.several import explain_attention

SHOWN = 1e-3            # of the largest entry, and as a number: what 4 decimals leave open


class Answer(NamedTuple):
    """Whether an answer is right (None: none was given), and what to say."""
    right: bool | None
    text: str

    def __str__(self):
        return self.text

    __repr__ = __str__                          # what a notebook shows


def blank(name, answer=None, *, attention=None, **options):
    """Hide one quantity of a page, or judge an answer to it: an array, or text (JSON or rows).

    attention: True for the page of heads, False for the [CLS] head; unless given, the page that has
    the name. A name without the number of a head stands for all heads, one after the other.
    """
    pages = [drawn(page, **options) for page in (False, True) if attention in (None, page)]
    record = next((page for page in pages if names_of(page, name)), pages[-1])
    names = names_of(record, name)
    known = (a["name"] for page in pages for a in page["arrays"] if a["kind"] != "given")
    known = dict.fromkeys(re.sub(r"(?<!_)\d$", "", each) for each in known)
    require(names, "blank", f"one of {', '.join(known)}", name)
    lines = {a["name"]: a for a in record["arrays"]}
    values = {key(n): np.array(a["values"]) for n, a in lines.items()}
    if answer is None:
        return Answer(None, render(hidden(record, lines, values, names)))
    right = stacked(values, names)
    parts = [n for n in values if re.fullmatch(re.escape(name) + r"_\d", n)]
    found = [("right", right), *mistakes(lines, values, names, record),
             ("the sign is turned", -right)]
    if right.ndim > 1:
        found.append(("it is transposed", right.swapaxes(-1, -2)))
    if parts:
        found.append(("it is not summed over the query heads", stacked(values, parts)))
    return judged(name, read(answer, found), found)


@functools.lru_cache(maxsize=8)
def drawn(attention, **options):
    """The record of one of the two pages."""
    own = {name: options[name] for name in ("T", "d", "seed") if name in options}
    return explain_attention(**options) if attention else explain(**own)


def stacked(values, names):
    """One array, or those of all heads on a leading axis."""
    return values[key(names[0])] if len(names) == 1 else np.stack([values[n] for n in names])


def names_of(record, name):
    """The arrays that a name stands for: itself, or one a head."""
    names = [a["name"] for a in record["arrays"] if a["kind"] != "given"]
    heads = [n for n in names if re.fullmatch(re.escape(name) + r"\d", n)]
    return [name] if name in names else heads


def used(lines, names):
    """The arrays that some arrays are computed from, and those themselves, in their order."""
    found = set(names)
    for name, line in reversed(lines.items()):
        if name in found and line["rule"]:
            found |= {n for n in lines if re.search(rf"\b{key(n)}\[", line["rule"])}
    return [name for name in lines if name in found]


def hidden(record, lines, values, names):
    """The record with question marks in the place of some arrays, and of those that give them away:
    they have the same numbers, or an entry that follows from one of theirs alone."""
    left, before = list(names), used(lines, names)
    for name in left:
        left += [n for n, line in lines.items() if line["rule"] and n not in left + before and
                 (same(values[key(n)], values[key(name)]) or alone(line, values, key(name)))]

    def marks(x):
        return [marks(row) for row in x] if isinstance(x, list) else "?"

    more = f"; and, as they would give it away, {', '.join(left[len(names):])}" * (left != names)
    text = {**record["text"], "intro": f"{record['text']['intro']} A ? stands for each number that "
                                       f"is left out: of {', '.join(names)}{more}."}
    arrays = [{**a, "values": marks(a["values"]), "differences": None} if a["name"] in left else a
              for a in record["arrays"]]
    closing = [re.sub(r"\d+\.\d{4}", "?", said) if "loss" in left else said
               for said in record["closing"]]
    return {**record, "text": text, "arrays": arrays, "closing": closing}


def same(x, y):
    """Whether two arrays share a row, up to signs, with more in it than 0 and 1."""
    x, y = ({tuple(row) for row in np.atleast_2d(np.abs(z)).round(9).tolist()} for z in (x, y))
    return any(set(row) - {0.0, 1.0} for row in x & y)


def alone(line, values, name):
    """Whether an entry of a line changes with one entry of another array alone."""
    if not re.search(rf"\b{name}\[", line["rule"]):
        return False
    x = np.array(values[name], float)
    moved = [run(line["rule"], values | {name: x + 0.1 * (np.arange(x.size) == i).reshape(x.shape)},
                 line["shape"]) != values[key(line["name"])] for i in range(x.size)]
    return bool((np.sum(moved, axis=0) == 1).any())


def read(answer, found):
    """An answer as an array: JSON, or rows of numbers."""
    shapes = {x.size: x.shape for _, x in reversed(found)}
    expected = f"{' x '.join(map(str, found[0][1].shape)) or 'one'} numbers, as JSON or rows"
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
    require(x.size in shapes, "answer", expected, x)
    return x.reshape(shapes[x.size])


def judged(name, given, found):
    """Say which of the candidates an answer is: the nearest, or right where none is much nearer."""
    off = [(float(np.abs(given - x).max()), text) for text, x in found if x.shape == given.shape]
    least, text = min(off, key=lambda pair: pair[0])
    right = found[0][1]
    size = np.abs(right).max()
    if off[0][1] == "right" and off[0][0] <= min(10 * least + 1e-12, 0.2 * size + 1e-12):
        least, text = off[0]
    if least > SHOWN * max(1, size):
        at = np.unravel_index(np.abs(given - right).argmax(), right.shape)
        return Answer(False, f"{name}: not yet, and none of the usual mistakes gives these "
                             f"numbers. Look again at entry {list(map(int, at))}.")
    if text == "right":
        return Answer(True, f"{name}: right, within {least:.1g}.")
    return Answer(False, f"{name}: not yet. These are the numbers if {text}.")


def mistakes(lines, values, names, record):
    """What comes out where a rule is changed: in the lines of one array (of every head), in all."""
    path = [n for n in used(lines, names) if lines[n]["rule"]]
    for text, old, new in slips(record):
        changed = {n: rule for n in path if (rule := re.sub(old, new, lines[n]["rule"]))
                   != lines[n]["rule"]}
        stems = dict.fromkeys(n.rstrip("0123456789") for n in changed)
        for chosen in [[stem] for stem in stems] + [list(stems)] * (len(stems) > 1):
            rules = {n: rule for n, rule in changed.items() if n.rstrip("0123456789") in chosen}
            v = dict(values)
            for n in path[path.index(next(iter(rules))):]:
                try:
                    v[key(n)] = run(rules.get(n, lines[n]["rule"]), v, lines[n]["shape"])
                except (IndexError, ValueError):        # such as a matrix that is not square
                    break
            else:
                yield text, stacked(v, names)


def slips(record):
    """What is said, what is replaced in the rules, by what."""
    T, heads = record["T"], range(record.get("heads", 0))
    yield from SLIPS
    for turned in "j", *(f"(i + {shift}) % {T}" for shift in range(1, T)):
        yield "D is that of another row", r"(D\d)\[i\]", rf"\1[{turned}]"
    for h in heads:
        only = f"only head {h} is counted: not summed over the query heads that share it"
        yield only, rf": .*\b(d[kv]_{h}\[j,c\]).*", r": \1"
        yield only, rf": .*(sum\(c: dq{h}[^)]*\)).*", r": \1"


JACOBIAN = r"(\w+\[[\w,]+\]) \* \((\w+\[[\w,]+\]) - (D\d\[i\]|sum_a_da\[\])\)"
DIAGONAL = "only the diagonal of the Jacobian is used: A (1 - A) dA"
SLIPS = (               # what is said, what is replaced in the rules, by what
    ("the mask is ignored", r"M\[i,j\] \* ", ""),
    ("the scale is missing", r"scale\[\] \* ", ""),
    ("the scale is taken twice", r"scale\[\] \* ", "scale[] * scale[] * "),
    (DIAGONAL, JACOBIAN, r"\1 * (1 - \1) * \2"),
    (DIAGONAL, r"(\(i == j\) \* (A0\[\d,i\])) - .*", r"\1 * (1 - \2)"),
    ("sum(A * dA) is left out", JACOBIAN, r"\1 * \2"),
    ("sum(A * dA) has the wrong sign", JACOBIAN, r"\1 * (\2 + \3)"),
    ("the sink is left out of the sum", r" \+ exp\(sink\d\[\]\)", ""),
    ("the slope of the softcap is left out", r" / cosh\(.*\) \*\* 2", ""),
    ("a matrix in it is transposed", r"\b(A|dS)(\d)\[i,j\] \* (?!\(|dA)", r"\1\2[j,i] * "),
    ("a matrix in it is transposed", r"\b(W_\w+)\[(\w),(\w)\]", r"\1[\3,\2]"),
    *((f"only dx_{n} is counted: x is used three times", rf": .*(dx_{n}\[i,a\]).*", r": \1")
      for n in "qkv"),
    *((f"dx_{n} is left out: x is used three times",
       rf"dx_{n}\[i,a\] \+ | \+ dx_{n}\[i,a\]$", "") for n in "qkv"),
    ("a row is only read: ds q^T is left out", r" \+ ds\[t\] \* q\[j\]", ""),
    ("a row is only scored: a dc^T is left out", r"a\[t\] \* dc\[j\] \+ ", ""),
    ("x_cls only asks: dX_0 is left out", r"dX\[0,j\] \+ ", ""),
    ("x_cls is only row 0: W_QK^T dq is left out", r"(dX\[0,j\]) \+ .*", r"\1"),
    ("the switched-off entries are let through", r"h\[i\] > 0 \? (dr\[i\]) : 0", r"\1"),
)
