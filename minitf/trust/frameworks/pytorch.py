"""Attention of PyTorch, asked in the words of `adapters`; models carried over weight by weight."""
import contextlib
import functools
import math

import numpy as np

from minitf.trust.frameworks.pairs import boolean, explicit, folded, folded_mask, padding

GIVEN = "q_ids", "k_ids", "keep"


@contextlib.contextmanager
def one_thread():
    """PyTorch on one thread: for arrays this small a second one costs ten times what it saves."""
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_vjp(f, arguments):
    """Values of f at its arguments by name, and the gradients that autograd sends back from their
    cotangents. What f does not differentiate (segments, keep) it has already."""
    import torch
    given = {name: torch.tensor(x) for name, x in arguments.items() if name not in GIVEN}
    dys = {name: given.pop(name) for name in ("dout", "dlse", "dlogits") if name in given}
    leaves = {name: x.requires_grad_() for name, x in given.items()}
    with one_thread():
        ys = f(**leaves)
        ys = ys if isinstance(ys, tuple) else (ys,)
        grads = torch.autograd.grad(ys, list(leaves.values()), list(dys.values()))
    return {dy[1:]: y.detach().numpy() for dy, y in zip(dys, ys)} | {
        f"d{name}": g.numpy() for name, g in zip(leaves, grads)}


def torch_mask(mask, like):
    """A mask as a tensor with two axes or more, or None; an additive one in the dtype of an
    array."""
    import torch
    if mask is None:
        return None
    return torch.tensor(np.atleast_2d(mask if boolean(mask) else mask.astype(like.dtype)))


def scaled_dot_product_attention(arguments, options):
    """torch.nn.functional.scaled_dot_product_attention, is_causal for the corner that it has."""
    import torch
    alone = options["mask"] is None and options.get("window") is None
    alone = alone and not {"bias", "q_ids"} & set(arguments)
    is_causal = alone and options["causal"] in (True, "top-left")
    mask = torch_mask(None if is_causal else explicit(arguments, options), arguments["q"])

    def f(q, k, v, bias=None):
        if q.ndim == 2:
            return f(q[None], k[None], v[None], bias)[0]
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=biased(mask, bias), is_causal=is_causal, scale=options["scale"],
            enable_gqa=q.shape[-3] != k.shape[-3])

    return torch_vjp(f, arguments)


def biased(mask, bias):
    """A bias, masked, as one additive mask; without one the mask."""
    import torch
    if bias is None or mask is None:
        return mask if bias is None else bias
    return torch.where(mask, bias, -torch.inf) if mask.dtype == torch.bool else bias + mask


def formula(arguments, options):
    """Attention written in operations of PyTorch, as models with a softcap do: the mask, 0 or -inf,
    is added."""
    import torch
    mask, cap = explicit(arguments, options), options["softcap"]
    mask = torch_mask(np.where(mask, 0.0, -np.inf) if boolean(mask) else mask, arguments["q"])
    keep = torch.tensor(arguments["keep"]) if "keep" in arguments else 1

    def f(q, k, v, bias=None, sinks=None):
        shared = q.shape[-3] // k.shape[-3] if q.ndim > 2 else 1
        K, V = (x.repeat_interleave(shared, -3) if shared > 1 else x for x in (k, v))
        S = (1 / math.sqrt(q.shape[-1]) if options["scale"] is None
             else options["scale"]) * (q @ K.mT)
        S = S if cap is None else cap * torch.tanh(S / cap)
        S = S if bias is None else S + bias
        S = S if mask is None else S + mask
        if sinks is not None:
            S = torch.cat([S, sinks[..., None, None].expand(*S.shape[:-1], 1)], dim=-1)
        A = torch.softmax(S, dim=-1)[..., :K.shape[-2]]
        out = (A * keep) @ V
        return (out, torch.logsumexp(S, dim=-1)) if options.get("lse") else out

    return torch_vjp(f, arguments)


def multihead_attention(arguments, options, need_weights):
    """torch.nn.MultiheadAttention between identity matrices. Its boolean masks say which keys to
    ignore."""
    import torch
    mask, ignored = options["mask"], None
    if padding(mask):
        ignored = torch.tensor(~folded_mask(mask, arguments)[:, 0, 0])
        options = options | {"mask": None}
    mask = folded_mask(explicit(arguments, options), arguments)
    if mask is not None:
        mask = (~mask if boolean(mask) else mask).reshape(-1, *mask.shape[-2:])
    rules = {"attn_mask": torch_mask(mask, arguments["q"]), "key_padding_mask": ignored,
             "need_weights": need_weights}

    def f(q, k, v):
        q, k, v = folded(torch.broadcast_to, q, k, v)
        B, H, Tq, d = q.shape
        q = q if options["scale"] is None else q * (options["scale"] * math.sqrt(d))
        one = torch.eye(H * d, dtype=q.dtype)
        module = torch.nn.MultiheadAttention(H * d, H, bias=False, batch_first=True, dtype=q.dtype)
        rows = tuple(x.swapaxes(1, 2).reshape(B, -1, H * d) for x in (q, k, v))
        weights = {"in_proj_weight": one.repeat(3, 1), "out_proj.weight": one}
        y, _ = torch.func.functional_call(module, weights, rows, rules)
        return y.reshape(B, Tq, H, d).swapaxes(1, 2).reshape(arguments["dout"].shape)

    return torch_vjp(f, arguments)


def heads_of(p):
    """Arrays of minitf's attention under the names of nn.MultiheadAttention; minitf has no key
    bias."""
    import torch
    d = p["W_C"].shape[0]
    W = [p[name].permute(1, 0, 2).reshape(d, d).T for name in ("W_Q", "W_K", "W_V")]
    b = [p["b_Q"].reshape(d), torch.zeros_like(p["b_C"]), p["b_V"].reshape(d)]
    return {"in_proj_weight": torch.cat(W), "in_proj_bias": torch.cat(b),
            "out_proj.weight": p["W_C"].T,
            "out_proj.bias": p["b_C"]}


def block(p, g, model):
    """A block of gpt as nn.TransformerEncoderLayer, or without its MLP as nn.MultiheadAttention,
    weights carried over.

    activation="gelu" would be the exact form, with erf; minitf and GPT-2 have the tanh form.
    """
    import torch
    from torch.nn import functional as F
    if not model.d_ff:
        module = torch.nn.MultiheadAttention(model.d, model.H, batch_first=True, dtype=g.dtype)
        n = F.layer_norm(g, (model.d,), p["gain_1"], p["bias_1"]) if model.norm == "layer" else g
        y, _ = torch.func.functional_call(module, heads_of(p), (n, n, n), {"need_weights": False})
        return g + y if model.residual else y
    gelu = functools.partial(F.gelu, approximate="tanh")
    activation = gelu if model.activation == "gelu" else F.relu
    module = torch.nn.TransformerEncoderLayer(model.d, model.H, model.d_ff, dropout=0.0,
                                              activation=activation,
                                              norm_first=True, batch_first=True, dtype=g.dtype)
    weights = {f"self_attn.{name}": W for name, W in heads_of(p).items()}
    for i in "12":
        weights |= {f"linear{i}.weight": p[f"W_{i}"].T, f"linear{i}.bias": p[f"b_{i}"],
                    f"norm{i}.weight": p[f"gain_{i}"], f"norm{i}.bias": p[f"bias_{i}"]}
    return torch.func.functional_call(module, weights, (g,))


def encoder(arguments, options):
    """minitf's gpt made of `block`s, between its own embedding and readout."""
    import torch
    model, X = options["model"], torch.tensor(options["X"].astype(np.int64))
    def f(**p):
        g = torch.cat([p["x_cls"].expand(len(X), 1, -1), p["E"][X] + p["P"]], dim=1)
        for l in range(model.L):
            start = f"{l}/" if model.L > 1 else ""
            g = block({name[len(start):]: x for name, x in p.items() if name.startswith(start)}, g,
                      model)
        if model.norm == "layer":
            g = torch.nn.functional.layer_norm(g, (model.d,), p["gain"], p["bias"])
        return g[:, 0] @ p["w"] + p["c"]

    return torch_vjp(f, arguments)
