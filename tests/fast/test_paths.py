"""Two ways to one number: where the paths lie, that they agree, and what goes through many examples."""
import itertools
import math
import sys

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model.model_cases import CASES, GPT, draw, draw_spread, every_case, every_preset, tables

from minitf.fast import attention_of, blocks, forward, head_shares, mean_gradient
from minitf.fast.forward import path_of
from minitf.learn import logits_of
from minitf.model import ModelConfig

FAST = [name for name, model in CASES.items()
        if (model.L, model.input) == (1, "bits") and model.block != "mlp"]
COMBINATIONS = list(itertools.product(("sum-pre", "sum-out", "concat"), ("identity", "relu", "gelu"), (0, 5)))


def test_the_path_is_chosen_in_one_place(rng):
    """By the class alone; path="general" is the definition, anything else is refused."""
    kinds = {name: path_of(model) for name, model in CASES.items()}
    assert {name for name, path in kinds.items() if path in ("bits", "tables")} == set(FAST)
    assert kinds["bit"] == "bits" and kinds["gpt"] == "tables" and kinds["tokens"] == "rows"
    assert kinds["mlp"] == "none"
    params, X, _ = draw(GPT)
    with pytest.raises(ValueError, match="^path: "):
        forward(params, X, GPT, path="quick")


@pytest.mark.parametrize("name", FAST)
def test_one_layer_runs_through_tables(name, monkeypatch):
    """Values and every gradient equal those of the general path to 1e-12, and the fast path builds no rows."""
    model = CASES[name]
    params, X, rng = draw(model, m=40)
    general, back_general = forward(params, X, model, path="general")
    monkeypatch.setattr(sys.modules["minitf.model.forward"], "cls_heads", None)
    fast, back_fast = forward(params, X, model)
    dlogits = rng.standard_normal(40)
    want, got = back_general(dlogits), back_fast(dlogits)
    assert np.linalg.norm(fast - general) <= 1e-12 * np.linalg.norm(general)
    assert all(np.linalg.norm(got[key] - want[key]) <= 1e-12 * np.linalg.norm(want[key]) for key in params)


def test_one_hot_positions_are_not_built(monkeypatch):
    """A width of T + 3 costs O(T) memory, forward and backward: the T x T identity is never made."""
    monkeypatch.setattr("minitf.model.tokens.positions", None)
    model = CASES["scalar-onehot"]
    params, X, _ = draw(model)
    assert forward(params, X, model)[1](np.ones(len(X))) and attention_of(params, X, model).shape == (2, 5)


def scales(params, X, model, dlogits):
    """A bound on the size of the terms that add up to each gradient, and the largest score: what rounding errors go by.

    A gradient through a saturated softmax is a small difference of them, so its own norm would be no yardstick.
    """
    tokens, x_cls, q, W_V = tables(params, model)
    tokens = np.concatenate([tokens.reshape(-1, model.d), x_cls[None]])
    values = np.linalg.norm(np.einsum("nd,hdv->hnv", tokens, W_V), axis=-1).max(axis=-1)
    out = np.broadcast_to(values[None, :, None], (len(X), model.H, model.d_v))
    size, W = np.abs(params["w"]).sum(), np.abs(params.get("W_C", np.ones((1, 1)))).sum()
    D, x, queries = np.abs(dlogits).sum() * size * W, np.linalg.norm(tokens, axis=1).max(), np.linalg.norm(q, axis=1)
    token = (D * (values * queries + np.linalg.norm(W_V, axis=(1, 2)))).sum()
    mixed = np.abs(dlogits).sum() * np.abs(out).sum(axis=(1, 2)).max(initial=0)
    found = {"E": token, "P": token, "x_cls": token, "q": D * values.max() * x, "W_V": D * x, "W_C": mixed * size,
             "w": mixed * W, "c": np.abs(dlogits).sum(), "logits": out.sum() * W * size + np.abs(params["c"])}
    return found, np.abs(tokens @ q.T).max()


def assert_paths_agree(params, X, model, dlogits):
    """Fast and general path: within 1e-12 + 16 * 2^-53 * max|score| of the scale of each result."""
    with np.errstate(all="raise", under="ignore"):
        fast, back_fast = forward(params, X, model)
        general, back_general = forward(params, X, model, path="general")
        got, want = back_fast(dlogits) | {"logits": fast}, back_general(dlogits) | {"logits": general}
    scale, score = scales(params, X, model, dlogits)
    assert list(got) == [*params, "logits"] == list(want)
    for name in got:
        error = np.linalg.norm(got[name] - want[name])
        assert error <= (1e-12 + 16 * 2.0 ** -53 * score) * scale[name], (name, error, scale[name])


@pytest.mark.parametrize("heads, activation, d_o", COMBINATIONS)
def test_paths_agree(rng, heads, activation, d_o):
    for V, T in itertools.product((2, 3, 5), (1, 2, 8, 64)):
        model = ModelConfig(T, V=V, H=3, d=6, d_v=2, d_o=d_o, heads=heads, activation=activation)
        params, X = draw_spread(rng, model)
        logits, pullback = forward(params, X, model)
        general, back_general = forward(params, X, model, path="general")
        dlogits = rng.standard_normal(7)
        grads, want = pullback(dlogits), back_general(dlogits)
        assert np.linalg.norm(logits - general) <= 1e-12 * np.linalg.norm(general)
        assert all(np.linalg.norm(grads[name] - want[name]) <= 1e-12 * np.linalg.norm(want[name]) for name in params)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2 ** 32), combination=st.sampled_from(COMBINATIONS), T=st.integers(1, 12),
       V=st.integers(2, 4),
       H=st.integers(1, 3), m=st.integers(0, 6), onehot=st.booleans(),
       spread=st.sampled_from([1, 5, 20, 50, 100, 1000, 10000]))
def test_paths_agree_at_every_spread(seed, combination, T, V, H, m, onehot, spread):
    heads, activation, d_o = combination
    shape = {"d": T + 3, "d_v": 1, "positions": "onehot", "values": "bit"} if onehot else {"V": V, "d": 5, "d_v": 2}
    model = ModelConfig(T, H=H, d_o=d_o, heads=heads, activation=activation, **shape)
    rng = np.random.default_rng(seed)
    params, X = draw_spread(rng, model, m, spread)
    assert_paths_agree(params, X, model, rng.standard_normal(m))


@every_case
def test_attention_and_shares(name):
    """Attention of [CLS] as the loops of the oracle see it; shares of heads sum to 1."""
    model = CASES[name]
    params, X, _ = draw(model)
    weights, shares = attention_of(params, X, model), head_shares(params, X, model)
    if model.block == "mlp":
        assert weights.shape == (0, model.T) and shares.shape == (0,)
        return
    want = oracles.cls_attention(params, X, model)
    assert weights.shape == want.shape == (model.H, model.T) and np.abs(weights - want).max() <= 1e-12
    assert shares.shape == (model.H,) and abs(shares.sum() - 1) <= 1e-12 and (shares >= 0).all()


@every_preset
def test_attention_of_is_the_softmax_over_explicit_tokens(rng, model):
    for spread in 1, 300:
        params, X = draw_spread(rng, model, spread=spread)
        tokens, x_cls, q, _ = tables(params, model)
        want = np.zeros((model.H, model.T))
        for x in X:
            rows = np.array([x_cls] + [tokens[b, t] for t, b in enumerate(x)])
            want += oracles.softmax(q @ rows.T)[:, 1:] / len(X)
        got = attention_of(params, X, model)
        assert got.shape == want.shape and np.abs(got - want).max() <= 1e-12 * spread
        assert (got >= 0).all() and (got.sum(axis=1) <= 1 + 1e-12).all()


def test_shares_of_heads(rng):
    """Of three heads on bits 0, 1 and 2 the readout takes 3, -1 and 0 times the bit."""
    model = ModelConfig(4, H=3, d=7, d_v=1, heads="concat", positions="onehot", values="bit")
    params = {"q": 60 * np.eye(4)[:3], "w": np.array([3.0, -1.0, 0.0]), "c": np.array(5.0)}
    X = np.array([[0, 0, 0, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]])
    assert np.allclose(head_shares(params, X, model), [0.75, 0.25, 0], atol=1e-12)
    assert np.allclose(head_shares(params | {"q": 60 * np.eye(4)[[0, 3, 2]]}, X, model), [1, 0, 0], atol=1e-12)
    assert np.allclose(head_shares(params | {"w": np.zeros(3)}, X, model), 1 / 3)


def test_the_radius_gives_the_attention_it_promises():
    for T, k in (64, 3), (16384, 1), (1024, 10):
        model = ModelConfig.paper(T, k)
        q = np.zeros((1, T))
        q[0, :k] = model.radius / k
        weights = attention_of({"q": q, "w": np.ones(1), "c": np.zeros(())}, np.zeros((1, T), int), model)
        assert weights[0, :k].sum() >= 1 - math.exp(-4)


@pytest.mark.parametrize("name", ["gpt", "gpt-2-layers", "bit", "mlp", "network"])
def test_examples_in_blocks_give_the_same(name, monkeypatch):
    model = CASES[name]
    params, X, _ = draw(model, m=20)
    y = np.arange(20) % 2

    def everything():
        loss, grads = mean_gradient(params, X, y, model)
        shares, attention = head_shares(params, X, model), attention_of(params, X, model)
        return [np.array(loss), *grads.values(), logits_of(params, X, model), shares, attention]

    whole = everything()
    for place in "fast.forward", "fast.step":
        monkeypatch.setattr(sys.modules[f"minitf.{place}"], "blocks", lambda m, model: [slice(i, i + 7) for i in range(0, m, 7)])
    for one, two in zip(whole, everything()):
        assert one.shape == two.shape and np.linalg.norm(one - two) <= 1e-12 * np.linalg.norm(one) + 1e-15


@pytest.mark.slow
def test_blocks_are_small_where_rows_are_built():
    assert blocks(10_000, GPT) == [slice(0, 4096), slice(4096, 8192), slice(8192, 12288)]
    assert blocks(0, GPT) == [slice(0, 4096)]
    for model in ModelConfig.gpt(64, L=2), ModelConfig.gpt(1000, L=2), ModelConfig.network(64, d=67):
        rows = blocks(10 ** 5, model)
        size = rows[0].stop
        assert rows == [slice(i, i + size) for i in range(0, 10 ** 5, size)]
        widest = max(model.H * (model.T + 1), model.H * model.d, model.d_ff)
        assert size * (model.T + 1) * widest <= 2 ** 22 or size == 1
