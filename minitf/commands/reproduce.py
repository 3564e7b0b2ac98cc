"""reproduce: results of the literature, the published number beside ours."""
import importlib

import click

from minitf.checks import choice, require
from minitf.commands.progress import watched
from minitf.commands.shell import bad_input, check_outputs, need
from minitf.files import as_json


def listing(pages):
    """What there is, a line an entry."""
    width = max(map(len, pages))
    yield from (f"{name:{width}}  {page.claim}" for name, page in pages.items())


def report(name, page, rows, seconds):
    """The text of one entry."""
    yield f"{name}: {page.claim}"
    yield f"  source     {page.source}"
    yield f"  setting    {page.setting}"
    yield f"  published  {page.published}"
    yield f"  goal       {page.goal}"
    for found in rows:
        interval = "" if found["low"] is None else f"  ({found['low']:.4g} to {found['high']:.4g})"
        note = f"  {found['note']}" if found["note"] else ""
        yield f"  ours       {found['figure']}: {found['ours']:.6g}{interval}{note}"
    yield f"  seconds    {seconds:.1f}"


@click.command(epilog="""\b
Examples:
  minitf reproduce
  minitf reproduce max-margin --plot margin.png
  minitf reproduce all --json""")
@click.argument("name", required=False)
@click.option("--plot", "output", type=click.Path(), metavar="FILE",
              help="Draw the paper's figure of one entry to this file (needs the plot extra).")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def reproduce(name, output, json):
    """Rerun results of the literature on these primitives.

    Without a NAME lists the entries. `all` runs every one of them. Prints the claim, the setting,
    the published number with its source, ours with its 95 % interval, and processor seconds. Seeds
    are fixed.
    """
    entries = importlib.import_module("minitf.lab.reproduce")
    pages = {each: entries.page_of(each) for each in entries.NAMES}
    with bad_input():
        require(output is None or name in pages, "plot", "only together with one entry", name)
        if name is not None:
            choice("name", name, (*pages, "all"))
        check_outputs([], output=output)
        style = None if output is None else need("minitf.lab.figures.style", "matplotlib", "plot")
    if name is None:
        click.echo(as_json({each: page.claim for each, page in pages.items()}) if json
                   else "\n".join(listing(pages)))
        return
    found = {}
    for each in watched(list(pages) if name == "all" else [name], "reproducing"):
        rows, curves, seconds = entries.rerun(pages[each])
        found[each] = {**pages[each]._asdict(), "rows": rows, "seconds": seconds}
        del found[each]["run"], found[each]["draw"]
        if not json:
            click.echo("\n".join(report(each, pages[each], rows, seconds)))
        if style is not None:
            figure = importlib.import_module("matplotlib.figure").Figure(layout="constrained")
            pages[each].draw(figure, curves)
            style.save(figure, output)
    if json:
        click.echo(as_json(found))
