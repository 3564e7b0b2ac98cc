"""Every class of models: its forward against loops that restate it, its gradients against its forward, its limits."""
import itertools
from dataclasses import replace

import sys

import numpy as np
import pytest

import oracles
from minitf.model.tokens import fixed_parts
from minitf.fast.forward import attention_of, blocks, forward, head_shares
from minitf.model.config import ModelConfig
from minitf.model.layers import readout
from minitf.model.parameters import constraints, init_params, shapes
from minitf.model.layers import cls_heads, layer
from minitf.model.tokens import embedded
from minitf.projections.balls import Ball
from minitf.projections.intersections import Intersection
from minitf.learn.result import load, logits_of
from minitf.fast.step import mean_gradient
from minitf.learn.fit import fit
from minitf.learn.loop import TrainConfig
from minitf.trust.verify import check_pullback

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
    "gpt-uniform": replace(GPT, normalise="uniform"),
    "gpt-hard": replace(GPT, normalise="hard", L=2),
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
    "network-uniform": replace(NET, normalise="uniform"),
    "network-hard": replace(NET, normalise="hard"),
    "scalar-combined": replace(ModelConfig.scalar(5, H=2, d=6, d_o=4), query="combined"),
    "scalar-factored": replace(ModelConfig.scalar(5, H=2, d=6, d_o=4), query="factored", norm="ball"),
    "scalar-onehot": replace(ModelConfig.scalar(5, H=2, d=8, d_o=4), positions="onehot"),
    "scalar-onehot-residual": ModelConfig(5, V=3, H=2, d=9, d_v=3, d_o=9, heads="sum-out", residual=True, norm="ball",
                                          query="factored", positions="onehot"),
    "gpt-onehot": replace(GPT, positions="onehot", d=8, d_o=8, d_v=4, H=2),
    "scalar-residual": ModelConfig(5, V=3, H=2, d=6, d_v=3, d_o=6, heads="sum-out", residual=True, norm="layer"),
    "scalar-hard": replace(ModelConfig.scalar(5, H=2, d=6, d_o=4), normalise="hard"),
    "bit": BIT,
    "bit-onehot-norm": replace(ModelConfig.paper(5, H=2), heads="concat", norm="ball", d_o=3),
    "bit-sinusoidal-uniform": replace(BIT, positions="sinusoidal", normalise="uniform"),
    "bit-hard": replace(BIT, normalise="hard", H=3),
    "tokens": TOKENS,
    "tokens-factored": replace(TOKENS, query="factored", residual=True, norm="ball", heads="concat"),
    "tokens-2-layers": replace(TOKENS, L=2, norm="layer", activation="gelu"),
    "tokens-hard": replace(TOKENS, normalise="hard"),
    "mlp": ModelConfig.mlp(5, d_ff=6),
    "mlp-3-layers": ModelConfig.mlp(5, L=3, d_ff=4, activation="gelu"),
}
every_case = pytest.mark.parametrize("name", CASES)
FAST = [name for name, model in CASES.items()
        if (model.L, model.input) == (1, "bits") and model.block != "mlp" and model.normalise != "hard"]


def draw(model, m=4, seed=3):
    """Parameters away from their symmetric start, and examples."""
    rng = np.random.default_rng(seed)
    params = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in init_params(rng, model).items()}
    if model.input == "tokens":
        return params, rng.standard_normal((m, model.T, model.d)), rng
    return params, rng.integers(0, model.V, (m, model.T)), rng


def with_z(name, model, X, rng):
    """Besides the first token, a query of its own for every example, or one for all, where the model takes one."""
    if model.input == "tokens" and model.L == 1:
        return [None, rng.standard_normal(model.d), rng.standard_normal((len(X), model.d))]
    return [None]


@every_case
def test_forward_equals_loops(name):
    model = CASES[name]
    params, X, rng = draw(model)
    for z, path in itertools.product(with_z(name, model, X, rng), ("fast", "general")):
        want = oracles.forward(params, X, model, z)
        got = forward(params, X, model, z=z, path=path)[0]
        assert np.abs(got - want).max() <= 1e-12 * np.abs(want).max() and np.ptp(want) > 1e-3 * np.abs(want).max()


@every_case
def test_pullback_is_the_derivative(name):
    """For every array that the logits depend on smoothly; scores of hard and uniform attention have gradient 0."""
    model = CASES[name]
    params, X, rng = draw(model)
    flat = ("q", "W_QK", "W_Q", "W_K", "b_Q") if model.normalise != "softmax" else ()
    for z, path in itertools.product(with_z(name, model, X, rng), ("fast", "general")):
        inputs = {**params, **({"X": X} if model.input == "tokens" else {}), **({} if z is None else {"z": z})}
        _, pullback = forward(params, X, model, z=z, path=path)
        grads = pullback(rng.standard_normal(len(X)))
        assert list(grads) == list(inputs) and all(grads[key].shape == inputs[key].shape for key in inputs)
        still = [key for key in inputs if key.rpartition("/")[2] in flat]
        still += ["z"] if "z" in inputs and model.normalise != "softmax" and not model.residual else []
        assert all(not grads[key].any() for key in still)
        moving = [key for key in inputs if key not in still]

        def op(*arrays):
            given = {**inputs, **dict(zip(moving, arrays))}
            logits, pullback = forward({key: given[key] for key in params}, given.get("X", X), model,
                                       z=given.get("z"), path=path)
            return logits, lambda dlogits: tuple(pullback(dlogits)[key] for key in moving)

        records = check_pullback(op, tuple(np.array(inputs[key]) for key in moving), rng, method="complex")
        assert len(records) == len(moving)


@pytest.mark.parametrize("name", FAST)
def test_one_layer_runs_through_tables(name, monkeypatch):
    """Values and every gradient equal those of the general path to 1e-12, and the fast path builds no rows."""
    model = CASES[name]
    params, X, rng = draw(model, m=40)
    general, back_general = forward(params, X, model, path="general")
    monkeypatch.setattr(sys.modules["minitf.fast.forward"], "cls_heads", None)
    fast, back_fast = forward(params, X, model)
    dlogits = rng.standard_normal(40)
    want, got = back_general(dlogits), back_fast(dlogits)
    assert np.linalg.norm(fast - general) <= 1e-12 * np.linalg.norm(general)
    assert all(np.linalg.norm(got[key] - want[key]) <= 1e-12 * np.linalg.norm(want[key]) for key in params)


@every_case
def test_float32_stays_float32(name):
    model = CASES[name]
    params, X, rng = draw(model)
    low = {key: value.astype(np.float32) for key, value in params.items()}
    X = X.astype(np.float32) if model.input == "tokens" else X
    for path in "fast", "general":
        logits, pullback = forward(low, X, model, path=path)
        grads = pullback(np.ones(len(X), np.float32))
        assert logits.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}


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


def stretched(params, factor):
    """The parameters with scores `factor` times as large."""
    return {key: factor * value if key.rpartition("/")[2] in ("q", "W_QK", "W_Q", "b_Q") else value
            for key, value in params.items()}


def test_one_hot_positions_are_not_built(monkeypatch):
    """A width of T + 3 costs O(T) memory, forward and backward: the T x T identity is never made."""
    monkeypatch.setattr("minitf.model.tokens.positions", None)
    model = CASES["scalar-onehot"]
    params, X, _ = draw(model)
    assert forward(params, X, model)[1](np.ones(len(X))) and attention_of(params, X, model).shape == (2, 5)


@pytest.mark.parametrize("name", ["gpt", "gpt-2-layers", "network", "network-factored", "scalar-onehot", "bit",
                                  "tokens"])
def test_hard_and_uniform_are_the_limits_of_softmax(name):
    model = CASES[name]
    params, X, _ = draw(model)
    soft = forward(params, X, model)[0]
    for normalise, factor in (("uniform", 1e-13), ("hard", 1e6)):
        limit = forward(params, X, replace(model, normalise=normalise))[0]
        near = forward(stretched(params, factor), X, model)[0]
        assert np.abs(near - limit).max() <= 1e-11 * np.abs(limit).max() < np.abs(soft - limit).max()


def test_hard_attention_shares_ties():
    """Scores 0 ([CLS]), 2, 2, -1: the two largest share the attention, whatever their bits."""
    model = replace(ModelConfig.paper(3), normalise="hard")
    params = {"q": np.array([[2.0, 2.0, -1.0]]), "w": np.array([1.0]), "c": np.array(0.0)}
    X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0]])
    logits, pullback = forward(params, X, model)
    assert np.array_equal(logits, [0, 0.5, 0.5, 1]) and not pullback(np.ones(4))["q"].any()
    assert np.array_equal(attention_of(params, X, model), [[0.5, 0.5, 0]])
    logits = forward(params | {"q": np.zeros((1, 3))}, X, model)[0]
    assert np.array_equal(logits, [0.25, 0.5, 0.25, 0.5])                       # [CLS] has the fourth share


def from_layer(l, params, model):
    """The layers from l on as a model of their own: its parameters and configuration."""
    rest = replace(model, L=model.L - l)
    own = {(name[2:] if rest.L == 1 else f"{int(name[0]) - l}{name[1:]}") if name[1:2] == "/" else name: value
           for name, value in params.items() if name[1:2] != "/" or int(name[0]) >= l}
    return own, rest


def test_four_layers_of_four_heads_have_exact_gradients():
    """gpt at T = 64, d = 64: along its gradient, every array within 1e-9 of differences extrapolated to step 0.

    A difference in layer l runs the layers from l on alone, from the rows that layer gets.
    """
    model = ModelConfig.gpt(64, L=4, H=4, d=64)
    rng = np.random.default_rng(3)
    params = {name: value + 0.05 * rng.standard_normal(value.shape) for name, value in init_params(rng, model).items()}
    X, dlogits = rng.integers(0, 2, (32, 64)), rng.standard_normal(32)
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


@pytest.mark.parametrize("query", ["combined", "factored"])
def test_fit_keeps_every_iterate_in_the_class_of_the_network(query):
    model = ModelConfig.network(12, L=2, H=2, d=11, d_v=4, C_2=1.1, C_21=2.0, B_w=1.5, query=query)
    X = np.random.default_rng(0).integers(0, 2, (60, 12))
    sets, seen = constraints(model), []
    assert {name.rpartition("/")[2] for name in sets} >= {"W_V", "W_C", "w"} and "1/W_V" in sets
    assert isinstance(sets["0/W_V"], Intersection)

    def callback(progress):
        p = {name: value.astype(np.float64) for name, value in progress.params.items()}
        for l, h in itertools.product("01", range(2)):
            W_QK = p[f"{l}/W_QK"][h] if query == "combined" else p[f"{l}/W_K"][h] @ p[f"{l}/W_Q"][h].T
            for W, by_rows in ((W_QK, True), (p[f"{l}/W_V"][h], False), (p[f"{l}/W_C"], False)):
                spectral = np.linalg.svd(W, compute_uv=False)[0]
                total = np.linalg.norm(W, axis=1 if by_rows else 0).sum()
                assert spectral <= 1.1 * (1 + 1e-9) and total <= 2.0 * (1 + 1e-9)
                seen.append((spectral / 1.1, total / 2.0))
        assert np.linalg.norm(p["w"]) <= 1.5 * (1 + 1e-9)

    fit(X, X[:, 1] & X[:, 4], model, train=TrainConfig("adam", steps=25, restarts=0, lr=0.03), callback=callback)
    assert len(seen) == 25 * 6 * 1 * 2 and (np.max(seen, axis=0) > 0.999).all()


@pytest.mark.parametrize("model", [ModelConfig.gpt(8, H=2, d=8), ModelConfig.gpt(8, L=2, H=2, d=8), ModelConfig.mlp(8),
                                   ModelConfig.network(8, d=11), replace(ModelConfig.paper(8), normalise="uniform")],
                         ids=["gpt", "gpt-2", "mlp", "network", "uniform"])
def test_fit_trains_every_preset_and_files_keep_it(model, tmp_path):
    X = np.random.default_rng(0).integers(0, 2, (80, 8))
    result = fit(X, X[:, 2], model, train=TrainConfig("adam", steps=60, restarts=0))
    start = fit(X, X[:, 2], model, train=TrainConfig("adam", steps=1, restarts=0))
    assert result.history["loss"][-5:].mean() < 0.8 * start.history["loss"][0] or model.normalise == "uniform"
    result.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.model == model and np.array_equal(again.logits(X), result.logits(X))
    assert again.support(2) == result.support(2) and again.attention().shape == (model.H, 8)


@pytest.mark.parametrize("name", ["gpt", "gpt-2-layers", "bit", "mlp", "network-hard"])
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


def test_blocks_are_small_where_rows_are_built():
    assert blocks(10_000, GPT) == [slice(0, 4096), slice(4096, 8192), slice(8192, 12288)]
    assert blocks(0, GPT) == [slice(0, 4096)]
    for model in ModelConfig.gpt(64, L=2), ModelConfig.gpt(1000, L=2), ModelConfig.network(64, d=67):
        rows = blocks(10 ** 5, model)
        size = rows[0].stop
        assert rows == [slice(i, i + size) for i in range(0, 10 ** 5, size)]
        widest = max(model.H * (model.T + 1), model.H * model.d, model.d_ff)
        assert size * (model.T + 1) * widest <= 2 ** 22 or size == 1


def test_a_model_without_attention_names_its_support_by_influence():
    X = np.random.default_rng(0).integers(0, 2, (200, 10))
    result = fit(X, X[:, 2] & X[:, 7], ModelConfig.mlp(10, d_ff=32), train=TrainConfig("adam"))
    assert result.support(2) == (2, 7) and np.array_equal(result.strength(), result.influence())


REFUSED = [
    (GPT, dict(heads="sum-pre")), (GPT, dict(query="q")), (GPT, dict(d_o=4)), (GPT, dict(radius=2.0)),
    (GPT, dict(C_2=1)),
    (GPT, dict(input="tokens")), (GPT, dict(H=3)), (GPT, dict(values="bit")), (GPT, dict(norm="batch")),
    (GPT, dict(block="rnn")), (GPT, dict(residual=1)), (GPT, dict(d_ff=-1)), (GPT, dict(L=0)), (GPT, dict(H=0)),
    (NET, dict(query="q")), (NET, dict(d_o=3)), (NET, dict(d_o=0)), (NET, dict(d_ff=5)), (NET, dict(C_21=0)),
    (NET, dict(B_w=float("nan"))), (NET, dict(normalise="sparse")), (NET, dict(position_seed=-1)),
    (NET, dict(positions="onehot")), (NET, dict(H=0)),
    (replace(NET, L=1), dict(residual=True, d_o=3)),
    (ModelConfig(5), dict(d=8, positions="sign")), (ModelConfig(5), dict(d=3, positions="sinusoidal")),
    (ModelConfig(5), dict(input="tokens")), (TOKENS, dict(positions="sign")), (TOKENS, dict(query="q")),
    (ModelConfig(5), dict(values="bit")), (BIT, dict(d_v=2)), (BIT, dict(query="combined")), (BIT, dict(V=4)),
    (ModelConfig.mlp(5), dict(H=1)), (ModelConfig.mlp(5), dict(d_ff=0)), (ModelConfig.mlp(5), dict(V=3)),
    (ModelConfig.mlp(5), dict(norm="layer")), (ModelConfig.mlp(5), dict(d=32)), (ModelConfig.mlp(5), dict(radius=1.0)),
]


@pytest.mark.parametrize("model, bad", REFUSED, ids=lambda x: x.block if isinstance(x, ModelConfig) else str(x))
def test_what_a_model_cannot_be_is_refused_in_one_line(model, bad):
    with pytest.raises((ValueError, TypeError), match="^[A-Za-z_0-9]+: expected [^\n]*, got [^\n]*$"):
        replace(model, **bad)


def test_presets_refuse_typos_and_fit_what_it_cannot_learn():
    for make in (lambda: ModelConfig.gpt(5, n_head=2), lambda: ModelConfig.mlp(5, H=2),
                 lambda: ModelConfig.network(5, radus=1)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(ValueError, match="^H: expected a divisor"):
        ModelConfig.gpt(5, H=3)
    X = np.eye(5, dtype=int)
    for model in (replace(GPT, normalise="hard"), ModelConfig.gpt(5, V=3), TOKENS):
        with pytest.raises(ValueError, match="^model: expected "):
            fit(X, X[:, 0], model)


def test_wrong_tokens_and_queries_are_named():
    params, X, _ = draw(TOKENS)
    for bad in X[:, 1:], X[..., 1:], X[0], X * np.nan:
        with pytest.raises(ValueError, match="^X: expected "):
            forward(params, bad, TOKENS)
    for z in np.zeros(5), np.zeros((3, 6)), np.full(6, np.inf):
        with pytest.raises(ValueError, match="^z: expected "):
            forward(params, X, TOKENS, z=z)
    params, X, _ = draw(NET)
    with pytest.raises(ValueError, match="^z: expected none"):
        forward(params, X, NET, z=np.zeros(7))
