"""What every entry of `minitf reproduce` is: a claim of the literature, and what comes out here."""
import json
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.files import as_json


class Page(NamedTuple):
    """An entry: what a paper claims, in what setting, and the functions that rerun it.

    run(each, **sizes) -> rows, curves: rows of `row`, and what draw(figure, curves) draws.
    each(f, cells) is [f(rng, *cell) for cell in cells], a random generator of its own for each.
    criteria {what has to hold for "reproduced": whether it does, of {figure: row}}.
    """
    claim: str
    setting: str
    published: str
    source: str
    criteria: dict
    run: Callable
    draw: Callable


def met(page, rows):
    """{criterion: does it hold}."""
    found = {row["figure"]: row for row in rows}
    return {text: bool(holds(found)) for text, holds in page.criteria.items()}


def row(figure, values, note=None):
    """One figure of ours with its 95 % interval: of values over seeds, or one number without."""
    values = np.asarray(values, float)
    mean = float(values.mean())
    half = None
    if values.ndim and len(values) > 1:
        half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values))
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"figure": figure, "ours": mean, "low": low, "high": high, "n": int(values.size),
            "note": note}


def share(figure, right, n, note=None):
    """One share of ours, with Wilson's 95 % interval."""
    p, z = right / n, 1.959963984540054
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + s * half) / (1 + z * z / n) for s in (-1, 1))
    low, high = min(max(low, 0.0), p), max(min(high, 1.0), p)           # rounding left them
    return {"figure": figure, "ours": p, "low": low, "high": high, "n": n, "note": note}


def rerun(page, name="", journal=None, watch=lambda cells, name: cells, **sizes):
    """Run an entry from its fixed seeds: its rows and curves, and the processor seconds it took.

    A piece that the journal has is not done again; one that is finished goes there. watch hands the
    cells on one by one, and may say how far it is.
    """
    done = {} if journal is None else {record["piece"]: record for record in journal.records}
    calls, saved = [], []

    def each(f, cells):
        calls.append(f)
        call = len(calls) - 1
        return [piece(f, cell, [name, call, i]) for i, cell in enumerate(watch(cells, name))]

    def piece(f, cell, where):
        key, before = as_json([*where, cell]), time.process_time()
        if key in done:
            saved.append(done[key]["seconds"])
            return done[key]["result"]
        result = f(np.random.default_rng(where[1:]), *cell)
        record = {"protocol": 1, "kind": "reproduce", "piece": key,
                  "seconds": time.process_time() - before, "result": result}
        if journal is not None:
            journal.append(record)
        return json.loads(as_json(result))

    start = time.process_time()
    rows, curves = page.run(each, **sizes)
    return rows, curves, time.process_time() - start + sum(saved)


def whole(measure):
    """The run of an entry that is one piece: measure(rng, **sizes) -> rows, curves."""
    def run(each, **sizes):
        return each(lambda rng, sizes: measure(rng, **sizes), [(sizes,)])[0]
    return run


def unit(x):
    """Vectors on the unit sphere."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
