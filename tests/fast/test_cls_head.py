"""The fast path of a [CLS] head against ordinary attention and 50-digit arithmetic, at every spread of the scores.

How far two results may be apart is measured entry by entry against what the entry is a sum of, signs taken off:

    out     sum_t a_t |v_t|                               a = softmax weights of one example and head
    dv      sum_i a_it |dout_i|
    ds      sum_i a_it (|dout_i| . (|v_t| + |out_i|))     a saturated head has ds near 0 as a difference of such terms

plus sqrt(smallest float) times the largest such entry of the key and the tokens, because a weight below the number
range is 0.
"""
import itertools
import sys

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitf.fast import cls_head, mean_bit, one_hot
from minitf.ops.attention import attention
from minitf.trust.verify import check_pullback

bits = sys.modules["minitf.fast.cls_head"]      # the door's attribute of this name is the function
NAMES = "out", "ds", "dv", "ds_cls", "dv_cls"
SPREADS = [0, 5, 20, 50, 100, 1000, 10000]
TOL = {np.float64: 1e-12, np.float32: 64 * 2.0 ** -23}      # rounding s - c > -44 alone costs 22 units


def draw(rng, H, V, T, dv, m, spread, pattern, dtype=np.float64):
    """Tables, examples and a cotangent. The pattern says along what the scores spread.

    content: the symbol; position; both: every table entry on its own; far: symbol V-1 at position 0 scores highest, all
    else (the [CLS] key too) at least 0.9 spread lower, so the examples without it are far from the largest score.
    """
    s = rng.standard_normal((H, V, T))
    s_cls = rng.standard_normal(H)
    X = rng.integers(0, V, (m, T))
    if pattern == "content":
        s += spread * rng.permuted(np.broadcast_to(np.linspace(0, 1, V), (H, V)), axis=1)[:, :, None]
    elif pattern == "position":
        s += spread * rng.permuted(np.broadcast_to(np.linspace(0, 1, T), (H, T)), axis=1)[:, None]
        s_cls += spread * rng.random(H)
    elif pattern == "both":
        s += spread * rng.random((H, V, T))
    else:
        s -= spread * (0.9 + 0.1 * rng.random((H, V, T)))
        s[:, V - 1, 0] = 0
        s_cls -= spread
        X[:m // 2, 0] = 0
    args = s, rng.standard_normal((H, V, T, dv)), s_cls, rng.standard_normal((H, dv))
    return tuple(x.astype(dtype) for x in args), X, rng.standard_normal((m, H, dv)).astype(dtype)


def gathered(args, X, dout):
    """out, ds, dv, ds_cls, dv_cls by attention over the tokens of every example, in float64, and the scale of each."""
    s, v, s_cls, v_cls = (x.astype(np.float64) for x in args)
    dout = dout.astype(np.float64)
    m, (H, V, T, _) = len(X), v.shape
    index = np.arange(H)[None, :, None], X[:, None, :], np.arange(T)[None, None, :]

    def all_keys(table, cls):
        return np.concatenate([np.broadcast_to(cls[None, :, None], (m, H, 1) + cls.shape[1:]), table[index]], axis=2)

    def to_tables(d):
        table = np.zeros((H, V, T) + d.shape[3:])
        np.add.at(table, index, d[:, :, 1:])
        return table, d[:, :, 0].sum(axis=0)

    keys, values = all_keys(s, s_cls)[..., None], all_keys(v, v_cls)
    out, back = attention(np.ones((m, H, 1, 1)), keys, values, scale=1.0)
    _, dk, dvalues = back(dout[:, :, None])
    (ds, ds_cls), (dv_, dv_cls) = to_tables(dk[..., 0]), to_tables(dvalues)
    a = attention(np.ones((m, H, 1, 1)), keys, np.broadcast_to(np.eye(T + 1), (m, H, T + 1, T + 1)),
                  scale=1.0)[0][:, :, 0]
    size = np.einsum("iht,ihtd->ihd", a, np.abs(values))
    term = a * np.einsum("ihd,ihtd->iht", np.abs(dout), np.abs(values) + size[:, :, None])
    (s_scale, s_cls_scale), (v_scale, v_cls_scale) = to_tables(term), to_tables(a[..., None] * np.abs(dout)[:, :, None])
    return (out[:, :, 0], ds, dv_, ds_cls, dv_cls), (size, s_scale, v_scale, s_cls_scale, v_cls_scale)


def fifty_digits(args, X, dout):
    """The five results by loops in 50-digit arithmetic, from the definition of softmax and its Jacobian."""
    s, v, s_cls, v_cls = args
    m, (H, _, T, dv) = len(X), v.shape
    with mpmath.workdps(50):
        zero = mpmath.mpf(0)
        out, *grads = (np.full(shape, zero, object) for shape in
                      ((m, H, dv), s.shape, v.shape, s_cls.shape, v_cls.shape))
        ds, dv_, ds_cls, dv_cls = grads
        for i, h in itertools.product(range(m), range(H)):
            keys = [((h,), s_cls, v_cls, ds_cls, dv_cls)] + [((h, int(X[i, t]), t), s, v, ds, dv_) for t in range(T)]
            e = [mpmath.exp(mpmath.mpf(float(score[at]))) for at, score, *_ in keys]
            total = mpmath.fsum(e)
            value = [[mpmath.mpf(float(x)) for x in table[at]] for at, _, table, *_ in keys]
            mean = [mpmath.fsum(w * row[j] for w, row in zip(e, value)) / total for j in range(dv)]
            out[i, h] = mean
            g = [mpmath.mpf(float(x)) for x in dout[i, h]]
            for w, row, (at, _, _, dscore, dvalue) in zip(e, value, keys):
                dscore[at] += w / total * mpmath.fsum(g[j] * (row[j] - mean[j]) for j in range(dv))
                dvalue[at] += np.array([w / total * x for x in g], object)
    return tuple(x.astype(np.float64) for x in (out, ds, dv_, ds_cls, dv_cls))


def run(head, args, X, dout):
    with np.errstate(all="raise", under="ignore"):
        out, pullback = head(*args, X)
        return out, *pullback(dout)


def worst(got, want, scales, floor):
    """The largest error of each of the five, in units of its scale (module page); a NaN is infinitely wrong."""
    assert [x.shape for x in got] == [x.shape for x in want]
    out, ds, dv, ds_cls, dv_cls = (scale.max(initial=0) for scale in scales)
    largest = out, max(ds, ds_cls), max(dv, dv_cls), max(ds, ds_cls), max(dv, dv_cls)
    ratios = [np.abs(x - y) / (scale + floor * top + 1e-300)
              for x, y, scale, top in zip(got, want, scales, largest)]
    return {name: np.nan_to_num(ratio, nan=np.inf).max(initial=0) for name, ratio in zip(NAMES, ratios)}


def compare(head, args, X, dout):
    want, scales = gathered(args, X, dout)
    return worst(run(head, args, X, dout), want, scales, np.sqrt(np.finfo(dout.dtype).tiny))


@pytest.mark.every(2)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("pattern", ["content", "position", "both", "far"])
@pytest.mark.parametrize("spread", SPREADS)
def test_equals_attention_over_the_tokens(spread, pattern, dtype):
    rng = np.random.default_rng(spread)
    for V, T in itertools.product((2, 3, 5), (1, 2, 8, 64)):
        args, X, dout = draw(rng, 3, V, T, 2, 12, spread, pattern, dtype)
        assert all(x.dtype == dtype for x in run(cls_head, args, X, dout))
        error = compare(cls_head, args, X, dout)
        assert max(error.values()) <= TOL[dtype], (V, T, error)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2 ** 32), H=st.integers(1, 4), V=st.integers(2, 5), T=st.integers(1, 20),
       dv=st.integers(1, 4),
       m=st.integers(0, 9), spread=st.floats(0, 2000), pattern=st.sampled_from(["content", "position", "both", "far"]),
       dtype=st.sampled_from([np.float64, np.float32]))
def test_equals_attention_over_the_tokens_everywhere(seed, H, V, T, dv, m, spread, pattern, dtype):
    args, X, dout = draw(np.random.default_rng(seed), H, V, T, dv, m, spread, pattern, dtype)
    error = compare(cls_head, args, X, dout)
    assert max(error.values()) <= TOL[dtype], error


@pytest.mark.parametrize("pattern", ["content", "position", "both", "far"])
@pytest.mark.parametrize("spread", SPREADS)
def test_equals_fifty_digits(spread, pattern):
    for V, T in (2, 1), (2, 8), (3, 4):
        args, X, dout = draw(np.random.default_rng(spread + T), 2, V, T, 2, 6, spread, pattern)
        _, scales = gathered(args, X, dout)
        error = worst(run(cls_head, args, X, dout), fifty_digits(args, X, dout), scales,
                      np.sqrt(np.finfo(np.float64).tiny))
        assert max(error.values()) <= TOL[np.float64], (V, T, error)


def base_on_symbol_0(s, v, s_cls, v_cls, X):
    """The two-product form that cancels: Z = sum w0 + X (w1 - w0), and N likewise."""
    c = np.maximum(s.max(axis=(1, 2)), s_cls)
    w, w_cls = np.exp(s - c[:, None, None]), np.exp(s_cls - c)
    table = np.concatenate([w[..., None] * v, w[..., None]], axis=-1)
    table_cls = np.concatenate([w_cls[:, None] * v_cls, w_cls[:, None]], axis=-1)
    NZ = table_cls + table[:, 0].sum(axis=1) + np.einsum("it,htd->ihd", X, table[:, 1] - table[:, 0])
    out = NZ[..., :-1] / NZ[..., -1:]

    def pullback(dout):
        dN = dout / NZ[..., -1:]
        dNZ = np.concatenate([dN, -(dN * out).sum(axis=-1, keepdims=True)], axis=-1)
        ones = np.einsum("it,ihd->htd", X, dNZ)
        dtable = np.stack([dNZ.sum(axis=0)[:, None] - ones, ones], axis=1)
        return *bits.unweighted(w, v, dtable), *bits.unweighted(w_cls, v_cls, dNZ.sum(axis=0))

    return out, pullback


def test_the_form_that_cancels_is_told_apart():
    """These comparisons pass it where nothing cancels, and fail it at a content-dependent spread of 30."""
    args, X, dout = draw(np.random.default_rng(0), 2, 2, 8, 2, 50, 0, "content")
    assert max(compare(base_on_symbol_0, args, X, dout).values()) <= TOL[np.float64]
    args[0][:, 0] += 30
    X[0] = 1
    args[2][:] -= 30
    error = compare(base_on_symbol_0, args, X, dout)
    assert min(error.values()) > 1e3 * TOL[np.float64]
    assert max(compare(cls_head, args, X, dout).values()) <= TOL[np.float64]


@pytest.mark.parametrize("dtype, spread", [(np.float64, 800), (np.float32, 100)])
def test_only_far_examples_take_the_plain_path(monkeypatch, dtype, spread):
    taken, plain = [], bits.plain_head
    monkeypatch.setattr(bits, "plain_head", lambda *args: taken.append(len(args[-1])) or plain(*args))
    args, X, dout = draw(np.random.default_rng(3), 2, 2, 8, 2, 12, spread, "far", dtype)
    X[:5, 0], X[5:, 0] = 0, 1
    assert max(compare(cls_head, args, X, dout).values()) <= TOL[dtype] and taken == [5]
    X[:] = 0
    assert max(compare(cls_head, args, X, dout).values()) <= TOL[dtype] and taken == [5, 12]
    X[:, 0] = 1
    run(cls_head, args, X, dout)
    assert taken == [5, 12]


def test_pullback_is_the_derivative():
    rng = np.random.default_rng(5)
    args, X, _ = draw(rng, 2, 3, 4, 2, 6, 1, "both")

    def head(s, v, s_cls, v_cls):
        return cls_head(s, v, s_cls, v_cls, X)

    for method in "complex", "difference":
        assert {record.method for record in check_pullback(head, args, rng, method=method)} == {method}
    args, X, _ = draw(rng, 2, 3, 4, 2, 6, 800, "far")

    def tokens_alone(s, v):                                 # no example attends to its [CLS] key
        out, pullback = head(s, v, *args[2:])
        return out, lambda dout: pullback(dout)[:2]

    check_pullback(tokens_alone, args[:2], rng, method="complex")


def test_large_common_parts_of_values_and_scores_cost_no_more_than_their_last_digit():
    args, X, dout = draw(np.random.default_rng(6), 2, 2, 8, 2, 20, 5, "both")
    s, v, s_cls, v_cls = args
    moved = s + 1e6, v + 1e6, s_cls + 1e6, v_cls + 1e6
    assert max(compare(cls_head, moved, X, dout).values()) <= TOL[np.float64]


def test_rows_may_be_handed_in():
    args, X, dout = draw(np.random.default_rng(7), 2, 3, 5, 2, 6, 5, "both")
    rows = one_hot(X, 3, np.float64)
    assert rows.shape == (6, 15) and (rows.sum(axis=1) == 5).all()
    assert all(rows[i, X[i, t] * 5 + t] == 1 for i in range(6) for t in range(5))
    again = run(lambda *a: cls_head(*a, rows=rows), args, X, dout)
    assert all(np.array_equal(x, y) for x, y in zip(run(cls_head, args, X, dout), again))


@pytest.mark.parametrize("which, message", [(0, "^s: .*shape"), (2, "^s_cls: .*shape"), (3, "^v_cls: .*shape")])
def test_wrong_shapes_are_named(which, message):
    args, X, _ = draw(np.random.default_rng(8), 2, 2, 4, 2, 3, 1, "both")
    bad = [x[..., :-1] if i == which else x for i, x in enumerate(args)]
    with pytest.raises(ValueError, match=message):
        cls_head(*bad, X)
    with pytest.raises(ValueError, match="^X: .*shape"):
        cls_head(*args, X[:, 1:])
    with pytest.raises(ValueError, match="^rows: .*shape"):
        cls_head(*args, X, rows=np.zeros((3, 5)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_mean_bit(dtype):
    rng = np.random.default_rng(9)
    A, X = rng.random((3, 7)).astype(dtype), rng.integers(0, 2, (5, 7), dtype=np.uint8)
    r, pullback = mean_bit(A, X)
    assert r.dtype == pullback(r).dtype == dtype
    assert np.allclose(r, [[sum(a[X[i] == 1]) for a in A] for i in range(5)], rtol=1e-6)
    check_pullback(lambda A: mean_bit(A, X), (A,), rng)
    with pytest.raises(ValueError, match="^X: .*shape"):
        mean_bit(A, X[:, 1:])
