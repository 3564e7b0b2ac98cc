"""Attention in other frameworks: one small adapter for each function.

    found = peer.run(arguments, options)         {"out": ..., "dq": ..., "dk": ..., "dv": ...}, by
                                                 the peer's autograd

arguments {"q", "k", "v", "dout"} and options {"mask", "causal", "scale", "softcap"} as in
`attention`, or the arrays of a model with "dlogits" and {"model", "X"} as in `forward`. What a
function lacks is composed from what it has, where it can be: causal order at the bottom right is an
explicit mask. PyTorch and JAX are imported when they are run.
"""
import functools
from collections.abc import Callable
from typing import NamedTuple

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
    hidden_before_scale,
    leaking,
    model_values,
    nothing_left,
)
from minitf.trust.frameworks.pairs import boolean, explicit, folded, folded_mask, scores_shape
from minitf.trust.frameworks.pytorch import (
    encoder,
    formula,
    multihead_attention,
    scaled_dot_product_attention,
)
from minitf.trust.frameworks.textbook import plain, plain_model


class Peer(NamedTuple):
    """A function of a framework.

    lacks        what it cannot be asked, names from `conventions.OPTIONS`
    conventions  {name: (predict, formula)}: what minitf computes where the function means something
                 else; a formula of the same whose errors are allowed. See `conventions`
    kind         the questions it answers: "attention", "block" (attention with weights) or
                 "encoder" (and an MLP)
    precision    that of its softmax, where it is not that of its arguments
    """
    name: str
    run: Callable
    lacks: tuple = ()
    conventions: dict = {}
    kind: str = "attention"
    precision: type | None = None


# compiles 6 times as fast
QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


@functools.cache
def jax_vjp():
    """Value and gradients of jax.nn.dot_product_attention, compiled once for every shape."""
    import jax

    def run(q, k, v, dout, mask, bias, scale, is_causal):
        def f(q, k, v, bias):
            return jax.nn.dot_product_attention(q, k, v, mask=mask, bias=bias, scale=scale,
                                                is_causal=is_causal)
        out, vjp = jax.vjp(f, q, k, v, bias)
        return out, *vjp(dout)

    try:
        jax.jit(lambda x: x + 1, compiler_options=QUICK)(0)
    except Exception:                   # another version, that does not know them
        return jax.jit(run, static_argnames="is_causal")
    return jax.jit(run, static_argnames="is_causal", compiler_options=QUICK)


def dot_product_attention(arguments, options):
    """jax.nn.dot_product_attention, 64-bit numbers enabled for this call alone; heads are its third
    axis."""
    import jax
    mask, bias, dtype = options["mask"], arguments.get("bias"), arguments["q"].dtype
    is_causal = options["causal"] in (True, "top-left") and options.get("window") is None
    is_causal = is_causal and "q_ids" not in arguments
    if mask is not None and not boolean(mask):
        mask, bias = None, mask if bias is None else mask + bias
    bias = None if bias is None else folded_mask(bias, arguments).astype(dtype)
    mask = folded_mask(mask if is_causal else explicit(arguments, options | {"mask": mask}),
                       arguments)
    lead = scores_shape(arguments)[:-3]
    rows = [arguments[name] for name in ("q", "k", "v", "dout")]
    arrays = [x.swapaxes(1, 2) for x in folded(np.broadcast_to, *rows)]
    x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64
    with x64(True), jax.default_device(jax.devices("cpu")[0]):
        found = jax_vjp()(*arrays, mask, bias, options["scale"], is_causal=is_causal)
    out, *grads = (np.asarray(x).swapaxes(1, 2) for x in found[:4])
    grads = dict(zip(("q", "k", "v"), grads))
    if "bias" in arguments:
        grads["bias"] = np.asarray(found[4])
    heads = arguments["q"].ndim > 2
    return {"out": out.reshape(arguments["dout"].shape)} | {
        f"d{name}": sum_to(g.reshape(*lead, *g.shape[-3:]) if heads else g[0, 0],
                           arguments[name].shape) for name, g in grads.items()}


fused, fused_model = (functools.partial(formula, fused=True) for formula in (plain, plain_model))
mixed, uniform = (functools.partial(nothing_left, **{way: True}) for way in ("mixed", "uniform"))
stops, ends = (functools.partial(leaking, **{way: True}) for way in ("stops", "ends"))
NEW = "sinks", "keep", "lse"
MODULE = "softcap", "dv != d", "grouped heads", "NaN in masked v", "bias", *NEW
PEERS = {
    "torch": (
        Peer("scaled_dot_product_attention", scaled_dot_product_attention, ("softcap", *NEW),
             {FUSED: (attention_values, fused), LEAK: (leaking, fused), ENDED: (ends, ends),
              CAUSAL: (hidden_before_scale, hidden_before_scale)}),
        Peer("nn.MultiheadAttention", functools.partial(multihead_attention, need_weights=True),
             MODULE,
             {EMPTY: (mixed, mixed)}),
        Peer("nn.MultiheadAttention, need_weights=False",
             functools.partial(multihead_attention, need_weights=False),
             MODULE, {FUSED: (attention_values, fused)}),
        Peer("softmax(q k^T) v by autograd", formula, ("lse of empty rows",),
             {EMPTY: (nothing_left, nothing_left), LEAK: (leaking, leaking),
              FUSED: (attention_values, fused)}),
        Peer("nn.MultiheadAttention as a block of gpt", encoder, (),
             {FUSED: (model_values, fused_model)}, "block"),
        Peer("nn.TransformerEncoderLayer", encoder, (), {FUSED: (model_values, fused_model)},
             "encoder")),
    "jax": (
        Peer("jax.nn.dot_product_attention", dot_product_attention, ("softcap", "dv != d", *NEW),
             {SINGLE: (attention_values, plain), MEAN: (averaging, averaging),
              EMPTY: (uniform, uniform),
              LEAK: (stops, stops)}, precision=np.float32),),
}
