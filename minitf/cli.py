"""The command line: options in, a report or one JSON object out. Every number comes from the modules; no formula is here."""
import contextlib
import importlib
import json
import sys
import time

import click

from minitf.lab.datasets import read_table
from minitf.lab.runs import MODELS, plan_table, plan_task
from minitf.params import VERSION, check_writable
from minitf.tasks import KINDS
from minitf.train import load, most_steps


class BadInput(click.ClickException):
    """Bad input: one line on stderr, exit code 2."""
    exit_code = 2


@contextlib.contextmanager
def bad_input():
    """Turn what the modules say of bad input into one line and exit code 2."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        text = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else str(error)
        raise BadInput(" ".join(text.split())) from None


@contextlib.contextmanager
def progress(length, patience=2.0):
    """A callback for fit that shows a bar on stderr once training has taken `patience` seconds."""
    start, bar = time.monotonic(), None

    def callback(state):
        nonlocal bar
        if bar is None and time.monotonic() - start > patience:
            bar = click.progressbar(length=length, label="training", file=sys.stderr, show_pos=True,
                                    item_show_func=lambda loss: "" if loss is None else f"loss {loss:.4f}")
            bar.update(state.step, state.loss)
        elif bar is not None and state.step % 20 == 0:
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
        raise BadInput(f"this needs {package}: pip install 'minitf-attention[{extra}]'") from None
    return importlib.import_module(module)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="minitf %(version)s")
def commands():
    """Bounded-norm softmax attention and the sparse Boolean functions it learns.

    \b
    Example:
      minitf learn --k 2 --T 64
    """


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
@click.option("--table", help="The rule, as 0110: k+1 labels by count for --task symmetric, 2^k for junta.  [default: random]")
@click.option("--model", type=click.Choice(MODELS), help="The bounded class of the paper, or an unconstrained tf-scalar."
              "  [default: paper for pgd, scalar for adam]")
@click.option("--method", type=click.Choice(["auto", "pgd", "adam"]), default="auto", show_default=True,
              help="Projected gradient descent, or Adam with projection.")
@click.option("--heads", "H", type=int, help="Number of attention heads.  [default: 1 for paper, 16 for scalar]")
@click.option("--radius", type=float, help="Bound on ||W_QK^T||_{2,1}, inf for none.  [default: k (log T + 4) for paper]")
@click.option("--steps", type=int, help="Steps from the first start of the adam loop.  [default: 800]")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--data", type=click.Path(), help="Learn your own bits: a CSV file with a header, or .npz with X and y.")
@click.option("--label", help="The label column of --data.  [default: the last]")
@click.option("--holdout", type=float, help="The share of the rows of --data that is held out.  [default: 0.2]")
@click.option("--redraw/--no-redraw", default=None, help="Draw the sample again until it determines the support.")
@click.option("--save", type=click.Path(), help="Write the trained model to this .npz file.")
@click.option("--plot", type=click.Path(), help="Draw attention and loss to this file (needs the plot extra).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
def learn(data, label, save, plot, as_json, **options):
    """Learn a sparse Boolean function from examples.

    Draws a hidden k-subset of T bits and a rule on it, trains a softmax-attention head inside norm balls on m labelled
    examples, and says what it learned. Exit code 0: learned, 1: not learned, 2: bad input.
    """
    figures = need("minitf.lab.figures", "matplotlib", "plot") if plot else None
    options = {name: value for name, value in options.items() if value is not None}
    with bad_input():
        for path in filter(None, (save, plot)):
            check_writable(path)
        plan = plan_table_of(data, label, options) if data is not None else plan_task_of(label, options)
    with progress(most_steps(plan.model, plan.train)) as callback:
        result, record = plan.run(callback)
    with bad_input():
        if save:
            result.save(save, **{name: record[name] for name in ("seed", "names", "label") if name in record})
        if plot:
            figures.learning(record, result, plot)
    click.echo(json.dumps(record) if as_json else report(record))
    sys.exit(0 if record["learned"] else 1)


def plan_task_of(label, options):
    """The plan of a drawn task; options of --data are refused."""
    for name, given in (("--label", label is not None), ("--holdout", "holdout" in options)):
        if given:
            raise ValueError(f"{name}: expected only together with --data")
    if "table" in options:
        labels = options["table"].replace(",", "")
        if not labels or set(labels) - {"0", "1"}:
            raise ValueError(f"--table: expected labels 0 and 1 as in 0110, got {options['table']!r}")
        options["table"] = [int(bit) for bit in labels]
    return plan_task(**options)


def plan_table_of(data, label, options):
    """The plan of a user's file; options that describe a drawn task are refused."""
    for name in ("task", "T", "m", "p", "noise", "level", "table", "redraw"):
        if name in options:
            raise ValueError(f"--{name}: expected without --data, whose file says it")
    return plan_table(read_table(data, label), **options)


def report(record):
    """What learn prints: the task, the sample, what was found, the attention, the norms, the verdict."""
    names = record.get("names")
    found, true = (" ".join(map(str, record[key] or [])) for key in ("support_found", "support_true"))
    determined = {True: "they determine the support", False: "several supports explain them", None: "not checked for ambiguity"}
    limit = f", log2 C({record['T']}, {record['k']}) = {record['information_limit']:.1f} bits name the support" if not names else ""
    lines = [
        f"Task       {record['description']}; always guessing the commoner label is right {record['chance']:.1%} of the time",
        f"Sample     m = {record['m']} examples{limit}; {determined[record['determined']]}" if not names else
        f"Sample     m = {record['m']} rows to train on, {record['holdout']} held out",
        f"Training   {record['method']} on {record['model']}, {record['steps']} steps, {record['seconds']:.2f} s, seed {record['seed']}",
        "",
        f"Support    found {found}" + ("" if names else f"   true {true}   {'exact' if found == true else 'WRONG'}"),
        f"Accuracy   {record['train_accuracy']:.2%} of the training examples"
        + (f" (labels with {record['noise']:.0%} noise)" if record.get("noise") else ""),
        f"           {record['holdout_accuracy']:.2%} of {record['holdout']} fresh examples" if not names else
        "           {:.1%} of the held-out rows, 95 % interval {:.1%} to {:.1%}".format(record["holdout_accuracy"], *record["holdout_interval"]),
    ]
    if record.get("noise"):
        lines[-1] += f" with clean labels, {record['noisy_holdout_accuracy']:.2%} with noise"
    lines += ["", "Attention of the [CLS] query", *bars(record), ""]
    lines += [f"Norm       {name} = {norm['value']:.3f} of at most {norm['radius']:.3f}" for name, norm in record["norms"].items()]
    return "\n".join([*lines, "" if record["norms"] else "Norm       unconstrained\n", verdict(record)])


def bars(record, most=6, width=40):
    """The strongest positions and their attention as bars; the rest in one line."""
    names = record.get("names") or list(range(record["T"]))
    strongest, *others = record["attention_top"][:most]
    top = [strongest, *(pair for pair in others if pair[1] >= 0.0005)]
    label = max(len(str(names[t])) for t, _ in top)
    lines = [f"  {names[t]!s:>{label}}  {a:6.1%}  {'#' * round(width * a / top[0][1])}" for t, a in top]
    rest = 1 - sum(a for _, a in top)
    return [*lines, f"  {'other':>{label}}  {rest:6.1%}  ({record['T'] - len(top)} positions and [CLS])"]


def verdict(record):
    """The last line: learned or not, and why not."""
    if record.get("names"):
        return "learned: better than chance" if record["learned"] else "not learned: not better than chance"
    exact = record["support_found"] == record["support_true"]
    if record["learned"]:
        return "learned: the exact support, and every fresh example right"
    return "not learned: " + ("the support is exact, but fresh examples are wrong" if exact else "the support is wrong")


@commands.command(epilog="""\b
Example:
  minitf predict model.npz --data data/examples/feature_flags.csv""")
@click.argument("model", type=click.Path())
@click.option("--data", type=click.Path(), required=True, help="A CSV file with a header, or .npz with X.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of CSV lines.")
def predict(model, data, as_json):
    """Apply a saved MODEL to new rows: prints row, prediction, probability.

    The columns that the model was trained on are found by name; a model of a drawn task takes the first T columns.
    """
    with bad_input():
        result = load(model)
        table = read_table(data, columns=result.header.get("names") or result.model.T)
        probability = result.predict_proba(table.X)
    rows = [{"row": i + 1, "prediction": int(value > 0.5), "probability": float(value)} for i, value in enumerate(probability)]
    if as_json:
        click.echo(json.dumps({"model": model, "data": data, "label": result.header.get("label"), "rows": rows}))
    else:
        click.echo("row,prediction,probability")
        for row in rows:
            click.echo(f"{row['row']},{row['prediction']},{row['probability']:.6g}")


def main():
    """Run the command line; bad input is one line and exit code 2, Ctrl-C exit code 130."""
    try:
        sys.exit(commands.main(prog_name="minitf", standalone_mode=False) or 0)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: nothing was written", err=True)
        sys.exit(130)
