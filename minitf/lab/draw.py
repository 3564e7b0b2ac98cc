"""Samples of drawn tasks: how many examples, and whether they determine the support."""
import math
from functools import partial

import numpy as np

from minitf.checks import require
from minitf.tasks import Packed, consistent_supports, is_checkable, labels_by_count

ATTEMPTS = 200          # samples drawn before an unambiguous one is given up
FIRST_ORDER = ("and", "or", "majority", "threshold")
PACK = 1 << 26          # bits of a sample from which it is packed as it is drawn


def auto_method(kind, model=None):
    """"pgd" for rules whose bits each correlate with the label; "adam" where perhaps none does, and
    for gpt and mlp."""
    return "pgd" if kind in FIRST_ORDER and model not in ("gpt", "mlp") else "adam"


def auto_m(kind, T, k, method, model=None, noise=0.0):
    """The sample size of a run unless given.

        pgd     6 log2 C(T, k), rounded down; at least 16. With label noise nu divided by
                1 - 2 sqrt(nu (1 - nu)), the factor by which noise weakens the evidence against a
                wrong support (Chernoff)
        adam    500 for k <= 2, four times more for every further bit, times T/64 beyond T = 64;
                twice that for gpt, mlp
    """
    if method == "pgd":
        weaker = 1 - 2 * math.sqrt(noise * (1 - noise))
        return max(16, math.floor(6 * math.log2(math.comb(T, k)) / weaker))
    base = 1000 if model in ("gpt", "mlp") else 500
    return math.ceil(base * 4 ** max(k - 2, 0) * max(T / 64, 1))


def is_checked(task):
    """Whether the supports that explain a sample are looked for: clean labels, few enough."""
    return task.noise == 0 and is_checkable(task.kind, task.T, task.k)


def is_determined(task, X, y, rule_known=True):
    """Whether one support alone explains a sample; None where that is not checked."""
    if not is_checked(task):
        return None
    by_count = labels_by_count(task.table)
    rule = {"level": task.k + 1 - sum(by_count)} if task.kind == "threshold" else {}
    if task.kind in ("symmetric", "junta") and rule_known:
        rule["table"] = task.table if task.kind == "junta" else by_count
    try:
        return len(consistent_supports(X, y, task.kind, task.k, limit=2, **rule)) == 1
    except ValueError:                          # the search gave up
        return None


def first_determined(draw, determined, attempts=ATTEMPTS):
    """X, y = draw(attempt) of the first attempt 0, 1, ... that determines the support, or that is
    not checked, else of the last; with determined(X, y) and the number of the attempt."""
    for attempt in range(attempts):
        X, y = draw(attempt)
        found = determined(X, y)
        if found is not False:
            break
    return X, y, found, attempt


def draw_sample(task, m, rng, *, redraw=False, rule_known=True):
    """Draw m examples; with redraw, draw again until they determine the support.

    Returns X, y, determined (True, False, or None: not checked), redraws.
    """
    checkable = "noise 0 and a task small enough to check"
    require(not redraw or is_checked(task), "redraw", checkable, f"noise {task.noise:g}, {task}")
    determined = partial(is_determined, task, rule_known=rule_known)
    *sample, found, redraws = first_determined(lambda _: sample_of(task, rng, m), determined,
                                               ATTEMPTS if redraw else 1)
    if redraw and not found:
        raise ValueError(f"redraw: expected a sample of m = {m} that determines the support, got "
                         f"{ATTEMPTS} ambiguous ones")
    return *sample, found, redraws


def sample_of(task, rng, m):
    """task.sample(rng, m), the bits Packed if they are many."""
    if m * task.T <= PACK:
        return task.sample(rng, m)
    labels = []

    def blocks():
        for X, y in task.blocks(rng, m, 8 * max(1, (1 << 19) // task.T)):
            labels.append(y)
            yield X

    return Packed.joined(blocks()), np.concatenate(labels)
