"""The arguments of attention: checked, cut into blocks, and who may meet whom.

    a = check(q, k, v, mask=..., ...)       all that attention has to know
    blocked_pairs(a)                        where no query and key may meet
    part(a, rows, keys)                     the arguments of some queries and some keys
"""
import functools
import math
from typing import Any, NamedTuple

import numpy as np

from minitf.checks import array, floats, integer, positive, real, require

CORNERS = "top-left", "bottom-right"


class Arguments(NamedTuple):
    """Checked arguments; q, k, v, bias, sinks of one dtype, arrays that were not given None.

    band      (low, high): query i may attend to keys i + low .. i + high
    segments  (query ids, key ids), or None
    shared    how many query heads read each key head
    """
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    bias: Any
    sinks: Any
    mask: Any
    keep: Any
    band: tuple
    segments: Any
    shared: int
    scale: float
    softcap: Any


def check(q, k, v, *, mask=None, bias=None, sinks=None, causal=False, window=None, segments=None,
          keep=None, scale=None, softcap=None):
    """Check the arguments of attention; return them as Arguments."""
    q, k, v = floats("q", q), floats("k", k), floats("v", v)
    shared = check_shapes(q, k, v)
    dtype = np.result_type(q, k, v)
    if bias is not None:
        bias = fitting("bias", floats("bias", bias, finite=True), q, k)
        dtype = np.result_type(dtype, bias)
    if sinks is not None:
        sinks = floats("sinks", sinks)
        H = q.shape[-3:-2]
        require(sinks.shape == H, "sinks", f"shape {H}, one a query head", sinks)
        bad = np.isnan(sinks) | np.isposinf(sinks.real)
        require(not bad.any(), "sinks", "finite numbers or -inf", sinks)
        dtype = np.result_type(dtype, sinks)
    q, k, v, bias, sinks = (x if x is None else x.astype(dtype, copy=False)
                            for x in (q, k, v, bias, sinks))
    mask = None if mask is None else check_mask(mask, q, k)
    keep = None if keep is None else check_keep(keep, q, k)
    band = band_of(causal, window, q.shape[-2], k.shape[-2])
    segments = None if segments is None else check_segments(segments, q, k)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else real("scale", scale)
    if softcap is not None:
        softcap = positive("softcap", softcap)
    return Arguments(q, k, v, bias, sinks, mask, keep, band, segments, shared, scale, softcap)


def check_shapes(q, k, v):
    """Check how q, k and v fit together; return how many query heads share a key head."""
    require(q.ndim >= 2 and q.shape[-1] > 0, "q", "shape (..., H, Tq, d) or (Tq, d) with d >= 1", q)
    for name, x in ("k", k), ("v", v):
        same = x.ndim == 2 if q.ndim == 2 else x.ndim > 2
        require(same, name, f"{'2' if q.ndim == 2 else '3 or more'} axes, as q {q.shape} has", x)
    require(k.shape[-1] == q.shape[-1], "k", f"width {q.shape[-1]}, as q has", k)
    require(v.shape[-2] == k.shape[-2], "v", f"{k.shape[-2]} rows, as k has", v)
    H, G = q.shape[-3:-2], k.shape[-3:-2]
    require(v.shape[-3:-2] == G, "v", f"{G and G[0]} heads, as k has", v)
    divides = H == G or H[0] and G[0] and H[0] % G[0] == 0
    require(divides, "k", f"a number of heads that divides {H and H[0]}", k)
    leads = q.shape[:-3], k.shape[:-3], v.shape[:-3]
    fit = leads[0] == leads[1] == leads[2] or broadcasts(*leads)
    require(fit, "q, k, v", "leading axes that broadcast", leads)
    return 1 if H == G else H[0] // G[0]


def broadcasts(*shapes):
    """Do the shapes broadcast?"""
    try:
        return np.broadcast_shapes(*shapes) is not None
    except ValueError:
        return False


def fitting(name, x, q, k):
    """Return x, which must broadcast to the scores."""
    lead = np.broadcast_shapes(q.shape[:-3], k.shape[:-3])
    scores = *lead, *q.shape[-3:-1], k.shape[-2]
    fits = broadcasts(x.shape, scores) and np.broadcast_shapes(x.shape, scores) == scores
    require(fits, name, f"a shape that broadcasts to the scores {scores}", x)
    return x


def check_mask(mask, q, k):
    """Return the mask as an array of booleans or of numbers to add."""
    mask = array("mask", mask)
    kinds = "booleans (True = may attend), or float32 or float64 numbers to add"
    require(mask.dtype in (np.bool_, np.float32, np.float64), "mask", kinds, mask, TypeError)
    return fitting("mask", mask, q, k)


def check_keep(keep, q, k):
    """Return the factors of the weights in the dtype of the scores."""
    keep = floats("keep", keep, finite=True)
    require(keep.dtype.kind == "f", "keep", "real numbers", keep, TypeError)
    return fitting("keep", keep.astype(q.real.dtype, copy=False), q, k)


def check_segments(segments, q, k):
    """Return (query ids, key ids) as integer arrays (batch axes, Tq) and (batch axes, Tk)."""
    pair = isinstance(segments, (tuple, list)) and len(segments) == 2
    require(pair, "segments", "a pair (query ids, key ids)", segments)
    ids = [array("segments", x) for x in segments]
    lead, Tq, Tk = np.broadcast_shapes(q.shape[:-3], k.shape[:-3]), q.shape[-2], k.shape[-2]
    for x, T in zip(ids, (Tq, Tk)):
        require(x.dtype.kind in "iu", "segments", "integers", x, TypeError)
        fits = x.shape[-1:] == (T,) and broadcasts(x.shape[:-1], lead)
        fits = fits and np.broadcast_shapes(x.shape[:-1], lead) == lead
        require(fits, "segments", f"shapes {(*lead, Tq)} and {(*lead, Tk)}, without a head axis", x)
    return tuple(ids)


def band_of(causal, window, Tq, Tk):
    """Return (low, high): by causal order and window, query i may meet keys i + low .. i + high."""
    known = isinstance(causal, (bool, np.bool_)) or isinstance(causal, str) and causal in CORNERS
    require(known, "causal", 'False, True, "top-left" or "bottom-right"', causal)
    low, high, shift = -Tq, Tk, {"top-left": 0, "bottom-right": Tk - Tq}
    both = f'"top-left" or "bottom-right" with {Tq} queries and {Tk} keys'
    if causal:
        require(isinstance(causal, str) or Tq == Tk, "causal", both, causal)
        high = shift.get(causal, 0)
    if window is None:
        return low, high
    given = isinstance(window, (tuple, list)) and len(window) in (2, 3)
    require(given, "window", "(left, right) or (left, right, corner)", window)
    left, right = (x if x is None else integer("window", x, 0) for x in window[:2])
    corner = window[2] if len(window) == 3 else causal if isinstance(causal, str) else "top-left"
    known = isinstance(corner, str) and corner in CORNERS
    require(known, "window", 'the corner "top-left" or "bottom-right"', corner)
    named = len(window) == 3 or isinstance(causal, str) or Tq == Tk or left is right is None
    require(named, "window", "a corner, " + both, window)
    low = low if left is None else max(low, shift[corner] - left)
    return low, high if right is None else min(high, shift[corner] + right)


def part(a, rows, keys):
    """The arguments of the queries `rows` and the keys `keys`, two slices."""
    moved = tuple(end + rows.start - keys.start for end in a.band)
    ids = a.segments and (a.segments[0][..., rows], a.segments[1][..., keys])
    parts = {name: cut(getattr(a, name), rows, keys) for name in ("bias", "mask", "keep")}
    return a._replace(q=a.q[..., rows, :], k=a.k[..., keys, :], v=a.v[..., keys, :],
                      band=moved, segments=ids, **parts)


def cut(x, rows, keys):
    """Cut [rows, keys] out of an array or None; an axis of length 1, or none, stands for all."""
    if x is None or not x.ndim:
        return x
    x = x[..., rows, :] if x.ndim > 1 and x.shape[-2] > 1 else x
    return x[..., keys] if x.shape[-1] > 1 else x


def blocked_pairs(a):
    """Which pairs of queries and keys may not meet, by mask, band or segments; None if all may."""
    Tq, Tk = a.q.shape[-2], a.k.shape[-2]
    low, high = a.band
    parts = []
    if a.mask is not None:
        parts.append(~a.mask if a.mask.dtype == np.bool_ else np.isneginf(a.mask))
    ahead = np.arange(Tk) - np.arange(Tq)[:, None] if low > 1 - Tq or high < Tk - 1 else None
    if high < Tk - 1:
        parts.append(ahead > high)
    if low > 1 - Tq:
        parts.append(ahead < low)
    if a.segments is not None:
        apart = a.segments[0][..., :, None] != a.segments[1][..., None, :]
        parts.append(apart if apart.ndim == 2 else apart[..., None, :, :])
    return functools.reduce(np.logical_or, parts) if parts else None


def finite_part(a):
    """What an additive mask adds where it does not block, in the dtype of the scores, or None."""
    if a.mask is None or a.mask.dtype == np.bool_:
        return None
    dtype = a.q.real.dtype
    with np.errstate(over="ignore"):
        added = np.where(np.isneginf(a.mask), 0, a.mask).astype(dtype)
    require(bool(np.isfinite(added).all()), "mask", f"-inf, or numbers finite in {dtype}", a.mask)
    return added
