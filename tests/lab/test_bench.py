"""The bench: it tells other functions from the same, times what it says, and refuses bad input before any work."""
import importlib
import json
import os
import re
import time

import numpy as np
import pytest

from minitf.lab.bench import contenders as field
from minitf.lab.bench import jax_steps as jax_peers
from minitf.lab.bench import measure as bench
from minitf.lab.bench import pytorch_steps as torch_peers

command = importlib.import_module("minitf.commands.bench")
SMALL = {"part": "step", "m": 6, "T": 5, "dtype": "float32"}


@pytest.fixture
def few_turns(monkeypatch):
    turns = [((1.0, 1.0), (1.0, 1.0))]
    monkeypatch.setattr(bench, "take_turns", lambda contenders, _: dict.fromkeys(contenders, turns))


def library(name):
    pytest.importorskip(name)
    return {name: {"torch": torch_peers, "jax": jax_peers}[name]}


@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize("part", ["step", "gpt"])
def test_every_form_is_the_same_function(name, part):
    peers = library(name)
    contenders, errors, left_out = field.steps(SMALL | {"part": part}, peers)
    same = {f"{name} {form}" for form in ("identity", "tokens")} if part == "step" else \
        {"torch gpt"} & {f"{name} gpt"}
    assert errors.keys() == {"minitf"} | same and not left_out
    assert max(errors.values()) <= 1e-5
    assert contenders.keys() - errors.keys() == ({"products"} | {"torch encoder"} & {f"{name} encoder"}
                                                if part == "step" else set())


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_steps_train_and_agree_along_the_way(name):
    contenders, _, _ = field.steps(SMALL | {"m": 40}, library(name))
    contenders.pop("products")
    losses = {who: [float(np.squeeze(step()[0] if who == "minitf" else step())) for _ in range(30)]
              for who, step in contenders.items()}
    assert all(path[-1] < 0.97 * path[0] for path in losses.values()), losses
    for who in {f"{name} identity", f"{name} tokens"}:
        assert np.allclose(losses[who], losses["minitf"], rtol=1e-3), who


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_another_function_is_told_apart(name, few_turns, monkeypatch):
    peers = library(name)
    form = peers[name].FORMS["identity"]

    def wrong(p, X):
        return form(p | {"x_cls": 1.01 * p["x_cls"]}, X)

    assert bench.measure(SMALL, peers, 0.1)["agree"]
    monkeypatch.setitem(peers[name].FORMS, "identity", wrong)
    record = bench.measure(SMALL, peers, 0.1)
    assert not record["agree"] and record["errors"][f"{name} identity"] > 1e-3
    line = list(command.disagreements([SMALL | record]))[-1]
    assert line == f"Not the same function: {name} identity at m = 6, T = 5"


def test_distance():
    x = {"a": np.array([3.0, 4.0]), "b": np.zeros(2)}
    assert field.distance(x, x) == 0
    assert field.distance(x | {"a": np.array([3.0, 4.5])}, x) == pytest.approx(0.1)
    for wrong in {"a": x["a"]}, x | {"c": x["a"]}, x | {"a": np.ones((2, 1))}, x | {"a": np.array([3.0, np.nan])}:
        assert field.distance(wrong, x) == np.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention_is_the_same_function(dtype):
    contenders, errors, _ = field.attentions({"shape": (2, 2, 7, 4), "dtype": dtype}, library("torch"))
    assert contenders.keys() == errors.keys() == {"minitf", "torch"}
    assert max(errors.values()) <= bench.TOL[dtype] / 10


@pytest.mark.slow
def test_turns_measure_the_call_and_spare_the_slow():
    def sleeps(seconds):
        return lambda: time.sleep(seconds)

    naps = {"minitf": 0.002, "quick": 0.004, "slow": 0.03, "hopeless": 0.25}
    times = bench.take_turns({name: sleeps(nap) for name, nap in naps.items()}, 0.4)
    assert len(times["hopeless"]) == 1 and 3 <= len(times["slow"]) < len(times["quick"]) <= len(times["minitf"])
    for name, nap in naps.items():
        own, mine = np.transpose(times[name])[0]                    # by the wall clock
        assert own.min() >= nap and mine.min() >= naps["minitf"]
    assert np.median([own / mine for (own, _), (mine, _) in times["quick"]]) == pytest.approx(2, rel=0.5)


def test_forms_that_build_every_token_are_left_out_where_they_are_too_large(monkeypatch):
    monkeypatch.setattr(field, "LARGE", 20)
    contenders, errors, left_out = field.steps(SMALL, library("torch"))
    assert left_out.keys() == {"torch tokens", "torch encoder"} and not left_out.keys() & contenders.keys()


def test_one_json_object_from_processes_of_their_own(run):
    pytest.importorskip("torch")
    words = ["--part", "step,attention", "--sizes", "7x5,6x4", "--threads", 1, "--seconds", 0.05, "--against", "torch"]
    before = dict(os.environ)
    code, out, err = run("bench", *words[2:], "--part", "step", "--json")
    assert code == 0 and os.environ == before
    record = json.loads(out)
    assert out.count("\n") == 1 and record["agree"] and record["versions"].keys() == {"torch", "minitf", "numpy"}
    assert [(cell["m"], cell["T"], cell["threads"]) for cell in record["cells"]] == [(7, 5, 1), (6, 4, 1)]
    for cell in record["cells"]:
        assert cell["seconds"].keys() == {"minitf", "products", "torch identity", "torch tokens", "torch encoder"}
        assert cell["ratios"]["minitf"] == cell["processor_ratios"]["minitf"] == 1
        assert cell["busy"] > 0.5 and min(cell["seconds"].values()) > 0
    assert len(err.splitlines()) == 2 and "step, 1 thread, m = 7, T = 5: " in err


def test_the_tables(run, monkeypatch):
    cells = [SMALL | {"threads": 1, "seconds": {"minitf": 1e-4, "products": 5e-5, "torch identity": 3e-3},
                      "ratios": {"minitf": 1.0, "products": 0.5, "torch identity": 29.7}, "errors": {"minitf": 1e-7},
                      "turns": {"minitf": 9, "products": 9, "torch identity": 1}, "left_out": {"torch tokens": "4 GB"},
                      "gflops": {"minitf": 40.2, "products": 80.1}, "agree": True, "busy": 1.1}]
    monkeypatch.setattr(bench, "run", lambda *args: iter(cells))
    monkeypatch.setattr(command, "installed", lambda name: False)
    code, out, err = run("bench", "--part", "step", "--threads", 1)
    assert code == 0
    lines = out.splitlines()
    row = next(line for line in lines if line.startswith("m = 6, T = 5"))
    assert row.split() == "m = 6, T = 5 0.1 0.05 (0.5) 3* (29.7) - 40 of 80".split()
    assert "-         torch tokens: 4 GB" in lines and max(map(len, lines)) <= 150
    assert lines[-1] == "All compute the same: losses, outputs and gradients at most 1e-07 apart"
    assert "busy" not in out
    cells[0] |= {"busy": 2.04, "agree": False, "errors": {"minitf": 1.0}}
    code, out, _ = run("bench", "--part", "step", "--threads", 1)
    assert "had a processor for 1/2.0 of the time" in out
    assert code == 1 and out.splitlines()[-1] == "Not the same function: minitf at m = 6, T = 5"


@pytest.mark.parametrize("words, message", [
    (("--against", "tensorflow"), "--against.*expected some of torch, jax, got 'tensorflow'"),
    (("--part", "everything"), "--part.*expected some of step, attention, gpt"),
    (("--sizes", "64"), "--sizes.*expected pairs"), (("--sizes", "0x4"), "--sizes.*expected pairs"),
    (("--threads", "1000"), "--threads: expected at most"), (("--threads", "0"), "--threads.*positive integers"),
    (("--seconds", "0"), "--seconds: expected a number above 0"), (("--seconds", "nan"), "--seconds: ")])
def test_bad_input_is_one_line(run, monkeypatch, words, message):
    monkeypatch.setattr(bench, "run", lambda *args: pytest.fail("it had begun"))
    code, out, err = run("bench", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(message, err), err


def test_a_library_that_is_missing(run, monkeypatch):
    monkeypatch.setattr(bench, "run", lambda *args: iter(()))
    monkeypatch.setattr(command, "installed", lambda name: False)
    assert command.libraries_of(None) == []
    code, out, err = run("bench", "--against", "jax")
    assert (code, out, err) == (2, "", "Error: this needs jax: pip install 'minitf-attention[jax]'\n")


def test_a_process_that_dies_is_said(monkeypatch):
    monkeypatch.setattr(bench, "cells", lambda *args: [{"part": "no such part"}])
    with pytest.raises(RuntimeError, match="ended with code 1"):
        list(bench.run("step", 1))
