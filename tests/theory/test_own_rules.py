"""Bounds of a rule of one's own: the class that holds it, its yardsticks, the command."""
import json
import math

import numpy as np
import pytest

from minitf.tasks.rules import balanced_p, labels_by_count
from minitf.tasks.samples import sample_task
from minitf.theory.construct import construct
from minitf.theory.information import m_star, rho_overlap
from minitf.theory.table import NORMS, bound_table, narrow, position_width, task_class

OWN = {"threshold": {"level": 2}, "symmetric": {"table": [0, 1, 1, 0]}, "junta": {"table": [0, 0, 1, 0, 0, 1, 1, 1]}}


@pytest.mark.every(3)
@pytest.mark.parametrize("kind", OWN)
def test_the_class_is_that_of_the_construction_and_the_yardsticks_are_those_of_the_rule(kind):
    c, beta = task_class(kind, 64, 3, **OWN[kind])
    task = sample_task(np.random.default_rng(0), kind, 64, 3, **OWN[kind])
    norms = construct(task, form="plateau")[2].norms
    found = [norms[name][0] for name in ("||W_QK||_2", "||q||_1", "||W_V||_2", "||W_V||_{2,1}", "||u||_2", "units")]
    assert found == pytest.approx([c.B_q, c.B_q1, c.B_V, c.B_V21, c.B_u, c.d_v])
    row, = bound_table(3, [64], task=kind, **OWN[kind])
    rho = rho_overlap(task.table if kind == "junta" else labels_by_count(task.table), balanced_p(task.table),
                      junta=kind == "junta")
    assert row["m_star"] == m_star(64, rho, 0.05) and row["beta"] == beta
    assert row["norms"] == {name: getattr(c, name) for name in NORMS}
    averages = kind == "threshold"                      # one count turns the label
    assert (row["averages"] is not None) == (row["averages_norms"] is not None) == averages


@pytest.mark.parametrize("kind", OWN)
def test_narrow_positions_have_room_for_the_scores(kind):
    """Weights on random signs that compute the rule have a smaller norm than the class allows; 2 beta would be too
    little room for the weights of a table, whose largest is 4."""
    c, beta = task_class(kind, 1024, 3, **OWN[kind])
    task = sample_task(np.random.default_rng(0), kind, 1024, 3, **OWN[kind])
    params, _, found = construct(task, form="plateau", positions="sign", d_P=position_width(1024, 3))
    slim = narrow(c, 3, math.log(found.weights.max()) / beta)
    assert slim.d == position_width(1024, 3) + 3 and found.norms["||W_QK||_2"][0] <= slim.B_q
    scores = 2 * beta + math.log(found.weights.max()) + np.log(found.weights)
    others = 1022 * np.exp(scores.max() / 2)           # [CLS] and all others half as large as the largest
    assert others / (others + np.exp(scores).sum()) == pytest.approx(1 / (4 * found.weights.sum()))
    assert slim.B_q >= math.sqrt(2) * np.linalg.norm(scores) * (1 - 1e-12)


@pytest.mark.slow
def test_at_least_one_is_or_and_its_negation_costs_the_same():
    """The same head with the other sign; a threshold of 1 is OR to the last digit."""
    other, = bound_table(2, [32], task="or")
    assert [other] == bound_table(2, [32], task="threshold", level=1) == bound_table(2, [32], task="symmetric",
                                                                                     table=[0, 1, 1])
    row, = bound_table(2, [32], task="symmetric", table=[1, 0, 0])
    assert (row["averages"], row["m_star"]) == (other["averages"], other["m_star"])


@pytest.mark.slow
def test_the_command_takes_level_and_table(run):
    code, out, _ = run("bound", "--task", "junta", "--k", 2, "--table", "0010", "--T", "16,32")
    assert code == 0 and "Class: junta 0010 of 2 of T bits by one head" in out
    record = json.loads(run("bound", "--task", "threshold", "--k", 2, "--level", 2, "--T", 16, "--json")[1])
    assert record["rows"] == bound_table(2, [16], task="threshold", level=2) and record["rule"] == "at least 2"
