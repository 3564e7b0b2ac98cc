"""Where frameworks mean something else by attention: what minitf computes under their conventions.

    predict(arguments, options)         {"out": ..., "dq": ..., "dk": ..., "dv": ...}, or None where
                                        nothing is different

arguments {"q", "k", "v", "dout"} and options {"mask", "causal", "scale", "softcap"} are those of
`attention`. A NaN in a prediction must be met as a NaN. `OPTIONS` names what a case of attention
has.
"""

import numpy as np

from minitf.fast import forward
from minitf.ops import attention, sum_to
from minitf.trust.frameworks.pairs import (
    allowed_pairs,
    boolean,
    explicit,
    past,
    reached,
)


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
           "mean of dA comes from out: in a close race of large scores digits are lost, as in "
           "minitf's copy of that formula",
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
