"""Where frameworks mean something else by attention: what minitf computes under their conventions.

    predict(arguments, options)         {"out": ..., "dq": ..., "dk": ..., "dv": ...}, or None where
                                        nothing is different

arguments {"q", "k", "v", "dout"} and options {"mask", "causal", "scale", "softcap"} are those of
`attention`. A NaN in a prediction must be met as a NaN. `OPTIONS` names what a case of attention
has.
"""
import math

import numpy as np

from minitf.fast import forward
from minitf.ops import attention, sum_to


def attention_values(arguments, options):
    """out, dq, dk, dv, ... of minitf: the reference, and no convention but its own."""
    a = dict(arguments)
    dy = {name: a.pop(name) for name in ("dout", "dlse") if name in a}
    if "q_ids" in a:
        a["segments"] = a.pop("q_ids"), a.pop("k_ids")
    names = [f"d{name}" for name in ("q", "k", "v", "bias", "sinks") if name in a]
    with np.errstate(invalid="ignore"):
        y, pullback = attention(**a, **options)
        y, back = (y, tuple(dy.values())) if len(dy) > 1 else ((y,), dy["dout"])
        return dict(zip(("out", "lse"), y)) | dict(zip(names, pullback(back)))


def met(arguments, *more):
    """Arguments without segments, which an explicit mask has in it, and without some more."""
    return {name: x for name, x in arguments.items() if name not in ("q_ids", "k_ids", *more)}


def model_values(arguments, options):
    """logits, and the gradients of all parameters, of minitf."""
    params = {name: x for name, x in arguments.items() if name != "dlogits"}
    logits, pullback = forward(params, options["X"], options["model"])
    return {"logits": logits} | {f"d{name}": g
                                 for name, g in pullback(arguments["dlogits"]).items()}


# ---- masks ---------------------------------------------------------------------------------------

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
# ---- conventions ---------------------------------------------------------------------------------

EMPTY, MEAN, LEAK = "an empty row is NaN", "an empty row is the mean of v", "0 * NaN leaks"
ENDED, CAUSAL = "0 * NaN leaks, but not through scale 0", "is_causal hides before it scales"
SINGLE, FUSED = "softmax in float32", "fused backward loses digits"
MEANING = {
    EMPTY: "a query that may attend to nothing: zeros in minitf; here softmax of -inf alone, NaN "
           "in out and gradients",
    MEAN: "a query that may attend to nothing: zeros in minitf; here hidden scores are large "
          "negative numbers, all equal, so that it averages the values it may not see",
    LEAK: "NaN in a value that is masked out: minitf leaves it out; here its weight 0 meets it, "
          "and NaN reaches out",
    ENDED: "as before; but the last product of the backward pass has the factor scale = 0 and "
           "gives zeros without looking at the NaN",
    CAUSAL: "scale <= 0 with is_causal: minitf scales, then masks; here -inf is written first, and "
            "scaling makes it +inf or NaN. An explicit mask agrees",
    SINGLE: "float64 arguments: minitf computes in float64; here softmax is computed in float32, "
            "and judged as that",
    FUSED: "scores are computed again in the backward pass, in another order of rounding, and the "
           "mean of dA is taken from out: in a close race of large scores digits are lost, as many "
           "as in minitf's copy of that formula",
}


def nothing_left(arguments, options, *, uniform=False, mixed=False):
    """A query that may attend to nothing takes the softmax of scores that are all -inf: NaN, in
    every gradient too.

    uniform: a pair that a boolean mask or causal order hides has a large finite score instead;
    where a query has such, it averages their values. mixed: a matrix product over all heads carries
    NaN from one to every other.
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
    asked = met(arguments) | {"q": np.where(lost, np.nan, q).astype(q.dtype)}
    found = attention_values(asked, options | {"mask": mask, "causal": False, "window": None})
    found["dq"] = sum_to(found["dq"], q.shape)
    averages = attention_values(met(arguments, "bias"), options | {
        "mask": hidden, "causal": False, "scale": 0.0, "window": None})
    return {name: x + averages.get(name, 0) for name, x in found.items()}


def averaging(arguments, options):
    """nothing_left where every query has hidden values to average."""
    found = nothing_left(arguments, options, uniform=True)
    return None if found is None or np.isnan(found["out"]).any() else found


def leaking(arguments, options, *, stops=False, ends=False):
    """A masked value has weight 0 and still counts, as 0 * NaN: to minitf the mask is a large
    finite number.

    stops: no derivative goes back to a score that a boolean mask or causal order hides. ends: a
    scale of 0 ends it before dq and dk (a matrix product with a factor of 0 is not computed).
    """
    if not np.isnan(arguments["v"]).any() or ends and options["scale"] != 0:
        return None
    added = 0.0 if options["mask"] is None or boolean(options["mask"]) else options["mask"]
    mask = np.where(allowed_pairs(arguments, options), added, -1e30)
    found = attention_values(met(arguments), options | {
        "mask": mask, "causal": False, "window": None})
    if stops:
        asked = allowed_pairs(arguments, options, added=False).any(axis=-2)
        found["dk"] = np.where(reached(asked, arguments["k"]), found["dk"], 0)
    if ends:
        found |= {"dq": np.zeros_like(found["dq"]), "dk": np.zeros_like(found["dk"])}
    return found


def hidden_before_scale(arguments, options):
    """Causal order writes -inf before the product with a scale <= 0, which makes it +inf or NaN.

    dk is not predicted: it is NaN for the keys of the same block, whose size is the kernel's
    affair.
    """
    hidden, q = ~past(arguments, options).all(axis=-1, keepdims=True), arguments["q"]
    scale = options["scale"]
    if scale is None or scale > 0 or options["mask"] is not None or not hidden.any():
        return None
    found = attention_values(arguments | {"q": np.where(hidden, np.nan, q).astype(q.dtype)},
                             options)
    # a product with the factor 0 is not computed
    dq = found["dq"] if options["scale"] else np.zeros_like(q)
    return {"out": found["out"], "dq": dq, "dv": found["dv"]}
