"""Covering numbers of linear classes: golden values, exact counts, packings, and the laws of each formula."""
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitf.theory.linear import (
    ds,
    log_binomial,
    mau,
    mau_max,
    sid,
    split,
    vol,
)
from minitf.theory.matrices import (
    COVERS,
    Linear,
    l21_closed,
    l21_counted,
    l21_frobenius,
    l21_K,
    l21_truncated,
    linear_logcov,
)


def l21(B, B_X, eps, n, p, B_F=None, d=None):
    """The smallest cover of the maps with ||W^T||_{2,1} <= B, and ||W||_F <= B_F if that is known."""
    return linear_logcov(Linear(p, d, n, B_X, B if B_F is None else min(B, B_F), B), eps)


SCALAR = {"ds": ds, "sid": sid}
MATRIX = {"closed": l21_closed, "truncated": l21_truncated, "counted": l21_counted, "frobenius": l21_frobenius,
          "minimum": l21}
radii = st.floats(0.01, 50)


@pytest.mark.parametrize("value, golden, rel", [
    (ds(2, 1.5, 0.1, 1000), 27363.942002, 1e-9),
    (sid(2, 1.5, 0.1, 1000), 1409.82, 1e-5),
    (vol(10, 2, 0.1), 37.135721, 1e-8),
    (mau(3, 1, 0.2, 32), 93.998446, 1e-8),
    (l21_closed(2, 1.5, 0.1, 1000, 8), 83126.146389, 1e-10),
    (split((1, 8, 27), (1, 1, 2), 1)[1], 467.6866953, 1e-9),
    (ds(10, 1, 1, 10 ** 6), 5804, 1e-4),
    (sid(10, 1, 1, 10 ** 6), 2906, 2e-4),
    # by hand: r = 2, n = 1: log 2 + 16 log 2;  225 draws of 33 atoms;  (20)^2 (2 + sqrt(2 log 20))^2 * 2 + log 2
    (ds(2, 1, 1, 1), 17 * math.log(2), 1e-14),
    (mau(3, 1, 0.2, 32, norm_only=True), 225 * math.log(33), 1e-14),
    # 2 * 4 * log 20 = 23.97: 24 draws of 5 atoms
    (mau_max(2, 1, 1, 10, 4), math.log(math.comb(28, 4)), 1e-13),
    (l21_frobenius(2, 1, 0.1, 10, 4), math.log(2) + 800 * (2 + math.sqrt(2 * math.log(20))) ** 2, 1e-14),
])
def test_golden(value, golden, rel):
    assert value == pytest.approx(golden, rel=rel)


def test_golden_split():
    assert split((1, 8, 27), (1, 1, 2), 1)[0] == pytest.approx((.1288294, .25765881, .3067559), rel=1e-6)
    assert l21(2, 1.5, 0.1, 1000, 8) <= 43378


@pytest.mark.parametrize("n, k", [(10, 0), (10, 10), (10, 3), (100, 5), (1000, 8), (100, 31), (100, 32),
                                  (100, 50), (4000, 1999), (64, 33)])
def test_log_binomial_is_exact(n, k):
    assert log_binomial(n, k) == pytest.approx(math.log(math.comb(n, k)), rel=1e-14, abs=1e-15)


def test_log_binomial_of_huge_numbers():
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    for n, k in [(10 ** 12, 40), (10 ** 15, 10 ** 9), (10 ** 20, 31), (10 ** 30, 1000)]:
        exact = mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)
        assert log_binomial(n, k) == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("a, B, eps, n", [(2, 1.5, 0.1, 1000), (1, 1, 0.99, 1), (7, 1, 1e-4, 3), (3, 2, 0.5, 10 ** 12)])
def test_sid_is_the_minimum(a, B, eps, n):
    """A grid of r from the definition never gives less, and its best point gives as much."""
    from scipy.special import log_ndtr
    r = np.geomspace(1e-8, 40, 400_001)
    tail = np.where(r > 1, np.log1p(-2 * np.exp(log_ndtr(-r))), np.log(-np.expm1(np.log(2) + log_ndtr(-r))))
    with np.errstate(over="ignore"):
        best = (2 * (a * B * r / eps) ** 2 - n * tail)[r > 1e-6].min()
    assert best * (1 - 1e-8) <= sid(a, B, eps, n) * (1 + 1e-8) and sid(a, B, eps, n) <= best * (1 + 1e-8)


@pytest.mark.parametrize("A, eps, n, p", [(1.0, 0.3, 10, 3), (2.0, 0.7, 1, 1), (1.0, 0.5, 10 ** 6, 20),
                                          (3.0, 2.9, 5, 2)])
def test_searched_bounds_are_the_minimum(A, eps, n, p):
    """Every N of the definitions, one by one: the grids lose at most 1 %."""
    def log_comb(n, k):
        return math.log(math.comb(n, k))

    tail = math.sqrt(2 * math.log(2 * n))
    truncated = min(log_comb(p + 2 * N, p) + 2 * A ** 2 / (eps ** 2 - A ** 2 / N) * (math.sqrt(2) + tail) ** 2
                    for N in range(math.floor((A / eps) ** 2) + 1, 5000))
    counted = min(log_comb(N + 2 * p, p) + 2 * (A / eps) ** 2 * (math.sqrt(1 + p / N) + tail) ** 2
                  for N in range(1, 5000))
    for bound, exact in ((l21_truncated, truncated), (l21_counted, counted)):
        assert exact * (1 - 1e-12) <= bound(A, 1, eps, n, p) - math.log(2) <= 1.01 * exact


# ---- laws -------------------------------------------------------------------------------------------------------

@given(a=radii, B=radii, eps=radii, n=st.integers(1, 10 ** 9))
def test_order_of_scalar_bounds(a, B, eps, n):
    assert sid(a, B, eps, n) <= ds(a, B, eps, n) * (1 + 1e-12)


@given(B=radii, B_X=radii, eps=radii, n=st.integers(1, 10 ** 9), p=st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_l21_is_the_smallest_variant(B, B_X, eps, n, p):
    least = min(f(B, B_X, eps, n, p) for name, f in MATRIX.items() if name != "minimum")
    assert l21(B, B_X, eps, n, p) <= least
    assert l21_truncated(B, B_X, eps, n, p) <= l21_closed(B, B_X, eps, n, p) * (1 + 1e-3)     # a grid of N
    assert l21(B, B_X, eps, n, p, B_F=B / 2, d=3) <= vol(3 * p, B / 2 * B_X, eps)


def test_ds_is_affine_in_log_n_and_quadratic_in_the_radius():
    core = [ds(2, 1.5, 0.1, n) - math.log(2) for n in (1, 10, 100, 10 ** 9)]
    assert np.diff(core) == pytest.approx([3600 * math.log(10)] * 2 + [3600 * 7 * math.log(10)], rel=1e-12)
    assert ds(2, 1.5, 0.05, 7) - math.log(2) == pytest.approx(4 * (ds(2, 1.5, 0.1, 7) - math.log(2)), rel=1e-12)
    assert l21_closed(2, 3, .1, 9, 5) - math.log(72) == pytest.approx(3600 * l21_K(9, 5) ** 2, rel=1e-12)


MONOTONE = [(f, (2.0, 1.5, 0.1, 1000), (+1, +1, -1, +1)) for f in SCALAR.values()]
MONOTONE += [(f, (2.0, 1.5, 0.1, 1000, 8), (+1, +1, -1, +1, +1)) for f in MATRIX.values()]
MONOTONE += [(vol, (10, 2.0, 0.1), (+1, +1, -1)), (mau, (3.0, 1.0, 0.2, 32), (+1, +1, -1, +1)),
             (mau_max, (3.0, 1.0, 0.2, 100, 32), (+1, +1, -1, +1, +1))]


@pytest.mark.parametrize("bound, args, signs", MONOTONE, ids=lambda x: getattr(x, "__name__", ""))
def test_monotone_in_every_argument(bound, args, signs):
    for i, sign in enumerate(signs):
        factors = (1, 2, 3, 8, 50) if isinstance(args[i], int) else (0.01, 0.3, 1, 1.1, 2, 30)
        values = [bound(*args[:i], args[i] * x, *args[i + 1:]) for x in factors]
        steps = sign * np.diff(values)
        assert (steps >= 0).all() and steps.any(), f"argument {i}: {values}"


@pytest.mark.parametrize("bound", [*SCALAR.values(), *MATRIX.values(), mau, vol], ids=lambda f: f.__name__)
def test_zero_from_the_radius_on(bound):
    size = (5,) if bound is mau else () if bound is vol else (5, 3) if bound in MATRIX.values() else (5,)
    at = (lambda eps: vol(5, 6.0, eps)) if bound is vol else (lambda eps: bound(3.0, 2.0, eps, *size))
    assert at(6.0) == at(100.0) == 0 and at(5.99) > 0
    assert (vol(5, 0.0, 1.0) if bound is vol else bound(0.0, 2.0, 1.0, *size)) == 0


def test_radius_is_that_of_the_smallest_norm():
    known = Linear(2, 3, 5, 1.0, 1.0, l21=2.0, l11=3.0)
    assert linear_logcov(known, 1.0, ["closed"]) == linear_logcov(known, 1.0, ["mau"]) == 0
    assert linear_logcov(known, 0.999, ["closed"]) == l21_closed(2, 1, 0.999, 5, 2) > 0


# ---- split ------------------------------------------------------------------------------------------------------

@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=5), st.floats(0.01, 10))
def test_split_spends_eps_and_cannot_be_improved(parts, eps):
    A, b = map(np.array, zip(*parts))
    e, value = split(A.tolist(), b.tolist(), eps)
    assert b @ e == pytest.approx(eps) and (A / np.square(e)).sum() == pytest.approx(value)
    rng = np.random.default_rng(0)
    for step in rng.standard_normal((20, len(A))) * 0.1:
        other = np.array(e) * np.exp(step)
        other *= eps / (b @ other)
        assert (A / other ** 2).sum() >= value * (1 - 1e-12)


def test_split_of_free_and_invisible_parts():
    e, value = split((0.0, 4.0, 9.0), (1.0, 0.0, 2.0), 1.0)
    assert e == pytest.approx((0.0, math.inf, 0.5)) and value == pytest.approx(36)
    assert split((0.0, 1.0), (1.0, 0.0), 2.0) == ((0.0, math.inf), 0.0)


# ---- validity: a cover at eps has at least as many elements as any set of members more than 2 eps apart --------------

def packing(values, eps):
    """Greedy: log of the number of members kept, any two more than 2 eps apart at some point.  values (N, n, p)."""
    kept = values[:1]
    for v in values[1:]:
        if (np.linalg.norm(kept - v, axis=-1).max(axis=-1) > 2 * eps).all():
            kept = np.concatenate((kept, v[None]))
    return math.log(len(kept))


@pytest.mark.parametrize("eps", [0.9, 0.5, 0.1, 0.011])
@pytest.mark.parametrize("bound", [lambda e, n: ds(1, 1, e, n), lambda e, n: sid(1, 1, e, n), lambda e, n: vol(1, 1, e),
                                   lambda e, n: mau(1, 1, e, 2), lambda e, n: l21(1, 1, e, n, 1, d=1)])
def test_one_dimension_is_counted_exactly(bound, eps):
    """x -> v x, |v| <= 1, at x = 1: the interval [-1, 1] needs exactly ceil(1/eps) tables."""
    assert bound(eps, 1) >= math.log(math.ceil(1 / eps)) > 0


@pytest.mark.parametrize("eps", [0.6, 0.4])
def test_l1_ball_is_packed_by_its_vertices(eps):
    """+-e_i and 0 at the points e_i: 2d vertices are 1 apart, so for eps < 1/2 a cover has at least 2d elements."""
    for d in (1, 10, 1000):
        least = math.log(2 * d) if eps < 0.5 else 0.0
        assert mau(1, 1, eps, 2 * d) >= least and ds(1, 1, eps, d) >= least and sid(1, 1, eps, d) >= least


@pytest.mark.parametrize("seed, eps, n, d, p", [(0, .3, 20, 2, 1), (1, .15, 5, 2, 1), (2, .2, 20, 2, 3),
                                                (3, .3, 10, 2, 4)])
def test_packings_fit_under_every_bound(seed, eps, n, d, p):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    W = rng.standard_normal((4000, p, d)) * rng.exponential(size=(4000, p, 1)) ** 3
    W /= np.linalg.norm(W, axis=2).sum(axis=1)[:, None, None]           # ||W^T||_{2,1} = 1, mass on few rows
    known = Linear(p, d, n, 1.0, 1.0, 1.0, math.sqrt(d))
    least = packing(np.einsum("kpd,nd->knp", W, X), eps)
    assert least > 1
    names = [name for name in COVERS if p == 1 or name not in ("ds", "sid")]
    assert all(linear_logcov(known, eps, [name]) >= least for name in names)
    assert linear_logcov(known, eps) == min(linear_logcov(known, eps, [name]) for name in names)


def test_maurey_by_drawing_the_empirical_mean():
    """Random means of N signed unit vectors come within M/sqrt(N) of a member on average: what the cover is made of."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal(30)
    w /= abs(w).sum()
    for N in (4, 25, 400):
        draws = rng.multinomial(N, abs(w), size=400) * np.sign(w) / N
        assert (np.square(draws - w).sum(axis=1)).mean() <= 1 / N


def test_maurey_at_points_by_drawing_means():
    """N draws of atoms, N as in mau_max, come within eps of a member at all n points at once in some of the draws."""
    rng, n, d, eps = np.random.default_rng(0), 50, 20, 0.3
    X = rng.integers(0, 2, (n, d)) - 0.5
    N = 1 + math.floor(2 * (0.5 / eps) ** 2 * math.log(2 * n))
    assert mau_max(1, 0.5, eps, n, 2 * d) == pytest.approx(math.log(math.comb(N + 2 * d, N)))
    for _ in range(20):
        w = rng.standard_normal(d) * rng.exponential(size=d) ** 2
        w *= rng.uniform(0.3, 1) / abs(w).sum()
        draws = rng.multinomial(N, np.append(abs(w), 1 - abs(w).sum()), size=200)[:, :-1] * np.sign(w) / N
        assert (abs((draws - w) @ X.T).max(axis=1) <= eps).any()


@pytest.mark.parametrize("eps, n, d", [(0.2, 6, 2), (0.15, 8, 3)])
def test_packings_fit_under_maurey_at_points(eps, n, d):
    rng = np.random.default_rng(d)
    X = rng.uniform(-1, 1, (n, d))
    W = rng.standard_normal((3000, d))
    W /= abs(W).sum(axis=1, keepdims=True)
    least = packing((W @ X.T)[..., None], eps)
    assert 1 < least <= mau_max(1, 1, eps, n, 2 * d)
    assert mau_max(1, 1, 1, n, d) == 0 < mau_max(1, 1, 0.99, n, d)


def test_ellipsoid_step_of_the_truncated_bound():
    """Rows longer than B/N, their lengths rounded up to multiples: under 2N units, and the rows fit the ellipsoid."""
    rng = np.random.default_rng(0)
    for N, _ in product((1, 3, 10, 50), range(50)):
        r = rng.exponential(size=12) ** 4
        r /= r.sum()
        units = np.where(r > 1 / N, np.ceil(N * r), 0)
        kept = units > 0
        assert units.sum() < 2 * N and (r[~kept] ** 2).sum() <= 1 / N and (r[kept] ** 2 * N / units[kept]).sum() <= 1


# ---- errors -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call, error, name", [
    (lambda: ds(-1, 1, 1, 1), ValueError, "a: "), (lambda: ds(1, 1, 0, 1), ValueError, "eps: "),
    (lambda: sid(1, 1, 1, 0), ValueError, "n: "), (lambda: sid(1, 1, 1, 2.5), TypeError, "n: "),
    (lambda: vol(0, 1, 1), ValueError, "D: "), (lambda: mau(1, math.nan, 1, 2), ValueError, "B: "),
    (lambda: mau(1, 1, 1, 0), ValueError, "V: "), (lambda: mau_max(1, 1, 1, 0, 1), ValueError, "n: "),
    (lambda: l21_K(1, "2"), TypeError, "p: "),
    (lambda: split((1,), (1, 2), 1), ValueError, "b: "), (lambda: split((-1,), (1,), 1), ValueError, "A: "),
    (lambda: linear_logcov(Linear(2, 2, 1, 1., 1.), .5, ["sid"]), ValueError, "covers: "),
    (lambda: linear_logcov(Linear(1, 2, 1, 1., 1.), .5, ["mau"]), ValueError, "covers: "),
    (lambda: linear_logcov(Linear(1, 2, 1, 1., 1.), .5, ["no"]), ValueError, "covers: "),
])
def test_errors_name_the_argument(call, error, name):
    with pytest.raises(error, match=name):
        call()
