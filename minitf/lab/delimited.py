"""Tables of text as people have them: which delimiter, which columns, and their cells as bits.

    text = Text(path, data)
    cells = Cells(text, width, where, delimiter)
    X = cells.read(tick)

A cell is a bit if it says 0 or 1 in any decimal form, true or false, yes or no, on or off. Rows of
cells of one form are read by NumPy, a block at a time; all others by the csv module.
"""
import csv
import re
from collections import Counter
from itertools import groupby

import numpy as np

WORDS = {"true": 1, "t": 1, "yes": 1, "y": 1, "on": 1,
         "false": 0, "f": 0, "no": 0, "n": 0, "off": 0}
SHORT = [(b"0", b"0"), (b"1", b"1"), (b"True", b"1"), (b"False", b"0"), (b"TRUE", b"1"),
         (b"FALSE", b"0"), (b"1.000000000000000000e+00", b"1"), (b"1.0", b"1"), (b"0.0", b"0"),
         (b"0.000000000000000000e+00", b"0")]   # what pandas, NumPy and Excel write
MISSING = set("NA N/A n/a nan NaN null NULL None <NA> #N/A".split()) | {""}     # to pandas
GONE, ODD = 254, 255    # stand for a missing cell, and for another that is no bit
FOREIGN = re.compile(rb'\s*(\[\s*[\[{"]|{\s*"|<(!|\?|html|table))|PAR1|%PDF|SQLite|\xd0\xcf\x11')
BLOCK = 1 << 24         # bytes


class Codes(dict):
    """{cell: 0 or 1}, filled as cells are met; KeyError for another cell."""

    def __missing__(self, cell):
        word = cell.strip().lower()
        if word not in WORDS:
            try:
                number = float(word.replace(",", "."))
            except ValueError:
                raise KeyError(cell) from None
            if number not in (0, 1):
                raise KeyError(cell)
        self[cell] = found = WORDS[word] if word in WORDS else int(number)
        return found


class Text:
    """The lines of a file, decoded one by one; `at` is where the next one begins. delimiter: what a
    first line sep=; names, as Excel writes it."""

    def __init__(self, path, data):
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            data = as_utf8(path, data)
        if b"\n" not in data:
            data = data.replace(b"\r", b"\n")                       # as on old Macintoshes
        self.path, self.data = path, data.removeprefix(b"\xef\xbb\xbf")
        if FOREIGN.match(self.data):
            begins = self.data[:20].decode("ascii", "replace")
            raise ValueError(f"{path}: expected a table of text, got a file that begins {begins!r}"
                             " (save it as CSV)")
        self.at = self.number = 0
        try:
            self.data[:1 << 20].decode()
            self.encoding = "utf-8"
        except UnicodeDecodeError as error:
            self.encoding = "utf-8" if error.start > (1 << 20) - 4 else "cp1252"
        self.delimiter = next(self)[4:5] if self.data.startswith(b"sep=") else None

    def __iter__(self):
        return self

    def __next__(self):
        if self.at >= len(self.data):
            raise StopIteration
        end = self.data.find(b"\n", self.at) + 1 or len(self.data)
        line, self.at, self.number = self.data[self.at:end], end, self.number + 1
        return line.decode(self.encoding)

    def past_comments(self, delimiter):
        """Go on to the header: past lines of comment; of numpy.savetxt's header past its mark."""
        while self.data[self.at:self.at + 1] == b"#":
            at, line, end, after = self.at, next(self), self.at, next(self, "")
            header = line.lstrip("# ")
            if after[:1] != "#" and len(header.split(delimiter)) == len(after.split(delimiter)):
                self.at, self.number = at + len(line) - len(header), self.number - 2
            else:
                self.at, self.number = end, self.number - 1

    def rows(self, delimiter):
        """Yield the cells of every row that is not blank."""
        try:
            for row in csv.reader(self, delimiter=delimiter, strict=True,
                                  skipinitialspace=delimiter == " "):
                if row and (len(row) > 1 or row[0].strip()):
                    yield row
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{self.path}: expected a table of text, got {error}") from None


def as_utf8(path, data):
    """UTF-16, as Excel writes it, in UTF-8."""
    try:
        return data.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a table of text, got {error}") from None


def sniff(text):
    """The delimiter that parts the first two lines into the most cells, as many in each."""
    start = text.data[text.at:text.at + (1 << 20)].decode(text.encoding, "replace")
    lines = [line for line in start.splitlines() if line.strip(" #") and line[0] != "#"][:2]
    best, found = (False, 1), ","
    for delimiter in ",;\t| ":
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        except csv.Error:
            continue
        # a quotation that runs over both lines is seldom meant
        score = len(counts) == len(lines), counts[0] if counts else 0
        if score[1] > 1 and score > best and counts[-1] - counts[0] in (-1, 0, 1):
            best, found = score, delimiter
        if best[1] > 1 and delimiter == "|":
            break                               # names may hold spaces
    return found


class Cells:
    """Bits of some columns, row by row; where a cell is no bit, GONE or ODD, and a note of it.

    odd: {place among the columns: {cell: how many}}; first: {place: line of the first such cell}.
    words: [(row, cell)], the odd cells of the column `label`.
    """

    def __init__(self, text, width, where, delimiter, label=None):
        self.text, self.width, self.where, self.delimiter = text, width, where, delimiter
        self.start = text.at
        self.bits = np.empty((text.data.count(b"\n", text.at) + 1, len(where)), np.uint8)
        self.n, self.codes, self.label = 0, Codes(), label
        self.odd, self.first, self.words = {}, {}, []

    def read(self, tick):
        """Read all rows, and return the bits (rows, columns). tick(done, total): bytes."""
        total = len(self.text.data)
        while self.text.at < total and self.block():
            tick(self.text.at, total)
        for row in self.text.rows(self.delimiter):
            self.take(row)
            if self.n % 4096 == 0:
                tick(self.text.at, total)
        return self.bits[:self.n]

    def take(self, row):
        """One row, cell by cell."""
        if len(row) > self.width and not any(cell.strip() for cell in row[self.width:]):
            row = row[:self.width]              # delimiters at the end of the line
        if len(row) != self.width:
            place = f"{self.text.path}: line {self.text.number}"
            raise ValueError(f"{place}: expected {self.width} cells, got {len(row)}")
        try:
            self.bits[self.n] = [self.codes[row[j]] for j in self.where]
        except KeyError:
            self.bits[self.n] = [self.code(i, row[j]) for i, j in enumerate(self.where)]
        self.n += 1

    def code(self, place, cell):
        """The bit of a cell; of another GONE or ODD."""
        try:
            return self.codes[cell]
        except KeyError:
            cell = cell.strip()
        counts = self.odd.setdefault(place, {})
        counts[cell] = counts.get(cell, 0) + 1
        self.first.setdefault(place, self.text.number)
        if place == self.label:
            self.words.append((self.n, cell))
        return GONE if cell in MISSING else ODD

    def spelled(self, places):
        """{place: {cell: how many}} of columns with odd cells, bits among them as they stand."""
        mixed = {i: Counter() for i in places if (self.bits[:self.n, i] < GONE).any()}
        if mixed:
            self.text.at = self.start
            for row in self.text.rows(self.delimiter):
                for i, counts in mixed.items():
                    counts[row[self.where[i]].strip()] += 1
        return self.odd | mixed

    def block(self):
        """Read the next many rows at once, if they are of one form, and say whether they were."""
        data, at, encoding = self.text.data, self.text.at, self.text.encoding
        end = data.find(b"\n", min(at + BLOCK, len(data) - 1)) + 1 or len(data)
        parts = halves(data[at:end], self.delimiter.encode(), self.width)
        if parts is None:
            return False
        ends, lead, inner = parts
        last = lead + inner.shape[1]
        inside = [i for i, j in enumerate(self.where) if lead <= j < last]
        outside = [(i, j if j < lead else j - inner.shape[1])
                   for i, j in enumerate(self.where) if not lead <= j < last]
        rows = self.bits[self.n:self.n + len(inner)]
        for _, run in groupby(inside, lambda i: self.where[i] - i):     # columns side by side
            a, *more = run
            b = more[-1] if more else a
            rows[:, a:b + 1] = inner[:, self.where[a] - lead:self.where[b] - lead + 1]
        for row, cells in zip(rows, ends):
            self.text.number += 1
            for i, place in outside:
                row[i] = self.code(i, cells[place].decode(encoding))
            self.n += 1
        self.text.at = end
        return True


def halves(block, mark, width):
    """The rows of a block whose cells are bits of one form, but for some columns at either end: the
    cells at the ends, how many of them come first, and the bits between. None for another block."""
    block = block.replace(b"\r\n", b"\n").rstrip(b"\n")
    first, final = block.split(b"\n", 1)[0].split(mark), block.rsplit(b"\n", 1)[-1].split(mark)
    forms = dict(SHORT)
    good = [a in forms and b in forms for a, b in zip(first, final)]
    if b'"' in block or len(first) != width or len(final) != width or not any(good):
        return None
    lead, tail = good.index(True), good[::-1].index(True)
    rows = [row.split(mark, lead) for row in block.split(b"\n")]
    if any(len(row) != lead + 1 for row in rows):
        return None
    if tail:
        rows = [row[:-1] + row[-1].rsplit(mark, tail) for row in rows]
        if any(len(row) != lead + 1 + tail for row in rows):
            return None
    middle = b"\n".join(row.pop(lead) for row in rows) + b"\n"
    for cell in forms.keys() & {*first, *final}:
        middle = middle.replace(cell, forms[cell])
    grid = np.frombuffer(middle, np.uint8)
    if grid.size != 2 * len(rows) * (width - lead - tail):
        return None
    grid = grid.reshape(len(rows), -1)
    cells, marks = grid[:, ::2], grid[:, 1:-1:2]
    if ((cells & 0xFE) != ord("0")).any() or (marks != ord(mark)).any():
        return None
    return rows, lead, cells & 1
