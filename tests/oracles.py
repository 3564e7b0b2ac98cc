"""Every forward once more, one number at a time: slow, obvious, and sharing no line with what it judges.

NumPy is used to hold and index arrays only; sums are math.fsum (correctly rounded), functions those of math. Vectors
are lists. Arguments are float arrays as in `ops`, `losses` and `attention`; results are float64 arrays.
"""
import math

import numpy as np


def dot(a, b):
    """Sum of a_i b_i."""
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def over_rows(f, x):
    """Apply f, list to list, to every row of x, the last axis."""
    y = np.empty(x.shape)
    for i in np.ndindex(x.shape[:-1]):
        y[i] = f([float(entry) for entry in x[i]])
    return y


def over_entries(f, *arrays):
    """Apply f, floats to float, to the entries of arrays of one shape."""
    y = np.empty(arrays[0].shape)
    for i in np.ndindex(y.shape):
        y[i] = f(*(float(x[i]) for x in arrays))
    return y


def softmax_row(s):
    """exp(s_j) / sum exp(s_j); zeros if every s_j is -inf."""
    top = max(s, default=-math.inf)
    if top == -math.inf:
        return [0.0] * len(s)
    e = [math.exp(x - top) for x in s]
    return [x / math.fsum(e) for x in e]


def softmax(S):
    """Twin of ops.softmax."""
    return over_rows(softmax_row, S)


def layer_norm(x, gain, bias, *, eps=1e-5):
    """Twin of ops.layer_norm."""
    def row(r):
        mean = math.fsum(r) / len(r)
        variance = math.fsum((t - mean) ** 2 for t in r) / len(r)
        return [g * (t - mean) / math.sqrt(variance + eps) + b for t, g, b in zip(r, gain, bias)]
    return over_rows(row, x)


def unit_ball(x):
    """Twin of ops.unit_ball."""
    return over_rows(lambda r: [t / max(1.0, math.hypot(*r)) for t in r], x)


def add(a, b):
    """Twin of ops.add."""
    return over_entries(lambda s, t: s + t, *np.broadcast_arrays(a, b))


def linear(x, W, b=None):
    """Twin of ops.linear."""
    d, n = W.shape
    y = np.empty(x.shape[:-1] + (n,))
    for i in np.ndindex(y.shape):
        terms = [float(x[i[:-1] + (a,)]) * float(W[a, i[-1]]) for a in range(d)]
        y[i] = math.fsum(terms + ([] if b is None else [float(b[i[-1]])]))
    return y


def embed(index, E):
    """Twin of ops.embed."""
    y = np.empty(index.shape + E.shape[1:])
    for i in np.ndindex(index.shape):
        for a in range(E.shape[1]):
            y[i + (a,)] = E[int(index[i]), a]
    return y


def identity(x):
    """Twin of ops.identity."""
    return over_entries(lambda t: t, x)


def relu(x):
    """Twin of ops.relu."""
    return over_entries(lambda t: t if t > 0 else 0.0, x)


def gelu(x):
    """Twin of ops.gelu."""
    return over_entries(lambda t: t / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * t**3))), x)


def cap(x, softcap):
    """Twin of ops.cap."""
    return over_entries(lambda t: softcap * math.tanh(t / softcap), x)


def logistic(logits, y):
    """Twin of losses.logistic: the cross-entropy -y log p - (1 - y) log(1 - p) with p = sigmoid(z)."""
    def softplus(t):
        return t + math.log1p(math.exp(-t)) if t > 0 else math.log1p(math.exp(t))
    return over_entries(lambda z, target: target * softplus(-z) + (1 - target) * softplus(z), logits, y)


def attention_scores(q, k, allowed, bias, scale, softcap):
    """Scores of one query (d,) against keys (Tk, d), as a list; -inf for a key that is not allowed."""
    scores = []
    for key, may, add in zip(k, allowed, bias, strict=True):
        s = scale * dot(q, key)
        s = s if softcap is None else softcap * math.tanh(s / softcap)
        scores.append(s + add if may else -math.inf)
    return scores


def attention(q, k, v, *, mask=None, causal=False, scale=None, softcap=None):
    """Twin of attention.attention and attention_weights together: returns out, A, lse."""
    if q.ndim == 2:
        return tuple(x[0] for x in attention(q[None], k[None], v[None], mask=mask, causal=causal, scale=scale,
                                             softcap=softcap))
    (H, Tq, d), (G, Tk, dv) = q.shape[-3:], v.shape[-3:]
    lead = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    q, k, v = (np.broadcast_to(x, lead + x.shape[-3:]) for x in (q, k, v))
    mask = np.broadcast_to(True if mask is None else mask, lead + (H, Tq, Tk))
    scale = 1 / math.sqrt(d) if scale is None else scale
    reach = {False: Tk, True: 0, "top-left": 0, "bottom-right": Tk - Tq}[causal]
    out, A, lse = np.empty(lead + (H, Tq, dv)), np.empty(lead + (H, Tq, Tk)), np.empty(lead + (H, Tq))
    for *batch, h, i in np.ndindex(lead + (H, Tq)):
        key, here = (*batch, h // (H // G)), (*batch, h, i)
        given = [mask[here + (j,)] for j in range(Tk)]
        boolean = mask.dtype == np.bool_
        allowed = [j <= i + reach and bool(m if boolean else m > -math.inf) for j, m in enumerate(given)]
        s = attention_scores(q[here], k[key], allowed, [0.0 if boolean else float(m) for m in given], scale, softcap)
        A[here] = softmax_row(s)
        top = max(s, default=-math.inf)
        lse[here] = top if top == -math.inf else top + math.log(math.fsum(math.exp(x - top) for x in s))
        for c in range(dv):
            out[here + (c,)] = math.fsum(A[here + (j,)] * v[key + (j, c)] for j in range(Tk) if allowed[j])
    return out, A, lse


def mean_bit(A, X):
    """r_ih = sum_t A_ht X_it."""
    return np.array([[dot(weights, x) for weights in A] for x in X])


def cls_head(s, v, s_cls, v_cls, X):
    """Every example and head alone: softmax over s_cls and the scores s[h, X_it, t], and the mean of the values."""
    out = np.empty((len(X), len(s), v.shape[-1]))
    for i, x in enumerate(X):
        for h in range(len(s)):
            weights = softmax_row([s_cls[h]] + [s[h, b, t] for t, b in enumerate(x)])
            values = [v_cls[h]] + [v[h, b, t] for t, b in enumerate(x)]
            out[i, h] = [dot(weights, [value[j] for value in values]) for j in range(v.shape[-1])]
    return out


def tf_scalar(X, x_cls, W_QK, W_V, W_C, w, activation=identity):
    """f(X) = w . W_C^T sigma(W_V^T X^T softmax(X W_QK x_cls)), X (m, T, d) with the row x_cls put before it.

    x_cls (d,), W_QK (d, d), W_V (d, d_v), W_C (d_v, d_o), w (d_o,); activation is a twin of this file. Returns (m,).
    Source: Edelman et al. 2022, section 3 (tf-scalar).
    """
    y = np.empty(len(X))
    query = [dot(row, x_cls) for row in W_QK]
    for n, tokens in enumerate(X):
        rows = [list(x_cls)] + [list(token) for token in tokens]
        weights = softmax_row([dot(row, query) for row in rows])
        mean = [dot(weights, [row[a] for row in rows]) for a in range(len(x_cls))]
        hidden = activation(np.array([dot(mean, W_V[:, b]) for b in range(W_V.shape[1])]))
        y[n] = dot(w, [dot(hidden, W_C[:, c]) for c in range(W_C.shape[1])])
    return y


def forward(params, X, model, z=None):
    """Twin of model.forward: logits (m,), one example, one row, one head at a time. z: a query, or one an example."""
    return np.array([example(params, X[i], model, z if z is None or z.ndim == 1 else z[i])[0] for i in range(len(X))])


def cls_attention(params, X, model):
    """Twin of model.attention_of: attention (H, T) of the first row in the last layer, averaged over examples."""
    seen = [example(params, x, model, None)[1] for x in X]
    skip = 0 if model.input == "tokens" else 1
    return np.array([[math.fsum(weights[h][skip + t] for weights in seen) / len(X) for t in range(model.T)]
                     for h in range(model.H)])


def example(params, x, model, z):
    """The logit of an example, and the attention of its first row (or of z) in the last layer, a list a head."""
    if model.block == "mlp":
        row = [1.0 if bit else -1.0 for bit in x]
        for l in range(model.L):
            row = affine(row, get(params, model, l, "W_1"), get(params, model, l, "b_1"))
            row = act(row, model)
        return dot(row, params["w"]) + float(params["c"]), None
    rows = [list(map(float, token)) for token in x] if model.input == "tokens" else token_rows(params, x, model)
    for l in range(model.L):
        def p(name, l=l):
            return get(params, model, l, name)
        keys = [norm_row(row, p, "_1", model) for row in rows] if model.block == "gpt" else rows
        asking = [(list(map(float, z)), list(map(float, z)))] if z is not None else list(zip(rows, keys))
        done = [one_row(row, query, keys, p, model) for row, query in asking]
        rows, weights = [row for row, _ in done], done[0][1]
    last = norm_row(rows[0], params.get, "", model) if model.block == "gpt" else rows[0]
    return dot(last, params["w"]) + float(params["c"]), weights


def get(params, model, l, name):
    """An array of layer l, None if there is none."""
    return params.get(f"{l}/{name}" if model.L > 1 else name)


def token_rows(params, x, model):
    """x_cls, then E[b] + P_t: trained, or the fixed ones of the paper's embedding."""
    V, T, d = model.V, model.T, model.d
    if model.positions == "learned":
        E, P, x_cls = params["E"], params["P"], params["x_cls"]
    else:
        size = d - V - 1
        E, P, x_cls = np.zeros((V, d)), np.zeros((T, d)), np.zeros(d)
        x_cls[d - 1] = 1
        for b in range(V):
            E[b, size + b] = 1
        if model.positions == "sign":
            P[:, :size] = np.where(np.random.default_rng(model.position_seed).integers(0, 2, (T, size)) == 1, 1, -1)
            P /= math.sqrt(size)
        for t in range(T):
            if model.positions == "onehot":
                P[t, t] = 1
            for j in range(size // 2 if model.positions == "sinusoidal" else 0):
                angle = t / 10000 ** (2 * j / size)
                P[t, j], P[t, size // 2 + j] = (f(angle) * math.sqrt(2 / size) for f in (math.sin, math.cos))
    return [[float(a) for a in x_cls]] + [[float(E[b, a]) + float(P[t, a]) for a in range(d)] for t, b in enumerate(x)]


def affine(row, W, b=None):
    """row W + b, as a list."""
    return linear(np.array([row]), W, b)[0].tolist()


def act(row, model):
    """The activation of a model, entry by entry."""
    return {"identity": identity, "relu": relu, "gelu": gelu}[model.activation](np.array(row)).tolist()


def norm_row(row, p, i, model):
    """The norm of a model between its layers, of one row; p(name) is an array of the layer."""
    if model.norm == "layer":
        return layer_norm(np.array(row), p(f"gain{i}"), p(f"bias{i}")).tolist()
    return unit_ball(np.array(row)).tolist() if model.norm == "ball" else row


def weights_of(query, keys, p, h, model):
    """The attention of one query on all keys in head h."""
    if p("q") is not None:
        scores = [dot(key, p("q")[h]) for key in [key[:len(p("q")[h])] for key in keys]]
    elif p("W_QK") is not None:
        scores = [dot(key, [dot(row, query) for row in p("W_QK")[h]]) for key in keys]
    else:
        bias = p("b_Q")[h] if p("b_Q") is not None else None
        asked = affine(query, p("W_Q")[h], bias)
        scores = [dot(affine(key, p("W_K")[h]), asked) for key in keys]
    if model.block == "gpt":
        scores = [s / math.sqrt(model.d // model.H) for s in scores]
    return softmax_row(scores)


def one_row(row, query, keys, p, model):
    """One row after a layer, and its attention in every head."""
    weights = [weights_of(query, keys, p, h, model) for h in range(model.H)]
    heads = []
    for h in range(model.H):
        mean = [dot(weights[h], [key[a] for key in keys]) for a in range(model.d)]
        heads.append([mean[model.d - 2]] if model.values == "bit" else affine(mean, p("W_V")[h]))
    after = {"gpt": gpt_row, "tf": tf_row}[model.block]
    return after(row, heads, p, model), weights


def tf_row(row, heads, p, model):
    """The rest of a layer of the paper for one row: its heads combined, its norms, its residual."""
    W_C = p("W_C") if p("W_C") is not None else np.eye(model.width)
    if model.heads == "sum-pre":
        pooled = [math.fsum(entries) for entries in zip(*heads)]
        new = affine(act(norm_row(pooled, p, "_1", model), model), W_C)
    elif model.heads == "sum-out":
        new = affine([a for head in heads for a in act(norm_row(head, p, "_1", model), model)], W_C)
    else:
        new = act(affine(norm_row([a for head in heads for a in head], p, "_1", model), W_C), model)
    if model.residual:
        new = [a + b for a, b in zip(row, new, strict=True)]
    return norm_row(new, p, "_2", model)


def gpt_row(row, heads, p, model):
    """The rest of a block of gpt for one row: output projection, then the MLP."""
    joined = [a + float(p("b_V")[h][j]) for h, head in enumerate(heads) for j, a in enumerate(head)]
    new = affine(joined, p("W_C"), p("b_C"))
    row = [a + b for a, b in zip(row, new, strict=True)] if model.residual else new
    if not model.d_ff:
        return row
    hidden = act(affine(norm_row(row, p, "_2", model), p("W_1"), p("b_1")), model)
    new = affine(hidden, p("W_2"), p("b_2"))
    return [a + b for a, b in zip(row, new, strict=True)] if model.residual else new
