"""What a model reads: symbols checked and embedded, positions that are learned or fixed."""
import math

import numpy as np

from minitf import checks
from minitf.checks import floats, require, shape
from minitf.ops import add, embed


def complete(params, model, *, identity=False):
    """The arrays of a model with those that are not trained: E, P, x_cls, and W_V where it is E_1.

    The q of bit values gets zeros on the axes of E and x_cls. With identity, the P of one-hot
    positions, T x d, is not built: it is None.
    """
    found = {**params, **fixed_parts(model, params["w"].dtype, identity=identity)}
    if model.values == "bit":
        found["q"] = np.pad(params["q"], ((0, 0), (0, 3)))
    return found


def fixed_parts(model, dtype, *, identity=False):
    """What is not trained: E, P, x_cls where positions are fixed, W_V where values are bits."""
    if model.positions == "learned":
        return {}
    V, d_P = model.V, model.d - model.V - 1
    axes = np.eye(V + 1, model.d, d_P, dtype)
    P = None if identity else np.pad(positions(model, dtype), ((0, 0), (0, V + 1)))
    parts = {"E": axes[:V], "P": P, "x_cls": axes[V]}
    if model.values == "bit":
        parts["W_V"] = np.broadcast_to(axes[1][:, None], (model.H, model.d, 1))
    return parts


def positions(model, dtype):
    """The fixed position vectors (T, d_P), of length 1."""
    T, d_P = model.T, model.d - model.V - 1
    if model.positions == "onehot":
        return np.eye(T, dtype=dtype)
    if model.positions == "sign":
        signs = np.random.default_rng(model.position_seed).integers(0, 2, (T, d_P))
        return ((2 * signs - 1) / math.sqrt(d_P)).astype(dtype)
    angles = np.arange(T)[:, None] * 10000.0 ** (-np.arange(d_P // 2) / (d_P // 2))
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return (waves * math.sqrt(2 / d_P)).astype(dtype)


def embedded(p, X, model):
    """Tokens (m, T+1, d) of symbols X (m, T): x_cls, then E[X_t] + P_t. pullback(dg) -> a dict."""
    looked_up, back_embed = embed(X, p["E"])
    tokens, back_add = add(looked_up, p["P"])
    cls, back_cls = add(np.zeros((len(X), 1, 1), tokens.dtype), p["x_cls"])

    def pullback(dg):
        dlooked_up, dP = back_add(dg[:, 1:])
        _, dx_cls = back_cls(dg[:, :1])
        return {"E": back_embed(dlooked_up), "P": dP, "x_cls": dx_cls}

    return np.concatenate([cls, tokens], axis=1), pullback


def examples_of(X, z, model):
    """Return X as symbols (m, T) or tokens (m, T, d), and z as an array or None."""
    if model.input == "tokens":
        X = floats("X", X, finite=True)
        shape("X", X, (None, model.T, model.d))
    else:
        X = symbols(X, model)
    if z is not None:
        takes_z = model.input == "tokens" and model.L == 1
        require(takes_z, "z", "none but with input tokens and one layer", z)
        z = floats("z", z, finite=True)
        d, m = model.d, len(X)
        require(z.shape in ((d,), (m, d)), "z", f"shape ({d},) or ({m}, {d})", z)
    return X, z


def symbols(X, model):
    """Return X as an integer array (m, T) of symbols of the model."""
    X = checks.symbols("X", X, model.V)
    shape("X", X, (None, model.T))
    return X
