"""The decoders of group testing, against their definitions by enumeration, and as methods of a sweep."""
from itertools import combinations

import numpy as np
import pytest
from sweeps import a_job

from minitf.lab import protocol
from minitf.lab.decoders import DECODERS, decode, relaxed
from minitf.lab.trial import training_set, trial
from minitf.tasks import consistent_supports, sample_task

SEEDS = range(12)


def draw(kind, seed, T=9, m=12, k=2):
    """Support, X, y and its tests as sets: pools of positives, pools of negatives."""
    rng = np.random.default_rng(seed)
    task = sample_task(rng, kind, T, k)
    X, y = task.sample(rng, m)
    inside, positive = (1, 1) if kind == "or" else (0, 0)
    pools = [{t for t in range(T) if row[t] == inside} for row in X]
    return (set(task.support), X, y, [pool for pool, label in zip(pools, y) if label == positive],
            [pool for pool, label in zip(pools, y) if label != positive])


def explaining(T, positives, negatives, size):
    """The sets of that size that meet every positive pool and no negative one."""
    return [set(S) for S in combinations(range(T), size)
            if all(pool & set(S) for pool in positives) and not any(pool & set(S) for pool in negatives)]


@pytest.mark.parametrize("kind", ["and", "or"])
@pytest.mark.parametrize("seed", SEEDS)
def test_comp_and_dd_are_the_union_and_the_core_of_all_explanations(kind, seed):
    """COMP names what some explaining set holds, DD what every one of any size holds: from both sides the truth."""
    truth, X, y, positives, negatives = draw(kind, seed)
    every = [S for size in range(10) for S in explaining(9, positives, negatives, size)]
    comp, dd = (set(decode(method, X, y, kind)) for method in ("comp", "dd"))
    assert comp == set().union(*every) and dd == set.intersection(*every) and dd <= truth <= comp


@pytest.mark.parametrize("kind", ["and", "or"])
@pytest.mark.parametrize("seed", SEEDS)
def test_scomp_explains_everything_and_takes_the_largest_and_first(kind, seed):
    truth, X, y, positives, negatives = draw(kind, seed, m=8)
    comp, named = set(decode("comp", X, y, kind)), set(decode("dd", X, y, kind))
    while left := [pool for pool in positives if not pool & named]:
        named.add(max(sorted(comp - named), key=lambda t: sum(t in pool for pool in left)))     # the first of equal ones
    assert set(decode("scomp", X, y, kind)) == named
    assert named in explaining(9, positives, negatives, len(named))


@pytest.mark.parametrize("kind", ["and", "or"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_relaxation_is_below_the_smallest_set_and_rounds_to_it_where_it_is_whole(kind, seed):
    truth, X, y, positives, negatives = draw(kind, seed, m=8, k=3)
    comp = decode("comp", X, y, kind)
    z = relaxed(np.array([[t in pool for t in comp] for pool in positives], bool).reshape(len(positives), len(comp)))
    smallest = next(size for size in range(10) if explaining(9, positives, negatives, size))
    assert z.sum() <= smallest + 1e-9 <= len(truth) + 1e-9 and (z >= -1e-9).all()
    assert all(sum(z[comp.index(t)] for t in pool & set(comp)) >= 1 - 1e-9 for pool in positives)
    if np.abs(z - z.round()).max(initial=0) < 1e-9:
        found = set(decode("lp", X, y, kind))
        assert len(found) == smallest and found in explaining(9, positives, negatives, smallest)


def test_the_relaxation_can_be_below_any_set():
    """Three pools of two of three items: 1/2 each is enough, and all three are named."""
    tests = ~np.eye(3, dtype=bool)
    assert relaxed(tests) == pytest.approx([0.5] * 3)
    assert decode("lp", tests, np.ones(3, int), "or") == (0, 1, 2)
    assert decode("scomp", tests, np.ones(3, int), "or") == (0, 1)          # equal ones: the first
    assert decode("dd", tests, np.ones(3, int), "or") == ()


@pytest.mark.parametrize("method", DECODERS)
def test_and_is_or_of_the_complement_and_columns_have_no_order(method):
    for seed in range(5):
        truth, X, y, *_ = draw("and", seed, T=30, m=30)
        found = decode(method, X, y, "and")
        assert found == decode(method, 1 - X, 1 - y, "or")
        order = np.random.default_rng(seed).permutation(30)
        if set(found) == truth:
            assert set(order[list(decode(method, X[:, order], y, "and"))]) == truth


@pytest.mark.parametrize("method", DECODERS)
@pytest.mark.parametrize("kind", ["and", "or"])
def test_with_enough_examples_all_name_the_support(method, kind):
    for seed in range(5):
        truth, X, y, *_ = draw(kind, seed, T=64, m=150, k=3)
        assert set(decode(method, X, y, kind)) == truth


@pytest.mark.parametrize("method", DECODERS)
def test_labels_that_nothing_explains_are_answered_too(method):
    X, y = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0]]), np.array([1, 0, 1])
    assert decode(method, X, y, "or") == (0,)              # the third is positive with nobody in it
    assert decode(method, X, 1 - y, "or") == (2,)
    assert decode(method, X, np.zeros(3, int), "or") == () == decode(method, X, np.ones(3, int), "and")


@pytest.mark.slow
def test_a_trial_judges_a_decoder_on_the_draws_of_the_head():
    """The same training set, and success is that of the decoded rule on the same fresh examples."""
    seen = []
    for method in ("pgd", *DECODERS):
        job = a_job(16, 20, 1, method=method)
        task = sample_task(protocol.stream(job, "support"), "and", 16, 3)
        seen.append(training_set(job, task)[:2])
    assert all((X == seen[0][0]).all() and (y == seen[0][1]).all() for X, y in seen)
    outcomes = set()
    for kind in ("and", "or"):
        for method in DECODERS:
            for rep in range(6):
                job = a_job(16, 18, rep, method=method, task=kind)
                record = trial(job)
                task = sample_task(protocol.stream(job, "support"), kind, 16, 3)
                X, y = task.sample(protocol.stream(job, "sample", record["attempts"] - 1), 18)
                found = list(decode(method, X, y, kind))
                fresh, labels = task.sample(protocol.stream(job, "holdout"), 10_000)
                rule = fresh[:, found].all(axis=1) if kind == "and" else fresh[:, found].any(axis=1)
                assert record["success"] == record["success_any"] == bool((rule == labels).all())
                assert record["support_exact"] == (tuple(found) == task.support)
                assert consistent_supports(X, y, kind, 3) == [task.support] and record["determined"]
                outcomes.add((method, record["success"]))
    assert len(outcomes) == 2 * len(DECODERS)


def test_a_rule_that_no_fresh_example_tells_from_the_truth_is_a_success():
    """Bits that are 0 once in 2^20: ten thousand examples show no difference, as with a trained head."""
    job = a_job(8, 400, method="comp", k=2, p=1 - 2 ** -20, noise=0.4)
    record = trial(job)
    assert record["success"] is True and record["support_exact"] is False
