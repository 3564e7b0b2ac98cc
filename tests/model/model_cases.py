"""Models of every class, and parameters and examples for them."""
from dataclasses import replace

import numpy as np
import pytest

from minitf.model import ModelConfig, init_params

GPT = ModelConfig.gpt(5, H=2, d=8, d_ff=6)
NET = ModelConfig.network(5, L=2, H=2, d=7, d_v=3)
TOKENS = ModelConfig(5, H=2, d=6, d_v=3, d_o=6, input="tokens", query="combined", activation="relu")
BIT = ModelConfig(5, H=2, d=9, d_v=1, positions="sign", values="bit")
CASES = {
    "gpt": GPT,
    "gpt-2-layers": ModelConfig.gpt(5, L=2, H=2, d=8, d_ff=6),
    "gpt-no-residual": ModelConfig.gpt(5, L=2, H=2, d=8, d_ff=6, residual=False),
    "gpt-ball": ModelConfig.gpt(5, L=2, H=2, d=8, d_ff=6, norm="ball", activation="relu"),
    "gpt-plain": ModelConfig.gpt(5, H=4, d=8, d_ff=0, norm="none", V=3),
    "gpt-sinusoidal": replace(GPT, positions="sinusoidal", d=9, d_v=3, d_o=9, H=3),
    "network": NET,
    "network-1": replace(NET, L=1),
    "network-3": ModelConfig.network(4, L=3, H=1, d=7, d_v=3, activation="gelu"),
    "network-residual": replace(NET, residual=True, heads="sum-out"),
    "network-concat": replace(NET, heads="concat", activation="identity"),
    "network-factored": replace(NET, query="factored", activation="gelu"),
    "network-layer-norm": replace(NET, norm="layer", residual=True),
    "network-no-norm": replace(NET, norm="none", positions="learned"),
    "network-onehot": replace(NET, d=8, d_o=8, positions="onehot"),
    "network-sign": replace(NET, positions="sign", heads="sum-out", norm="layer"),
    "scalar-combined": replace(ModelConfig.scalar(5, H=2, d=6, d_o=4), query="combined"),
    "scalar-factored": replace(ModelConfig.scalar(5, H=2, d=6, d_o=4), query="factored", norm="ball"),
    "scalar-onehot": replace(ModelConfig.scalar(5, H=2, d=8, d_o=4), positions="onehot"),
    "scalar-onehot-residual": ModelConfig(5, V=3, H=2, d=9, d_v=3, d_o=9, heads="sum-out", residual=True, norm="ball",
                                          query="factored", positions="onehot"),
    "gpt-onehot": replace(GPT, positions="onehot", d=8, d_o=8, d_v=4, H=2),
    "scalar-residual": ModelConfig(5, V=3, H=2, d=6, d_v=3, d_o=6, heads="sum-out", residual=True, norm="layer"),
    "bit": BIT,
    "bit-onehot-norm": replace(ModelConfig.paper(5, H=2), heads="concat", norm="ball", d_o=3),
    "tokens": TOKENS,
    "tokens-factored": replace(TOKENS, query="factored", residual=True, norm="ball", heads="concat"),
    "tokens-2-layers": replace(TOKENS, L=2, norm="layer", activation="gelu"),
    "mlp": ModelConfig.mlp(5, d_ff=6),
    "mlp-3-layers": ModelConfig.mlp(5, L=3, d_ff=4, activation="gelu"),
}
PRESETS = {
    "paper": ModelConfig.paper(6),
    "paper-2-heads": ModelConfig.paper(6, H=2),
    "paper-W_C": replace(ModelConfig.paper(6, H=2), d_o=3, heads="concat", activation="gelu"),
    "scalar": ModelConfig.scalar(6, H=2, d=8, d_o=5),
    "default": ModelConfig(6),
    "three-symbols": ModelConfig(5, V=3, H=2, d=4, d_v=3, heads="sum-out", activation="gelu", d_o=2),
}
every_case = pytest.mark.parametrize("name", CASES)
every_preset = pytest.mark.parametrize("model", PRESETS.values(), ids=PRESETS)


def draw(model, m=4, seed=3):
    """Parameters away from their symmetric start, and examples."""
    rng = np.random.default_rng(seed)
    params = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in init_params(rng, model).items()}
    if model.input == "tokens":
        return params, rng.standard_normal((m, model.T, model.d)), rng
    return params, rng.integers(0, model.V, (m, model.T)), rng


def draw_spread(rng, model, m=7, spread=1.0):
    """Parameters away from their symmetric start, the scores stretched by `spread`, and examples."""
    params = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in init_params(rng, model).items()}
    params["q"] = spread * params["q"]
    return params, rng.integers(0, model.V, (m, model.T))


def with_z(name, model, X, rng):
    """Besides the first token, a query of its own for every example, or one for all, where the model takes one."""
    if model.input == "tokens" and model.L == 1:
        return [None, rng.standard_normal(model.d), rng.standard_normal((len(X), model.d))]
    return [None]


def tables(params, model):
    """The tokens (V, T, d), x_cls (d,) and W_V (H, d, d_v) of a model; of the bounded class, orthonormal ones."""
    if model.positions == "learned":
        return params["E"][:, None] + params["P"], params["x_cls"], params["q"], params["W_V"]
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((model.d, model.d)))[0]
    P, E, x_cls = basis[:model.T], basis[model.T:model.T + 2], basis[-1]
    return E[:, None] + P, x_cls, params["q"] @ P, np.broadcast_to(E[1][:, None], (model.H, model.d, 1))
