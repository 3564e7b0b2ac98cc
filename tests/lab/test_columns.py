"""What columns of a table hold, which labels are read, and the pandas lines that make bits of the others."""
import gzip
import re

import numpy as np
import pytest

from minitf.lab.datasets import read_table

M = 40
RNG = np.random.default_rng(0)
X = RNG.integers(0, 2, (M, 2))
X[:2] = 0, 1
Y = X[:, 0] ^ X[:, 1]
Y[:2] = 0, 1


def write(path, columns, delimiter=","):
    """A table of {name: cells}."""
    lines = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in zip(*columns.values()))]
    path.write_text("\n".join(lines) + "\n")
    return path


def coded(bits, zero, one):
    return [one if bit else zero for bit in bits]


def refusal(path, **options):
    with pytest.raises(ValueError) as error:
        read_table(path, **options)
    text = str(error.value)
    assert len(text) <= 300 and "\n" not in text and text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


SHARE = np.r_[np.ones(M - 6, int), np.zeros(6, int)]            # mostly 1
COLUMNS = {
    "1 and 2, mostly 2": (coded(SHARE, 1, 2), 'got numbers from 1 to 2; with pandas: n = ["c"]; df[n] = df[n] > df[n].mean()'),
    "1 and 2, one of them 2": (coded(np.arange(M) == 9, 1, 2), "got numbers from 1 to 2; with pandas: "),
    "-1 and 1": (coded(SHARE, -1, 1), 'got numbers from -1 to 1; with pandas: n = ["c"]; df[n] = df[n] > df[n].mean()'),
    "x and blanks": (coded(SHARE, "", "x"), """got x and ''; with pandas: n = ["c"]; df[n] = df[n] == "x\""""),
    "1 and blanks": (coded(SHARE, "", "1"), """got 1 and ''; with pandas: n = ["c"]; df[n] = df[n] == 1"""),
    "True and NaN": (coded(SHARE, "NaN", "True"), """got True and 'NaN'; with pandas: n = ["c"]; df[n] = df[n] == True"""),
    "M and F": (coded(X[:, 0], "F", "M"), 'got words (F, M); with pandas: n = ["c"]; df[n] = df[n] == "M"'),
    "F, M and W": ((["F", "M", "W"] * M)[:M], 'got words (F, M, W); with pandas: n = ["c"]; df = pd.get_dummies(df, columns=n)'),
    "hot and cold": (coded(SHARE, "cold", "hot"), 'got words (cold, hot); with pandas: n = ["c"]; df[n] = df[n] == "hot"'),
    "a vote": ((["n", "y", "?"] * M)[:M], 'got words (?, n, y); with pandas: n = ["c"]; df = pd.get_dummies(df, columns=n)'),
    "bits and blanks": (["" if i % 5 == 0 else i % 2 for i in range(M)],
                        """got '' in 8 rows; with pandas: n = ["c"]; df = df.dropna(subset=n) (leaves 32 of 40 rows)"""),
    "0 and blanks": (coded(SHARE, "", "0"), "got '' in 6 rows; with pandas: "),
    "a slip": (["O" if i == 7 else 0 for i in range(M)], "line 9, column c: expected 0 or 1, got 'O'"),
    "a 2": ([2 if i == 7 else i % 2 for i in range(M)], "line 9, column c: expected 0 or 1, got '2'"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_is_refused_with_all_its_words_and_the_line_that_mends_it(tmp_path, case):
    cells, message = COLUMNS[case]
    text = refusal(write(tmp_path / "t.csv", {"c": cells, "b": X[:, 1], "y": Y}))
    assert message in text and text.endswith("  (or --drop c)") == ("pandas" in message)


def mended(tmp_path, columns, **options):
    """The table that is read in the end, where every printed line is run by pandas, and how many were."""
    pandas = pytest.importorskip("pandas")
    path = write(tmp_path / "t.csv", columns)
    for lines in range(4):
        try:
            return read_table(path, **options), lines
        except ValueError as error:
            call = re.search(r"with pandas[^:]*: (.*?)(  \(or .*)?$", str(error))[1]
            scope = {"df": pandas.read_csv(path), "pd": pandas}
            exec(re.sub(r" \(leaves \d+ of \d+ rows\)", "", call), scope)
            scope["df"].to_csv(path, index=False)
    raise AssertionError("after three lines it is no table yet")


@pytest.mark.parametrize("case", [case for case in COLUMNS if "pandas" in COLUMNS[case][1]])
def test_the_printed_line_makes_bits_that_say_the_same(tmp_path, case):
    cells = COLUMNS[case][0]
    table, lines = mended(tmp_path, {"b": X[:, 1], "c": cells, "y": Y}, label="y")
    assert lines == 1
    made = [table.X[:, j] for j, name in enumerate(table.names) if name.startswith("c")]
    kept = [cell for cell in map(str, cells) if cell or case not in ("bits and blanks", "0 and blanks")]
    assert len(kept) == len(table.y)
    if case != "0 and blanks":                  # each value is told from each other, none twice
        assert len({tuple(row) for row in zip(*made)}) == len({*kept}) == len({*zip(kept, zip(*made))})


def test_many_columns_with_blanks_are_mended_at_once(tmp_path):
    """As d.replace({0: "", 1: "x"}) writes them, the label too."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, (M, 9))
    columns = {name: coded(bits[:, j], "", "x") for j, name in enumerate("abcdefghy")}
    text = refusal(write(tmp_path / "t.csv", columns))
    assert text.endswith('with pandas: n = ["a", "b", "c", "d", "e", "f", "g", "h", "y"]; df[n] = df[n] == "x"')
    table, lines = mended(tmp_path, columns)
    assert lines == 1 and np.array_equal(np.column_stack([table.X, table.y]), bits)


def test_rows_that_dropna_leaves_are_counted(tmp_path):
    rng = np.random.default_rng(4)
    columns = {name: np.where(rng.random(M) < 0.1, "", rng.integers(0, 2, M).astype(str)) for name in "abcdef"}
    left = sum(all(row) for row in zip(*columns.values()))
    text = refusal(write(tmp_path / "t.csv", {**columns, "y": Y}))
    assert f'n = ["a", "b", "c", "d", "e", "f"]; df = df.dropna(subset=n) (leaves {left} of 40 rows)  (or --drop them)' in text


def test_columns_that_never_vary_have_one_notice(tmp_path):
    table = read_table(write(tmp_path / "t.csv", {
        "a": X[:, 0], "one": [1] * M, "country": ["DE"] * M, "note": [""] * M, "zero": ["no"] * M, "y": Y}), "y")
    assert table.notices == ("the same in every row: one, country, note, zero",) and table.names == ("a", "one", "zero")
    np.savez(tmp_path / "t.npz", X=np.column_stack([X, np.ones(M)]), y=Y)
    assert read_table(tmp_path / "t.npz").notices == ("the same in every row: x2",)
    assert read_table(tmp_path / "t.npz", columns=3).notices == ()


# The label

LABELS = {"1 and 2": (1, 2), "-1 and 1": (-1, 1), "F and M": ("F", "M"), "hot and cold": ("hot", "cold"), "0 and x": (0, "x")}


@pytest.mark.parametrize("case", LABELS)
def test_a_label_of_any_two_values_is_read(tmp_path, case):
    zero, one = LABELS[case]
    y = (Y.sum() > M / 2) ^ Y                   # 1 is the rarer
    path = write(tmp_path / "t.csv", {"a": X[:, 0], "b": X[:, 1], "y": coded(y, zero, one)})
    table = read_table(path, "y")
    assert np.array_equal(table.y, y) and table.positive == str(one)
    assert table.notices == (f"y: {one} is 1, the other label 0 (--positive chooses)",)
    assert np.array_equal(read_table(path, "y", positive=str(zero)).y, 1 - y)


def test_the_larger_number_is_1_however_frequent(tmp_path):
    path = write(tmp_path / "t.csv", {"a": X[:, 0], "y": coded(SHARE, 1, 2)})
    assert np.array_equal(read_table(path, "y").y, SHARE)


def test_a_label_of_three_words_asks_for_one_of_them(tmp_path):
    cells = (["low", "mid", "high", "low"] * M)[:M]
    path = write(tmp_path / "t.csv", {"a": X[:, 0], "b": X[:, 1], "sev": cells})
    assert refusal(path) == ("column sev: expected two labels, got words (high, low, mid); with pandas: "
                             'n = ["sev"]; df[n] = df[n] == "low"  (or --positive low)')
    for word in ("low", "mid"):
        table = read_table(path, "sev", positive=word)
        assert table.y.tolist() == [cell == word for cell in cells] and table.positive == word
    numbers = write(tmp_path / "n.csv", {"a": X[:, 0], "y": [i % 3 for i in range(M)]})
    assert read_table(numbers, positive="1").y.tolist() == [i % 3 == 1 for i in range(M)]
    assert refusal(numbers) == ("column y: expected two labels, got numbers from 0 to 2; with pandas: "
                                'n = ["y"]; df[n] = df[n] > df[n].mean()')


@pytest.mark.parametrize("cells, message", [
    (coded(SHARE, "", "x"), """column y: expected two labels, got x and ''; with pandas: n = ["y"]; df[n] = df[n] == "x\""""),
    (["NA" if i == 5 else i % 2 for i in range(M)],
     """line 7, column y: expected 0 or 1, got 'NA' in 1 row; with pandas: n = ["y"]; df = df.dropna(subset=n) """
     "(leaves 39 of 40 rows)"),
    (["low", "high", ""] * 13 + ["low"], """column y: expected two labels, got '' in 13 rows; with pandas: """)])
def test_a_label_with_missing_cells_is_refused_with_the_line_that_mends_it(tmp_path, cells, message):
    path = write(tmp_path / "t.csv", {"a": X[:, 0], "b": X[:, 1], "y": cells})
    assert refusal(path).startswith(message) and refusal(path, positive=str(cells[1] or "x")).startswith(message)


def test_a_label_that_was_not_named_is_told(tmp_path):
    path = write(tmp_path / "t.csv", {"a": X[:, 0], "y": Y})
    assert read_table(path).notices == ("y is the label: the last column (--label names another)",)
    assert read_table(path, "y").notices == read_table(path, columns=("a",)).notices == ()
    np.save(tmp_path / "t.npy", np.column_stack([X, Y]))
    assert read_table(tmp_path / "t.npy").notices == ("x2 is the label: the last column (--label names another)",)


# Prediction

def test_prediction_gives_no_advice_that_looks_at_the_new_rows(tmp_path):
    path = write(tmp_path / "t.csv", {"a": X[:, 0], "c": coded(SHARE, 1, 2)})
    assert refusal(path, columns=("a", "c")) == (
        "column c: expected 0 or 1, got numbers from 1 to 2; the model reads every column it learned from: "
        "make bits of it as then")


# Files

def test_first_lines_of_excel_and_comments_are_read(tmp_path):
    body = "a{0}b{0}y\n0{0}1{0}1\n1{0}0{0}0\n1{0}1{0}1\n"
    for text in ("sep=;\r\n" + body.format(";"), "# exported 2024\n" + body.format(","), "sep=\t\n" + body.format("\t"),
                 "# exported 2024, by hand\n# twice; or so\n" + body.format(";"), "#a,b,y" + body.format(",")[5:],
                 "# by savetxt\n# " + body.format(" ")):
        for delimiter in (None, ";" if ";" in text.splitlines()[-1] else None):
            (tmp_path / "t.csv").write_text(text)
            table = read_table(tmp_path / "t.csv", delimiter=delimiter)
            assert (*table.names, table.label) == ("a", "b", "y") and table.X.tolist() == [[0, 1], [1, 0], [1, 1]], text
    (tmp_path / "t.csv").write_text("# exported 2024\na,b,y\n0,1,1\n1,2,0\n")
    assert refusal(tmp_path / "t.csv").startswith("line 4, column b: ")


@pytest.mark.parametrize("data, message", [
    (b'[{"a": 1, "y": 0}, {"a": 0, "y": 1}]', "begins '[{\"a\": 1, \"y\": 0}, {' (save it as CSV)"),
    (b'{"a": [1, 0],\n "y": [0, 1]}', "(save it as CSV)"), (b"<html><table>", "(save it as CSV)"),
    (b"PAR1\x15\x04", "(save it as CSV)"), (gzip.compress(b'{"a": 1}\n', mtime=0), "(save it as CSV)"),
    (b" a | b | y \n---+---+---\n 1 | 0 | 1\n(1 row)\n", "beside the label, got one column, 'a | b | y' (--delimiter says")])
def test_what_is_no_table_of_text_is_told_with_what_came(tmp_path, data, message):
    (tmp_path / "t.csv").write_bytes(data)
    assert message in refusal(tmp_path / "t.csv")


def test_workbooks_archives_and_objects_are_told(tmp_path):
    import zipfile
    for name in ("xl/workbook.xml", "t.csv"):
        with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
            archive.writestr(name, "a,y\n0,1\n")
        assert refusal(tmp_path / "t.xlsx") == f"expected an array X, got {name} (save it as CSV)"
    np.save(tmp_path / "t.npy", np.column_stack([X, Y]).astype(object))
    assert refusal(tmp_path / "t.npy").startswith("expected an .npy file of numbers, got objects (X.astype(int)")
    np.savez(tmp_path / "t.npz", X=X, y=Y)
    with pytest.raises(ValueError, match="^positive: expected a label of y"):
        read_table(tmp_path / "t.npz", positive="yes")
