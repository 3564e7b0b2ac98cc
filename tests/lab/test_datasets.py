"""A user's tables: what is read, what is refused and with which words, and how rows are held out."""
import csv
import gzip
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitf.lab import delimited
from minitf.lab.datasets import read_table
from minitf.lab.delimited import halves
from minitf.lab.own_table import stratified_split

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


def test_a_quotation_mark_in_a_name_does_not_hide_the_delimiter(tmp_path):
    table = read_table(write(tmp_path / "t.csv", ';,";"""\n0,0\n0,1\n'))
    assert (*table.names, table.label) == (";", ';"')


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_csv_writes_is_read_back(tmp_path_factory, data):
    T, m = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 6))
    letters = st.text("abc ,\"';\u00e9\u65e5", min_size=1, max_size=5).map(lambda s: " ".join(s.split())).filter(bool)
    names = data.draw(st.lists(letters, min_size=T + 1, max_size=T + 1, unique=True))
    cells = data.draw(st.lists(st.lists(st.integers(0, 1), min_size=T + 1, max_size=T + 1), min_size=m, max_size=m))
    cells[0][-1], cells[1][-1] = 0, 1
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *cells])
    table = read_table(path)
    assert (*table.names, table.label) == tuple(names)
    assert np.array_equal(np.column_stack((table.X, table.y)), cells)


REFUSED = {
    "a cell of 2": ("a,b,y\n0,1,1\n1,2,0\n", "line 3, column b: expected 0 or 1, got '2'"),
    "an empty cell": ("a,b,y\n0,1,1\n1,,0\n1,0,0\n", "line 3, column b: expected 0 or 1, got '' in 1 row; with pandas: "
                      'n = ["b"]; df = df.dropna(subset=n) (leaves 2 of 3 rows)  (or --drop b)'),
    "a number between": ("a,b,y\n0.5,1,1\n1,1,0\n", "line 2, column a: expected 0 or 1, got '0.5'"),
    "three labels": ("a,b,y\n0,1,u\n1,1,v\n1,0,w\n", 'column y: expected two labels, got words (u, v, w); '
                     'with pandas: n = ["y"]; df[n] = df[n] == "w"  (or --positive w)'),
    "a label of bits and a word": ("a,b,y\n0,1,1\n1,0,0\n1,0,x\n", "line 4, column y: expected 0 or 1, got 'x'"),
    "one label": ("a,b,y\n0,1,1\n1,0,1\n", "column y: expected both labels, got 1 in every row"),
    "one word": ("a,b,y\n0,1,on\n1,0,on\n", "column y: expected both labels, got 1 in every row"),
    "a bad cell below blank lines": ("a,b,y\n\n0,1,1\n\n\n1,x,0\n", "line 6, column b: expected 0 or 1, got 'x'"),
    "a cell below a name of two lines": ('"a\nb",c,y\n0,1,1\n1,x,0\n', "line 4, column c: expected 0 or 1, got 'x'"),
    "a short row": ("a,b,y\n0,1,1\n1,0\n", "line 3: expected 3 cells, got 2"),
    "a long row": ("a,b,y\n0,1,1,0\n", "line 2: expected 3 cells, got 4"),
    "one name twice": ("a,b,a,y\n0,1,0,1\n", "expected no column name twice, got 'a'"),
    "one name twice but for spaces": ("a,b, a,y\n0,1,0,1\n", "expected no column name twice, got 'a'"),
    "a column without a name": ("a,,y\n0,1,1\n", "expected a name for every column, got none for column 2"),
    "an empty file": ("", "expected a header and at least one row, got an empty file"),
    "only blank lines": ("\n\n\n", "expected a header and at least one row, got an empty file"),
    "a header alone": ("a,b,y\n", "expected a header and at least one row, got the header alone"),
    "only a label": ("y\n1\n0\n", "expected at least one column beside the label, got one column, 'y' "
                     "(--delimiter says what stands between the cells)"),
    "an open quote": ('a,b,y\n"0,1,1\n1,0,0\n', "expected a table of text, got unexpected end of data"),
    "a zero byte": (b"a,b,y\n0,\0,1\n1,0,0\n", r"line 2, column b: expected 0 or 1, got '\x00'|line contains NUL"),
    "half of a .gz file": (gzip.compress(GOOD.encode() * 99)[:-9], "expected a whole .gz file"),
    "numbers": ("a,age,y\n" + "".join(f"{i % 2},{20 + i // 2},{i % 3 % 2}\n" for i in range(20)),
                'column age: expected 0 or 1, got numbers from 20 to 29; with pandas: '
                'n = ["age"]; df[n] = df[n] > df[n].mean()  (or --drop age)'),
    "fractions that all differ": ("a,t,y\n" + "".join(f"{i % 2},{i / 7:.3f},{i % 3 % 2}\n" for i in range(20)),
                                  "column t: expected 0 or 1, got numbers from 0 to 2.714; with pandas: "),
    "words": ("city,a,y\n" + "".join(f"{'ABC'[i % 3]},{i % 2},{i % 5 % 2}\n" for i in range(20)),
              'column city: expected 0 or 1, got words (A, B, C); with pandas: '
              'n = ["city"]; df = pd.get_dummies(df, columns=n)  (or --drop city)'),
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


def test_all_bad_columns_are_told_at_once_with_one_call_that_mends_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{20 + i // 2},{i % 2},{'ABC'[i % 3]},{'' if i == 9 else 1},{'oops' if i == 4 else 0},{i % 3 % 2}\n"
                   for i in range(20))
    write(tmp_path / "t.csv", "age,a,city,paid,b,y\n" + rows)
    with pytest.raises(ValueError) as error:
        read_table("t.csv")
    assert str(error.value) == (
        "t.csv: 4 columns: expected 0 or 1, got age: numbers from 20 to 29; city: words (A, B, C); "
        "paid: 1 and ''; b: 'oops' (line 6); with pandas: "
        'n = ["age"]; df[n] = df[n] > df[n].mean(); n = ["city"]; df = pd.get_dummies(df, columns=n); '
        'n = ["paid"]; df[n] = df[n] == 1  (or --drop them)')
    names = [f"a_column_with_a_long_name_{j}" for j in range(30)]
    write(tmp_path / "u.csv", ",".join([*names, "y"]) + "\n" +
                 "".join(",".join([str(i // 2)] * 30) + f",{i % 2}\n" for i in range(20)))
    with pytest.raises(ValueError, match="u.csv: 30 columns: expected 0 or 1, got a_column_with_a_long_name_0: numbers from "
                       r"0 to 9; and 29 more; with pandas, of the first 3: n = \[.*name_2\"\]; df\[n\] = ") as error:
        read_table("u.csv")
    assert len(str(error.value)) <= 300


BODY = "0,1,1\n1,0,0\n1,1,1\n"
FORMS = {
    "semicolons": "a;b;y\n" + BODY.replace(",", ";"), "tabs": "a\tb\ty\n" + BODY.replace(",", "\t"),
    "bars": "a|b|y\n" + BODY.replace(",", "|"), "spaces": "a b y\n" + BODY.replace(",", " "),
    "pandas": ",a,b,y\n" + "".join(f"{i},{line}\n" for i, line in enumerate(BODY.split())),
    "R": '"a","b","y"\n' + "".join(f'"{i}",{line}\n' for i, line in enumerate(BODY.split(), 1)),
    "booleans": "a,b,y\n" + BODY.replace("0", "False").replace("1", "True"),
    "yes and no": "a,b,y\n" + BODY.replace("0", "no").replace("1", "Yes"),
    "floats": "a,b,y\n" + BODY.replace("0", "0.0").replace("1", "1.0"),
    "savetxt": "# a,b,y\n" + BODY.replace("0", f"{0:.18e}").replace("1\n", f"{1:.18e}\n").replace("1,", f"{1:.18e},"),
    "decimal commas": "a;b;y\n" + BODY.replace(",", ";").replace("0", "0,0").replace("1", "1,00"),
    "mixed": "a,b,y\n0,true,1.0\n1e0,.0,off\n1,1.,YES\n", "delimiters at the end": "a,b,y,\n" + BODY.replace("\n", ",\n"),
    "gzip": gzip.compress(GOOD.encode()), "UTF-16": GOOD.encode("utf-16"), "old Macintosh": GOOD.replace("\n", "\r"),
    "an id": "id,a,b,y\n" + "".join(f"u{i},{line}\n" for i, line in enumerate(BODY.split() * 5)),
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_are_read_as_people_have_them(tmp_path, form):
    table = read_table(write(tmp_path / "t.csv", FORMS[form]))
    copies = len(table.y) // 3
    assert table.names == ("a", "b") and table.label == "y"
    assert np.array_equal(table.X, np.tile(BITS, (copies, 1))) and np.array_equal(table.y, np.tile(LABELS, copies))
    assert len(table.notices) == 1 + (form in ("pandas", "R", "an id"))


def test_another_encoding_keeps_its_letters(tmp_path):
    table = read_table(write(tmp_path / "t.csv", "caf\u00e9,b,y\n" + BODY, "latin-1"))
    assert table.names == ("caf\u00e9", "b")


def test_a_file_without_a_header_has_columns_by_number(tmp_path):
    table = read_table(write(tmp_path / "t.csv", BODY))
    assert table.names == ("x0", "x1") and table.label == "x2" and np.array_equal(table.X, BITS)
    assert table.notices[0] == "no header: the columns are x0, x1, ..."


def test_a_label_of_two_words(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,result\n0,1,pass\n1,0,fail\n1,1,pass\n")
    table = read_table(path, "result")
    assert table.y.tolist() == [0, 1, 0] and table.positive == "fail" and "fail is 1" in table.notices[0]
    table = read_table(path, "result", positive="pass")
    assert table.y.tolist() == [1, 0, 1] and table.positive == "pass" and not table.notices
    with pytest.raises(ValueError, match=r"^positive: expected a label of column result \(fail, pass\), got 'good'"):
        read_table(path, positive="good")
    yes = write(tmp_path / "yes.csv", "a,y\n0,yes\n1,no\n1,no\n")
    assert read_table(yes, positive="no").y.tolist() == [0, 1, 1]


def test_columns_can_be_dropped_and_the_delimiter_named(tmp_path):
    path = write(tmp_path / "t.csv", "age:a:b:y\n" + "".join(f"{i}.5:{line}\n" for i, line in enumerate(
        BODY.replace(",", ":").split())))
    assert read_table(path, drop=("age",), delimiter=":").names == ("a", "b")
    with pytest.raises(ValueError, match=r"^drop: expected columns of .*t.csv \(age, a, b, y\), got 'date'"):
        read_table(path, drop=("date",), delimiter=":")


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", type("", (), {"buffer": io.BytesIO(gzip.compress(GOOD.encode()))}))
    assert np.array_equal(read_table("-").X, BITS)


def test_npy_and_names(tmp_path):
    np.save(tmp_path / "t.npy", np.column_stack((BITS, LABELS)))
    table = read_table(tmp_path / "t.npy")
    assert table.names == ("x0", "x1") and table.label == "x2" and np.array_equal(table.y, LABELS)
    assert np.array_equal(read_table(tmp_path / "t.npy", columns=2).X, BITS)
    assert np.array_equal(read_table(tmp_path / "t.npy", label="x0").y, BITS[:, 0])
    path = tmp_path / "T.NPZ"
    with open(path, "wb") as file:
        np.savez(file, X=BITS, y=LABELS, names=np.array(["on", "off"]))
    assert read_table(path).names == ("on", "off") and read_table(path, drop=("on",)).names == ("off",)


@given(st.integers(0, 2 ** 32), st.sampled_from([",", "\t"]), st.booleans(), st.integers(0, 2), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_blocks_are_read_as_rows_are(tmp_path_factory, seed, mark, floats, lead, tail):
    """NumPy's way and the csv module's find the same, whatever stands at the ends of the lines."""
    rng = np.random.default_rng(seed)
    m, T = int(rng.integers(10, 30)), int(rng.integers(1, 6))
    X = rng.integers(0, 2, (m, T + 1))
    X[:2, -1] = 0, 1
    names = [*(f"i{j}" for j in range(lead)), *(f"c{j}" for j in range(T)), "y", *(f"o{j}" for j in range(tail))]
    rows = [[*(f"r{j}.{i}" for j in range(lead)), *(f"{x}.0" if floats else x for x in row),
             *(f"s{j} {i}" for j in range(tail))] for i, row in enumerate(X)]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("".join(mark.join(map(str, row)) + "\n" for row in [names, *rows]))
    tables = [read_table(path, label="y")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "halves", lambda *args: None)
        tables.append(read_table(path, label="y"))
        patch.setattr(delimited, "halves", halves)
        patch.setattr(delimited, "BLOCK", 40)
        tables.append(read_table(path, label="y"))
    for table in tables:
        assert table.names == tuple(names[lead:lead + T]) and len(table.notices) == lead + tail
        assert np.array_equal(np.column_stack((table.X, table.y)), X)


def test_a_missing_column_is_named(tmp_path):
    path = write(tmp_path / "t.csv", GOOD)
    with pytest.raises(ValueError, match=r"^label: expected a column of .*t.csv \(a, b, y\), got 'crash'$"):
        read_table(path, label="crash")
    with pytest.raises(ValueError, match="t.csv: expected all 3 columns of the model, got none named c, d$"):
        read_table(path, columns=("a", "c", "d"))
    with pytest.raises(ValueError, match="all 1000 columns of the model, got none named x0, .*, x19 and 980 more$"):
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
    for columns in (2, ("x0", "x1")):
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
    "pickled objects": (dict(X=BITS.astype(object), y=LABELS), "an .npz file of numbers, got objects"),
    "a pickled label": (dict(X=BITS, y=LABELS.astype(object)), "an .npz file of numbers, got objects"),
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
    for text in (b"", b"junk" * 99, good[:len(good) // 2], bomb.getvalue(), b"a,b,y\n0,1,1\n"):
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
    X = np.arange(len(y))[:, None] >> np.arange(6) & 1          # all rows differ
    rows, held = stratified_split(X.astype(np.uint8), y, share, np.random.default_rng(seed))
    assert sorted([*rows, *held]) == list(range(len(y)))
    for value in (0, 1):
        assert abs(np.sum(y[held] == value) - share * np.sum(y == value)) <= 0.5


@given(st.integers(1, 40), st.integers(1, 60), st.floats(0.05, 0.95), st.integers(0, 2 ** 32))
@settings(max_examples=100, deadline=None)
def test_equal_rows_stay_on_one_side(kinds, m, share, seed):
    rng = np.random.default_rng(seed)
    X = (rng.integers(0, kinds, m)[:, None] >> np.arange(6) & 1).astype(np.uint8)
    y = rng.integers(0, 2, m, dtype=np.uint8)
    rows, held = stratified_split(X, y, share, rng)
    assert sorted([*rows, *held]) == list(range(m)) and len(held) <= share * m + 1
    assert not {row.tobytes() for row in X[rows]} & {row.tobytes() for row in X[held]}


def test_rows_are_held_out_at_random():
    y, X = np.arange(100) % 2, (np.arange(100)[:, None] >> np.arange(7) & 1).astype(np.uint8)
    held = [stratified_split(X, y, 0.2, np.random.default_rng(seed))[1] for seed in range(400)]
    counts = np.bincount(np.concatenate(held), minlength=100)
    assert counts.sum() == 400 * 20 and counts.min() > 40 and counts.max() < 130       # 80 each, standard deviation 8
