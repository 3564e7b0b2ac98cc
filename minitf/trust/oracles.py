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
