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


def show_gradients(rows):
    """The table of `check gradients`."""
    yield f"{'case':40}  {'method':10}  {'worst error':>11}"
    for row in rows:
        wrong = "" if row["agrees"] else "  WRONG"
        yield f"{row['case']:40}  {row['method']:10}  {row['error']:11.1e}{wrong}"
    yield f"{sum(row['agrees'] for row in rows)} of {len(rows)} pullbacks are the derivative of their forward"


def show_golden(rows):
    """The table of `check golden`: a line a family, then the cases that disagree."""
    yield f"{'family':12}  {'cases':>5}  {'worst error / tolerance':>23}"
    for family in dict.fromkeys(row["family"] for row in rows):
        some = [row for row in rows if row["family"] == family]
        wrong = "" if all(row["agrees"] for row in some) else "  DISAGREES"
        yield f"{family:12}  {len(some):5}  {max(row['ratio'] for row in some):23.2g}{wrong}"
    for row in rows:
        if not row["agrees"] and row["ratio"] > 1:
            yield f"{row['case']}: {row['worst']} is off by {row['error']:.2g}, tolerance {row['tol']:.2g}"
        elif not row["agrees"]:
            yield f"{row['case']}: {row['worst']} is not exactly zero where it must be"
    yield f"{sum(row['agrees'] for row in rows)} of {len(rows)} cases agree with their golden values"


def check_gradients(seed):
    """The records of `check gradients`."""
    return list(importlib.import_module("minitf.trust.cases").check_cases(seed))


def check_golden(seed):
    """The records of `check golden`."""
    return list(importlib.import_module("minitf.trust.golden").check_golden())


def check_torch(seed):
    """The records of `check torch`."""
    raise click.ClickException("torch: not here yet")


def check_jax(seed):
    """The records of `check jax`."""
    raise click.ClickException("jax: not here yet")


def check_all(seed):
    """The records of `check all`."""
    raise click.ClickException("all: not here yet")


KINDS = {"gradients": (check_gradients, show_gradients), "golden": (check_golden, show_golden),
         "torch": (check_torch, None), "jax": (check_jax, None), "all": (check_all, None)}


@click.command(epilog="""\b
Examples:
  minitf check gradients
  minitf check golden""")
@click.argument("what", type=click.Choice(list(KINDS)))
@click.option("--seed", type=int, default=0, show_default=True, help="Draws arguments, cotangents and directions.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the table.")
def check(what, seed, json):
    """Check this installation, and other frameworks.

    gradients: every pullback against its forward, in a random direction. golden: every value against 50-digit
    arithmetic, from the files of data/golden, hashes first.

    Exit code 0: all agree, 1: one does not.
    """
    records, show = KINDS[what]
    with bad_input():
        rows = records(seed)
    failed = [row["case"] for row in rows if not row["agrees"]]
    click.echo(as_json({"what": what, "seed": seed, "failed": failed, "cases": rows}) if json
               else "\n".join(show(rows)))
    return 1 if failed else 0
