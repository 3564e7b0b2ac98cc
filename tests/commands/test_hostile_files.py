"""A file from elsewhere takes neither the machine nor the terminal: one line, within bounds."""
import gzip
import io
import json
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from shells import FLAGS, a_csv, one_line
from sweeps import Here, invent

from minitf import fit, lab, load, sample_task
from minitf.files import load_arrays, read_arrays, save_arrays


@pytest.fixture
def model(run, tmp_path):
    """(arrays, header) of a small saved model."""
    assert run("learn", "--T", 8, "--k", 1, "--save", "model.npz")[0] == 0
    return load_arrays(tmp_path / "model.npz")


def changed(header, **changes):
    return {**header, "model": {**header["model"], **changes}}


HEADERS = [
    {"L": 10 ** 8}, {"L": 10 ** 400}, {"L": "1"}, {"L": None}, {"T": 10 ** 9}, {"T": 8.0}, {"d": 10 ** 9}, {"H": 10 ** 9},
    {"radius": 10 ** 400}, {"radius": "1"}, {"radius": []}, {"bound": True}, {"block": ["tf"]}, {"block": "gpt"}, {"V": 10 ** 8},
    {"unknown": 1}]


@pytest.mark.parametrize("changes", HEADERS, ids=lambda changes: str(changes)[:40])
def test_a_header_that_lies_is_one_line(run, model, changes):
    arrays, header = model
    save_arrays("evil.npz", arrays, **changed(header, **changes))
    one_line(run("predict", "evil.npz", "--data", FLAGS), "evil.npz: not a minitf model file, or damaged")


ENTRIES = [
    {"names": 5}, {"names": "abcdefgh"}, {"names": [1] * 8}, {"names": {"a": 1}}, {"label": 5}, {"positive": ["y"]}, {"rule": 5},
    {"rule": {}}, {"rule": {"columns": [8], "table": [0, 1]}}, {"rule": {"columns": [0], "table": [0]}}, {"negations": 1},
    {"rule": {"columns": [0], "table": ["=1+1", "@x"]}}, {"rule": {"columns": list(range(8)) * 4, "table": [0]}}, {"model": []}]


@pytest.mark.parametrize("changes", ENTRIES, ids=str)
def test_entries_of_other_types_are_one_line(run, model, changes):
    arrays, header = model
    save_arrays("evil.npz", arrays, **{**header, **changes})
    one_line(run("predict", "evil.npz", "--data", FLAGS), "evil.npz: not a minitf model file, or damaged")


def test_entries_of_the_right_types_are_read(model):
    arrays, header = model
    rule = {"text": "a", "columns": [0], "table": [0, 1]}
    save_arrays("fine.npz", arrays, **{**header, "names": list("abcdefgh"), "label": "y", "positive": "yes", "rule": rule})
    assert load("fine.npz").header["rule"] == rule


def test_fixed_positions_are_bounded(model, tmp_path):
    arrays, header = model
    T, d = 10 ** 5, 10 ** 5 + 3
    arrays |= {"params/q": np.zeros((1, d - 3), np.float32), "frequency": np.zeros(T, np.float32),
               "weights": np.zeros((1, T), np.float32)}
    save_arrays(tmp_path / "evil.npz", arrays, **changed(header, T=T, d=d, positions="sign"))
    with pytest.raises(ValueError, match="evil.npz: not a minitf model file"):
        load(tmp_path / "evil.npz")


def zipped(members, packed=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def said_shape(shape, dtype="|u1"):
    """An .npy file whose header says this shape, with ten bytes behind it."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(10)


BOMBS = {
    "zeros": lambda: zipped([("header.npy", npy(np.array("{}"))), ("w.npy", npy(np.zeros(1 << 27, np.uint8)))]),
    "many": lambda: zipped([(f"w{i}.npy", npy(np.zeros(1 << 22, np.uint8))) for i in range(20)]),
    "shape": lambda: zipped([("header.npy", said_shape((10 ** 10,)))]),
    "strings": lambda: zipped([("header.npy", said_shape((), "<U1000000000"))]),
    "empty strings": lambda: zipped([("header.npy", said_shape((10 ** 10,), "<U0"))])}


@pytest.mark.every(3)
@pytest.mark.parametrize("name", BOMBS)
def test_memory_of_load_is_bounded(tmp_path, name):
    path = tmp_path / "evil.npz"
    path.write_bytes(BOMBS[name]())
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="evil.npz: not a minitf model file, or damaged"):
            load(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < 1 << 20 and most <= max(4 * size, 1 << 26), most


def test_an_array_that_is_there_twice_is_refused(run, tmp_path, model):
    for names in (["w.npy", "w.npy"], ["w.npy", "w"]):
        with pytest.warns(UserWarning, match="Duplicate") if names[0] == names[1] else io.BytesIO():
            data = zipped([(name, npy(np.ones(i))) for i, name in enumerate(names)])
        with pytest.raises(ValueError, match="twice"):
            read_arrays(io.BytesIO(data), 1 << 20)
    with zipfile.ZipFile("model.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("params/c.npy", npy(np.array(99.0)))
    one_line(run("predict", "model.npz", "--data", FLAGS), "model.npz: not a minitf model file, or damaged")
    X, y = np.eye(4, dtype=np.uint8), np.array([0, 1, 0, 1])
    with pytest.warns(UserWarning, match="Duplicate"):
        (tmp_path / "data.npz").write_bytes(zipped([("X.npy", npy(X)), ("y.npy", npy(y)), ("y.npy", npy(1 - y))]))
    one_line(run("learn", "--data", "data.npz"), "data.npz: expected an .npz file of numbers, got .*twice")
    np.savez("names.npz", X=X, y=y, names=np.array(list("abca")))
    one_line(run("learn", "--data", "names.npz"), "names.npz: expected no column name twice, got 'a'")


@pytest.mark.every(3)
@pytest.mark.parametrize("name, words", [
    ("table.csv.gz", ["learn", "--data"]), ("table.npz", ["learn", "--data"]), ("runs.jsonl.gz", ["plot"])])
def test_tables_and_runs_unpack_within_bounds(run, tmp_path, name, words):
    zeros = bytes(100 << 20)
    data = zipped([("X.npy", npy(np.frombuffer(zeros, np.uint8)))]) if name.endswith("npz") else gzip.compress(zeros, 1)
    (tmp_path / name).write_bytes(data)
    one_line(run(*words, name), f"{name}: expected .*(at most|more than) 6. MB")


@pytest.mark.parametrize("words", [["learn", "--data", "/dev/zero"], ["plot", "/dev/zero"], ["learn", "--data", "/dev/null"],
                                   ["predict", "model.npz", "--data", "/dev/urandom"]], ids=" ".join)
def test_a_device_is_not_read(run, model, words):
    one_line(run(*words), "/dev/[a-z]+: expected a file or a pipe, got a device")


@pytest.mark.parametrize("words", [["predict", "/dev/zero", "--data", FLAGS], ["plot", "runs.jsonl", "--panel", "grid", "-o", "f.svg", "--published", "/dev/zero"]], ids=" ".join)
def test_no_other_file_is_a_device(run, words, tmp_path):
    """These were read until no memory was left."""
    invent(tmp_path / "runs.jsonl", T=(16, 64), m=(10, 12), reps=2)
    one_line(run(*words), "/dev/zero: expected a file|published: expected a CSV")
    with pytest.raises(FileExistsError):
        lab.sweep("/dev/zero", executor=Here())


def test_a_pipe_without_end_is_refused(run, monkeypatch):
    class Endless(io.RawIOBase):
        def read(self, n=-1):
            return b"0,1\n" * (1 << 18)

    monkeypatch.setattr("minitf.files.PIPE", 1 << 22)
    monkeypatch.setattr(sys, "stdin", type("", (), {"buffer": Endless()}))
    one_line(run("learn", "--data", "-"), "-: expected at most 4 MB")


def test_reps_are_bounded_before_anything_is_made(run):
    words = "sweep --T 16 --m 20,21 --method screening --out runs.jsonl --reps".split()
    one_line(run(*words, 99999999999), "--reps: expected an integer from 1 to 500000, got 99999999999")


def test_what_numpy_would_say_in_its_own_words(rng):
    task = sample_task(rng, "and", 1 << 20, 2)
    with pytest.raises(ValueError, match=r"^m: expected an integer from 1 to \d+, got 4611686018427387904$"):
        task.sample(rng, 1 << 62)
    with pytest.raises(ValueError, match=r"^X: expected rows of one length, got \[\[0, 1\], \[1\]\]$"):
        fit([[0, 1], [1]], [0, 1])


# Runs

KEYS = ("task", "k", "T", "m", "rep", "seconds", "snapshots", "attempts", "success", "timeout", "m_star", "model", "curve")
VALUES = {"none": None, "text": "x", "list": [], "nan": float("nan"), "huge": 10 ** 400, "negative": -1, "states": [None], "true": True}
FITS = {("m_star", "none"), ("success", "none"), ("model", "none"), ("curve", "none"), ("success", "true"), ("timeout", "true"),
        ("snapshots", "list"), ("curve", "list"), ("rep", "true")}
MISTYPED = [(key, name) for key in KEYS for name in VALUES if (key, name) not in FITS]


def test_a_line_that_is_no_run_is_one_line_for_plot_and_sweep(run, tmp_path):
    path = invent(tmp_path / "runs.jsonl", T=(16,), m=(10, 12), reps=2, method="screening", model=None)
    lines = path.read_text().splitlines()
    for key, name in [*MISTYPED, *((key, "missing") for key in KEYS)]:
        line = json.loads(lines[2])
        line.pop(key) if name == "missing" else line.update({key: VALUES[name]})
        path.write_text("\n".join([*lines[:2], "", json.dumps(line), lines[3], ""]))
        before = path.read_bytes()
        one_line(run("plot", path), f"runs.jsonl, line 4: expected a run of a sweep, got one without a proper .*{key}")
        end = run("sweep", "--T", 16, "--m", "10,12", "--reps", 2, "--method", "screening", "--out", "runs.jsonl")
        one_line(end, f"runs.jsonl, line 4: .*{key}|out: expected a file of runs with {key}")
        assert path.read_bytes() == before


def test_sizes_without_end_are_refused(run, tmp_path):
    invent(tmp_path / "runs.jsonl", T=(16,), m=range(1, 1002), reps=1, method="screening", model=None)
    one_line(run("plot", "runs.jsonl"), "^Error: runs.jsonl: expected at most 1000 different m at T = 16, got 1001")


def test_a_run_that_is_there_twice_is_refused_by_sweep_too(run, tmp_path):
    path = invent(tmp_path / "runs.jsonl", T=(16,), m=(10, 12), reps=2, method="screening", model=None)
    lines = path.read_text().splitlines()
    other = json.loads(lines[1])
    path.write_text("\n".join([*lines, json.dumps(other | {"success": not other["success"]}), ""]))
    for words in (["plot", "runs.jsonl"], "sweep --T 16 --m 10,12 --reps 2 --method screening --out runs.jsonl".split()):
        one_line(run(*words), "runs.jsonl, line 5: expected every run once, got that of runs.jsonl, line 2 again")


def test_text_of_runs_does_not_reach_a_spreadsheet(run, tmp_path):
    for changes in ({"model": "=cmd()"}, {"table": "=1+1"}, {"task": "@SUM(1)"}, {"method": "\x1b[31m"}):
        path = invent(tmp_path / "runs.jsonl", T=(16,), m=(10, 12), reps=2)
        path.write_text("\n".join(json.dumps(json.loads(line) | changes) for line in path.read_text().splitlines()))
        one_line(run("plot", path, "--csv", "table.csv"), "runs.jsonl, line 1: expected a run of a sweep")
        assert not (tmp_path / "table.csv").exists()


# The terminal

ODD = "\x1b[31mred\x07", "\x9b2J", "a\u202eb", "=cmd()", "$x^{$", "\x7f", "\ud800"


def test_what_a_table_says_reaches_the_terminal_made_harmless(run, tmp_path):
    a_csv(tmp_path / "plain.csv", m=200)
    text = (tmp_path / "plain.csv").read_text().replace("a,b,c,d,e", ",".join(ODD[:5]))
    (tmp_path / "evil.csv").write_bytes(text.encode())
    for words in (["--plot", "f.png"], ["--plot", "f.svg"], ["--json"], ["--verbose"]):
        code, out, err = run("learn", "--data", "evil.csv", *words)
        assert code < 2 and err == "" and not any(letter in out for letter in "\x1b\x07\x9b\u202e"), out
    assert "\x1b" not in (tmp_path / "f.svg").read_text()
    (tmp_path / "bad.csv").write_bytes(text.replace("\n0", "\n\x1b]0;owned\x07", 1).encode())
    code, out, err = run("learn", "--data", "bad.csv")
    assert code == 2 and "\x1b" not in err and r"\x1b" in err


def test_names_that_are_not_utf8_break_no_report(run, tmp_path):
    a_csv(tmp_path / "a\udcff.csv")
    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    for words in (["--data", "a\udcff.csv"], ["--T", 8, "--save", "b\udcff.npz"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", strict)
            code, _, err = run("learn", *words)
        assert code in (0, 1) and err == ""
    strict.flush()
    assert rb"Written    b\udcff.npz" in strict.buffer.getvalue() and (tmp_path / "b\udcff.npz").exists()
