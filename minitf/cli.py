"""The command line: options in, a report or one JSON object out. No number is made here."""
import contextlib
import importlib
import os
import sys
import time

import click

from minitf.checks import require
from minitf.lab.datasets import read_table
from minitf.lab.report import report
from minitf.lab.runs import MODELS, as_json, plan_table, plan_task
from minitf.params import VERSION, check_writable
from minitf.result import load
from minitf.tasks import KINDS
from minitf.train import most_steps


PATIENCE = 2.0          # seconds of training before a progress bar appears


class Commands(click.Group):
    """A group of commands that ends in the same way however it is called: see `main`."""

    def main(self, *args, **options):
        """Run the command line and exit: with the code that the command returned; with one line on stderr and 2 for bad
        input, 130 for Ctrl-C."""
        try:
            sys.exit(super().main(*args, **options | {"prog_name": "minitf", "standalone_mode": False}) or 0)
        except click.ClickException as error:
            code, text = 2, f"Error: {error.format_message()}"
        except MemoryError as error:
            code, text = 2, f"Error: not enough memory: {error}"
        except OSError as error:                # such as a full disk under stdout
            code, text = 2, f"Error: {error}"
        except (KeyboardInterrupt, click.Abort):
            code, text = 130, "interrupted: nothing was written"
        click.echo(" ".join(text.split()), err=True)
        sys.exit(code)


@contextlib.contextmanager
def bad_input():
    """Turn what the modules say of bad input into one line and exit code 2; an argument is called by its option."""
    try:
        yield
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
        raise click.ClickException(text) from None
    except (ValueError, TypeError) as error:
        name, colon, rest = str(error).partition(": ")
        options = {option.name: option.opts[0] for option in click.get_current_context().command.params}
        raise click.ClickException(options.get(name, name) + colon + rest) from None


@contextlib.contextmanager
def progress(length):
    """A callback for fit that shows a bar on stderr once training has taken PATIENCE seconds."""
    start, bar = time.monotonic(), None

    def callback(state):
        nonlocal bar
        if bar is None and time.monotonic() - start > PATIENCE:
            bar = click.progressbar(length=length, label="training", file=sys.stderr, show_pos=True,
                                    item_show_func=lambda loss: "" if loss is None else f"loss {loss:.4f}")
            bar.start -= PATIENCE               # the estimate of the time to go counts from the first step
        if bar is not None and (bar.pos == 0 or state.step % 20 == 0):
            bar.update(state.step - bar.pos, state.loss)

    try:
        yield callback
    finally:
        if bar is not None:
            bar.render_finish()


def need(module, package, extra):
    """Import a module of ours that needs an extra, or say which one is missing."""
    try:
        importlib.import_module(package)
    except ImportError:
        raise click.ClickException(f"this needs {package}: pip install 'minitf-attention[{extra}]'") from None
    return importlib.import_module(module)


def check_outputs(data, save, plot):
    """Refuse, before any work, an output that could not be written later or would replace another file of the run."""
    for name, path in (("save", save), ("plot", plot)):
        if path is not None:
            require(path, name, "the name of a file", path)
            check_writable(path)
    files = [os.path.realpath(path) for path in (data, save, plot) if path is not None]
    require(len(set(files)) == len(files), "save", "a file of its own for each of --data, --save and --plot", save)
    if plot is not None:
        canvas = need("matplotlib.backend_bases", "matplotlib", "plot").FigureCanvasBase
        kind, kinds = os.path.splitext(plot)[1][1:].lower() or "png", canvas.get_supported_filetypes()
        require(kind in kinds, "plot", "a file name ending in ." + ", .".join(sorted(kinds)), plot)


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


@commands.command(epilog="""\b
Examples:
  minitf learn --k 2 --T 64
  minitf learn --data data/examples/feature_flags.csv --label crash --save model.npz""")
@click.option("--task", type=click.Choice(KINDS), help="Rule of the hidden bits.  [default: and]")
@click.option("--k", type=int, help="Number of hidden bits.  [default: 2; with --data: as many as get attention]")
@click.option("--T", "T", type=int, help="Number of bits, the context length.  [default: 64]")
@click.option("--m", type=int, help="Number of training examples.  [default: by task, k and T]")
@click.option("--p", type=float, help="P(bit = 1).  [default: the p that balances the labels]")
@click.option("--noise", type=float, help="Probability that a label of the sample is flipped.  [default: 0]")
@click.option("--level", type=int, help="The least count of ones, for --task threshold.")
@click.option("--table", help="The rule, as 0110: k+1 labels by count for --task symmetric, 2^k for junta."
              "  [default: random]")
@click.option("--model", type=click.Choice(MODELS),
              help="The bounded class, a tf-scalar, a GPT block or an MLP.  [default: paper for pgd, scalar for adam]")
@click.option("--method", type=click.Choice(["auto", "pgd", "adam"]), default="auto", show_default=True,
              help="Projected gradient descent, or Adam with projection.")
@click.option("--heads", "H", type=int, help="Number of attention heads.  [default: paper 1, scalar 16, gpt 4]")
@click.option("--radius", type=float,
              help="Bound on ||W_QK^T||_{2,1}, inf for none.  [default: k (log T + 4) for paper]")
@click.option("--steps", type=int,
              help="The most steps of the search; of adam, steps from the first start.  [default: no limit; 800]")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--data", type=click.Path(), help="Learn your own bits: a CSV file with a header, or .npz with X and y.")
@click.option("--label", help="The label column of --data.  [default: the last]")
@click.option("--holdout", type=float, help="The share of the rows of --data that is held out.  [default: 0.2]")
@click.option("--redraw/--no-redraw", default=None,
              help="Draw the sample again, at most 200 times, until it determines the support.")
@click.option("--save", type=click.Path(), help="Write the trained model to this .npz file.")
@click.option("--plot", type=click.Path(), help="Draw attention and loss to this file (needs the plot extra).")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the report.")
def learn(data, label, save, plot, json, **options):
    """Learn a sparse Boolean function from examples.

    Draws a hidden k-subset of T bits and a rule on it, trains a head of softmax attention inside norm balls on m
    labelled examples, and says what it learned. With --data, learns the labels of your own table instead.

    Exit code 0: learned, 1: not learned, 2: bad input, 130: Ctrl-C.
    """
    figures = None if plot is None else need("minitf.lab.figures", "matplotlib", "plot")
    options = {name: value for name, value in options.items() if value is not None}
    with bad_input():
        check_outputs(data, save, plot)
        plan = plan_task_of(label, options) if data is None else plan_table_of(data, label, options)
    with progress(most_steps(plan.model, plan.train)) as callback:
        result, record = plan.run(callback)
    with bad_input():
        if figures is not None:
            figures.learning(record, result, plot)
        if save is not None:                    # last, and quick: an interruption leaves all of the files or none
            result.save(save, **{name: record[name] for name in ("seed", "names", "label")})
    click.echo(as_json(record) if json else report(record, save, plot))
    return 0 if record["learned"] else 1


def plan_task_of(label, options):
    """The plan of a drawn task; options of --data are refused."""
    require(label is None, "label", "only together with --data", label)
    require("holdout" not in options, "holdout", "only together with --data", options.get("holdout"))
    if "table" in options:
        labels = options["table"].replace(",", "")
        require(labels and set(labels) <= {"0", "1"}, "table", "labels 0 and 1 as in 0110", options["table"])
        options["table"] = [int(bit) for bit in labels]
    return plan_task(**options)


def plan_table_of(data, label, options):
    """The plan of a user's own table; options that describe a drawn task are refused."""
    for name in ("task", "T", "m", "p", "noise", "level", "table", "redraw"):
        require(name not in options, name, "only without --data", options.get(name))
    return plan_table(read_table(data, label), **options)


@commands.command(epilog="""\b
Example:
  minitf predict model.npz --data data/examples/feature_flags.csv""")
@click.argument("model", type=click.Path())
@click.option("--data", type=click.Path(), required=True, help="A CSV file with a header, or .npz with X.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of CSV lines.")
def predict(model, data, json):
    """Apply a saved MODEL to new rows. Prints row, prediction and probability.

    The columns that the model was trained on are found by name; a model of a drawn task takes the first T columns.
    """
    with bad_input():
        result = load(model)
        table = read_table(data, columns=result.header.get("names") or result.model.T)
        rows = list(zip(result.predict(table.X).tolist(), result.predict_proba(table.X).tolist()))
    if json:
        rows = [{"row": i, "prediction": label, "probability": p} for i, (label, p) in enumerate(rows, 1)]
        click.echo(as_json({"model": model, "data": data, "label": result.header.get("label"), "rows": rows}))
    else:
        lines = [f"{i},{label},{p:.6g}" for i, (label, p) in enumerate(rows, 1)]
        click.echo("\n".join(["row,prediction,probability", *lines]))


@commands.command(epilog="""\b
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


@commands.command(epilog="""\b
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


main = commands.main        # `minitf`, `python -m minitf` and `python cli.py` all run it
