"""What textbooks write, in the dtype of the arguments: the yardstick for the rounding errors that a
framework may have.

    plain(arguments, options)           attention: {"out": ..., "dq": ..., "dk": ..., "dv": ...}
    plain_model(arguments, options)     a gpt: {"logits": ..., "dE": ..., ...}

Arguments and options as in `conventions`. Nothing here is clever: every row goes through every
layer.
"""
import functools
import math

import numpy as np

from minitf.model import layer_of, mlp_block, named, normed
from minitf.ops import embed, linear, sum_to
from minitf.trust.frameworks.pairs import boolean, explicit

RUNS = 16
NO_OPTIONS = dict.fromkeys(("mask", "causal", "scale", "softcap"))


def plain(arguments, options, fused=False):
    """`plain_attention`, its arguments and options as two dicts."""
    with np.errstate(invalid="ignore"):
        return plain_attention(**arguments, **options, fused=fused)


def plain_attention(q, k, v, dout, dlse=None, *, mask=None, bias=None, sinks=None, q_ids=None,
                    k_ids=None, keep=None, causal=False, window=None, scale=None, softcap=None,
                    lse=False, fused=False):
    """out, lse, dq, dk, dv, dbias, dsinks as textbooks have them, in the dtype of q: the rounding
    errors that any formula may have. All options of `attention`; segments are q_ids and k_ids.

    fused: as of kernels that keep no weights. The backward pass makes the scores again, in another
    order of rounding, and takes the mean of dA from out: where large scores are in a close race,
    digits are lost.
    """
    shared = q.shape[-3] // k.shape[-3] if q.ndim > 2 else 1
    K, V = (x if shared == 1 else np.repeat(x, shared, axis=-3) for x in (k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    mask = explicit({"q": q, "k": k, "q_ids": q_ids, "k_ids": k_ids},
                    {"mask": mask, "causal": causal, "window": window})
    keep = 1 if keep is None else keep
    S, slope = plain_scores(scale * (q @ K.swapaxes(-1, -2)), softcap, bias, mask)
    A, A_sink, log_sum = plain_weights(S, sinks)
    out = (A * keep) @ V

    dA = dout @ V.swapaxes(-1, -2) * keep
    mean = (dout * out if fused else A * dA).sum(axis=-1, keepdims=True)
    if fused:
        S, slope = plain_scores((scale * q) @ K.swapaxes(-1, -2), softcap, bias, mask)
        A = np.exp(S - np.where(np.isinf(log_sum), 0, log_sum))
    dlse = 0 if dlse is None else dlse[..., None]
    dS, dsinks = A * (dA - mean + dlse), A_sink * (dlse - mean)
    grads = {"dq": scale * ((dS * slope) @ K), "dk": scale * ((dS * slope).swapaxes(-1, -2) @ q),
             "dv": (A * keep).swapaxes(-1, -2) @ dout, "dbias": dS,
             "dsinks": dsinks[..., 0].sum(axis=-1)}
    for name in ("dk", "dv") if shared > 1 else ():
        x = grads[name]
        grads[name] = x.reshape(*x.shape[:-3], -1, shared, *x.shape[-2:]).sum(axis=-3)
    given = {"dq": q, "dk": k, "dv": v, "dbias": bias, "dsinks": sinks}
    grads = {f: sum_to(grads[f], x.shape) for f, x in given.items() if x is not None}
    return {"out": out} | ({"lse": log_sum[..., 0]} if lse else {}) | grads


def plain_scores(S, softcap, bias, mask):
    """Scores capped, then biased, then masked; the slope of the cap."""
    S = S if softcap is None else softcap * np.tanh(S / softcap)
    slope = 1 if softcap is None else 1 - (S / softcap) ** 2
    S = S if bias is None else S + bias
    if mask is not None:
        S = np.where(mask, S, -np.inf) if boolean(mask) else S + mask.astype(S.dtype)
    return S, slope


def plain_weights(S, sinks):
    """Weights of the keys and of the sink, and the log-sum-exp (-inf of nothing)."""
    sink = np.full((1, 1), -np.inf, S.dtype) if sinks is None else sinks[..., None, None]
    top = np.maximum(S.max(axis=-1, keepdims=True, initial=-np.inf), sink)
    top = np.maximum(top, -3e38)
    E, rest = np.exp(S - top), np.exp(sink - top)
    total = E.sum(axis=-1, keepdims=True) + rest
    log_sum = top + np.log(total, where=total > 0, out=np.full_like(total, -np.inf))
    total = np.where(total > 0, total, 1)
    return E / total, rest / total, log_sum


def plain_model(arguments, options, fused=False):
    """Logits of a gpt and the gradients of all parameters, q, k, v with their biases before
    attention; fused as above."""
    heads = functools.partial(plain_heads, fused=fused)
    model, p, dlogits = options["model"], arguments, arguments["dlogits"]
    tokens, back_E = embed(options["X"], p["E"])
    g = np.concatenate([np.broadcast_to(p["x_cls"], (len(tokens), 1, model.d)), tokens + p["P"]],
                       axis=1)
    backs = []
    for l in range(model.L):
        for part in (heads, mlp_block) if model.d_ff else (heads,):
            g, back = part(layer_of(p, l, model), g, model)
            backs.append((l, back))
    n, back = normed(p, g, model, "")
    logits = n[:, 0] @ p["w"] + p["c"]
    dn = np.zeros_like(n)
    dn[:, 0] = dlogits[:, None] * p["w"]
    dg, grads = back(dn)
    for l, back in reversed(backs):
        dg, some = back(dg)
        grads |= named(some, l, model)
    dtokens = dg[:, 1:]
    grads |= {"E": back_E(dtokens), "P": dtokens.sum(axis=0), "x_cls": dg[:, 0].sum(axis=0),
              "w": dlogits @ n[:, 0], "c": dlogits.sum()}
    return {"logits": logits} | {f"d{name}": grad for name, grad in grads.items()}


def plain_heads(p, g, model, fused):
    """The attention of a block, [g +] [head_1 .. head_H] W_C + b_C. pullback(dy) -> dg and a
    dict."""
    m, rows, d = g.shape
    n, back_n = normed(p, g, model, "_1")

    def split(x):
        return x.reshape(m, rows, model.H, model.d_v).swapaxes(1, 2)

    def join(x):
        return x.swapaxes(1, 2).reshape(m, rows, d)

    W = [p[name].transpose(1, 0, 2).reshape(d, d) for name in ("W_Q", "W_K", "W_V")]
    b = [p["b_Q"].reshape(d), np.zeros(d, g.dtype), p["b_V"].reshape(d)]
    (q, back_q), (k, back_k), (v, back_v) = (linear(n, *one) for one in zip(W, b))
    qkv = {name: split(x) for name, x in zip("qkv", (q, k, v))}
    out = plain(qkv | {"dout": split(np.zeros_like(v))}, NO_OPTIONS)["out"]
    o, back_o = linear(join(out), p["W_C"], p["b_C"])

    def pullback(dy):
        dout, dW_C, db_C = back_o(dy)
        grads, dn = {"W_C": dW_C, "b_C": db_C}, 0
        dqkv = plain(qkv | {"dout": split(dout)}, NO_OPTIONS, fused)
        for name, back in ("Q", back_q), ("K", back_k), ("V", back_v):
            some, dW, db = back(join(dqkv[f"d{name.lower()}"]))
            dn = dn + some
            grads |= {f"W_{name}": dW.reshape(d, model.H, -1).transpose(1, 0, 2)}
            grads |= {} if name == "K" else {f"b_{name}": db.reshape(model.H, -1)}
        dg, more = back_n(dn)
        return (dg + dy if model.residual else dg), grads | more

    return (g + o if model.residual else o), pullback


def cast(arguments, dtype):
    """The arguments in a precision."""
    return {name: x.astype(dtype) if x.dtype.kind == "f" else x for name, x in arguments.items()}


def errors(formula, arguments, options, expected, dtype, runs=RUNS):
    """l2 errors {name: error} of a formula in a precision, over entries that are finite: the worst
    of some, as one may be lucky; all but the first are given arguments that differ by a unit in
    their last place, up or down."""
    rng, worst = np.random.default_rng(0), dict.fromkeys(expected, 0.0)
    for run in range(runs):
        unit = np.finfo(dtype).eps * bool(run)
        moved = {name: x * (1 + unit * rng.choice([-1, 1], x.shape)) if x.dtype.kind == "f" else x
                 for name, x in arguments.items()}
        found = formula(cast(moved, dtype), options)
        for name, x in expected.items():
            worst[name] = max(worst[name], float(np.linalg.norm(np.nan_to_num(found[name] - x))))
    return worst
