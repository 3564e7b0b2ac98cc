"""reproduce: results of the literature, the published number beside ours."""
import contextlib
import importlib

import click

from minitf.checks import choice, require
from minitf.commands.progress import watched
from minitf.commands.shell import bad_input, check_outputs, need, outputs
from minitf.files import as_json


def listing(pages):
    """What there is, a line an entry."""
    width = max(map(len, pages))
    yield from (f"{name:{width}}  {page.claim}" for name, page in pages.items())


def report(name, found):
    """The text of one entry."""
    yield f"{name}: {found['claim']}"
    for key in "source", "setting", "published":
        yield f"  {key:9}  {found[key]}"
    for row in found["rows"]:
        interval = "" if row["low"] is None else f"  ({row['low']:.4g} to {row['high']:.4g})"
        note = f"  {row['note']}" if row["note"] else ""
        yield f"  ours       {row['figure']}: {row['ours']:.6g}{interval}{note}"
    for text, holds in found["criteria"].items():
        yield f"  criterion  {text}: {'met' if holds else 'NOT met'}"
    yield f"  verdict    {found['verdict']}"
    yield f"  seconds    {found['seconds']:.1f}"


@click.command(epilog="""\b
Examples:
  minitf reproduce
  minitf reproduce max-margin --plot margin.png
  minitf reproduce all --out pieces.jsonl --json""")
@click.argument("name", required=False)
@click.option("--plot", "output", type=click.Path(), metavar="FILE",
              help="Draw the paper's figure of one entry to this file (needs the plot extra).")
@click.option("--out", type=click.Path(), metavar="FILE.jsonl",
              help="Keep finished pieces here; the same command goes on where it stopped.")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def reproduce(name, output, out, json):
    """Rerun results of the literature on these primitives.

    Without a NAME lists the entries. `all` runs every one of them. Prints claim, source, setting,
    published number, ours with its 95 % interval, a verdict and processor seconds. Seeds are fixed.
    """
    entries = importlib.import_module("minitf.lab.reproduce")
    pages = {each: entries.page_of(each) for each in entries.NAMES}
    with bad_input():
        require(output is None or name in pages, "plot", "only together with one entry", name)
        require(out is None or name, "out", "only together with an entry, or all", name)
        if name is not None:
            choice("name", name, (*pages, "all"))
        check_outputs(output=output, out=out)
        style = None if output is None else need("minitf.lab.figures.style", "matplotlib", "plot")
        journal = out and entries.Journal(out, {"protocol": 1, "kind": "reproduce"})
        if journal:
            click.get_current_context().call_on_close(journal.close)
    if name is None:
        click.echo(as_json({each: page.claim for each, page in pages.items()}) if json
                   else "\n".join(listing(pages)))
        return
    found = {}
    for each in list(pages) if name == "all" else [name]:
        page = pages[each]
        with kept(out):
            rows, curves, seconds = entries.rerun(page, each, journal, watched)
        found[each] = judged(page, rows, seconds, entries.met(page, rows))
        if not json:
            click.echo("\n".join(report(each, found[each])))
    if style is not None:
        draw(page, curves, style, output)
    if json:
        click.echo(as_json(found))


def draw(page, curves, style, output):
    """The figure of an entry."""
    with outputs():
        figure = importlib.import_module("matplotlib.figure").Figure(layout="constrained")
        page.draw(figure, curves)
        style.save(figure, output)


def judged(page, rows, seconds, criteria):
    """The record of one entry, with its verdict."""
    failed = "; ".join(text for text, holds in criteria.items() if not holds)
    said = {key: getattr(page, key) for key in ("claim", "setting", "published", "source")}
    return {**said, "rows": rows, "criteria": criteria, "seconds": seconds,
            "verdict": f"not reproduced: {failed}" if failed else "reproduced"}


@contextlib.contextmanager
def kept(out):
    """Say at Ctrl-C what was kept."""
    try:
        yield
    except KeyboardInterrupt:
        said = f"finished pieces are kept in {out}, the same command goes on" if out else ""
        raise KeyboardInterrupt(said) from None
