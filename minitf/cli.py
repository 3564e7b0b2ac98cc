"""The command line: options in, a report or one JSON object out."""
import click

from minitf.commands import bench, bound, check, construct, explain, learn, plot, predict, sweep
from minitf.commands import Commands
from minitf.files import VERSION


@click.group(cls=Commands, invoke_without_command=True,
             context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="minitf %(version)s")
@click.pass_context
def commands(context):
    """Bounded-norm softmax attention and the sparse Boolean functions it learns.

    \b
    Example:
      minitf learn --k 2 --T 64
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (learn.learn, predict.predict, sweep.sweep, plot.plot, construct.construct, bound.bound,
                explain.explain, check.check, bench.bench):
    commands.add_command(command)

main = commands.main        # `minitf`, `python -m minitf` and `python cli.py` all run it
