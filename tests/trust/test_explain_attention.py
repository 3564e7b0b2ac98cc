"""Queries, keys and values by hand: the op's own numbers, differences, and the op's own lines."""
import functools
import inspect
import json
import re

import numpy as np
import pytest

from minitf.ops import attention, attention_weights
from minitf.trust.explain import explain_attention, render
from minitf.trust.explain.rules import run

CASES = [{}, {"T": 1, "d": 1, "heads": 1, "mask": "none"}, {"T": 4, "mask": "window", "seed": 3},
         {"T": 4, "d": 3, "heads": 3, "sink": True, "seed": 1}, {"softcap": 2.0, "sink": True, "mask": "none"},
         {"T": 2, "d": 4, "heads": 4, "softcap": 0.5, "seed": 2}, {"softcap": 200.0}]
every_case = pytest.mark.parametrize("options", CASES, ids=str)
worked = functools.lru_cache(lambda text: explain_attention(**json.loads(text)))


def record_of(options):
    return worked(json.dumps(options))


def arrays_of(record):
    return {array["name"]: np.array(array["values"], float) for array in record["arrays"]}


def stacked(v, name, heads):
    return np.stack([v[f"{name}{h}"] for h in range(heads)])


@every_case
def test_every_number_is_what_the_op_computes(options):
    record = record_of(options)
    v, heads = arrays_of(record), record["heads"]
    assert np.array_equal(v["scale"], np.array(record["d"] ** -0.5))
    given = {"mask": v["M"] > 0, "softcap": record["softcap"],
             "sinks": stacked(v, "sink", heads) if record["sink"] else None}
    q = stacked(v, "q", heads)
    out, pullback = attention(q, v["k"][None], v["v"][None], **given)
    A, lse = attention_weights(q, v["k"][None], **given)
    grads = pullback(stacked(v, "dout", heads))
    expected = {"out": out, "A": A, "dq": grads[0]}
    for name, x in expected.items():
        assert np.abs(x - stacked(v, name, heads)).max() <= 1e-14
    assert np.abs(np.log(stacked(v, "sum", heads)) - lse).max() <= 1e-13
    assert np.abs(grads[1][0] - v["dk"]).max() <= 1e-14 and np.abs(grads[2][0] - v["dv"]).max() <= 1e-14
    if record["sink"]:
        assert np.abs(grads[3] - stacked(v, "dsink", heads)).max() <= 1e-14
    assert np.abs(v["dx"] - v["dx_q"] - v["dx_k"] - v["dx_v"]).max() <= 1e-14
    assert record["attention_difference"] <= 1e-14


@every_case
def test_every_gradient_agrees_with_its_differences(options):
    record = record_of(options)
    moved = [array for array in record["arrays"] if array["differences"] is not None]
    made = {a["name"] for a in record["arrays"] if a["part"] == "forward" and a["kind"] == "step"}
    inputs = {"x", "W_K", "W_V", *(f"W_Q{h}" for h in range(record["heads"]))}
    assert {a["name"][1:] for a in moved} >= made - {"loss"} | inputs
    for array in moved:
        assert np.abs(np.subtract(array["values"], array["differences"])).max() <= 1e-8, array["name"]


@every_case
def test_the_jacobian_and_both_ways_to_D(options):
    v = arrays_of(record_of(options))
    a = v["A0"][-1]
    assert np.abs(v["J"] - (np.diag(a) - np.outer(a, a))).max() <= 1e-16
    dS = v["dZ0"] if "dZ0" in v else v["dS0"]
    assert np.abs(v["JdA"] - dS[-1]).max() <= 1e-15 and np.abs(v["D0"] - v["O0"]).max() <= 1e-15


@every_case
def test_the_loss_falls_as_predicted_to_first_order(options):
    record = record_of(options)
    fall, predicted = record["loss"] - record["loss_after"], record["loss"] - record["loss_predicted"]
    assert 0 < predicted and abs(fall - predicted) <= 0.2 * predicted + 1e-6


@every_case
def test_the_text_fits_and_says_all(options):
    record = record_of(options)
    text = render(record)
    assert max(map(len, text.splitlines())) <= 80 and text.isascii() and "0e+00" not in text
    prose = " ".join(text.split())
    assert all(" ".join(array["why"].split()) in prose for array in record["arrays"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_each_expression_stands_in_the_source_of_the_op():
    import minitf.ops as ops
    from minitf.ops import heads
    page = inspect.getsource(inspect.getmodule(ops.attention)) + inspect.getsource(heads)
    shown = {array["code"] for options in CASES for array in record_of(options)["arrays"]} - {""}
    assert len(shown) >= 9
    assert not [code for code in shown if code not in page]


def test_default_is_small_causal_and_shared():
    record = record_of({})
    v = arrays_of(record)
    assert (record["T"], record["heads"], record["mask"]) == (3, 2, "causal")
    assert np.array_equal(v["M"], np.tril(np.ones((3, 3)))) and v["k"].shape == (3, 2)
    assert np.allclose(v["dk"], v["dk_0"] + v["dk_1"]) and np.allclose(v["dv"], v["dv_0"] + v["dv_1"])


def test_rules_are_sums_of_products(rng):
    A, B, c = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng.standard_normal(())
    values = {"A": A, "B": B, "c": c}
    assert np.allclose(run("i,b: c[] * sum(j: A[i,j] * B[j,b])", values), c * A @ B)
    assert np.allclose(run("b,j: B[j,b] * A[2,j]", values), B.T * A[2])
    assert np.allclose(run(": sum(i: sum(j: A[i,j] ** 2))", values), (A**2).sum())


@pytest.mark.parametrize("option, value, error", [
    ("T", 0, ValueError), ("T", 9, ValueError), ("heads", 5, ValueError), ("mask", "causal ", ValueError),
    ("softcap", 0, ValueError), ("softcap", "2", TypeError), ("seed", -1, ValueError), ("d", 2.0, TypeError)])
def test_bad_options_are_named(option, value, error):
    with pytest.raises(error, match=f"^{option}: expected .*, got "):
        explain_attention(**{option: value})


def test_commands(run):
    code, out, _ = run("explain", "--attention", "--heads", 1, "--mask", "window", "--sink", "--json")
    assert code == 0 and json.loads(out)["sink"] is True
    code, out, _ = run("explain", "--attention")
    assert code == 0 and out == render(explain_attention()) + "\n"
    assert run("explain", "--attention", "--T", 9)[0] == 2
    assert run("explain", "--html", "page.html")[:2] == (0, "Written    page.html\n")
    assert run("explain", "--html", "nowhere/page.html")[0] == 2
    assert re.search(r"no such directory", run("explain", "--html", "nowhere/page.html")[2])


@pytest.mark.parametrize("words, name", [
    (("--heads", 3), "heads"), (("--mask", "none"), "mask"), (("--sink",), "sink"), (("--softcap", 2), "softcap"),
    (("--json", "--html", "x.html"), "json"), (("--json", "--blank", "dS"), "json"), (("--answer", "x.txt"), "answer"),
    (("--blank", "dS", "--html", "x.html"), "blank"), (("--blank", "ds", "--heads", 3), "blank"), (("--html", ""), "html")])
def test_options_that_would_do_nothing_are_refused(run, words, name):
    code, out, err = run("explain", *words)
    assert (code, out) == (2, "") and re.fullmatch(rf"Error: --{name}: expected [^\n]*, got [^\n]*\n", err)
    assert len(err) <= 301


def test_options_of_the_page_of_heads_may_stand_beside_a_blank(run):
    assert "3 heads over one key head" in run("explain", "--blank", "loss", "--heads", 3)[1]
