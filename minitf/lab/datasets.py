"""A user's own bits: CSV files with a header, or `.npz` files with X and y, read without pickles and refused in one line."""
import csv
import zipfile
from typing import NamedTuple

import numpy as np

from minitf.checks import bits, require, shape


class Table(NamedTuple):
    """Bits X (m, T) uint8 with the names of their columns, and the label column y (m,) with its name, or None."""
    X: np.ndarray
    names: tuple
    y: np.ndarray | None
    label: str | None


def read_table(path, label=None, columns=None):
    """Read examples from a `.npz` file (arrays X and y) or, under any other name, from a CSV file with a header.

    label: the name of the CSV column that holds y; the last one unless given. columns: for prediction, read no label but
    just these CSV columns, by name, or the first so many of them; in a `.npz` file y is then not needed.
    Errors: OSError for a file that cannot be opened, ValueError naming the file, and the row and column of a cell that is
    not 0 or 1.
    """
    if str(path).endswith(".npz"):
        require(label is None, "label", "nothing with an .npz file, whose labels are the array y", label)
        return _read_npz(path, columns)
    header, rows = _read_csv(path)
    if columns is None:
        label = header[-1] if label is None else label
        require(label in header, f"{path}: label", "a column: " + ", ".join(header), label)
        columns = [name for name in header if name != label]
        require(columns, path, "at least one column beside the label", ", ".join(header))
    if isinstance(columns, int):
        require(columns <= len(header), path, f"at least {columns} columns", len(header))
        columns = header[:columns]
    missing = [name for name in columns if name not in header]
    require(not missing, path, "the columns of the model", "none named " + ", ".join(missing))
    cells = _bits_of(path, header, rows, [*columns, *([label] if label else [])])
    X = np.ascontiguousarray(cells[:, :len(columns)])
    return Table(X, tuple(columns), cells[:, -1].copy() if label else None, label)


def _read_csv(path):
    """The header and the rows of a CSV file, as text."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, got {error}") from None
    require(len(rows) >= 2, path, "a header and at least one row", f"{len(rows)} rows")
    header = [name.strip() for name in rows[0]]
    require(len(set(header)) == len(header) and all(header), path, "a header of distinct column names", ", ".join(header))
    require(not set(header) <= {"0", "1"}, path, "a header of column names", "bits in the first row")
    return header, rows[1:]


def _bits_of(path, header, rows, columns):
    """The named columns as uint8, or an error that names the first cell that is not a bit."""
    where = [header.index(name) for name in columns]
    value = {"0": 0, "1": 1}
    cells = np.empty((len(rows), len(columns)), np.uint8)
    for i, row in enumerate(rows):
        require(len(row) == len(header), f"{path}: row {i + 1}", f"{len(header)} cells", len(row))
        try:
            cells[i] = [value[row[j].strip()] for j in where]
        except KeyError:
            j = next(j for j in where if row[j].strip() not in value)
            require(False, f"{path}: row {i + 1}, column {header[j]}", "0 or 1", row[j])
    return cells


def _read_npz(path, columns):
    """X and y of an `.npz` file; the columns are named x0, x1, ..."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in ("X", "y")}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected an .npz file of plain arrays, got {error}") from None
    for name in ("X", "y") if columns is None else ("X",):
        require(name in arrays, path, f"an array {name}", ", ".join(arrays) or "neither X nor y")
    X = bits(f"{path}: X", arrays["X"])
    if columns is not None:
        shape(f"{path}: X", X, (None, columns if isinstance(columns, int) else len(columns)))
    names = tuple(f"x{t}" for t in range(X.shape[1]))
    require(X.size, f"{path}: X", "at least one row and one column", X)
    y = None if columns is not None else bits(f"{path}: y", arrays["y"], ndim=1)
    if y is not None:
        shape(f"{path}: y", y, (len(X),))
    return Table(X, names, y, None if y is None else "y")


def stratified_split(y, share, rng):
    """Split rows 0..m-1 at random into (train, holdout), holdout taking `share` of the rows of each label."""
    held = np.zeros(len(y), bool)
    for value in (0, 1):
        rows = np.flatnonzero(y == value)
        held[rng.permutation(rows)[:round(share * len(rows))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
