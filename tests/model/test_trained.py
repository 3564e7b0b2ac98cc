"""Every class of models in training: its balls hold, its loss falls, its files keep it."""
import itertools

import numpy as np
import pytest
from model.model_cases import TOKENS

from minitf.files import load_arrays, save_arrays
from minitf.learn import TrainConfig, fit, load
from minitf.model import ModelConfig, constraints
from minitf.projections import Intersection


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


@pytest.mark.every(2)
@pytest.mark.parametrize("model", [ModelConfig.gpt(8, H=2, d=8), ModelConfig.gpt(8, L=2, H=2, d=8), ModelConfig.mlp(8),
                                   ModelConfig.network(8, d=11)], ids=["gpt", "gpt-2", "mlp", "network"])
def test_fit_trains_every_preset_and_files_keep_it(model, tmp_path):
    X = np.random.default_rng(0).integers(0, 2, (80, 8))
    result = fit(X, X[:, 2], model, train=TrainConfig("adam", steps=60, restarts=0))
    start = fit(X, X[:, 2], model, train=TrainConfig("adam", steps=1, restarts=0))
    assert result.history["loss"][-5:].mean() < 0.8 * start.history["loss"][0]
    result.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.model == model and np.array_equal(again.logits(X), result.logits(X))
    assert again.support(2) == result.support(2) and again.attention().shape == (model.H, 8)


@pytest.mark.parametrize("normalise, fine", [("softmax", True), ("hard", False)])
def test_files_of_older_versions_load_where_their_attention_is_softmax(normalise, fine, tmp_path):
    """Their configuration had one more field."""
    X = np.random.default_rng(0).integers(0, 2, (40, 6))
    fit(X, X[:, 2], train=TrainConfig(steps=3)).save(tmp_path / "new.npz")
    arrays, header = load_arrays(tmp_path / "new.npz")
    header["model"]["normalise"] = normalise
    save_arrays(tmp_path / "old.npz", arrays, **header)
    if fine:
        assert load(tmp_path / "old.npz").model == load(tmp_path / "new.npz").model
        return
    with pytest.raises(ValueError, match="not a minitf model file.*softmax"):
        load(tmp_path / "old.npz")


def test_a_model_without_attention_names_its_support_by_influence():
    X = np.random.default_rng(0).integers(0, 2, (200, 10))
    result = fit(X, X[:, 2] & X[:, 7], ModelConfig.mlp(10, d_ff=32), train=TrainConfig("adam"))
    assert result.support(2) == (2, 7) and np.array_equal(result.strength(), result.influence())


def test_fit_refuses_what_it_cannot_learn():
    X = np.eye(5, dtype=int)
    for model in (ModelConfig.gpt(5, V=3), TOKENS):
        with pytest.raises(ValueError, match="^model: expected "):
            fit(X, X[:, 0], model)
