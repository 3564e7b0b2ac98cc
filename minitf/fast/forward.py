"""A model is its configuration, its arrays and one function: examples in, one logit each out.

    logits, pullback = forward(params, X, model)        then        grads = pullback(dlogits)

    x_t    = E[X_t] + P_t            tokens, t = 1..T, and x_0 = x_cls                    (m, T+1, d)
    s_ht   = x_t . q_h               scores of head h;  q_h = W_QK x_cls                  (m, H, T+1)
    a_h    = softmax(s_h)            attention weights of the [CLS] query                 (m, H, T+1)
    head_h = sum_t a_ht x_t W_V,h    averages of the values                               (m, H, d_v)
    logit  = readout of the heads    `network` says how they are combined                 (m,)

That is tf-scalar, the model of the paper. `config` lists the others: L layers, gpt, mlp. A model of one layer goes
through the tables of `heads`, all others, and path="general", through the rows of `network`: the same function.
Every derivative is the composition of pullbacks of `ops`, `attention` and `bits`; none is written here a second time.
Source: Edelman, Goel, Kakade, Zhang 2022, section 3 (tf-head, tf-scalar).
"""
import numpy as np

from minitf.checks import choice, floats, require
from minitf.fast.cls_head import bit_averager
from minitf.fast.tables import bit_heads, bit_weights, table_attention, table_heads
from minitf.model import (cls_attention, cls_heads, embedded, examples_of, fixed_parts, mlp,
                          position_table, readout, same_shapes, shapes, symbols)
from minitf.tasks import Packed

__all__ = ["ModelConfig", "attention_of", "blocks", "constraints", "forward", "head_shares", "init_params", "readout",
           "shapes"]


def forward(params, X, model, *, z=None, path="fast"):
    """Logits of examples, and the pullback to a dict of gradients with the keys of params.

    X (m, T) symbols 0..V-1 -> logits (m,). With input "tokens" X is tokens (m, T, d), the first of them [CLS], and the
    dict also holds "X"; in one layer z, (d,) or (m, d), may be the query instead of the first token, with its "z".
    path "fast" is the exact two-product form of `bits` where it applies, "general" builds every token and calls
    `attention`: the same function, for tests and for reading. Errors: names or shapes not those of the model, a wrong
    T, a symbol that does not exist.
    """
    X, z = examples_of(X, z, model)
    params = {name: floats(name, value, finite=True) for name, value in params.items()}
    same_shapes("params", params, shapes(model))
    choice("path", path, ("fast", "general"))
    if model.block == "mlp":
        logits, back = mlp(params, X, model)
    else:
        out, g, back_heads = last_heads(params, X, model, z, path)
        logits, back_readout = readout(params, out, g, model)

        def back(dlogits):
            dout, dg, grads = back_readout(dlogits)
            return grads | back_heads(dout, dg)

    wanted = [*params, *(["X"] if model.input == "tokens" else []), *([] if z is None else ["z"])]

    def pullback(dlogits):
        dlogits = floats("dlogits", dlogits)
        require(dlogits.shape == logits.shape, "dlogits", f"shape {logits.shape}", dlogits)
        grads = back(dlogits)
        return {name: grads[name] for name in wanted}

    return logits, pullback


def predictor(params, model):
    """The function X -> logits of `forward`, for many X: where the weights of the bits are the same for all, found once."""
    if not bits_alone(model):
        return lambda X: forward(params, X, model)[0]
    average = bit_averager(bit_weights(params["q"], position_table(params, model), model)[0])
    return lambda X: readout(params, average(symbols(X, model))[..., None], None, model)[0]


def blocks(m, model):
    """Cut m examples into slices that are as many as a pass should take at once: 4096, or so few that they hold at most
    2^29 bits and an array of all their rows, or of their scores in one layer, at most 2^22 numbers."""
    rows = min(4096, max(1, 2 ** 29 // model.T))
    if model.block != "mlp" and not has_tables(model):
        rows = max(1, 2 ** 22 // ((model.T + 1) * max(model.H * model.d, model.d_ff, model.H * (model.T + 1))))
    return [slice(i, i + rows) for i in range(0, max(m, 1), rows)]


def has_tables(model, path="fast"):
    """Whether the heads of [CLS] come from tables: one layer over symbols, and no maximum over the scores."""
    return path == "fast" and (model.L, model.input) == (1, "bits") and model.normalise != "hard"


def bits_alone(model, path="fast"):
    """Whether they are means of the bits whose weights are the same for every example."""
    return has_tables(model, path) and model.values == "bit" and model.normalise == "softmax"


def whole(params, model, path="fast"):
    """The arrays of a model with those that are fixed; the q of bit values gets the axes of E and x_cls. Where tables
    come from one-hot positions, and no norm needs the tokens, P is None: the identity."""
    identity = has_tables(model, path) and (model.positions, model.block) == ("onehot", "tf")
    full = {**params, **fixed_parts(model, params["w"].dtype, identity=identity)}
    return full | ({"q": np.pad(params["q"], ((0, 0), (0, 3)))} if model.values == "bit" else {})


def last_heads(params, X, model, z=None, path="fast"):
    """Heads (m, H, d_v) of [CLS] in the last layer, and its row g, (m, d) or (d,). pullback(dout, dg) -> a dict."""
    if bits_alone(model, path):
        out, back = bit_heads(params, position_table(params, model), X, model)
        return out, None, lambda dout, dg: back(dout)
    full = whole(params, model, path)
    if has_tables(model, path):
        out, g, back = table_heads(full, X, model)
    else:
        tokens, back_tokens = (X, lambda dX: {"X": dX}) if model.input == "tokens" else embedded(full, X, model)
        out, g, back_heads = cls_heads(full, tokens, model, z)

        def back(dout, dg):
            dtokens, dz, grads = back_heads(dout, dg)
            return {**grads, **({} if z is None else {"z": dz}), **back_tokens(dtokens)}

    def pullback(dout, dg):
        grads = back(dout, dg)
        return {name: g[:, :model.d - 3] if name == "q" and model.values == "bit" else g for name, g in grads.items()}

    return out, g, pullback


def attention_of(params, X, model):
    """Attention weights of the [CLS] query on the T positions in the last layer, averaged over examples: (H, T).

    [CLS] keeps the rest (with tokens it is the first of the T). mlp has no heads: (0, T).
    """
    X = X if isinstance(X, Packed) else examples_of(X, None, model)[0]
    if model.block == "mlp":
        return np.zeros((0, model.T))
    if bits_alone(model):
        return bit_weights(params["q"], position_table(params, model), model)[0]
    full, parts = whole(params, model), []
    for rows in blocks(len(X), model):
        x = X[rows]
        if has_tables(model):
            weights = table_attention(full, x, model)
        elif model.input == "tokens":
            weights = cls_attention(full, x, model)
        else:
            weights = cls_attention(full, embedded(full, x, model)[0], model)[:, 1:]
        parts.append(len(x) / max(len(X), 1) * weights)
    return sum(parts)


def head_shares(params, X, model):
    """How much of the logit each head of the last layer moves over the examples: (H,), summing to 1.

        share_h ~ mean_i | (dlogit_i / dhead_ih) . (head_ih - mean_i head_ih) |

    A head whose output the readout ignores, or that is the same for every example, has share 0; equal if none moves.
    """
    if model.H < 2:
        return np.ones(model.H)
    X = X if isinstance(X, Packed) else examples_of(X, None, model)[0]
    out, dout = [], []
    for rows in blocks(len(X), model):
        heads, g, _ = last_heads(params, X[rows], model)
        logits, back_readout = readout(params, heads, g, model)
        out.append(heads)
        dout.append(back_readout(np.ones_like(logits))[0])
    out, dout = np.concatenate(out), np.concatenate(dout)
    moved = np.abs((dout * (out - out.mean(axis=0))).sum(axis=-1)).mean(axis=0)
    return moved / moved.sum() if moved.sum() > 0 else np.full(model.H, 1 / model.H)
