"""The arguments of attention, checked: masks, corners, shared key heads."""
import math

import numpy as np

from minitf.checks import floats, real, require


def stack(x, shared):
    """Put the `shared` query heads of a key head below each other: (..., H, n, w) -> (..., H/shared, shared n, w)."""
    return x if shared == 1 else x.reshape(*x.shape[:-3], x.shape[-3] // shared, shared * x.shape[-2], x.shape[-1])


def unstack(x, shared):
    """Undo stack."""
    return x if shared == 1 else x.reshape(*x.shape[:-3], shared * x.shape[-3], x.shape[-2] // shared, x.shape[-1])


def cotangent(dout, shape):
    """Return dout as an array; it must have the shape of the output."""
    dout = floats("dout", dout)
    require(dout.shape == shape, "dout", f"shape {shape}", dout)
    return dout


def prepare(q, k, v, mask, causal, scale):
    """Check the arguments; return stacked q, k, v of one dtype, H/G, scale, and the mask as bias and blocked pairs."""
    q, k, v, shared, scale, mask, reach = check(q, k, v, mask, causal, scale)
    Tq, Tk = q.shape[-2], k.shape[-2]
    bias, blocked = (None, None) if mask is None else split(mask, q.real.dtype)
    if reach is not None:
        future = np.arange(Tk) > np.arange(Tq)[:, None] + reach
        blocked = future if blocked is None else blocked | future
    bias, blocked = (x if x is None else spread(x, shared, Tq, Tk) for x in (bias, blocked))
    return stack(q, shared), k, v, shared, scale, bias, blocked


def check(q, k, v, mask, causal, scale):
    """Check the arguments; return q, k, v of one dtype, H/G, scale, mask (array or None), reach (`corner`)."""
    q, k, v = floats("q", q), floats("k", k), floats("v", v)
    require(q.ndim >= 2 and q.shape[-1] > 0, "q", "shape (..., H, Tq, d) or (Tq, d) with d >= 1", q)
    for name, x in ("k", k), ("v", v):
        same = x.ndim == 2 if q.ndim == 2 else x.ndim > 2
        require(same, name, f"{'2' if q.ndim == 2 else '3 or more'} axes, as q {q.shape} has", x)
    require(k.shape[-1] == q.shape[-1], "k", f"width {q.shape[-1]}, as q has", k)
    require(v.shape[-2] == k.shape[-2], "v", f"{k.shape[-2]} rows, as k has", v)
    H, G = q.shape[-3:-2], k.shape[-3:-2]
    require(v.shape[-3:-2] == G, "v", f"{G and G[0]} heads, as k has", v)
    require(H == G or H[0] and G[0] and H[0] % G[0] == 0, "k", f"a number of heads that divides {H and H[0]}", k)
    shapes = q.shape[:-3], k.shape[:-3], v.shape[:-3]
    require(broadcasts(*shapes), "q, k, v", "leading axes that broadcast", shapes)
    shared, Tq, Tk = 1 if H == G else H[0] // G[0], q.shape[-2], k.shape[-2]
    dtype = np.result_type(q, k, v)
    q, k, v = (x.astype(dtype, copy=False) for x in (q, k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else real("scale", scale)
    if mask is not None:
        mask, scores = np.asarray(mask), (*np.broadcast_shapes(*shapes[:2]), *H, Tq, Tk)
        kinds = "booleans (True = may attend), or float32 or float64 numbers to add"
        require(mask.dtype in (np.bool_, np.float32, np.float64), "mask", kinds, mask, TypeError)
        fits = broadcasts(mask.shape, scores) and np.broadcast_shapes(mask.shape, scores) == scores
        require(fits, "mask", f"a shape that broadcasts to the scores {scores}", mask)
    return q, k, v, shared, scale, mask, corner(causal, Tq, Tk)


def broadcasts(*shapes):
    """Do the shapes broadcast?"""
    try:
        return np.broadcast_shapes(*shapes) is not None
    except ValueError:
        return False


def corner(causal, Tq, Tk):
    """Return r where causal order lets query i attend to keys 0..i+r; None without causal order."""
    known = isinstance(causal, (bool, np.bool_)) or isinstance(causal, str) and causal in ("top-left", "bottom-right")
    require(known, "causal", 'False, True, "top-left" or "bottom-right"', causal)
    if not causal:
        return None
    named = isinstance(causal, str) or Tq == Tk
    require(named, "causal", f'"top-left" or "bottom-right" with {Tq} queries and {Tk} keys', causal)
    return Tk - Tq if causal == "bottom-right" else 0


def split(mask, dtype):
    """Split a mask for scores of this dtype: its finite part or None, its blocked pairs."""
    if mask.dtype == np.bool_:
        return None, ~mask
    blocked = np.isneginf(mask)
    with np.errstate(over="ignore"):
        bias = np.where(blocked, 0, mask).astype(dtype)
    require(bool(np.isfinite(bias).all()), "mask", f"-inf, or numbers finite in {dtype}", mask)
    return bias, blocked


def spread(x, shared, Tq, Tk):
    """Broadcast a part of the mask over all pairs, and stack it like the queries."""
    x = np.broadcast_to(x, x.shape[:-2] + (Tq, Tk))
    if shared > 1 and x.shape[-3:-2] in ((), (1,)):
        x = np.broadcast_to(x, x.shape[:-3] + (shared, Tq, Tk))
    return stack(x, shared)
