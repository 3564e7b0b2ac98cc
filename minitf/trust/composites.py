"""Attention as golden cases ask it: segments as two arguments; after RoPE; after QK-norm.

Source: RoPE, Su et al. 2021; QK-norm, Henry et al. 2020, with RMS norms.
"""
import numpy as np

from minitf.ops import attention, sum_to


def attend(q_ids=None, k_ids=None, **given):
    """attention, its segments as two arguments."""
    segments = {} if q_ids is None else {"segments": (q_ids, k_ids)}
    return attention(**given, **segments)


def rope(x, pairing, base=10000.0):
    """Rows turned by their index, as an op; the pullback turns back."""
    T, d = x.shape[-2:]
    j = np.arange(d // 2)
    one, two = (2 * j, 2 * j + 1) if pairing == "interleaved" else (j, j + d // 2)
    angle = np.arange(T)[:, None] / base ** (2 * j / d)
    c, s = np.cos(angle), np.sin(angle)

    def turn(x, s):
        y = np.empty(x.shape, np.result_type(x, c))
        y[..., one], y[..., two] = x[..., one] * c - x[..., two] * s, x[..., one] * s + x[...,
                                                                                          two] * c
        return y

    return turn(x, s), lambda dy: turn(dy, -s)


def attention_rope(q, k, v, *, pairing, base=10000.0, **options):
    """attention of q and k turned by their positions."""
    (q, back_q), (k, back_k) = (rope(x, pairing, base) for x in (q, k))
    out, pullback = attend(q=q, k=k, v=v, **options)

    def back(dout):
        dq, dk, dv = pullback(dout)
        return back_q(dq), back_k(dk), dv

    return out, back


def rms_norm(x, gain, eps):
    """Rows divided by their root mean square, times a gain."""
    s = np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    n = x / s

    def pullback(dy):
        dn = dy * gain
        return (dn - n * (dn * n).mean(axis=-1, keepdims=True)) / s, sum_to(dy * n, gain.shape)

    return n * gain, pullback


def attention_qk_norm(q, k, v, gain_q, gain_k, *, eps=1e-6, **options):
    """attention of q and k divided by the root mean square of their rows."""
    (q, back_q), (k, back_k) = rms_norm(q, gain_q, eps), rms_norm(k, gain_k, eps)
    out, pullback = attend(q=q, k=k, v=v, **options)

    def back(dout):
        dq, dk, dv = pullback(dout)
        (dq, dgain_q), (dk, dgain_k) = back_q(dq), back_k(dk)
        return dq, dk, dv, dgain_q, dgain_k

    return out, back


def segmented(a):
    """Arguments whose segments are the pair that attention takes."""
    ids = tuple(a[name] for name in ("q_ids", "k_ids") if name in a)
    rest = {name: x for name, x in a.items() if name not in ("q_ids", "k_ids")}
    return rest | ({"segments": ids} if ids else {})
