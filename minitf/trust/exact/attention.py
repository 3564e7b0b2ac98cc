"""Attention with every option on the tape of `exact`: values, and derivatives along tangents.

    twin = OPS["attention"]({"q": Var, "k": Var, "v": Var, "mask": array}, causal=True)

Only forward formulas are written here. Gradients come from the tape; so does a Hessian-vector
product, the gradient of a derivative along tangents. RoPE and QK-norm are composites.
Source: Vaswani et al. 2017; RoPE: Su et al. 2021; QK-norm: Henry et al. 2020, with RMS norms.
"""
from typing import NamedTuple

import numpy as np

from minitf.trust.exact.ops import Twin, cap, largest, softmax
from minitf.trust.exact.tape import Var, lift, log, number, pull, sqrt, tanh


class Heads(NamedTuple):
    """What goes through attention: scores before and after all that is done to them, the pairs that
    may meet, weights of the keys and of the sink, output, log-sum-exp; the largest |score|."""
    raw: Var
    allowed: np.ndarray
    A: Var
    out: Var
    lse: Var
    score: float


def shared(x, q):
    """The key head that every query head of q reads."""
    H, G = (*q.shape[-3:-2], *x.shape[-3:-2]) or (1, 1)
    return x if q.ndim == 2 else x[..., np.arange(H) // (H // G), :, :]


def scale_of(a, scale):
    """1 / sqrt(d) unless given."""
    return 1 / number(a["q"].shape[-1]) ** 0.5 if scale is None else number(scale)


def allowed_pairs(a, shape, causal, window):
    """The pairs (..., Tq, Tk) that mask, causal order, window and segments allow, by their
    words."""
    (Tq, Tk), allowed = shape[-2:], np.ones(shape, bool)
    left, right, corner = (*(window or (None, None)), None)[:3]
    at = Tk - Tq if "bottom-right" in (causal, corner) else 0
    for i in range(Tq):
        for j in range(Tk):
            near = (left is None or j >= i + at - left) and (right is None or j <= i + at + right)
            allowed[..., i, j] &= near and (not causal or j <= i + at)
    if "q_ids" in a:
        same = a["q_ids"][..., :, None] == a["k_ids"][..., None, :]
        allowed &= same if len(shape) == 2 else same[..., None, :, :]
    mask = a.get("mask", np.array(True))
    return allowed & (mask if mask.dtype == bool else mask > -np.inf)


def heads(a, causal, window, scale, softcap):
    """The forward pass."""
    q, mask = a["q"], a.get("mask", np.array(True))
    raw = S = q @ shared(a["k"], q).swap() * scale_of(a, scale)
    S = S if softcap is None else cap(S, softcap)
    S = S + a["bias"] if "bias" in a else S
    allowed = allowed_pairs(a, S.shape, causal, window)
    if mask.dtype != bool:
        S = S + lift(np.where(mask > -np.inf, mask, 0))
    A, lse, score = softmax(S, allowed, sink_of(a, "sinks"))
    out = kept(A, a) @ shared(a["v"], q)
    return Heads(raw, allowed, A, out, lse, max(score, largest(raw.value[allowed])))


def sink_of(a, name):
    """The sinks (H,) as one more score of every row, (H, 1, 1)."""
    return a[name].reshape(*a[name].shape, 1, 1) if name in a else None


def kept(A, a):
    """Weights after dropout with a given mask."""
    return A * lift(a["keep"]) if "keep" in a else A


def attention(a, causal=False, window=None, scale=None, softcap=None, lse=False):
    """Twin of attention; saved A, and lse where it is no output, then in base 2."""
    h = heads(a, causal, window, scale, softcap)
    zeros = silent(a, h.allowed, h.out.shape, scale)
    if not lse:
        return Twin({"out": h.out}, {"A": h.A.value, "lse": h.lse.value}, h.score, zeros)
    saved = {"A": h.A.value, "lse2": h.lse.value / log(Var(number(2))).value}
    return Twin({"out": h.out, "lse": h.lse}, saved, h.score, zeros)


def silent(a, allowed, shape, scale):
    """Where attention is 0 by convention: at blocked pairs, queries without a key, keys without a
    query; and what the scores send back where their scale is 0. The pairs of a query or key are
    counted on the tape, with ones for numbers."""
    q, k, v = (Var(np.ones(a[name].shape, int)) for name in ("q", "k", "v"))
    pairs = allowed.astype(int)
    dq, dk = pull(q @ shared(k, q).swap(), pairs, [q, k])
    dv, = pull(Var(pairs) @ shared(v, q), np.ones(shape, int), [v])
    alone = ~allowed.any(axis=-1)
    zeros = {"A": ~allowed, "out": np.broadcast_to(alone[..., None], shape),
             "dq": (dq == 0) | (scale == 0), "dk": (dk == 0) | (scale == 0), "dv": dv == 0}
    if "bias" in a:
        bias = Var(np.ones(a["bias"].shape, int))
        zeros["dbias"] = pull(bias + np.zeros(allowed.shape, int), pairs, [bias])[0] == 0
    if "sinks" not in a:
        zeros["lse_dot"] = alone
    return zeros | {f"{name}_dot": x for name, x in zeros.items()}


def along(a, causal, window, scale, softcap):
    """The forward pass, and the derivatives of out and lse along tangents, as formulas."""
    h = heads(a, causal, window, scale, softcap)
    q, k, v = a["q"], a["k"], a["v"]
    K, V = (shared(x, q).swap() for x in (k, v))
    K_dot, V_dot = (shared(a[name], q).swap() for name in ("k_dot", "v_dot"))
    S_dot = (a["q_dot"] @ K + q @ K_dot) * scale_of(a, scale)
    if softcap is not None:
        t = tanh(h.raw / number(softcap))
        S_dot = S_dot * (1 - t * t)
    S_dot = S_dot + a["bias_dot"] if "bias_dot" in a else S_dot
    lse_dot = (h.A * S_dot).sum()
    if "sinks_dot" in a:
        lse_dot = lse_dot + (1 - h.A.sum()) * sink_of(a, "sinks_dot")
    A_dot = h.A * (S_dot - lse_dot)
    out_dot = kept(A_dot, a) @ V.swap() + kept(h.A, a) @ V_dot.swap()
    return h, out_dot, lse_dot.reshape(*lse_dot.shape[:-1])


def attention_tangent(a, causal=False, window=None, scale=None, softcap=None, lse=False):
    """Twin of attention_tangent: how the output moves as the arguments move along their
    tangents."""
    h, out_dot, lse_dot = along(a, causal, window, scale, softcap)
    outputs = {"out": h.out, "out_dot": out_dot}
    outputs |= {"lse": h.lse, "lse_dot": lse_dot} if lse else {}
    return Twin(outputs, {}, h.score, silent(a, h.allowed, h.out.shape, scale))


def attention_hvp(a, causal=False, window=None, scale=None, softcap=None):
    """How dq, dk, dv (dbias, dsinks) move as the arguments move along their tangents, dout held:
    the gradient of <dout, out_dot>, as second derivatives commute."""
    h, out_dot, _ = along(a, causal, window, scale, softcap)
    names = [name for name in ("q", "k", "v", "bias", "sinks") if name in a]
    moved = pull(out_dot, a["dout"].value, [a[name] for name in names])
    outputs = {f"d{name}_dot": Var(g) for name, g in zip(names, moved)}
    return Twin(outputs, {}, h.score, silent(a, h.allowed, h.out.shape, scale))


def rope(x, pairing, base):
    """Rows turned by their index: pairs of columns by the angle index / base^(2j/d)."""
    import mpmath
    T, d = x.shape[-2:]
    turn, C, S = np.zeros((d, d), int), np.zeros((T, d), object), np.zeros((T, d), object)
    for j in range(d // 2):
        one, two = (2 * j, 2 * j + 1) if pairing == "interleaved" else (j, j + d // 2)
        turn[two, one], turn[one, two] = -1, 1
        for t in range(T):
            angle = t / number(base) ** (number(2 * j) / d)
            C[t, [one, two]], S[t, [one, two]] = mpmath.cos(angle), mpmath.sin(angle)
    return x * C + (x @ turn) * S


def attention_rope(a, pairing, base=10000.0, **options):
    """Attention of q and k turned by their positions 0, 1, ..."""
    turned = {name: rope(a[name], pairing, base) for name in ("q", "k")}
    return attention(a | turned, **options)


def attention_qk_norm(a, eps=1e-6, **options):
    """Attention of q and k whose rows have been divided by their root mean square."""
    def normed(x, gain):
        return x / sqrt((x * x).sum() / x.shape[-1] + number(eps)) * gain
    return attention(a | {name: normed(a[name], a[f"gain_{name}"]) for name in "qk"}, **options)


OPS = {op.__name__: op for op in (attention, attention_tangent, attention_hvp, attention_rope,
                                  attention_qk_norm)}
