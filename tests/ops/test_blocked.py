"""attention_blocked is attention, in memory linear in the lengths. Values and laws of the table: test_ops.py."""
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import CASES

from minitf.ops import blocked
from minitf.ops.attention import attention
from minitf.ops.blocked import attention_blocked
from minitf.ops.heads import over_heads
from minitf.trust.verify import saved

CORNERS = [False, "top-left", "bottom-right"]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def draw(rng, *shapes):
    return tuple(rng.standard_normal(shape) for shape in shapes)


def run(op, args, **options):
    """out, dq, dk, dv at a fixed cotangent, under raised floating-point errors."""
    with np.errstate(all="raise", under="ignore"):
        out, pullback = op(*args, **options)
        return out, *pullback(np.cos(np.arange(out.size, dtype=out.dtype)).reshape(out.shape))


def close(xs, ys, tol=1e-12):
    pairs = list(zip(xs, ys, strict=True))
    return all(x.shape == y.shape and x.dtype == y.dtype and np.linalg.norm(x - y) <= tol * np.linalg.norm(y)
               for x, y in pairs)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 100, None])
@pytest.mark.parametrize("case", [case for case in CASES if case.op is attention], ids=lambda case: case.name)
def test_output_and_gradients_are_those_of_attention(case, block, rng):
    for dtype, tol in (np.float64, 1e-13), (np.float32, 1e-5):
        args = case.draw(rng, dtype)[1]
        expected = run(attention, args, **case.options)
        assert close(run(attention_blocked, args, block=block, **case.options), expected, tol)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), Tq=st.integers(0, 9), Tk=st.integers(0, 9), block=st.integers(1, 10),
       heads=st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1)]), softcap=st.sampled_from([None, 0.7]),
       causal=st.sampled_from(CORNERS), mask=st.sampled_from([None, "boolean", "added"]), size=st.sampled_from([1, 30]),
       lead=st.sampled_from([((), (), ()), ((2,), (), (2,)), ((), (3,), (1,)), ((2, 1), (3,), (1, 3))]),
       rank=st.integers(0, 5), ones=st.sets(st.integers(1, 5)))
def test_any_shape_and_options(seed, Tq, Tk, block, heads, softcap, causal, mask, size, lead, rank, ones):
    """Masks of every rank; grouped heads; leading axes that broadcast; lengths on both sides of each corner."""
    rng = np.random.default_rng(seed)
    H, G = heads
    args = draw(rng, lead[0] + (H, Tq, 3), lead[1] + (G, Tk, 3), lead[2] + (G, Tk, 2))
    if mask is not None:
        full = (np.broadcast_shapes(*lead[:2]) + (H, Tq, Tk))[::-1][:rank]
        may = rng.random([1 if i in ones else n for i, n in enumerate(full, 1)][::-1]) < 0.6
        mask = may if mask == "boolean" else np.where(may, rng.standard_normal(may.shape), -np.inf)
    options = dict(softcap=softcap, causal=causal, mask=mask, scale=size / 2)
    expected, got = run(attention, args, **options), run(attention_blocked, args, block=block, **options)
    assert close(got, expected)
    assert all(not x[y == 0].any() for x, y in zip(got, expected))               # exact zeros stay exact


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("causal", CORNERS)
def test_nan_and_inf_reach_what_they_reach_in_attention(rng, bad, causal):
    for block in 1, 2, 5:
        args = draw(rng, (2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3))
        for x in args:
            x[rng.random(x.shape[:-1]) < 0.1] = bad
        options = dict(mask=rng.random((2, 4, 5, 7)) < 0.4, causal=causal)
        with np.errstate(invalid="ignore"):
            for x, y in zip(*(grads(op, args, **options) for op in (attention_blocked_in(block), attention))):
                assert np.array_equal(np.isfinite(x), np.isfinite(y)) and not np.isfinite(y).all()
                assert np.allclose(x[np.isfinite(x)], y[np.isfinite(y)], rtol=1e-12, atol=1e-13)


def attention_blocked_in(block):
    return lambda *args, **options: attention_blocked(*args, block=block, **options)


def grads(op, args, **options):
    out, pullback = op(*args, **options)
    return out, *pullback(np.ones(out.shape))


@pytest.mark.parametrize("gap", [1, 10, 20, 300])
def test_a_saturated_head_keeps_the_digits_of_its_gradient(gap):
    """Scores gap and -gap, where exp(-2 gap) is left of dq: the mean of dA from sum(dout * out) loses it at gap 20."""
    q, k = np.full((3, 1), 1.0), np.array([[gap], [-gap]]) * 1.0
    v, dout = np.array([[0.3, 1.0], [-0.7, 0.2]]), np.tile([0.9, -1.7], (3, 1))
    dq, _, _ = attention_blocked(q, k, v, scale=1, block=2)[1](dout)
    exact = 2 * gap * (dout @ (v[0] - v[1])) / (np.exp(gap) + np.exp(-gap)) ** 2
    assert np.abs(dq[:, 0] - exact).max() <= 1e-13 * np.abs(exact).max()


def test_the_pullback_keeps_the_arguments_and_nothing_else(rng):
    args, mask = draw(rng, (4, 50, 8), (2, 60, 8), (2, 60, 3)), rng.random((50, 60)) < 0.5
    kept = saved(attention_blocked(*args, mask=mask, causal="top-left", block=7)[1]).values()
    assert {id(x) for x in kept} == {id(x) for x in (*args, mask)}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"causal": True, "softcap": 3.0}])
def test_memory_is_linear_in_the_length(options):
    """Peak of both passes beyond the arguments: twice the length takes twice the memory; in attention, four times."""
    def peak(op, T, **more):
        args = draw(np.random.default_rng(0), (T, 16), (T, 16), (T, 16))
        grads(op, [x[:9] for x in args], **options)                              # whatever is loaded once
        tracemalloc.start()
        grads(op, args, **options, **more)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top
    assert peak(attention_blocked, 2048, block=32) <= 2.05 * peak(attention_blocked, 1024, block=32)
    assert peak(attention, 2048) > 3.5 * peak(attention, 1024)
    assert peak(attention_blocked, 4096) < 70e6                                  # a row of 2^20 scores takes 8 MB


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux says how large a process was")
def test_sixteen_thousand_tokens_take_less_than_a_gigabyte():
    """The largest resident size of a process that does both passes, Python and NumPy included."""
    code = r"""if True:
        import re
        import numpy as np
        from minitf import attention_blocked
        q, k, v, dout = np.random.default_rng(0).standard_normal((4, 1, 1, 16384, 64))
        out, pullback = attention_blocked(q, k, v, causal=True)
        assert all(np.isfinite(dx).all() for dx in pullback(dout))
        print(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])"""       # ru_maxrss counts the parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1e5 < 1024 * int(done.stdout) < 1e9


@pytest.mark.parametrize("causal, Tq, Tk", [(True, 64, 64), ("top-left", 40, 64), ("bottom-right", 64, 40),
                                            ("bottom-right", 40, 64), ("top-left", 64, 40)])
def test_keys_out_of_reach_cost_nothing(rng, monkeypatch, causal, Tq, Tk):
    seen = []

    def counting(op, a):
        seen.append((a.q.shape[0], a.k.shape[0]))
        return over_heads(op, a)
    monkeypatch.setattr(blocked, "over_heads", counting)
    attention_blocked(*draw(rng, (Tq, 4), (Tk, 4), (Tk, 3)), causal=causal, block=8)
    corner = Tk - Tq if causal == "bottom-right" else 0
    inside = sum(min(max(i + corner + 1, 0), Tk) for i in range(Tq))
    assert sum(B for B, _ in seen) == Tq and inside <= sum(B * n for B, n in seen) <= inside + Tq * 8
    assert max(B for B, _ in seen) == 8


def test_a_block_by_default_has_a_million_scores_or_64_queries(rng, monkeypatch):
    seen = []
    monkeypatch.setattr(blocked, "over_heads", lambda op, a: seen.append(a.q.shape[-2]) or over_heads(op, a))
    attention_blocked(*np.ones((3, 8, 600, 1)))
    attention_blocked(np.ones((66, 1)), np.ones((2**15, 1)), np.ones((2**15, 1)))
    assert seen == [218, 218, 164, 64, 2]


@pytest.mark.parametrize("options, error", [({"block": 0}, ValueError), ({"block": 2.0}, TypeError),
                                            ({"block": True}, TypeError), ({"softcap": 0}, ValueError),
                                            ({"causal": "left"}, ValueError), ({"scale": np.nan}, ValueError),
                                            ({"mask": np.full((2, 2), np.nan)}, ValueError),
                                            ({"mask": np.ones((3, 2), bool)}, ValueError)])
def test_bad_options_are_named(options, error):
    for Tq in 2, 0:
        if "mask" in options and not Tq:
            continue
        with pytest.raises(error, match=f"^{next(iter(options))}: expected .*, got "):
            attention_blocked(np.ones((Tq, 3)), np.ones((2, 3)), np.ones((2, 3)), **options)


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match=r"^k: expected width 4, as q has, got "):
        attention_blocked(np.ones((5, 4)), np.ones((7, 3)), np.ones((7, 3)))
    with pytest.raises(ValueError, match=r"^dout: expected shape \(5, 3\), got "):
        attention_blocked(np.ones((5, 4)), np.ones((7, 4)), np.ones((7, 3)))[1](np.ones(3))


def beyond(T, **options):
    """Peak of both passes in bytes, beside arguments and results; one head, d = 64, float32."""
    q, k, v, dout = np.random.default_rng(0).standard_normal((4, T, 64), np.float32)
    attention_blocked(q[:9], k[:9], v[:9])[1](dout[:9])
    tracemalloc.start()
    out, pullback = attention_blocked(q, k, v, **options)
    results = out, *pullback(dout)
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return top - sum(x.nbytes for x in results)


@pytest.mark.parametrize("T", [2048, 8192, pytest.param(65536, marks=pytest.mark.slow)])
def test_windows_and_segments_take_no_room(T):
    assert beyond(T, window=(256, 0)) <= 6e6                                     # 100 MB are allowed
    ids = np.arange(T) // 300
    assert beyond(T, segments=(ids, ids), causal=True) <= 6e6 + 100 * T


@pytest.mark.parametrize("make, each", [
    (lambda T: {"window": (256, 0)}, 3 * 257), (lambda T: {"window": (64, 64), "causal": True}, 3 * 65),
    (lambda T: {"segments": (np.arange(T) // 100,) * 2}, 3 * 100)])
def test_time_in_a_window_or_segments_is_linear(make, each, monkeypatch):
    """Pairs of queries and keys that are looked at: at most three times as many as may meet."""
    for T in 1024, 4096:
        seen = []
        monkeypatch.setattr(blocked, "over_heads", lambda op, a: seen.append(a.q.shape[-2] * a.k.shape[-2]) or over_heads(op, a))
        attention_blocked(*np.ones((3, T, 2), np.float32), **make(T))
        assert sum(seen) <= each * T
