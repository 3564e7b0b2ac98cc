"""tf-scalar: its two paths agree, its gradients are derivatives, its classes are what they say."""
import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import oracles
from minitf.fast.forward import attention_of, forward, head_shares
from minitf.model.config import ModelConfig
from minitf.model.layers import readout
from minitf.model.parameters import constraints, init_params, shapes
from minitf.fast.step import is_scalar, scalar_gradient
from minitf.projections.balls import Ball
from minitf.fast.step import mean_gradient
from minitf.trust.verify import check_pullback

COMBINATIONS = list(itertools.product(("sum-pre", "sum-out", "concat"), ("identity", "relu", "gelu"), (0, 5)))
PRESETS = {
    "paper": ModelConfig.paper(6),
    "paper-2-heads": ModelConfig.paper(6, H=2),
    "paper-W_C": dataclasses.replace(ModelConfig.paper(6, H=2), d_o=3, heads="concat", activation="gelu"),
    "scalar": ModelConfig.scalar(6, H=2, d=8, d_o=5),
    "default": ModelConfig(6),
    "three-symbols": ModelConfig(5, V=3, H=2, d=4, d_v=3, heads="sum-out", activation="gelu", d_o=2),
}
every_preset = pytest.mark.parametrize("model", PRESETS.values(), ids=PRESETS)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def draw(rng, model, m=7, spread=1.0):
    """Parameters away from their symmetric start, the scores stretched by `spread`, and examples."""
    params = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in init_params(rng, model).items()}
    params["q"] = spread * params["q"]
    return params, rng.integers(0, model.V, (m, model.T))


def tables(params, model):
    """The tokens (V, T, d), x_cls (d,) and W_V (H, d, d_v) of a model; of the bounded class, orthonormal ones."""
    if model.positions == "learned":
        return params["E"][:, None] + params["P"], params["x_cls"], params["q"], params["W_V"]
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((model.d, model.d)))[0]
    P, E, x_cls = basis[:model.T], basis[model.T:model.T + 2], basis[-1]
    return E[:, None] + P, x_cls, params["q"] @ P, np.broadcast_to(E[1][:, None], (model.H, model.d, 1))


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
        params, X = draw(rng, model)
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
    params, X = draw(rng, model, m, spread)
    assert_paths_agree(params, X, model, rng.standard_normal(m))


@every_preset
def test_pullback_is_the_derivative(rng, model):
    params, X = draw(rng, model, 9)
    params = {name: np.array(value) for name, value in params.items()}
    for path in "fast", "general":
        def op(*arrays):
            logits, pullback = forward(dict(zip(params, arrays)), X, model, path=path)
            return logits, lambda dlogits: tuple(pullback(dlogits).values())
        records = check_pullback(op, tuple(params.values()), rng)
        assert len(records) == len(params)


@every_preset
def test_float32_stays_float32(rng, model):
    params, X = draw(rng, model)
    low = {name: value.astype(np.float32) for name, value in params.items()}
    for path in "fast", "general":
        logits, pullback = forward(low, X, model, path=path)
        grads = pullback(np.ones(7, np.float32))
        assert logits.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}
        assert np.allclose(logits, forward(params, X, model)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
def test_one_head_is_the_formula_of_the_paper(rng, activation):
    model = ModelConfig(5, d=6, d_v=3, d_o=4, activation=activation)
    params, X = draw(rng, model)
    p, x_cls = params, params["x_cls"]
    W_QK = np.outer(p["q"][0], x_cls) / (x_cls @ x_cls)
    tokens = p["E"][X] + p["P"]
    want = oracles.tf_scalar(tokens, x_cls, W_QK, p["W_V"][0], p["W_C"], p["w"], getattr(oracles, activation)) + p["c"]
    assert np.allclose(forward(params, X, model)[0], want, rtol=1e-12, atol=1e-12)


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


def test_the_bounded_class_is_a_model_with_orthonormal_tokens(rng):
    """Any orthonormal tokens give the same logits: here a rotated basis, every step written out."""
    model = ModelConfig.paper(6, H=2)
    params, X = draw(rng, model, spread=3)
    tokens, x_cls, q, W_V = tables(params, model)
    logits = []
    for x in X:
        rows = np.array([x_cls] + [tokens[b, t] for t, b in enumerate(x)])
        heads = [np.exp(rows @ q[h]) @ (rows @ W_V[h]) / np.exp(rows @ q[h]).sum() for h in range(2)]
        logits.append(sum(heads)[0] * params["w"][0] + params["c"])
    assert np.allclose(forward(params, X, model)[0], logits, rtol=1e-12, atol=1e-13)


@every_preset
def test_attention_of_is_the_softmax_over_explicit_tokens(rng, model):
    for spread in 1, 300:
        params, X = draw(rng, model, spread=spread)
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


def test_the_radius_gives_the_attention_it_promises():
    for T, k in (64, 3), (16384, 1), (1024, 10):
        model = ModelConfig.paper(T, k)
        q = np.zeros((1, T))
        q[0, :k] = model.radius / k
        weights = attention_of({"q": q, "w": np.ones(1), "c": np.zeros(())}, np.zeros((1, T), int), model)
        assert weights[0, :k].sum() >= 1 - math.exp(-4)


@pytest.mark.parametrize("bad, error", [
    ({"T": 0}, ValueError), ({"T": 4.0}, TypeError), ({"T": True}, TypeError), ({"V": 1}, ValueError),
    ({"H": 0}, ValueError),
    ({"d": -1}, ValueError), ({"d_v": 0}, ValueError), ({"d_o": -1}, ValueError), ({"heads": "sum"}, ValueError),
    ({"activation": "tanh"}, ValueError), ({"activation": ["relu"]}, ValueError), ({"positions": "sine"}, ValueError),
    ({"radius": 0}, ValueError), ({"radius": math.nan}, ValueError), ({"radius": "4"}, TypeError),
    ({"bound": -1}, ValueError),
    ({"positions": "onehot"}, ValueError)])
def test_a_bad_field_is_named_in_one_line(bad, error):
    name = next(iter(bad))
    with pytest.raises(error, match=f"^{name}: expected [^\n]*, got [^\n]*$"):
        ModelConfig(**{"T": 4, **bad})


def test_configurations_are_frozen_and_know_their_fields():
    with pytest.raises(TypeError):
        ModelConfig(4, n_heads=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig(4).H = 2
    for make in (lambda: ModelConfig.scalar(4, H=3), lambda: ModelConfig.scalar(4, H=0)):
        with pytest.raises(ValueError, match="^H: "):
            make()
    for name, value in dataclasses.asdict(ModelConfig(np.int64(4), V=np.int64(2), d_o=np.int32(3))).items():
        assert type(value) in (int, float, str, bool), name


@every_preset
def test_wrong_input_is_named(rng, model):
    params, X = draw(rng, model)
    renamed = {("p" if name == "q" else name): value for name, value in params.items()}
    nan = {**params, "q": np.full_like(params["q"], np.nan)}
    wide = {**params, "w": np.ones(77)}
    for bad, message in ((renamed, "^params: .*q"), ({**params, "b": X}, "^params: "), (nan, "^q: .*NaN"),
                         (wide, r"^params\['w'\]: expected shape")):
        with pytest.raises(ValueError, match=message):
            forward(bad, X, model)
    for bad, error in ((X[:, 1:], ValueError), (X[0], ValueError), (X + model.V, ValueError),
                       (X - 1 - X.max(), ValueError),
                       (X + 0.5, TypeError)):
        with pytest.raises(error, match="^X: expected "):
            forward(params, bad, model)
    with pytest.raises(ValueError, match="^path: "):
        forward(params, X, model, path="quick")
    with pytest.raises(ValueError, match="^dlogits: expected shape"):
        forward(params, X, model)[1](np.ones((7, 1)))


def test_bits_of_any_integer_type_give_the_same_logits(rng):
    params, X = draw(rng, ModelConfig(6))
    want = forward(params, X, ModelConfig(6))[0]
    for dtype in np.bool_, np.uint8, np.int8, np.uint64:
        assert np.array_equal(forward(params, X.astype(dtype), ModelConfig(6))[0], want)


# The gradient of training: arrays used again, half the products, the same numbers

def spread_scalar(rng, H, T, spread, at_cls):
    """A scalar model whose heads prefer a symbol, each one of its own, by up to spread in the score."""
    model = ModelConfig.scalar(T, H=H, d=4 * H, d_o=9)
    params = init_params(rng, model)
    params["c"] = np.float64(0.3)
    toward = params["q"] / (params["q"] ** 2).sum(axis=1, keepdims=True)
    params["E"][1] += spread * np.linspace(-1, 1, H) @ toward
    params["x_cls"] += at_cls * toward.sum(axis=0)
    return model, params


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


def random_examples(rng, m, T):
    return rng.integers(0, 2, (m, T), np.uint8), rng.integers(0, 2, m, np.uint8)


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
    *(dataclasses.replace(ModelConfig.scalar(5), **other) for other in (
        {"heads": "sum-out"}, {"normalise": "uniform"}, {"activation": "gelu"}, {"V": 3}, {"query": "combined"},
        {"norm": "ball"}))])
def test_other_models_are_not_scalar(model):
    assert not is_scalar(model)
    assert is_scalar(ModelConfig.scalar(5, H=2, d=6, d_o=3, radius=7.0))
