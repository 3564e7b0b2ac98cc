"""learn: a sparse Boolean function from examples. predict: a saved model on new rows."""
import click

from minitf.checks import require
from minitf.commands.options import labels_of
from minitf.commands.progress import Line, progress
from minitf.commands.report import report
from minitf.commands.shell import bad_input, check_outputs, need, outputs
from minitf.files import as_json
from minitf.lab import HOLDOUT, MODELS, plan_table, plan_task, read_table
from minitf.tasks import KINDS


@click.command(epilog="""\b
Examples:
  minitf learn --k 2 --T 64
  minitf learn --data data/examples/feature_flags.csv --label crash --save model.npz""")
@click.option("--task", type=click.Choice(KINDS), help="Rule of the hidden bits.  [default: and]")
@click.option("--k", type=int,
              help="Number of hidden bits, which sizes the head; of --data the rows decide how "
                   "many columns the rule has.  [default: 2; with --data: 3]")
@click.option("--T", "T", type=int, help="Number of bits, the context length.  [default: 64]")
@click.option("--m", type=int, help="Number of training examples.  [default: by task, k and T]")
@click.option("--p", type=float, help="P(bit = 1).  [default: the p that balances the labels]")
@click.option("--noise", type=float,
              help="Probability that a label of the sample is flipped.  [default: 0]")
@click.option("--level", type=int, help="The least count of ones, for --task threshold.")
@click.option("--table",
              help="The rule, as 0110: k+1 labels by count for --task symmetric, 2^k for junta."
                   "  [default: random]")
@click.option("--model", type=click.Choice(MODELS),
              help="The bounded class, a tf-scalar, a GPT block or an MLP.  [default: paper for "
                   "pgd, scalar for adam]")
@click.option("--method", type=click.Choice(["auto", "pgd", "adam"]), default="auto",
              show_default=True, help="Projected gradient descent, or Adam with projection.")
@click.option("--heads", "H", type=int,
              help="Number of attention heads.  [default: paper 1, scalar 16, gpt 4]")
@click.option("--radius", type=float,
              help="Bound on ||q||_1, inf for none.  [default: k (log T + 4) for paper]")
@click.option("--steps", type=int,
              help="The most steps of the search; of adam, steps from the first start.  [default: "
                   "no limit; 800]")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--data", type=click.Path(),
              help="Learn your own bits: a table (.csv, .tsv, .gz, .npz, .npy), or - for stdin.")
@click.option("--label", help="The label column of --data.  [default: the last]")
@click.option("--positive", help="The label of --data that is 1; all others are 0.")
@click.option("--drop", help="Columns of --data to leave out, as in id,date.")
@click.option("--delimiter", help="What stands between the cells of --data.  [default: found out]")
@click.option("--holdout", type=float,
              help="The share of the rows of --data that is held out.  [default: 0.2]")
@click.option("--redraw/--no-redraw", default=None,
              help="Draw the sample again, at most 200 times, until it determines the support.")
@click.option("--negations/--no-negations", default=None,
              help="Read the columns of --data and their complements.  [default: both]")
@click.option("--threads", type=click.IntRange(1), help="BLAS threads.  [default: 1, or what "
              "OMP_NUM_THREADS and its like say]")
@click.option("--save", type=click.Path(), help="Write the trained model to this .npz file.")
@click.option("--plot", type=click.Path(),
              help="Draw attention and loss to this file (needs the plot extra).")
@click.option("--verbose", is_flag=True, help="Say more: every norm beside its bound.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the report.")
def learn(data, save, plot, json, threads, verbose, **options):
    """Learn a sparse Boolean function from examples.

    Draws a hidden k-subset of T bits and a rule on it, trains a head of softmax attention inside
    norm balls on m labelled examples, and says what it learned. With --data, learns the labels of
    your own table instead.

    Exit code 0: learned, 1: not learned, 2: bad input, 130: Ctrl-C.
    """
    figures = None if plot is None else need("minitf.lab.figures.single", "matplotlib", "plot")
    options = {name: value for name, value in options.items() if value is not None}
    with bad_input():
        check_outputs([data], save=save, plot=plot)
        plan = plan_task_of(options) if data is None else plan_table_of(data, options)
    stages = ("training", plan.steps), ("fresh examples", HOLDOUT)
    with progress(*stages) as callbacks:
        result, record = plan.run(*callbacks)
    with outputs():
        if figures is not None:
            figures.learning(record, result, plot)
        if save is not None:
            result.save(save, **saved_with(record))
    more = {"counting": callbacks[1].seconds, "verbose": verbose}
    click.echo(as_json(record) if json else report(record, save, plot, **more))
    return 0 if record["learned"] else 1


def saved_with(record):
    """What a saved model says of itself; of a table the rule, too."""
    header = {name: record[name] for name in ("seed", "names", "label", "positive")}
    if record["task"] is None:
        columns = [record["names"].index(name) for name in record["support_found"]]
        header["rule"] = {"text": record["rule"], "columns": columns, "table": record["table"]}
    return header


OF_TABLES = "label", "positive", "drop", "delimiter", "holdout", "negations"
OF_TASKS = "task", "T", "m", "p", "noise", "level", "table", "redraw"


def plan_task_of(options):
    """The plan of a drawn task; options of --data are refused."""
    for name in OF_TABLES:
        require(name not in options, name, "only together with --data", options.get(name))
    if "table" in options:
        options["table"] = labels_of(options["table"])
    return plan_task(**options)


def plan_table_of(data, options):
    """The plan of a user's own table; options that describe a drawn task are refused."""
    for name in OF_TASKS:
        require(name not in options, name, "only without --data", options.get(name))
    reading = {name: options.pop(name) for name in OF_TABLES[:4] if name in options}
    if "drop" in reading:
        reading["drop"] = [name.strip() for name in reading["drop"].split(",")]
    line = Line()

    def tick(done, total):
        if line.due():
            line.count("reading", done, total)

    table = read_table(data, tick=tick, **reading)
    line.end()
    return plan_table(table, **options)
