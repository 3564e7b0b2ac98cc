"""The function of `minitf.model.forward` sooner, and what goes through many examples with it.

How the heads of [CLS] are computed is chosen in one place, `path_of`:

    bits     values are bits and scores do not see them: one mean of the bits with weights that are
             the same for every example
    tables   one layer over symbols: two products with the one-hot rows of the examples
    rows     all else: every row of tokens, as in the definition
"""
from collections.abc import Mapping

import numpy as np

from minitf.checks import checked, choice
from minitf.fast.cls_head import bit_averager
from minitf.fast.tables import (
    bit_heads,
    bit_weights,
    position_table,
    table_attention,
    table_heads,
    whole,
)
from minitf.model import (
    ModelConfig,
    before,
    by_heads,
    complete,
    embedded,
    examples_of,
    layer_of,
    queries_keys,
    readout,
    row_heads,
    rows_below,
    symbols,
)
from minitf.ops import attention
from minitf.tasks import Packed

HEADS = {"bits": bit_heads, "tables": table_heads, "rows": row_heads}


def path_of(model):
    """The shortest exact way to the heads of a model: "bits", "tables", "rows"; "none" for mlp."""
    if model.block == "mlp":
        return "none"
    if model.values == "bit":
        return "bits"
    return "tables" if (model.L, model.input) == (1, "bits") else "rows"


@checked
def forward(params: Mapping, X, model: ModelConfig, *, z=None, path="fast"):
    """Logits of examples, and the pullback to a dict of gradients with the keys of params.

    X (m, T) symbols 0..V-1 -> logits (m,). With input "tokens" X is tokens (m, T, d), the first of
    them [CLS], and the dict also holds "X"; in one layer z, (d,) or (m, d), may be the query in the
    place of the first token, with its "z". path "fast" takes the short way of `path_of`, "general"
    is `minitf.model.forward`, the definition: the same function. Errors: names or shapes not those
    of the model, a wrong T, a symbol that does not exist.
    """
    choice("path", path, ("fast", "general"))
    way = "rows" if path == "general" else path_of(model)
    return by_heads(HEADS.get(way), params, X, model, z)


def bits_alone(model):
    """Whether every head is a mean of the bits with weights that are the same for all examples."""
    return path_of(model) == "bits"


def predictor(params, model):
    """The function X -> logits of `forward`, for many X.

    Weights of the bits that are the same for every example are found once.
    """
    if not bits_alone(model):
        return lambda X: forward(params, X, model)[0]
    A, _ = bit_weights(params["q"], position_table(params, model), model)
    average = bit_averager(A)
    return lambda X: readout(params, average(symbols(X, model))[..., None], None, model)[0]


def blocks(m, model):
    """Cut m examples into slices, as many as a pass should take at once.

    These are 4096, or so few that they hold at most 2^29 bits, and that an array of all their rows,
    or of their scores in one layer, has at most 2^22 numbers.
    """
    rows = min(4096, max(1, 2 ** 29 // model.T))
    if path_of(model) == "rows":
        n = model.T + 1
        widest = max(model.H * model.d, model.d_ff, model.H * n)
        rows = max(1, 2 ** 22 // (n * widest))
    return [slice(i, i + rows) for i in range(0, max(m, 1), rows)]


def attention_of(params, X, model):
    """Attention of the [CLS] query on the T positions in the last layer, averaged over examples.

    -> (H, T). [CLS] keeps the rest (with tokens it is the first of the T). mlp: (0, T), no heads.
    """
    X = X if isinstance(X, Packed) else examples_of(X, None, model)[0]
    path = path_of(model)
    if path == "none":
        return np.zeros((0, model.T))
    if path == "bits":
        return bit_weights(params["q"], position_table(params, model), model)[0]
    p = whole(params, model) if path == "tables" else complete(params, model)
    parts = []
    for rows in blocks(len(X), model):
        x = X[rows]
        if path == "tables":
            weights = table_attention(p, x, model)
        elif model.input == "tokens":
            weights = cls_attention(p, x, model)
        else:
            weights = cls_attention(p, embedded(p, x, model)[0], model)[:, 1:]
        parts.append(len(x) / max(len(X), 1) * weights)
    return sum(parts)


def cls_attention(params, tokens, model):
    """Attention (H, T+1) of [CLS] in the last layer, averaged over examples.

    It is the derivative of the averaged heads in their values.
    """
    p = layer_of(params, model.L - 1, model)
    n, _ = before(p, rows_below(params, tokens, model)[0], model)
    q, k, _ = queries_keys(p, n[:, :1], n, model)
    v = np.zeros((*k.shape[:-1], 1), k.dtype)
    out, pullback = attention(q, k, v, scale=model.scale)
    _, _, dv = pullback(np.full(out.shape, 1 / max(len(n), 1), out.dtype))
    return dv[..., 0].sum(axis=0)


def head_shares(params, X, model):
    """How much of the logit each head of the last layer moves over the examples: (H,), of sum 1.

        share_h ~ mean_i | (dlogit_i / dhead_ih) . (head_ih - mean_i head_ih) |

    A head whose output the readout ignores, or that is the same for every example, has share 0; the
    shares are equal if none moves.
    """
    if model.H < 2:
        return np.ones(model.H)
    X = X if isinstance(X, Packed) else examples_of(X, None, model)[0]
    heads_of, out, dout = HEADS[path_of(model)], [], []
    for rows in blocks(len(X), model):
        heads, g, _ = heads_of(params, X[rows], model)
        logits, back_readout = readout(params, heads, g, model)
        out.append(heads)
        dout.append(back_readout(np.ones_like(logits))[0])
    out, dout = np.concatenate(out), np.concatenate(dout)
    moved = np.abs((dout * (out - out.mean(axis=0))).sum(axis=-1)).mean(axis=0)
    return moved / moved.sum() if moved.sum() > 0 else np.full(model.H, 1 / model.H)
