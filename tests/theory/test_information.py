"""What the problem itself needs: overlaps by enumeration, unions by simulation, golden yardsticks."""
import math
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from minitf.tasks.rules import balanced_p, labels_by_count, truth_table
from minitf.tasks.samples import sample_task
from minitf.tasks.supports import consistent_supports
from minitf.theory.information import (
    fano_m,
    log_supports,
    m_star,
    noise_factor,
    occam_m,
    rho_overlap,
    union_U,
)
from minitf.theory.rivals import param_count_logcov, screening_correlation

AND, MAJ, PAR = [0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1]
BALANCED = 0.5 ** (1 / 3)


# ---- yardsticks ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("T, fano, occam1, occam01, junta, m_and, m_maj, m_par", [
    (16, 8, 94, 933, 148, 29, 24, 14), (64, 14, 137, 1364, 191, 36, 30, 20), (256, 20, 179, 1783, 233, 42, 35, 26),
    (1024, 26, 220, 2200, 274, 48, 40, 32), (16384, 37, 304, 3032, 358, 60, 51, 44),
    (2 ** 20, 54, 428, 4280, 482, 78, 67, 62)])
def test_yardsticks_of_three_bits(T, fano, occam1, occam01, junta, m_and, m_maj, m_par):
    H = log_supports(T, 3)
    assert fano_m(H, .05) == fano and (occam_m(H, .1, .05), occam_m(H, .01, .05)) == (occam1, occam01)
    assert occam_m(H + math.log(218), .1, .05) == junta         # 218 rules depend on each of 3 bits
    stars = [m_star(T, rho_overlap(g, p), .05) for g, p in ((AND, BALANCED), (MAJ, .5), (PAR, .5))]
    assert stars == [m_and, m_maj, m_par]


def test_rho_golden():
    assert rho_overlap(AND, BALANCED) == pytest.approx((.5, .370039, .206299), abs=1e-6)
    assert rho_overlap(MAJ, .5) == pytest.approx((.5, .375, .25))
    assert rho_overlap(PAR, .5) == pytest.approx((.5, .5, .5))
    assert rho_overlap([0, 1, 1, 1], 1 - BALANCED) == pytest.approx(rho_overlap(AND, BALANCED))


@pytest.mark.parametrize("g", [AND, MAJ, PAR, [1, 0, 0, 1], [0, 1, 1], [0, 1, 0, 0, 1]])
@pytest.mark.parametrize("p", [.5, .2])
def test_rho_by_enumeration(g, p):
    k = len(g) - 1
    for j, rho in enumerate(rho_overlap(g, p)):
        n = 2 * k - j
        cases = (b for b in product((0, 1), repeat=n) if g[sum(b[:k])] != g[sum(b[k - j:])])
        total = math.fsum(p ** sum(b) * (1 - p) ** (n - sum(b)) for b in cases)
        assert rho == pytest.approx(total, abs=1e-14)
    if g == AND:
        assert rho_overlap(g, p) == pytest.approx([2 * (p ** 3 - p ** (6 - j)) for j in range(3)])


@pytest.mark.parametrize("g", [AND, MAJ, PAR, [1, 0, 0, 1], [0, 1, 1], [0, 1, 0, 0, 1]])
def test_rho_of_symmetric_truth_tables(g):
    table = [g[i.bit_count()] for i in range(2 ** (len(g) - 1))]
    for p in (.5, .2):
        assert rho_overlap(table, p, junta=True) == pytest.approx(rho_overlap(g, p), abs=1e-14)


@pytest.mark.parametrize("table", [[0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1, 0, 1, 1, 0],
                                   [0, 1, 1, 1, 0, 0, 0, 1]])
@pytest.mark.parametrize("p", [.5, .3])
def test_rho_of_juntas_by_enumeration(table, p):
    """All 2^(2k-j) inputs, for every pair of j variables of S and of S' in ascending order; the smallest counts."""
    k = len(table).bit_length() - 1

    def label(bits):
        return table[sum(b << i for i, b in enumerate(bits))]

    for j, rho in enumerate(rho_overlap(table, p, junta=True)):
        totals = []
        for mine, other in product(combinations(range(k), j), repeat=2):
            total = 0.0
            for b in product((0, 1), repeat=2 * k - j):
                rest = iter(b[k:])
                shared = dict(zip(other, (b[i] for i in mine)))
                second = [shared[i] if i in shared else next(rest) for i in range(k)]
                if label(b[:k]) != label(second):
                    total += p ** sum(b) * (1 - p) ** (len(b) - sum(b))
            totals.append(total)
        assert rho == pytest.approx(min(totals), abs=1e-14)


def test_union_of_a_junta_bounds_how_often_samples_are_ambiguous():
    rng, T, m, table = np.random.default_rng(0), 12, 14, [0, 0, 1, 0, 1, 1, 0, 1]
    p, several = balanced_p(table), 0
    for _ in range(300):
        task = sample_task(rng, "junta", T, 3, table=table)
        several += len(consistent_supports(*task.sample(rng, m), "junta", 3, table=table)) > 1
    assert 0.1 < several / 300 <= union_U(m, T, rho_overlap(table, p, junta=True)) + 0.05


@pytest.mark.parametrize("kind, k", [("and", 3), ("majority", 3), ("parity", 2), ("or", 4)])
def test_rho_of_tasks(kind, k):
    """The labels of the task module and one of its samples."""
    table = truth_table(kind, k)
    p = balanced_p(table)
    task = sample_task(np.random.default_rng(0), kind, 2 * k, k)
    X, y = task.sample(np.random.default_rng(1), 100_000)
    rest = sorted(set(range(2 * k)) - set(task.support))
    for j, rho in enumerate(rho_overlap(labels_by_count(table), p)):
        other = list(task.support[:j]) + rest[:k - j]
        differ = (np.array(labels_by_count(table))[X[:, other].sum(axis=1)] != y).mean()
        assert differ == pytest.approx(rho, abs=0.008)


def test_union_by_enumerating_competitors():
    T, k, m = 9, 3, 7
    rho = [Fraction(1, 2), Fraction(3, 8), Fraction(1, 4)]
    S = set(range(k))
    exact = sum((1 - rho[len(S & set(other))]) ** m for other in combinations(range(T), k) if set(other) != S)
    assert union_U(m, T, [float(r) for r in rho]) == pytest.approx(float(exact), rel=1e-12)
    assert union_U(0, T, (.5, .4, .2)) == pytest.approx(math.comb(T, k) - 1)
    assert union_U(5, 3, (.5, .4, .2)) == 0 and union_U(3, 4, (.5, .4, 1.0)) == 0
    assert union_U(0, 10 ** 6, [.5] * 100) == math.inf and union_U(2000, 10 ** 6, [.5] * 100) < 1


@pytest.mark.parametrize("T, m, value", [(16, 20, .407), (64, 30, .184), (256, 30, .835), (1024, 40, .312)])
def test_union_golden(T, m, value):
    assert union_U(m, T, rho_overlap(AND, BALANCED)) == pytest.approx(value, abs=6e-4)


@pytest.mark.slow
def test_union_bounds_how_often_samples_are_ambiguous():
    rng, T, m = np.random.default_rng(0), 16, 20
    several = 0
    for _ in range(300):
        task = sample_task(rng, "and", T, 3)
        several += len(consistent_supports(*task.sample(rng, m), "and", 3)) > 1
    assert 0.1 < several / 300 <= union_U(m, T, rho_overlap(AND, BALANCED)) + 0.05


def test_m_star_is_the_smallest():
    for T in (5, 16, 100):
        rho = rho_overlap(MAJ, .5)
        m = m_star(T, rho, .05)
        assert union_U(m, T, rho) <= .05 < union_U(m - 1, T, rho)
        assert m_star(T, rho, .01) > m and m_star(T, rho, .05, nu=.1) > m
    assert m_star(3, rho, .05) == 0
    assert m_star(4, (1.0,), .05) == 1


@pytest.mark.parametrize("rho, nu, m", [(.2, 0, 30), (.5, .1, 12), (.3, .2, 40), (1., .05, 9)])
def test_noise_factor_bounds_the_exact_probability(rho, nu, m):
    """Each example: +1 with rho nu (the competitor alone fits), -1 with rho (1 - nu), else 0. P(sum >= 0) exactly."""
    step, walk = np.array([rho * (1 - nu), 1 - rho, rho * nu]), np.ones(1)
    for _ in range(m):
        walk = np.convolve(walk, step)
    exact = walk[m:].sum()
    bound = noise_factor(rho, nu) ** m
    assert 0.05 * bound < exact <= bound * (1 + 1e-12)
    assert nu or exact == pytest.approx(bound)


def test_occam_and_fano_by_hand():
    assert occam_m(math.log(1000), .1, .05) == math.ceil(math.log(20000) * 10) == 100
    assert occam_m(math.log(1000), .1, .05, agnostic=True) == math.ceil(math.log(40000) * 50) == 530
    assert fano_m(20 * math.log(2), .1) == 17 and fano_m(0, .1) == 0
    assert fano_m(20 * math.log(2), .1, pi=.01) > 200
    assert log_supports(64, 3) == pytest.approx(math.log(41664)) and 2 ** 15.35 == pytest.approx(41664, rel=.01)


def test_monotone_yardsticks():
    """In every argument."""
    for f, args, signs in [(occam_m, (50.0, .1, .05), (+1, -1, -1)), (fano_m, (50.0, .05), (+1, -1)),
                           (noise_factor, (.3, .1), (-1, +1)), (log_supports, (20, 2), (+1, +1)),
                           (m_star, (40, (.5, .4, .2), .05), (+1, 0, -1)), (union_U, (9, 40, (.5, .4)), (-1, +1, 0))]:
        for i, sign in enumerate(signs):
            factors = (1, 2, 3) if isinstance(args[i], int) else (.3, 1, 1.5)
            if sign:
                steps = sign * np.diff([f(*args[:i], args[i] * x, *args[i + 1:]) for x in factors])
                assert (steps > 0).all(), (f.__name__, i)
    assert m_star(40, (.5, .4, .3), .05) < m_star(40, (.5, .4, .2), .05) < m_star(40, (.5, .4, .2), .05, nu=.1)
    assert fano_m(50.0, .05, pi=.5) < fano_m(50.0, .05, pi=.3) < fano_m(50.0, .05, pi=.1) == fano_m(50.0, .05, pi=.9)
    base = ((30, 10), (1.5, 2.0), (1.0, 2.0))
    for i, factors in enumerate([(1, 2)] * 2 + [(1, 1.5)] * 4):
        grown = [list(group) for group in base]
        grown[i // 2][i % 2] *= factors[1]
        assert param_count_logcov(.1, *grown) > param_count_logcov(.1, *base) > param_count_logcov(.2, *base)


@pytest.mark.parametrize("kind, p", [("and", None), ("or", None), ("majority", None), ("parity", .5), ("parity", .3)])
def test_screening_correlation_by_enumeration(kind, p):
    table = truth_table(kind, 3)
    p = balanced_p(table) if p is None else p
    P = np.array([p ** sum(b) * (1 - p) ** (3 - sum(b)) for b in product((0, 1), repeat=3)])
    B, y = np.array(list(product((0, 1), repeat=3))), np.array([table[b[0] + 2 * b[1] + 4 * b[2]]
                                                               for b in product((0, 1), repeat=3)])
    pi = P @ y
    exact = (P @ (B * y[:, None]) - P @ B * pi) / np.sqrt(P @ B * (1 - P @ B) * pi * (1 - pi))
    assert screening_correlation(table, p) == pytest.approx(exact, abs=1e-14)
    if kind == "and":
        assert exact == pytest.approx([.5098] * 3, abs=5e-5)
    if (kind, p) == ("parity", .5):
        assert exact == pytest.approx([0] * 3, abs=1e-14)


def test_screening_correlation_tells_variables_apart():
    """y = b0 or (b1 and not b2), least significant bit first: signs +, +, -; for a monotone rule, the influences."""
    table = [int(b0 or (b1 and not b2)) for b2, b1, b0 in product((0, 1), repeat=3)]
    r = screening_correlation(table, .5)
    assert r[0] > r[1] > 0 > r[2] and r[1] == pytest.approx(-r[2])
    task = sample_task(np.random.default_rng(0), "majority", 9, 5, p=.3)
    pi = task.label_probability
    scale = math.sqrt(.3 * .7 / (pi * (1 - pi)))
    assert screening_correlation(task.table, .3) == pytest.approx(scale * task.influences())


def test_fano_is_below_identification():
    for T, (g, p) in product((16, 1024), ((AND, BALANCED), (MAJ, .5), (PAR, .5))):
        assert fano_m(log_supports(T, 3), .05) <= m_star(T, rho_overlap(g, p), .05)


def test_param_count_by_hand():
    """Two parts of 3 and 1 parameters share eps = 0.4 as 0.3 and 0.1; b = 2 doubles what an error costs."""
    value = param_count_logcov(0.4, (3, 1), (1.5, 2.0), (1.0, 2.0))
    assert value == pytest.approx(3 * math.log(1 + 3 / .3) + math.log(1 + 4 / .05))
    assert param_count_logcov(100.0, (3, 1), (1.5, 2.0), (1.0, 2.0)) == 0
