"""What a column of a table says: labels, row numbers, or something of which bits can be made."""
import json
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import describe
from minitf.lab.delimited import GONE, MISSING

LONGEST = 290           # letters of a message
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


def label_of(path, name, cells, found, values, positive):
    """The labels, the one that is 1 if they are no bits, and what was taken for granted; None for
    labels that are more than two. values: {cell: how many}, of bits alone None."""
    bits = values is None
    values = dict.fromkeys(map(str, np.unique(cells))) if bits else values
    need(len(values) > 1, f"{path}: column {name}", "both labels", f"{[*values][0]} in every row")
    need(positive is None or (is_bit(found.codes, positive) if bits else positive in values),
         "positive", f"a label of column {name} ({some(sorted(values))})", repr(positive))
    if GONE in cells or not (bits or positive or len(values) == 2):
        return None, None, []
    said = []
    if not bits and positive is None:
        numbers = all(map(is_number, values))           # the larger, else the rarer
        positive = max(values, key=number) if numbers else min(
            sorted(values, reverse=True), key=values.get)
        said = [f"{name}: {positive} is 1, the other label 0 (--positive chooses)"]
    if bits or is_bit(found.codes, positive):
        return (cells == found.codes[positive or "1"]).astype(np.uint8), positive, said
    y = np.zeros(len(cells), np.uint8)
    y[[row for row, cell in found.words if cell == positive]] = 1
    return y, positive, said


def is_index(odd, cells):
    """Whether a column says which row it is: its values all differ, and are no measurement."""
    rows = len(cells)
    distinct = len(odd) + len(set(cells[cells < GONE].tolist()))
    fractions = any("." in cell and is_number(cell) for cell in odd)
    return rows >= FEW and distinct == rows and not fractions and not MISSING & set(odd)


def number(cell):
    return float(cell.replace(",", "."))


def is_number(cell):
    try:
        return math.isfinite(number(cell))
    except ValueError:
        return False


class Fault(NamedTuple):
    """A column that is no bits: its place and name, the line of one cell where few are at fault,
    what it holds, and the pandas call that mends it, of a list n of columns."""
    place: int
    name: str
    line: int | None
    what: str
    mend: str = ""


DROP = "df = df.dropna(subset=n)"
ABOVE = "df[n] = df[n] > df[n].mean()"          # which splits any two numbers or more
DUMMIES = "df = pd.get_dummies(df, columns=n)"


def fault_of(place, name, found, cells, values):
    """What a column holds that is no bit: a Fault. values: {cell: how many}."""
    odd, line, rows = found.odd[place], found.first[place], len(cells)
    known, gone = set(values) - MISSING, [cell for cell in values if cell in MISSING]
    zeros = {cell for cell in known if is_bit(found.codes, cell) and not found.codes[cell]}
    numbers = [number(cell) for cell in known if is_number(cell)]
    if gone and (len(known) != 1 or zeros):
        n, line = sum(values[cell] for cell in gone), None if odd.keys() - MISSING else line
        return Fault(place, name, line, f"{gone[0]!r} in {n} row{'s' * (n > 1)}", DROP)
    slips = sum(odd.values()) <= max(1, rows // 50) and (len(known) > 2 or len(numbers) == 1)
    if not gone and (cells < GONE).any() and (slips or rows < FEW):
        return Fault(place, name, line, describe(next(iter(odd))))
    if not gone and len(numbers) == len(known):
        return Fault(place, name, None, f"numbers from {min(numbers):g} to {max(numbers):g}", ABOVE)
    one = max(known, key=lambda cell: (cell not in zeros, values[cell], cell))
    equal = f"df[n] = df[n] == {json.dumps(one, ensure_ascii=False)}"
    if gone:                                    # beside blanks, pandas reads numbers and bools
        bare = is_number(one) or one.lower() in ("true", "false")
        equal = f"df[n] = df[n] == {one.title()}" if bare else equal
        return Fault(place, name, None, f"{one} and {gone[0]!r}", equal)
    if place == found.label:
        equal += f"  (or --positive {one})"
    mend = equal if len(known) == 2 or place == found.label else DUMMIES
    return Fault(place, name, None, f"words ({some(sorted(known), 6)})", mend)


def refuse_columns(path, names, found, cells, values):
    """Say in one line what some columns hold, as many as have room, and how to make bits of it.
    values: {place: {cell: how many}} of those columns."""
    faults = [fault_of(i, names[i], found, cells[:, i], values[i]) for i in sorted(values)]
    n = len(faults)
    most = min(n, 50)                           # for whose names there is room at all
    for i in range(2 * most - 1, 0, -1):        # fewer told, then fewer mended
        told, named = max(1, i + 1 - most), min(i, most)
        where, expected = f"{path}: {n} columns", "0 or 1"
        what = "; ".join(f"{fault.name}: {fault.what}" + f" (line {fault.line})" * bool(fault.line)
                         for fault in faults[:told]) + f"; and {n - told} more" * (told < n)
        if n == 1:
            (place, name, line, what, _), = faults
            where = f"{path}: " + f"line {line}, " * bool(line) + f"column {name}"
            expected = "two labels" if place == found.label and not line else expected
        text = f"{where}: expected {expected}, got {what}"
        text += advice(faults[:named], n, cells, found.label)
        if i == 1 or len(text) <= LONGEST:
            raise ValueError(text)


def advice(faults, n, cells, label):
    """How to make bits of some of n columns; of those of a model, which has no label, as before."""
    calls = []
    for mend in dict.fromkeys(fault.mend for fault in faults if fault.mend):
        those = [fault for fault in faults if fault.mend == mend]
        named = json.dumps([fault.name for fault in those], ensure_ascii=False)
        calls.append(f"n = {named}; {mend}")
        if mend == DROP:
            left = (cells[:, [fault.place for fault in those]] != GONE).all(axis=1).sum()
            calls[-1] += f" (leaves {left} of {len(cells)} rows)"
    if label is None or not calls:
        then = "; the model reads every column it learned from: make bits of it as then"
        return then * bool(calls)
    drop = f"  (or --drop {faults[0].name if n == 1 else 'them'})"
    some_of = f", of the first {len(faults)}" * (len(faults) < n)
    return f"; with pandas{some_of}: {'; '.join(calls)}" + drop * (faults[-1].place < label)
