"""sweep: how many examples learning takes, against the context length."""
import contextlib
import math
import sys
import time

import click

from minitf.commands.options import Sizes
from minitf.commands.shell import bad_input, check_outputs, need
from minitf.files import as_json
from minitf.lab import METHODS, MODELS, sweep as run_sweep, table, TASKS


@click.command(epilog="""\b
Examples:
  minitf sweep --T 16,64,256 --reps 10 --jobs 2 --out runs.jsonl
  minitf sweep --task majority --k 3 --T 64 --m 24,36,48 --method l1-logistic --out l1.jsonl""")
@click.option("--task", type=click.Choice(TASKS), default="and", show_default=True, help="Rule of the hidden bits.")
@click.option("--k", type=int, default=3, show_default=True, help="Number of hidden bits.")
@click.option("--T", "T", type=Sizes(), default="16,64,256,1024", show_default=True, help="Context lengths.")
@click.option("--m", type=Sizes(), default="auto", show_default=True,
              help="Numbers of training examples, or auto: where success turns from half to nearly always.")
@click.option("--p", type=float, help="P(bit = 1).  [default: the p that balances the labels]")
@click.option("--noise", type=float, default=0.0, help="Probability that a training label is flipped.  [default: 0]")
@click.option("--method", type=click.Choice(METHODS), default="pgd", show_default=True, help="Who learns.")
@click.option("--model", type=click.Choice(MODELS), help="For --method adam.  [default: scalar]")
@click.option("--limit", type=float, help="Processor seconds of training after which a run counts as a failure, or inf."
              "  [default: 20 for adam and l1-logistic, else inf]")
@click.option("--reps", type=int, default=20, show_default=True, help="Runs of each T and m.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Worker processes, one thread each.")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of Dask workers to use instead (needs the dask extra).")
@click.option("--out", type=click.Path(), required=True, help="JSON Lines file; runs that it holds are not done again.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the table.")
def sweep(out, json, dask, **options):
    """Find how many examples learning takes at each context length.

    A run draws a task and a training set that determines it, trains, and succeeds if it is right on all of 10,000 fresh
    examples. Each finished run is one line of --out. Interrupted or killed, the same command goes on where it stopped;
    with more --T, --m or --reps it adds to the file.
    """
    if dask is not None:
        need("distributed", "distributed", "dask")
    before = time.monotonic()
    with bad_input():
        check_outputs(out=out)
        with progress(out) as report:
            records = run_sweep(out, dask=dask, progress=report, **options)
    rows = table(records)
    summary = {"out": out, "runs": len(records), "new": report.new, "seconds": round(time.monotonic() - before, 2),
               "processor_seconds": round(sum(record["seconds"] for record in records), 2), "points": rows}
    click.echo(as_json(summary) if json else text(summary))


def text(summary):
    """The summary as a table."""
    lines = ["      T      m  runs  success  redrawn"]
    for row in summary["points"]:
        share = "-" if row["share"] is None else f"{row['share']:.2f}"
        notes = [f"{row[name]} {name}" for name in ("ambiguous", "timeouts") if row[name]]
        lines.append("  ".join([f"{row['T']:7d}{row['m']:7d}{row['runs']:6d}{share:>9}{row['redrawn']:9d}", *notes]))
    lines.append(f"{summary['runs']} runs in {summary['out']}, {summary['new']} of them new, "
                 f"{summary['processor_seconds']:.0f} processor seconds")
    return "\n".join(lines)


@contextlib.contextmanager
def progress(out):
    """A callback for sweep that tells on stderr how many runs are done, the rate, and the time left of those known.

    On a terminal one line that is kept up to date, else a line every half minute. Ctrl-C says what was kept.
    """
    report = Report(sys.stderr.isatty())
    try:
        yield report
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{report.new} finished runs are kept in {out}, the same command goes on") from None
    except RuntimeError as error:
        raise click.ClickException(f"{error}; {report.new} finished runs are kept in {out}") from None
    finally:
        report.end()


class Report:
    def __init__(self, terminal):
        self.terminal, self.start, self.shown, self.new = terminal, time.monotonic(), time.monotonic(), 0
        self.line = False

    def __call__(self, finished, waiting):
        self.new, now = len(finished), time.monotonic()
        if now - self.shown > (0.2 if self.terminal else 30):
            left = remaining(finished, waiting) * (now - self.start)
            text = f"{self.new} runs done, {self.new / (now - self.start):.1f} a second, "
            text += f"{waiting.total()} known to be left, about {math.ceil(left)} s"
            click.echo(f"\r{text:<78}" if self.terminal else text, err=True, nl=not self.terminal)
            self.shown, self.line = now, self.terminal

    def end(self):
        if self.line:
            click.echo(err=True)


def remaining(finished, waiting):
    """The work waiting as a multiple of the work finished: processor seconds, those of each T judged by its own."""
    spent, done = {}, {}
    for record in finished:
        t = record["T"]
        spent[t], done[t] = spent.get(t, 0) + record["seconds"], done.get(t, 0) + 1
    total = sum(spent.values())
    mean = total / len(finished)
    return sum(n * (spent[t] / done[t] if t in done else mean) for t, n in waiting.items()) / max(total, 1e-9)
