"""Formulas that can be read and run: one line gives every entry of an array from those before it.

    "i,c: sum(j: A[i,j] * v[j,c])"          out = A v; sums are written out, `scale[]` is a number

The live page runs the same lines, entry by entry, and so knows what each number came from.
"""
import functools
import re

import numpy as np

LETTERS = "abcdehijt"
FUNCTIONS = {"exp": np.exp, "tanh": np.tanh, "cosh": np.cosh,
             "total": lambda axis, x: x.sum(axis=axis, keepdims=True)}
REFERENCE = re.compile(r"(\w+)\[([\w,]*)\]")


@functools.cache
def parse(rule):
    """The letters of the result, the code, and its references in order: (name, subscripts)."""
    indices, _, expression = rule.partition(": ")
    found = [(name, [p for p in at.split(",") if p]) for name, at in REFERENCE.findall(expression)]
    count = iter(range(len(found)))
    code = REFERENCE.sub(lambda _: f"_[{next(count)}]", expression)
    code = re.sub(r"sum\((\w): ", lambda m: f"total({LETTERS.index(m[1])}, ", code)
    wanted = [p for p in indices.split(",") if p]
    return wanted, compile(code, rule, "eval"), found


def run(rule, values):
    """Evaluate a rule for all entries at once: every letter is an axis of its own."""
    wanted, code, found = parse(rule)
    sizes = {p: n for name, at in found for p, n in zip(at, np.shape(values[name])) if p in LETTERS}
    scope = {p: np.arange(n).reshape([-1 if p == q else 1 for q in LETTERS])
             for p, n in sizes.items() if p in "ij"}
    arrays = [spread(np.asarray(values[name]), at, sizes) for name, at in found]
    y = eval(code, {"__builtins__": {}}, scope | FUNCTIONS | {"_": arrays})
    kept = [p for p in LETTERS if p in wanted]
    full = np.broadcast_to(y, [sizes[p] if p in wanted else 1 for p in LETTERS])
    return full.reshape([sizes[p] for p in kept]).transpose([kept.index(p) for p in wanted])


def spread(x, at, sizes):
    """Put each axis of x where its letter belongs; a number picks one entry."""
    x = x[tuple(slice(None) if p in sizes else int(p) for p in at)]
    letters = [p for p in at if p in sizes]
    x = x.transpose(sorted(range(len(letters)), key=lambda n: letters[n]))
    return x.reshape([sizes[p] if p in letters else 1 for p in LETTERS])
