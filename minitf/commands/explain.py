"""explain: attention worked by hand, a blank to fill in, a live page."""
import importlib

import click

from minitf.commands.shell import alone, bad_input, check_outputs, chosen, outputs
from minitf.files import as_json, read_whole


@click.command(epilog="""\b
Examples:
  minitf explain --T 3 --d 2 --seed 0
  minitf explain --attention --heads 2 --mask causal
  minitf explain --html page.html
  minitf explain --blank dS --answer answer.txt""")
@click.option("--T", "T", type=int, default=3, show_default=True, help="Number of tokens, 1 to 8.")
@click.option("--d", type=int, default=2, show_default=True, help="Width of a token, 1 to 6.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which example is drawn.")
@click.option("--attention", is_flag=True, help="Queries, keys and values; a shared key head.")
@click.option("--heads", type=int, default=2, show_default=True, help="Query heads, 1 to 4.")
@click.option("--mask", type=click.Choice(["none", "causal", "window"]), default="causal",
              show_default=True, help="Which keys a query may meet.")
@click.option("--sink", is_flag=True, help="One more score in each row, without a value.")
@click.option("--softcap", type=float, help="Bound of the scores.")
@click.option("--blank", "name", metavar="NAME", help="Leave a quantity out, or judge an answer.")
@click.option("--answer", metavar="FILE", help="The answer to --blank, JSON or rows; - is stdin.")
@click.option("--html", metavar="FILE", help="Write both examples as one live page.")
@click.option("--json", is_flag=True, help="Print the arrays as one JSON object.")
def explain(T, d, seed, attention, heads, mask, sink, softcap, name, answer, html, json):
    """Work attention by hand, forward and backward.

    Prints every array with its formula and shape, and each gradient beside its finite difference.
    """
    page = importlib.import_module("minitf.trust.explain")
    sizes = {"T": T, "d": d, "seed": seed}
    options = sizes | {"heads": heads, "mask": mask, "sink": sink, "softcap": softcap}
    with bad_input():
        alone("answer", name is not None, "--blank NAME")
        alone("json", name is None and html is None, "neither --blank nor --html")
        alone("name", html is None, "no --html")
        for option in ("heads", "mask", "sink", "softcap"):
            attention |= name is not None and chosen(option)        # that page has them
            alone(option, attention or html is not None, "--attention")
        check_outputs(html=html)
        if html is not None:
            with outputs():
                page.write_page(html, **options)
            click.echo(f"Written    {html}")
            return 0
        if name is not None:
            text = None if answer is None else read_whole(answer).decode(errors="replace")
            found = page.blank(name, text, attention=attention or None, **options)
            click.echo(found.text)
            return int(found.right is False)
        record = page.explain_attention(**options) if attention else page.explain(**sizes)
    click.echo(as_json(record) if json else page.render(record))
    return 0
