"""check: this installation, and other frameworks, against exact values."""
import importlib
from functools import partial

import click

from minitf.commands.progress import watched
from minitf.commands.shell import alone, bad_input, installed, need, outputs
from minitf.files import as_json, check_writable, write_whole

SHOWN = 10              # disagreements that a table lists


def show_gradients(rows):
    """The table of `check gradients`."""
    yield f"{'case':40}  {'method':10}  {'worst error':>11}"
    for row in rows:
        wrong = "" if row["agrees"] else "  WRONG"
        yield f"{row['case']:40}  {row['method']:10}  {row['error']:11.1e}{wrong}"
    yield f"{agreeing(rows)} pullbacks are the derivative of their forward"


def agreeing(rows):
    """How many of the rows agree, in words."""
    return f"{sum(row['agrees'] for row in rows)} of {len(rows)}"


def show_golden(rows):
    """The table of `check golden`: a line a family, then the cases that disagree."""
    yield f"{'family':12}  {'cases':>5}  {'worst error / tolerance':>23}"
    for family in dict.fromkeys(row["family"] for row in rows):
        some = [row for row in rows if row["family"] == family]
        wrong = "" if all(row["agrees"] for row in some) else "  DISAGREES"
        yield f"{family:12}  {len(some):5}  {max(row['ratio'] for row in some):23.2g}{wrong}"
    for row in rows:
        if not row["agrees"] and row["ratio"] > 1:
            yield (f"{row['case']}: {row['worst']} is off by {row['error']:.2g}, "
                   f"tolerance {row['tol']:.2g}")
        elif not row["agrees"]:
            yield f"{row['case']}: {row['worst']} is not exactly zero where it must be"
    yield f"{agreeing(rows)} cases agree with their golden values"


def show_peers(report):
    """The table of `check torch` and `check jax`: a block a function, then what the conventions in
    it mean."""
    meaning = importlib.import_module("minitf.trust.frameworks.conventions").MEANING
    rows, seen = report["cases"], {}
    name = f"{report['framework']} {report['version']}"
    yield f"{name} against minitf: values and gradients of every case"
    for peer, lacks in report["unasked"].items():
        yield f"\n{peer}" + (f"   (not asked: {counted(lacks)})" if lacks else "")
        yield f"  {'family':26} {'dtype':8} {'cases':>5}  {'worst':>7}  verdicts"
        for row in (row for row in rows if row["peer"] == peer):
            yield (f"  {row['family']:26} {row['dtype']:8} {row['cases']:5}  {row['worst']:7.2g}  "
                   f"{counted(row['verdicts'])}")
            seen |= row["verdicts"]
    yield "\nworst: the largest error, in units of what the rule for golden vectors allows"
    used = [name for name in meaning if name in seen]
    if used:
        yield ("\ndiffers by convention: minitf computes what the convention predicts, and it was "
               "met")
    yield from (f"  {name}\n{click.wrap_text(meaning[name], 110, '      ', '      ')}"
                for name in used)
    yield f"\n{report['random']} random cases of attention; of them had"
    yield click.wrap_text(counted(report["options"]), 110, "  ", "  ")
    wrong = [f"{row['peer']}: {text}" for row in rows for text in row["disagree"]]
    yield f"\n{len(wrong)} answers DISAGREE" if wrong else \
        "\nevery case agrees, or differs by a convention"
    yield from wrong[:SHOWN]
    if len(wrong) > SHOWN:
        yield f"and {len(wrong) - SHOWN} more; --json has them all"


def counted(tally):
    """{name: count} on a line."""
    return ", ".join(f"{name} {count}" for name, count in tally.items())


def check_gradients(seed):
    """The report of `check gradients`."""
    return {"cases": list(importlib.import_module("minitf.trust.reference").check_gradients(seed))}


def check_golden(seed):
    """The report of `check golden`."""
    return {"cases": list(importlib.import_module("minitf.trust.reference").check_golden())}


def check_peers(framework):
    """The function of a seed that reports `check torch` or `check jax`."""
    def report(seed):
        module = need("minitf.trust.crosscheck", framework, framework)
        return module.crosscheck(framework, seed, partial(watched, label=f"asking {framework}"))
    return report


KINDS = {"gradients": (check_gradients, lambda report: show_gradients(report["cases"])),
         "golden": (check_golden, lambda report: show_golden(report["cases"])),
         "torch": (check_peers("torch"), show_peers), "jax": (check_peers("jax"), show_peers)}
FRAMEWORKS = "torch", "jax"


def show_kernel(report):
    """The table of `check kernel`: a line a tag, then the cases that disagree, then the script."""
    rows, kernels = report["cases"], importlib.import_module("minitf.trust.kernels")
    yield f"{report['kernel']}, {report['dtype']}"
    yield f"{'tag':20}  {'cases':>5}  {'agree':>5}  {'worst error / limit':>19}"
    for tag, (count, agree, ratio) in kernels.by_tag(rows).items():
        wrong = "" if agree == count else "  DISAGREES"
        yield f"{tag:20}  {count:5}  {agree:5}  {ratio:19.2g}{wrong}"
    wrong = [row for row in rows if not row["agrees"]]
    yield from (f"{row['case']}: {row['why']}" for row in wrong[:SHOWN])
    if len(wrong) > SHOWN:
        yield f"and {len(wrong) - SHOWN} more; --json has them all"
    if report["not_asked"]:
        lacks = counted(report["not_asked"])
        yield f"not asked, for a named argument or option that the kernel does not take: {lacks}"
    if report["not_given"]:
        yield f"not given, and so not judged: {counted(report['not_given'])}"
    if report["not_asked_for"]:
        yield f"given, and not asked for: {counted(report['not_asked_for'])}"
    drawn, wanted = report["random"]
    if drawn < wanted:
        yield f"{drawn} of {wanted} random cases: no more were found that have these tags"
    if report["script"]:
        yield f"the smallest random case that disagrees:\n\n{report['script']}"
    yield f"{agreeing(rows)} cases agree with their golden values"


def check_kernel(kernel, seed, junit, **options):
    """The report of `check kernel`."""
    kernels = importlib.import_module("minitf.trust.kernels")
    if junit is not None:
        check_writable(junit)
    report = kernels.check_kernel(kernel, seed=seed, **options)
    if junit is not None:
        with outputs():
            write_whole(junit, lambda file: file.write(kernels.junit(report).encode()))
    return report


def split(context, param, value):
    """Names between commas."""
    return [name for name in (value or "").split(",") if name]


@click.command(epilog="""\b
Examples:
  minitf check gradients
  minitf check golden
  minitf check kernel my_module:my_attention --tags causal --dtype bfloat16 --random 200
  minitf check torch --seed 1""")
@click.argument("what", type=click.Choice([*KINDS, "kernel", "all"]))
@click.argument("kernel", required=False, metavar="[MODULE:FUNCTION]")
@click.option("--tags", callback=split, metavar="NAMES",
              help="kernel: only cases with all of these.")
@click.option("--without", callback=split, metavar="NAMES",
              help="kernel: no case with one of these.")
@click.option("--dtype", type=click.Choice(["float64", "float32", "bfloat16", "float16"]),
              default="float64", show_default=True, help="kernel: arguments are rounded to it.")
@click.option("--layout", type=click.Choice(["bhtd", "bthd"]), default="bhtd", show_default=True,
              help="kernel: where the heads are.")
@click.option("--random", type=click.IntRange(0), default=0, show_default=True, metavar="N",
              help="kernel: so many random cases too; the first to disagree is made smaller.")
@click.option("--junit", type=click.Path(), metavar="FILE", help="kernel: write JUnit XML.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Draws cotangents, directions, and random cases.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the table.")
def check(what, kernel, seed, json, **options):
    """Check this installation, your own kernel, and other frameworks.

    gradients: every pullback against its forward, in a random direction. golden: every value
    against 50-digit arithmetic, from the files of data/golden, hashes first. kernel: a function of
    yours, called as kernel(**arguments, **cotangents, **options), on the golden cases of attention.
    torch, jax: their attention against minitf, values and gradients, on the golden vectors and on
    300 random cases, by the rule of data/golden/README.md. all: everything that is installed.

    Exit code 0: all agree, or differ by a convention that is named; 1: one does not.
    """
    if (what == "kernel") != (kernel is not None):
        raise click.UsageError("a kernel, MODULE:FUNCTION, belongs to check kernel and to it alone")
    skipped = [name for name in FRAMEWORKS if what == "all" and not installed(name)]
    names = [name for name in KINDS if name not in skipped] if what == "all" else [what]
    with bad_input():
        for name in options:
            alone(name, what == "kernel", "check kernel")
    kinds = KINDS | {"kernel": (lambda seed: check_kernel(kernel, seed, **options), show_kernel)}
    reports = {}
    for name in names:
        with bad_input():
            reports[name] = report = kinds[name][0](seed)
        if not json:
            title = [f"== {name}"] if what == "all" else []
            click.echo("\n".join([*title, *kinds[name][1](report), *title[1:]]))
    failed = [row["case"] for report in reports.values() for row in report["cases"]
              if not row["agrees"]]
    if json:
        whole = {"checks": reports, "skipped": skipped} if what == "all" else reports[what]
        click.echo(as_json({"what": what, "seed": seed, "failed": failed} | whole))
    else:
        for name in skipped:
            click.echo(f"== {name}: skipped, not installed: pip install 'minitf-attention[{name}]'")
    return 1 if failed or not all(report["cases"] for report in reports.values()) else 0
