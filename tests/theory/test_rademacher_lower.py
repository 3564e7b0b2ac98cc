"""Rademacher complexity from below against exact cases."""
import math
from dataclasses import replace

import numpy as np
import pytest

from minitf.fast.forward import forward
from minitf.model.config import ModelConfig
from minitf.theory.budgets import ScalarBudgets
from minitf.theory.error import rad_chain
from minitf.theory.networks import scalar_logcov
from minitf.theory.rademacher import members, rademacher_lower
from minitf.theory.table import and_class

# ---- Rademacher complexity --------------------------------------------------------------------------------------

def class_of(T, B_q=None):
    """The class of an exact AND head, no clip, the l2 norms alone; with another norm of q."""
    c = replace(and_class(T, 3)[0], B_q1=None, B_V11=None, clip=False)
    return c if B_q is None else replace(c, B_q=B_q)


TABLE = {           # T: mean and its standard error, single position; for the norms of the AND head and for B_q = 6
    (16, None): (.720, .027, .545), (64, None): (.833, .024, .658), (256, None): (.947, .025, .754),
    (1024, None): (1.064, .026, .844), (16, 6.0): (.692, .027, None), (64, 6.0): (.744, .023, None),
    (256, 6.0): (.658, .023, None), (1024, 6.0): (.442, .023, None)}


@pytest.mark.parametrize("T, B_q", [pytest.param(*key, marks=[pytest.mark.slow] * (key[0] >= 256)) for key in TABLE])
def test_reference_table(T, B_q):
    """100 random bit strings, 60 draws of signs: three combined standard errors, and the laws that it shows."""
    mean, se, single = TABLE[T, B_q]
    X = np.random.default_rng(0).integers(0, 2, (100, 1024), np.uint8)[:, :T]
    c = class_of(T, B_q)
    found = rademacher_lower(X, c, np.random.default_rng(1))
    assert abs(found.mean - mean) < 3 * math.hypot(se, found.se)
    assert single is None or abs(found.single - single) < 0.04
    assert found.single < found.mean < rad_chain(lambda eps, m: scalar_logcov(
        eps, m, c, {"q": ["sid", "vol"], "W_V": ["frobenius", "vol"]}), 100, c.B_u * c.B_V * c.B_X)
    assert len(found.values) == 60 and found.values.std(ddof=1) / math.sqrt(60) == pytest.approx(found.se)
    growth = 100 * found.mean ** 2 / math.log(2 * T)
    assert 13 < growth < 19 if B_q is None else growth < {16: 18, 64: 14, 256: 9, 1024: 4}[T]


@pytest.mark.parametrize("B_q", [0.0, 1.0, 3.0])
def test_one_example_of_one_bit_is_solved_exactly(B_q):
    """T = m = 1: attention share a = S(sqrt(3) B_q) on x_1, and the head B_V |a x_1 + (1-a) x_cls|, both signs."""
    c = ScalarBudgets(T=1, d=4, d_v=1, B_X=math.sqrt(2), B_q=B_q, B_V=0.7, B_V21=0.7, B_u=3.0, L_s=0.5, clip=False)
    a = 1 / (1 + math.exp(-math.sqrt(3) * B_q))
    exact = 0.5 * 3.0 * 0.7 * math.sqrt(2 * a * a + (1 - a) ** 2)
    found = rademacher_lower(np.ones((1, 1), np.uint8), c, np.random.default_rng(0), signs=4, steps=200)
    assert found.values == pytest.approx([exact] * 4, rel=2e-3) and (found.values <= exact * (1 + 1e-9)).all()


def test_single_position_by_hand():
    """The head on one position and its mean over the signs, by softmax over the T + 1 rows."""
    rng = np.random.default_rng(3)
    X, c = rng.integers(0, 2, (9, 4), np.uint8), class_of(4, 2.0)
    found = rademacher_lower(X, c, np.random.default_rng(5), signs=7, steps=1)
    s = np.random.default_rng(5).choice([-1.0, 1.0], (7, 9))
    best = []
    for signs in s:
        outputs = []
        for t in range(4):
            a = np.exp(np.r_[0, 2.0 * (np.arange(4) == t)])
            outputs.append(c.B_u * c.B_V * abs(signs @ (X @ (a / a.sum())[1:])) / 9)
        best.append(max(outputs))
    assert found.single == pytest.approx(np.mean(best))
    assert (found.values >= np.array(best) * (1 - 1e-12)).all()        # they are among the starts


def test_members_are_the_scalar_head():
    """Against forward of the tf-scalar with one-hot positions, its W_V and q written out."""
    rng, T = np.random.default_rng(0), 5
    X, q, v = rng.integers(0, 2, (20, T), np.uint8), *rng.standard_normal((2, 3, T + 3))
    y, _ = members(q, v, X, np.concatenate([X == 0, X == 1], axis=1).astype(float))
    model = ModelConfig(T, d=T + 3, d_v=1, positions="onehot", activation="relu")
    for h in range(3):
        params = {"q": q[h:h + 1], "W_V": v[h][None, :, None], "w": np.ones(1), "c": np.zeros(())}
        assert y[h] == pytest.approx(forward(params, X, model)[0])


def test_lower_estimates_grow_with_every_norm_and_stay_inside_more_sets():
    X = np.random.default_rng(0).integers(0, 2, (30, 12), np.uint8)
    base = replace(class_of(12), B_q1=4.0, B_V11=1.2)

    def mean(**change):
        return rademacher_lower(X, replace(base, **change), np.random.default_rng(0), signs=8).mean
    first = mean()
    for change in ({"B_q1": 8.0}, {"B_V11": 2.0}, {"B_u": 5.0}, {"L_s": 1.2}, {"B_q": 20.0, "B_q1": 20.0},
                   {"B_V": 2.0, "B_V21": 2.0, "B_V11": 2.4}):
        assert mean(**change) > first * 1.01, change
    assert mean(B_u=5.0) == pytest.approx(first * 5 / base.B_u)
    assert mean(B_q1=None, B_V11=None) > first


def test_random_members_do_not_reach_what_the_ascent_reaches():
    rng = np.random.default_rng(0)
    X, c = rng.integers(0, 2, (20, 6), np.uint8), class_of(6)
    found = rademacher_lower(X, c, np.random.default_rng(1), signs=10)
    s = np.random.default_rng(1).choice([-1.0, 1.0], (10, 20))
    q, v = rng.standard_normal((2, 3000, 9)) * rng.exponential(size=(2, 1, 9))
    y, _ = members(c.B_q * q / np.linalg.norm(q, axis=1, keepdims=True),
                   c.B_V * v / np.linalg.norm(v, axis=1, keepdims=True), X,
                   np.concatenate([X == 0, X == 1], axis=1).astype(float))
    assert (found.values > c.B_u / 20 * abs(s @ y.T).max(axis=1)).all()


def test_what_leaves_the_class_does_not_count(monkeypatch):
    """An ascent that forgets to project ends outside: the starts alone are recorded."""
    X, c = np.random.default_rng(0).integers(0, 2, (30, 12), np.uint8), class_of(12)
    right = rademacher_lower(X, c, np.random.default_rng(0), signs=5)
    starts = rademacher_lower(X, replace(c, B_V=1e-9, B_V21=1e-9), np.random.default_rng(0), signs=5)
    monkeypatch.setattr("minitf.theory.rademacher.moved_into", lambda sets, x: x)
    wrong = rademacher_lower(X, c, np.random.default_rng(0), signs=5, steps=20)
    assert wrong.mean < right.mean and wrong.single == right.single and starts.mean < 1e-6


def test_signs_in_blocks_and_confidence():
    X, c = np.random.default_rng(0).integers(0, 2, (10, 600), np.uint8), class_of(600)
    found = rademacher_lower(X, c, np.random.default_rng(0), signs=30, steps=2, starts=1)      # blocks of 27 signs
    again = rademacher_lower(X, c, np.random.default_rng(0), signs=30, steps=2, starts=1, delta=0.5)
    assert (found.values == again.values).all()
    radius = c.B_u * c.B_V * c.B_X
    assert again.lower == pytest.approx(max(0, again.mean - radius * math.sqrt(2 * math.log(2) / (10 * 30))))
    assert found.lower <= again.lower and again.lower > 0


@pytest.mark.parametrize("change, name", [
    ({"X": np.full((2, 3), 2)}, "X: "), ({"c": class_of(5)}, "c: "), ({"c": and_class(3, 3)[0]}, "c: "),
    ({"c": replace(class_of(3), B_X=1.0)}, "c: "), ({"rng": 0}, "rng: "), ({"signs": 1}, "signs: "),
    ({"steps": 0}, "steps: "), ({"starts": 0}, "starts: "), ({"delta": 1.0}, "delta: ")])
def test_bad_input_of_the_lower_estimate(change, name):
    arguments = {"X": np.zeros((2, 3), np.uint8), "c": class_of(3), "rng": np.random.default_rng(0), **change}
    with pytest.raises((ValueError, TypeError), match=name):
        rademacher_lower(**arguments)
