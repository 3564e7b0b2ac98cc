"""explain: a small head worked by hand. check: this installation, and other frameworks, against exact values."""
import importlib

import click

from minitf.commands.shell import bad_input
from minitf.lab.runs import as_json


@click.command(epilog="""\b
Example:
  minitf explain --T 3 --d 2 --seed 0""")
@click.option("--T", "T", type=int, default=3, show_default=True, help="Number of bits, 1 to 8.")
@click.option("--d", type=int, default=2, show_default=True, help="Width of a token, 1 to 6.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which example is drawn.")
@click.option("--json", is_flag=True, help="Print the arrays as one JSON object.")
def explain(T, d, seed, json):
    """Work one small head of attention by hand, forward and backward.

    Prints every array with its formula and shape, and each gradient beside its finite difference.
    """
    page = importlib.import_module("minitf.trust.explain")
    with bad_input():
        record = page.explain(T, d, seed)
    click.echo(as_json(record) if json else page.render(record))


@click.command(epilog="""\b
Example:
  minitf check gradients""")
@click.argument("what", type=click.Choice(["gradients"]))
@click.option("--seed", type=int, default=0, show_default=True, help="Draws arguments, cotangents and directions.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the table.")
def check(what, seed, json):
    """Check this installation. gradients: every pullback against its forward, in a random direction.

    Exit code 0: all agree, 1: one does not.
    """
    with bad_input():
        rows = list(importlib.import_module("minitf.trust.cases").check_cases(seed))
    failed = [row["case"] for row in rows if not row["agrees"]]
    if json:
        click.echo(as_json({"what": what, "seed": seed, "failed": failed, "cases": rows}))
    else:
        click.echo(f"{'case':40}  {'method':10}  {'worst error':>11}")
        for row in rows:
            wrong = "" if row["agrees"] else "  WRONG"
            click.echo(f"{row['case']:40}  {row['method']:10}  {row['error']:11.1e}{wrong}")
        click.echo(f"{len(rows) - len(failed)} of {len(rows)} pullbacks are the derivative of their forward")
    return 1 if failed else 0
