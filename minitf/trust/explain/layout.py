"""A record of `explain` as text, 80 columns wide: every array, its formula, reason and gradient."""
import textwrap

import numpy as np

WIDTH = 80              # columns of the text
MARGIN, MOVED = "      ", "moved "
DIGITS = ("All digits are kept and 4 decimals are shown: recomputed from what is shown, the last "
          "one may differ.")
MOVES = ("Beside moved stands, for every entry, (loss(x + n) - loss(x - n)) / 2n with n = 1e-05: "
         "what follows from x is computed again, all else stays. It needs no derivative, so it is "
         "the judge.")
BACK = ("dx has the shape of x and says how the loss changes when an entry of x grows. The steps "
        "run from the loss to the inputs: each turns the gradient of what it made into those of "
        f"what it used. {MOVES}")
CAPTIONS = {
    "head": {
        "intro": "T bits, tokens of width d. Vectors are written as rows, ^T transposes, * "
                 f"multiplies entry by entry. {DIGITS}",
        "forward": ["FORWARD: from tokens to a loss",
                    "[CLS] asks a question, every row is scored by how well it answers, the rows "
                    "are averaged by score, and one number is read off the average."],
        "backward": ["BACKWARD: from the loss to every array above", BACK]},
    "attention": {
        "intro": "T tokens of width d, one a row. ^T transposes, * multiplies entry by entry, a "
                 "vector is written as a row. Behind code stands the line of ops/ that does it "
                 f"(there S0 and dS0 stand before a softcap). {DIGITS}",
        "forward": ["FORWARD: from tokens to a loss",
                    "Every token asks a question (q), can be found (k) and can be read (v). The "
                    "query heads ask different questions of the same keys."],
        "backward": ["BACKWARD: from the loss to every array above", BACK]}}


def entry(part, section, kind, name, formula, value, why="", slopes=None, rule=None, code=""):
    """One array of the record."""
    return {"part": part, "section": section, "kind": kind, "name": name, "formula": formula,
            "why": why, "shape": list(np.shape(value)), "values": np.asarray(value).tolist(),
            "differences": None if slopes is None else slopes.tolist(), "rule": rule, "code": code}


def render(record):
    """Lay out a record of `explain` as text, 80 columns wide."""
    text = record["text"]
    lines = [text["title"], "", *wrap(text["intro"])]
    part = section = None
    for array in record["arrays"]:
        if array["part"] != part:
            part, section = array["part"], None
            caption, said = text[part]
            lines += ["", "", caption, "", *wrap(said)]
        if array["section"] != section:
            section = array["section"]
            lines += ["", f"{section} {'-' * (WIDTH - 1 - len(section))}"]
        lines += ["", *show(array)]
    checks = [worst(record), *record["closing"]]
    lines += ["", "", "Checks " + "-" * (WIDTH - 7)]
    return "\n".join(lines + [line for check in checks for line in ["", *wrap(check)]])


def worst(record):
    """The sentence about the differences."""
    pairs = [(a["values"], a["differences"]) for a in record["arrays"]
             if a["differences"] is not None]
    off = max(np.abs(np.subtract(*pair)).max() for pair in pairs)
    return f"Every gradient agrees with its differences {near(off)}."


def near(off):
    """How well two numbers agree, in words."""
    return f"within {off:.0e}" if off else "to the last digit"


def wrap(text, indent=""):
    """Break a sentence into lines."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def show(array):
    """The lines of one array: formula, shape, why, its values, its differences beside or below."""
    ndim, shape = len(array["shape"]), " x ".join(map(str, array["shape"])) or "number"
    title = title_of(array)
    lines = [f"{title}{shape:>{WIDTH - len(title)}}", *wrap(array["why"], MARGIN)]
    lines += [f"{MARGIN}code: {array['code']}"] if array["code"] else []
    digits = digits_of(array)
    block = grid(array["values"], ndim, digits)
    if array["differences"] is None:
        return lines + [MARGIN + row for row in block]
    moved = grid(array["differences"], ndim, digits)
    if len(block) > 1 and len(block[0]) + len(moved[0]) + len(MARGIN) + 10 <= WIDTH:
        gaps = [MOVED] + [MARGIN] * (len(block) - 1)
        beside = zip(block, gaps, moved)
        return lines + [f"{MARGIN}{row}{gap:>10}{other}" for row, gap, other in beside]
    below = [MOVED + moved[0]] + [MARGIN + row for row in moved[1:]]
    return lines + [MARGIN + row for row in block] + below


def title_of(array):
    """The formula of an array, or the name of a given one and what it is."""
    given = array["kind"] == "given"
    return f"{array['name']}    {array['formula']}" if given else array["formula"]


def digits_of(array):
    """How many decimals an array is shown with."""
    whole = array["name"] in ("b", "label", "M")
    return 4 if array["kind"] != "given" or array["name"] == "scale" else 0 if whole else 1


def grid(values, ndim, digits):
    """Lay out numbers in aligned columns, one line a row."""
    rows = [[values]] if ndim == 0 else [values] if ndim == 1 else values
    text = [[number(x, digits) for x in row] for row in rows]
    width = max(len(x) for row in text for x in row)
    gap = "  " if len(MARGIN) + len(text[0]) * (width + 2) - 2 <= WIDTH else " "
    return [gap.join(f"{x:>{width}}" for x in row) for row in text]


def number(x, digits):
    """A number with so many decimals, never -0; a blank as it is."""
    return x if isinstance(x, str) else f"{round(x, digits) + 0.0:.{digits}f}"
