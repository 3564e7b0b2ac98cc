"""Formulas that can be read and run: one line gives every entry of an array from those before it.

    "i,c: sum(j: A[i,j] * v[j,c])"          out = A v; sums are written out, `scale[]` is a number

The live page runs the same lines, entry by entry, and so knows what each number came from.
"""
import functools
import re

import numpy as np

FUNCTIONS = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "cosh": np.cosh, "max": np.maximum,
             "where": np.where, "__builtins__": {},
             "total": lambda axis, x: x.sum(axis=axis, keepdims=True)}
REFERENCE = re.compile(r"(\w+)\[([^][]*)\]")


@functools.cache
def key(name):
    """The name of an array as rules write it: sum(e) is sum_e."""
    return re.sub(r"\W+", "_", name).rstrip("_")


@functools.cache
def parse(rule):
    """The letters of the result, all letters, an axis that each runs along, and the code."""
    indices, _, body = rule.partition(": ")
    wanted = [p for p in indices.split(",") if p]
    letters = wanted + sorted(set(re.findall(r"sum\((\w):", body)) - set(wanted))
    axes = {p: (name, axis) for name, at in REFERENCE.findall(body)
            for axis, p in enumerate(at.split(",")) if p in letters}
    code = re.sub(r"([^(?:]+) \? ([^:]+) : ([^)]+)", r"where(\1, \2, \3)", body)
    code = re.sub(r"sum\((\w): ?", lambda m: f"total({letters.index(m[1])}, ", code)
    return wanted, letters, axes, compile(code.replace("[]", "[()]").strip(), rule, "eval")


@functools.cache
def grid(*sizes):
    """Every letter along an axis of its own."""
    return np.ix_(*map(range, sizes))


def run(rule, values, shape=()):
    """Evaluate a rule for all entries at once: every letter is an axis of its own. shape: of the
    result, where no array has a letter as it stands for an axis."""
    wanted, letters, axes, code = parse(rule)
    sizes = {p: values[name].shape[axis] for p, (name, axis) in axes.items()}
    sizes |= dict(zip(wanted, shape))
    y = eval(code, FUNCTIONS, values | dict(zip(letters, grid(*(sizes[p] for p in letters)))))
    full = np.broadcast_to(y, [sizes[p] if p in wanted else 1 for p in letters])
    return full.reshape([sizes[p] for p in wanted])
