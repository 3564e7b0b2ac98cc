"""Every norm against its definition in plain Python, its dual against the point where the dual is attained."""
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitf.projections.norms import DUAL, KINDS, dual_norm, norm

SHAPES = [(4, 3), (3, 4), (1, 5), (5, 1), (1, 1), (4, 4)]


def length(v):
    return math.sqrt(math.fsum(a * a for a in v))


def singular(M):
    """Singular values from the eigenvalues of [[0, M], [M^T, 0]]: +s and -s, without squaring M."""
    n, d = M.shape
    block = np.block([[np.zeros((n, n)), M], [M.T, np.zeros((d, d))]])
    return np.linalg.eigvalsh(block)[::-1][:min(n, d)]


DEFINITION = {
    "l1": lambda M: math.fsum(abs(a) for row in M for a in row),
    "l2": lambda M: length([a for row in M for a in row]),
    "linf": lambda M: max(abs(a) for row in M for a in row),
    "l21": lambda M: math.fsum(length(column) for column in M.T),
    "l21t": lambda M: math.fsum(length(row) for row in M),
    "l2inf": lambda M: max(length(column) for column in M.T),
    "l2inft": lambda M: max(length(row) for row in M),
    "l1inf": lambda M: max(math.fsum(map(abs, column)) for column in M.T),
    "linf1": lambda M: math.fsum(max(map(abs, column)) for column in M.T),
    "nuclear": lambda M: math.fsum(singular(M)),
    "spectral": lambda M: singular(M)[0],
}


def one_hot(M, index):
    u = np.zeros_like(M)
    u[index] = np.sign(M[index])
    return u


def largest_column(M, measure, direction):
    u = np.zeros_like(M)
    j = max(range(M.shape[1]), key=lambda j: measure(M[:, j]))
    u[:, j] = direction(M[:, j])
    return u


def largest_entries(M):
    return np.column_stack([one_hot(column, abs(column).argmax()) for column in M.T])


ATTAINED = {                # U with ||U|| = 1 and <M, U> = dual norm of M
    "l1": lambda M: one_hot(M, np.unravel_index(abs(M).argmax(), M.shape)),
    "l2": lambda M: M / length(M.ravel()),
    "linf": np.sign,
    "l21": lambda M: largest_column(M, length, lambda v: v / length(v)),
    "l21t": lambda M: ATTAINED["l21"](M.T).T,
    "l2inf": lambda M: M / [length(column) for column in M.T],
    "l2inft": lambda M: ATTAINED["l2inf"](M.T).T,
    "l1inf": largest_entries,
    "linf1": lambda M: largest_column(M, lambda v: abs(v).sum(), np.sign),
    "nuclear": lambda M: (lambda U, s, Vt: np.outer(U[:, 0], Vt[0]))(*np.linalg.svd(M, full_matrices=False)),
    "spectral": lambda M: (lambda U, s, Vt: U @ Vt)(*np.linalg.svd(M, full_matrices=False)),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@kinds
@pytest.mark.parametrize("shape", SHAPES)
def test_definition(rng, kind, shape):
    M = rng.standard_normal(shape)
    assert norm(M, kind) == pytest.approx(DEFINITION[kind](M), rel=1e-14, abs=0)
    assert dual_norm(M, kind) == norm(M, DUAL[kind])


@kinds
@pytest.mark.parametrize("shape", SHAPES)
def test_the_dual_norm_is_the_largest_inner_product_with_the_unit_ball(rng, kind, shape):
    M = rng.standard_normal(shape)
    best = ATTAINED[kind](M)
    assert norm(best, kind) == pytest.approx(1, rel=1e-14)
    assert np.sum(M * best) == pytest.approx(dual_norm(M, kind), rel=1e-14)
    U = rng.standard_normal((500, *shape))
    assert (np.sum(M * U, axis=(-2, -1)) <= norm(U, kind) * dual_norm(M, kind) * (1 + 1e-14)).all()


@kinds
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_norm_axioms(kind, data):
    entry = st.integers(-9, 9)
    n, d = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    draw = st.lists(entry, min_size=n * d, max_size=n * d).map(lambda a: np.array(a, dtype=float).reshape(n, d))
    A, B, c = data.draw(draw), data.draw(draw), data.draw(entry)
    assert norm(A + B, kind) <= (norm(A, kind) + norm(B, kind)) * (1 + 1e-13)
    assert norm(c * A, kind) == pytest.approx(abs(c) * norm(A, kind), rel=1e-13, abs=0)
    assert (norm(A, kind) == 0) == (not A.any())


def test_order_relations(rng):
    M = rng.standard_normal((200, 4, 5))
    of = {kind: norm(M, kind) for kind in KINDS}
    pairs = "linf linf1,linf l2inf,linf1 l21,l2inf spectral,spectral l2,l2 l21,l2 l21t,l2 nuclear,l21 l1,l1inf l1"
    for small, large in map(str.split, pairs.split(",")):
        assert (of[small] <= of[large] * (1 + 1e-13)).all(), (small, large)
    assert (of["l21"] <= math.sqrt(5) * of["l2"] * (1 + 1e-13)).all()
    assert (of["nuclear"] <= math.sqrt(4) * of["l2"] * (1 + 1e-13)).all()


@kinds
@pytest.mark.parametrize("scale", [2.0**-500, 2.0**500])
def test_scales_at_which_squares_leave_the_range_of_float64(rng, kind, scale):
    M = rng.standard_normal((4, 3))
    M[:, 1] = 0
    with np.errstate(all="raise", under="ignore"):
        assert norm(M * scale, kind) == pytest.approx(scale * norm(M, kind), rel=1e-14, abs=0)


def test_a_tiny_column_beside_a_large_one_keeps_its_digits():
    M = np.array([[3.0, 3e-200], [4.0, 4e-200]])
    assert norm(M[:, 1], "l2") == pytest.approx(5e-200, rel=1e-15, abs=0)
    assert norm(M, "l21") == 5
    assert norm(np.array([[3e-200, 3e-200]] * 2), "l21") == pytest.approx(2 * math.sqrt(18) * 1e-200, rel=1e-15, abs=0)


def test_float32_squares_do_not_leave_its_range():
    for scale in (1e-22, 1e30):
        x = np.array([3, 4], np.float32) * np.float32(scale)
        assert norm(x, "l2") == pytest.approx(5 * scale, rel=1e-6, abs=0)


@pytest.mark.parametrize("kind, shape", [
    ("l1inf", (500_000, 2)), ("l2inf", (500_000, 2)), ("l2", (1_000_000,)), ("l1", (2, 500_000)),
])
def test_long_sums_keep_their_digits(kind, shape):
    x = np.full(shape, 0.1)             # equal entries: the errors of a running sum all have one sign, 1e-11 in the end
    n, tenth = shape[0] if kind.endswith("inf") else math.prod(shape), Fraction(0.1)
    exact = float(n * tenth) if kind.startswith("l1") else math.sqrt(n * tenth * tenth)
    assert norm(x, kind) == pytest.approx(exact, rel=2e-13)


@kinds
def test_axes(rng, kind):
    x = rng.standard_normal((2, 3, 4, 5))
    stack = [[norm(M, kind) for M in row] for row in x]
    assert np.allclose(norm(x, kind), stack, rtol=1e-14, atol=0)
    v = x[0, 0, 0]
    assert norm(v, kind) == norm(v[:, None], kind)
    assert norm(-3.0, kind) == norm([[-3.0]], kind) == 3
    assert norm(np.empty((0, 4, 5)), kind).shape == (0,)
    assert norm(x[..., ::2, ::-1], kind) == pytest.approx(norm(x[..., ::2, ::-1].copy(), kind), rel=1e-14)


@kinds
def test_dtypes(rng, kind):
    M = rng.standard_normal((4, 3))
    single = norm(M.astype(np.float32), kind)
    assert single.dtype == np.float32 and single == pytest.approx(norm(M, kind), rel=1e-6)
    whole = norm(np.arange(6).reshape(2, 3), kind)
    assert whole.dtype == np.float64 and whole == norm(np.arange(6.0).reshape(2, 3), kind)
    M.flags.writeable = False
    assert norm(M, kind).dtype == np.float64


@pytest.mark.parametrize("x, error, words", [
    (np.array([1, np.nan]), ValueError, "x: expected finite entries"),
    (np.array([[np.inf]]), ValueError, "x: expected finite entries"),
    (np.ones(3, np.float16), TypeError, "float16"),
    (np.ones(3, complex), TypeError, "x: expected a float32 or float64 array"),
    (["a"], TypeError, "x: expected a float32 or float64 array"),
])
def test_refused_arrays(x, error, words):
    for measure in (norm, dual_norm):
        with pytest.raises(error, match=words):
            measure(x, "l2")


@pytest.mark.parametrize("measure", [norm, dual_norm])
def test_an_unknown_kind_is_refused_in_one_line_that_names_the_kinds(measure):
    with pytest.raises(ValueError) as caught:
        measure(np.ones(3), "l3")
    assert "\n" not in str(caught.value) and all(kind in str(caught.value) for kind in KINDS)
