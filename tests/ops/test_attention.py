"""What attention means at its edges, points 1 to 11 of the room's README. Points 12 to 18: test_options, test_tangent."""
import numpy as np
import oracles
import pytest
from ops.attention_runs import close, draw, identical, run

from minitf import attention, attention_weights


def test_point_1_scale_then_softcap_then_mask(rng):
    q, k, v = draw(rng, (5, 4), (7, 4), (7, 3))
    mask, bias = np.arange(7) % 3 > 0, rng.standard_normal((5, 7))
    S = 1.5 * np.tanh(2 * q @ k.T / 1.5) + bias
    A = np.exp(S) * mask
    A /= A.sum(axis=1, keepdims=True)
    got, _ = attention_weights(q, k, mask=np.where(mask, bias, -np.inf), scale=2, softcap=1.5)
    assert close([got], [A])
    assert not got[:, ~mask].any()


def test_point_1_a_masked_key_is_as_good_as_absent_under_a_softcap(rng):
    q, k, v = draw(rng, (5, 4), (7, 4), (7, 3))
    mask = np.arange(7) % 3 > 0
    out, dq, dk, dv = run(q, k, v, mask=mask, softcap=0.5)
    few = run(q, k[mask], v[mask], softcap=0.5)
    assert close([out, dq, dk[mask], dv[mask]], few)
    assert not dk[~mask].any() and not dv[~mask].any()


def test_point_2_default_scale_is_one_over_root_d(rng):
    q, k, v = draw(rng, (5, 16), (7, 16), (7, 3))
    assert identical(run(q, k, v), run(q, k, v, scale=0.25))
    assert identical(run(q, k, v, softcap=None), run(q, k, v))


def test_point_2_any_finite_scale_is_honoured(rng):
    q, k, v = draw(rng, (5, 4), (8, 4), (8, 3))
    out, dq, dk, dv = run(q, k, v, scale=0)
    assert close([out], [np.broadcast_to(v.mean(axis=0), (5, 3))])
    assert not dq.any() and not dk.any()
    assert close(run(q, k, v, scale=-2.0)[:1], run(-q, k, v, scale=np.float32(2))[:1])


@pytest.mark.parametrize("name, value, error", [
    *(("softcap", bad, ValueError) for bad in (0, -1.0, np.inf, np.nan)), ("softcap", "1", TypeError),
    *(("scale", bad, ValueError) for bad in (np.inf, np.nan)), ("scale", "1", TypeError),
])
def test_point_2_other_scales_and_softcaps_are_refused(name, value, error):
    with pytest.raises(error, match=f"^{name}: expected a .*finite number, got "):
        attention(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), **{name: value})


@pytest.mark.parametrize("shape", [(4, 5, 7), (5, 7), (1, 7), (7,), (2, 1, 5, 1), (3, 1, 1, 1, 7)])
def test_point_3_boolean_and_additive_masks_agree_bit_for_bit(rng, shape):
    q, k, v = draw(rng, (3, 2, 4, 5, 4), (3, 2, 2, 7, 4), (3, 2, 2, 7, 3))
    mask = rng.random(shape) < 0.6
    for kind in np.float64, np.float32:
        added = np.where(mask, 0, -np.inf).astype(kind)
        assert identical(run(q, k, v, mask=mask), run(q, k, v, mask=added))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16, np.complex128, object])
def test_point_3_other_mask_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="^mask: expected booleans .*True = may attend"):
        attention(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), mask=np.ones((2, 2), dtype))


def test_point_3_a_large_negative_number_is_no_mask(rng):
    q, k, v = draw(rng, (2, 4), (7, 4), (7, 3))
    A, lse = attention_weights(q, k, mask=np.full((2, 7), -1e9))
    assert np.abs(A.sum(axis=1) - 1).max() < 1e-15 and np.abs(lse + 1e9).max() < 10
    mixed = np.array([[-1e9] + [0.0] * 6, [-np.inf] + [0.0] * 6])
    assert identical([attention_weights(q, k, mask=mixed)[0]], [attention_weights(q, k, mask=np.arange(7) > 0)[0]])


def test_point_3_a_mask_that_overflows_the_dtype_is_refused():
    q = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="^mask: expected -inf, or numbers finite in float32"):
        attention(q, q, q, mask=np.full((2, 2), -1e300))
    for bad in np.inf, np.nan:
        with pytest.raises(ValueError, match="^mask: expected"):
            attention(q, q, q, mask=np.full((2, 2), bad))


@pytest.mark.parametrize("shape", [(6, 7), (2, 5, 7), (2, 1, 5, 7), (7, 5)])
def test_point_3_a_mask_must_broadcast_to_the_scores(rng, shape):
    q, k, v = draw(rng, (3, 5, 4), (3, 7, 4), (3, 7, 3))
    assert identical(run(q, k, v, mask=np.ones((3, 5, 7), bool)), run(q, k, v))
    with pytest.raises(ValueError, match=r"^mask: expected a shape that broadcasts to the scores \(3, 5, 7\), got "):
        attention(q, k, v, mask=np.ones(shape, bool))


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_point_4_a_query_without_keys_is_exactly_zero_and_so_are_its_gradients(rng, dtype, added):
    q, k, v = (x.astype(dtype) for x in draw(rng, (2, 5, 4), (2, 7, 4), (2, 7, 3)))
    mask = np.ones((5, 7), bool)
    mask[[1, 4]] = False
    out, dq, dk, dv = run(q, k, v, mask=np.where(mask, 0, -np.inf) if added else mask)
    assert not out[:, [1, 4]].any() and not dq[:, [1, 4]].any()
    rest = [0, 2, 3]
    dout = np.cos(np.arange(30, dtype=dtype)).reshape(2, 5, 3)
    tol = 1e-13 if dtype == np.float64 else 1e-5
    assert close([out[:, rest], dq[:, rest], dk, dv], run(q[:, rest], k, v, dout[:, rest]), tol)
    assert all(x.dtype == dtype for x in (out, dq, dk, dv))


def test_point_4_keys_that_nobody_attends_to_have_exactly_zero_gradients(rng):
    q, k, v = draw(rng, (2, 5, 4), (2, 7, 4), (2, 7, 3))
    _, dq, dk, dv = run(q, k, v, mask=np.arange(7) != 3)
    assert not dk[:, 3].any() and not dv[:, 3].any() and dk[:, 2].all() and dv[:, 4].all()


@pytest.mark.parametrize("options", [{}, {"mask": np.zeros((5, 0), bool)}, {"causal": "bottom-right"}, {"softcap": 2}])
def test_point_4_no_keys_at_all(options):
    out, dq, dk, dv = run(np.ones((2, 5, 4)), np.ones((2, 0, 4)), np.ones((2, 0, 3)), **options)
    assert np.array_equal(out, np.zeros((2, 5, 3))) and np.array_equal(dq, np.zeros((2, 5, 4)))
    assert dk.shape == (2, 0, 4) and dv.shape == (2, 0, 3)
    A, lse = attention_weights(np.ones((2, 5, 4)), np.ones((2, 0, 4)), **options)
    assert A.shape == (2, 5, 0) and np.array_equal(lse, np.full((2, 5), -np.inf))


@pytest.mark.parametrize("shapes", [
    [(2, 0, 4), (2, 7, 4), (2, 7, 3)], [(0, 2, 5, 4), (0, 2, 7, 4), (0, 2, 7, 3)], [(4, 5, 4), (2, 7, 4), (2, 7, 0)],
])
def test_point_4_no_queries_no_examples_no_width_of_values(shapes):
    out, *grads = run(*(np.ones(shape) for shape in shapes))
    assert [g.shape for g in grads] == shapes and not any(g.any() for g in grads)
    assert out.shape == shapes[0][:-1] + shapes[2][-1:]


def test_point_5_mask_and_causal_intersect(rng):
    q, k, v = draw(rng, (3, 4, 5, 4), (3, 2, 5, 4), (3, 2, 5, 3))
    mask, order = rng.random((3, 1, 5, 5)) < 0.7, np.tri(5, dtype=bool)
    bias = rng.standard_normal((4, 5, 5))
    assert identical(run(q, k, v, mask=mask, causal=True), run(q, k, v, mask=mask & order))
    assert identical(run(q, k, v, mask=bias, causal=True), run(q, k, v, mask=np.where(order, bias, -np.inf)))


@pytest.mark.parametrize("Tq, Tk", [(5, 5), (3, 6), (6, 3), (1, 4), (4, 1)])
def test_point_6_causal_corners(rng, Tq, Tk):
    q, k, v = draw(rng, (Tq, 4), (Tk, 4), (Tk, 3))
    sees = {"top-left": [[j <= i for j in range(Tk)] for i in range(Tq)],
            "bottom-right": [[j <= i + Tk - Tq for j in range(Tk)] for i in range(Tq)]}
    for corner, mask in sees.items():
        assert identical(run(q, k, v, causal=corner), run(q, k, v, mask=np.array(mask)))
    if Tq == Tk:
        assert identical(run(q, k, v, causal=True), run(q, k, v, causal="top-left"))
        assert identical(run(q, k, v, causal=np.True_), run(q, k, v, causal="bottom-right"))
    else:
        for yes in True, np.True_:
            with pytest.raises(ValueError, match=f'^causal: expected "top-left" or "bottom-right" with {Tq} queries'):
                attention(q, k, v, causal=yes)


@pytest.mark.parametrize("bad", [1, 0, "left", None, "True"])
def test_point_6_causal_takes_nothing_else(bad):
    with pytest.raises(ValueError, match='^causal: expected False, True, "top-left" or "bottom-right", got '):
        attention(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), causal=bad)


def test_point_6_the_last_query_of_bottom_right_is_decoding_with_a_cache(rng):
    q, k, v = draw(rng, (2, 6, 4), (2, 6, 4), (2, 6, 3))
    whole, step = attention(q, k, v, causal=True)[0], attention(q[:, -1:], k, v, causal="bottom-right")[0]
    assert close([step], [whole[:, -1:]])


@pytest.mark.parametrize("H, G", [(6, 6), (6, 3), (6, 2), (6, 1)])
@pytest.mark.parametrize("heads", [None, 1, 6])
def test_point_7_head_h_reads_key_head_h_over_group(rng, H, G, heads):
    q, k, v, dout = draw(rng, (2, H, 5, 4), (2, G, 7, 4), (2, G, 7, 3), (2, H, 5, 3))
    mask = None if heads is None else rng.random((2, heads, 5, 7)) < 0.8
    reader = [h // (H // G) for h in range(H)]
    out, dq, dk, dv = run(q, k, v, dout, mask=mask, causal="top-left")
    each = run(q, k[:, reader], v[:, reader], dout, mask=mask, causal="top-left")
    summed = [sum(dx[:, h] for h in range(H) if reader[h] == g) for dx in each[2:] for g in range(G)]
    assert close([out, dq], each[:2])
    assert close([*np.moveaxis(dk, 1, 0), *np.moveaxis(dv, 1, 0)], summed)
    A, lse = attention_weights(q, k, mask=mask, causal="top-left")
    assert A.shape == (2, H, 5, 7) and lse.shape == (2, H, 5)
    assert close([A @ v[:, reader]], [out])


@pytest.mark.parametrize("H, G", [(4, 3), (2, 4), (4, 0), (0, 2)])
def test_point_7_other_head_counts_are_refused(H, G):
    with pytest.raises(ValueError, match=f"^k: expected a number of heads that divides {H}, got "):
        attention(np.ones((H, 2, 3)), np.ones((G, 2, 3)), np.ones((G, 2, 3)))


@pytest.mark.parametrize("shapes", [
    [(3, 2, 5, 4), (2, 7, 4), (2, 7, 6)], [(2, 5, 4), (3, 2, 7, 4), (2, 7, 6)], [(4, 5, 4), (2, 7, 4), (3, 2, 7, 6)],
    [(3, 1, 2, 5, 4), (1, 4, 2, 7, 4), (4, 2, 7, 6)], [(1, 4, 5, 4), (3, 2, 7, 4), (1, 2, 7, 6)],
])
def test_point_8_leading_axes_broadcast_and_gradients_are_summed_back(rng, shapes):
    arrays = draw(rng, *shapes)
    lead = np.broadcast_shapes(*(shape[:-3] for shape in shapes))
    full = [np.broadcast_to(x, lead + x.shape[-3:]) for x in arrays]
    mask = rng.random((5, 7)) < 0.8
    out, *grads = run(*arrays, mask=mask)
    expected, *wide = run(*full, mask=mask)
    assert close([out], [expected])
    assert [g.shape for g in grads] == shapes
    for x, g, w in zip(arrays, grads, wide):
        w = w.reshape((-1,) + w.shape[w.ndim - x.ndim:]).sum(axis=0)
        axes = tuple(i for i in range(x.ndim) if x.shape[i] == 1 and w.shape[i] > 1)
        assert close([g], [w.sum(axis=axes, keepdims=True)])


def test_point_8_two_queries_may_share_a_batch_of_keys_with_a_padding_mask(rng):
    q, k, v = draw(rng, (1, 2, 4), (6, 1, 7, 4), (6, 1, 7, 3))
    mask = rng.random((6, 1, 1, 7)) < 0.5
    out, dq, dk, dv = run(q, k, v, mask=mask)
    twin, _, _ = oracles.attention(q, k, v, mask=mask)
    assert close([out], [twin]) and dq.shape == q.shape


@pytest.mark.parametrize("shapes, name", [
    ([(5, 4), (7, 3), (7, 3)], "k"), ([(5, 4), (7, 4), (6, 3)], "v"), ([(4,), (7, 4), (7, 3)], "q"),
    ([(5, 0), (7, 0), (7, 3)], "q"), ([(1, 5, 4), (7, 4), (7, 3)], "k"), ([(5, 4), (7, 4), (1, 7, 3)], "v"),
    ([(5, 4), (4,), (7, 3)], "k"), ([(4, 5, 4), (2, 7, 4), (4, 7, 3)], "v"),
    ([(2, 4, 5, 4), (3, 4, 7, 4), (3, 4, 7, 3)], "q, k, v"),
])
def test_point_8_other_shapes_are_refused(shapes, name):
    with pytest.raises(ValueError, match=f"^{name}: expected .*, got "):
        attention(*(np.ones(shape) for shape in shapes))


def test_point_9_the_dtype_is_kept(rng):
    arrays = draw(rng, (2, 5, 4), (2, 7, 4), (2, 7, 3))
    mask = np.where(rng.random((5, 7)) < 0.8, 1.0, -np.inf)
    exact = run(*arrays, mask=mask, softcap=2, scale=1.5)
    single = run(*(x.astype(np.float32) for x in arrays), mask=mask, softcap=2, scale=1.5)
    assert all(x.dtype == np.float32 for x in single) and close(single, exact, 2e-6)
    assert all(x.dtype == np.float64 for x in exact)
    through = run(*(x.astype(np.complex128) for x in arrays), mask=mask, softcap=2, scale=1.5)
    assert all(x.dtype == np.complex128 for x in through) and close(through, exact)
    A, lse = attention_weights(*(x.astype(np.float32) for x in arrays[:2]), mask=mask)
    assert A.dtype == lse.dtype == np.float32


def test_point_9_other_dtypes():
    q = np.arange(6).reshape(2, 3)
    assert attention(q, q, q)[0].dtype == np.float64
    assert attention(q.astype(np.float32), q.astype(np.float32), q / 7)[0].dtype == np.float64
    for bad, text in (q.astype(np.float16), "convert float16 first"), (q.astype(np.longdouble), "float32 or float64"):
        with pytest.raises(TypeError, match=f"^k: expected .*{text}"):
            attention(q, bad, q)


def test_point_9_the_maximum_is_taken_on_real_parts():
    q, k = np.array([[1.0]]), np.array([[800.0 + 1e3j], [799.0 + 2e3j]])
    A, lse = attention_weights(q, k)
    z = np.exp(k[:, 0] - k[0, 0])
    assert close([A[0], lse], [z / z.sum(), 800 + np.log(np.exp(1e3j) + np.exp(-1 + 2e3j)) * np.ones(1)])


def test_point_10_weights_and_lse(rng):
    q, k, v = draw(rng, (2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3))
    mask = np.where(rng.random((4, 5, 7)) < 0.8, rng.standard_normal((4, 5, 7)), -np.inf)
    mask[1, 2] = -np.inf
    options = dict(mask=mask, causal="bottom-right", scale=1.5, softcap=3.0)
    with np.errstate(all="raise", under="ignore"):
        A, lse = attention_weights(q, k, **options)
    out, twin_A, twin_lse = oracles.attention(q, k, v, **options)
    assert close([A], [twin_A])
    assert np.array_equal(np.isneginf(lse), np.isneginf(twin_lse)) and np.isneginf(lse[:, 1, 2]).all()
    seen = ~np.isneginf(lse)
    assert close([lse[seen]], [twin_lse[seen]])
    assert close([A @ np.repeat(v, 2, axis=1)], [attention(q, k, v, **options)[0]], 1e-15)
    assert attention_weights(q[0, 0], k[0, 0])[1].shape == (5,)


def test_point_10_the_mask_is_not_differentiated(rng):
    q, k, v = draw(rng, (5, 4), (7, 4), (7, 3))
    assert len(attention(q, k, v, mask=np.zeros((5, 7)))[1](np.ones((5, 3)))) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"softcap": 2}, {"causal": "bottom-right"}, {"causal": "top-left"}])
def test_point_11_a_key_reaches_no_query_that_may_not_attend_to_it(rng, bad, options):
    """Spoil some rows; whatever no path of the mask joins to them must be as if they had been ordinary numbers."""
    for _ in range(30):
        q, k, v = draw(rng, (2, 4, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3))
        options["mask"] = rng.random((2, 4, 5, 7)) < 0.4
        good = run(q, k, v, **options)
        rows = [rng.random(x.shape[:-1]) < 0.1 for x in (q, k, v)]
        entries = [rng.random(x.shape) < np.array([2] + [0.5] * (x.shape[-1] - 1)) for x in (q, k, v)]
        sick = [np.where(row[..., None] & entry, bad, x) for row, entry, x in zip(rows, entries, (q, k, v))]
        with np.errstate(invalid="ignore"):
            out, pullback = attention(*sick, **options)
            got = out, *pullback(np.cos(np.arange(out.size)).reshape(out.shape))
        sees = attention_weights(q, k, **options)[0] > 0
        touched = rows[0] | (sees & np.repeat(rows[1] | rows[2], 2, axis=1)[:, :, None]).any(axis=-1)
        reached = (sees & touched[..., None]).any(axis=-2).reshape(2, 2, 2, 7).any(axis=2)
        for x, y, spoilt in zip(got, good, (touched, touched, reached, reached)):
            assert np.abs(x - y)[~spoilt].max(initial=0) <= 1e-13
        assert not np.isnan(bad) or np.isnan(out[touched & sees.any(axis=-1)]).any(axis=-1).all()


def test_point_11_padding_full_of_nan_and_inf_runs_clean_and_changes_nothing(rng):
    q, k, v = draw(rng, (3, 2, 5, 4), (3, 2, 7, 4), (3, 2, 7, 3))
    mask = np.arange(7) < np.array([7, 3, 0])[:, None, None, None]
    hole = np.broadcast_to(~mask, (3, 2, 1, 7)).swapaxes(-1, -2)
    clean = run(q, np.where(hole, 0, k), np.where(hole, 0, v), mask=mask)
    for junk in np.nan, np.inf, -np.inf:
        assert close(run(q, np.where(hole, junk, k), np.where(hole, junk, v), mask=mask), clean)


@pytest.mark.parametrize("options", [{}, {"mask": np.ones((3, 4), bool)}, {"causal": "bottom-right"}])
def test_point_11_otherwise_nan_and_inf_propagate_as_in_arithmetic(options):
    q, k, v = np.ones((3, 2)), np.zeros((4, 2)), np.ones((4, 2))
    v[0] = np.nan, np.inf
    out, _ = attention(q, k, v, **options)
    assert np.isnan(out[:, 0]).all() and np.isposinf(out[:, 1]).all()
    k[0, 0] = np.nan
    assert np.isnan(attention(q, k, np.ones((4, 2)), **options)[0]).all()
