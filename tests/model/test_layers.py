"""Layers, tokens, starts and balls: the parts of the definition."""
import math
from dataclasses import replace

import numpy as np
import oracles
import pytest
from model.model_cases import CASES, GPT, TOKENS, draw, every_preset

from minitf.model import ModelConfig, constraints, forward, init_params, readout, shapes
from minitf.model.layers import cls_heads, layer
from minitf.model.tokens import embedded, fixed_parts
from minitf.projections import Ball, Intersection


@pytest.mark.parametrize("query", ["combined", "factored"])
@pytest.mark.parametrize("heads", ["sum-pre", "sum-out", "concat"])
def test_row_t_of_a_layer_is_the_head_that_asks_with_token_t(heads, query):
    """tf-layer: f_layer(X)[t] = W_C^T f_head(X, x_t), and in matrix form sigma(A X W_V) W_C for one head."""
    model = replace(TOKENS, heads=heads, query=query)
    params, X, _ = draw(model)
    rows, _ = layer(params, X, 0, model)
    for t in range(5):
        alone = forward(params, X, model, z=X[:, t])[0]
        assert np.abs(rows[:, t] @ params["w"] + params["c"] - alone).max() <= 1e-12 * np.abs(alone).max()
    one = replace(model, H=1)
    p = draw(one)[0]
    W_QK = p["W_QK"][0] if query == "combined" else p["W_K"][0] @ p["W_Q"][0].T
    for x, row in zip(X, layer(p, X, 0, one)[0]):
        mixed = oracles.softmax(x @ W_QK.T @ x.T) @ x @ p["W_V"][0]
        want = oracles.relu(mixed @ p["W_C"]) if heads == "concat" else oracles.relu(mixed) @ p["W_C"]
        assert np.abs(row - want).max() <= 1e-12 * np.abs(want).max()


def test_heads_are_combined_as_they_say(rng):
    """Two heads whose outputs are known: sigma before or after the sum, or side by side."""
    out = rng.standard_normal((6, 2, 3))
    W, w, c = rng.standard_normal((6, 4)), rng.standard_normal(4), 0.7
    relu = oracles.relu
    want = {"sum-pre": relu(out.sum(axis=1)) @ W[:3], "sum-out": relu(out[:, 0]) @ W[:3] + relu(out[:, 1]) @ W[3:],
            "concat": relu(np.concatenate([out[:, 0], out[:, 1]], axis=1) @ W)}
    for heads, o in want.items():
        model = ModelConfig(5, H=2, d=6, d_v=3, d_o=4, heads=heads, activation="relu")
        params = {"W_C": W[:model.width], "w": w, "c": np.array(c)}
        assert np.allclose(readout(params, out, None, model)[0], o @ w + c, rtol=1e-13)


def from_layer(l, params, model):
    """The layers from l on as a model of their own: its parameters and configuration."""
    rest = replace(model, L=model.L - l)
    own = {(name[2:] if rest.L == 1 else f"{int(name[0]) - l}{name[1:]}") if name[1:2] == "/" else name: value
           for name, value in params.items() if name[1:2] != "/" or int(name[0]) >= l}
    return own, rest


@pytest.mark.slow
def test_four_layers_of_four_heads_have_exact_gradients():
    """gpt at T = 64, d = 64: along its gradient, every array within 1e-9 of differences extrapolated to step 0.

    A difference in layer l runs the layers from l on alone, from the rows that layer gets.
    """
    model = ModelConfig.gpt(64, L=4, H=4, d=64)
    rng = np.random.default_rng(3)
    params = {name: value + 0.05 * rng.standard_normal(value.shape) for name, value in init_params(rng, model).items()}
    X, dlogits = rng.integers(0, 2, (12, 64)), rng.standard_normal(12)
    logits, pullback = forward(params, X, model)
    grads = pullback(dlogits)
    rows = [embedded(params, X, model)[0]]
    for l in range(3):
        rows.append(layer(params, rows[l], l, model)[0])

    def value_from(l, moved):
        own, rest = from_layer(l, moved, model)
        out, g, _ = cls_heads(own, rows[l] if l else embedded(moved, X, model)[0], rest)
        return dlogits @ readout(own, out, g, rest)[0]

    assert abs(value_from(2, params) - dlogits @ logits) <= 1e-13 * abs(dlogits @ logits)
    for name, value in params.items():
        l = int(name[0]) if name[1:2] == "/" else 0 if name in ("E", "P", "x_cls") else 3
        direction, h = grads[name] / np.linalg.norm(grads[name]), 5e-4

        def difference(step):
            ends = [value_from(l, params | {name: value + s * direction}) for s in (step, -step)]
            return (ends[0] - ends[1]) / (2 * step)

        exact = (4 * difference(h / 2) - difference(h)) / 3
        got = np.sum(grads[name] * direction)
        assert abs(got - exact) <= 1e-9 * abs(exact), (name, abs(got / exact - 1))


def test_fixed_tokens_are_what_they_say():
    for positions, d in (("onehot", 20), ("sign", 403), ("sinusoidal", 33)):
        model = ModelConfig(17, d=d, positions=positions)
        parts = fixed_parts(model, np.float64)
        E, P, x_cls = parts["E"], parts["P"], parts["x_cls"]
        frame = np.concatenate([E, x_cls[None]])
        assert np.array_equal(frame @ frame.T, np.eye(3)) and not (P @ frame.T).any()
        assert np.allclose((P * P).sum(axis=1), 1, rtol=1e-14) and len(np.unique(P, axis=0)) == 17
        gram = P @ P.T - np.eye(17)
        assert np.abs(gram).max() <= {"onehot": 0, "sign": 5 / np.sqrt(400), "sinusoidal": 1}[positions] + 1e-15
        assert "E" not in shapes(model)
    assert np.array_equal(np.unique(fixed_parts(replace(model, positions="sign"), np.float64)["P"][:, :30]),
                          np.array([-1, 1]) / np.sqrt(30))
    one, two = (fixed_parts(replace(model, positions="sign", position_seed=s), np.float64)["P"] for s in (0, 1))
    assert not np.array_equal(one, two)


@every_preset
def test_start_is_drawn_from_the_generator_alone(model):
    one, two, other = (init_params(np.random.default_rng(seed), model) for seed in (3, 3, 4))
    assert list(one) == list(shapes(model))
    assert all(value.shape == shapes(model)[name] and value.dtype == np.float64 for name, value in one.items())
    assert all(np.array_equal(one[name], two[name]) for name in one)
    if model.positions == "learned":
        assert not np.array_equal(one["q"], other["q"])
        assert one["E"].std() < 2 and abs(one["P"].std() - 0.5) < 0.25
    else:
        assert np.abs(one["q"]).max() == 0 if model.H == 1 else not np.allclose(one["q"][0], one["q"][1])
        assert (one["w"] == 1).all()


def test_shapes_and_constraints():
    assert shapes(ModelConfig.paper(6)) == {"q": (1, 6), "w": (1,), "c": ()}
    assert shapes(ModelConfig.scalar(6, H=2, d=8, d_o=5)) == {
        "E": (2, 8), "P": (6, 8), "x_cls": (8,), "q": (2, 8), "W_V": (2, 8, 4), "W_C": (8, 5), "w": (5,), "c": ()}
    assert shapes(ModelConfig(6, H=2, d=8, d_v=3))["w"] == (3,)
    assert shapes(ModelConfig(6, H=2, d=8, d_v=3, heads="sum-out"))["w"] == (6,)
    sets = constraints(ModelConfig.paper(64, k=2))
    assert sets == {"q": Ball("l1", 2 * (math.log(64) + 4), axes=1), "w": Ball("linf", 32.0), "c": Ball("linf", 32.0)}
    assert constraints(ModelConfig.scalar(6)) == {}
    assert constraints(ModelConfig.scalar(6, radius=3)) == {"q": Ball("l1", 3.0, axes=1)}


def test_the_balls_of_every_class():
    bounds = dict(radius=3.0, C_2=2.0, C_21=5.0, B_w=4.0)
    both = Intersection([Ball("l21", 5.0), Ball("spectral", 2.0)])
    rows = Intersection([Ball("l21t", 3.0), Ball("spectral", 2.0)])
    model = ModelConfig(6, L=2, d=9, d_o=9, query="combined", positions="onehot", **bounds)
    layers = {f"{l}/{name}": ball for l in (0, 1) for name, ball in
              (("W_QK", rows), ("W_V", both), ("W_C", both))}
    assert constraints(model) == {**layers, "w": Ball("l2", 4.0)}
    one = replace(model, L=1, query="q", bound=7.0, C_21=np.inf)
    assert constraints(one) == {
        "q": Intersection([Ball("l1", 3.0, axes=1), Ball("l2", 2.0, axes=1)]), "W_V": Ball("spectral", 2.0),
        "W_C": Ball("spectral", 2.0), "w": Intersection([Ball("linf", 7.0), Ball("l2", 4.0)]), "c": Ball("linf", 7.0)}
    assert not constraints(GPT) and not constraints(CASES["mlp"]) and not constraints(TOKENS)


@pytest.mark.parametrize("radius, C_2", [(3.0, 2.0), (2.0, 9.0), (3.0, np.inf), (np.inf, 2.0)])
def test_balls_of_the_factors_keep_their_product_in_the_balls_of_W_QK(radius, C_2):
    """Also where it is largest: aligned factors of rank one, on one row or spread over all."""
    model = ModelConfig(5, d=6, d_v=3, input="tokens", query="factored", radius=radius, C_2=C_2)
    sets, rng = constraints(model), np.random.default_rng(0)
    b, spread = np.ones(3) / np.sqrt(3), np.ones(6) / np.sqrt(6)
    cases = [(100 * np.outer(a, b), 100 * np.outer(c, b))
             for a in (np.eye(6)[0], spread) for c in (np.eye(6)[1], spread)]
    cases += [tuple(scale * rng.standard_normal((2, 6, 3))) for scale in (0.3, 1, 10)]
    largest = 0
    for W_Q, W_K in cases:
        W_Q, W_K = (sets[name].project(W) for name, W in (("W_Q", W_Q), ("W_K", W_K)))
        W = W_K @ W_Q.T
        size = max(np.linalg.svd(W, compute_uv=False)[0] / C_2, np.linalg.norm(W, axis=1).sum() / radius)
        assert size <= 1 + 1e-9
        largest = max(largest, size)
    assert largest >= 0.99
