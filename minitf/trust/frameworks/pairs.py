"""Which queries and keys may meet: masks, causal order, windows and segments in one, and what a
case of attention has.

arguments {"q", "k", "v", "dout", ...} and options {"mask", "causal", "scale", "softcap", ...} as in
`conventions`; segments are the arguments q_ids and k_ids.
"""
import math

import numpy as np

from minitf.ops import sum_to


def boolean(mask):
    """Is there a mask, and a boolean one?"""
    return mask is not None and mask.dtype == np.bool_


def padding(mask):
    """Is there a boolean mask that speaks of keys alone, the same for all heads and queries?"""
    return boolean(mask) and mask.ndim > 0 and set(mask.shape[-3:-1]) <= {1}


def reach(causal, window, Tq, Tk):
    """The pairs (Tq, Tk) that causal order and a window (left, right[, corner]) allow."""
    left, right, corner = (*(window or (None, None)), None)[:3]
    ahead = Tk - Tq if "bottom-right" in (causal, corner) else 0
    distance = np.arange(Tk) - np.arange(Tq)[:, None] - ahead
    allowed = distance <= 0 if causal else np.ones((Tq, Tk), bool)
    allowed = allowed if left is None else allowed & (distance >= -left)
    return allowed if right is None else allowed & (distance <= right)


def past(arguments, options):
    """The pairs that causal order, window and segments allow: (Tq, Tk), or (..., 1, Tq, Tk)."""
    q, k = arguments["q"], arguments["k"]
    allowed = reach(options["causal"], options.get("window"), q.shape[-2], k.shape[-2])
    if arguments.get("q_ids") is not None:
        same = arguments["q_ids"][..., :, None] == arguments["k_ids"][..., None, :]
        allowed = allowed & (same if q.ndim == 2 else same[..., None, :, :])
    return allowed


def explicit(arguments, options):
    """Mask, causal order, window and segments as one mask, boolean or additive, or None."""
    mask, allowed = options["mask"], past(arguments, options)
    if mask is None:
        return None if allowed.all() else allowed
    return mask & allowed if boolean(mask) else np.where(allowed, mask, -np.inf)


def scores_shape(arguments):
    """(..., H, Tq, Tk)"""
    q, k, v = (arguments[name].shape for name in ("q", "k", "v"))
    if len(q) == 2:
        return q[0], k[0]
    return *np.broadcast_shapes(q[:-3], k[:-3], v[:-3]), *q[-3:-1], k[-2]


def folded(broadcast_to, *arrays):
    """Arrays with exactly one axis before that of the heads: leading axes broadcast and laid
    flat."""
    lead = np.broadcast_shapes(*(tuple(x.shape[:-3]) for x in arrays))
    shapes = [tuple(x.shape[-3:]) if x.ndim > 2 else (1, *x.shape) for x in arrays]
    return [broadcast_to(x, (*lead, *shape)).reshape(math.prod(lead), *shape)
            for x, shape in zip(arrays, shapes)]


def folded_mask(mask, arguments):
    """The mask, or None, of folded arrays, (B, H, Tq, Tk)."""
    shape = scores_shape(arguments)
    return None if mask is None else folded(np.broadcast_to, np.broadcast_to(mask, shape))[0]


def allowed_pairs(arguments, options, added=True):
    """Which query may attend to which key (..., H, Tq, Tk); added=False leaves out what an additive
    mask says."""
    mask, allowed = options["mask"], past(arguments, options)
    if boolean(mask):
        allowed = allowed & mask
    elif mask is not None and added:
        allowed = allowed & (mask > -np.inf)
    return np.broadcast_to(allowed, scores_shape(arguments))


def reached(marks, x):
    """Rows of x (..., G, T, width) to which a mark (..., H, T) comes down, over shared heads and
    broadcast axes."""
    if x.ndim > 2:
        shared = marks.shape[-2] // x.shape[-3]
        marks = marks.reshape(*marks.shape[:-2], x.shape[-3], shared, x.shape[-2]).any(axis=-2)
    return np.broadcast_to((sum_to(marks.astype(float), x.shape[:-1]) > 0)[..., None], x.shape)


def zeros(arguments, options):
    """Entries that are exactly 0 by convention, those of empty rows and unattended keys: {name:
    boolean array}."""
    q, k, v, dout = (arguments[name] for name in ("q", "k", "v", "dout"))
    allowed = allowed_pairs(arguments, options)
    asks, asked = allowed.any(axis=-1), allowed.any(axis=-2)
    found = {"out": ~reached(asks, dout), "dq": ~reached(asks, q), "dk": ~reached(asked, k),
             "dv": ~reached(asked, v)}
    bias = arguments.get("bias")
    return found if bias is None else found | {
        "dbias": sum_to(allowed.astype(float), bias.shape) == 0}


def largest_score(arguments, options):
    """max |scale q k^T|, before a softcap, over all pairs."""
    q, k = arguments["q"], arguments["k"]
    k = k if k.ndim == 2 else np.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
    scale = 1 / math.sqrt(q.shape[-1]) if options["scale"] is None else options["scale"]
    return float(np.abs(scale * (q @ k.swapaxes(-1, -2))).max(initial=0))


OPTIONS = {
    "no head axis": lambda a, o: a["q"].ndim == 2,
    "leading axes": lambda a, o: a["q"].ndim > 3,
    "broadcasting": lambda a, o: len({a[name].shape[:-3] for name in "qkv"}) > 1,
    "grouped heads": lambda a, o: a["q"].shape[-3:-2] != a["k"].shape[-3:-2],
    "unequal lengths": lambda a, o: a["q"].shape[-2] != a["k"].shape[-2],
    "more than 512 keys": lambda a, o: a["k"].shape[-2] > 512,
    "no keys": lambda a, o: a["k"].shape[-2] == 0,
    "dv != d": lambda a, o: a["q"].shape[-1] != a["v"].shape[-1],
    "boolean mask": lambda a, o: boolean(o["mask"]) and not padding(o["mask"]),
    "padding": lambda a, o: padding(o["mask"]),
    "additive mask": lambda a, o: o["mask"] is not None and not boolean(o["mask"]),
    "top-left": lambda a, o: o["causal"] in (True, "top-left"),
    "bottom-right": lambda a, o: o["causal"] == "bottom-right",
    "empty rows": lambda a, o: not allowed_pairs(a, o).any(axis=-1).all(),
    "scale": lambda a, o: o["scale"] is not None,
    "scale <= 0": lambda a, o: o["scale"] is not None and o["scale"] <= 0,
    "softcap": lambda a, o: o["softcap"] is not None,
    "large logits": lambda a, o: largest_score(a, o) > 100,
    "NaN in masked v": lambda a, o: bool(np.isnan(a["v"]).any()),
    "bias": lambda a, o: "bias" in a,
    "sinks": lambda a, o: "sinks" in a,
    "window": lambda a, o: o.get("window") is not None,
    "segments": lambda a, o: "q_ids" in a,
    "keep": lambda a, o: "keep" in a,
    "lse": lambda a, o: bool(o.get("lse")),
    "lse of empty rows": lambda a, o: bool(o.get("lse"))
    and not allowed_pairs(a, o).any(axis=-1).all(),
}
