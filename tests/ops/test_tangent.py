"""Forward mode: against the complex step, against the pullback, and second derivatives by both."""
import numpy as np
import pytest
from ops.loops import NAMES, draw

from minitf import attention, attention_tangent

H = 1e-30                                               # a complex step: exact to rounding


def velocities(rng, args):
    return {name: rng.standard_normal(x.shape) for name, x in args.items()}


def tangent(args, dots, options, lse=True):
    with np.errstate(all="raise"):
        return attention_tangent(**args, **{f"{name}_dot": x for name, x in dots.items()}, **options, lse=lse)


def at(args, dots):
    """The arguments, moved by an imaginary step."""
    return {name: x + 1j * H * dots[name] for name, x in args.items()}


def close(x, y, tol=1e-13):
    return x.shape == y.shape and np.linalg.norm(x - y) <= tol * max(np.linalg.norm(y), 1e-3)


@pytest.mark.parametrize("names", [[name] for name in NAMES] + [list(NAMES)] + list(range(20)), ids=str)
def test_velocities_are_those_of_the_complex_step(names, rng):
    rng = np.random.default_rng(names if isinstance(names, int) else len(names))
    heads = [(4, 2), (2, 2), (None, None)][rng.integers(3)]
    lead = () if heads[0] is None else (2,)
    args, options = draw(rng, lead, heads, some=names if isinstance(names, list) else None)
    dots = velocities(rng, args)
    (out, lse), (out_dot, lse_dot) = tangent(args, dots, options)
    (moved, moved_lse), _ = attention(**at(args, dots), **options, lse=True)
    plain = attention(**args, **options, lse=True)[0]
    assert all(np.array_equal(x, y) for x, y in zip((out, lse), plain))
    assert close(out_dot, moved.imag / H) and close(lse_dot, moved_lse.imag / H)


@pytest.mark.parametrize("seed", range(20))
def test_forward_and_backward_are_transposes(seed):
    """<dout, J v> = <J^T dout, v>, both by hand."""
    rng = np.random.default_rng(seed)
    args, options = draw(rng)
    dots = velocities(rng, args)
    (out, lse), (out_dot, lse_dot) = tangent(args, dots, options)
    dout, dlse = rng.standard_normal(out.shape), rng.standard_normal(lse.shape)
    grads = attention(**args, **options, lse=True)[1]((dout, dlse))
    left = (dout * out_dot).sum() + (dlse * lse_dot).sum()
    parts = [(g * dots[name]).sum() for name, g in zip(args, grads, strict=True)]
    assert abs(left - sum(parts)) <= 1e-13 * (sum(map(abs, parts)) + np.abs(dout * out_dot).sum())


@pytest.mark.parametrize("seed", range(8))
def test_a_hessian_vector_product_is_the_tangent_of_the_pullback(seed):
    """H v: the pullback at an imaginary step along v. Its twin: <u, H v> moves <dout, J v> along u; and H is symmetric."""
    rng = np.random.default_rng(seed)
    args, options = draw(rng)
    u, v = velocities(rng, args), velocities(rng, args)
    (out, lse), _ = attention(**args, **options, lse=True)
    cotangent = rng.standard_normal(out.shape), np.where(np.isneginf(lse), 0, rng.standard_normal(lse.shape))

    def product(v):
        grads = attention(**at(args, v), **options, lse=True)[1](cotangent)
        return {name: g.imag / H for name, g in zip(args, grads, strict=True)}

    def inner(a, b):
        return sum((a[name] * b[name]).sum() for name in args)

    (_, _), (out_dot, lse_dot) = attention_tangent(**at(args, u), **{f"{n}_dot": x for n, x in v.items()}, **options, lse=True)
    twin = sum((x * y.imag / H).sum() for x, y in zip(cotangent, (out_dot, lse_dot)))
    Hv, Hu = product(v), product(u)
    size = sum(np.linalg.norm(Hv[name]) * np.linalg.norm(u[name]) for name in args)
    assert abs(inner(u, Hv) - twin) <= 1e-12 * size and abs(inner(v, Hu) - inner(u, Hv)) <= 1e-12 * size
    assert size > 1e-2


def test_without_lse_and_without_velocities_of_bias_and_sinks(rng):
    args, options = draw(rng, some=["bias", "sinks", "window"])
    dots = velocities(rng, args)
    still = dots | {"bias": np.zeros_like(args["bias"]), "sinks": np.zeros(4)}
    few = {name: dots[name] for name in "qkv"}
    out, out_dot = tangent(args, few, options, lse=False)
    assert np.array_equal(out_dot, tangent(args, still, options)[1][0])
    assert np.array_equal(out, attention(**args, **options)[0])


@pytest.mark.parametrize("bad, name, error", [
    ({"q": np.ones((5, 2))}, "q_dot", ValueError), ({"bias": np.ones((5, 7))}, "bias_dot", ValueError),
    ({"sinks": np.ones(4)}, "sinks_dot", ValueError), ({"v": "x"}, "v_dot", TypeError)])
def test_bad_velocities_are_named(bad, name, error, rng):
    args, options = draw(rng, some=[])
    with pytest.raises(error, match=f"^{name}: expected .*, got "):
        tangent(args, velocities(rng, args) | bad, options)


def test_masked_nan_reaches_nothing(rng):
    q, k, v, q_dot, k_dot, v_dot = rng.standard_normal((6, 5, 3))
    mask = np.arange(5) != 2
    clean = attention_tangent(q, k, v, q_dot, k_dot, v_dot, mask=mask)
    for x in k, v, k_dot, v_dot:
        x[2] = np.nan
    assert all(np.array_equal(x, y) for x, y in zip(attention_tangent(q, k, v, q_dot, k_dot, v_dot, mask=mask), clean))
