"""plot: the statistics of sweeps as a table, and the figure beside them."""
import csv
import io
import math
from itertools import groupby

import click

from minitf.checks import require
from minitf.commands.options import SIZE
from minitf.commands.shell import bad_input, check_outputs, need, outputs
from minitf.files import as_json, write_whole
from minitf.lab import (
    IDENTITY,
    METHODS,
    OPTIONAL,
    PAIRED,
    ROW,
    compare,
    fit_laws,
    points,
    read_published,
    read_runs,
    series_of,
)

PANELS = "success", "m90", "rate", "attention", "loss", "accuracy", "fourier", "grid"


@click.command(epilog="""\b
Examples:
  minitf plot runs.jsonl adam.jsonl -o figure.png --csv table.csv
  minitf plot runs.jsonl --panel m90 -o column.pdf""")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("-o", "output", type=click.Path(),
              help="Draw the figure to this file (needs the plot extra).")
@click.option("--csv", type=click.Path(), help="Write the table to this file, too.")
@click.option("--size", type=SIZE, help="Inches of the figure, as in 6.5x4.")
@click.option("--panel", type=click.Choice(PANELS),
              help="One panel alone, 3.3 inches wide with 8 pt text, as for a column.")
@click.option("--against", type=click.Choice(METHODS), metavar="METHOD",
              help="Say, too, how m90 differs from that of this method on the same draws.")
@click.option("--published", type=click.Path(),
              help="CSV of T, m, share, whose numbers stand in brackets in --panel grid.")
@click.option("--json", is_flag=True,
              help="Print one JSON object instead of the table: 0 is below the m tried, null "
                   "above.")
def plot(files, output, csv, size, panel, against, published, json):
    """Draw the runs of sweeps, and say how many samples they needed.

    FILES are what `minitf sweep` wrote, plain or compressed (.gz). Prints m50 and m90, the training
    samples for 50 % and 90 % success, with 95 % bootstrap intervals, beside m*, from
    where on one support alone explains them with 95 %, and how m90 grows with T.
    """
    with bad_input():
        check_outputs(files, output=output, csv=csv)
        for name, value in (("size", size), ("panel", panel)):
            require(value is None or output is not None, name, "only together with -o", value)
        require(published is None or panel == "grid", "published", "only with --panel grid",
                published)
        figures = None if output is None else need("minitf.lab.figures.sweep", "matplotlib", "plot")
        beside = () if published is None else read_published(published)
        runs = read_runs(files)
        rows = points(runs)
        if against is not None:
            compare(rows, runs, against)
    series = [list(group) for _, group in groupby(rows, series_of)]
    fitted = [fit_laws(group) for group in series]
    with outputs():
        if figures is not None:
            figures.draw(runs, rows, output, size, panel, beside)
        if csv is not None:
            write_whole(csv, lambda file: file.write(as_csv(rows).encode()))
    if json:
        found = [{"rows": group, "growth": laws} for group, laws in zip(series, fitted)]
        click.echo(as_json({"series": found, "figure": output, "csv": csv}))
        return
    click.echo("\n\n".join(section(*pair, against) for pair in zip(series, fitted)))
    written = [f"Written    {path}" for path in (output, csv) if path is not None]
    click.echo("\n".join(["", *written] if written else []), nl=bool(written))


HEADS = ("T", "runs", "seeds", "redrawn", "ambiguous", "timeouts", "m50 [95 %]", "m90 [95 %]",
         "isotonic", "any time", "m*", "m90/m* [95 %]", "bits an example [95 %]")


def section(rows, fitted, against=None):
    """What plot prints of one series: its table, beside it its differences from another method, and
    the fitted laws."""
    first = rows[0]
    options = [f"{name} = {first[name]:.4g}" for name in ("k", "p")]
    options += [f"{name} {first[name]}" for name in OPTIONAL if first[name] is not None]
    options += [f"label noise {first['noise']:g}"] if first["noise"] else []
    options += [f"at most {first['limit']:g} s a run"] if first["limit"] else []
    model = f" on the {first['model']} model" if first["model"] else ""
    cells = [HEADS, *map(line, rows)]
    if against is not None:
        beside = [f"less {against} [95 %]", *map(less, rows)]
        cells = [[*row, cell] for row, cell in zip(cells, beside)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths)) for row in cells]
    title = f"{first['task']}, {', '.join(options)}: {first['method']}{model}"
    return "\n".join([title, *lines, *laws_of(first["k"], fitted)])


def line(row):
    """The cells of one T."""
    counts = [f"{row[name]:,}"
              for name in ("T", "runs", "reps", "redraws", "given_up", "timeouts")]
    if row["m90"] is None:
        return [*counts, *["-"] * (len(HEADS) - len(counts))]
    star = row["m_star"]
    return [*counts, interval(row, "m50"), interval(row, "m90"), amount(row, row["m90_isotonic"]),
            amount(row, row["m90_any"]), str(star or "-"),
            interval(row, "m90", star) if star else "-", rate(row)]


def less(row):
    """The difference from another series, with its interval; open ends are infinite."""
    if row["less_low"] is None:
        return "-"
    middle = "-" if row["less"] is None else f"{row['less']:+.1f}"
    return f"{middle} [{row['less_low']:+.1f}, {row['less_high']:+.1f}]"


def rate(row):
    """Bits an example with their interval: log2 C(T, k) / m90."""
    def text(m):
        sign, m = {0: (">", row["m_lowest"]), math.inf: ("<", row["m_highest"])}.get(m, ("", m))
        return f"{sign}{row['bits'] / m:.2f}"

    middle, low, high = (text(row["m90" + end]) for end in ("", "_high", "_low"))
    return f"{middle} [{low}, {high}]"


def interval(row, name, unit=1):
    """A number of samples with its interval, in units of `unit`."""
    middle, low, high = (amount(row, row[name + end], unit) for end in ("", "_low", "_high"))
    return f"{middle} [{low}, {high}]"


def amount(row, m, unit=1):
    """A number of samples; beyond the m tried: that it is."""
    sign, m = {0: ("<", row["m_lowest"]), math.inf: (">", row["m_highest"])}.get(m, ("", m))
    return sign + (f"{m / unit:.2f}" if unit > 1 else f"{m:.1f}" if m < 100 else f"{m:.0f}")


def laws_of(k, fitted):
    """The lines that say how m90 grows with T."""
    if fitted is None:
        return
    for name, law in fitted["laws"].items():
        values = ", ".join(f"{key} = {x['value']:.4g} [{x['low']:.4g}, {x['high']:.4g}]"
                           for key, x in law["parameters"].items())
        beside = {"log": ", b for each doubling of T"}.get(name, "")
        beside += f", delta AIC {law['delta_aic']:.1f}" if name != "information" else ""
        form = law["form"].replace("k)", f"{k})")
        yield f"m90 = {form:20}{values}{beside}"
    if fitted["left_out"]:
        cut = ", ".join(map(str, fitted["left_out"]))
        yield f"      without T = {cut}, cut off by the m tried"


BEYOND = {0: "below", math.inf: "above"}
CUT = [f"{name}{end}" for end in ("", "_low", "_high")
       for name in ("m50", "m90", "ratio", "bits_each")] + ["m90_isotonic", "m90_any"]


def as_csv(rows):
    """The table as CSV; below and above stand for below and above the m tried."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in (*IDENTITY, *ROW, *PAIRED) if name in rows[0]]
    writer.writerow(names)
    for row in rows:
        writer.writerow([BEYOND.get(row[name], row[name]) if name in CUT else row[name]
                         for name in names])
    return text.getvalue()
