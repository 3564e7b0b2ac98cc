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
    fault_of,
    is_bit,
    is_index,
    is_number,
    label_of,
    need,
    refuse_columns,
    some,
)
from minitf.lab.delimited import Cells, Codes, Text, sniff


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
    delimiter = sniff(text) if delimiter is None else delimiter.replace("\\t", "\t")
    names, notices = header_of(path, text, delimiter)
    places, label = chosen(path, names, label, columns, drop)
    found = Cells(text, len(names), places, delimiter, None if label is None else len(places) - 1)
    cells = found.read(tick)
    need(len(cells), path, "a header and at least one row", "the header alone")
    names = [names[j] for j in places]
    y = None
    if label is not None:
        y, positive, said = label_of(path, names.pop(), cells[:, -1], found, positive)
        notices += said
    keep, faults = [], []
    for i, name in enumerate(names):
        if i not in found.odd:
            keep.append(i)
        elif columns is None and is_index(found.odd[i], cells[:, i]):
            notices.append(f"{name} left out: all its values differ")
        else:
            faults.append(fault_of(name, i, found, cells[:, i]))
    refuse_columns(path, faults)
    need(keep, path, "at least one column of bits beside the label", some(names))
    X = np.ascontiguousarray(cells[:, keep] if len(keep) < len(names) else cells[:, :len(names)])
    return Table(X, tuple(names[i] for i in keep), y, label, positive, tuple(notices))


def header_of(path, text, delimiter):
    """The names of the columns, "" for a column of row numbers, and what was taken for granted."""
    start = text.at, text.number
    rows = text.rows(delimiter)
    first = next(rows, None)
    need(first, path, "a header and at least one row", "an empty file")
    body = text.at, text.number
    second = next(rows, [])
    if first[0].startswith("#"):                # numpy.savetxt(header=...)
        first[0] = first[0].lstrip("# ")
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
        need(wanted, path, "at least one column beside the label", some(there))
        return [there[name] for name in (*wanted, label)], label
    if isinstance(columns, int):
        need(columns <= len(there), path, f"at least {columns} columns", len(there))
        columns = list(there)[:columns]
    lacking = [name for name in columns if name not in there]
    need(not lacking, path, "the columns of the model", f"none named {some(lacking)}")
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
        excel = " (an Excel workbook? save it as CSV)" if b"xl/" in data[:1 << 16] else ""
        plain = "an .npz file of plain arrays"
        raise ValueError(f"{path}: expected {plain}, got {error}{excel}") from None
    if isinstance(found, np.ndarray):
        if found.dtype.names:
            table = np.stack([found[name] for name in found.dtype.names], axis=-1)
            return table, list(found.dtype.names), None
        if columns is not None and found.ndim == 2 and found.shape[1] == count(columns) + 1:
            found = found[:, :-1]               # without the label
        return found, None, None
    for name in wanted[:1 if columns is not None else 2]:
        need(name in arrays, path, f"an array {name}", some(found) or "none")
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
    if y is None:
        places, label = chosen(path, names, label, None, drop)
        y, X = X[:, places.pop()], X[:, places]
        names = [names[j] for j in places]
    else:
        need(label is None, "label", "none with an .npz file, whose labels are the array y",
             repr(label))
        label, y = "y", bits(f"{path}: y", y, ndim=1)
        shape(f"{path}: y", y, (len(X),))
        keep = [j for j, name in enumerate(names) if name not in drop]
        X, names = X[:, keep], [names[j] for j in keep]
    need(y.min() != y.max(), f"{path}: {label}", "both labels", f"{y[0]} in every row")
    y = y if positive in (None, "1") else 1 - y
    return Table(np.ascontiguousarray(X), tuple(names), y.copy(), label, positive)
