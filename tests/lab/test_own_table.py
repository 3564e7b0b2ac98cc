"""A user's own table: what is said of negated, noisy, equal columns, and of copied rows."""
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT

from minitf.lab import own_table
from minitf.lab.datasets import Table, read_table


def a_table(m=60, T=5, seed=0):
    """A table whose label is the AND of columns 1 and 3."""
    X = np.random.default_rng(seed).integers(0, 2, (m, T), dtype=np.uint8)
    return Table(X, tuple("abcdefgh"[:T]), X[:, 1] & X[:, 3], "y")


def test_a_negated_column_a_noisy_one_and_an_equal_one():
    table = a_table(500, 8)
    X = table.X.copy()
    X[:, 6] = X[:, 1]
    y = X[:, 1] & (1 - X[:, 3]) ^ (np.random.default_rng(2).random(500) < 0.05)
    record = own_table.plan_table(table._replace(X=X, y=y)).run()[1]
    assert record["rule"] in ("b and not d", "not d and g", "g and not d") and record["certain"] and record["learned"]
    (name, others), = record["substitutes"].items()
    assert name in "bg" and [other[:2] for other in others if other[1] == "equal"] == [["g" if name == "b" else "b", "equal"]]
    assert 0.02 < record["label_noise"] < 0.09


def test_few_distinct_rows_held_out_give_no_verdict():
    rows = np.random.default_rng(0).integers(0, 2, (40, 5), dtype=np.uint8)
    table = Table(np.repeat(rows[:12], 10, axis=0), tuple("abcde"), np.repeat(rows[:12, 1], 10), "y")
    record = own_table.plan_table(table).run()[1]
    assert record["holdout_distinct"] < 10 and record["learned"] is None
    assert record["rows"] == 120 and record["distinct"] == len({row.tobytes() for row in rows[:12]})


@pytest.mark.slow
def test_random_labels_of_copied_rows_are_not_learned(monkeypatch):
    monkeypatch.setattr("minitf.learn.table_rule.STARTS", 1)
    monkeypatch.setattr("minitf.learn.table_rule.STEPS", 100)
    rng = np.random.default_rng(1)
    X, y = rng.integers(0, 2, (80, 12), dtype=np.uint8), rng.integers(0, 2, 80, dtype=np.uint8)
    for seed in range(3):
        record = own_table.plan_table(Table(np.repeat(X, 10, axis=0), tuple("abcdefghijkl"), np.repeat(y, 10), "y"),
                                      seed=seed).run()[1]
        assert record["learned"] is not True and record["holdout_distinct"] >= 10


def test_the_example_tables_come_again(tmp_path):
    subprocess.run([sys.executable, ROOT / "data" / "examples" / "make.py", tmp_path], check=True)
    for name in ("deploys.tsv", "lamp.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "data" / "examples" / name).read_bytes()


@pytest.mark.every(3)
@pytest.mark.parametrize("name, rule", [("feature_flags.csv", "async_io and shard_index"), (
    "deploys.tsv", "migration and not canary"), ("lamp.csv", "exactly one of stairs_down, stairs_up")])
def test_the_rules_of_the_examples_are_found(name, rule):
    record = own_table.plan_table(read_table(ROOT / "data" / "examples" / name)).run()[1]
    assert record["rule"] == rule and record["certain"] and record["learned"] and record["certificate"]["error"] < 0.16
