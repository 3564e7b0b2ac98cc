"""Where frameworks mean something else by attention: what minitf computes under their conventions.

    predict(arguments, options)         {"out": ..., "dq": ..., "dk": ..., "dv": ...}, or None where nothing is different

arguments {"q", "k", "v", "dout"} and options {"mask", "causal", "scale", "softcap"} are those of `attention`. A NaN in a
prediction must be met as a NaN. `OPTIONS` names what a case of attention has.
"""
import math

import numpy as np

from minitf.attention import attention
from minitf.model import forward
from minitf.ops import sum_to


def attention_values(arguments, options):
    """out, dq, dk, dv of minitf: the reference, and no convention but its own."""
    *qkv, dout = arguments.values()
    with np.errstate(invalid="ignore"):
        out, pullback = attention(*qkv, **options)
        return dict(zip(("out", "dq", "dk", "dv"), (out, *pullback(dout))))


def model_values(arguments, options):
    """logits, and the gradients of all parameters, of minitf."""
    params = {name: x for name, x in arguments.items() if name != "dlogits"}
    logits, pullback = forward(params, options["X"], options["model"])
    return {"logits": logits} | {f"d{name}": g for name, g in pullback(arguments["dlogits"]).items()}


# ---- masks ----------------------------------------------------------------------------------------------------------

def boolean(mask):
    """Is there a mask, and a boolean one?"""
    return mask is not None and mask.dtype == np.bool_


def padding(mask):
    """Is there a boolean mask that speaks of keys alone, the same for all heads and queries?"""
    return boolean(mask) and mask.ndim > 0 and set(mask.shape[-3:-1]) <= {1}


def past(arguments, causal):
    """The pairs (Tq, Tk) that causal order allows."""
    Tq, Tk = arguments["q"].shape[-2], arguments["k"].shape[-2]
    return np.arange(Tk) <= np.arange(Tq)[:, None] + {False: Tk, "bottom-right": Tk - Tq}.get(causal, 0)


def explicit(arguments, options):
    """Mask and causal order as one mask, boolean or additive, or None."""
    mask, causal = options["mask"], options["causal"]
    if not causal:
        return mask
    allowed = past(arguments, causal)
    return allowed if mask is None else mask & allowed if boolean(mask) else np.where(allowed, mask, -np.inf)


def scores_shape(arguments):
    """(..., H, Tq, Tk)"""
    q, k, v, _ = (x.shape for x in arguments.values())
    return (*np.broadcast_shapes(q[:-3], k[:-3], v[:-3]), *q[-3:-1], k[-2]) if len(q) > 2 else (q[0], k[0])


def allowed_pairs(arguments, options, added=True):
    """Which query may attend to which key (..., H, Tq, Tk); added=False leaves out what an additive mask says."""
    mask, allowed = options["mask"], past(arguments, options["causal"])
    if boolean(mask):
        allowed = allowed & mask
    elif mask is not None and added:
        allowed = allowed & (mask > -np.inf)
    return np.broadcast_to(allowed, scores_shape(arguments))


def reached(marks, x):
    """Rows of x (..., G, T, width) to which a mark (..., H, T) comes down, over shared heads and broadcast axes."""
    if x.ndim > 2:
        shared = marks.shape[-2] // x.shape[-3]
        marks = marks.reshape(*marks.shape[:-2], x.shape[-3], shared, x.shape[-2]).any(axis=-2)
    return np.broadcast_to((sum_to(marks.astype(float), x.shape[:-1]) > 0)[..., None], x.shape)


def zeros(arguments, options):
    """Entries that are exactly 0 by convention, those of empty rows and unattended keys: {name: boolean array}."""
    q, k, v, dout = arguments.values()
    allowed = allowed_pairs(arguments, options)
    asks, asked = allowed.any(axis=-1), allowed.any(axis=-2)
    return {"out": ~reached(asks, dout), "dq": ~reached(asks, q), "dk": ~reached(asked, k), "dv": ~reached(asked, v)}


def largest_score(arguments, options):
    """max |scale q k^T|, before a softcap, over all pairs."""
    q, k, *_ = arguments.values()
    k = k if k.ndim == 2 else np.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
    scale = 1 / math.sqrt(q.shape[-1]) if options["scale"] is None else options["scale"]
    return float(np.abs(scale * (q @ k.swapaxes(-1, -2))).max(initial=0))


OPTIONS = {
    "no head axis": lambda a, o: a["q"].ndim == 2,
    "leading axes": lambda a, o: a["q"].ndim > 3,
    "broadcasting": lambda a, o: len({x.shape[:-3] for x in a.values()}) > 1,
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
}


def plain(arguments, options, fused=False):
    """out, dq, dk, dv as textbooks have them, in the dtype of q: the rounding errors that any formula may have.

    fused: as of kernels that keep no weights. The backward pass makes the scores again, in another order of rounding,
    and takes the mean of dA from out: where large scores are in a close race, digits are lost.
    """
    q, k, v, dout = arguments.values()
    shared = q.shape[-3] // k.shape[-3] if q.ndim > 2 else 1
    K, V = (x if shared == 1 else np.repeat(x, shared, axis=-3) for x in (k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if options["scale"] is None else options["scale"]
    mask, cap = explicit(arguments, options), options["softcap"]

    def weights(S, lse=None):
        S = S if cap is None else cap * np.tanh(S / cap)
        slope = 1 if cap is None else 1 - (S / cap) ** 2
        S = S if mask is None else np.where(mask, S, -np.inf) if boolean(mask) else S + mask.astype(S.dtype)
        if lse is None:
            top = np.maximum(S.max(axis=-1, keepdims=True, initial=-np.inf), -3e38)
            total = np.exp(S - top).sum(axis=-1, keepdims=True)
            lse = top + np.log(total, where=total > 0, out=np.zeros_like(total))
            return np.exp(S - top) / np.where(total > 0, total, 1), slope, lse
        return np.exp(S - lse), slope, lse

    with np.errstate(invalid="ignore"):
        A, slope, lse = weights(scale * (q @ K.swapaxes(-1, -2)))
        out, dA = A @ V, dout @ V.swapaxes(-1, -2)
        mean = (dout * out if fused else A * dA).sum(axis=-1, keepdims=True)
        A, slope, _ = weights((scale * q) @ K.swapaxes(-1, -2), lse) if fused else (A, slope, lse)
        dS = A * (dA - mean) * slope
        dq, dk, dv = scale * (dS @ K), scale * (dS.swapaxes(-1, -2) @ q), A.swapaxes(-1, -2) @ dout
    if shared > 1:
        dk, dv = (x.reshape(*x.shape[:-3], -1, shared, *x.shape[-2:]).sum(axis=-3) for x in (dk, dv))
    return {"out": out} | {f"d{name}": sum_to(g, arguments[name].shape) for name, g in zip("qkv", (dq, dk, dv))}


# ---- conventions ----------------------------------------------------------------------------------------------------

def nothing_left(arguments, options, *, uniform=False, mixed=False):
    """A query that may attend to nothing takes the softmax of scores that are all -inf: NaN, in every gradient too.

    uniform: a pair that a boolean mask or causal order hides has a large finite score instead; where a query has such,
    it averages their values. mixed: a matrix product over all heads carries NaN from one to every other.
    """
    allowed, q = allowed_pairs(arguments, options), arguments["q"]
    empty = ~allowed.any(axis=-1, keepdims=True)
    if not empty.any():
        return None
    hidden = empty & ~allowed_pairs(arguments, options, added=False) & uniform
    lost = empty & ~hidden.any(axis=-1, keepdims=True)
    if mixed and q.ndim > 2:
        lost = np.broadcast_to(lost.any(axis=-3, keepdims=True), lost.shape)
    mask = explicit(arguments, options)
    mask = np.where(lost, True if boolean(mask) else 0.0, mask)
    asked = arguments | {"q": np.where(lost, np.nan, q).astype(q.dtype)}
    found = attention_values(asked, options | {"mask": mask, "causal": False})
    found["dq"] = sum_to(found["dq"], q.shape)
    averages = attention_values(arguments, options | {"mask": hidden, "causal": False, "scale": 0.0})
    return {name: found[name] + averages[name] for name in found}


def averaging(arguments, options):
    """nothing_left where every query has hidden values to average."""
    found = nothing_left(arguments, options, uniform=True)
    return None if found is None or np.isnan(found["out"]).any() else found


def leaking(arguments, options, *, stops=False):
    """A masked value has weight 0 and still counts, as 0 * NaN: to minitf the mask is a large finite number.

    stops: no derivative goes back to a score that a boolean mask or causal order hides.
    """
    if not np.isnan(arguments["v"]).any():
        return None
    added = 0.0 if options["mask"] is None or boolean(options["mask"]) else options["mask"]
    mask = np.where(allowed_pairs(arguments, options), added, -1e30)
    found = attention_values(arguments, options | {"mask": mask, "causal": False})
    if stops:
        asked = allowed_pairs(arguments, options, added=False).any(axis=-2)
        found["dk"] = np.where(reached(asked, arguments["k"]), found["dk"], 0)
    return found


def hidden_before_scale(arguments, options):
    """Causal order writes -inf before the product with a scale <= 0, which makes it +inf or NaN; only out is said."""
    hidden, q = ~past(arguments, options["causal"]).all(axis=-1, keepdims=True), arguments["q"]
    if options["scale"] is None or options["scale"] > 0 or options["mask"] is not None or not hidden.any():
        return None
    asked = arguments | {"q": np.where(hidden, np.nan, q).astype(q.dtype)}
    return {"out": attention_values(asked, options)["out"]}
