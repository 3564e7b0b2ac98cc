"""A user's tables: what is read, what is refused and with which words, and how rows are held out."""
import csv
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitf.lab.datasets import read_table, stratified_split

GOOD = "a,b,y\n0,1,1\n1,0,0\n1,1,1\n"
BITS = np.array([[0, 1], [1, 0], [1, 1]])
LABELS = np.array([1, 0, 1])


def write(path, text, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return str(path)


@pytest.mark.parametrize("text, encoding", [
    (GOOD, "utf-8"),
    (GOOD, "utf-8-sig"),
    (GOOD.replace("\n", "\r\n"), "utf-8"),
    (GOOD.replace("\n", "\r\n"), "utf-8-sig"),
    (GOOD.rstrip("\n"), "utf-8"),
    (GOOD.replace("\n", "\n\n") + "\n\n", "utf-8"),
    (GOOD.replace(",", " , "), "utf-8"),
    (GOOD.replace("0", '"0"').replace("b", '"b"'), "utf-8"),
], ids=["plain", "bom", "crlf", "bom and crlf", "no end of line", "blank lines", "spaces", "quotes"])
def test_a_csv_file_is_read_however_it_was_written(tmp_path, text, encoding):
    table = read_table(write(tmp_path / "t.csv", text, encoding))
    assert table.names == ("a", "b") and table.label == "y"
    assert table.X.dtype == table.y.dtype == np.uint8
    assert np.array_equal(table.X, BITS) and np.array_equal(table.y, LABELS)


def test_any_column_can_be_the_label(tmp_path):
    table = read_table(write(tmp_path / "t.csv", GOOD), label="a")
    assert table.names == ("b", "y") and table.label == "a"
    assert np.array_equal(table.X, np.column_stack((BITS[:, 1], LABELS))) and np.array_equal(table.y, BITS[:, 0])


@pytest.mark.parametrize("columns, names", [
    (("b", "a"), ("b", "a")), (("y",), ("y",)), (2, ("a", "b")), (3, ("a", "b", "y"))])
def test_prediction_reads_just_the_columns_asked_for(tmp_path, columns, names):
    table = read_table(write(tmp_path / "t.csv", GOOD), columns=columns)
    everything = dict(zip("aby", np.column_stack((BITS, LABELS)).T))
    assert table.names == names and table.y is None and table.label is None
    assert np.array_equal(table.X, np.column_stack([everything[name] for name in names]))


def test_prediction_does_not_look_at_other_columns(tmp_path):
    path = write(tmp_path / "t.csv", "id,b,a\nrow one,1,0\n-7.5,0,1\n")
    assert np.array_equal(read_table(path, columns=("a", "b")).X, BITS[:2])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_csv_writes_is_read_back(tmp_path_factory, data):
    T, m = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    letters = st.text("abc ,\"';\u00e9\u65e5", min_size=1, max_size=5).map(lambda s: " ".join(s.split())).filter(bool)
    names = data.draw(st.lists(letters, min_size=T + 1, max_size=T + 1, unique=True))
    cells = data.draw(st.lists(st.lists(st.integers(0, 1), min_size=T + 1, max_size=T + 1), min_size=m, max_size=m))
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *cells])
    table = read_table(path)
    assert (*table.names, table.label) == tuple(names)
    assert np.array_equal(np.column_stack((table.X, table.y)), cells)


REFUSED = {
    "a cell of 2": ("a,b,y\n0,1,1\n1,2,0\n", "line 3, column b: expected 0 or 1, got '2'"),
    "an empty cell": ("a,b,y\n0,1,1\n1,,0\n", "line 3, column b: expected 0 or 1, got ''"),
    "a number like a bit": ("a,b,y\n1.0,1,1\n", "line 2, column a: expected 0 or 1, got '1.0'"),
    "a label that is no bit": ("a,b,y\n0,1,yes\n", "line 2, column y: expected 0 or 1, got 'yes'"),
    "a bad cell below blank lines": ("a,b,y\n\n0,1,1\n\n\n1,x,0\n", "line 6, column b: expected 0 or 1, got 'x'"),
    "a cell below a name of two lines": ('"a\nb",c,y\n0,1,1\n1,x,0\n', "line 4, column c: expected 0 or 1, got 'x'"),
    "a short row": ("a,b,y\n0,1,1\n1,0\n", "line 3: expected 3 cells, got 2"),
    "a long row": ("a,b,y\n0,1,1,0\n", "line 2: expected 3 cells, got 4"),
    "one name twice": ("a,b,a,y\n0,1,0,1\n", "expected no column name twice, got 'a'"),
    "one name twice but for spaces": ("a,b, a,y\n0,1,0,1\n", "expected no column name twice, got 'a'"),
    "a column without a name": ("a,,y\n0,1,1\n", "expected a name for every column, got none for column 2"),
    "no header": ("0,1,1\n1,0,0\n", "expected column names in the first line, got bits"),
    "an empty file": ("", "expected a header and at least one row, got an empty file"),
    "only blank lines": ("\n\n\n", "expected a header and at least one row, got an empty file"),
    "a header alone": ("a,b,y\n", "expected a header and at least one row, got the header alone"),
    "only a label": ("y\n1\n0\n", "expected at least one column beside the label, got y"),
    "semicolons": ("a;b;y\n0;1;1\n", "expected at least one column beside the label, got a;b;y"),
    "an open quote": ('a,b,y\n"0,1,1\n1,0,0\n', "expected a CSV file in UTF-8, got unexpected end of data"),
    "a zero byte": (b"a,b,y\n0,\0,1\n", r"line 2, column b: expected 0 or 1, got '\x00'|line contains NUL"),
    "UTF-16": (GOOD.encode("utf-16"), "expected a CSV file in UTF-8, got 'utf-16|utf-8' codec can't decode"),
    "junk": (bytes(range(256)) * 20, "expected a CSV file in UTF-8, got 'utf-8' codec can't decode"),
    "another encoding": ("a,caf\u00e9,y\n0,1,1\n".encode("latin-1"), "expected a CSV file in UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_csv_file_is_refused_with_its_name_and_the_place(tmp_path, case):
    text, message = REFUSED[case]
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(ValueError) as error:
        read_table(path)
    assert str(error.value).startswith(path + ": ")
    assert any(part in str(error.value) for part in message.split("|"))
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named(tmp_path):
    path = write(tmp_path / "t.csv", GOOD)
    with pytest.raises(ValueError, match=r"^label: expected a column of .*t.csv \(a, b, y\), got 'crash'$"):
        read_table(path, label="crash")
    with pytest.raises(ValueError, match="t.csv: expected the columns of the model, got none named c, d$"):
        read_table(path, columns=("a", "c", "d"))
    with pytest.raises(ValueError, match="got none named x0, x1, x2, x3, x4, x5, x6, x7 and 992 more$"):
        read_table(path, columns=tuple(f"x{t}" for t in range(1000)))
    with pytest.raises(ValueError, match="t.csv: expected at least 4 columns, got 3$"):
        read_table(path, columns=4)


@pytest.mark.parametrize("name", ["missing.csv", "missing.npz", "folder.csv", "folder.npz"])
def test_a_file_that_cannot_be_opened_is_an_oserror_of_that_name(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(OSError) as error:
        read_table(tmp_path / name)
    assert name in str(error.value.filename)


def npz(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return str(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_npz_bits_of_any_dtype(tmp_path, dtype):
    table = read_table(npz(tmp_path / "t.npz", X=BITS.astype(dtype), y=LABELS.astype(dtype)))
    assert table.names == ("x0", "x1") and table.label == "y"
    assert table.X.dtype == table.y.dtype == np.uint8
    assert np.array_equal(table.X, BITS) and np.array_equal(table.y, LABELS)


def test_prediction_from_npz_needs_no_label(tmp_path):
    for columns in (2, ("a", "b")):
        table = read_table(npz(tmp_path / "t.npz", X=BITS), columns=columns)
        assert np.array_equal(table.X, BITS) and table.y is None
    pickled = npz(tmp_path / "p.npz", X=BITS, y=LABELS.astype(object))
    assert np.array_equal(read_table(pickled, columns=2).X, BITS)
    with pytest.raises(ValueError, match=r"X: expected shape \(any, 3\)"):
        read_table(pickled, columns=3)


REFUSED_ARRAYS = {
    "no X": (dict(y=LABELS), "expected an array X, got y"),
    "no y": (dict(X=BITS), "expected an array y, got X"),
    "neither": (dict(Z=BITS), "expected an array X, got Z"),
    "pickled objects": (dict(X=BITS.astype(object), y=LABELS), "Object arrays cannot be loaded"),
    "a pickled label": (dict(X=BITS, y=LABELS.astype(object)), "Object arrays cannot be loaded"),
    "a vector X": (dict(X=BITS[0], y=LABELS), "X: expected 2 axes"),
    "three axes": (dict(X=BITS[None], y=LABELS), "X: expected 2 axes"),
    "a column y": (dict(X=BITS, y=LABELS[:, None]), "y: expected 1 axis"),
    "too few labels": (dict(X=BITS, y=LABELS[:2]), r"y: expected shape \(3,\)"),
    "other numbers": (dict(X=2 * BITS, y=LABELS), "X: expected zeros and ones"),
    "NaN": (dict(X=np.where(BITS, np.nan, 0), y=LABELS), "X: expected zeros and ones"),
    "text": (dict(X=BITS.astype(str), y=LABELS), "X: expected zeros and ones"),
    "complex numbers": (dict(X=BITS + 0j, y=LABELS), "X: expected zeros and ones"),
    "no rows": (dict(X=BITS[:0], y=LABELS[:0]), "X: expected at least one row and one column"),
    "no columns": (dict(X=BITS[:, :0], y=LABELS), "X: expected at least one row and one column"),
}


@pytest.mark.parametrize("case", REFUSED_ARRAYS)
def test_bad_arrays_are_refused(tmp_path, case):
    arrays, message = REFUSED_ARRAYS[case]
    path = npz(tmp_path / "t.npz", **arrays)
    with pytest.raises((ValueError, TypeError), match=message) as error:
        read_table(path)
    assert str(error.value).startswith(path + ": ")


def test_files_that_only_look_like_npz_are_refused(tmp_path):
    good = (tmp_path / "good.npz", npz(tmp_path / "good.npz", X=BITS, y=LABELS))[0].read_bytes()
    array = io.BytesIO()
    np.save(array, BITS)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "|u1", "fortran_order": False, "shape": (10 ** 15, 5)})
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("X.npy", huge.getvalue())
        archive.writestr("y.npy", b"no array")
    for text in (b"", b"junk" * 99, array.getvalue(), good[:len(good) // 2], bomb.getvalue(), b"a,b,y\n0,1,1\n"):
        with pytest.raises(ValueError, match="bad.npz: expected an .npz file"):
            read_table(write(tmp_path / "bad.npz", text))


def test_a_label_name_is_refused_with_npz(tmp_path):
    with pytest.raises(ValueError, match="^label: expected none with an .npz file"):
        read_table(npz(tmp_path / "t.npz", X=BITS, y=LABELS), label="y")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_npz_file_is_read_right_or_refused(tmp_path, compressed):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 2, (40, 6)), rng.integers(0, 2, 40)
    good = (tmp_path / "t.npz", npz(tmp_path / "t.npz", compressed, X=X, y=y))[0].read_bytes()
    refused = 0
    for _ in range(150):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), 3):
            bad[at] = rng.integers(256)
        try:
            table = read_table(write(tmp_path / "bad.npz", bytes(bad[:rng.integers(1, 2 * len(bad))])))
        except (ValueError, TypeError) as error:
            refused += 1
            assert "bad.npz: " in str(error)
        else:
            assert np.array_equal(table.X, X) and np.array_equal(table.y, y)
    assert refused > 50


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2 ** 32))
@settings(max_examples=100, deadline=None)
def test_every_label_is_held_out_in_its_share(labels, share, seed):
    y = np.array(labels, np.uint8)
    rows, held = stratified_split(y, share, np.random.default_rng(seed))
    assert sorted([*rows, *held]) == list(range(len(y)))
    for value in (0, 1):
        assert abs(np.sum(y[held] == value) - share * np.sum(y == value)) <= 0.5


def test_rows_are_held_out_at_random():
    y = np.arange(100) % 2
    held = [stratified_split(y, 0.2, np.random.default_rng(seed))[1] for seed in range(400)]
    counts = np.bincount(np.concatenate(held), minlength=100)
    assert counts.sum() == 400 * 20 and counts.min() > 40 and counts.max() < 130       # 80 each, standard deviation 8
