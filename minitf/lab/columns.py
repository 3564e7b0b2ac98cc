"""What a column of a table says: labels, row numbers, or something of which bits can be made."""
import numpy as np

from minitf.checks import describe
from minitf.lab.delimited import ODD

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
FEW = 10                # rows below which values that all differ do not make an index


def need(condition, where, expected, got):
    """What checks.require does, with words for what came."""
    if not condition:
        raise ValueError(f"{where}: expected {expected}, got {got}")


def some(names, most=8):
    """Names for a message, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(list(names)[:most]) + more


def is_bit(codes, cell):
    """Whether a cell says 0 or 1."""
    try:
        return codes[cell] in (0, 1)
    except KeyError:
        return False


def label_of(path, name, cells, found, positive):
    """The labels, the word that is 1 if they are words, and what was taken for granted."""
    words = found.odd.get(len(found.where) - 1, {})
    seen = [str(bit) for bit in (0, 1) if (cells == bit).any()]
    if not words:
        need(len(seen) == 2, f"{path}: column {name}", "both labels", f"{seen[0]} in every row")
        need(positive is None or is_bit(found.codes, positive), "positive",
             f"a label of column {name} (0, 1)", repr(positive))
        one = 1 if positive is None else found.codes[positive]
        return (cells == one).astype(np.uint8), positive, []
    if seen or len(words) != 2:
        kinds = [*seen, *sorted(words)]
        line = found.first[len(found.where) - 1]
        odd = next(iter(words))
        few = seen and len(words) == 1
        expected = "0 or 1" if few else "two labels"
        need(False, f"{path}: line {line}, column {name}" if few else f"{path}: column {name}",
             expected, describe(odd) if few else f"{len(kinds)}: {some(kinds)}")
    need(positive is None or positive in words, "positive",
         f"a label of column {name} ({some(sorted(words))})", repr(positive))
    said = []
    if positive is None:
        positive = min(sorted(words, reverse=True), key=words.get)
        said = [f"{name}: {positive} is 1, the other label 0 (--positive chooses)"]
    y = np.zeros(len(cells), np.uint8)
    y[[row for row, cell in found.words if cell == positive]] = 1
    return y, positive, said


def is_index(odd, cells):
    """Whether a column says which row it is: its values all differ, and are no measurement."""
    rows = len(cells)
    distinct = len(odd) + len(set(cells[cells != ODD].tolist()))
    fractions = any("." in cell and is_number(cell) for cell in odd)
    return rows >= FEW and distinct == rows and not fractions and not MISSING & set(odd)


def is_number(cell):
    try:
        return float(cell.replace(",", ".")) is not None
    except ValueError:
        return False


def refuse_column(path, name, place, found, cells):
    """Say what a column holds that is no bit, and how to make bits of it."""
    odd = found.odd[place]
    where = f"{path}: line {found.first[place]}, column {name}"
    missing = [cell for cell in odd if cell.lower() in MISSING]
    if missing:
        n = sum(odd[cell] for cell in missing)
        cell = f"{missing[0]!r} in {n} row{'s' * (n > 1)}"
        need(False, where, "0 or 1", f'{cell}; with pandas: df = df.dropna(subset=["{name}"])')
    odd_rows = sum(odd.values())
    if 2 * odd_rows < len(cells) or len(cells) < FEW:
        need(False, where, "0 or 1", describe(next(iter(odd))))
    if all(map(is_number, odd)):
        values = [float(cell.replace(",", ".")) for cell in odd]
        values += [float(cell) for cell in cells[cells != ODD][:1]]
        what = f"numbers from {min(values):g} to {max(values):g}"
        how = f'df["{name}"] = df["{name}"] > df["{name}"].median()'
    else:
        what = f"{len(odd)} words ({some(sorted(odd), 4)})"
        how = f'df = pd.get_dummies(df, columns=["{name}"])'
    how = f"with pandas: {how}  (or --drop {name})"
    need(False, f"{path}: column {name}", "0 or 1", f"{what}; {how}")
