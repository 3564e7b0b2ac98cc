"""Bits, eight examples to a byte: the same bits, sums and products as of ordinary arrays; and long learning with them."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitf import fit, sample_task
from minitf.fast.cls_head import bit_averager, mean_bit, row_sums
from minitf.fast.forward import forward, predictor
from minitf.lab import draw as drawing
from minitf.lab import run as runs
from minitf.model.config import ModelConfig
from minitf.model.parameters import init_params
from minitf.tasks.packed import BLOCK, Packed, bits, examples
from minitf.tasks.supports import consistent_supports

SHAPES = [(1, 1), (7, 3), (8, 16), (9, 255), (61, 2041), (130, 5000), (3, BLOCK + 1)]


def draw(m, T, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (m, T), dtype=np.uint8)


@pytest.mark.parametrize("m, T", SHAPES)
def test_it_holds_the_bits_in_an_eighth_of_the_memory(m, T):
    X = draw(m, T)
    packed = Packed.of(X)
    assert packed.octets.nbytes == -(-m // 8) * T and len(packed) == m and packed.shape == X.shape
    assert np.array_equal(np.asarray(packed), X) and Packed.of(packed) is packed and bits("X", packed) is packed
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, m, 5), rng.integers(0, T, 4)
    before = packed.octets.copy()
    for key in (slice(0, 3), rows, slice(None, None, 2)):
        part = packed[key]
        assert part.dtype == np.uint8 and np.array_equal(part, X[key])
        part[:] = 9                                                 # a copy
        assert np.array_equal(packed[key, columns], X[key][:, columns])
    assert np.array_equal(packed[m - 1], X[m - 1:]) and np.array_equal(packed.octets, before)


@pytest.mark.parametrize("m, T", SHAPES)
def test_sums_and_products_are_those_of_the_bits(m, T):
    X, rng = draw(m, T), np.random.default_rng(2)
    packed = Packed.of(X)
    assert np.array_equal(packed.ones, X.sum(axis=1)) and np.array_equal(row_sums(X), X.sum(axis=1))
    assert np.array_equal(row_sums(np.ones((2, T), np.uint8)), [T, T])             # the longest sums of bytes
    assert np.allclose(packed.mean(axis=0), X.mean(axis=0), rtol=1e-14, atol=0)
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-13)):
        G = rng.standard_normal((3, m)).astype(dtype)
        product = G @ packed
        assert product.dtype == dtype and np.abs(product - G.astype(float) @ X).max() <= tolerance * m
    for share in 0.0, 0.2, 1.0:
        rows = rng.random(m) < share
        for bit in 0, 1:
            assert np.array_equal(packed.constant(rows, bit), (X[rows] == bit).all(axis=0))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 20), st.integers(1, 8))
def test_blocks_join(eighths, T, last):
    cuts = [8 * n for n in eighths] + [last]
    X = draw(sum(cuts), T)
    joined = Packed.joined(np.split(X, np.cumsum(cuts)[:-1]))
    assert np.array_equal(np.asarray(joined), X)


def test_blocks_that_do_not_fill_their_bytes_are_refused():
    with pytest.raises(ValueError, match="^blocks: expected multiples of eight rows"):
        Packed.joined([draw(7, 3), draw(8, 3)])
    with pytest.raises(ValueError, match="^G: expected shape"):
        np.ones((2, 5)) @ Packed.of(draw(7, 3))
    with pytest.raises(ValueError, match="^X: expected zeros and ones"):
        Packed.of(np.full((3, 3), 2))
    with pytest.raises(ValueError, match="^y: expected shape"):
        examples(Packed.of(draw(7, 3)), np.zeros(6, int))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_means_are_the_same_numbers(dtype):
    """Most positions of one weight, or each of its own; one head or several; enough bits for several parts."""
    X, rng = draw(900, 10_000), np.random.default_rng(3)
    dr = rng.standard_normal((900, 2)).astype(dtype)
    for few in (True, False):
        A = np.full((2, 10_000), 1e-4) * np.array([[1], [2]]) if few else rng.random((2, 10_000)) / 5000
        A[0, [5, 9_999]], A[1, 77] = 0.3, 0.4
        A = A.astype(dtype)
        r, pullback = mean_bit(A, X)
        size = 1e-5 if dtype == np.float32 else 1e-13
        assert r.dtype == dtype and np.abs(r - X.astype(float) @ A.T.astype(float)).max() <= size
        assert np.abs(pullback(dr) - dr.T.astype(float) @ X).max() <= size * 900
        assert np.abs(bit_averager(A)(X[:7].astype(np.int64)) - r[:7]).max() <= size


@pytest.mark.parametrize("model", [ModelConfig.paper(5000, 3), ModelConfig.paper(40, 3, H=2), ModelConfig.scalar(24),
                                   ModelConfig.gpt(24), ModelConfig.mlp(24)], ids=lambda model: f"T{model.T}H{model.H}")
def test_a_predictor_gives_the_logits_of_forward(model):
    rng = np.random.default_rng(4)
    params = {name: x + rng.standard_normal(x.shape) for name, x in init_params(rng, model).items()}
    X = draw(50, model.T)
    logits, expected = predictor(params, model)(X), forward(params, X, model)[0]
    assert np.abs(logits - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.every(3)
@pytest.mark.parametrize("kind", ["and", "or", "majority", "junta", "parity"])
def test_supports_and_training_are_those_of_ordinary_bits(kind):
    rng = np.random.default_rng(5)
    task = sample_task(rng, kind, 40, 2 if kind == "junta" else 3)
    X, y = task.sample(rng, 60)
    rule = {"table": task.table} if kind == "junta" else {}
    assert consistent_supports(Packed.of(X), y, kind, task.k, **rule) == consistent_supports(X, y, kind, task.k, **rule)
    one, two = fit(X, y), fit(Packed.of(X), y)
    assert np.array_equal(one.params["q"], two.params["q"]) and np.array_equal(one.logits(X), two.logits(Packed.of(X)))
    assert np.allclose(one.residual, two.residual) and one.support(3) == two.support(3)


def test_a_packed_sample_is_that_of_the_task(monkeypatch):
    task = sample_task(np.random.default_rng(6), "and", 1000, 3)
    X, y = task.sample(np.random.default_rng(7), 77)
    monkeypatch.setattr(drawing, "PACK", 1)
    packed, labels = drawing.sample_of(task, np.random.default_rng(7), 77)
    assert isinstance(packed, Packed) and np.array_equal(np.asarray(packed), X) and np.array_equal(labels, y)


@pytest.mark.slow
def test_an_adam_run_on_packed_bits(monkeypatch):
    """What learns from minibatches learns the same from packed bits; of packed rows the certificate's first half
    ends at a whole byte, so it is left out."""
    records = []
    for size in drawing.PACK, 1:
        monkeypatch.setattr(drawing, "PACK", size)
        records.append(runs.plan_task("and", 2, 24, m=200, method="adam", steps=100).run()[1]
                       | {"seconds": None, "certificate": None})
    assert records[0] == records[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["and", "majority"])
def test_learns_from_262144_bits_in_little_memory(kind):
    """The exact support at m = 4 log2 C(T, 3), in less memory than the bytes of the sample."""
    import tracemalloc
    task = sample_task(np.random.default_rng(8), kind, 1 << 18, 3)
    X, y = drawing.sample_of(task, np.random.default_rng(9), 206)
    tracemalloc.start()
    result = fit(X, y, ModelConfig.paper(1 << 18, 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.support(3) == task.support and peak < 206 * (1 << 18)
