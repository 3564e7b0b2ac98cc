"""Fill in a blank: one quantity of a page is hidden, and an answer is told by the mistake it makes.

    print(blank("dS"))                                 the page, with dS of every head left out
    print(blank("dS", [[0, 0, 0], [..], [..], ..]))    right, or which mistake gives these numbers

Mistakes are made, not guessed: each is computed as a learner would make it, at one line or at all
lines that invite it, with everything else right, and the numbers are compared.
"""
import functools
import re

import numpy as np

from minitf.checks import instance, require
from minitf.trust.explain.answers import Answer, judged, read
from minitf.trust.explain.head import explain
from minitf.trust.explain.layout import render
from minitf.trust.explain.rules import key, run
from minitf.trust.explain.several import explain_attention


def blank(name, answer=None, *, attention=None, **options):
    """Hide one quantity of a page, or judge an answer to it: an array, or text (JSON or rows).

    attention: True for the page of heads, False for the [CLS] head; unless given, the page that has
    the name. A name without the number of a head stands for all heads, one after the other.
    """
    instance("name", name, str)
    instance("attention", attention, bool | None)
    pages = [drawn(page, **options) for page in (False, True) if attention in (None, page)]
    having = [page for page in pages if names_of(page, name)]
    record = (having or pages)[0]
    names = names_of(record, name)
    known = (a["name"] for page in pages for a in page["arrays"] if a["kind"] != "given")
    known = dict.fromkeys(re.sub(r"(?<!_)\d$", "", each) for each in known)
    require(names, "name", f"one of {', '.join(known)}", name)
    lines = {a["name"]: a for a in record["arrays"]}
    values = {key(n): np.array(a["values"]) for n, a in lines.items()}
    if answer is None:
        return Answer(None, render(hidden(record, lines, values, names)))
    right = stacked(values, names)
    parts = [n for n in values if re.fullmatch(re.escape(name) + r"_\d", n)]
    found = [("right", right), *mistakes(lines, values, name, names, record),
             ("the sign is turned", -right)]
    if right.ndim > 1:
        found.append(("it is transposed", right.swapaxes(-1, -2)))
    if len(parts) > 1:
        found += [("it is not summed over the query heads", stacked(values, parts)),
                  ("it is a mean over the query heads, not their sum", right / len(parts))]
    if len(names) > 1:
        found.append(("the heads are in another order", right[::-1]))
    where = " of the page of one [CLS] query (--attention has another)" * (len(having) > 1)
    return judged(name + where, names, read(answer, found, where), found,
                  left_open(lines, values, names))


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
    closing.append("Hand in your numbers, in the order of the page, as rows or JSON: "
                   "--answer FILE, or blank(name, numbers) in Python.")
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


def left_open(lines, values, names):
    """How far 4 decimals leave numbers open: twice what comes of rounding the arrays that are
    shown, or every line on the way, and one in the last place."""
    shown = {name: np.round(x, 4) for name, x in values.items()}
    on_the_way, last = dict(shown), dict(shown)
    for name, line in lines.items():
        if line["rule"]:
            on_the_way[key(name)] = np.round(run(line["rule"], on_the_way, line["shape"]), 4)
            last[key(name)] = run(line["rule"], shown, line["shape"])
    off = [np.abs(stacked(v, names) - stacked(values, names)).max() for v in (on_the_way, last)]
    return 1e-4 + 2 * max(off)


def mistakes(lines, values, name, names, record):
    """What comes out where a rule is changed: in the lines of one array (of every head), in those
    of the backward pass, in all; and where a learner then goes on with the gradients shown."""
    path = [n for n in used(lines, names) if lines[n]["rule"]]
    own = {*names, *(n for n in path if n.startswith(f"{name}_"))}
    shown = {n for n in path if n[0] == "d"} - own, {n for n in path if n[0] in "dD"} - own
    for text, old, new in slips(record):
        changed = {n: rule for n in path if (rule := re.sub(old, new, lines[n]["rule"]))
                   != lines[n]["rule"]}
        back = [n for n in changed if lines[n]["part"] == "backward"]
        stems = [[n for n in changed if n.rstrip("0123456789") == stem]
                 for stem in dict.fromkeys(n.rstrip("0123456789") for n in changed)]
        for chosen in dict.fromkeys(map(tuple, [*stems, list(changed), back])):
            rules = {n: changed[n] for n in chosen}
            later = path[path.index(chosen[0]):] if chosen else []
            for held in dict.fromkeys(frozenset({*s} & {*later} - {*chosen}) for s in ((), *shown)):
                if x := again(lines, values, [n for n in later if n not in held], rules):
                    yield text, stacked(x, names)


def again(lines, values, path, rules):
    """Some lines run again, some of them by other rules; None where a rule cannot run so."""
    v = dict(values)
    for n in path:
        try:
            v[key(n)] = run(rules.get(n, lines[n]["rule"]), v, lines[n]["shape"])
        except (IndexError, ValueError):                # such as a matrix that is not square
            return None
    return v if path else None


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
    ("the sink is left out of the sum", r"exp\(sink\d\[\]\) \+ ", ""),
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
