"""The logits of one [CLS] head as `bench` compares them, for the arrays of PyTorch and of JAX."""
from collections.abc import Callable
from typing import NamedTuple


class Library(NamedTuple):
    """The few functions in which the two differ."""
    join: Callable          # arrays along an axis, the first unless given
    exp: Callable
    highest: Callable       # along the first axis, as a constant
    relu: Callable


def identity(p, X, library):
    """Two products of the bits with one table of T rows: what minitf computes."""
    join, exp, highest, relu = library
    H, d, d_v = p["W_V"].shape
    W = join([p["q"], p["W_V"].swapaxes(1, 2).reshape(H * d_v, d)])
    U = join([p["E"], p["P"], p["x_cls"][None]]) @ W.T      # scores and values: E_0, E_1, P, [CLS]
    s, v = U[:, :H], U[:, H:].reshape(-1, H, d_v)
    top, top_bit = highest(s[2:-1]), highest(s[:2])
    e = exp(s[2:-1] - top)
    F = join([(e[..., None] * v[2:-1]).reshape(-1, H * d_v), e], 1)         # (T, H (d_v + 1))
    ones, total = X @ F, F.sum(0)
    N1, Z1 = ones[:, :-H].reshape(-1, H, d_v), ones[:, -H:]     # sums over positions with bit 1
    N0, Z0 = total[:-H].reshape(H, d_v) - N1, total[-H:] - Z1
    e0, e1 = exp(s[:2] - top_bit)
    e_cls = exp(s[-1] - top_bit - top)
    Z = e1 * Z1 + e0 * Z0 + e_cls
    N = (e1[:, None] * N1 + e0[:, None] * N0 + (e1 * Z1)[..., None] * v[1]
         + (e0 * Z0)[..., None] * v[0] + e_cls[:, None] * v[-1])
    return readout(p, N / Z[..., None], library)


def readout(p, out, library):
    """Logits (m,) of the outputs (m, H, d_v) of the heads."""
    return library.relu(out.reshape(len(out), -1) @ p["W_C"]) @ p["w"] + p["c"]
