"""A user's own bits: CSV files with a header or `.npz` files with X and y, without pickles, refused
in one line."""
import csv
import zipfile
from typing import NamedTuple

import numpy as np

from minitf.checks import bits, describe, shape


class Table(NamedTuple):
    """Bits X (m, T) uint8 with the names of their columns, and the label column y (m,) with its
    name, or None."""
    X: np.ndarray
    names: tuple
    y: np.ndarray | None
    label: str | None


def read_table(path, label=None, columns=None):
    """Read examples from a `.npz` file (arrays X and y) or, under any other name, from a CSV file
    with a header.

    label: the name of the CSV column that holds y; the last one unless given. columns: for
    prediction, read no label but just these CSV columns, by name, or the first so many of them. An
    `.npz` file has no names: its columns are x0, x1, ... in their order, and for prediction there
    must be as many as asked for.
    Errors: OSError for a file that cannot be opened; ValueError or TypeError naming the file, and
    the line and column of a cell that is not 0 or 1.
    """
    if str(path).endswith(".npz"):
        _need(label is None, "label", "none with an .npz file, whose labels are the array y",
              repr(label))
        return _read_npz(path, columns)
    rows = _rows(path)
    header = _header(path, next(rows, (1, []))[1])
    if columns is None:
        label = next(reversed(header)) if label is None else label
        _need(label in header, "label", f"a column of {path} ({_some(header)})", repr(label))
        columns = [name for name in header if name != label]
        _need(columns, path, "at least one column beside the label", _some(header))
    elif isinstance(columns, int):
        _need(columns <= len(header), path, f"at least {columns} columns", len(header))
        columns = list(header)[:columns]
    missing = [name for name in columns if name not in header]
    _need(not missing, path, "the columns of the model", f"none named {_some(missing)}")
    cells = _bits_of(path, header, rows, [*columns, *([] if label is None else [label])])
    X = np.ascontiguousarray(cells[:, :len(columns)])
    return Table(X, tuple(columns), None if label is None else cells[:, -1].copy(), label)


def _need(condition, where, expected, got):
    """What checks.require does, with words for what came."""
    if not condition:
        raise ValueError(f"{where}: expected {expected}, got {got}")


def _some(names, most=8):
    """Names for a message, the first few of many."""
    return ", ".join(list(names)[:most]) + (f" and {len(names) - most} more" if len(names) > most
                                            else "")


def _rows(path):
    """Yield (line number, cells) of a CSV file, blank lines left out."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, got {error}") from None


def _header(path, row):
    """The columns of a first row, {name: position}: a name for each, none twice, not all of them
    bits."""
    names = [" ".join(cell.split()) for cell in row]
    _need(names, path, "a header and at least one row", "an empty file")
    _need(not set(names) <= {"0", "1"}, path, "column names in the first line", "bits")
    header = {}
    for j, name in enumerate(names):
        _need(name, path, "a name for every column", f"none for column {j + 1}")
        _need(name not in header, path, "no column name twice", repr(name))
        header[name] = j
    return header


def _bits_of(path, header, rows, columns):
    """The named columns as uint8 (rows, columns), or an error that names the first cell that is not
    a bit."""
    where = [header[name] for name in columns]
    value, cells = {"0": 0, "1": 1}, bytearray()
    for line, row in rows:
        _need(len(row) == len(header), f"{path}: line {line}", f"{len(header)} cells", len(row))
        try:
            cells.extend([value[row[j].strip()] for j in where])
        except KeyError:
            name = next(name for name in columns if row[header[name]].strip() not in value)
            _need(False, f"{path}: line {line}, column {name}", "0 or 1",
                  describe(row[header[name]]))
    _need(cells, path, "a header and at least one row", "the header alone")
    return np.frombuffer(cells, np.uint8).reshape(-1, len(where))


def _read_npz(path, columns):
    """X and y of an `.npz` file, or X alone if columns says which are wanted."""
    wanted = ("X", "y") if columns is None else ("X",)
    with open(path, "rb") as file:
        _need(zipfile.is_zipfile(file), path, "an .npz file",
              "another kind of file, or a damaged one")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                found = archive.files
                arrays = {name: archive[name] for name in wanted if name in found}
        except Exception as error:              # of a dozen kinds: many parsers read the bytes
            plain = "an .npz file of plain arrays"
            raise ValueError(f"{path}: expected {plain}, got {error}") from None
    for name in wanted:
        _need(name in arrays, path, f"an array {name}", _some(found) or "none")
    X = bits(f"{path}: X", arrays["X"])
    _need(X.size, f"{path}: X", "at least one row and one column", describe(X))
    if columns is not None:
        shape(f"{path}: X", X, (None, columns if isinstance(columns, int) else len(columns)))
    names = tuple(f"x{t}" for t in range(X.shape[1]))
    if columns is not None:
        return Table(X, names, None, None)
    y = bits(f"{path}: y", arrays["y"], ndim=1)
    shape(f"{path}: y", y, (len(X),))
    return Table(X, names, y, "y")


def stratified_split(y, share, rng):
    """Split rows 0..m-1 at random into (train, holdout), holdout taking `share` of the rows of each
    label, rounded."""
    held = np.zeros(len(y), bool)
    for value in (0, 1):
        rows = np.flatnonzero(y == value)
        held[rng.permutation(rows)[:round(share * len(rows))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
