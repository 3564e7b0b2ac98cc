"""Attention in other frameworks: one small adapter for each function.

    found = peer.run(arguments, options)         {"out": ..., "dq": ..., "dk": ..., "dv": ...}, by the peer's autograd

arguments {"q", "k", "v", "dout"} and options {"mask", "causal", "scale", "softcap"} as in `attention`, or the arrays of
a model with "dlogits" and {"model", "X"} as in `forward`. What a function lacks is composed from what it has, where it
can be: causal order at the bottom right is an explicit mask. PyTorch and JAX are imported when they are run.
"""
import contextlib
import functools
import math
from typing import Callable, NamedTuple

import numpy as np

from minitf.ops import sum_to
from minitf.trust.frameworks.conventions import (
    CAUSAL,
    EMPTY,
    ENDED,
    FUSED,
    LEAK,
    MEAN,
    SINGLE,
    attention_values,
    averaging,
    boolean,
    explicit,
    hidden_before_scale,
    leaking,
    model_values,
    nothing_left,
    padding,
    scores_shape,
)
from minitf.trust.frameworks.textbook import plain, plain_model


class Peer(NamedTuple):
    """A function of a framework.

    lacks        what it cannot be asked, names from `conventions.OPTIONS`
    conventions  {name: (predict, formula)}: what minitf computes where the function means something else; a formula of
                 the same whose errors are allowed. See `conventions`
    kind         the questions it answers: "attention", "block" (attention with weights) or "encoder" (and an MLP)
    precision    that of its softmax, where it is not that of its arguments
    """
    name: str
    run: Callable
    lacks: tuple = ()
    conventions: dict = {}
    kind: str = "attention"
    precision: type = None


# ---- PyTorch --------------------------------------------------------------------------------------------------------

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
    """Values of f at the arguments but the last, which is the cotangent, and the gradients of autograd."""
    import torch
    (*names, dy), (*arrays, cotangent) = arguments, (torch.tensor(x) for x in arguments.values())
    leaves = [x.requires_grad_() for x in arrays]
    with one_thread():
        y = f(*leaves)
        grads = torch.autograd.grad(y, leaves, cotangent)
    return {dy[1:]: y.detach().numpy()} | {f"d{name}": g.numpy() for name, g in zip(names, grads)}


def torch_mask(mask, like):
    """A mask as a tensor with two axes or more, or None; an additive one in the dtype of an array."""
    import torch
    return None if mask is None else torch.tensor(np.atleast_2d(mask if boolean(mask) else mask.astype(like.dtype)))


def scaled_dot_product_attention(arguments, options):
    """torch.nn.functional.scaled_dot_product_attention, is_causal for the corner that it has."""
    import torch
    is_causal = options["mask"] is None and options["causal"] in (True, "top-left")
    mask = torch_mask(None if is_causal else explicit(arguments, options), arguments["q"])

    def f(q, k, v):
        if q.ndim == 2:
            return f(q[None], k[None], v[None])[0]
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=is_causal, scale=options["scale"], enable_gqa=q.shape[-3] != k.shape[-3])

    return torch_vjp(f, arguments)


def folded(broadcast_to, *arrays):
    """Arrays with exactly one axis before that of the heads: leading axes broadcast and laid flat."""
    lead = np.broadcast_shapes(*(tuple(x.shape[:-3]) for x in arrays))
    shapes = [tuple(x.shape[-3:]) if x.ndim > 2 else (1, *x.shape) for x in arrays]
    return [broadcast_to(x, (*lead, *shape)).reshape(math.prod(lead), *shape) for x, shape in zip(arrays, shapes)]


def folded_mask(mask, arguments):
    """The mask, or None, of folded arrays, (B, H, Tq, Tk)."""
    shape = scores_shape(arguments)
    return None if mask is None else folded(np.broadcast_to, np.broadcast_to(mask, shape))[0]


def formula(arguments, options):
    """Attention written in operations of PyTorch, as models with a softcap do: the mask, 0 or -inf, is added."""
    import torch
    mask, cap = explicit(arguments, options), options["softcap"]
    mask = torch_mask(np.where(mask, 0.0, -np.inf) if boolean(mask) else mask, arguments["q"])

    def f(q, k, v):
        shared = q.shape[-3] // k.shape[-3] if q.ndim > 2 else 1
        K, V = (x.repeat_interleave(shared, -3) if shared > 1 else x for x in (k, v))
        S = (1 / math.sqrt(q.shape[-1]) if options["scale"] is None else options["scale"]) * (q @ K.mT)
        S = S if cap is None else cap * torch.tanh(S / cap)
        return torch.softmax(S if mask is None else S + mask, dim=-1) @ V

    return torch_vjp(f, arguments)


def multihead_attention(arguments, options, need_weights):
    """torch.nn.MultiheadAttention between identity matrices. Its boolean masks say which keys to ignore."""
    import torch
    mask, ignored = options["mask"], None
    if padding(mask):
        ignored = torch.tensor(~folded_mask(mask, arguments)[:, 0, 0])
        options = options | {"mask": None}
    mask = folded_mask(explicit(arguments, options), arguments)
    mask = mask if mask is None else (~mask if boolean(mask) else mask).reshape(-1, *mask.shape[-2:])
    rules = {"attn_mask": torch_mask(mask, arguments["q"]), "key_padding_mask": ignored, "need_weights": need_weights}

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
    """Arrays of minitf's attention under the names of nn.MultiheadAttention; minitf has no key bias."""
    import torch
    d = p["W_C"].shape[0]
    W = [p[name].permute(1, 0, 2).reshape(d, d).T for name in ("W_Q", "W_K", "W_V")]
    b = [p["b_Q"].reshape(d), torch.zeros_like(p["b_C"]), p["b_V"].reshape(d)]
    return {"in_proj_weight": torch.cat(W), "in_proj_bias": torch.cat(b), "out_proj.weight": p["W_C"].T,
            "out_proj.bias": p["b_C"]}


def block(p, g, model):
    """A block of gpt as nn.TransformerEncoderLayer, or without its MLP as nn.MultiheadAttention, weights carried over.

    activation="gelu" would be the exact form, with erf; minitf and GPT-2 have the tanh form.
    """
    import torch
    from torch.nn import functional as F
    if not model.d_ff:
        module = torch.nn.MultiheadAttention(model.d, model.H, batch_first=True, dtype=g.dtype)
        n = F.layer_norm(g, (model.d,), p["gain_1"], p["bias_1"]) if model.norm == "layer" else g
        y, _ = torch.func.functional_call(module, heads_of(p), (n, n, n), {"need_weights": False})
        return g + y if model.residual else y
    activation = functools.partial(F.gelu, approximate="tanh") if model.activation == "gelu" else F.relu
    module = torch.nn.TransformerEncoderLayer(model.d, model.H, model.d_ff, dropout=0.0, activation=activation,
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
    names = [name for name in arguments if name != "dlogits"]

    def f(*arrays):
        p = dict(zip(names, arrays))
        g = torch.cat([p["x_cls"].expand(len(X), 1, -1), p["E"][X] + p["P"]], dim=1)
        for l in range(model.L):
            start = f"{l}/" if model.L > 1 else ""
            g = block({name[len(start):]: x for name, x in p.items() if name.startswith(start)}, g, model)
        if model.norm == "layer":
            g = torch.nn.functional.layer_norm(g, (model.d,), p["gain"], p["bias"])
        return g[:, 0] @ p["w"] + p["c"]

    return torch_vjp(f, arguments)


# ---- JAX ------------------------------------------------------------------------------------------------------------

QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}         # compiles 6 times as fast


@functools.cache
def jax_vjp():
    """Value and gradients of jax.nn.dot_product_attention, compiled once for every shape."""
    import jax

    def run(q, k, v, dout, mask, bias, scale, is_causal):
        out, vjp = jax.vjp(lambda q, k, v: jax.nn.dot_product_attention(q, k, v, mask=mask, bias=bias, scale=scale,
                                                                        is_causal=is_causal), q, k, v)
        return out, *vjp(dout)

    try:
        jax.jit(lambda x: x + 1, compiler_options=QUICK)(0)
    except Exception:                   # another version, that does not know them
        return jax.jit(run, static_argnames="is_causal")
    return jax.jit(run, static_argnames="is_causal", compiler_options=QUICK)


def dot_product_attention(arguments, options):
    """jax.nn.dot_product_attention, 64-bit numbers enabled for this call alone; heads are its third axis."""
    import jax
    mask, bias, is_causal = options["mask"], None, options["causal"] in (True, "top-left")
    if mask is not None and not boolean(mask):
        mask, bias = None, folded_mask(mask, arguments).astype(arguments["q"].dtype)
    mask = folded_mask(mask if is_causal else explicit(arguments, options | {"mask": mask}), arguments)
    lead = scores_shape(arguments)[:-3]
    arrays = [x.swapaxes(1, 2) for x in folded(np.broadcast_to, *arguments.values())]
    x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64
    with x64(True), jax.default_device(jax.devices("cpu")[0]):
        found = jax_vjp()(*arrays, mask, bias, options["scale"], is_causal=is_causal)
    out, *grads = (np.asarray(x).swapaxes(1, 2) for x in found)
    grads = [sum_to(g.reshape(*lead, *g.shape[-3:]) if x.ndim > 2 else g[0, 0], x.shape)
             for g, x in zip(grads, arguments.values())]
    return dict(zip(("out", "dq", "dk", "dv"), (out.reshape(arguments["dout"].shape), *grads)))


fused, fused_model = (functools.partial(formula, fused=True) for formula in (plain, plain_model))
mixed, uniform = (functools.partial(nothing_left, **{way: True}) for way in ("mixed", "uniform"))
stops, ends = (functools.partial(leaking, **{way: True}) for way in ("stops", "ends"))
MODULE = "softcap", "dv != d", "grouped heads", "NaN in masked v"
PEERS = {
    "torch": (
        Peer("scaled_dot_product_attention", scaled_dot_product_attention, ("softcap",),
             {FUSED: (attention_values, fused), LEAK: (leaking, fused), ENDED: (ends, ends),
              CAUSAL: (hidden_before_scale, hidden_before_scale)}),
        Peer("nn.MultiheadAttention", functools.partial(multihead_attention, need_weights=True), MODULE,
             {EMPTY: (mixed, mixed)}),
        Peer("nn.MultiheadAttention, need_weights=False", functools.partial(multihead_attention, need_weights=False),
             MODULE, {FUSED: (attention_values, fused)}),
        Peer("softmax(q k^T) v by autograd", formula, (), {EMPTY: (nothing_left, nothing_left), LEAK: (leaking, leaking)}),
        Peer("nn.MultiheadAttention as a block of gpt", encoder, (), {FUSED: (model_values, fused_model)}, "block"),
        Peer("nn.TransformerEncoderLayer", encoder, (), {FUSED: (model_values, fused_model)}, "encoder")),
    "jax": (
        Peer("jax.nn.dot_product_attention", dot_product_attention, ("softcap", "dv != d"),
             {SINGLE: (attention_values, plain), MEAN: (averaging, averaging), EMPTY: (uniform, uniform),
              LEAK: (stops, stops)}, precision=np.float32),),
}
