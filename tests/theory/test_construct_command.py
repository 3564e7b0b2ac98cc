"""construct at the command line: what it prints, draws and refuses."""
import json
import warnings

import numpy as np
import pytest

from minitf import cli, load, sample_task
from minitf.theory.construct import (
    Verification,
    as_result,
    construct,
    verify,
)


def task_of(kind, T, k, seed):
    rng = np.random.default_rng(seed)
    return sample_task(rng, kind, T, k, level=int(rng.integers(1, k + 1)) if kind == "threshold" else None)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("--k", 2) -> (exit code, stdout, stderr) of construct, in an empty directory; a warning is an error."""
    monkeypatch.chdir(tmp_path)

    def run(*words, command="construct"):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("error")
            cli.commands.main([command, *map(str, words)])
        return end.value.code or 0, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_command_draws(run, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = run("--T", 100, "--plot", "p.png")
    assert (code, err) == (0, "") and (tmp_path / "p.png").stat().st_size > 10_000 and "Written    p.png" in out
    code, out, err = run("--plot", "x.doc")
    assert code == 2 and out == "" and err.startswith("Error: --plot: expected a file name")


def test_command(run):
    words = ("--task", "parity", "--k", 4, "--T", 1024, "--eps", "1e-3")
    code, out, err = run(*words, "--save", "p.npz")
    assert (code, err) == (0, "") and "promised at most 0.001 (and 1.1e-11 of rounding)" in out
    assert out.startswith("Task       parity of 4 of 1024 bits, at positions ")
    assert "Code       count of ones, 0 to W = 4; the weights of the bits are at most w = 1\n" in out
    assert "beta = 13.1431" in out and "measured 0.001 over all 16 patterns of the 4 bits" in out
    code, out, _ = run(*words, "--json")
    record = json.loads(out)
    assert code == 0 and record["holds"] and record["measured"] == pytest.approx(1e-3, rel=1e-9)
    assert record["norms"]["||W_QK||_2"]["value"] == pytest.approx(2 * record["beta"])
    assert load("p.npz").support(4) == tuple(record["support"])
    X = np.random.default_rng(0).integers(0, 2, (50, 1024))
    np.savez("rows.npz", X=X)
    code, out, _ = run("p.npz", "--data", "rows.npz", command="predict")
    assert code == 0
    labels = [int(line.split(",")[1]) for line in out.splitlines()[1:]]
    assert labels == (X[:, record["support"]].sum(axis=1) % 2).tolist()


@pytest.mark.parametrize("words", [
    ("--task", "junta", "--k", 3, "--table", "01101000"), ("--task", "junta", "--k", 6, "--T", 64), (), ("--k", 1),
    ("--task", "threshold", "--k", 5, "--level", 2), ("--task", "symmetric", "--k", 2, "--table", "1,0,1"),
    ("--k", 4, "--T", 4)])
def test_command_holds(run, words):
    code, out, err = run(*words)
    assert (code, err) == (0, "") and "represented: the error is what was promised" in out
    assert run(*words)[1] == out and json.loads(run(*words, "--json")[1])["holds"]


@pytest.mark.every(3)
@pytest.mark.parametrize("kind, form", [("and", "unit"), ("junta", "interp"), ("parity", "heads")])
def test_picture(kind, form, tmp_path):
    pytest.importorskip("matplotlib")
    from minitf.commands.construct import record_of
    from minitf.lab.figures.single import construction
    task = task_of(kind, 30, 3, 0)
    params, model, certificate = construct(task, form=form)
    result = as_result(params, model, task)
    record = record_of(task, result, certificate, verify(params, model, task), 0)
    construction(record, result.strength(), certificate.readout, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_command_exits_1_when_the_promise_is_broken(run, monkeypatch):
    monkeypatch.setattr("minitf.commands.construct.verify", lambda *args: Verification(0.06, 4, 22))
    code, out, err = run()
    assert code == 1 and out.endswith("NOT represented: the error is larger\n") and err == ""


@pytest.mark.parametrize("words, line", [
    (("--eps", 0.5), "Error: --eps: expected a number from 1e-9 to below 0.5, got 0.5"),
    (("--k", 9), "Error: --k: expected at most 8, got 9"), (("--k", 0), "Error: --k: expected an integer >= 1, got 0"),
    (("--k", 8, "--T", 10 ** 6), "Error: --T: expected at most 65536 with k = 8, got 1000000"),
    (("--k", 5, "--T", 4), "Error: --k: expected at most T = 4, got 5"),
    (("--T", 0), "Error: --T: expected an integer"),
    (("--table", "01"), "Error: --table: expected nothing for and"), (("--seed", -1), "Error: --seed"),
    (("--task", "symmetric", "--table", "0120"), "Error: --table: expected labels 0 and 1 as in 0110"),
    (("--task", "threshold"), "Error: --level: expected an integer from 1 to 2 with threshold, got None"),
    (("--save", "no/file.npz"), "Error: no/file.npz"),
    (("--save", "a.png", "--plot", "a.png"), "Error: ")])
def test_command_bad_input(run, words, line, monkeypatch):
    monkeypatch.setattr("minitf.commands.construct.verify", lambda *args: pytest.fail("work had begun"))
    code, out, err = run(*words)
    assert code == 2 and out == "" and err.startswith(line) and err.count("\n") == 1
