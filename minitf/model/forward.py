"""A model is its configuration, its arrays and one function: examples in, one logit each out.

    logits, pullback = forward(params, X, model)        then        grads = pullback(dlogits)

    x_t    = E[X_t] + P_t            tokens, t = 1..T, and x_0 = x_cls            (m, T+1, d)
    s_ht   = x_t . q_h               scores of head h;  q_h = W_QK x_cls          (m, H, T+1)
    a_h    = softmax(s_h)            attention weights of the [CLS] query         (m, H, T+1)
    head_h = sum_t a_ht x_t W_V,h    averages of the values                       (m, H, d_v)
    logit  = readout of the heads    `rows` says how they are combined            (m,)

That is tf-scalar, the model of the paper. `config` lists the others: L layers, gpt, mlp. This is
the definition: every token is built and attended to. `minitf.forward` is the same function, sooner.
Every derivative is the composition of pullbacks of `ops`; none is written here a second time.
Source: Edelman, Goel, Kakade, Zhang 2022, section 3 (tf-head, tf-scalar).
"""
from collections.abc import Mapping

from minitf.checks import checked, floats, op
from minitf.model.config import ModelConfig
from minitf.model.layers import cls_heads, readout
from minitf.model.mlp import mlp
from minitf.model.parameters import same_shapes, shapes
from minitf.model.tokens import complete, embedded, examples_of


@checked
def forward(params: Mapping, X, model: ModelConfig, *, z=None):
    """Logits of examples, and the pullback to a dict of gradients with the keys of params.

    X (m, T) symbols 0..V-1 -> logits (m,). With input "tokens" X is tokens (m, T, d), the first of
    them [CLS], and the dict also holds "X"; in one layer z, (d,) or (m, d), may be the query in the
    place of the first token, with its "z". Errors: names or shapes not those of the model, a wrong
    T, a symbol that does not exist.
    """
    return by_heads(row_heads, params, X, model, z)


@op
def by_heads(heads, params, X, model, z=None):
    """`forward`, with the heads of [CLS] from heads(params, X, model, z) such as `row_heads`."""
    X, z = examples_of(X, z, model)
    params = {name: floats(f"params[{name!r}]", x, finite=True) for name, x in params.items()}
    same_shapes("params", params, shapes(model))
    if model.block == "mlp":
        logits, back = mlp(params, X, model)
    else:
        out, g, back_heads = heads(params, X, model, z)
        logits, back_readout = readout(params, out, g, model)

        def back(dlogits):
            dout, dg, grads = back_readout(dlogits)
            return grads | back_heads(dout, dg)

    inputs = [*params, *(["X"] if model.input == "tokens" else []), *([] if z is None else ["z"])]

    def pullback(dlogits):
        grads = back(dlogits)
        return {name: grads[name] for name in inputs}

    return logits, pullback


def row_heads(params, X, model, z=None):
    """Heads (m, H, d_v) of [CLS] in the last layer and its row g (m, d), from every row of tokens.

    pullback(dout, dg) -> a dict.
    """
    p = complete(params, model)
    if model.input == "tokens":
        tokens, back_tokens = X, lambda dX: {"X": dX}
    else:
        tokens, back_tokens = embedded(p, X, model)
    out, g, back_heads = cls_heads(p, tokens, model, z)

    def pullback(dout, dg):
        dtokens, dz, grads = back_heads(dout, dg)
        if model.values == "bit":
            grads["q"] = grads["q"][:, :-3]
        return grads | back_tokens(dtokens) | {"z": dz}

    return out, g, pullback
