"""One file a command."""
import click

from minitf.commands.shell import Commands
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


commands.summaries = {
    "bench": "Measure training steps and attention beside PyTorch and JAX.",
    "bound": "Compare how many examples the bounds ask for.",
    "check": "Check this installation, your own kernel, and other frameworks.",
    "construct": "Write down weights that compute a sparse Boolean function.",
    "explain": "Work attention by hand, forward and backward.",
    "learn": "Learn a sparse Boolean function from examples.",
    "plot": "Draw the runs of sweeps, and say how many samples they needed.",
    "predict": "Apply a saved MODEL to new rows.",
    "reproduce": "Rerun results of the literature on these primitives.",
    "sweep": "Find how many examples learning takes at each context length.",
}
