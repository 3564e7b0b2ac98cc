"""sweep: how many examples learning takes, against the context length."""
import contextlib
import math
import time

import click

from minitf.commands.options import SIZES, WordOr, labels_of
from minitf.commands.progress import Line
from minitf.commands.shell import bad_input, check_outputs, need
from minitf.files import as_json
from minitf.lab import METHODS, MODELS, TASKS, table
from minitf.lab import sweep as run_sweep


@click.command(epilog="""\b
Examples:
  minitf sweep --T 16,64,256 --reps 10 --jobs 2 --out runs.jsonl
  minitf sweep --task majority --k 3 --T 64 --m 24,36,48 --method l1-logistic --out l1.jsonl""")
@click.option("--task", type=click.Choice(TASKS), default="and", show_default=True,
              help="Rule of the hidden bits.")
@click.option("--k", type=int, default=3, show_default=True, help="Number of hidden bits.")
@click.option("--level", type=int, help="The least count of ones, for --task threshold.")
@click.option("--table",
              help="The rule, as 0110: k+1 labels by count for --task symmetric, 2^k for "
                              "junta.")
@click.option("--T", "T", type=SIZES, default="16,64,256,1024", show_default=True,
              help="Context lengths.")
@click.option("--m", type=WordOr("auto", SIZES), default="auto", show_default=True,
              help="Numbers of training examples, or auto: where success turns from half to nearly "
                   "always.")
@click.option("--p", type=float, help="P(bit = 1).  [default: the p that balances the labels]")
@click.option("--noise", type=float, default=0.0,
              help="Probability that a training label is flipped.  [default: 0]")
@click.option("--ambiguous", type=click.Choice(["redraw", "keep"]), default="redraw",
              show_default=True, help="Samples that several supports explain.")
@click.option("--success", type=WordOr("exact", click.FLOAT), default="exact", show_default=True,
              help="All fresh examples right, or more than this share of them, as 0.99.")
@click.option("--method", type=click.Choice(METHODS), default="pgd", show_default=True,
              metavar="METHOD", help=f"Who learns: {', '.join(METHODS)}.")
@click.option("--model", type=click.Choice(MODELS), help="For --method adam.  [default: scalar]")
@click.option("--limit", type=float,
              help="Processor seconds of training after which a run counts as a failure, or inf."
                   "  [default: 20 for adam and l1-logistic, else inf]")
@click.option("--reps", type=int, default=20, show_default=True, help="Runs of each T and m.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--jobs", type=int, default=1, show_default=True,
              help="Worker processes, one thread each.")
@click.option("--dask", metavar="ADDRESS",
              help="Scheduler of Dask workers to use instead (needs the dask extra).")
@click.option("--out", type=click.Path(), required=True,
              help="JSON Lines file; runs that it holds are not done again.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the table.")
def sweep(out, json, dask, **options):
    """Find how many examples learning takes at each context length.

    A run draws a task and a training set that determines it, trains, and succeeds if it is right on
    all of 10,000 fresh examples; --ambiguous and --success ask otherwise. Each finished run is one
    line of --out. Interrupted or killed, the same command goes on where it stopped; with more --T,
    --m or --reps it adds to the file.
    """
    if dask is not None:
        need("distributed", "distributed", "dask")
    before = time.monotonic()
    with bad_input():
        check_outputs(out=out)
        if options["table"] is not None:
            options["table"] = labels_of(options["table"])
        report = Report()
        with kept(report, out):
            records = run_sweep(out, dask=dask, progress=report, **options)
    rows = table(records)
    summary = {"out": out, "runs": len(records), "new": report.new,
               "seconds": round(time.monotonic() - before, 2),
               "processor_seconds": round(sum(record["seconds"] for record in records), 2),
               "points": rows}
    click.echo(as_json(summary) if json else text(summary))


def text(summary):
    """The summary as a table."""
    lines = ["      T      m  runs  success  redrawn"]
    for row in summary["points"]:
        share = "-" if row["share"] is None else f"{row['share']:.2f}"
        notes = [f"{row[name]} {name}" for name in ("ambiguous", "timeouts") if row[name]]
        cells = f"{row['T']:7d}{row['m']:7d}{row['runs']:6d}{share:>9}{row['redrawn']:9d}"
        lines.append("  ".join([cells, *notes]))
    lines.append(f"{summary['runs']} runs in {summary['out']}, {summary['new']} of them new, "
                 f"{summary['processor_seconds']:.0f} processor seconds")
    return "\n".join(lines)


class Report(Line):
    """The line about a sweep: how many runs are done, the rate, the time left of those known."""
    new = 0

    def __call__(self, finished, waiting):
        self.new = len(finished)
        if self.due():
            spent = time.monotonic() - self.start
            left = remaining(finished, waiting) * spent
            self.show(f"{self.new} runs done, {self.new / spent:.1f} a second, "
                      f"{waiting.total()} known to be left, about {math.ceil(left)} s")


@contextlib.contextmanager
def kept(report, out):
    """Whatever ends a sweep early: say what was kept."""
    def kept(*more):
        runs = f"{report.new} finished runs are kept in {out}, the same command goes on"
        return "; ".join([*map(str, more), *[runs] * (report.new > 0)])

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept()) from None
    except RuntimeError as error:
        raise click.ClickException(kept(error)) from None
    finally:
        report.end()


def remaining(finished, waiting):
    """The work waiting as a multiple of the work finished: processor seconds, those of each T
    judged by its own."""
    spent, done = {}, {}
    for record in finished:
        t = record["T"]
        spent[t], done[t] = spent.get(t, 0) + record["seconds"], done.get(t, 0) + 1
    total = sum(spent.values())
    mean = total / len(finished)
    return sum(n * (spent[t] / done[t] if t in done else mean)
               for t, n in waiting.items()) / max(total, 1e-9)
