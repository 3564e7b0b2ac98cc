"""How exact attention is, against 50 digits; and its pullback as a value."""
import functools
import sys

import mpmath
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import CASES
from ops.attention_runs import close, draw, run

from minitf import attention, check_pullback


def exact_head(q, k, v, dout, blocked, scale, softcap):
    """max |S|, then out, dq, dk, dv of one head in 50-digit arithmetic, by formulas in which nothing cancels."""
    with mpmath.workdps(50):
        q, k, v, dout = (mpmath.matrix(x.tolist()) for x in (q, k, v, dout))
        X = q * k.T * scale
        c = softcap and mpmath.mpf(softcap)
        S = X.apply(lambda s: c * mpmath.tanh(s / c)) if c else X
        A = mpmath.matrix(S.rows, S.cols)
        for i in range(S.rows):
            e = [0 if blocked[i, j] else mpmath.exp(S[i, j]) for j in range(S.cols)]
            for j in range(S.cols):
                A[i, j] = e[j] / (mpmath.fsum(e) or 1)
        dA, dS = dout * v.T, mpmath.matrix(S.rows, S.cols)
        for i, j in np.ndindex(S.rows, S.cols):
            dS[i, j] = A[i, j] * mpmath.fsum(A[i, l] * (dA[i, j] - dA[i, l]) for l in range(S.cols))
            dS[i, j] /= mpmath.cosh(X[i, j] / c) ** 2 if c else 1
        top = max(abs(s) for s in X)
        results = A * v, dS * k * scale, dS.T * q * scale, A.T * dout
        return float(top), [np.array(x.tolist(), dtype=object) for x in results]


def error(x, exact):
    """||x - exact|| / ||exact||, the difference taken in 50 digits."""
    with mpmath.workdps(50):
        difference = mpmath.sqrt(sum((mpmath.mpf(float(a)) - b) ** 2 for a, b in zip(x.ravel(), exact.ravel())))
        return float(difference / mpmath.sqrt(sum(b * b for b in exact.ravel())))


@pytest.mark.every(3)
@pytest.mark.parametrize("size", [0.1, 1, 10, 100, 1e4])
@pytest.mark.parametrize("softcap", [None, 5.0, 0.5])
@pytest.mark.parametrize("Tq, Tk, d", [(1, 2, 1), (3, 2, 2), (7, 9, 8), (4, 33, 16)])
def test_error_against_50_digits(Tq, Tk, d, softcap, size):
    """<= 1e-13 for |score| <= 10, <= 16 * 2^-53 * max |score| beyond: output and every gradient, in norm."""
    rng = np.random.default_rng(Tq)
    q, k, v, dout = draw(rng, (Tq, d), (Tk, d), (Tk, 3), (Tq, 3))
    scale = size / np.abs(q @ k.T).max()
    blocked = np.zeros((Tq, Tk), bool)
    blocked[Tq // 2 + 1:, 0] = Tk > 2
    top, exact = exact_head(q, k, v, dout, blocked, scale, softcap)
    got = run(q, k, v, dout, mask=~blocked, scale=scale, softcap=softcap)
    tol = 1e-13 if size <= 10 else 16 * 2.0**-53 * top
    errors = [error(x, y) for x, y in zip(got, exact) if max(abs(t) for t in y.ravel()) > 1e-290]   # else it underflows
    assert len(errors) >= 2 and max(errors) <= tol, errors


@pytest.mark.parametrize("gap", [1, 5, 10, 30, 300])
def test_a_saturated_head_keeps_the_digits_of_its_gradient(gap):
    """Scores gap and -gap: dq is near exp(-2 gap); taken literally, A * (dA - sum(A * dA)) loses it at gap 20."""
    q, k = np.array([[1.0]]), np.array([[gap], [-gap]]) * 1.0
    v, dout = np.array([[0.3, 1.0], [-0.7, 0.2]]), np.array([[0.9, -1.7]])
    _, exact = exact_head(q, k, v, dout, np.zeros((1, 2), bool), 1, None)
    assert max(error(x, y) for x, y in zip(run(q, k, v, dout, scale=1), exact)) <= max(1e-14, 16 * 2.0**-53 * gap)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), Tq=st.integers(0, 6), Tk=st.integers(0, 6),
       heads=st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1)]), softcap=st.sampled_from([None, 0.7]),
       causal=st.sampled_from([False, "top-left", "bottom-right"]), mask=st.sampled_from([None, "boolean", "added"]))
def test_any_shape_and_options_against_the_scalar_loops(seed, Tq, Tk, heads, causal, softcap, mask):
    rng = np.random.default_rng(seed)
    q, k, v = draw(rng, (2, heads[0], Tq, 3), (heads[1], Tk, 3), (2, heads[1], Tk, 2))
    may = rng.random((heads[0], Tq, Tk)) < 0.6
    mask = {None: None, "boolean": may, "added": np.where(may, rng.standard_normal(may.shape), -np.inf)}[mask]
    options = dict(causal=causal, softcap=softcap, mask=mask)
    out, A, _ = oracles.attention(q, k, v, **options)
    got, *grads = run(q, k, v, **options)
    assert close([got], [out])
    if (A > 0).sum(axis=-1).max(initial=0) > 1:                                # else nothing depends on the scores
        check_pullback(functools.partial(attention, **options), (q, k, v), rng)
    else:
        assert not grads[0].any() and not grads[1].any()


def test_the_cotangent_must_have_the_shape_of_the_output(rng):
    q, k, v = draw(rng, (4, 5, 4), (2, 7, 4), (2, 7, 3))
    _, pullback = attention(q, k, v)
    for bad in np.ones((4, 5, 1)), np.ones((5, 4, 3)), np.ones(3), 1.0:
        with pytest.raises(ValueError, match=r"^dout: expected shape \(4, 5, 3\), got "):
            pullback(bad)


def test_strided_arguments(rng):
    q, k, v = (x.transpose(0, 2, 1, 3) for x in draw(rng, (2, 5, 4, 4), (2, 7, 2, 4), (2, 7, 2, 3)))
    dout = rng.standard_normal((2, 5, 4, 3)).transpose(0, 2, 1, 3)
    assert close(run(q, k, v, dout), run(*(np.ascontiguousarray(x) for x in (q, k, v, dout))))
    assert close(run(q[..., ::-1], k[..., ::-1], v, dout)[:1], run(q, k, v, dout)[:1])


def test_self_attention_on_one_array_sums_three_gradients(rng):
    """The same array as q, k and v: nothing may be overwritten through the shared memory."""
    x, = draw(rng, (2, 6, 4))

    def self_attention(x):
        y, pullback = attention(x, x, x, causal=True)
        return y, lambda dy: sum(pullback(dy))
    check_pullback(self_attention, (x,), rng)


@pytest.mark.parametrize("case", [case for case in CASES if case.op is attention], ids=lambda case: case.name)
@pytest.mark.parametrize("cache", [1, 600])
def test_groups_of_heads_give_the_same_numbers(case, cache, monkeypatch):
    op, args = case.draw(np.random.default_rng(5))
    out, pullback = op(*args)
    dout = np.random.default_rng(6).standard_normal(out.shape)
    grads = pullback(dout)
    monkeypatch.setattr(sys.modules["minitf.ops.heads"], "CACHE", cache)
    grouped, pullback = op(*args)
    for x, y in zip((grouped, *pullback(dout)), (out, *grads)):
        assert np.linalg.norm(x - y) <= 1e-14 * np.linalg.norm(y) and ((x == 0) == (y == 0)).all()


@pytest.mark.parametrize("dtype, tol", [(np.float64, 1e-14), (np.float32, 1e-5)])
@pytest.mark.parametrize("size", [1, 29, 31, 200])
def test_small_and_large_scores_are_one_function(size, dtype, tol):
    """Alone the head of small scores skips its maximum and a second pass; beside the large ones of another not."""
    rng = np.random.default_rng(size)
    q, k, v, dout = (rng.standard_normal((2, 9, 4)).astype(dtype) for _ in range(4))
    q[1] *= size / np.abs(q[1] @ k[1].T).max()                      # the largest score of head 1
    both, pullback = attention(q, k, v, scale=1.0)
    grads = pullback(dout)
    for h in range(2):
        out, back = attention(q[h], k[h], v[h], scale=1.0)
        for x, y in zip((out, *back(dout[h])), (both[h], *(g[h] for g in grads))):
            assert np.linalg.norm(x - y) <= tol * np.linalg.norm(y)
