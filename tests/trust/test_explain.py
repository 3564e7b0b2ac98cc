"""The worked example is right on paper: every array from its printed formula, every gradient by differences."""
import json
import math
import re

import numpy as np
import oracles
import pytest

from minitf.fast.forward import forward
from minitf.model.config import ModelConfig
from minitf.ops.attention import attention, attention_weights
from minitf.trust.explain import explain, render

SIZES = [(1, 1), (1, 6), (2, 3), (3, 2), (5, 4), (8, 1), (8, 6)]
every_size = pytest.mark.parametrize("T, d", SIZES)


def dot(x, y):
    return math.fsum(a * b for a, b in zip(x, y, strict=True))


def times(M, x):
    return [dot(row, x) for row in M]


def transpose(M):
    return [list(column) for column in zip(*M)]


def outer(x, y):
    return [[a * b for b in y] for a in x]


def plus(M, N):
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(M, N, strict=True)]


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


FORMULAS = {            # what each printed formula says, written out once more: a function of all arrays by name
    "X_0 = x_cls, X_t = E[b_t] + P_t": lambda v: [v["x_cls"], *plus([v["E"][i] for i in v["b"]], v["P"])],
    "q = W_QK x_cls": lambda v: times(v["W_QK"], v["x_cls"]),
    "s = X q": lambda v: times(v["X"], v["q"]),
    "e = exp(s)": lambda v: [math.exp(s) for s in v["s"]],
    "sum(e)": lambda v: math.fsum(v["e"]),
    "a = exp(s) / sum(exp(s))": lambda v: [math.exp(s) / math.fsum(map(math.exp, v["s"])) for s in v["s"]],
    "c = X^T a": lambda v: times(transpose(v["X"]), v["a"]),
    "h = W_V^T c": lambda v: times(transpose(v["W_V"]), v["c"]),
    "r = max(h, 0)": lambda v: [max(h, 0) for h in v["h"]],
    "o = W_C^T r": lambda v: times(transpose(v["W_C"]), v["r"]),
    "logit = w . o": lambda v: dot(v["w"], v["o"]),
    "p = 1 / (1 + exp(-logit))": lambda v: sigmoid(v["logit"]),
    "loss = log(1 + exp(logit)) - label logit":
        lambda v: math.log(1 + math.exp(v["logit"])) - v["label"] * v["logit"],
    "dlogit = 1 / (1 + exp(-logit)) - label": lambda v: sigmoid(v["logit"]) - v["label"],
    "dw = dlogit o": lambda v: [v["dlogit"] * o for o in v["o"]],
    "do = dlogit w": lambda v: [v["dlogit"] * w for w in v["w"]],
    "dW_C = r do^T": lambda v: outer(v["r"], v["do"]),
    "dr = W_C do": lambda v: times(v["W_C"], v["do"]),
    "dh = dr where h > 0, else 0": lambda v: [dr if h > 0 else 0 for dr, h in zip(v["dr"], v["h"])],
    "dW_V = c dh^T": lambda v: outer(v["c"], v["dh"]),
    "dc = W_V dh": lambda v: times(v["W_V"], v["dh"]),
    "da = X dc": lambda v: times(v["X"], v["dc"]),
    "sum(a * da)": lambda v: dot(v["a"], v["da"]),
    "ds = a * (da - sum(a * da))": lambda v: [a * (da - dot(v["a"], v["da"])) for a, da in zip(v["a"], v["da"])],
    "dq = X^T ds": lambda v: times(transpose(v["X"]), v["ds"]),
    "dX = a dc^T + ds q^T": lambda v: plus(outer(v["a"], v["dc"]), outer(v["ds"], v["q"])),
    "dW_QK = dq x_cls^T": lambda v: outer(v["dq"], v["x_cls"]),
    "dP_t = dX_t": lambda v: v["dX"][1:],
    "dE_i = sum of dX_t over the t with b_t = i": lambda v: [
        [math.fsum(dx[j] for dx, b in zip(v["dX"][1:], v["b"]) if b == i) for j in range(len(v["q"]))] for i in (0, 1)],
    "dx_cls = dX_0 + W_QK^T dq": lambda v: plus([v["dX"][0]], [times(transpose(v["W_QK"]), v["dq"])])[0],
}


def arrays_of(record):
    return {array["name"]: array["values"] for array in record["arrays"]}


@pytest.mark.every(3)
@every_size
def test_every_array_is_what_its_formula_says(T, d):
    for seed in range(4):
        record = explain(T, d, seed)
        known = {array["name"]: array["values"] for array in record["arrays"] if array["kind"] == "given"}
        for array in record["arrays"]:
            if array["kind"] != "given":
                expected = np.array(FORMULAS[array["formula"]](known))              # from arrays printed above it only
                assert list(expected.shape) == array["shape"] == list(np.shape(array["values"]))
                assert np.abs(expected - array["values"]).max() <= 1e-13, array["name"]
                known[array["name"]] = array["values"]
        assert {array["formula"] for array in record["arrays"] if array["kind"] != "given"} == FORMULAS.keys()


@every_size
def test_every_gradient_agrees_with_its_differences(T, d):
    record = explain(T, d, 1)
    steps = [array["name"] for array in record["arrays"] if array["part"] == "forward" and array["kind"] != "working"]
    backward = [array for array in record["arrays"] if array["part"] == "backward" and array["kind"] == "step"]
    assert {array["name"] for array in backward} == {"d" + name for name in steps} - {"dloss", "db", "dlabel"}
    for array in backward:
        dx, slopes = np.array(array["values"]), np.array(array["differences"])
        assert dx.shape == slopes.shape and np.abs(dx - slopes).max() <= 1e-8
        assert np.abs(dx).max() > 0.01                                              # else it would show nothing
        assert (dx != slopes).any() or not dx.all() or dx.size == 1                 # found in two ways
    assert all(array["differences"] is None for array in record["arrays"] if array not in backward)


@every_size
def test_it_is_the_tf_scalar(T, d):
    """The slow oracle, attention, and the general model, whose q is a parameter, give the same numbers."""
    record = explain(T, d, 2)
    v = {name: np.array(value) for name, value in arrays_of(record).items()}
    twin = oracles.tf_scalar(v["X"][None, 1:], v["x_cls"], v["W_QK"], v["W_V"], v["W_C"], v["w"], oracles.relu)
    assert abs(twin[0] - v["logit"]) <= 1e-13
    out, pullback = attention(v["q"][None], v["X"], v["X"], scale=1)
    dq, dk, dv = pullback(v["dc"][None])
    A, _ = attention_weights(v["q"][None], v["X"], scale=1)
    for x, name in (out[0], "c"), (A[0], "a"), (dq[0], "dq"), (dk + dv, "dX"):
        assert np.abs(x - v[name]).max() <= 1e-14
    assert record["attention_difference"] <= 1e-14
    model = ModelConfig(T=T, d=d, d_v=2, d_o=2, activation="relu")
    params = {name: v[name] for name in ("E", "P", "x_cls", "w", "W_C")}
    params |= {"q": v["q"][None], "W_V": v["W_V"][None], "c": np.zeros(())}
    logits, pullback = forward(params, v["b"][None], model)
    grads = pullback(v["dlogit"][None])
    assert abs(logits[0] - v["logit"]) <= 1e-13
    for name in "E", "P", "w", "W_C", "q", "W_V":
        assert np.abs(grads[name].reshape(v[name].shape) - v["d" + name]).max() <= 1e-13, name
    assert np.abs(grads["x_cls"] - v["dX"][0]).max() <= 1e-13


@pytest.mark.every(3)
@every_size
def test_numbers_are_fit_for_paper(T, d):
    for seed in range(4):
        record = explain(T, d, seed)
        v = arrays_of(record)
        for name in "E", "P", "x_cls", "W_QK", "W_V", "W_C", "w":
            x = np.array(v[name])
            assert np.array_equal(x, np.round(x, 1)) and x.all()
        assert min(v["h"]) < 0 < max(v["h"]) and v["label"] == v["b"][0]
        assert record["loss_after"] < record["loss"] == v["loss"]
        assert max(np.abs(array["values"]).max() for array in record["arrays"] if array["kind"] == "step") < 10


@pytest.mark.every(3)
@every_size
def test_text_fits_in_80_columns_and_shows_every_array(T, d):
    for seed in range(4):
        record = explain(T, d, seed)
        text = render(record)
        assert max(map(len, text.splitlines())) <= 80 and text.isascii()
        assert not re.search(r"-0\.0+\b(?!\d)", text)
        prose = " ".join(text.split())
        shown = iter(prose[prose.index("Tokens -"):].split())
        for array in record["arrays"]:
            assert " ".join(array["why"].split()) in prose
            digits = 4 if array["kind"] != "given" else 0 if array["name"] in ("b", "label") else 1
            numbers = [f"{round(x, digits) + 0.0:.{digits}f}" for x in np.ravel(array["values"])]
            assert all(number in shown for number in numbers), array["name"]        # in this order


def test_sections_come_in_order_and_back():
    text = render(explain())
    forward = ["Tokens", "Scores", "Weights", "Head", "Readout", "Loss"]
    assert re.findall(r"^(\w+) -{60,}$", text, flags=re.M) == forward + forward[::-1] + ["Checks"]
    names = [array["name"] for array in explain()["arrays"] if array["kind"] == "step"]
    assert names[:10] == ["X", "q", "s", "a", "c", "h", "r", "o", "logit", "loss"]
    assert [name[1:] for name in names[10:] if name[1:] in names] == names[8::-1]


def test_record_is_json_and_repeats():
    record = explain(4, 3, 7)
    assert json.loads(json.dumps(record, allow_nan=False)) == record == explain(4, 3, 7)
    assert render(json.loads(json.dumps(record))) == render(record)
    assert explain(4, 3, 8)["loss"] != record["loss"]
    assert explain() == explain(3, 2, 0)


@pytest.mark.parametrize("name, value, error", [
    ("T", 0, ValueError), ("T", 9, ValueError), ("d", 0, ValueError), ("d", 7, ValueError), ("seed", -1, ValueError),
    ("T", 2.0, TypeError), ("d", "2", TypeError), ("seed", None, TypeError)])
def test_bad_arguments_are_named(name, value, error):
    with pytest.raises(error, match=f"^{name}: expected an integer .*, got "):
        explain(**{name: value})
