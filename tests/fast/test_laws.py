"""The laws that a model obeys, over both ways to compute it: the definition, and the same sooner."""
import numpy as np
import oracles
import pytest
from model.model_cases import CASES, draw, draw_spread, every_case, every_preset, tables, with_z

from minitf.fast import forward as fast
from minitf.model import ModelConfig
from minitf.model import forward as definition
from minitf.trust import check_pullback

both_ways = pytest.mark.parametrize("forward", [definition, fast], ids=["definition", "fast"])


@pytest.mark.every(2)
@both_ways
@every_case
def test_forward_equals_loops(name, forward):
    model = CASES[name]
    params, X, rng = draw(model)
    for z in with_z(name, model, X, rng):
        want, got = oracles.forward(params, X, model, z), forward(params, X, model, z=z)[0]
        assert np.abs(got - want).max() <= 1e-12 * np.abs(want).max()
        assert np.ptp(want) > 1e-3 * np.abs(want).max()


@pytest.mark.every(8)
@both_ways
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("gpt-")) for name in CASES])
def test_pullback_is_the_derivative(name, forward):
    model = CASES[name]
    params, X, rng = draw(model)
    for z in with_z(name, model, X, rng):
        inputs = {**params, **({"X": X} if model.input == "tokens" else {}), **({} if z is None else {"z": z})}
        _, pullback = forward(params, X, model, z=z)
        grads = pullback(rng.standard_normal(len(X)))
        assert list(grads) == list(inputs) and all(grads[key].shape == inputs[key].shape for key in inputs)

        def op(*arrays):
            given = dict(zip(inputs, arrays))
            logits, pullback = forward({key: given[key] for key in params}, given.get("X", X), model,
                                       z=given.get("z"))
            return logits, lambda dlogits: tuple(pullback(dlogits).values())

        records = check_pullback(op, tuple(np.array(value) for value in inputs.values()), rng, method="complex")
        assert len(records) >= len(inputs)


@both_ways
@every_case
def test_float32_stays_float32(name, forward):
    model = CASES[name]
    params, X, rng = draw(model)
    low = {key: value.astype(np.float32) for key, value in params.items()}
    X_low = X.astype(np.float32) if model.input == "tokens" else X
    logits, pullback = forward(low, X_low, model)
    grads = pullback(np.ones(len(X), np.float32))
    assert logits.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}
    assert np.allclose(logits, forward(params, X, model)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.every(4)
@both_ways
@every_preset
def test_pullback_of_the_usual_models_is_the_derivative(rng, model, forward):
    params, X = draw_spread(rng, model, 9)
    params = {name: np.array(value) for name, value in params.items()}

    def op(*arrays):
        logits, pullback = forward(dict(zip(params, arrays)), X, model)
        return logits, lambda dlogits: tuple(pullback(dlogits).values())

    assert len(check_pullback(op, tuple(params.values()), rng)) >= len(params)


@both_ways
@every_preset
def test_float32_of_the_usual_models(rng, model, forward):
    params, X = draw_spread(rng, model)
    low = {name: value.astype(np.float32) for name, value in params.items()}
    logits, pullback = forward(low, X, model)
    grads = pullback(np.ones(7, np.float32))
    assert logits.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}
    assert np.allclose(logits, forward(params, X, model)[0], rtol=1e-4, atol=1e-4)


@both_ways
@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
def test_one_head_is_the_formula_of_the_paper(rng, activation, forward):
    model = ModelConfig(5, d=6, d_v=3, d_o=4, activation=activation)
    params, X = draw_spread(rng, model)
    p, x_cls = params, params["x_cls"]
    W_QK = np.outer(p["q"][0], x_cls) / (x_cls @ x_cls)
    tokens = p["E"][X] + p["P"]
    want = oracles.tf_scalar(tokens, x_cls, W_QK, p["W_V"][0], p["W_C"], p["w"], getattr(oracles, activation)) + p["c"]
    assert np.allclose(forward(params, X, model)[0], want, rtol=1e-12, atol=1e-12)


@both_ways
def test_the_bounded_class_is_a_model_with_orthonormal_tokens(rng, forward):
    """Any orthonormal tokens give the same logits: here a rotated basis, every step written out."""
    model = ModelConfig.paper(6, H=2)
    params, X = draw_spread(rng, model, spread=3)
    tokens, x_cls, q, W_V = tables(params, model)
    logits = []
    for x in X:
        rows = np.array([x_cls] + [tokens[b, t] for t, b in enumerate(x)])
        heads = [np.exp(rows @ q[h]) @ (rows @ W_V[h]) / np.exp(rows @ q[h]).sum() for h in range(2)]
        logits.append(sum(heads)[0] * params["w"][0] + params["c"])
    assert np.allclose(forward(params, X, model)[0], logits, rtol=1e-12, atol=1e-13)


@both_ways
def test_bits_of_any_integer_type_give_the_same_logits(rng, forward):
    params, X = draw_spread(rng, ModelConfig(6))
    want = forward(params, X, ModelConfig(6))[0]
    for dtype in np.bool_, np.uint8, np.int8, np.uint64:
        assert np.array_equal(forward(params, X.astype(dtype), ModelConfig(6))[0], want)


@both_ways
@every_preset
def test_wrong_input_is_named(rng, model, forward):
    params, X = draw_spread(rng, model)
    renamed = {("p" if name == "q" else name): value for name, value in params.items()}
    nan = {**params, "q": np.full_like(params["q"], np.nan)}
    wide = {**params, "w": np.ones(77)}
    for bad, message in ((renamed, "^params: .*q"), ({**params, "b": X}, "^params: "), (nan, "^params\\['q'\\]: .*NaN"),
                         (wide, r"^params\['w'\]: expected shape")):
        with pytest.raises(ValueError, match=message):
            forward(bad, X, model)
    for bad, error in ((X[:, 1:], ValueError), (X[0], ValueError), (X + model.V, ValueError),
                       (X - 1 - X.max(), ValueError),
                       (X + 0.5, TypeError)):
        with pytest.raises(error, match="^X: expected "):
            forward(params, bad, model)
    with pytest.raises(ValueError, match="^dlogits: expected shape"):
        forward(params, X, model)[1](np.ones((7, 1)))


@both_ways
def test_wrong_tokens_and_queries_are_named(forward):
    params, X, _ = draw(CASES["tokens"])
    for bad in X[:, 1:], X[..., 1:], X[0], X * np.nan:
        with pytest.raises(ValueError, match="^X: expected "):
            forward(params, bad, CASES["tokens"])
    for z in np.zeros(5), np.zeros((3, 6)), np.full(6, np.inf):
        with pytest.raises(ValueError, match="^z: expected "):
            forward(params, X, CASES["tokens"], z=z)
    params, X, _ = draw(CASES["network"])
    with pytest.raises(ValueError, match="^z: expected none"):
        forward(params, X, CASES["network"], z=np.zeros(7))
