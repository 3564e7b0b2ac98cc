"""tf-scalar, the model of the paper: one attention layer with a [CLS] query over bits, read out as one logit.

    logits, pullback = forward(params, X, model)        then        grads = pullback(dlogits)

    x_t    = E[X_t] + P_t            tokens, t = 1..T, and x_0 = x_cls                    (m, T+1, d)
    s_ht   = x_t . q_h               scores of head h;  q_h = W_QK x_cls                  (m, H, T+1)
    a_h    = softmax(s_h)            attention weights of the [CLS] query                 (m, H, T+1)
    head_h = sum_t a_ht x_t W_V,h    averages of the values                               (m, H, d_v)
    sum-pre   o = sigma(sum_h head_h) W_C              sum-out   o = sum_h sigma(head_h) W_C,h
    concat    o = sigma([head_1 .. head_H] W_C)        d_o = 0: no W_C
    logit  = o . w + c                                                                    (m,)

Every derivative is the composition of pullbacks of `ops`, `attention` and `bits`; none is written here a second time.
Source: Edelman, Goel, Kakade, Zhang 2022, section 3 (tf-head, tf-scalar).
"""
import math
from dataclasses import dataclass

import numpy as np

from minitf.attention import attention
from minitf.bits import cls_head, mean_bit
from minitf.checks import choice, floats, generator, integer, real, require
from minitf.ops import ACTIVATIONS, add, embed, linear, softmax
from minitf.params import same_shapes
from minitf.projections import Ball


@dataclass(frozen=True)
class ModelConfig:
    """Shape and function class of a tf-scalar model; `paper` and `scalar` make the usual ones.

    T positions; V symbols; H heads of value width d_v; d token width; d_o columns of W_C (0: no W_C).
    heads      "sum-pre", "sum-out" or "concat": how heads are combined (module page)
    activation sigma: "identity", "relu" or "gelu"
    positions  "learned": E, P, x_cls, W_V are trained.  "onehot": they are fixed, E_0, E_1, P_1 .. P_T, x_cls orthonormal
               and W_V = E_1, so that the value is the bit and only q (in the span of P), w and c are trained
    radius     bound on ||q_h||_1 of every head, which is ||W_QK^T||_{2,1} for a unit x_cls; math.inf: none
    bound      bound on every |w_j| and on |c|; math.inf: none
    """
    T: int
    V: int = 2
    H: int = 1
    d: int = 64
    d_v: int = 8
    d_o: int = 0
    heads: str = "sum-pre"
    activation: str = "identity"
    positions: str = "learned"
    radius: float = math.inf
    bound: float = math.inf

    def __post_init__(self):
        for name, low in {"T": 1, "V": 2, "H": 1, "d": 1, "d_v": 1, "d_o": 0}.items():
            object.__setattr__(self, name, integer(name, getattr(self, name), low))
        choice("heads", self.heads, ("sum-pre", "sum-out", "concat"))
        choice("activation", self.activation, ACTIVATIONS)
        choice("positions", self.positions, ("learned", "onehot"))
        for name in ("radius", "bound"):
            value = real(name, getattr(self, name), "a number > 0", lambda r: r > 0)
            object.__setattr__(self, name, value)
        onehot = (self.V, self.d, self.d_v) == (2, self.T + 3, 1)
        require(self.positions == "learned" or onehot, "positions", "V = 2, d = T + 3, d_v = 1 with onehot", self.positions)

    @classmethod
    def paper(cls, T, k=3, *, H=1, radius=None):
        """The bounded class: one-hot positions, value = the bit, logit = w r + c, ||q||_1 <= k (log T + 4), |w|, |c| <= 16 k.

        k is the sparsity that the class is sized for, 3 unless given. The radius suffices for attention 1 - e^-4 on k
        positions. Source: the construction of sparse functions in section 4 of the paper.
        """
        T, k = integer("T", T, 1), integer("k", k, 1)
        radius = k * (math.log(T) + 4) if radius is None else radius
        return cls(T=T, H=H, d=T + 3, d_v=1, positions="onehot", radius=radius, bound=16.0 * k)

    @classmethod
    def scalar(cls, T, *, H=16, d=64, d_o=256, radius=math.inf):
        """An unconstrained tf-scalar: H learned heads of d/H values each, concatenated, and d_o ReLU units."""
        require(integer("d", d, 1) % integer("H", H, 1) == 0, "H", f"a divisor of d = {d}", H)
        return cls(T=T, H=H, d=d, d_v=d // H, d_o=d_o, heads="concat", activation="relu", radius=radius)

    @property
    def width(self):
        """Width of the combined heads, before W_C."""
        return self.d_v if self.heads == "sum-pre" else self.H * self.d_v


def shapes(model):
    """The name and shape of every trained array of a model, in the order of the forward pass."""
    H, T, d = model.H, model.T, model.d
    if model.positions == "onehot":
        tokens = {"q": (H, T)}
    else:
        tokens = {"E": (model.V, d), "P": (T, d), "x_cls": (d,), "q": (H, d), "W_V": (H, d, model.d_v)}
    mixed = {"W_C": (model.width, model.d_o)} if model.d_o else {}
    return {**tokens, **mixed, "w": (model.d_o or model.width,), "c": ()}


def init_params(rng, model):
    """Draw the starting parameters: normal, E, P, x_cls of standard deviation 1/2, W_V, W_C, w 1/sqrt(rows), q 3/2/sqrt(d),
    so that every head attends to positions of its own from the start. The bounded class starts from uniform attention,
    q = 0, and w = 1. c = 0."""
    generator("rng", rng)
    params = {}
    for name, shape in shapes(model).items():
        fan_in = {"q": model.d / 2.25, "W_V": model.d, "W_C": model.width, "w": model.d_o or model.width}
        scale = 1 / math.sqrt(fan_in[name]) if name in fan_in else 0.5
        params[name] = scale * rng.standard_normal(shape)
    params["c"] = np.zeros(())
    if model.positions == "onehot":
        params |= {"q": np.zeros((model.H, model.T)), "w": np.ones(params["w"].shape)}
    return params


def constraints(model):
    """The sets of the class: ||q_h||_1 <= radius for every head, |w_j| <= bound and |c| <= bound; none where infinite."""
    balls = {"q": Ball("l1", model.radius, axes=1)} if model.radius < math.inf else {}
    return balls | ({"w": Ball("linf", model.bound), "c": Ball("linf", model.bound)} if model.bound < math.inf else {})


def forward(params, X, model, *, path="fast"):
    """Logits of examples, and the pullback to a dict of gradients with the keys of params.

    X (m, T) symbols 0..V-1 -> logits (m,). path "fast" is the exact two-product form of `bits`, "general" builds every
    token and calls `attention`: the same function, for tests and for reading. Errors: names or shapes not those of the
    model, a wrong T, a symbol that does not exist.
    """
    X = symbols(X, model)
    params = {name: floats(name, value, finite=True) for name, value in params.items()}
    same_shapes("params", params, shapes(model))
    choice("path", path, ("fast", "general"))
    heads = _general_heads if path == "general" else _onehot_heads if model.positions == "onehot" else _table_heads
    out, back_heads = heads(params, X, model)
    logits, back_readout = readout(params, out, model)

    def pullback(dlogits):
        dlogits = floats("dlogits", dlogits)
        require(dlogits.shape == logits.shape, "dlogits", f"shape {logits.shape}", dlogits)
        dout, grads = back_readout(dlogits)
        grads = grads | back_heads(dout)
        return {name: grads[name] for name in params}

    return logits, pullback


def symbols(X, model):
    """Return X as an integer array (m, T) of symbols of the model."""
    X = np.asarray(X)
    X = X.view(np.uint8) if X.dtype == np.bool_ else X
    require(X.dtype.kind in "iu", "X", "integers", X, TypeError)
    require(X.ndim == 2 and X.shape[1] == model.T, "X", f"shape (any, {model.T})", X)
    require(not X.size or (0 <= X.min() and X.max() < model.V), "X", f"symbols from 0 to {model.V - 1}", X)
    return X


def readout(params, out, model):
    """Combine the heads (m, H, d_v) into logits (m,); pullback(dlogits) -> dout and the gradients of W_C, w, c."""
    sigma = ACTIVATIONS[model.activation]
    W_C = params["W_C"] if model.d_o else np.eye(model.width, dtype=params["w"].dtype)
    pooled = out.sum(axis=1) if model.heads == "sum-pre" else out.reshape(len(out), model.width)
    if model.heads == "concat":
        mixed, back_mix = linear(pooled, W_C)
        o, back_sigma = sigma(mixed)
    else:
        active, back_sigma = sigma(pooled)
        o, back_mix = linear(active, W_C)
    logits, back_logits = linear(o, params["w"][:, None], params["c"][None])

    def pullback(dlogits):
        do, dw, dc = back_logits(dlogits[:, None])
        if model.heads == "concat":
            dpooled, dW_C = back_mix(back_sigma(do))
        else:
            dactive, dW_C = back_mix(do)
            dpooled = back_sigma(dactive)
        dout = np.broadcast_to(dpooled[:, None], out.shape) if model.heads == "sum-pre" else dpooled.reshape(out.shape)
        return dout, {"W_C": dW_C, "w": dw[:, 0], "c": dc[0]}

    return logits[:, 0], pullback


def _project(tokens, params):
    """Scores and values of tokens (..., d) for every head, in one product: s (..., H), v (..., H, d_v)."""
    H, d, d_v = params["W_V"].shape
    W = np.concatenate([params["q"].T, params["W_V"].transpose(1, 0, 2).reshape(d, H * d_v)], axis=1)
    y, back = linear(tokens, W)
    s, v = y[..., :H], y[..., H:].reshape(*y.shape[:-1], H, d_v)

    def pullback(ds, dv):
        dtokens, dW = back(np.concatenate([ds, dv.reshape(*ds.shape[:-1], H * d_v)], axis=-1))
        return dtokens, {"q": dW[:, :H].T, "W_V": dW[:, H:].reshape(d, H, d_v).transpose(1, 0, 2)}

    return s, v, pullback


def _table_heads(params, X, model):
    """Heads (m, H, d_v) of learned tokens by the fast path: scores and values of all V T + 1 possible tokens first."""
    tokens, back_add = add(params["E"][:, None], params["P"])
    s, v, back_tokens = _project(tokens, params)
    s_cls, v_cls, back_cls = _project(params["x_cls"], params)
    out, back_head = cls_head(np.moveaxis(s, -1, 0), np.moveaxis(v, -2, 0), s_cls, v_cls, X)

    def pullback(dout):
        ds, dv, ds_cls, dv_cls = back_head(dout)
        dx_cls, grads_cls = back_cls(ds_cls, dv_cls)
        dtokens, grads = back_tokens(np.moveaxis(ds, 0, -1), np.moveaxis(dv, 0, -2))
        dE, dP = back_add(dtokens)
        return {"E": dE[:, 0], "P": dP, "x_cls": dx_cls} | {name: grads[name] + grads_cls[name] for name in grads}

    return out, pullback


def _onehot_heads(params, X, model):
    """Heads (m, H, 1) of the bounded class: scores do not depend on the bits, so every head is one mean of the bits."""
    scores = np.concatenate([np.zeros_like(params["q"][:, :1]), params["q"]], axis=1)
    A, back_softmax = softmax(scores)
    r, back_mean = mean_bit(A[:, 1:], X)

    def pullback(dout):
        dA = back_mean(dout[..., 0])
        return {"q": back_softmax(np.concatenate([np.zeros_like(dA[:, :1]), dA], axis=1))[:, 1:]}

    return r[..., None], pullback


def _general_heads(params, X, model):
    """Heads (m, H, d_v) the ordinary way: build every token of every example and attend to them from [CLS]."""
    full = params if model.positions == "learned" else _fixed_parts(params, model)
    H, m = model.H, len(X)
    embedded, back_embed = embed(X, full["E"])
    tokens, back_add = add(embedded, full["P"])
    tokens = np.concatenate([np.broadcast_to(full["x_cls"], (m, 1, model.d)), tokens], axis=1)
    keys = np.broadcast_to(tokens[:, None], (m, H, model.T + 1, model.d))
    _, values, back_values = _project(tokens, full)
    out, back_attention = attention(full["q"][:, None], keys, values.swapaxes(1, 2), scale=1.0)

    def pullback(dout):
        dq, dkeys, dvalues = back_attention(dout[:, :, None])
        dtokens, grads = back_values(np.zeros((m, model.T + 1, H), dout.dtype), dvalues.swapaxes(1, 2))
        dtokens = dtokens + dkeys.sum(axis=1)
        dembedded, dP = back_add(dtokens[:, 1:])
        full_grads = grads | {"E": back_embed(dembedded), "P": dP, "x_cls": dtokens[:, 0].sum(axis=0), "q": dq[:, 0]}
        return full_grads if model.positions == "learned" else {"q": full_grads["q"][:, :model.T]}

    return out[:, :, 0], pullback


def _fixed_parts(params, model):
    """The bounded class as an ordinary tf-scalar: axes 1..T for positions, then E_0, E_1 and x_cls; W_V = E_1."""
    basis = np.eye(model.d, dtype=params["q"].dtype)
    E = basis[model.T:model.T + 2]
    W_V = np.broadcast_to(E[1][:, None], (model.H, model.d, 1))
    return {"E": E, "P": basis[:model.T], "x_cls": basis[-1], "W_V": W_V, "q": np.pad(params["q"], ((0, 0), (0, 3)))}


def attention_of(params, X, model):
    """Attention weights of the [CLS] query on the T positions, averaged over examples: (H, T). [CLS] keeps the rest.

    They are the derivative of the averaged head in its values.
    """
    X = symbols(X, model)
    if model.positions == "onehot":
        return softmax(np.pad(params["q"], ((0, 0), (1, 0))))[0][:, 1:]
    s = np.moveaxis((params["E"][:, None] + params["P"]) @ params["q"].T, -1, 0)
    s_cls = params["q"] @ params["x_cls"]
    _, pullback = cls_head(s, np.zeros((*s.shape, 1), s.dtype), s_cls, np.zeros((model.H, 1), s.dtype), X)
    _, dv, _, _ = pullback(np.full((len(X), model.H, 1), 1 / len(X), s.dtype))
    return dv[..., 0].sum(axis=1)


def head_shares(params, X, model):
    """How much of the logit each head moves over the examples: (H,), summing to 1.

        share_h ~ mean_i | (dlogit_i / dhead_ih) . (head_ih - mean_i head_ih) |

    A head whose output the readout ignores, or that is the same for every example, has share 0; all equal if none moves.
    """
    out, _ = (_onehot_heads if model.positions == "onehot" else _table_heads)(params, symbols(X, model), model)
    logits, back_readout = readout(params, out, model)
    dout, _ = back_readout(np.ones_like(logits))
    moved = np.abs((dout * (out - out.mean(axis=0))).sum(axis=-1)).mean(axis=0)
    return moved / moved.sum() if moved.sum() > 0 else np.full(model.H, 1 / model.H)
