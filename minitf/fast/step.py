"""The mean logistic loss of a model and its gradient, for the loop of training.

    pack, unpack, hold, gradient = on_vectors(model, dtype)
    loss, dx = gradient(pack(params), hold(X, y))

`mean_gradient` is what it computes; with the parameters as one vector, an optimiser is a few lines.
tf-scalar has a faster way: the same function with half the work of `table_heads`, by
`additive_heads`, in arrays that are used again. Tests hold it against `forward`, to rounding.
"""
import math
from dataclasses import replace
from functools import cache, partial

import numpy as np

from minitf.fast.additive import additive_heads, relu_readout
from minitf.fast.forward import blocks, forward
from minitf.model import ModelConfig, shapes
from minitf.ops import logistic
from minitf.optim import flatten, unflatten


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


def on_vectors(model, dtype):
    """`mean_gradient` with the parameters as one vector: pack, unpack, hold, gradient.

    x = pack(params), params = unpack(x), data = hold(X, y), gradient(x, data) -> loss, dx; dx is
    overwritten by the next call. Where `scalar_gradient` has an answer, it is that one.
    """
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


def is_scalar(model):
    """Whether a model is one of ModelConfig.scalar, of any size and radius."""
    if model.block != "tf" or model.d_o == 0:
        return False
    sizes = {name: getattr(model, name) for name in ("H", "d", "d_v", "d_o", "radius")}
    return model == replace(ModelConfig.scalar(model.T), **sizes)


def scalar_gradient(model, dtype):
    """`on_vectors` of a scalar model, with arrays used again; gradient -> None where
    `additive_heads` has none.

    unpack(x) are views of x.
    """
    size, parts, named = scalar_layout(model)
    array, dx = workspace(dtype), np.zeros(size, dtype)
    dK, dW, *drest = parts(dx)

    def pack(params):
        x = np.empty(size, dtype)
        for name, part in named(x).items():
            part[...] = params[name]
        return x

    def hold(X, y):
        rows = with_transpose(np.asarray(X).astype(dtype))
        return rows, cache(lambda: tuple(1 - x for x in rows)), 1 - 2 * np.asarray(y).astype(dtype)

    def gradient(x, data):
        (rows, turned_rows, signs), (K, W, W_C, w, c) = data, parts(x)
        U = np.matmul(W, K.T, out=array("U", len(W), len(K)))
        heads = additive_heads(U.reshape(model.H, -1, len(K)), rows, turned_rows, array)
        if heads is None:
            return None
        out, back = heads
        out_rows = out.reshape(-1, len(signs))
        loss, dout = relu_readout(out_rows, (W_C, w, c), signs, array, drest)
        dU = back(dout.reshape(out.shape)).reshape(U.shape)
        np.matmul(dU, K, out=dW)
        np.matmul(dU.T, W, out=dK)
        return loss, dx

    return pack, named, hold, gradient


def with_transpose(X):
    """X and X^T, both in rows."""
    return X, np.ascontiguousarray(X.T)


def scalar_layout(model):
    """The parameters of a scalar model as one vector x: its length, parts(x), named(x), views of x.

    What is multiplied together lies together: K (3+T, d) are the tokens E_0, E_1, x_cls, P_1 ..
    P_T, and W (H (1+d_v), d) are for every head q and the columns of W_V. Then W_C, w, c.
    """
    T, H, d, d_v, d_o = model.T, model.H, model.d, model.d_v, model.d_o
    shapes = (3 + T, d), (H * (1 + d_v), d), (model.width, d_o), (d_o,), ()
    ends = np.cumsum([0, *map(math.prod, shapes)]).tolist()
    cuts = [slice(*pair) for pair in zip(ends, ends[1:])]

    def parts(x):
        return [x[cut].reshape(shape) for cut, shape in zip(cuts, shapes)]

    def named(x):
        K, W, W_C, w, c = parts(x)
        tokens = {"E": K[:2], "P": K[3:], "x_cls": K[2]}
        W = W.reshape(H, 1 + d_v, d)
        heads = {"q": W[:, 0], "W_V": W[:, 1:].swapaxes(1, 2)}
        return tokens | heads | {"W_C": W_C, "w": w, "c": c}

    return ends[-1], parts, named


def workspace(dtype):
    """A function array(name, *shape): one uninitialised array a name, handed out time and again."""
    held = {}

    def array(name, *shape):
        if name not in held or held[name].shape != shape:
            held[name] = np.empty(shape, dtype)
        return held[name]

    return array
