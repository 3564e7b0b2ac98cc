"""What a column of a table says: labels, row numbers, or something of which bits can be made."""
import json
from typing import NamedTuple

import numpy as np

from minitf.checks import describe
from minitf.lab.delimited import ODD

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
LONGEST = 280           # letters of a message, but for its words "expected 0 or 1, got"
FEW = 10                # rows below which values that all differ do not make an index


def need(condition, where, expected, got):
    """What checks.require does, with words for what came."""
    if not condition:
        raise ValueError(f"{where}: expected {expected}, got {got}"[:300])


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


class Fault(NamedTuple):
    """A column that is no bits: its name, the line of one cell where few are at fault, what it
    holds, and the pandas call that mends it, of a list of columns."""
    name: str
    line: int | None
    what: str
    mend: str = ""


DROP = "df = df.dropna(subset={0})"
ABOVE = "n = {0}; df[n] = df[n] > df[n].median()"
DUMMIES = "df = pd.get_dummies(df, columns={0})"


def fault_of(name, place, found, cells):
    """What a column holds that is no bit: a Fault."""
    odd, line = found.odd[place], found.first[place]
    missing = [cell for cell in odd if cell.lower() in MISSING]
    if missing:
        n = sum(odd[cell] for cell in missing)
        return Fault(name, line, f"{missing[0]!r} in {n} row{'s' * (n > 1)}", DROP)
    if 2 * sum(odd.values()) < len(cells) or len(cells) < FEW:
        return Fault(name, line, describe(next(iter(odd))))
    if all(map(is_number, odd)):
        values = [float(cell.replace(",", ".")) for cell in odd]
        values += [float(cell) for cell in cells[cells != ODD][:1]]
        return Fault(name, None, f"numbers from {min(values):g} to {max(values):g}", ABOVE)
    return Fault(name, None, f"{len(odd)} words ({some(sorted(odd), 4)})", DUMMIES)


def refuse_columns(path, faults):
    """Say in one line what some columns hold, as many as have room, and how to make bits of it."""
    for shown in range(len(faults), 0, -1):
        some_of, where = faults[:shown], f"{path}: {len(faults)} columns"
        if len(faults) == 1:
            (name, line, what, _), = faults
            where = f"{path}: " + (f"line {line}, " if line else "") + f"column {name}"
        else:
            what = "; ".join(f"{name}: {what}" + (f" (line {line})" if line else "")
                             for name, line, what, _ in some_of)
            what += f"; and {len(faults) - shown} more" if shown < len(faults) else ""
        calls = [mend.format(json.dumps([fault.name for fault in some_of if fault.mend == mend],
                                        ensure_ascii=False))
                 for mend in (DROP, ABOVE, DUMMIES) if mend in [fault.mend for fault in some_of]]
        if calls:
            drop = faults[0].name if len(faults) == 1 else "them"
            what += f"; with pandas: {'; '.join(calls)}  (or --drop {drop})"
        if shown == 1 or len(where) + len(what) < LONGEST:
            need(False, where, "0 or 1", what)
