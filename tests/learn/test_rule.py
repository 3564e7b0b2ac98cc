"""The rule that a model holds: exact on every input where it says so, else read off rows and counted on others."""
from dataclasses import replace

import numpy as np
import pytest

from minitf.learn import Result, Rule, TrainConfig, exact_rule, fit, read_rule
from minitf.model import ModelConfig, init_params
from minitf.tasks import sample_task


def all_inputs(T):
    return (np.arange(1 << T)[:, None] >> np.arange(T) & 1).astype(np.uint8)


@pytest.mark.parametrize("T", [1, 3, 9])
def test_an_exact_rule_is_the_sign_on_every_input(rng, T):
    X, found = all_inputs(T), 0
    for _ in range(300):
        v, c = rng.standard_normal(T) * rng.choice([0, 1e-3, 0.1, 1], T), rng.standard_normal()
        rule, labels = exact_rule(v, c), c + X @ v > 0
        if rule is not None:
            assert (rule(X) == labels).all()
            assert all(((X ^ np.eye(T, dtype=np.uint8)[t]) @ v + c > 0).tolist() != labels.tolist()
                       for t in rule.support)                             # none of them is ignored
            found += 1
    assert found >= (300 if T < 9 else 250)


def test_of_many_bits_none_beyond_twelve_and_none_within_rounding(rng):
    assert exact_rule(np.ones(13), -6.5) is None
    assert exact_rule(np.ones(12), -5.5).by_count == tuple([0] * 6 + [1] * 7)
    assert exact_rule(np.r_[np.ones(2), np.full(50, 1e-3)], -1.5).table == (0, 0, 0, 1)
    assert exact_rule(np.array([1.0, 1.0]), -2.0) is None and exact_rule(np.array([1.0]), -1 + 1e-10) is None
    assert exact_rule(np.zeros(3), 1.0) == Rule((), (1,), 3)


@pytest.mark.parametrize("kind, k, m, text", [("and", 2, 65, "x40 and x53"),
                                              ("majority", 3, 92, "at least 2 of x32, x40, x52"),
                                              ("or", 3, 92, "x32 or x40 or x52")])
def test_a_trained_head_is_its_rule(kind, k, m, text):
    rng = np.random.default_rng(0)
    task = sample_task(rng, kind, 64, k)
    result = fit(*task.sample(rng, m))
    rule, fresh = result.rule(), task.sample(rng, 5000)[0]
    assert rule.exact and (rule.support, rule.table) == (task.support, task.table) and str(rule) == text
    assert (rule(fresh) == result.predict(fresh)).all() and result.rule(fresh) == rule
    assert rule.disagreement == 0 and rule.say([f"bit {t}" for t in range(64)]) == text.replace("x", "bit ")


def test_an_affine_model_of_several_heads_is_read_from_its_weights(rng):
    model = ModelConfig(7, H=3, d=10, d_v=1, heads="concat", positions="onehot", values="bit")
    params = {"q": rng.standard_normal((3, 7)) * 3, "w": rng.standard_normal(3), "c": np.array(0.05)}
    a = np.exp(params["q"])
    a /= 1 + a.sum(axis=1, keepdims=True)
    result = Result(params, model, weights=a, shares=np.full(3, 1 / 3), frequency=np.full(7, 0.5))
    c, v = result.affine()
    X = all_inputs(7)
    assert np.abs(c + X @ v - result.logits(X)).max() < 1e-12
    rule = result.rule()
    assert (rule(X) == result.predict(X)).all()
    mlp = ModelConfig.mlp(7, d_ff=4)
    assert replace(result, params=init_params(rng, mlp), model=mlp, weights=a[:0], shares=np.zeros(0)).affine() is None


@pytest.mark.parametrize("table", [(0, 1, 1, 0), (1, 0, 0, 0, 0, 1, 1, 1), (0, 0, 0, 1, 1, 1, 1, 1)])
def test_a_rule_is_read_off_a_function(rng, table):
    k, T = len(table).bit_length() - 1, 30
    true = Rule((3, 17, 20)[:k], table, T)
    X = rng.integers(0, 2, (400, T)).astype(np.uint8)
    before = X.copy()
    rule = read_rule(true, X, np.zeros(T))
    assert rule.same_as(true) and not rule.exact and (rule.differs, rule.rows) == (0, 200)
    assert (X == before).all()


def test_exceptions_are_counted_on_rows_of_their_own(rng):
    """x2 and not x5, but for 3.5 % of the inputs: the rule without them, and an honest count."""
    X = rng.integers(0, 2, (4000, 24)).astype(np.uint8)

    def model(X):
        return (X[:, 2] & (1 - X[:, 5])) ^ (X[:, 8:16].sum(axis=1) >= 7)

    rule = read_rule(model, X, np.zeros(24))
    assert (rule.support, rule.table) == ((2, 5), (0, 1, 0, 0)) and rule.rows == 2000
    assert rule.differs == (rule(X[1::2]) != model(X[1::2])).sum() and 0.02 < rule.disagreement < 0.055


def test_patterns_that_no_row_has_are_tried():
    """Rows where x0 = x1: the table of a model that tells them apart is whole all the same."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 2, (300, 6)).astype(np.uint8)
    X[:, 1] = X[:, 0]
    rule = read_rule(lambda X: X[:, 0] ^ X[:, 1] ^ X[:, 4], X, np.zeros(6))
    assert rule.same_as(Rule((0, 1, 4), (0, 1, 1, 0, 1, 0, 0, 1), 6))


def test_parity_is_read_off_the_heads_of_adam():
    rng = np.random.default_rng(0)
    task = sample_task(rng, "parity", 20, 2)
    X, y = task.sample(rng, 400)
    result = fit(X, y, ModelConfig.scalar(20), np.random.default_rng(0))
    rule = result.rule(X)
    assert result.rule() is None and rule.support == task.support and str(rule).startswith("exactly one of ")
    assert rule.differs == 0 and rule.rows == 200


def test_what_is_refused():
    result = fit(*sample_task(np.random.default_rng(0), "and", 8, 2).sample(np.random.default_rng(1), 40),
                 ModelConfig.mlp(8, d_ff=4), train=TrainConfig(steps=5, restarts=0))
    assert result.rule() is None
    for bad in np.zeros((3, 7), int), np.zeros((1, 8), int):
        with pytest.raises(ValueError, match="^X: expected "):
            result.rule(bad)
    with pytest.raises(ValueError, match="^X: expected shape"):
        Rule((1,), (0, 1), 8)(np.zeros((3, 7), int))
