"""The command line as a new user and as a hostile one meets it: reports, JSON, exit codes, one line for bad input."""
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minitf import cli, load
from minitf.commands import learn, shell
from minitf.lab import run as runs
from minitf.lab.datasets import stratified_split
from minitf.lab.run import RECORD

ROOT = Path(__file__).resolve().parents[1]
FLAGS = str(ROOT / "data" / "examples" / "feature_flags.csv")
COMMANDS = sorted(cli.commands.commands)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("learn", "--k", 2) -> (exit code, stdout, stderr), in an empty directory; a warning is an error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("error")
            cli.commands.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture
def no_work(monkeypatch):
    """Make it a failure to train."""
    monkeypatch.setattr(runs, "fit", lambda *args, **options: pytest.fail("training had begun"))


def child(*words, code=None, **options):
    """Start a child process: python -m minitf WORDS, or python -c CODE."""
    command = ["-c", code] if code else ["-m", "minitf", *words]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, *command], text=True, env=env, **pipes)


def strictly(text):
    """The one JSON object that text is, without Infinity and NaN."""
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")
    assert text.count("\n") == 1 and text.endswith("\n")
    return json.loads(text, parse_constant=refuse)


def one_line(end, message):
    """Bad input: exit code 2, nothing on stdout, one line on stderr."""
    code, out, err = end
    assert (code, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err) and re.search(message, err), err


def a_csv(path, m=60, names="abcde", seed=0, label="y"):
    """Write a table whose label is b AND d, and return its path."""
    X = np.random.default_rng(seed).integers(0, 2, (m, len(names)))
    y = X[:, list(names).index("b")] & X[:, list(names).index("d")]
    lines = [",".join([*names, label]), *(",".join(map(str, [*row, bit])) for row, bit in zip(X, y))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


# learn, a drawn task

REPORT = r"""Task       AND of 2 of 64 bits; always guessing the commoner label is right 50\.0% of the time
Sample     m = 65 examples, one support alone explains them; log2 C\(64, 2\) = 11\.0 bits name a support
Training   pgd on the paper model, \d+ steps, \d+\.\d\d s, seed 0

Support    found (\d+) (\d+)   true \1 \2   exact
Accuracy   100\.00% of the training examples
           100\.00% of 10000 fresh examples

Attention of the \[CLS\] query
(     \d\d +\d+\.\d%  #{1,40}\n){2}  other +\d+\.\d%  \(62 positions and \[CLS\]\)

Norm       \|\|W_QK\^T\|\|_\{2,1\} = \d+(\.\d+)? of at most 16\.318
Norm       \|w\| = \d+(\.\d+)? of at most 32
Norm       \|c\| = \d+(\.\d+)? of at most 32
Bound      vacuous at m = 65; the same norms and margin certify 10% error from m = 1,\d00 on, \d+ times Occam's 107

learned: the exact support, and every fresh example right
"""


def test_learn_learns_its_first_task_and_says_so(run, tmp_path):
    code, out, err = run("learn", "--k", 2, "--T", 64)
    assert code == 0 and err == "" and re.fullmatch(REPORT, out), out
    assert re.fullmatch(REPORT, run("learn")[1])                # these are the defaults
    assert list(tmp_path.iterdir()) == []


def test_learn_says_not_learned_and_exits_with_1(run):
    code, out, err = run("learn", "--m", 8, "--T", 256, "--seed", 1)
    assert code == 1 and err == ""
    assert re.search(r"^Sample     m = 8 examples, several supports explain them; ", out, re.M)
    assert re.search(r"^Support    found \d+ \d+   true \d+ \d+   WRONG$", out, re.M)
    assert out.endswith("\n\nnot learned: the support is wrong; several supports explain the sample\n")


def test_the_report_of_noisy_labels_tells_both_accuracies(run):
    code, out, err = run("learn", "--noise", 0.1, "--m", 300, "--T", 16)
    assert re.search(r"^Sample     m = 300 examples, not checked for other supports that explain them; ", out, re.M)
    assert re.search(r"^Accuracy   \d\d\.\d\d% of the training examples, 10% of their labels flipped$", out, re.M)
    assert re.search(r"^           100\.00% of 10000 fresh examples with clean labels, [89]\d\.\d+% with", out, re.M)
    assert code == 0 and err == ""


@pytest.mark.parametrize("options, lines", [
    (("--heads", 2, "--steps", 40), ["Training   pgd on the paper model, ", "Attention of .*, 2 heads weighed by"]),
    (("--model", "scalar", "--steps", 20), ["Training   pgd on the scalar model, ", "Norm       unconstrained",
                                            "Attention of .*, 16 heads weighed by"]),
    (("--model", "paper", "--method", "adam", "--steps", 20), ["Training   adam on the paper model, "]),
    (("--steps", 7), ["Training   pgd on the paper model, 7 steps, "]),
    (("--radius", "inf"), [r"Norm       \|w\| = ", r"Norm       \|c\| = "]),
    (("--radius", "1e300"), [r"Norm       \|\|W_QK\^T\|\|_\{2,1\} = \d+\.?\d* of at most 1e\+300"]),
    (("--radius", "1e-300"), [r"Norm       \|\|W_QK\^T\|\|_\{2,1\} = \S+ of at most 1e-300", "not learned: "]),
    (("--T", 2), [r"  other +\d+\.\d%  \(\[CLS\]\)"]),
    (("--T", 12, "--k", 8, "--m", 300), [r"Support    found( \d+){8}   true( \d+){8}   "]),
    (("--task", "parity", "--k", 1, "--T", 4), ["Task       parity of 1 of 4 bits; "]),
    (("--task", "symmetric", "--table", "0,1,0", "--T", 8, "--steps", 20), ["Task       symmetric rule 010 of 2 of 8"]),
])
def test_reports_of_other_models_and_tasks(run, options, lines):
    code, out, err = run("learn", "--seed", 3, *options)
    assert code in (0, 1) and err in ("", "training\n") and "Traceback" not in out      # slow machines show the bar
    for line in lines:
        assert re.search("^" + line, out, re.M), out
    assert not re.search(r" $|nan|inf\b|-0\.0%", out, re.M), out
    last = out.splitlines()[-1]
    assert last.startswith("learned: " if code == 0 else "not learned: ")
    bounded = " on the paper model" in out and "inf" not in options
    assert ("Norm       ||W_QK^T||_{2,1} = " in out) is bounded


def test_every_found_position_has_a_bar(run):
    out = run("learn", "--T", 12, "--k", 8, "--m", 300)[1]
    found = re.search(r"found ((\d+ )+)", out)[1].split()
    bars = dict(re.findall(r"^ +(\d+) +(\d+\.\d)%", out, re.M))
    assert len(found) == 8 and set(found) <= set(bars)
    rest = float(re.search(r"other +(\d+\.\d)%", out)[1])
    assert abs(sum(map(float, bars.values())) + rest - 100) < 0.1 * len(bars)


def test_redrawn_samples_are_counted_in_the_report(run):
    out = run("learn", "--T", 32, "--m", 10, "--redraw", "--seed", 2)[1]
    record = strictly(run("learn", "--T", 32, "--m", 10, "--redraw", "--seed", 2, "--json")[1])
    assert record["redraws"] > 0 and record["determined"] is True
    assert f"Sample     m = 10 examples (draw {record['redraws'] + 1}), one support alone explains them; " in out


def test_json_is_one_strict_object_of_fixed_keys(run):
    code, out, err = run("learn", "--json", "--radius", "inf", "--T", 32)
    record = strictly(out)
    assert code == 0 and err == "" and list(record) == list(RECORD)
    assert record["radius"] is None and record["learned"] is True and record["holdout"] == 10000
    table = strictly(run("learn", "--data", FLAGS, "--label", "crash", "--json")[1])
    assert list(table) == list(RECORD) and table["support_true"] is None and table["determined"] is None
    assert strictly(run("learn", "--json", "--m", 8, "--T", 256, "--seed", 1)[1])["learned"] is False


def test_same_seed_same_numbers(run):
    def record(*options):
        return strictly(run("learn", "--json", "--T", 32, *options)[1]) | {"seconds": None}

    assert record("--seed", 7) == record("--seed", 7) != record("--seed", 8)
    noisy = ("--task", "parity", "--k", 1, "--T", 8, "--m", 60, "--noise", 0.1, "--steps", 15)
    assert record(*noisy) == record(*noisy) != record(*noisy, "--seed", 1)


# learn, bad input

BAD = [
    ("--k 65", "--k: expected at most T = 64, got 65"),
    ("--k 0", "--k: expected an integer >= 1, got 0"),
    ("--k -1", "--k: expected an integer >= 1, got -1"),
    ("--k 2.5", "'--k'.*not a valid integer"),
    ("--T 0", "--T: expected an integer >= 1, got 0"),
    ("--m 0", "--m: expected an integer >= 1, got 0"),
    ("--noise 0.5", "--noise: expected a flip rate from 0 to below 0.5, got 0.5"),
    ("--noise -0.1", "--noise: .* got -0.1"),
    ("--noise nan", "--noise: .* got nan"),
    ("--p 0", "--p: expected a probability above 0 and below 1"),
    ("--p inf", "--p: .* got inf"),
    ("--p nan", "--p: .* got nan"),
    ("--task xor", "'--task': 'xor' is not one of 'and', 'or'"),
    ("--radius 0", "--radius: expected a number > 0, got 0"),
    ("--radius -1", "--radius: "),
    ("--radius nan", "--radius: .* got nan"),
    ("--heads 0", "--heads: expected an integer >= 1, got 0"),
    ("--heads 3 --model scalar", "--heads: expected a divisor of d = 64, got 3"),
    ("--heads 1000000000", "--T: expected at most 0 with model paper and heads = 1000000000"),
    ("--steps 0 --task parity", "--steps: expected an integer >= 1, got 0"),
    ("--steps 0", "--steps: expected an integer >= 1, got 0"),
    ("--level 1", "--level: expected nothing with and, got 1"),
    ("--task threshold", "--level: expected an integer"),
    ("--task threshold --level 3", "--level: expected an integer from 1 to 2, got 3"),
    ("--table 010", "--table: expected nothing for and"),
    ("--task symmetric --table 0110", "--table: expected "),
    ("--task junta --table 010", "--table: expected "),
    ("--task symmetric --table 01x", "--table: expected labels 0 and 1 as in 0110, got '01x'"),
    ("--task symmetric --table=", "--table: expected labels 0 and 1 as in 0110, got ''"),
    ("--task symmetric --table 000", "--table: expected a rule that depends on each of its 2 variables"),
    ("--seed -1", "--seed: expected an integer >= 0, got -1"),
    ("--label crash", "--label: expected only together with --data, got 'crash'"),
    ("--holdout 0.3", "--holdout: expected only together with --data"),
    ("--redraw --noise 0.1", "--redraw: expected noise 0 and a task small enough to check, got .noise 0.1,"),
    ("--redraw --m 1", "--redraw: expected a sample of m = 1 that determines the support, got 200 ambiguous ones"),
    ("--method newton", "'--method': 'newton' is not one of"),
    ("--model bert", "'--model': 'bert' is not one of"),
    ("--T 1000000000000", "--T: expected at most 33554432 with model paper and heads = 1, got 1000000000000"),
    ("--T 1000000000000000000000000", "--T: expected at most"),
    ("--k 1000000", "--k: expected at most T = 64"),
    ("--k 1000000 --T 2000000", "--k: expected at most 20"),
    ("--k 20 --task parity", "--m: expected at most 134217728 examples of 64 bits"),
    ("--m 1000000000000", "--m: expected at most 134217728 examples of 64 bits"),
    ("--bogus", "[Nn]o such option"),
    ("word", "unexpected extra argument"),
    ("--k", "requires an argument"),
    ("--save=", "--save: expected the name of a file, got ''"),
    ("--save folder", "folder: is a directory"),
    ("--save missing/model.npz", "missing/model.npz: no such directory"),
    ("--save pipe", "pipe: not a regular file"),
    ("--save used.csv/model.npz", "used.csv"),
    ("--data missing.csv", "missing.csv: No such file or directory"),
    ("--data missing.npz", "missing.npz: No such file or directory"),
    ("--data folder", "folder: Is a directory"),
    ("--data=", "No such file or directory"),
    ("--data used.csv --T 5", "--T: expected only without --data, got 5"),
    ("--data used.csv --task and", "--task: expected only without --data"),
    ("--data used.csv --noise 0", "--noise: expected only without --data"),
    ("--data used.csv --m 10", "--m: expected only without --data"),
    ("--data used.csv --p 0.5", "--p: expected only without --data"),
    ("--data used.csv --level 1", "--level: expected only without --data"),
    ("--data used.csv --table 01", "--table: expected only without --data"),
    ("--data used.csv --no-redraw", "--redraw: expected only without --data"),
    ("--data used.csv --k 6", "--k: expected an integer from 1 to 5, the number of columns, got 6"),
    ("--data used.csv --label crash", r"--label: expected a column of used.csv \(a, b, c, d, e, y\), got 'crash'"),
    ("--data used.csv --holdout 1", "--holdout: expected a share above 0 and below 1"),
    ("--data tiny.csv", "--holdout: expected a share that leaves some of the 2 rows on both sides, got 0.2"),
    ("--data bad.csv", "bad.csv: line 3, column b: expected 0 or 1, got 'x'"),
    ("--data bad.npz", "bad.npz: expected an .npz file"),
    ("--data used.csv --save used.csv", "--save: expected a file that the command does not use otherwise"),
    ("--data used.csv --save ./folder/../used.csv", "--save: expected a file that the command does not use otherwise"),
]


@pytest.mark.parametrize("options, message", BAD, ids=[options for options, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(run, tmp_path, no_work, options, message):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    a_csv(tmp_path / "used.csv")
    a_csv(tmp_path / "tiny.csv", m=2)
    (tmp_path / "bad.csv").write_text("a,b,y\n0,1,1\n1,x,0\n")
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4 no archive")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    one_line(run("learn", *options.split()), message)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_no_memory_is_one_line(run, monkeypatch):
    def plan(**options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(learn, "plan_task", plan)
    one_line(run("learn"), "not enough memory: Unable to allocate 9 TiB")


def test_a_defect_is_no_bad_input(monkeypatch):
    def plan(**options):
        return runs.Plan(runs.ModelConfig.paper(4), runs.TrainConfig(), lambda *callbacks: 1 / 0)

    monkeypatch.setattr(learn, "plan_task", plan)
    with pytest.raises(ZeroDivisionError):
        cli.commands.main(["learn"])


# --plot

def test_plot_without_matplotlib_names_the_extra(run, monkeypatch, no_work, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    one_line(run("learn", "--plot", "figure.png"), r"needs matplotlib: pip install 'minitf-attention\[plot\]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path, message", [
    ("figure.xyz", r"--plot: expected a file name ending in .*\.png.*, got 'figure.xyz'"),
    ("missing/figure.png", "missing/figure.png: no such directory"),
    (".", "is a directory"),
    ("", "--plot: expected the name of a file"),
    ("model.npz", "--plot: expected a file that the command does not use otherwise"),
])
def test_a_plot_that_cannot_be_written_is_refused_before_any_work(run, no_work, path, message):
    pytest.importorskip("matplotlib")
    one_line(run("learn", "--save", "model.npz", "--plot", path), message)


def test_plot_and_save_write_their_files(run, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("learn", "--T", 16, "--plot", "figure.svg", "--save", "model.npz")[0] == 0
    assert run("learn", "--data", FLAGS, "--plot", "figure")[0] == 0
    assert "<svg" in (tmp_path / "figure.svg").read_text() and (tmp_path / "figure").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure", "figure.svg", "model.npz"]


# learn, a user's own table

def test_a_table_is_learned_better_than_chance(run):
    code, out, err = run("learn", "--data", FLAGS, "--label", "crash")
    assert code == 0 and err == ""
    assert re.match(r"Task       crash from 20 columns; always guessing the commoner label is right \d+\.\d% of .*\n"
                    r"Sample     m = 192 rows to train on, 48 held out\nTraining   pgd on the paper model, ", out)
    assert re.search(r"^Accuracy   \d+\.\d\d% of the training rows\n"
                     r"           \d+\.\d\d% of the rows held out, 95 % interval \d+\.\d% to \d+\.\d%\n", out, re.M)
    assert re.search(r"^ +async_io +\d+\.\d%  #", out, re.M) and out.endswith("\n\nlearned: better than chance\n")
    assert re.search(r"^Support    found async_io shard_index$", out, re.M)


def test_the_rows_held_out_keep_the_share_of_each_label(run, monkeypatch):
    seen = []

    def split(y, share, rng):
        seen.append((y, stratified_split(y, share, rng)))
        return seen[-1][1]

    monkeypatch.setattr(runs, "stratified_split", split)
    record = strictly(run("learn", "--data", FLAGS, "--holdout", 0.25, "--json")[1])
    y, (rows, held) = seen[0]
    assert record["holdout"] == len(held) == 60 and record["m"] == len(rows) == 180
    assert abs(y[held].sum() - 0.25 * y.sum()) <= 0.5


def test_a_table_without_a_pattern_is_not_learned(run, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "coin.npz", X=rng.integers(0, 2, (100, 6)), y=rng.integers(0, 2, 100))
    code, out, err = run("learn", "--data", "coin.npz")
    assert code == 1 and err == "" and "\n\nnot learned: not better than chance (" in out
    assert re.search(r"^Support    found x\d", out, re.M)


@pytest.mark.parametrize("label", [0, 1])
def test_a_table_of_one_label_is_not_learned(run, tmp_path, label):
    rows = "".join(f"{i % 2},{i % 3 % 2},{label}\n" for i in range(20))
    (tmp_path / "one.csv").write_text("a,b,y\n" + rows)
    code, out, err = run("learn", "--data", "one.csv")
    assert code == 1 and err == "" and "commoner label is right 100.0% of the time" in out


# predict

@pytest.fixture
def saved(run, tmp_path):
    """A saved model of b AND d, and the table it was trained on."""
    path = a_csv(tmp_path / "train.csv", m=100)
    assert run("learn", "--data", path, "--save", "model.npz")[0] == 0
    return path


def predictions(out):
    assert out.startswith("row,prediction,probability\n")
    return [line.split(",") for line in out.splitlines()[1:]]


def test_predict_equals_the_result_in_python(run, saved, tmp_path):
    code, out, err = run("predict", "model.npz", "--data", saved)
    assert code == 0 and err == ""
    result = load("model.npz")
    X = np.loadtxt(saved, delimiter=",", skiprows=1, dtype=int)[:, :5]
    rows = predictions(out)
    assert [int(row[0]) for row in rows] == list(range(1, 101))
    assert [int(row[1]) for row in rows] == result.predict(X).tolist() == (X[:, 1] & X[:, 3]).tolist()
    assert np.allclose([float(row[2]) for row in rows], result.predict_proba(X), rtol=1e-5, atol=0)

    np.savez(tmp_path / "rows.npz", X=X)
    assert run("predict", "model.npz", "--data", "rows.npz")[1] == out
    answer = strictly(run("predict", "model.npz", "--data", saved, "--json")[1])
    assert answer["label"] == "y" and answer["model"] == "model.npz" and answer["data"] == saved
    assert [row["prediction"] for row in answer["rows"]] == result.predict(X).tolist()
    assert [row["probability"] for row in answer["rows"]] == result.predict_proba(X).tolist()
    assert [row["row"] for row in answer["rows"]] == list(range(1, 101))


def test_predict_finds_columns_by_name_and_leaves_others_alone(run, saved, tmp_path):
    (tmp_path / "new.csv").write_text("d,name,e,b,c,a,cost\n1,one,0,1,0,0,9.5\n0,two,1,1,1,1,-3\n1,three,1,0,1,0,\n")
    rows = predictions(run("predict", "model.npz", "--data", "new.csv")[1])
    assert [row[1] for row in rows] == ["1", "0", "0"]


def test_predict_names_a_missing_column_and_a_bad_cell(run, saved, tmp_path):
    (tmp_path / "new.csv").write_text("a,b,c,e\n1,1,0,0\n")
    one_line(run("predict", "model.npz", "--data", "new.csv"),
             "new.csv: expected the columns of the model, got none named d$")
    (tmp_path / "bad.csv").write_text("a,b,c,d,e\n1,1,0,0,0\n1,1,0,0,yes\n")
    one_line(run("predict", "model.npz", "--data", "bad.csv"), "bad.csv: line 3, column e: expected 0 or 1, got 'yes'")
    one_line(run("predict", "model.npz"), "--data")
    one_line(run("predict", "model.npz", "--data", "missing.csv"), "missing.csv: No such file")
    np.savez(tmp_path / "rows.npz", X=np.zeros((2, 6), int))
    one_line(run("predict", "model.npz", "--data", "rows.npz"), r"rows.npz: X: expected shape \(any, 5\)")


def test_a_model_of_a_drawn_task_takes_the_first_columns(run, tmp_path):
    record = strictly(run("learn", "--T", 8, "--save", "model.npz", "--json")[1])
    X = np.random.default_rng(0).integers(0, 2, (50, 8))
    text = [",".join([*"abcdefgh", "note"]), *(",".join([*map(str, row), "text"]) for row in X)]
    (tmp_path / "new.csv").write_text("\n".join(text))
    rows = predictions(run("predict", "model.npz", "--data", "new.csv")[1])
    assert [int(row[1]) for row in rows] == X[:, record["support_true"]].all(axis=1).tolist()
    (tmp_path / "few.csv").write_text("a,b\n0,1\n")
    one_line(run("predict", "model.npz", "--data", "few.csv"), "few.csv: expected at least 8 columns, got 2")
    answer = strictly(run("predict", "model.npz", "--data", "new.csv", "--json")[1])
    assert answer["label"] is None and len(answer["rows"]) == 50


def test_a_damaged_model_file_is_refused(run, saved, tmp_path):
    good = (tmp_path / "model.npz").read_bytes()
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_text("")
    (tmp_path / "half.npz").write_bytes(good[:len(good) // 2])
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 255
    (tmp_path / "flipped.npz").write_bytes(flipped)
    np.savez(tmp_path / "other.npz", X=np.eye(2))
    with np.load("model.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "nan.npz", **arrays | {"params/q": np.full_like(arrays["params/q"], np.nan)})
    np.savez(tmp_path / "shape.npz", **arrays | {"params/w": np.ones(3)})
    np.savez(tmp_path / "less.npz", **{name: value for name, value in arrays.items() if name != "params/c"})
    np.savez(tmp_path / "object.npz", **arrays | {"params/c": np.array([{}])})
    header = json.loads(str(arrays["header"]))
    np.savez(tmp_path / "format.npz", **arrays | {"header": json.dumps(header | {"format": 99})})
    np.savez(tmp_path / "names.npz", **arrays | {"header": json.dumps(header | {"names": 3})})
    for name in ("text", "empty", "half", "flipped", "other", "nan", "shape", "less", "object", "format"):
        one_line(run("predict", f"{name}.npz", "--data", saved), f"{name}.npz: ")
    one_line(run("predict", "names.npz", "--data", saved), "expected shape")
    one_line(run("predict", saved, "--data", saved), "train.csv: not a minitf model file")
    one_line(run("predict", "missing.npz", "--data", saved), "missing.npz: No such file")


# Progress, interruption, pipes

def test_a_bar_appears_on_stderr_only_when_training_takes_long(run, monkeypatch):
    code, out, err = run("learn", "--json", "--T", 16)
    assert err == ""
    monkeypatch.setattr(shell, "PATIENCE", -1.0)
    late = run("learn", "--json", "--T", 16)
    assert late[0] == code and strictly(late[1]) | {"seconds": 0} == strictly(out) | {"seconds": 0}
    assert late[2] == "training\nfresh examples\n"     # the labels alone where stderr is no terminal


def test_the_bar_follows_the_steps_and_the_loss(monkeypatch):
    import io
    from minitf.learn.fit import Progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(shell, "PATIENCE", -1.0)
    with shell.progress(("training", 100)) as (callback,):
        for step in range(1, 61):
            callback(Progress(step, 1 / step, None))
    shown = re.findall(r"(\d+)/100 .*?loss (\d\.\d{4})", terminal.getvalue())
    assert shown == [("1", "1.0000"), ("20", "0.0500"), ("40", "0.0250"), ("60", "0.0167")]


def test_an_interruption_of_training_leaves_nothing(tmp_path):
    code = """if True:
        import signal
        from minitf import cli
        from minitf.commands import shell
        signal.signal(signal.SIGINT, signal.default_int_handler)        # also where the parent ignores Ctrl-C
        shell.PATIENCE = 0
        cli.commands.main("learn --task parity --k 5 --T 64 --m 2000 --steps 100000 --save model.npz".split())
    """
    process = child(code=code, cwd=tmp_path)
    try:
        assert process.stderr.readline() == "training\n"        # the label of the bar: training has begun
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130 and out == ""
    assert err.split("\n")[-2] == "interrupted: nothing was written" and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_of_writing_leaves_nothing(run, monkeypatch, tmp_path):
    def savez(file, **arrays):
        file.write(b"half of a model")
        raise KeyboardInterrupt

    (tmp_path / "model.npz").write_text("an older model")
    monkeypatch.setattr(np, "savez", savez)
    code, out, err = run("learn", "--T", 16, "--save", "model.npz")
    assert code == 130 and out == "" and err.strip() == "interrupted: nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    assert (tmp_path / "model.npz").read_text() == "an older model"


def test_a_reader_that_has_left_shows_no_traceback():
    process = child("learn", "--T", "16")
    process.stdout.close()                      # as in: minitf learn | true
    assert process.stderr.read() == "" and process.wait(timeout=20) in (0, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        process = child("learn", "--T", "16", stdout=full)
        err = process.communicate(timeout=20)[1]
    assert process.returncode == 2 and "No space left" in err and "Traceback" not in err


# Every way in

def test_all_ways_in_behave_alike(run, tmp_path):
    ends = []
    for words in (["learn", "--k", "65"], ["--version"]):
        for command in ([sys.executable, "-m", "minitf"], [sys.executable, str(ROOT / "cli.py")]):
            env = os.environ | {"PYTHONPATH": str(ROOT)}
            end = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, env=env)
            ends.append((end.returncode, end.stdout, end.stderr) == run(*words))
    assert ends == [True] * 4


def test_main_reads_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minitf", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code or 0) == 0 and capsys.readouterr().out == "minitf 0.1.0\n"


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_shows_an_example_and_fits_110_columns(run, words):
    code, out, err = run(*words)
    assert code == 0 and err == ""
    assert re.search(r"^  Examples?:\n    minitf \w", out, re.M)
    assert max(map(len, out.splitlines())) <= 110
    assert not any(line.endswith("...") for line in out.splitlines() if not line.startswith("Usage: "))


def test_the_examples_of_the_help_work(run, tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    examples = re.findall(r"^    minitf (.+)$", run("learn", "--help")[1], re.M)
    assert len(examples) == 2
    examples += re.findall(r"^    minitf (.+)$", run("predict", "--help")[1] + run("--help")[1], re.M)
    for words in examples:
        assert run(*words.split())[0] == 0


def test_unknown_commands_are_bad_input(run):
    one_line(run("lern"), "[Nn]o such command 'lern'")
    one_line(run("--bogus"), "[Nn]o such option")


def test_learning_imports_nothing_heavy(tmp_path):
    code = """if True:
        import sys
        heavy = {"scipy", "matplotlib", "distributed", "dask", "torch", "jax"}
        import minitf.cli
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        for words in ("learn --k 2 --T 64", "learn --data %s --json"):
            try:
                minitf.cli.commands.main(words.split())
            except SystemExit as end:
                assert not end.code, end.code
            assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """ % FLAGS
    process = child(code=code, cwd=tmp_path)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == "", err


# explain and check

def test_explain_prints_the_page_and_its_arrays(run):
    code, out, err = run("explain", "--T", 2, "--d", 2, "--seed", 3)
    assert code == 0 and err == "" and max(map(len, out.splitlines())) <= 80 and "dW_QK = " in out
    record = strictly(run("explain", "--T", 2, "--d", 2, "--seed", 3, "--json")[1])
    assert (record["T"], record["d"], record["seed"]) == (2, 2, 3)
    assert {"name", "formula", "shape"} <= set(record["arrays"][0])
    assert run("explain", "--T", 9)[0] == 2


def test_check_gradients_counts_and_a_wrong_pullback_fails(run, monkeypatch):
    code, out, err = run("check", "gradients")
    assert code == 0 and err == "" and re.search(r"^(\d+) of \1 pullbacks", out, re.M)
    from minitf.trust import reference

    def doubled(*args, **options):
        y, pullback = linear(*args, **options)
        return y, lambda dy: tuple(2 * dx for dx in pullback(dy))

    linear = reference.OPERATORS["linear"]
    monkeypatch.setitem(reference.OPERATORS, "linear", doubled)
    code, out, err = run("check", "gradients")
    assert code == 1 and re.search(r"^linear .* WRONG$", out, re.M) and err == ""
    failed = strictly(run("check", "gradients", "--json")[1])["failed"]
    assert failed == ["linear", "linear-no-bias", "linear-vector"]
