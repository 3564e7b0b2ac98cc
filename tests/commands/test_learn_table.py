"""learn and predict on a user's own table."""
import json
import re

import numpy as np
import pytest
from shells import FLAGS, a_csv, one_line, strictly

from minitf import load
from minitf.lab import own_table
from minitf.lab.holdout import wilson
from minitf.lab.own_table import stratified_split

# learn, a user's own table

def test_a_table_is_learned_better_than_chance(run):
    code, out, err = run("learn", "--data", FLAGS, "--label", "crash")
    assert code == 0 and err == ""
    assert re.match(r"Task       crash from 20 columns; always guessing the commoner label is right \d+\.\d% of .*\n"
                    r"Table      240 rows, all different\n"
                    r"Sample     m = 192 rows to train on, 48 held out; equal rows are on one side\n"
                    r"Training   pgd on the paper model, ", out)
    assert re.search(r"^Accuracy   \d+\.\d\d% of the training rows\n"
                     r"           \d+\.\d\d% of the rows held out, 95 % interval \d+\.\d% to \d+\.\d%\n", out, re.M)
    assert re.search(r"^ +async_io +\d+\.\d%  #", out, re.M)
    assert re.search(r"\n\ncrash = async_io and shard_index   \(98\.4% of 192 rows to train on, 100\.0% of 48 held out; "
                     r"the rest looks like noise: 1\.6%\)\nlearned: better than chance, and no other rule near", out)


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
    assert len(re.findall("heads?: no rule; it explains hardly more of the labels than chance would", out)) == 2
    assert code == 1 and out.endswith("\n\nnot learned: no rule explains y so much better than always the same answer that chance would not\n")


def sentence(run, tmp_path, X, y, *options, names=None):
    """The last paragraph of the report on a table, and the exit code."""
    names = names or [f"f{t}" for t in range(X.shape[1])]
    lines = [",".join([*names, "y"]), *(",".join(map(str, [*row, label])) for row, label in zip(X, y))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    code, out, err = run("learn", "--data", "t.csv", *options)
    return code, out.split("\n\n")[-1].splitlines(), out


@pytest.mark.every(3)
@pytest.mark.parametrize("rule, said", [
    (lambda X: X[:, 1] & (1 - X[:, 7]), "f1 and not f7"), (lambda X: 1 - X[:, 5], "not f5"),
    (lambda X: 1 - (X[:, 1] & X[:, 2]), "not all of f1, f2"),
    (lambda X: (X[:, :3].sum(axis=1) >= 2).astype(int), "at least 2 of f0, f1, f2"),
    (lambda X: X[:, 3] ^ X[:, 4], "exactly one of f3, f4"),
    (lambda X: (X[:, 5] & X[:, 12]) | X[:, 33], "f33 or (f5 and f12)")])
def test_a_rule_is_said_in_one_checked_sentence(run, tmp_path, rule, said):
    X = np.random.default_rng(4).integers(0, 2, (500, 40))
    code, lines, out = sentence(run, tmp_path, X, rule(X))
    assert code == 0 and lines[0].startswith(f"y = {said}   (400 of 400 rows to train on, 100 of 100 held out"), out
    assert lines[1] == "learned: better than chance, and no other rule near explains the rows as well" and len(lines) == 2
    tried = re.findall(r"^ +(one head|16 heads): (.*)$", out, re.M)
    assert not tried if "exactly" not in said else tried[1][1] == said and re.fullmatch(
        said + r"; the model itself says otherwise on [1-9]\d* rows", tried[0][1]), out


def test_copied_rows_give_no_verdict(run, tmp_path):
    rng = np.random.default_rng(5)
    X = np.repeat(rng.integers(0, 2, (30, 20)), 10, axis=0)
    code, lines, out = sentence(run, tmp_path, X, X[:, 2])
    assert code == 1 and "Table      300 rows, 30 of them different" in out
    assert lines[1].startswith("no verdict: ") and "(10 would do)" in lines[1], out
    code, lines, out = sentence(run, tmp_path, X[:80], X[:80, 2])
    assert code == 1 and any(line.startswith("no verdict") for line in lines)


def test_a_rare_label_says_how_many_rows_held_out_would_do(run, tmp_path):
    """2 of 100 rows held out have the label: 98 % of them right are what always the same answer has."""
    rng = np.random.default_rng(8)
    X = rng.integers(0, 2, (500, 20))
    X[:, 5] = np.arange(500) % 50 == 7
    code, lines, out = sentence(run, tmp_path, X, X[:, 5])
    assert code == 1 and lines[0] == "perhaps y = f5   (400 of 400 rows to train on, 100 of 100 held out)"
    n = int(re.fullmatch(r"not learned: the rows held out do not show it better than always the same answer "
                         r"\((\d+) without an error would\)", lines[1])[1])
    assert wilson(n, n)[0] > 0.98 >= wilson(n - 1, n - 1)[0]
    code, lines, out = sentence(run, tmp_path, X, X[:, 5], "--holdout", 0.5)
    assert code == 0 and lines[0].startswith("y = f5   ("), out


def test_equal_columns_are_named_beside_the_rule(run, tmp_path):
    X = np.random.default_rng(6).integers(0, 2, (400, 20))
    X[:, 9], X[:, 11] = X[:, 4], 1 - X[:, 8]
    code, lines, out = sentence(run, tmp_path, X, X[:, 4] & X[:, 8], "--verbose")
    assert re.search(r"^Beside     f[49]: f[49] \(equal on every row\)$", out, re.M), out
    assert re.search(r"^Beside     f(8|11): f(8|11) \(the complement on every row\)$", out, re.M)
    assert lines[1].startswith("learned, up to the columns that could stand in the place of f") and "Norm  " in out


def test_labels_in_words_and_a_doubtful_rule(run, tmp_path):
    X = np.random.default_rng(7).integers(0, 2, (60, 30))
    y = np.where(X[:, 4] & X[:, 8], "bad", "good")
    code, lines, out = sentence(run, tmp_path, X, y)
    assert "y: bad is 1, the other label 0 (--positive chooses)" in out and lines[0].startswith(
        ("y is bad = f4 and f8   (", "perhaps y is bad = "))
    code, lines, out = sentence(run, tmp_path, X, y, "--positive", "good", "--drop", "f4")
    assert "y is good = " in lines[0] or "no rule explains y is good" in lines[0]
    assert not lines[-1].startswith("learned"), out


def test_predict_says_where_the_rule_differs(run, tmp_path):
    rng = np.random.default_rng(8)
    X = rng.integers(0, 2, (400, 12))
    y = X[:, 1] & X[:, 2] ^ (rng.random(400) < 0.1)
    sentence(run, tmp_path, X, y, "--save", "model.npz")
    lines = run("predict", "model.npz", "--data", "t.csv")[1].splitlines()
    rows = json.loads(run("predict", "model.npz", "--data", "t.csv", "--json")[1])
    assert rows["rule"] == "f1 and f2" and len(rows["rows"]) == 400
    labels = np.array([row["prediction"] for row in rows["rows"]])
    differ = labels != (X[:, 1] & X[:, 2])
    assert ("rule" in rows["rows"][0]) == differ.any() == (lines[0] == "row,prediction,probability,rule")
    for row, differs, rule in zip(rows["rows"], differ, X[:, 1] & X[:, 2]):
        assert row.get("rule") == (int(rule) if differs else None)


@pytest.mark.slow
def test_a_label_that_was_taken_is_named_beside_the_verdict(run, tmp_path):
    X = np.random.default_rng(9).integers(0, 2, (200, 8))
    code, lines, out = sentence(run, tmp_path, X, X[:, 2])
    taken = "y is the label: the last column (--label names another)"
    assert code == 0 and f"\n           {taken}\n" in out and lines[-1].startswith("learned")
    code, lines, out = sentence(run, tmp_path, X, X[:, 2], "--label", "f7")
    assert code == 1 and "names another" not in out and lines[-1].startswith("not learned")
    code, lines, out = sentence(run, tmp_path, X[:, :7], X[:, 7])
    assert code == 1 and lines[-1] == f"taken for granted: {taken}" and f"\n           {taken}\n" in out


def test_a_label_is_quoted_as_columns_are(run, tmp_path):
    X = np.random.default_rng(9).integers(0, 2, (200, 8))
    text = "\n".join(["a or b,not,c,d,e,f,g,h,lab or y", *(",".join(map(str, [*row, "not ok" if row[0] & row[1] else "ok"]))
                                                            for row in X)])
    (tmp_path / "t.csv").write_text(text)
    out = run("learn", "--data", "t.csv")[1]
    assert '\n"lab or y is not ok" = "a or b" and "not"   (' in out
    (tmp_path / "t.csv").write_text(text.replace("not ok", "1").replace("ok", "0"))
    assert '\n"lab or y" = "a or b" and "not"   (' in run("learn", "--data", "t.csv")[1]


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
    assert run("learn", "--data", path, "--save", "model.npz", "--holdout", 0.4)[0] == 0
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
             "new.csv: expected all 5 columns of the model, got none named d$")
    (tmp_path / "bad.csv").write_text("a,b,c,d,e\n1,1,0,0,0\n1,1,0,0,maybe\n")
    one_line(run("predict", "model.npz", "--data", "bad.csv"), "bad.csv: line 3, column e: expected 0 or 1, got 'maybe'")
    (tmp_path / "coded.csv").write_text("a,b,c,d,e\n" + "1,1,0,0,2\n1,1,0,0,1\n" * 10)
    one_line(run("predict", "model.npz", "--data", "coded.csv"), "column e: expected 0 or 1, got numbers from 1 to 2; the model "
             "reads every column it learned from: make bits of it as then$")
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
    one_line(run("predict", "names.npz", "--data", saved), "names.npz: .*names: expected a list, got 3")
    one_line(run("predict", saved, "--data", saved), "train.csv: not a minitf model file")
    one_line(run("predict", "missing.npz", "--data", saved), "missing.npz: No such file")
