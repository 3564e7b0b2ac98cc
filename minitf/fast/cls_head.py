"""The exact fast path: a [CLS] head over discrete tokens is a ratio of two affine functions.

One query, and a token that depends only on (symbol, position): so do its score s[b, t] and its
value v[b, t]. With w = exp(s - c) for any constant c, softmax attention of an example x is

    head(x) = N(x) / Z(x)
    Z(x)    = w_cls + sum_t w[x_t, t]
    N(x)    = w_cls v_cls + sum_t w[x_t, t] v[x_t, t]

and both sums are affine in the one-hot row of x: one product of the rows of all examples with a
table of V T rows. Two matrix products forward and backward, no m x T softmax, no m x T x d tokens.
The sums have only non-negative weights: nothing cancels.
"""
import numpy as np

from minitf.checks import array, bits, floats, op, require, shape, symbols
from minitf.ops import attention

BLOCK = 1 << 22         # bits that are floats at one time
LONG = 4096             # positions of which it pays to look for a weight that most have


def one_hot(X, V, dtype):
    """Indicator rows of symbols: (m, T) integers -> (m, V T), entry (i, b T + t) = [x_it = b]."""
    m, T = X.shape
    rows = np.empty((m, V, T), dtype)
    for b in range(V):
        np.equal(X, b, out=rows[:, b], casting="unsafe")
    return rows.reshape(m, V * T)


@op
def mean_bit(A, X):
    """Average the bits of every example with each head's weights:  r = X A^T,   dA = dr^T X.

    A (H, T), X (m, T) of 0 and 1 -> r (m, H). pullback(dr) -> dA. The whole head where the scores
    do not depend on the content and the value is the bit.
    """
    A, X = floats("A", A, ndim=2), bits("X", X)
    require(A.shape[1], "A", "at least one column", A)
    shape("X", X, (None, A.shape[1]))
    return bit_mean(A, X)


def bit_mean(A, X):
    """`mean_bit` of arguments that were checked."""
    def pullback(dr):
        return np.concatenate(in_parts(lambda x, _: dr.T @ x, X, A), axis=1)

    return bit_averager(A)(X), pullback


def bit_averager(A):
    """The map from bits X (m, T) to r = X A^T of `mean_bit`, for many X.

    Where every head gives one weight to most positions, their ones are counted, and only the
    weights of the others are added up.
    """
    def plain(X):
        return sum(in_parts(lambda x, cut: x @ A[:, cut].T, X, A))

    T = A.shape[1]
    if T <= LONG:
        return plain
    usual = np.partition(A, T // 2, axis=1)[:, [T // 2]]
    others = np.flatnonzero((A != usual).any(axis=0))
    if 32 * len(others) >= T:
        return plain
    rest = A[:, others] - usual

    def counted(X):
        if X.dtype != np.uint8:
            return plain(X)
        ones = (row_sums(X)[:, None] * usual.T).astype(A.dtype, copy=False)
        return ones + X[:, others].astype(A.real.dtype) @ rest.T

    return counted


def row_sums(X):
    """The number of ones in every row of X (rows, T) uint8.

    Eight bytes are added at a time, 255 times without a carry.
    """
    whole = X.shape[1] // 8 * 8
    total = X[:, whole:].sum(axis=1, dtype=np.int64)
    if whole:
        words = np.ascontiguousarray(X)[:, :whole].view(np.uint64)
        sums = np.add.reduceat(words, np.arange(0, whole // 8, 255), axis=1)
        total += sums.view(np.uint8).sum(axis=1, dtype=np.int64)
    return total


def in_parts(f, X, A):
    """f(x, cut) of parts x = X[:, cut], floats of the kind of A, about BLOCK bits at a time."""
    width = max(1, BLOCK // max(1, len(X)))
    cuts = (slice(t, t + width) for t in range(0, X.shape[1], width))
    return [f(X[:, cut].astype(A.real.dtype, copy=False), cut) for cut in cuts]


@op
def cls_head(s, v, s_cls, v_cls, X, rows=None):
    """Softmax attention of one [CLS] query over discrete tokens: all examples and heads at once.

        w    = exp(s - c)                           (H, V, T)       c = largest score of the head
        Z    = w_cls + rows w                       (m, H)
        N    = w_cls v_cls + rows (w v)             (m, H, dv)
        out  = N / Z                                (m, H, dv)

        dN   = dout / Z                             (m, H, dv)
        dZ   = -sum(dN out)                         (m, H)
        dv   = w (rows^T dN)                        (H, V, T, dv)
        ds   = w (v . rows^T dN + rows^T dZ)        (H, V, T)       and the [CLS] key likewise

    s (H, V, T), v (H, V, T, dv), s_cls (H,), v_cls (H, dv): tables of scores and values. X (m, T)
    symbols 0..V-1; rows = one_hot(X, V, dtype) may be handed in when it is at hand.
    pullback(dout) -> ds, dv, ds_cls, dv_cls.

    An example whose tokens all score so far below c that Z < sqrt(smallest float) takes the plain
    path, same numbers: so every weight that matters to Z is kept in full, and 1/Z stays in range.
    s - c is rounded once, as any score is: the error of a weight is at most |s - c| <= 354 (44 in
    float32) times the last digit. Cost: 4 m V T H (dv + 1) flops forward and backward.
    """
    s, v, s_cls, v_cls, rows = checked_tables(s, v, s_cls, v_cls, X, rows)
    m, (H, V, T, dv) = len(X), v.shape
    c = np.maximum(s.real.max(axis=(1, 2)), s_cls.real)
    w, w_cls = np.exp(s - c[:, None, None]), np.exp(s_cls - c)
    table = weighted(w, v).transpose(1, 2, 0, 3).reshape(V * T, H * (dv + 1))
    NZ = (rows @ table).reshape(m, H, dv + 1) + weighted(w_cls, v_cls)
    far = np.flatnonzero((NZ[..., -1].real < np.sqrt(np.finfo(s.dtype).tiny)).any(axis=1))
    NZ[far] = 1
    Z = NZ[..., -1:]
    out = NZ[..., :-1] / Z
    back_far = None
    if far.size:
        out[far], back_far = plain_head(s, v, s_cls, v_cls, rows[far])

    def pullback(dout):
        dN = dout / Z
        dZ = -(dN * out).sum(axis=-1, keepdims=True)
        dNZ = np.concatenate([dN, dZ], axis=-1)
        dNZ[far] = 0
        dtable = (rows.T @ dNZ.reshape(m, H * (dv + 1))).reshape(V, T, H, dv + 1)
        grads = (*unweighted(w, v, dtable.transpose(2, 0, 1, 3)),
                 *unweighted(w_cls, v_cls, dNZ.sum(axis=0)))
        if back_far is None:
            return grads
        return tuple(a + b for a, b in zip(grads, back_far(dout[far])))

    return out, pullback


def checked_tables(s, v, s_cls, v_cls, X, rows):
    """The arguments of `cls_head` as arrays of floats that fit one another."""
    s, v = floats("s", s, ndim=3), floats("v", v, ndim=4)
    s_cls, v_cls = floats("s_cls", s_cls), floats("v_cls", v_cls)
    H, V, T, dv = v.shape
    shape("s", s, (H, V, T))
    shape("s_cls", s_cls, (H,))
    shape("v_cls", v_cls, (H, dv))
    X = symbols("X", X, V) if rows is None else array("X", X)
    shape("X", X, (None, T))
    rows = one_hot(X, V, s.real.dtype) if rows is None else floats("rows", rows)
    shape("rows", rows, (len(X), V * T))
    return s, v, s_cls, v_cls, rows


def weighted(w, v):
    """[w v, w]: what the sums N and Z add up, side by side."""
    return np.concatenate([w[..., None] * v, w[..., None]], axis=-1)


def unweighted(w, v, dtable):
    """From the gradient of [w v, w] to those of the score log w and of the value v."""
    dN, dZ = dtable[..., :-1], dtable[..., -1]
    return w * ((v * dN).sum(axis=-1) + dZ), w[..., None] * dN


def plain_head(s, v, s_cls, v_cls, rows):
    """The same head by ordinary attention: a query is an example, a key a table entry; d = 1.

    A mask leaves every example its own tokens.
    """
    H, V, T, dv = v.shape
    keys = np.concatenate([s_cls[:, None], s.reshape(H, V * T)], axis=1)[..., None]
    values = np.concatenate([v_cls[:, None], v.reshape(H, V * T, dv)], axis=1)
    has = np.concatenate([np.ones((len(rows), 1), bool), rows != 0], axis=1)
    out, back = attention(np.ones((H, len(rows), 1), s.dtype), keys, values, mask=has, scale=1.0)

    def pullback(dout):
        _, dkeys, dvalues = back(dout.swapaxes(0, 1))
        ds, dv = dkeys[:, 1:, 0].reshape(s.shape), dvalues[:, 1:].reshape(v.shape)
        return ds, dv, dkeys[:, 0, 0], dvalues[:, 0]

    return out.swapaxes(0, 1), pullback
