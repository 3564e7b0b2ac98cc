"""Softmax attention in forward mode: the output, and how it moves when the arguments move.

    out, out_dot = attention_tangent(q, k, v, q_dot, k_dot, v_dot)

Letters as in `attention`; x_dot is the velocity of x.
"""
import numpy as np

from minitf.checks import flag, floats, require
from minitf.ops.arguments import check
from minitf.ops.heads import require_range, stacked, unstack
from minitf.ops.kernels import hide, masked_products, quiet, softmax_rows
from minitf.ops.primitives import cap
from minitf.ops.threads import one_blas_thread


def attention_tangent(
    q, k, v, q_dot, k_dot, v_dot, *,
    bias_dot=None, sinks_dot=None,
    mask=None, causal=False, window=None, segments=None,
    bias=None, sinks=None, keep=None,
    scale=None, softcap=None, lse=False,
):
    """Push velocities of q, k, v, bias and sinks through `attention`: its Jacobian times a vector.

    S_dot   = scale (q_dot k^T + q k_dot^T)                               (..., H, Tq, Tk)
    S_dot   = S_dot / cosh(S / softcap)^2            where softcap is given
    S_dot   = S_dot + bias_dot
    lse_dot = sum(A * S_dot) + A_sink sink_dot                            (..., H, Tq)
    A_dot   = A * (S_dot - lse_dot)
    out_dot = (A_dot * keep) v + (A * keep) v_dot                         (..., H, Tq, dv)

    Each velocity has the shape of what it moves; None, of a bias or sinks, stands for 0. Options as
    in `attention`. Returns out, out_dot, or with lse=True the pairs (out, lse), (out_dot, lse_dot).
    Where a query meets no key and there is no sink, lse stays -inf and lse_dot is 0.
    """
    a = check(
        q, k, v,
        mask=mask, causal=causal, window=window, segments=segments,
        bias=bias, sinks=sinks, keep=keep,
        scale=scale, softcap=softcap,
    )
    given = {"q": q_dot, "k": k_dot, "v": v_dot, "bias": bias_dot, "sinks": sinks_dot}
    dots = {name: velocity(name, x, getattr(a, name)) for name, x in given.items()}
    with quiet(), one_blas_thread():
        results = push(stacked(a), stacked(a._replace(**dots))[:5], a.scale, a.softcap)
    require_range(results[1], a)
    out, L, out_dot, L_dot = (unstack(x, a.shared) for x in results)
    if not flag("lse", lse):
        return out, out_dot
    return (out, L[..., 0]), (out_dot, L_dot[..., 0])


def push(primals, dots, scale, softcap):
    """The equations, on stacked heads: out, lse, out_dot, lse_dot.

    A softmax does not see what is added to a whole row: sink_dot is taken off, so that the sink
    stands still, and comes back in lse_dot. The Jacobian is symmetric: A_dot is its pullback.
    """
    q, k, v, bias, sinks, mask, keep, blocked = primals
    q_dot, k_dot, v_dot, bias_dot, sinks_dot = (0.0 if x is None else x for x in dots)
    pairs, mix, _ = masked_products(blocked)
    S = pairs(scale * q, k)
    S_dot = pairs(scale * q_dot, k) + pairs(scale * q, k_dot)
    S, uncap = cap(S, softcap)
    S_dot = uncap(S_dot) + bias_dot - sinks_dot
    S = hide(S, bias, mask, blocked)
    A, lse, unsoftmax = softmax_rows(S, sinks)
    lse_dot = sinks_dot + np.einsum("...t,...t->...", A, S_dot)[..., None]
    lse_dot = np.where(np.isneginf(lse.real), 0, lse_dot)
    A_dot, _ = unsoftmax(S_dot)
    if keep is not None:
        A, A_dot = A * keep, A_dot * keep
    out = mix(A, v)
    out_dot = mix(A_dot, v) + mix(A, v_dot)
    return out, lse, out_dot, lse_dot


def velocity(name, x_dot, x):
    """Return x_dot as an array like x; zero where there is none."""
    if x_dot is None and name in ("bias", "sinks"):
        return None if x is None else np.zeros_like(x)
    x_dot = floats(f"{name}_dot", x_dot)
    require(x is not None, f"{name}_dot", f"None where there is no {name}", x_dot)
    require(x_dot.shape == x.shape, f"{name}_dot", f"shape {x.shape}, as {name} has", x_dot)
    return x_dot.astype(np.result_type(x, x_dot), copy=False)
