"""bench: minitf's times beside those of PyTorch and JAX, measured in one run."""
import importlib
import os

import click

from minitf.checks import require
from minitf.commands.options import PAIRS, SIZES, some_of
from minitf.commands.shell import alone, bad_input, installed, missing
from minitf.files import VERSION, as_json
from minitf.lab.bench import measure as lab


@click.command(epilog="""\b
Examples:
  minitf bench --against torch,jax
  minitf bench --part step --sizes 200x64 --threads 1 --json""")
@click.option("--against", type=some_of(lab.LIBRARIES),
              help="torch, jax.  [default: those installed]")
@click.option("--part", type=some_of(lab.PARTS), default=",".join(lab.PARTS), show_default=True,
              help="What is measured.")
@click.option("--sizes", type=PAIRS,
              help="Examples x positions of part step.  [default: five, 64x64 to 1024x4096]")
@click.option("--threads", type=SIZES, default="1,2", show_default=True,
              help="Threads of every library.")
@click.option("--seconds", type=float, default=2.0, show_default=True,
              help="For the turns at each size.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the tables.")
def bench(against, part, sizes, threads, seconds, json):
    """Measure training steps and attention beside PyTorch and JAX.

    Values and gradients are compared first; then all take turns, in one process for each number of
    threads.

    Exit code 0: all compute the same, 1: one does not.
    """
    with bad_input():
        require(0 < seconds < 3600, "seconds", "a number above 0 and below 3600", seconds)
        have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        require(max(threads) <= have, "threads", f"at most the {have} processors of this process",
                max(threads))
        alone("sizes", "step" in part, "--part step")
        libraries = libraries_of(against)
    records = []
    for name in part:
        for count in threads:
            records += measured(name, count, libraries, sizes if name == "step" else None, seconds)
    versions = {library: lab.steps_of(library).version() for library in libraries}
    versions |= {"minitf": VERSION, "numpy": importlib.import_module("numpy").__version__}
    agree = all(record["agree"] for record in records)
    click.echo(as_json({"versions": versions, "processors": have, "agree": agree,
                        "cells": records}) if json
               else "\n".join(report(records, versions)))
    return 0 if agree else 1


def measured(part, threads, *options):
    """The records of a part, each announced on stderr."""
    try:
        for record in lab.run(part, threads, *options):
            took = f"{1e3 * record['seconds']['minitf']:.3g} ms"
            click.echo(f"{part}, {plural(threads)}, {size(record)}: {took}", err=True)
            yield record
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None


def plural(threads):
    """So many threads, in words."""
    return f"{threads} thread{'s' * (threads > 1)}"


def libraries_of(against):
    """The libraries to compare with; one that was asked for by name and is missing is an error."""
    for name in against or ():
        if not installed(name):
            raise click.ClickException(missing(name, name))
    return [name for name in against or lab.LIBRARIES if installed(name)]


def size(record):
    """What a record is about."""
    return "x".join(map(str, record["shape"])) + " " + record["dtype"] if "shape" in record \
        else f"m = {record['m']}, T = {record['T']}"


TITLES = {"step": "Training step of one [CLS] head (4 heads of 16, d = 64, ReLU readout of 64, "
                  "Adam), float32",
          "attention": "Attention, forward and backward",
          "gpt": "Training step of gpt (2 layers, 4 heads, d = 64), float32"}
NOTES = {"products": "the two bare matrix products",
         "identity": "the same two products, written there",
         "tokens": "the [CLS] query over all tokens, each projected",
         "encoder": "nn.TransformerEncoderLayer (another, larger function)"}


def report(records, versions):
    """A table for each part and number of threads."""
    yield ("Milliseconds, and in brackets how many times as long as minitf (medians over turns in "
           "one run).")
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
    for part, threads in dict.fromkeys((record["part"], record["threads"]) for record in records):
        some = [record
                for record in records if (record["part"], record["threads"]) == (part, threads)]
        names = list(dict.fromkeys(name for record in some
                                   for name in (*record["seconds"], *record["left_out"])))
        yield ""
        yield f"{TITLES[part]}, {plural(threads)}"
        yield f"{'':22}" + "".join(f"{name:>18}"
                                   for name in names) + ("   GFLOP/s" if "gflops" in some[0]
                                                         else "")
        for record in some:
            yield row(record, names)
    used = {name.split()[-1] for record in records
            for name in (*record["seconds"], *record["left_out"])}
    yield ""
    yield from (f"{name:10}{note}" for name, note in NOTES.items() if name in used)
    if "products" in used:
        yield "GFLOP/s   of the two products: within minitf's step, and bare"
    if any(1 in record["turns"].values() for record in records):
        yield "*         measured once"
    busy = max((record["busy"] for record in records if record["threads"] == 1), default=1.0)
    if busy > 1.2:
        yield (f"The machine was busy: at worst minitf had a processor for 1/{busy:.1f} of the "
               "time. For one thread")
        yield "--json has ratios of processor time too, which are the fairer then."
    yield from disagreements(records)


def row(record, names):
    """The line of one size."""
    line = f"{size(record):22}"
    for name in names:
        if name not in record["seconds"]:
            line += f"{'-':>18}"
            continue
        text = short(1e3 * record["seconds"][name]) + ("*" if record["turns"][name] == 1 else "")
        ratio = "" if name == "minitf" else f"({short(record['ratios'][name])})"
        line += f"{text:>9}{ratio:>9}"
    if "gflops" in record:
        line += "   {minitf:.0f} of {products:.0f}".format(**record["gflops"])
    return line.rstrip()


def short(value):
    """A number to three digits, without an exponent."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def disagreements(records):
    """Who is left out, and whether all compute the same."""
    for name, why in dict.fromkeys((name, why) for record in records
                                   for name, why in record["left_out"].items()):
        yield f"-         {name}: {why}"
    wrong = [f"{name} at {size(record)}" for record in records
             for name, error in record["errors"].items() if not error <= lab.TOL[record["dtype"]]]
    worst = max(error for record in records for error in record["errors"].values())
    yield f"Not the same function: {', '.join(wrong)}" if wrong else \
        f"All compute the same: losses, outputs and gradients at most {worst:.1g} apart"
