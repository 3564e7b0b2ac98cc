"""Kernels of three libraries in the protocol of `judge`, each with a planted fault beside it."""
import numpy as np


def numpy_kernel(q, k, v, dout, mask=np.array(True), scale=None):
    """Attention as one writes it: returns out, dq, dk, dv."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    S = scale * (q @ k.swapaxes(-1, -2))
    S = np.where(mask, S, -np.inf) if mask.dtype == bool else S + mask
    A = np.exp(S - S.max(axis=-1, keepdims=True, initial=-1e30))
    A /= np.maximum(A.sum(axis=-1, keepdims=True), 1e-30)
    dA = dout @ v.swapaxes(-1, -2)
    dS = scale * A * (dA - (A * dA).sum(axis=-1, keepdims=True))
    return A @ v, dS @ k, dS.swapaxes(-1, -2) @ q, A.swapaxes(-1, -2) @ dout


def numpy_faulty(q, k, v, dout, mask=np.array(True), scale=None):
    """The mask is forgotten in the backward pass."""
    out = numpy_kernel(q, k, v, dout, mask, scale)[0]
    return out, *numpy_kernel(q, k, v, dout, np.array(True), scale)[1:]


def torch_sdpa(q, k, v, dout, mask=None, scale=None, causal=False):
    """PyTorch's scaled_dot_product_attention and its autograd; it has the top-left corner."""
    import torch
    dtype = {np.dtype("float64"): torch.float64, np.dtype("float32"): torch.float32}[q.dtype]
    leaves = [torch.tensor(x).requires_grad_() for x in (q, k, v)]
    if mask is not None:
        mask = torch.tensor(np.atleast_2d(mask), dtype=None if mask.dtype == bool else dtype)
    assert causal in (False, True, "top-left")
    out = torch.nn.functional.scaled_dot_product_attention(
        *leaves, attn_mask=mask, is_causal=bool(causal), scale=scale, enable_gqa=q.shape[-3] != k.shape[-3])
    return out, *torch.autograd.grad(out, leaves, torch.tensor(dout))


def torch_faulty(q, k, v, dout, **options):
    """The key heads are tiled instead of repeated."""
    import torch
    out, dq, dk, dv = torch_sdpa(q, k[..., ::-1, :, :].copy(), v[..., ::-1, :, :].copy(), dout, **options)
    return out, dq, torch.flip(dk, [-3]), torch.flip(dv, [-3])


def jax_attention(q, k, v, dout, mask=None, scale=None, causal=False):
    """jax.nn.dot_product_attention, arrays (B, T, H, d)."""
    import jax
    assert causal in (False, True, "top-left")

    def f(q, k, v):
        shape = q.shape[0], q.shape[2], q.shape[1], k.shape[1]
        rules = {} if mask is None else {"mask": np.broadcast_to(mask, shape)} if mask.dtype == bool else \
            {"bias": np.broadcast_to(mask, shape)}
        return jax.nn.dot_product_attention(q, k, v, scale=scale, is_causal=bool(causal), **rules)
    out, vjp = jax.vjp(f, q, k, v)
    return out, *vjp(dout)


def jax_faulty(q, k, v, dout, scale=None, **options):
    """The scale is applied twice."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return jax_attention(q, k, v, dout, scale=scale * scale, **options)
