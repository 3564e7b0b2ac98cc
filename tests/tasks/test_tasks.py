"""Rules against their definitions, probabilities against enumeration, the stream of examples against a scalar twin."""
import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitf.tasks.rules import KINDS, balanced_p, fwht, labels_by_count, random_table, truth_table
from minitf.tasks.samples import BooleanTask, sample_task

DEFINITION = {
    "and": lambda b, level, table: int(all(b)),
    "or": lambda b, level, table: int(any(b)),
    "majority": lambda b, level, table: int(sum(b) >= len(b) // 2 + 1),
    "parity": lambda b, level, table: sum(b) % 2,
    "threshold": lambda b, level, table: int(sum(b) >= level),
    "symmetric": lambda b, level, table: table[sum(b)],
    "junta": lambda b, level, table: table[sum(bit * 2 ** j for j, bit in enumerate(b))],
}


def inputs(k):
    """All 2^k inputs in the order of a truth table."""
    return [tuple(i >> j & 1 for j in range(k)) for i in range(2 ** k)]


def rules(ks):
    """(kind, k, level, table) for every kind, every level, and two drawn tables of each size."""
    rng, cases = np.random.default_rng(0), []
    for k, kind in itertools.product(ks, KINDS):
        if kind == "threshold":
            cases += [(kind, k, level, None) for level in range(1, k + 1)]
        elif kind in ("symmetric", "junta"):
            tables = [random_table(rng, kind, k) for _ in range(2)]
            cases += [(kind, k, None, labels_by_count(table) if kind == "symmetric" else table) for table in tables]
        else:
            cases.append((kind, k, None, None))
    return cases


def task_of(kind, k, level=None, table=None, *, T=None, p=0.5, noise=0.0, support=None):
    support = tuple(range(k)) if support is None else support
    return BooleanTask(kind, T or k, k, support, truth_table(kind, k, level, table), p, noise)


def enumerate_mean(value, k, p):
    """E value(b) over Bernoulli(p) bits, term by term."""
    return math.fsum(value(b) * math.prod(p if bit else 1 - p for bit in b) for b in inputs(k))


def flipped(b, i):
    return b[:i] + (1 - b[i],) + b[i + 1:]


@pytest.mark.parametrize("kind, k, level, table", rules(range(1, 6)))
def test_rule_is_its_definition_and_reads_only_its_support(kind, k, level, table):
    rule = truth_table(kind, k, level, table)
    assert rule == tuple(DEFINITION[kind](b, level, table) for b in inputs(k))
    support = tuple(range(1, 2 * k, 2))
    X = np.random.default_rng(1).integers(0, 2, (60, 2 * k + 1), dtype=np.uint8)
    X.flags.writeable = False
    y = task_of(kind, k, level, table, T=2 * k + 1, support=support).label(X)
    assert y.dtype == np.uint8
    assert y.tolist() == [DEFINITION[kind]([int(x[i]) for i in support], level, table) for x in X]


@pytest.mark.parametrize("p", [0.5, 0.7937, 0.05])
@pytest.mark.parametrize("kind, k, level, table", rules(range(1, 5)))
def test_probability_and_influences_are_enumerations(kind, k, level, table, p):
    task = task_of(kind, k, level, table, p=p)
    label = dict(zip(inputs(k), task.table))
    pi = enumerate_mean(lambda b: label[b], k, p)
    assert task.label_probability == pytest.approx(pi, rel=1e-14)
    assert task.chance == pytest.approx(max(pi, 1 - pi), rel=1e-14)
    influences = [enumerate_mean(lambda b: label[b] != label[flipped(b, i)], k, p) for i in range(k)]
    np.testing.assert_allclose(task.influences(), influences, rtol=1e-13)
    sensitivities = {b: sum(label[b] != label[flipped(b, i)] for i in range(k)) for b in inputs(k)}
    assert task.sensitivity() == max(sensitivities.values())
    assert task.average_sensitivity() == pytest.approx(enumerate_mean(sensitivities.get, k, p), rel=1e-13)


@pytest.mark.every(4)
@pytest.mark.parametrize("k", [1, 2, 3, 7, 20])
def test_label_probability_in_closed_form(k):
    p = 0.3
    assert task_of("and", k, p=p).label_probability == pytest.approx(p ** k, rel=1e-13)
    assert task_of("or", k, p=p).label_probability == pytest.approx(1 - (1 - p) ** k, rel=1e-13)
    assert task_of("parity", k, p=p).label_probability == pytest.approx((1 - (1 - 2 * p) ** k) / 2, rel=1e-13)
    np.testing.assert_allclose(task_of("and", k, p=p).influences(), p ** (k - 1), rtol=1e-12)


@pytest.mark.parametrize("overlap, rho", [(0, 0.5), (1, 0.370039), (2, 0.206299)])
def test_two_balanced_ands_disagree_as_often_as_they_must(overlap, rho):
    p, T = balanced_p(truth_table("and", 3)), 6 - overlap
    X = np.array(inputs(T))
    first, second = (task_of("and", 3, T=T, support=S) for S in ((0, 1, 2), tuple(range(T - 3, T))))
    weights = p ** X.sum(axis=1) * (1 - p) ** (T - X.sum(axis=1))
    disagree = weights @ (first.label(X) != second.label(X))
    assert disagree == pytest.approx(2 * (p ** 3 - p ** (6 - overlap)), rel=1e-13)
    assert disagree == pytest.approx(rho, abs=1e-6)


@pytest.mark.every(3)
@pytest.mark.parametrize("k", range(1, 21))
def test_balanced_p_in_closed_form(k):
    assert balanced_p(truth_table("and", k)) == pytest.approx(2 ** (-1 / k), abs=1e-15)
    assert balanced_p(truth_table("or", k)) == pytest.approx(-math.expm1(-math.log(2) / k), abs=1e-15)
    assert balanced_p(truth_table("parity", k)) == 0.5
    assert balanced_p(truth_table("majority", k)) == 0.5 or k % 2 == 0


@pytest.mark.every(4)
@pytest.mark.parametrize("k", [2, 3, 6, 13, 20])
def test_balanced_p_of_thresholds_against_many_digits(k):
    mpmath = pytest.importorskip("mpmath")
    for level in {1, 2, k // 3, (k + 1) // 2, k - 1, k} - {0}:
        p = balanced_p(truth_table("threshold", k, level))
        with mpmath.workdps(40):
            exact = mpmath.findroot(lambda q: mpmath.fsum(
                mpmath.binomial(k, c) * q ** c * (1 - q) ** (k - c) for c in range(level, k + 1)) - 0.5, p)
            assert abs(exact - p) <= 2.3e-16


@pytest.mark.slow
def test_balanced_p_of_every_junta_of_three_is_the_best_there_is():
    grid = np.linspace(0, 1, 2001)[1:-1]
    seen = {"balanced": 0, "never balanced": 0}
    for table in itertools.product((0, 1), repeat=8):
        ones = [sum(table[i] for i in range(8) if i.bit_count() == c) for c in range(4)]
        if len(set(table)) == 1:
            continue
        p = balanced_p(table)
        miss = np.abs(sum(n * grid ** c * (1 - grid) ** (3 - c) for c, n in enumerate(ones)) - 0.5)
        found = abs(enumerate_mean(dict(zip(inputs(3), table)).get, 3, p) - 0.5)
        power = np.polynomial.Polynomial
        pi = sum((n * power([0, 1]) ** c * power([1, -1]) ** (3 - c) for c, n in enumerate(ones)), power([-0.5]))
        roots = [r.real for r in pi.roots() if abs(r.imag) < 1e-7 and 0 < r.real < 1]
        if roots:
            assert found < 1e-15 and abs(p - 0.5) <= min(abs(r - 0.5) for r in roots) + 1e-6
        else:
            assert found <= miss.min() + 1e-15 and 0 < p < 1
        seen["balanced" if roots else "never balanced"] += 1
    assert min(seen.values()) > 20


def test_balanced_p_finds_a_root_that_only_touches():
    table = [int((i & 3 == 3) ^ (i >> 2 == 3)) for i in range(16)]      # AND xor AND: pi = 2 u (1 - u), u = p^2
    assert balanced_p(table) == pytest.approx(0.5 ** 0.5, abs=1e-15)


FOURIER = {                                     # F by size of A, influence, average sensitivity, largest sensitivity
    ("and", 3): ([0.75, 0.25, -0.25, 0.25], 0.25, 0.75, 3),
    ("or", 3): ([-0.75, 0.25, 0.25, 0.25], 0.25, 0.75, 3),
    ("majority", 3): ([0, 0.5, 0, -0.5], 0.5, 1.5, 2),
    ("parity", 3): ([0, 0, 0, 1], 1, 3, 3),
    ("majority", 5): ([0, 0.375, 0, -0.125, 0, 0.375], 0.375, 1.875, 3),
    ("and", 5): ([15 / 16, 1 / 16, -1 / 16, 1 / 16, -1 / 16, 1 / 16], 0.0625, 0.3125, 5),
}


@pytest.mark.parametrize("kind, k", FOURIER)
def test_fourier_table(kind, k):
    by_size, influence, average, largest = FOURIER[kind, k]
    task = task_of(kind, k)
    np.testing.assert_allclose(task.fourier(), [by_size[i.bit_count()] for i in range(2 ** k)], rtol=0, atol=1e-12)
    np.testing.assert_allclose(task.influences(), influence, rtol=0, atol=1e-12)
    assert task.average_sensitivity() == pytest.approx(average, abs=1e-12)
    assert task.sensitivity() == largest


@pytest.mark.parametrize("kind, k, level, table", rules(range(1, 6)))
def test_fourier_is_its_definition_and_agrees_with_flips(kind, k, level, table):
    task = task_of(kind, k, level, table)
    F = task.fourier()
    sums = [sum((1 - 2 * y) * (-1) ** (A & b).bit_count() for b, y in enumerate(task.table)) for A in range(2 ** k)]
    np.testing.assert_allclose(F, np.array(sums) / 2 ** k, rtol=0, atol=1e-15)
    assert (F ** 2).sum() == pytest.approx(1, abs=1e-13)
    sizes = [[A >> i & 1 for A in range(2 ** k)] for i in range(k)]
    np.testing.assert_allclose(sizes @ F ** 2, task.influences(), rtol=0, atol=1e-13)


def test_walsh_hadamard_twice_is_a_multiple():
    x = np.random.default_rng(0).standard_normal(256)
    np.testing.assert_allclose(fwht(fwht(x)), 256 * x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind, k, level", [("and", 4, None), ("or", 3, None), ("majority", 5, None),
                                            ("threshold", 6, 2)])
def test_total_influence_is_the_slope_of_the_label_probability(kind, k, level):
    p, h = 0.37, 1e-5
    up, down = (task_of(kind, k, level, p=p + s).label_probability for s in (h, -h))
    assert (up - down) / (2 * h) == pytest.approx(task_of(kind, k, level, p=p).average_sensitivity(), rel=1e-8)


# The stream of examples

def stream_twin(task, rng, m):
    """The examples bit by bit, from the bytes of the generator."""
    def word():
        return int(rng.integers(0, 2 ** 64, dtype=np.uint64, endpoint=False))

    ties = np.random.default_rng([word(), word()])
    threshold = math.floor(task.p * 2 ** 40)
    X, y = [], []
    for _ in range(m):
        row = b"".join(word().to_bytes(8, "little") for _ in range(math.ceil(task.T / 8)))[:task.T]
        bits = []
        for octet in row:
            tie = octet == threshold >> 32 and threshold % 2 ** 32
            low = int(ties.integers(0, 2 ** 32, dtype=np.uint32)) if tie else 0
            bits.append(int(octet * 2 ** 32 + low < threshold))
        X.append(bits)
        y.append(task.table[sum(bits[i] << j for j, i in enumerate(task.support))] ^ (word() < task.noise * 2 ** 64))
    return np.array(X, dtype=np.uint8), np.array(y, dtype=np.uint8)


@pytest.mark.parametrize("T, p, noise", [
    (3, 0.7937, 0.0), (8, 0.5, 0.2), (41, 0.7937005259840998, 0.1), (300, 1 / 512, 0.4), (300, 0.999, 0.0),
    (9, 2.0 ** -41, 0.0), (9, 1 - 2.0 ** -53, 0.0)])
def test_stream_equals_its_scalar_twin(T, p, noise):
    task = task_of("majority", 3, T=T, p=p, noise=noise, support=(0, 1, T - 1))
    X, y = task.sample(np.random.default_rng(7), 60)
    X_twin, y_twin = stream_twin(task, np.random.default_rng(7), 60)
    assert X.dtype == y.dtype == np.uint8 and X.flags.c_contiguous
    assert (X == X_twin).all() and (y == y_twin).all()


@settings(max_examples=60, deadline=None)
@given(T=st.integers(1, 40), m=st.integers(1, 60), rows=st.integers(1, 70), data=st.data(),
       p=st.floats(1e-3, 0.999), noise=st.sampled_from([0.0, 0.3]))
def test_stream_does_not_depend_on_how_it_is_cut(T, m, rows, data, p, noise):
    task = BooleanTask("parity", T, 1, (T - 1,), (0, 1), p, noise)
    rng, other = np.random.default_rng(m), np.random.default_rng(m)
    X, y = task.sample(rng, m)
    blocks = list(task.blocks(other, m, rows))
    assert [len(y_block) for _, y_block in blocks] == [min(rows, m - start) for start in range(0, m, rows)]
    assert (np.concatenate([block[0] for block in blocks]) == X).all()
    assert (np.concatenate([block[1] for block in blocks]) == y).all()
    assert rng.random() == other.random()
    fewer = data.draw(st.integers(1, m))
    X_fewer, y_fewer = task.sample(np.random.default_rng(m), fewer)
    assert (X_fewer == X[:fewer]).all() and (y_fewer == y[:fewer]).all()


def test_sample_is_one_stream_over_its_own_blocks():
    task = task_of("and", 2, T=1 << 19, p=0.3)          # sample cuts after 8 rows here
    X, y = task.sample(np.random.default_rng(0), 19)
    (X_whole, y_whole), = task.blocks(np.random.default_rng(0), 19, 19)
    assert (X == X_whole).all() and (y == y_whole).all()


@pytest.mark.parametrize("p", [0.7937, 0.5, 1 / 512, 3 / 512, 0.1])
def test_bits_come_up_as_often_as_they_should(p):
    m, T = 20_000, 500
    X, y = task_of("and", 2, T=T, p=p).sample(np.random.default_rng(3), m)
    sigma = math.sqrt(p * (1 - p))
    assert abs(X.mean() - p) < 4 * sigma / math.sqrt(m * T)
    assert np.abs(X.mean(axis=0) - p).max() < 5 * sigma / math.sqrt(m)


def test_bits_are_uncorrelated_across_positions_and_rows():
    p, m = 0.7937, 40_000
    X, _ = task_of("and", 2, T=24, p=p).sample(np.random.default_rng(4), m)
    Z = (X - p) / math.sqrt(p * (1 - p))
    assert np.abs(np.triu(Z.T @ Z, 1)).max() < 5 * math.sqrt(m)
    assert np.abs(Z[1:].T @ Z[:-1]).max() < 5 * math.sqrt(m)


def test_labels_flip_as_often_as_they_should_whatever_the_label():
    task, m = task_of("and", 2, T=16, p=0.5, noise=0.13), 200_000
    X, y = task.sample(np.random.default_rng(5), m)
    clean = task.label(X)
    assert abs(clean.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / m)
    for label in (0, 1):
        flips = (y != clean)[clean == label]
        assert abs(flips.mean() - 0.13) < 4 * math.sqrt(0.13 * 0.87 / flips.size)
    X_clean, y_clean = task_of("and", 2, T=16, p=0.5).sample(np.random.default_rng(5), m)
    assert (X == X_clean).all() and (y_clean == clean).all()


def test_blocks_hold_one_block_at_a_time():
    T, rows = 1 << 17, 4
    task = task_of("and", 2, T=T, p=0.3)
    tracemalloc.start()
    for _ in task.blocks(np.random.default_rng(0), 40, rows):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * rows * T


# Drawing tasks

@pytest.mark.every(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_drawn_tasks_are_balanced_where_they_can_be(kind, k):
    level = (k + 1) // 2 if kind == "threshold" else None
    for seed in range(5):
        task = sample_task(np.random.default_rng(seed), kind, 30, k, level=level)
        assert task == sample_task(np.random.default_rng(seed), kind, 30, k, level=level)
        assert task.p == balanced_p(task.table) and task.noise == 0
        if kind != "junta":
            assert task.label_probability == pytest.approx(0.5, abs=1e-15) or kind == "symmetric"
        if kind in ("symmetric", "junta"):
            assert 0.3 <= np.mean(task.table) <= 0.7 and min(task.influences()) > 0


@pytest.mark.slow
def test_supports_and_tables_are_drawn_uniformly():
    rng, n = np.random.default_rng(1), 3000
    tasks = [sample_task(rng, "junta", 4, 2) for _ in range(n)]
    for values, size in (([task.support for task in tasks], 6), ([task.table for task in tasks], 2)):
        counts = [values.count(value) for value in set(values)]
        assert len(counts) == size
        assert all(abs(count / n - 1 / size) < 4 * math.sqrt(1 / size / n) for count in counts)


def test_tasks_keep_what_they_are_given_and_say_what_they_are():
    rng = np.random.default_rng(0)
    task = sample_task(rng, "and", 64, 2, p=0.25, noise=0.1)
    assert (task.p, task.noise, str(task)) == (0.25, 0.1, "AND of 2 of 64 bits")
    assert str(sample_task(rng, "threshold", 9, 3, level=2)) == "threshold 2 of 3 of 9 bits"
    assert str(sample_task(rng, "symmetric", 9, 2, table=(1, 0, 1))) == "symmetric rule 101 of 2 of 9 bits"
    junta = sample_task(rng, "junta", 9, 2, table=np.array([0, 0, 1, 0]))
    assert (junta.table, str(junta)) == ((0, 0, 1, 0), "junta of 2 of 9 bits")
    assert junta == BooleanTask("junta", 9, 2, list(junta.support), [0, 0, 1, 0], junta.p)
    assert hash(junta) == hash(BooleanTask("junta", 9, 2, junta.support, junta.table, junta.p))


BAD = {                                          # what is wrong -> (arguments of sample_task, error, first words)
    "an unknown kind": (("xor", 8, 2), {}, ValueError, "kind: "),
    "k above T": (("and", 4, 5), {}, ValueError, "k: expected at most T = 4"),
    "k too large for a table": (("and", 64, 21), {}, ValueError, "k: expected at most 20"),
    "k too large to draw a table": (("junta", 64, 21), {}, ValueError, "k: expected at most 20"),
    "k zero": (("and", 4, 0), {}, ValueError, "k: "),
    "k a float": (("and", 4, 2.0), {}, TypeError, "k: "),
    "no positions": (("and", 0, 1), {}, ValueError, "T: "),
    "p at the end": (("and", 4, 2), {"p": 1.0}, ValueError, "p: "),
    "p not a number": (("and", 4, 2), {"p": "half"}, TypeError, "p: "),
    "noise of one half": (("and", 4, 2), {"noise": 0.5}, ValueError, "noise: "),
    "noise NaN": (("and", 4, 2), {"noise": math.nan}, ValueError, "noise: "),
    "no level": (("threshold", 4, 2), {}, ValueError, "level: "),
    "a level for and": (("and", 4, 2), {"level": 1}, ValueError, "level: "),
    "a level above k": (("threshold", 4, 2), {"level": 3}, ValueError, "level: "),
    "level zero": (("threshold", 4, 2), {"level": 0}, ValueError, "level: "),
    "a table for or": (("or", 4, 2), {"table": (0, 1, 1)}, ValueError, "table: "),
    "a short table": (("junta", 4, 2), {"table": (0, 1, 1)}, ValueError, "table: expected shape"),
    "a table of twos": (("symmetric", 4, 2), {"table": (0, 1, 2)}, ValueError, "table: "),
    "a constant table": (("symmetric", 4, 2), {"table": (1, 1, 1)}, ValueError, "table: expected a rule that depends"),
    "an idle variable": (("junta", 4, 2), {"table": (0, 1, 0, 1)}, ValueError, "table: expected a rule that depends"),
}


@pytest.mark.parametrize("args, options, error, words", BAD.values(), ids=BAD)
def test_bad_tasks_are_refused(args, options, error, words):
    with pytest.raises(error, match="^" + words):
        sample_task(np.random.default_rng(0), *args, **options)


@pytest.mark.parametrize("change, words", [({"support": (2, 1)}, "support"), ({"support": (1, 1)}, "support"),
                                           ({"support": (0,)}, "support"), ({"support": (0, 8)}, "support"),
                                           ({"table": (0, 1, 1, 0)}, "table"), ({"table": (0, 1)}, "table"),
                                           ({"kind": "or"}, "table"), ({"k": 3}, "support")])
def test_tasks_that_contradict_themselves_are_refused(change, words):
    task = {"kind": "and", "T": 8, "k": 2, "support": (0, 5), "table": (0, 0, 0, 1), "p": 0.5}
    assert BooleanTask(**task).label(np.eye(8, dtype=np.uint8)).sum() == 0
    with pytest.raises(ValueError, match=f"^{words}: "):
        BooleanTask(**{**task, **change})


def test_bad_draws_are_refused():
    task, rng = task_of("and", 2, T=8), np.random.default_rng(0)
    for call, words in ((lambda: task.sample(rng, 0), "m"), (lambda: task.blocks(rng, 5, 0), "rows"),
                        (lambda: task.label(np.zeros((3, 7), dtype=np.uint8)), "X"),
                        (lambda: task.label(np.full((3, 8), 2)), "X")):
        with pytest.raises(ValueError, match=f"^{words}: "):
            call()
    with pytest.raises(TypeError, match="^rng: "):
        task.sample(0, 5)
    with pytest.raises(TypeError, match="^rng: "):
        sample_task(None, "and", 8, 2)
