"""Attention with every option one number at a time, forward and backward, in floats or in 50 digits.

    found = loops(args, options, dout, dlse)                 dict: out, lse, dq, dk, dv, dbias, dsinks
    args, options = draw(rng, ...)                           random arguments with random options

It shares no line with what it judges: sums are math.fsum or mpmath's, and no difference of means is taken (the gradient of a
score is the sum over all other scores of A_j A_l (dA_j - dA_l), in which a sink is one more score with dA = 0).
"""
import math

import mpmath
import numpy as np


class Floats:
    number, exp, log, tanh, cosh, sum = float, math.exp, math.log, math.tanh, math.cosh, math.fsum


class Digits:
    number, exp, log, tanh, cosh, sum = (mpmath.mpf, mpmath.exp, mpmath.log, mpmath.tanh, mpmath.cosh,
                                         lambda terms: mpmath.fsum(list(terms)))


def may(i, j, Tq, Tk, mask, causal, window, ids):
    """Do query i and key j meet? mask and ids are those of this pair of rows."""
    shift = {"top-left": 0, "bottom-right": Tk - Tq}
    corner = causal if isinstance(causal, str) else "top-left"
    if causal and j > i + shift[corner]:
        return False
    if window is not None:
        left, right = window[:2]
        at = i + shift[window[2] if len(window) > 2 else corner]
        if left is not None and j < at - left or right is not None and j > at + right:
            return False
    if ids is not None and ids[0][i] != ids[1][j]:
        return False
    return mask is None or bool(mask[i, j] if mask.dtype == np.bool_ else mask[i, j] > -math.inf)


def one_head(q, k, v, dout, dlse, widths, of, may, bias, mask, keep, sink, scale, softcap):
    """out, lse, dq, dk, dv, dS, dsink of one head as lists of lists; of: Floats or Digits."""
    n = of.number
    Tq, Tk, (d, dv) = len(q), len(k), widths
    out, lse = [[n(0)] * dv for _ in range(Tq)], [-math.inf] * Tq
    dq, dk, dV = [[n(0)] * d for _ in range(Tq)], [[n(0)] * d for _ in range(Tk)], [[n(0)] * dv for _ in range(Tk)]
    dS, dsink = [[n(0)] * Tk for _ in range(Tq)], n(0)
    for i in range(Tq):
        keys = [j for j in range(Tk) if may(i, j)]
        raw = [n(scale) * of.sum(n(a) * n(b) for a, b in zip(q[i], k[j])) for j in keys]
        S = [n(softcap) * of.tanh(s / n(softcap)) if softcap else s for s in raw]
        S = [s + (n(bias[i][j]) if bias is not None else 0) + (n(mask[i][j]) if mask is not None else 0) for s, j in zip(S, keys)]
        everything = S + ([n(sink)] if sink is not None and sink > -math.inf else [])
        if not everything:
            continue
        top = max(everything)
        e = [of.exp(s - top) for s in everything]
        total = of.sum(e)
        lse[i] = top + of.log(total)
        A = [x / total for x in e]                                         # the sink's weight is the last
        kept = [n(1) if keep is None else n(keep[i][j]) for j in keys]
        for c in range(dv):
            out[i][c] = of.sum(A[x] * kept[x] * n(v[j][c]) for x, j in enumerate(keys))
        dA = [kept[x] * of.sum(n(dout[i][c]) * n(v[j][c]) for c in range(dv)) for x, j in enumerate(keys)]
        dA += [n(0)] * (len(A) - len(dA))
        grads = [A[x] * (of.sum(A[y] * (dA[x] - dA[y]) for y in range(len(A))) + n(dlse[i])) for x in range(len(A))]
        if len(grads) > len(keys):
            dsink += grads[-1]
        for x, j in enumerate(keys):
            dS[i][j] = grads[x]
            g = grads[x] / of.cosh(raw[x] / n(softcap)) ** 2 if softcap else grads[x]
            for c in range(d):
                dq[i][c] += n(scale) * g * n(k[j][c])
                dk[j][c] += n(scale) * g * n(q[i][c])
            for c in range(dv):
                dV[j][c] += A[x] * kept[x] * n(dout[i][c])
    return out, lse, dq, dk, dV, dS, dsink


def loops(args, options, dout, dlse, of=Floats):
    """Every example and head alone; q (..., H, Tq, d), k and v with as many leading axes of the same lengths, or none."""
    q, k, v = args["q"], args["k"], args["v"]
    plain = q.ndim == 2
    if plain:
        q, k, v, dout, dlse = (x[None] for x in (q, k, v, dout, dlse))
    (H, Tq, d), (G, Tk, dv), lead = q.shape[-3:], v.shape[-3:], q.shape[:-3]
    scale = options.get("scale")
    scale = 1 / math.sqrt(d) if scale is None else scale
    full = {name: None if x is None else np.broadcast_to(x, (*lead, H, Tq, Tk))
            for name, x in {"bias": args.get("bias"), "mask": options.get("mask"), "keep": options.get("keep")}.items()}
    ids = options.get("segments")
    ids = None if ids is None else [np.broadcast_to(x, (*lead, x.shape[-1])) for x in ids]
    shapes = {"out": (*lead, H, Tq, dv), "lse": (*lead, H, Tq), "dq": q.shape, "dk": k.shape, "dv": v.shape,
              "dS": (*lead, H, Tq, Tk), "dsinks": (H,)}
    found = {name: np.full(shape, of.number(0), object) for name, shape in shapes.items()}
    for *b, h in np.ndindex(*lead, H):
        at, g = (*b, h), (*b, h // (H // G))
        here = {name: None if x is None else x[at] for name, x in full.items()}
        where = None if ids is None else [x[tuple(b)] for x in ids]
        meets = lambda i, j: may(i, j, Tq, Tk, here["mask"], options.get("causal", False), options.get("window"), where)
        sinks = args.get("sinks")
        sink = None if sinks is None else np.atleast_1d(sinks)[h]
        added = here["mask"] if here["mask"] is not None and here["mask"].dtype != np.bool_ else None
        out, lse, dq, dk, dV, dS, dsink = one_head(
            q[at].tolist(), k[g].tolist(), v[g].tolist(), dout[at].tolist(), dlse[at].tolist(), (d, dv), of,
            meets,
            here["bias"], added, here["keep"], sink, scale, options.get("softcap"))
        for name, x, place in (("out", out, at), ("lse", lse, at), ("dq", dq, at), ("dS", dS, at)):
            found[name][place] = np.array(x, object).reshape(found[name][place].shape)
        for name, x in ("dk", dk), ("dv", dV):
            found[name][g] = found[name][g] + np.array(x, object).reshape(found[name][g].shape)
        found["dsinks"][h] += dsink
    dS = found.pop("dS")
    if plain:
        found, dS = {name: x if name == "dsinks" else x[0] for name, x in found.items()}, dS[0]
    if args.get("bias") is not None:
        shape, extra = args["bias"].shape, dS.ndim - args["bias"].ndim
        dS = dS.sum(axis=tuple(range(extra))) if extra else dS
        for axis, length in enumerate(shape):
            dS = dS.sum(axis=axis, keepdims=True) if length == 1 else dS
        found["dbias"] = np.asarray(dS, object).reshape(shape)
    if args.get("sinks") is None:
        found.pop("dsinks")
    else:
        found["dsinks"] = found["dsinks"].reshape(np.shape(args["sinks"]))
    return found


NAMES = "mask", "bias", "sinks", "causal", "window", "segments", "keep", "softcap", "scale"


def draw(rng, lead=(2,), heads=(4, 2), Tq=5, Tk=7, some=None):
    """Arguments (q, k, v, bias, sinks) and options: the named ones, or each with probability one half."""
    some = [name for name in NAMES if rng.random() < 0.5] if some is None else some
    H, G = heads
    axis = () if H is None else (H,)
    scores = (*lead, *axis, Tq, Tk)

    def sparse(shape):                                  # each axis of length 1, or missing, now and then
        shape = tuple(1 if rng.random() < 0.3 else n for n in shape)
        return shape[int(rng.integers(0, len(shape))):] if rng.random() < 0.3 else shape

    normal = rng.standard_normal
    args = {"q": normal((*lead, *axis, Tq, 3)), "k": normal((*lead, *(() if H is None else (G,)), Tk, 3)),
            "v": normal((*lead, *(() if H is None else (G,)), Tk, 2))}
    corner = ["top-left", "bottom-right"][rng.integers(2)]
    allowed = rng.random(sparse(scores)) < 0.7
    made = {"mask": allowed if rng.random() < 0.5 else np.where(allowed, normal(allowed.shape), -np.inf),
            "causal": corner, "window": (*([None, 0, 1, 3][i] for i in rng.integers(0, 4, 2)), corner),
            "segments": (rng.integers(0, 3, (*lead, Tq)), rng.integers(0, 2, (*lead, Tk))),
            "keep": (rng.random(sparse(scores)) < 0.7) / 0.7, "softcap": 1.5, "scale": 0.9}
    if "bias" in some:
        args["bias"] = normal(sparse(scores))
    if "sinks" in some:
        args["sinks"] = normal(axis)
    return args, {name: x for name, x in made.items() if name in some}
