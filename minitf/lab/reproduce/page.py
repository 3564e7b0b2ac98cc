"""What every entry of `minitf reproduce` is: a claim of the literature, and what comes out here."""
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Page(NamedTuple):
    """An entry: what a paper claims, in what setting, and the functions that rerun it.

    run(rng, **sizes) -> rows, curves: rows of `row`, and arrays for draw(figure, curves).
    """
    claim: str
    setting: str
    published: str
    source: str
    goal: str
    run: Callable
    draw: Callable


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


def rerun(page, **sizes):
    """Run an entry from its fixed seed: its rows and curves, and the processor seconds it took."""
    start = time.process_time()
    rows, curves = page.run(np.random.default_rng(0), **sizes)
    return rows, curves, time.process_time() - start


def unit(x):
    """Vectors on the unit sphere."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
