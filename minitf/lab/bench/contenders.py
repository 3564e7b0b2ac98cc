"""Who takes turns in `bench`: minitf and the functions of PyTorch and JAX that it is held against.

Each kind of cell is answered by ({name: call}, {name: error}, {name: why it was left out}), errors
against minitf in float64.
"""
import functools

import numpy as np

from minitf.fast import mean_gradient
from minitf.learn import TrainConfig, minibatch_descent
from minitf.model import ModelConfig, init_params
from minitf.ops import attention

LARGE = 2 ** 18         # examples x positions above which forms that build every token are left out
LR = 1e-3


def distance(some, exact):
    """The largest relative distance, in norm, of arrays from others; infinite if a name or a shape
    is not the same."""
    if some.keys() != exact.keys() or any(np.shape(some[name]) != np.shape(exact[name])
                                          for name in exact):
        return np.inf
    apart = [np.linalg.norm(some[name] - exact[name]) / (np.linalg.norm(exact[name]) or 1.0)
             for name in exact]
    return float(np.nan_to_num(max(apart), nan=np.inf))


def steps(cell, peers):
    """A training step, full batch: the error is that of the loss and of the gradients."""
    m, T, rng = cell["m"], cell["T"], np.random.default_rng(0)
    model = ModelConfig.gpt(T, L=2) if cell["part"] == "gpt" else ModelConfig.scalar(T, H=4, d_o=64)
    X = rng.integers(0, 2, (m, T), np.uint8)
    y, params = X[:, 0] & X[:, -1], init_params(rng, model)

    def gradient(dtype):
        p = {name: value.astype(dtype) for name, value in params.items()}
        loss, grads = mean_gradient(p, X, y, model)
        return grads | {"loss": loss}

    exact = gradient(np.float64)
    contenders, left_out = {"minitf": minitf_step(params, X, y, model)}, {}
    errors = {"minitf": distance(gradient(np.float32), exact)}
    if cell["part"] == "step":
        contenders["products"] = products(m, T)
    for library, module in peers.items():
        for form in ("gpt",) if cell["part"] == "gpt" else ("identity", "tokens", "encoder"):
            name = f"{library} {form}"
            if form not in module.FORMS:
                continue
            if form in ("tokens", "encoder") and m * T > LARGE:
                size = f"{m * T * model.d * 4 / 2 ** 30:.0f} GB for each array of all tokens"
                left_out[name] = size if form == "tokens" else "as above"
                continue
            contenders[name], start = module.training(module.FORMS[form], params, X, y, LR)
            if start is not None:
                errors[name] = distance(start[1] | {"loss": start[0]}, exact)
    return contenders, errors, left_out


def minitf_step(params, X, y, model):
    """One step of the loop that `fit` runs, on all examples."""
    train = TrainConfig(method="adam", batch=len(X), lr=LR, weight_decay=0.0)
    rng = np.random.default_rng(0)
    return functools.partial(next, minibatch_descent(X, y, params, model, rng, train, {}))


def products(m, T, columns=68):
    """The two bare matrix products of a step, written into arrays that are there: the measure of
    the machine."""
    rng = np.random.default_rng(0)
    X, F, dA = (rng.standard_normal(shape, np.float32)
                for shape in ((m, T), (columns, T), (columns, m)))
    X_T, A, dF = np.ascontiguousarray(X.T), np.empty_like(dA), np.empty_like(F)

    def call():
        np.matmul(F, X_T, out=A)
        np.matmul(dA, X, out=dF)

    return call


def attentions(cell, peers):
    """Contenders of attention, forward and backward."""
    rng = np.random.default_rng(0)
    q, k, v, dout = (rng.standard_normal(cell["shape"]).astype(cell["dtype"]) for _ in range(4))

    def call():
        out, pullback = attention(q, k, v)
        return out, *pullback(dout)

    out, pullback = attention(*(x.astype(np.float64) for x in (q, k, v)))
    exact = dict(enumerate((out, *pullback(dout.astype(np.float64)))))
    contenders = {"minitf": call}
    if "torch" in peers:
        contenders["torch"] = peers["torch"].attention(q, k, v, dout)
    return contenders, {name: distance(dict(enumerate(call())), exact)
                        for name, call in contenders.items()}, {}
