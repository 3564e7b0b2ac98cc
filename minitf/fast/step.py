"""A training step of tf-scalar, made fast: what `forward` and `logistic` compute, with the parameters as one vector.

    pack, unpack, hold, gradient = scalar_gradient(model, dtype)
    loss, dx = gradient(pack(params), hold(X, y))           None where no weight is left, see `additive_heads`

Read `heads.table_heads` first: this is the same function with half the work, in arrays that are used again. One thing is
new. A token is E_b + P_t and no norm touches it, so exp(score) is a factor of the symbol times one of the position, and
two products with the bits do for both symbols. Tests hold it against `forward`, to rounding.
"""
import math
from dataclasses import replace
from functools import cache, partial

import numpy as np

from minitf.checks import shape
from minitf.fast.forward import blocks, forward
from minitf.model import ModelConfig, shapes
from minitf.ops import logistic
from minitf.optim import flatten, unflatten


def is_scalar(model):
    """Whether a model is one of ModelConfig.scalar, of any size and radius."""
    sizes = {name: getattr(model, name) for name in ("H", "d", "d_v", "d_o", "radius")}
    return model.block == "tf" and model.d_o > 0 and model == replace(ModelConfig.scalar(model.T), **sizes)


def scalar_layout(model):
    """The parameters of a scalar model as one vector: its length, and the function that cuts it into five matrices.

    What is multiplied together lies together: K (3+T, d) are the tokens E_0, E_1, x_cls, P_1 .. P_T, and W
    (H (1+d_v), d) are for every head q and the columns of W_V. Then W_C, w, c.
    """
    T, H, d, d_v, d_o = model.T, model.H, model.d, model.d_v, model.d_o
    shapes = (3 + T, d), (H * (1 + d_v), d), (model.width, d_o), (d_o,), ()
    ends = np.cumsum([0, *map(math.prod, shapes)]).tolist()
    cuts = [(slice(*pair), shape) for pair, shape in zip(zip(ends, ends[1:]), shapes)]
    return ends[-1], lambda x: [x[cut].reshape(shape) for cut, shape in cuts]


def scalar_gradient(model, dtype):
    """The mean logistic loss of a scalar model and its gradient, for the loop of training: pack, unpack, hold, gradient.

    x = pack(params), params = unpack(x), views; data = hold(X, y); gradient(x, data) -> loss, dx; dx is overwritten by
    the next call. None where `additive_heads` has none. What `forward` and `logistic` compute, with arrays used again.
    """
    size, parts = scalar_layout(model)
    array, dx, shape_W = workspace(dtype), np.zeros(size, dtype), (model.H, 1 + model.d_v, -1)
    dK, dW, *drest = parts(dx)

    def unpack(x):
        K, W, W_C, w, c = parts(x)
        W = W.reshape(shape_W)
        return {"E": K[:2], "P": K[3:], "x_cls": K[2], "q": W[:, 0], "W_V": W[:, 1:].swapaxes(1, 2), "W_C": W_C, "w": w,
                "c": c}

    def pack(params):
        x = np.empty(size, dtype)
        for name, part in unpack(x).items():
            part[...] = params[name]
        return x

    def hold(X, y):
        X = np.asarray(X).astype(dtype)
        rows = X, np.ascontiguousarray(X.T)
        return rows, cache(lambda: tuple(1 - x for x in rows)), 1 - 2 * np.asarray(y).astype(dtype)

    def gradient(x, data):
        (rows, turned_rows, signs), (K, W, W_C, w, c) = data, parts(x)
        U = np.matmul(W, K.T, out=array("U", len(W), len(K)))
        heads = additive_heads(U.reshape(*shape_W), rows, turned_rows, array)
        if heads is None:
            return None
        out, back = heads
        loss, dout = relu_readout(out.reshape(-1, len(signs)), W_C, w, c, signs, array, drest)
        dU = back(dout.reshape(out.shape)).reshape(U.shape)
        np.matmul(dU, K, out=dW)
        np.matmul(dU.T, W, out=dK)
        return loss, dx

    return pack, unpack, hold, gradient


def workspace(dtype):
    """A function array(name, *shape) that hands out one uninitialised array for each name, again and again."""
    held = {}

    def array(name, *shape):
        if name not in held or held[name].shape != shape:
            held[name] = np.empty(shape, dtype)
        return held[name]

    return array


def additive_heads(U, rows, turned_rows, array):
    """Heads of [CLS] over tokens E_b + P_t that no norm touches: half the work of `table_heads`, the same function.

    A token weighs e_b e_t, a factor of its symbol and one of its position. With u = [1, v], v_b + v_t the value, and
    A, B the sums over the positions whose bit is 1 and is 0,

        F    = e_t u_t                                                      (H, 1+d_v, T)
        A, B = F X^T, sum_t F - A                                           (H, 1+d_v, m)
        Z, N = e_1 (A + v_1 A_0) + e_0 (B + v_0 B_0) + e_cls u_cls          = M A + base, M (H, 1+d_v, 1+d_v)
        out  = N / Z                                                        (H, d_v, m)

    U (H, 1+d_v, 3+T): scores, in row 0, and values of E_0, E_1, x_cls, P_1 .. P_T, which is overwritten; rows = X, X^T
    of floats 0 and 1, fastest as two arrays. B has lost digits where it is small next to A: so a head that weighs
    symbol 0 more than 16 times as much as symbol 1 trades the symbols and reads turned_rows() = 1 - X, 1 - X^T, and
    elsewhere that error stays below 32 units of Z. Returns None where some Z < sqrt(smallest float), else out and
    pullback(dout) -> dU. All live in `array`s until the next call.
    """
    (H, J, n), (m, T), (s0, s1) = U.shape, rows[0].shape, U[:, 0, :2].T
    turned = s0 > s1 + math.log(16)
    swap = turned.any()
    if swap:
        U[turned, :, :2] = U[turned, :, 1::-1]

    def product(P, i, out):
        """P times rows[i], head by head."""
        if not swap:
            np.matmul(P.reshape(H * J, -1), rows[i], out=out.reshape(H * J, -1))
        else:
            for some, bits in (~turned, rows[i]), (turned, turned_rows()[i]):
                out[some] = (P[some].reshape(-1, len(bits)) @ bits).reshape(-1, J, bits.shape[1])
        return out

    s, e = U[:, 0], array("e", H, n)
    top = np.maximum(s0, s1)
    highest = np.maximum(s[:, 3:].max(axis=1), s[:, 2] - top)
    np.subtract(s[:, :3], top[:, None], out=e[:, :3])
    e[:, 2] -= highest
    np.subtract(s[:, 3:], highest[:, None], out=e[:, 3:])
    np.exp(e, out=e)
    s[:, :2], s[:, 2:] = 0, 1
    e0, e1, e_t, u_t = e[:, :1], e[:, 1:2], e[:, None, 3:], U[:, :, 3:]

    F = np.multiply(e_t, u_t, out=array("F", H, J, T))
    A, S = product(F, 1, array("A", H, J, m)), F.sum(axis=2)
    ends = e[:, None, :3] * U[:, :, :3]
    w0, w1, w_cls = ends.transpose(2, 0, 1)
    M = array("M", H, J, J)
    M[...] = 0
    M.reshape(H, J * J)[:, ::J + 1] = e1 - e0
    M[:, :, 0] += w1 - w0
    base = e0 * S + w0 * S[:, :1] + w_cls
    NZ = np.matmul(M, A, out=array("NZ", H, J, m))
    NZ += base[:, :, None]
    if not NZ[:, 0].min() >= math.sqrt(np.finfo(U.dtype).tiny):
        return None
    over = 1 / NZ[:, :1]
    out = np.multiply(NZ[:, 1:], over, out=array("out", H, J - 1, m))

    def pullback(dout):
        dNZ, dU = array("dNZ", H, J, m), array("dU", H, J, n)
        dN = np.multiply(dout, over, out=dNZ[:, 1:])
        np.negative(np.einsum("hjm,hjm->hm", dN, out), out=dNZ[:, 0])
        dbase = dNZ.sum(axis=2)
        dA = np.matmul(M.transpose(0, 2, 1), dNZ, out=array("dA", H, J, m))
        dF = product(dA, 0, array("dF", H, J, T))
        dS = e0 * dbase
        dS[:, 0] += np.einsum("hj,hj->h", w0, dbase)
        dF += dS[:, :, None]
        dFu = np.multiply(e_t, dF, out=dU[:, :, 3:])
        dU[:, 0, 3:] = np.multiply(dFu, u_t, out=dF).sum(axis=1)
        dM = np.matmul(dNZ, A.transpose(0, 2, 1))
        both = dM.trace(axis1=1, axis2=2)                               # sum of dNZ A, and from here on of
        dends = np.empty_like(ends)                                     # dNZ B_0, dNZ A_0, dNZ
        dends[:, :, 1], dends[:, :, 2] = dM[:, :, 0], dbase
        np.subtract(dbase * S[:, :1], dM[:, :, 0], out=dends[:, :, 0])
        np.multiply(e[:, None, :3], dends, out=dU[:, :, :3])
        np.einsum("hjb,hjb->hb", ends, dends, out=dU[:, 0, :3])
        dU[:, 0, 0] += e[:, 0] * (np.einsum("hj,hj->h", dbase, S) - both)
        dU[:, 0, 1] += e[:, 1] * both
        if swap:
            dU[turned, :, :2] = dU[turned, :, 1::-1]
        return dU

    return out, pullback


def relu_readout(out, W_C, w, c, signs, array, grads):
    """The mean logistic loss of  logits = w . relu(W_C^T out) + c,  and its derivatives, for the loop of training.

        t    = signs logits,  signs = 1 - 2y                                (m,)    loss = mean log(1 + exp(t))
        dz   = signs exp(t - loss) / m                                      (m,)    exp(t - loss) = sigmoid(t)
        dR   = w dz where R > 0, R = W_C^T out                              (d_o, m)
        dout = W_C dR                                                       (width, m)

    out (width, m), an example a column. grads: dW_C, dw, dc, which are filled. Returns loss, dout; arrays come from
    array(name, *shape).
    """
    (width, m), d_o = out.shape, len(w)
    R = np.matmul(W_C.T, out, out=array("R", d_o, m))
    np.maximum(R, 0, out=R)
    t = w @ R
    t += c
    t *= signs
    loss = np.logaddexp(0, t)
    t -= loss
    dz = np.exp(t, out=t)
    dz *= signs / m
    dW_C, dw, dc = grads
    np.matmul(R, dz, out=dw)
    dc[...] = dz.sum()
    dR = np.multiply(w[:, None], dz, out=array("dR", d_o, m))
    dR *= R > 0
    np.matmul(out, dR.T, out=dW_C)
    return float(loss.sum()) / m, np.matmul(W_C, dR, out=array("dout", width, m))


def mean_gradient(params, X, y, model):
    """The mean logistic loss over examples, and its gradient: a dict with the keys of params."""
    total, grads = 0.0, None
    for rows in blocks(len(X), model):
        logits, back_model = forward(params, X[rows], model)
        loss, back_loss = logistic(logits, y[rows])
        part = back_model(back_loss(np.full(len(loss), 1 / len(y), logits.dtype)))
        total += float(loss.sum())
        grads = part if grads is None else {name: grads[name] + part[name] for name in part}
    return total / len(y), grads


def _on_vectors(model, dtype):
    """mean_gradient with the parameters as one vector, as in `scalar.scalar_gradient`, and by it where it applies:
    x = pack(params), params = unpack(x), data = hold(X, y), gradient(x, data) -> loss, dx until the next call."""
    if is_scalar(model):
        pack, unpack, prepare, fast = scalar_gradient(model, dtype)
    else:
        like = {name: np.empty(shape) for name, shape in shapes(model).items()}
        pack, unpack = lambda params: flatten(params).astype(dtype), partial(unflatten, like=like)
        prepare, fast = lambda X, y: None, lambda x, prepared: None

    def hold(X, y):
        return X, y, prepare(X, y)

    def gradient(x, data):
        X, y, prepared = data
        found = fast(x, prepared)
        if found is None:
            loss, grads = mean_gradient(unpack(x), X, y, model)
            found = loss, pack(grads)
        return found

    return pack, unpack, hold, gradient
