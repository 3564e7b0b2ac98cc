"""What a configuration says, and what it refuses, in one line."""
import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
from model.model_cases import BIT, GPT, NET, TOKENS

from minitf.model import ModelConfig

REFUSED = [
    (GPT, dict(heads="sum-pre")), (GPT, dict(query="q")), (GPT, dict(d_o=4)), (GPT, dict(radius=2.0)),
    (GPT, dict(C_2=1)),
    (GPT, dict(input="tokens")), (GPT, dict(H=3)), (GPT, dict(values="bit")), (GPT, dict(norm="batch")),
    (GPT, dict(block="rnn")), (GPT, dict(residual=1)), (GPT, dict(d_ff=-1)), (GPT, dict(L=0)), (GPT, dict(H=0)),
    (NET, dict(query="q")), (NET, dict(d_o=3)), (NET, dict(d_o=0)), (NET, dict(d_ff=5)), (NET, dict(C_21=0)),
    (NET, dict(B_w=float("nan"))), (NET, dict(position_seed=-1)),
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


def test_presets_refuse_typos():
    for make in (lambda: ModelConfig.gpt(5, n_head=2), lambda: ModelConfig.mlp(5, H=2),
                 lambda: ModelConfig.network(5, radus=1)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(ValueError, match="^H: expected a divisor"):
        ModelConfig.gpt(5, H=3)


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


def test_there_is_no_way_to_normalise_but_softmax():
    with pytest.raises(TypeError):
        ModelConfig(4, normalise="softmax")
