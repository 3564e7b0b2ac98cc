"""A Result that reads columns and their negations; data frames, masked arrays, and a warning where a class cannot hold the rule."""
import importlib.util
import warnings

import numpy as np
import pytest
from frames import Frame

from minitf.files import load_arrays, save_arrays
from minitf.learn import FitWarning, decide, fit, load
from minitf.model import ModelConfig


def drawn(seed, m=150, T=64):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, (m, T)).astype(np.uint8)
    return X, X[:, 1] & (1 - X[:, 7])


def test_a_head_on_negations_takes_the_columns_of_the_table(tmp_path):
    X, y = drawn(0)
    result = fit(X, y, negations=True)
    rule = result.rule()
    assert str(rule) == "x1 and not x7" and rule.exact and result.support(2) == (1, 7)
    assert (result.T, result.model) == (64, ModelConfig.paper(128))
    assert (result.predict(X) == y).all() and result.attention().shape == (1, 64)
    assert result.influence().argsort()[-2:].tolist() in ([1, 7], [7, 1])
    both = np.concatenate([X, 1 - X], axis=1)
    assert np.array_equal(result.logits(X), fit(both, y).logits(both))
    c, v = result.affine()
    assert np.allclose(c + X @ v, result.logits(X), rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match=r"^X: expected shape \(any, 64\)"):
        result.predict(both)
    result.save(tmp_path / "model.npz", names=[f"f{t}" for t in range(64)])
    again = load(tmp_path / "model.npz")
    assert again.negations and np.array_equal(again.logits(X), result.logits(X))
    assert str(again.rule()) == "f1 and not f7"
    arrays, header = load_arrays(tmp_path / "model.npz")
    for bad in 1, "yes", None:
        save_arrays(tmp_path / "model.npz", arrays, **{**header, "negations": bad})
        with pytest.raises(ValueError, match="negations"):
            load(tmp_path / "model.npz")


@pytest.mark.slow
def test_on_the_columns_alone_it_is_warned_of():
    for seed in range(3):
        X, y = drawn(seed)
        with pytest.warns(FitWarning, match=r"^the model is wrong on \d+ of its 150 examples, the more frequent label"):
            fit(X, X[:, 1] ^ X[:, 7])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(X, y, negations=True)
            fit(X, (X[:, 1] & X[:, 7]) ^ (np.random.default_rng(seed).random(150) < 0.1))


def test_data_frames_give_names_and_masked_arrays_are_refused():
    X, y = drawn(0)
    frame = Frame(**{f"f{t}": column.astype(bool) if t % 2 else column for t, column in enumerate(X.T)})
    result = fit(frame, y.tolist(), negations=True)
    assert str(result.rule()) == "f1 and not f7" and result.names[3] == "f3"
    assert np.array_equal(result.logits(X), fit(X, y, negations=True).logits(X))
    answer = decide(frame, y)
    assert str(answer.rule) == "f1 and not f7" and answer.rule.exact
    ages, colours = np.arange(150), np.where(y, "red", "blue").astype(object)
    with pytest.raises(ValueError, match=r"^X, column age: expected zeros and ones, got other values in int64 array"):
        decide(Frame(f0=X[:, 0], age=ages), y)
    with pytest.raises(TypeError, match=r"^X, column colour: expected zeros and ones, got "):
        fit(Frame(f0=X[:, 0], colour=colours), y)
    for bad in (np.ma.array(X, mask=X > 2), y), (X, np.ma.array(y)):
        with pytest.raises(TypeError, match="^[Xy]: expected an array without a mask"):
            fit(*bad)


@pytest.mark.skipif(not importlib.util.find_spec("pandas"), reason="needs pandas")
def test_pandas():
    import pandas as pd
    X, y = drawn(0)
    frame = pd.DataFrame(X, columns=[f"f{t}" for t in range(64)])
    frame["f3"] = frame["f3"].astype(bool)
    assert str(fit(frame, pd.Series(y), negations=True).rule()) == "f1 and not f7"
