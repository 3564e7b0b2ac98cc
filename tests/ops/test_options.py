"""bias, sinks, windows, segments, keep and lse: each alone and together, against loops in floats and in 50 digits."""
import zlib

import mpmath
import numpy as np
import pytest
from ops.loops import NAMES, Digits, draw, loops

from minitf import attention, attention_blocked, attention_weights, check_pullback

SHAPES = [dict(), dict(lead=(), heads=(3, 1), Tq=6, Tk=4), dict(lead=(), heads=(None, None), Tq=4, Tk=6),
          dict(lead=(2, 1), heads=(2, 2), Tq=1, Tk=5), dict(heads=(2, 2), Tq=3, Tk=0), dict(heads=(2, 1), Tq=0, Tk=3)]


def run(op, args, options, dout, dlse, **more):
    """A dict of outputs and gradients, under raised floating-point errors, underflow included."""
    with np.errstate(all="raise"):
        (out, lse), pullback = op(**args, **options, lse=True, **more)
        grads = pullback((dout, dlse))
    names = [f"d{name}" for name in ("q", "k", "v", "bias", "sinks") if name in args]
    return {"out": out, "lse": lse} | dict(zip(names, grads, strict=True))


def cotangents(rng, args):
    shape = args["q"].shape[:-1]
    return rng.standard_normal((*shape, args["v"].shape[-1])), rng.standard_normal(shape)


def same(found, expected, tol=1e-13):
    """Same names and shapes, same places of -inf, close in norm, and exact zeros where the reference has them."""
    assert found.keys() == expected.keys()
    for name, x in found.items():
        y = np.array(expected[name], float)
        assert x.shape == y.shape, name
        infinite = np.isneginf(y)
        assert np.array_equal(np.isneginf(x), infinite), name
        assert np.linalg.norm(x[~infinite] - y[~infinite]) <= tol * np.linalg.norm(y[~infinite]), name
        if name in ("out", "dq", "dk", "dv"):
            assert not x[y == 0].any(), name


@pytest.mark.every(3)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("names", [[name] for name in NAMES] + [list(NAMES)] + [None, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_values_and_gradients_are_those_of_the_loops(names, shape):
    rng = np.random.default_rng(zlib.crc32(f"{names} {shape}".encode()))
    args, options = draw(rng, some=names if isinstance(names, list) else None, **shape)
    dout, dlse = cotangents(rng, args)
    expected = loops(args, options, dout, dlse)
    same(run(attention, args, options, dout, dlse), expected)
    for block in 1, 2, 100:
        same(run(attention_blocked, args, options, dout, dlse, block=block), expected)
    A, lse = attention_weights(args["q"], args["k"], **{n: x for n, x in args.items() if n in ("bias", "sinks")},
                               **{n: x for n, x in options.items() if n != "keep"})
    assert np.array_equal(lse, run(attention, args, options, dout, dlse)["lse"])
    if "keep" not in options:
        share = len(args["v"].shape) > 2 and args["q"].shape[-3] // args["v"].shape[-3] or 1
        v = args["v"] if share == 1 else np.repeat(args["v"], share, axis=-3)
        assert np.linalg.norm(A @ v - np.array(expected["out"], float)) <= 1e-13 * np.linalg.norm(v)


@pytest.mark.slow
def test_hundreds_of_random_combinations_against_the_blocked_form(rng):
    for _ in range(300):
        heads = [(1, 1), (2, 2), (4, 2), (None, None)][rng.integers(4)]
        lead = () if heads[0] is None else [(), (2,)][rng.integers(2)]
        args, options = draw(rng, lead, heads, *rng.integers(0, 7, 2))
        dout, dlse = cotangents(rng, args)
        same(run(attention_blocked, args, options, dout, dlse, block=int(rng.integers(1, 4))),
             run(attention, args, options, dout, dlse))


@pytest.mark.parametrize("size", [1, 20, 300])
@pytest.mark.parametrize("seed", range(6))
def test_error_against_50_digits(seed, size):
    """The sink at, above and below the row's maximum; scores of every size. Values and all gradients, in norm."""
    rng = np.random.default_rng(seed)
    names = [["sinks"], ["bias", "sinks"], ["bias", "window"], ["keep", "sinks"], ["segments", "sinks"], list(NAMES)][seed]
    args, options = draw(rng, (), (2, 1), 3, 4, names)
    args["q"] = args["q"] * size
    for sink in (0.0, 20.0, 100.0, -50.0) if "sinks" in names else (None,):
        if sink is not None:
            args["sinks"] = np.array([sink, sink / 2])
        dout, dlse = cotangents(rng, args)
        with mpmath.workdps(50):
            expected = loops(args, options, dout, dlse, Digits)
            found = run(attention, args, options, dout, dlse)
            scores = np.abs(args["q"] @ np.repeat(args["k"], 2, 0).swapaxes(-1, -2)).max() + 4 + abs(sink or 0)
            tol = 1e-13 if scores <= 10 else 16 * 2.0 ** -53 * scores
            for name, x in found.items():
                y = expected[name]
                finite = ~np.isneginf(x)
                apart = mpmath.norm([mpmath.mpf(float(a)) - b for a, b in zip(x[finite], y[finite])] or [0])
                whole = mpmath.norm(list(y[finite]) or [0])
                assert apart <= tol * whole or whole < 1e-290, (name, sink, float(apart / whole))


@pytest.mark.parametrize("names", [["bias"], ["sinks"], ["bias", "sinks", "keep", "window", "segments", "softcap"]])
@pytest.mark.parametrize("op", [attention, attention_blocked])
def test_pullback_is_the_derivative(op, names, rng):
    args, options = draw(rng, some=names)
    keys = list(args)

    def ordered(*arrays):
        return op(**dict(zip(keys, arrays)), **options, lse=True)
    check_pullback(ordered, tuple(args.values()), rng)


@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (1, 4, 5, 7), (2, 1, 5, 7), (2, 4, 5, 7), (1, 1, 1, 7), (7,), (5, 1), ()])
def test_point_12_dbias_is_the_sum_of_the_gradients_of_its_copies(shape, rng):
    args, options = draw(rng, some=["sinks", "window"])
    bias = rng.standard_normal(shape)
    dout, dlse = cotangents(rng, args)
    small = run(attention, args | {"bias": bias}, options, dout, dlse)
    wide = run(attention, args | {"bias": np.broadcast_to(bias, (2, 4, 5, 7)).copy()}, options, dout, dlse)
    copies = wide.pop("dbias").reshape(-1, *((1,) * (4 - len(shape)) + shape)[-4:]) if shape == (2, 4, 5, 7) else wide.pop("dbias")
    summed = copies.reshape(2, 4, 5, 7).sum(axis=tuple(range(4 - len(shape)))) if len(shape) < 4 else copies.reshape(2, 4, 5, 7)
    summed = summed.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)
    found = small.pop("dbias")
    assert found.shape == shape and np.linalg.norm(found - summed) <= 1e-14 * np.linalg.norm(copies)
    assert all(np.array_equal(x, wide[name]) for name, x in small.items())


def test_point_12_alibi_as_a_bias_is_alibi_as_a_mask(rng):
    q, k, v = rng.standard_normal((3, 2, 4, 6, 3))
    slopes = 2.0 ** -np.arange(1, 5)
    alibi = -slopes[:, None, None] * np.abs(np.arange(6)[:, None] - np.arange(6))
    biased, masked = attention(q, k, v, bias=alibi, causal=True)[0], attention(q, k, v, mask=alibi, causal=True)[0]
    assert np.array_equal(biased, masked)


def test_point_12_the_bias_comes_after_the_softcap(rng):
    q, k, v = rng.standard_normal((3, 5, 4))
    bias = 10 * rng.standard_normal((5, 5))
    A, _ = attention_weights(q, k, softcap=1.0, bias=bias, scale=1)
    S = np.tanh(q @ k.T) + bias
    assert np.allclose(A, np.exp(S) / np.exp(S).sum(axis=1, keepdims=True), rtol=1e-14)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"softcap": 2.0, "scale": 3.0}])
def test_point_13_a_sink_is_one_more_key_of_that_score_with_value_zero(options, rng):
    """A key in a width of its own: its score is the sink's, whatever the query; the cap is taken off beforehand."""
    q, k, v = rng.standard_normal((3, 2, 5, 4))
    sinks, dout, dlse = np.array([0.7, -1.3]), rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 5))
    found = run(attention, dict(q=q, k=k, v=v, sinks=sinks), options, dout, dlse)
    scale, c = options.get("scale", 0.5), options.get("softcap")
    score = sinks if c is None else c * np.arctanh(sinks / c)
    wide_q = np.concatenate([q, np.ones((2, 5, 1))], axis=2)
    wide_k = np.concatenate([np.concatenate([k, np.zeros((2, 5, 1))], axis=2),
                             np.concatenate([np.zeros((2, 1, 4)), score[:, None, None] / scale], axis=2)], axis=1)
    wide_v = np.concatenate([v, np.zeros((2, 1, 4))], axis=1)
    may = np.concatenate([np.tri(5, dtype=bool) if "causal" in options else np.ones((5, 5), bool), np.ones((5, 1), bool)], axis=1)
    more = {"scale": scale, "mask": may} | ({} if c is None else {"softcap": c})
    twin = run(attention, dict(q=wide_q, k=wide_k, v=wide_v), more, dout, dlse)
    dscore = twin["dk"][:, 5, 4] / scale
    slope = 1 if c is None else 1 / (1 - (sinks / c) ** 2)
    close = lambda x, y: np.linalg.norm(x - y) <= 1e-13 * np.linalg.norm(y)
    assert close(found["out"], twin["out"]) and close(found["lse"], twin["lse"])
    assert close(found["dq"], twin["dq"][..., :4]) and close(found["dk"], twin["dk"][:, :5, :4])
    assert close(found["dv"], twin["dv"][:, :5]) and close(found["dsinks"], dscore * slope)


@pytest.mark.parametrize("sink", [-np.inf, -1e4])
def test_point_13_a_sink_of_minus_infinity_is_none(sink, rng):
    args, options = draw(rng, some=["window", "bias"])
    options["mask"] = np.arange(5)[:, None] != 2
    dout, dlse = cotangents(rng, args)
    none = run(attention, args, options, dout, dlse)
    sunk = run(attention, args | {"sinks": np.full(4, sink)}, options, dout, dlse)
    met = ~np.isneginf(none["lse"])
    assert not met.all()
    dsinks = sunk.pop("dsinks")
    assert np.array_equal(sunk.pop("lse")[met], none.pop("lse")[met])
    assert all(np.array_equal(x, none[name]) for name, x in sunk.items())
    expected = 0 if sink == -np.inf else np.where(met, 0, dlse).sum(axis=(0, 2))
    assert np.allclose(dsinks, expected, rtol=1e-14, atol=0)


def test_points_4_and_13_a_query_without_keys_gives_dlse_to_its_sink_and_nothing_else(rng):
    q, k, v = rng.standard_normal((3, 2, 5, 4))
    dout, dlse = rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 5))
    sinks = np.array([0.3, 40.0])
    for options in ({"mask": np.zeros((5, 5), bool)}, {"segments": (np.zeros(5, int), np.ones(5, int))}):
        found = run(attention, dict(q=q, k=k, v=v, sinks=sinks), options, dout, dlse)
        assert np.array_equal(found["dsinks"], dlse.sum(axis=1)) or np.allclose(found["dsinks"], dlse.sum(axis=1), rtol=1e-15)
        assert np.array_equal(found["lse"], np.broadcast_to(sinks[:, None], (2, 5)))
        assert not any(found[name].any() for name in ("out", "dq", "dk", "dv"))
        nothing = dict(q=q, k=k, v=v, bias=np.ones((5, 5)))
        bare = run(attention, nothing, options, dout, np.full((2, 5), np.nan))           # rows of -inf add nothing
        assert np.isneginf(bare["lse"]).all()
        assert not any(bare[name].any() for name in ("out", "dq", "dk", "dv", "dbias"))


@pytest.mark.parametrize("dtype, sink", [(np.float64, 1e3), (np.float64, 1e6), (np.float32, 100.0)])
def test_point_13_a_sink_far_above_the_scores_takes_all_the_weight(dtype, sink, rng):
    q, k, v, dout = rng.standard_normal((4, 5, 4)).astype(dtype)
    dlse = rng.standard_normal(5).astype(dtype)
    for above in dtype(sink), dtype(40):                                 # exp overflows; exp does not
        found = run(attention, dict(q=q, k=k, v=v, sinks=np.array(above)), {}, dout, dlse)
        assert np.array_equal(found["lse"], np.full(5, above)) and np.abs(found["out"]).max() <= 1e-15
        assert np.allclose(found["dsinks"], dlse.sum(), rtol=1e-5) and np.abs(found["dq"]).max() <= 1e-15


@pytest.mark.parametrize("Tq, Tk", [(6, 6), (4, 7), (7, 4)])
def test_point_14_windows(Tq, Tk, rng):
    args, _ = draw(rng, Tq=Tq, Tk=Tk, some=["sinks"])
    dout, dlse = cotangents(rng, args)

    def bits(**options):
        return [x.tobytes() for x in run(attention, args, options, dout, dlse).values()]
    n = max(Tq, Tk)
    for corner, shift in ("top-left", 0), ("bottom-right", Tk - Tq):
        assert bits(window=(n, n, corner)) == bits(window=(None, None)) == bits()
        assert bits(window=(None, 0, corner)) == bits(causal=corner)
        assert bits(window=(2, 1), causal=corner) == bits(window=(2, 0, corner))
        i, j = np.arange(Tq)[:, None], np.arange(Tk)
        for left, right in (0, 0), (2, 1), (1, None), (None, 3):
            seen = (j >= i + shift - (n if left is None else left)) & (j <= i + shift + (n if right is None else right))
            assert bits(window=(left, right, corner)) == bits(mask=seen)
    if Tq == Tk:
        assert bits(window=(2, 1)) == bits(window=(2, 1, "bottom-right"))
    else:
        with pytest.raises(ValueError, match=f"^window: expected a corner, .* with {Tq} queries and {Tk} keys, got "):
            bits(window=(2, 1))


def test_point_14_segments_are_the_block_diagonal_mask_bit_for_bit(rng):
    args, _ = draw(rng, some=["bias"])
    dout, dlse = cotangents(rng, args)
    ids = rng.integers(-1, 2, (2, 5)), np.sort(rng.integers(0, 3, (2, 7)))
    alike = (ids[0][:, :, None] == ids[1][:, None])[:, None]
    packed, masked = (run(attention, args, o, dout, dlse) for o in ({"segments": ids}, {"mask": alike}))
    assert all(np.array_equal(packed[name], masked[name]) for name in packed)
    assert np.isneginf(packed["lse"][:, 0][ids[0] == -1]).all()


def test_point_14_a_packed_sequence_is_its_sequences_alone(rng):
    q, k, v, dout = rng.standard_normal((4, 2, 9, 3))
    ids = np.repeat([5, 2, 7], [4, 0, 5])
    out, pullback = attention(q, k, v, segments=(ids, ids))
    grads = pullback(dout)
    for some in slice(0, 4), slice(4, 9):
        alone, back = attention(q[:, some], k[:, some], v[:, some])
        for x, y in zip((out, *grads), (alone, *back(dout[:, some]))):
            assert np.linalg.norm(x[:, some] - y) <= 1e-14 * np.linalg.norm(y)


def test_point_15_keep(rng):
    args, options = draw(rng, some=["sinks", "window"])
    dout, dlse = cotangents(rng, args)
    none = run(attention, args, options, dout, dlse)
    ones = run(attention, args, options | {"keep": np.ones((5, 7))}, dout, dlse)
    assert all(np.array_equal(none[name], ones[name]) for name in none)
    gone = run(attention, args, options | {"keep": np.zeros(())}, dout, 0 * dlse)
    assert np.array_equal(gone["lse"], none["lse"]) and not any(gone[n].any() for n in gone if n != "lse")


def test_point_16_two_halves_merged_by_their_lse_are_the_whole(rng):
    """Ring attention: the merge is differentiated by hand through both outputs and both lse."""
    args, options = draw(rng, lead=(2,), heads=(4, 2), Tq=5, Tk=8, some=["bias"])
    args["bias"] = rng.standard_normal((2, 4, 5, 8))
    dout, dlse = cotangents(rng, args)
    whole = run(attention, args, {}, dout, dlse)
    cut = [{n: x if n == "q" else x[..., s] if n == "bias" else x[..., s, :] for n, x in args.items()}
           for s in (slice(0, 3), slice(3, 8))]
    parts = [attention(**some, lse=True) for some in cut]
    lse = np.logaddexp(*(L for (_, L), _ in parts))
    w = [np.exp(L - lse)[..., None] for (_, L), _ in parts]
    out = sum(x * o for x, ((o, _), _) in zip(w, parts))
    grads = []
    for x, ((o, _), back) in zip(w, parts):
        pull = ((o - out) * dout).sum(axis=-1) + dlse
        grads.append(back((x * dout, x[..., 0] * pull)))
    merged = {"out": out, "lse": lse, "dq": grads[0][0] + grads[1][0]}
    merged |= {name: np.concatenate([g[i] for g in grads], axis=axis) for i, name, axis in ((1, "dk", -2), (2, "dv", -2), (3, "dbias", -1))}
    for name, x in whole.items():
        assert np.linalg.norm(merged[name] - x) <= 1e-13 * np.linalg.norm(x), name


def test_point_16_the_gradient_of_lse_alone_is_the_weights(rng):
    q, k, v = rng.standard_normal((3, 5, 4))
    (_, _), pullback = attention(q, k, v, lse=True, scale=1)
    dq, dk, dv = pullback((np.zeros((5, 4)), np.ones(5)))
    A, _ = attention_weights(q, k, scale=1)
    assert np.allclose(dq, A @ k, rtol=1e-14) and np.allclose(dk, A.T @ q, rtol=1e-13, atol=1e-14) and not dv.any()


@pytest.mark.parametrize("name, bad, error", [
    ("bias", np.ones((3, 7)), ValueError), ("bias", np.full((5, 7), np.inf), ValueError), ("bias", "x", TypeError),
    ("sinks", np.ones(3), ValueError), ("sinks", 1.0, ValueError), ("sinks", np.full(4, np.nan), ValueError),
    ("sinks", np.full(4, np.inf), ValueError), ("window", 3, ValueError), ("window", (1,), ValueError),
    ("window", (-1, 0, "top-left"), ValueError), ("window", (1.0, 0, "top-left"), TypeError),
    ("window", (1, 0, "left"), ValueError), ("window", (1, 0), ValueError), ("segments", np.zeros((5, 7)), ValueError),
    ("segments", (np.zeros((2, 5)), np.zeros((2, 7), int)), TypeError), ("segments", (np.zeros(5, int),), ValueError),
    ("segments", (np.zeros(7, int), np.zeros(5, int)), ValueError),
    ("segments", (np.zeros((4, 5), int), np.zeros((4, 7), int)), ValueError),
    ("keep", np.full((5, 7), np.nan), ValueError), ("keep", np.ones((6, 7)), ValueError), ("keep", np.ones((5, 7), complex), TypeError),
])
@pytest.mark.parametrize("op", [attention, attention_blocked])
def test_bad_options_are_named(op, name, bad, error, rng):
    args, _ = draw(rng, some=[])
    with pytest.raises(error, match=f"^{name}: expected .*, got "):
        op(**args, **{name: bad})


def test_the_cotangent_of_a_pair_is_a_pair(rng):
    args, _ = draw(rng, some=[])
    _, pullback = attention(**args, lse=True)
    with pytest.raises(ValueError, match=r"^dout: expected the pair \(dout, dlse\), got "):
        pullback(np.ones((2, 4, 5, 2)))
    with pytest.raises(ValueError, match=r"^dlse: expected shape \(2, 4, 5\), got "):
        pullback((np.ones((2, 4, 5, 2)), np.ones((2, 4, 5, 1))))


def test_float32_stays_float32_and_the_widest_argument_decides(rng):
    args, options = draw(rng, some=list(NAMES))
    small = {name: x.astype(np.float32) for name, x in args.items()}
    dout, dlse = cotangents(rng, args)
    found = run(attention, small, options, dout.astype(np.float32), dlse.astype(np.float32))
    assert {x.dtype for x in found.values()} == {np.dtype(np.float32)}
    same({n: x.astype(float) for n, x in found.items()}, run(attention, args, options, dout, dlse), 2e-6)
    assert attention(**(small | {"bias": args["bias"]}), **options)[0].dtype == np.float64
