"""learn and predict on a user's own table."""
import json
import re

import numpy as np
import pytest
from shells import FLAGS, a_csv, one_line, strictly

from minitf import load
from minitf.lab import own_table
from minitf.lab.own_table import stratified_split

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

    def split(X, y, share, rng):
        seen.append((y, stratified_split(X, y, share, rng)))
        return seen[-1][1]

    monkeypatch.setattr(own_table, "stratified_split", split)
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
def test_a_table_of_one_label_is_refused(run, tmp_path, label):
    rows = "".join(f"{i % 2},{i % 3 % 2},{label}\n" for i in range(20))
    (tmp_path / "one.csv").write_text("a,b,y\n" + rows)
    one_line(run("learn", "--data", "one.csv"), f"one.csv: column y: expected both labels, got {label} in every row")


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
    (tmp_path / "bad.csv").write_text("a,b,c,d,e\n1,1,0,0,0\n1,1,0,0,maybe\n")
    one_line(run("predict", "model.npz", "--data", "bad.csv"), "bad.csv: line 3, column e: expected 0 or 1, got 'maybe'")
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
