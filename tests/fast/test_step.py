"""The gradient of training: arrays used again, half the products, the same numbers."""
from dataclasses import replace

import numpy as np
import pytest

from minitf.fast import mean_gradient
from minitf.fast.step import is_scalar, scalar_gradient
from minitf.model import ModelConfig, init_params


def spread_scalar(rng, H, T, spread, at_cls):
    """A scalar model whose heads prefer a symbol, each one of its own, by up to spread in the score."""
    model = ModelConfig.scalar(T, H=H, d=4 * H, d_o=9)
    params = init_params(rng, model)
    params["c"] = np.float64(0.3)
    toward = params["q"] / (params["q"] ** 2).sum(axis=1, keepdims=True)
    params["E"][1] += spread * np.linspace(-1, 1, H) @ toward
    params["x_cls"] += at_cls * toward.sum(axis=0)
    return model, params


def random_examples(rng, m, T):
    return rng.integers(0, 2, (m, T), np.uint8), rng.integers(0, 2, m, np.uint8)


@pytest.mark.parametrize("dtype, tol", [(np.float64, 1e-12), (np.float32, 3e-5)])
@pytest.mark.parametrize("spread", [0, 2.5, 3, 10, 15])
def test_scalar_gradient_is_that_of_forward_and_logistic(spread, dtype, tol):
    rng = np.random.default_rng(int(2 * spread))
    for H, T, m in (4, 20, 30), (1, 1, 1), (3, 64, 200), (5, 7, 3):
        model, params = spread_scalar(rng, H, T, spread, 0)
        X, y = random_examples(rng, m, T)
        X[0], X[-1] = 0, 1                      # all tokens the light symbol of a head: what a difference would lose
        pack, unpack, hold, gradient = scalar_gradient(model, dtype)
        loss, dx = gradient(pack(params), hold(X, y))
        want, grads = mean_gradient(params, X, y, model)
        got = unpack(dx)
        assert dx.dtype == dtype and abs(loss - want) <= tol * want and got.keys() == grads.keys()
        for name, g in grads.items():
            assert got[name].shape == g.shape
            terms = grads["W_V"] if name == "q" else 0.0    # where a head is saturated, dq is a small sum of such terms
            assert np.linalg.norm(got[name] - g) <= tol * (np.linalg.norm(g) + np.linalg.norm(terms)), name


def test_scalar_gradient_may_be_asked_again():
    rng = np.random.default_rng(3)
    model, params = spread_scalar(rng, 3, 12, 8, 0)
    pack, unpack, hold, gradient = scalar_gradient(model, np.float64)
    sets = [hold(*random_examples(rng, m, 12)) for m in (9, 5, 9)]
    x = pack(params)
    x.flags.writeable = False
    assert all(np.array_equal(value, params[name]) for name, value in unpack(x).items())
    first = [(loss, dx.copy()) for loss, dx in (gradient(x, data) for data in sets)]
    for data, (loss, dx) in zip(sets[::-1], first[::-1]):
        again, same = gradient(x, data)
        assert again == loss and np.array_equal(same, dx)


def test_scalar_gradient_declines_where_no_weight_is_left():
    """An example all of whose tokens weigh nothing next to those that other examples have."""
    rng = np.random.default_rng(4)
    model, params = spread_scalar(rng, 2, 6, 900, -2000)
    pack, _, hold, gradient = scalar_gradient(model, np.float64)
    X, y = np.ones((4, 6), np.uint8), np.ones(4, np.uint8)
    X[0] = 0
    assert gradient(pack(params), hold(X, y)) is None
    assert gradient(pack({name: np.nan * value for name, value in params.items()}), hold(X, y)) is None


@pytest.mark.parametrize("model", [
    ModelConfig.paper(5), ModelConfig.gpt(5, d=8), ModelConfig.mlp(5), ModelConfig.network(5, d=9),
    *(replace(ModelConfig.scalar(5), **other) for other in (
        {"heads": "sum-out"}, {"activation": "gelu"}, {"V": 3}, {"query": "combined"},
        {"norm": "ball"}))])
def test_other_models_are_not_scalar(model):
    assert not is_scalar(model)
    assert is_scalar(ModelConfig.scalar(5, H=2, d=6, d_o=3, radius=7.0))
