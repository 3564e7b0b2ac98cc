"""The baselines: screening against the covariance matrix, l1-logistic regression by its optimality conditions."""
import numpy as np
import pytest

from minitf.lab.baselines import PENALTIES, l1_logistic, path, screening, strongest
from minitf.tasks.samples import sample_task


def a_sample(kind="and", T=12, m=80, seed=0):
    rng = np.random.default_rng(seed)
    task = sample_task(rng, kind, T, 3)
    return task, *task.sample(rng, m)


@pytest.mark.parametrize("seed", range(5))
def test_screening_ranks_by_covariance(seed):
    X, y = a_sample(T=10, m=30, seed=seed)[1:]
    covariance = np.abs(np.cov(X.T, y)[-1, :-1])
    for k in range(1, 11):
        found = screening(X, y, k)
        assert len(found) == k and list(found) == sorted(set(found))
        assert covariance[list(found)].min() >= np.delete(covariance, found).max(initial=0) - 1e-12


def test_screening_finds_a_rule_and_its_complement_but_not_parity():
    task, X, y = a_sample(m=2000)
    assert screening(X, y, 3) == screening(X, 1 - y, 3) == screening(1 - X, y, 3) == task.support
    found = [(task.support, screening(X, y, 3)) for task, X, y in (a_sample("parity", 64, 500, s) for s in range(5))]
    assert all(S != S_found for S, S_found in found)


def test_equal_strengths_go_to_the_first_positions():
    assert strongest(np.array([1, -1, 1, 0, -1.0]), 3) == (0, 1, 2) and strongest(np.zeros(4), 2) == (0, 1)


def test_each_point_of_the_path_is_optimal():
    X, y = a_sample(m=60)[1:]
    X = X.astype(float)
    penalties = np.abs((y - y.mean()) @ X).max() / len(y) * np.array([2.0, 0.9, 0.3, 0.05])
    for i, (penalty, (w, b)) in enumerate(zip(penalties, path(X, y, penalties))):
        residual = 1 / (1 + np.exp(-(X @ w + b))) - y
        gradient = residual @ X / len(y)
        assert abs(residual.mean()) < 1e-4 and np.abs(gradient).max() <= penalty + 1e-4
        assert np.abs(gradient + penalty * np.sign(w))[w != 0].max(initial=0) < 1e-4
        assert (np.count_nonzero(w) == 0) == (i == 0)


@pytest.mark.parametrize("kind", ["and", "majority"])
def test_l1_logistic_learns_a_rule_that_a_linear_threshold_computes(kind):
    task, X, y = a_sample(kind, 20, 150)
    w, b = l1_logistic(X, y, np.random.default_rng(0))
    H, labels = task.sample(np.random.default_rng(1), 2000)
    assert ((H @ w + b > 0) == labels).all() and strongest(w, 3) == task.support


@pytest.mark.slow
def test_the_penalty_is_chosen_by_errors_on_rows_left_out():
    """Labels without a rule: every penalty that lets a position in only adds errors, so few positions come in."""
    rng = np.random.default_rng(3)
    X, y = rng.integers(0, 2, (60, 25)), np.arange(60) % 4 == 0
    w, _ = l1_logistic(X, y, rng)
    *_, (full, _) = path(X.astype(float), y, np.abs((y - y.mean()) @ X).max() / 60 * 0.5 ** np.arange(1, PENALTIES + 1))
    assert np.count_nonzero(w) < 12 < np.count_nonzero(full)


@pytest.mark.slow
def test_it_can_be_stopped_and_repeats_itself():
    X, y = a_sample(T=6, m=30)[1:]
    first, second = (l1_logistic(X, y, np.random.default_rng(5)) for _ in range(2))
    assert (first[0] == second[0]).all() and first[1] == second[1]

    def stop():
        raise InterruptedError
    with pytest.raises(InterruptedError):
        l1_logistic(X, y, np.random.default_rng(5), stop)


@pytest.mark.parametrize("rows", [2, 3, 6])
def test_tiny_samples_and_single_examples_of_a_label_do(rows):
    X = np.random.default_rng(0).integers(0, 2, (rows, 5))
    w, b = l1_logistic(X, np.arange(rows) == 0, np.random.default_rng(0))
    assert np.isfinite(w).all() and np.isfinite(b)
