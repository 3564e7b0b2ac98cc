"""The search for supports against brute force over every k-subset, and against the exact mean number of competitors."""
import itertools
import math

import numpy as np
import pytest

from minitf.tasks import parity as identify
from minitf.tasks.rules import KINDS, labels_by_count, truth_table
from minitf.tasks.samples import sample_task
from minitf.tasks.sets import members
from minitf.tasks.supports import consistent_supports, is_checkable

UNKNOWN = ("symmetric, unknown", "junta, unknown")


def brute_force(X, y, kind, k, level, table):
    """Every k-subset tried: the known rule on its columns, or no two labels for one count or one pattern."""
    found = []
    for S in itertools.combinations(range(X.shape[1]), k):
        counts, codes = X[:, S].sum(axis=1), X[:, S].astype(int) @ (1 << np.arange(k))
        if kind in ("symmetric", "junta") and table is None:
            keys = counts if kind == "symmetric" else codes
            consistent = not set(keys[y == 1].tolist()) & set(keys[y == 0].tolist())
        else:
            labels = {"and": counts == k, "or": counts >= 1, "majority": counts >= k // 2 + 1, "parity": counts % 2,
                      "threshold": None if level is None else counts >= level,
                      "symmetric": None if table is None else np.array(table)[counts % len(table)],
                      "junta": None if kind != "junta" else np.array(table)[codes]}[kind]
            consistent = (labels == y).all()
        if consistent:
            found.append(S)
    return found


def instance(rng, name):
    """A small random task of a kind, one in eight with noisy labels, and a sample of 1 to 60 rows."""
    kind = name.split(",")[0]
    T = int(rng.integers(1, 11))
    k = int(rng.integers(1, min(T, 4) + 1))
    level = int(rng.integers(1, k + 1)) if kind == "threshold" else None
    p, noise = rng.choice([0.0, 0.3, 0.5, 0.8]), 0.2 if rng.random() < 0.125 else 0.0
    task = sample_task(rng, kind, T, k, level=level, p=float(p) or None, noise=noise)
    table = {"symmetric": labels_by_count(task.table), "junta": task.table}.get(name)
    return task, task.sample(rng, int(rng.choice([1, 3, 6, 12, 25, 60]))), dict(level=level, table=table)


@pytest.mark.every(6)
@pytest.mark.parametrize("name", KINDS + UNKNOWN)
def test_supports_are_those_of_brute_force(name):
    rng, several = np.random.default_rng(len(name)), []
    for _ in range(150):
        task, (X, y), rule = instance(rng, name)
        X.flags.writeable = y.flags.writeable = False
        expected = brute_force(X, y, task.kind, task.k, **rule)
        assert consistent_supports(X, y, task.kind, task.k, limit=None, **rule) == expected
        for limit in (1, 2, 3):
            found = consistent_supports(X, y, task.kind, task.k, limit=limit, **rule)
            assert len(found) == min(limit, len(expected)) and set(found) <= set(expected) and found == sorted(found)
        several.append(min(len(expected), 2))
        assert task.noise or task.support in expected
    assert min(several.count(n) for n in (0, 1, 2)) >= 5


@pytest.mark.parametrize("contradiction", [False, True])
@pytest.mark.parametrize("m", [2, 5, 9, 30])
@pytest.mark.parametrize("k", [1, 4, 5, 6, 8])
def test_both_ways_to_solve_parity_agree_with_brute_force(k, m, contradiction):
    rng = np.random.default_rng(100 * k + m)
    X, y = sample_task(rng, "parity", 12, k).sample(rng, m)
    if contradiction:
        X[-1], y[-1] = X[0], 1 - y[0]
    expected = brute_force(X, y, "parity", k, None, None)
    assert sorted(identify.meet_in_the_middle(X, y, k)) == expected
    solutions = identify.solve_mod_2(X, y)
    assert sorted(tuple(members(S)) for S in solutions if S.bit_count() == k) == expected
    assert len(solutions) == len(set(solutions)) and bool(expected) != contradiction


def test_parity_falls_back_where_the_equations_are_too_few():
    rng = np.random.default_rng(0)
    task = sample_task(rng, "parity", 24, 5)
    X, y = task.sample(rng, 12)
    X[6:], y[6:] = X[:6], y[:6]                     # 12 equations, rank at most 6: 18 free positions
    assert identify.solve_mod_2(X, y) is None
    found = consistent_supports(X, y, "parity", 5, limit=None)
    assert len(found) > 300 and task.support in found
    assert all((X[:, S].sum(axis=1) % 2 == y).all() for S in found)
    A = np.array(list(itertools.combinations(range(24), 5)))
    assert len(found) == (X[:, A].sum(axis=2) % 2 == y[:, None]).all(axis=0).sum()


def test_parity_checks_survivors_on_every_example():
    X = np.zeros((128, 6), dtype=np.uint8)          # column 0 and column 1 fold to the same word: rows 64 apart add up
    X[3, 0] = X[67, 1] = 1
    X[5, 2] = X[69, 2] = 1                          # column 2 folds to zero
    X[7, 3] = X[9, 4] = 1
    y = X[:, 0]
    assert consistent_supports(X, y, "parity", 1, limit=None) == [(0,)]
    assert consistent_supports(X, y, "parity", 2, limit=None) == [(0, 5)]
    assert consistent_supports(X, y ^ X[:, 2], "parity", 2, limit=None) == [(0, 2)]


@pytest.mark.every(2)
@pytest.mark.parametrize("kind", ["and", "or", "majority", "parity"])
def test_the_mean_number_of_competitors_is_exact(kind):
    T, k, m, n = 14, 3, 8, 500
    rng = np.random.default_rng(0)
    task = sample_task(rng, kind, T, k)
    others = []
    for _ in range(n):
        X, y = task.sample(rng, m)
        others.append(len(consistent_supports(X, y, kind, k, limit=None)) - 1)
    mean = 0
    for overlap in range(k):
        width = 2 * k - overlap
        disagree = 0
        for b in itertools.product((0, 1), repeat=width):
            rule = truth_table(kind, k)
            first, second = (rule[sum(bit << j for j, bit in enumerate(part))] for part in (b[:k], b[-k:]))
            disagree += (first != second) * task.p ** sum(b) * (1 - task.p) ** (width - sum(b))
        mean += math.comb(k, overlap) * math.comb(T - k, k - overlap) * (1 - disagree) ** m
    assert abs(np.mean(others) - mean) < 4 * np.std(others) / math.sqrt(n)
    assert np.std(others) / math.sqrt(n) < 0.1 * mean


LONG = [("and", 1 << 16, 3, 182, {}), ("or", 1 << 16, 3, 182, {}), ("and", 1024, 8, 250, {}),
        ("majority", 16384, 3, 158, {}), ("majority", 300, 5, 120, {}), ("threshold", 1024, 4, 150, {"level": 2}),
        ("parity", 1024, 3, 110, {}), ("parity", 64, 4, 200, {}), ("parity", 64, 20, 400, {}),
        ("junta", 64, 3, 1000, {}), ("junta", 40, 4, 400, {}),
        ("symmetric", 64, 3, 1000, {}), ("symmetric", 128, 2, 200, {})]


@pytest.mark.every(4)
@pytest.mark.parametrize("kind, T, k, m, options", LONG)
def test_long_samples_determine_their_support_and_noisy_ones_have_none(kind, T, k, m, options):
    for noise in (0.0, 0.1):
        rng = np.random.default_rng(T + k)
        task = sample_task(rng, kind, T, k, noise=noise, **options)
        X, y = task.sample(rng, m)
        expected = [] if noise else [task.support]
        assert (noise > 0) == bool((y != task.label(X)).any())
        assert consistent_supports(X, y, kind, k, **options) == expected
        table = {"symmetric": labels_by_count(task.table), "junta": task.table}.get(kind)
        if table:
            assert consistent_supports(X, y, kind, k, table=table) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["and", "or"])
def test_a_million_bits(kind):
    rng = np.random.default_rng(0)
    task = sample_task(rng, kind, 1 << 20, 3)
    assert consistent_supports(*task.sample(rng, 230), kind, 3) == [task.support]


def test_which_checks_are_quick():
    assert is_checkable("and", 1 << 20, 10) and is_checkable("or", 1 << 20, 3)
    assert is_checkable("majority", 65536, 3) and not is_checkable("majority", 131072, 3)
    assert is_checkable("threshold", 700, 6) and not is_checkable("threshold", 16384, 5)
    assert is_checkable("parity", 10_000, 3) and not is_checkable("parity", 16384, 3)
    assert is_checkable("parity", 64, 6) and not is_checkable("parity", 64, 20)
    assert is_checkable("junta", 64, 4) and not is_checkable("junta", 64, 6) and not is_checkable("symmetric", 4096, 3)
    assert is_checkable("junta", 20, 6) and not is_checkable("junta", 20, 18)


@pytest.mark.parametrize("change, error, words", [
    ({"kind": "xor"}, ValueError, "kind"), ({"k": 5}, ValueError, "k: expected at most T = 4"),
    ({"k": 0}, ValueError, "k"), ({"k": 2.0}, TypeError, "k"),
    ({"limit": 0}, ValueError, "limit"), ({"level": 1}, ValueError, "level"),
    ({"table": (0, 1, 1)}, ValueError, "table"), ({"kind": "threshold"}, ValueError, "level"),
    ({"kind": "junta", "level": 1}, ValueError, "level"), ({"kind": "junta", "table": (0, 1)}, ValueError, "table"),
    ({"kind": "symmetric", "table": (0, 0, 0)}, ValueError, "table"), ({"y": [0, 1]}, ValueError, "y"),
    ({"y": [0, 1, 2]}, ValueError, "y"), ({"X": np.zeros(4)}, ValueError, "X")])
def test_bad_questions_are_refused(change, error, words):
    good = {"X": np.zeros((3, 4), dtype=np.uint8), "y": [0, 0, 0], "kind": "and", "k": 2}
    assert len(consistent_supports(**good)) == 2
    with pytest.raises(error, match=f"^{words}"):
        consistent_supports(**{**good, **change})
