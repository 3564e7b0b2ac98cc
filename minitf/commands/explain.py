"""explain: a small head worked by hand."""
import importlib

import click

from minitf.commands.shell import bad_input
from minitf.files import as_json


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
