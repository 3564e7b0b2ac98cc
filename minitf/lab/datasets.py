"""A user's own bits, from tables of text (.csv, .tsv, .gz, standard input) or arrays (.npz, .npy).

What is no table of bits is refused in one line that names the column and says how to make bits of
it. Files hold no pickles.
"""
import io
from os import PathLike
from typing import NamedTuple

import numpy as np

from minitf.checks import bits, checked, describe, shape
from minitf.files import read_array, read_arrays, read_whole, roomy
from minitf.lab.columns import (
    is_bit,
    is_index,
    is_number,
    label_of,
    need,
    refuse_columns,
    some,
)
from minitf.lab.delimited import GONE, Cells, Codes, Text, sniff

TAKEN = "{} is the label: the last column (--label names another)"


class Table(NamedTuple):
    """Bits X (m, T) uint8 with the names of their columns, and the label column y (m,) with its
    name, or None. positive: the word of the label that is 1, if it is a word; notices: what was
    taken for granted."""
    X: np.ndarray
    names: tuple
    y: np.ndarray | None
    label: str | None
    positive: str | None = None
    notices: tuple = ()


@checked
def read_table(path: str | PathLike, label: str | None = None, columns=None, *,
               positive=None, drop=(), delimiter=None, tick=lambda done, total: None):
    """Read examples from a file; "-" is standard input. What the file is, its first bytes say.

    label: the name of the column that holds y, the last one unless given; positive: its word that
    is 1. drop: columns to leave out. columns: for prediction, read no label but just these columns,
    by name, or the first so many of them; arrays without names have columns x0, x1, ...
    tick(done, total) is told how much has been read.
    Errors: OSError for a file that cannot be opened; ValueError or TypeError naming the file, the
    column and the line.
    """
    data = read_whole(path)
    options = {"label": label, "positive": positive, "drop": drop}
    if data[:4] == b"PK\3\4" or data[:6] == b"\x93NUMPY" or str(path).lower().endswith(".npz"):
        return table_of(*arrays_of(path, data, columns), columns=columns, path=path, **options)
    text = Text(path, data)
    delimiter = delimiter.replace("\\t", "\t") if delimiter else text.delimiter or sniff(text)
    names, notices = header_of(path, text, delimiter)
    places, last = chosen(path, names, label, columns, drop)
    found = Cells(text, len(names), places, delimiter, None if last is None else len(places) - 1)
    cells = found.read(tick)
    need(len(cells), path, "a header and at least one row", "the header alone")
    names = [names[j] for j in places]
    if last is None:
        refuse_columns(path, names, found, cells, found.spelled(found.odd))
        return Table(np.ascontiguousarray(cells), tuple(names), None, None)
    notices += [TAKEN.format(last)] if label is None else []
    return labelled(path, names, found, cells, positive, notices)


def labelled(path, names, found, cells, positive, notices):
    """The Table of cells whose last column is the label."""
    *names, label = names
    indexes = [i for i in found.odd if i < len(names) and is_index(found.odd[i], cells[:, i])]
    values = found.spelled(found.odd.keys() - {*indexes})
    y, positive, said = label_of(path, label, cells[:, -1], found, values.get(found.label),
                                 positive)
    same = np.flatnonzero(cells.min(axis=0) == cells.max(axis=0))
    same = [i for i in same.tolist() if i < len(names) and (
        cells[0, i] <= GONE or len(values[i]) == 1)]
    out = {*indexes, *same, *([] if y is None else [len(names)])}
    refuse_columns(path, [*names, label], found, cells,
                   {i: values[i] for i in found.odd.keys() - out})
    notices += said + [f"{names[i]} left out: all its values differ" for i in indexes]
    notices += same_of(names, same)
    keep = [i for i in range(len(names)) if i not in found.odd]
    need(keep, path, "at least one column of bits beside the label", some(names))
    X = np.ascontiguousarray(cells[:, keep] if len(keep) < len(names) else cells[:, :len(names)])
    return Table(X, tuple(names[i] for i in keep), y, label, positive, tuple(notices))


def header_of(path, text, delimiter):
    """The names of the columns, "" for a column of row numbers, and what was taken for granted."""
    text.past_comments(delimiter)
    start = text.at, text.number
    rows = text.rows(delimiter)
    first = next(rows, None)
    need(first, path, "a header and at least one row", "an empty file")
    body = text.at, text.number
    second = next(rows, [])
    names = [" ".join(cell.split()) for cell in first]
    while len(names) > 1 and not names[-1]:     # delimiters at the end of the line
        names.pop()
    codes = Codes()
    if all(is_number(name) and is_bit(codes, name) for name in names):
        text.at, text.number = start
        return [f"x{j}" for j in range(len(names))], ["no header: the columns are x0, x1, ..."]
    if len(second) == len(names) + 1 == len(next(rows, [])) and second[-1].strip():
        names.insert(0, "")                     # as R writes row names
    text.at, text.number = body
    for j, name in enumerate(names):
        need(name or not j, path, "a name for every column", f"none for column {j + 1}")
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else 0
    need(not twice, path, "no column name twice", repr(twice and twice[0]))
    return names, [] if names[0] else ["the first column left out: it has no name"]


def chosen(path, names, label, columns, drop):
    """The places of the columns to read, the label last, and the name of the label."""
    there = {name: j for j, name in enumerate(names) if name}
    for name in drop:
        need(name in there, "drop", f"columns of {path} ({some(there)})", repr(name))
        del there[name]
    if columns is None:
        label = next(reversed(there), None) if label is None else label
        need(label in there, "label", f"a column of {path} ({some(there)})", repr(label))
        wanted = [name for name in there if name != label]
        need(wanted, path, "at least one column beside the label",
             f"one column, {label!r} (--delimiter says what stands between the cells)")
        return [there[name] for name in (*wanted, label)], label
    if isinstance(columns, int):
        need(columns <= len(there), path, f"at least {columns} columns", len(there))
        columns = list(there)[:columns]
    lacking = [name for name in columns if name not in there]
    need(not lacking, path, f"all {len(columns)} columns of the model",
         f"none named {some(lacking, 20)}")
    return [there[name] for name in columns], None


def arrays_of(path, data, columns):
    """X, its names and y of an .npz file, or the columns of an .npy file, whose last is y."""
    wanted = ("X", "names", "columns") if columns is not None else ("X", "y", "names", "columns")
    try:
        if data[:6] == b"\x93NUMPY":
            found = read_array(io.BytesIO(data), len(data))
        else:
            arrays, found = read_arrays(io.BytesIO(data), roomy(len(data)), wanted)
    except Exception as error:                  # of a dozen kinds: many parsers read the bytes
        if "Object" in str(error) or b"'|O'" in data[:128]:
            error = "objects (X.astype(int) makes numbers of them)"
        kind = "an .npy" if data[:6] == b"\x93NUMPY" else "an .npz"
        raise ValueError(f"{path}: expected {kind} file of numbers, got {error}") from None
    if isinstance(found, np.ndarray):
        if found.dtype.names:
            table = np.stack([found[name] for name in found.dtype.names], axis=-1)
            return table, list(found.dtype.names), None
        if columns is not None and found.ndim == 2 and found.shape[1] == count(columns) + 1:
            found = found[:, :-1]               # without the label
        return found, None, None
    for name in wanted[:1 if columns is not None else 2]:
        other = " (save it as CSV)" * any("." in name for name in found)    # a workbook, a .zip
        need(name in arrays, path, f"an array {name}", (some(found) or "none") + other)
    names = arrays.get("names", arrays.get("columns"))
    names = None if names is None else [str(name) for name in np.ravel(names)]
    twice = [name for name in names or () if names.count(name) > 1]
    need(not twice, path, "no column name twice", repr(twice and twice[0]))
    return arrays["X"], names, arrays.get("y")


def count(columns):
    """How many columns are asked for."""
    return columns if isinstance(columns, int) else len(columns)


def table_of(X, names, y, *, label, positive, drop, columns, path):
    """A Table of arrays; where there is no y, one of the columns is the label."""
    X = bits(f"{path}: X", X)
    need(X.size, f"{path}: X", "at least one row and one column", describe(X))
    if names is None and columns is not None and y is None:
        shape(f"{path}: X", X, (None, count(columns)))
        names = None if isinstance(columns, int) else list(columns)
    names = [f"x{t}" for t in range(X.shape[1])] if names is None else names
    need(len(names) == X.shape[1], path, f"{X.shape[1]} names", len(names))
    if columns is not None:
        places, _ = chosen(path, names, None, columns, ())
        X = np.ascontiguousarray(X[:, places])
        return Table(X, tuple(names[j] for j in places), None, None)
    notices = []
    if y is None:
        places, last = chosen(path, names, label, None, drop)
        notices += [TAKEN.format(last)] if label is None else []
        label, y, X = last, X[:, places.pop()], X[:, places]
        names = [names[j] for j in places]
    else:
        need(label is None, "label", "none with an .npz file, whose labels are the array y",
             repr(label))
        label, y = "y", bits(f"{path}: y", y, ndim=1)
        shape(f"{path}: y", y, (len(X),))
        keep = [j for j, name in enumerate(names) if name not in drop]
        X, names = X[:, keep], [names[j] for j in keep]
    need(y.min() != y.max(), f"{path}: {label}", "both labels", f"{y[0]} in every row")
    need(positive in (None, "0", "1"), "positive", f"a label of {label} (0, 1)", repr(positive))
    notices += same_of(names, np.flatnonzero(X.min(axis=0) == X.max(axis=0)))
    y = 1 - y if positive == "0" else y.copy()
    return Table(np.ascontiguousarray(X), tuple(names), y, label, positive, tuple(notices))


def same_of(names, places):
    """The notice of columns that are constant."""
    return [f"the same in every row: {some([names[i] for i in places])}"] * (len(places) > 0)
