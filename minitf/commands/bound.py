"""bound: how many examples the bounds of the paper ask for, beside what the problem itself
takes."""
import math

import click

from minitf.checks import require
from minitf.commands.options import SIZES, labels_of
from minitf.commands.shell import bad_input, check_outputs, need, outputs
from minitf.files import VERSION, as_json, write_whole
from minitf.tasks import KINDS
from minitf.theory import MOST, NORMS, bound_table, rademacher_table, rounded


class Budgets(click.ParamType):
    """Norms and their budgets, B_q=6,B_V=1."""
    name = "norms"

    def convert(self, value, param, context):
        found = {}
        for word in value.split(","):
            name, equals, number = (part.strip() for part in word.partition("="))
            if name not in NORMS or name in found or not equals:
                self.fail(f"expected NAME=NUMBER, each name once, of {', '.join(NORMS)}, got "
                          f"{word!r}", param, context)
            try:
                found[name] = float(number)
            except ValueError:
                found[name] = math.nan
            if not 0 <= found[name] <= MOST:
                self.fail(f"expected a number from 0 to {MOST:g} for {name}, got {number!r}",
                          param, context)
        return found


@click.command(epilog="""\b
Examples:
  minitf bound --k 3 --T 16,64,256,1024,16384
  minitf bound --task junta --k 4 --table 0000000100011111 --T 64,128,256
  minitf bound --task parity --k 2 --norms B_q=6 --plot bounds.png""")
@click.option("--task", type=click.Choice(KINDS), default="and", show_default=True,
              help="Rule of the k bits.")
@click.option("--k", type=int, default=3, show_default=True, help="Number of bits of the rule.")
@click.option("--level", type=int, help="The least count of ones, for --task threshold.")
@click.option("--table",
              help="The rule, as 0110: k+1 labels by count for --task symmetric, 2^k for junta.")
@click.option("--T", "T", type=SIZES, default="16,64,256,1024,16384", show_default=True,
              help="Context lengths.")
@click.option("--eps", type=float, default=0.1, show_default=True, help="The error allowed.")
@click.option("--delta", type=float, default=0.05, show_default=True,
              help="The probability that a bound may fail with.")
@click.option("--norms", type=Budgets(), default=None,
              help=f"Other budgets, as B_q=6,B_V=1, for every T: {', '.join(NORMS)}.  [default: "
                   f"those of a head that "
                   "computes the rule]")
@click.option("--m", type=int, help="Say also what each bound certifies at so many examples.")
@click.option("--csv", type=click.Path(), help="Write the table to this file too.")
@click.option("--plot", type=click.Path(),
              help="Draw growth with T, and Rademacher complexity from below, to this file (needs "
                   "the plot extra).")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the table.")
def bound(task, k, level, table, T, eps, delta, norms, m, csv, plot, json):
    """Compare how many examples the bounds ask for.

    For a head of softmax attention with norms just large enough to compute the rule, prints how
    many examples each bound needs to certify the error --eps with probability 1 - --delta, every
    constant included, beside what naming the k positions takes. Arithmetic, in seconds: nothing is
    trained.
    """
    figures = None if plot is None else need("minitf.lab.figures.single", "matplotlib", "plot")
    with bad_input():
        check_outputs(plot=plot, csv=csv)
        require(max(T) <= 1 << 40, "T", "lengths of at most 2^40", max(T))
        require((m or 0) <= 1 << 40, "m", "at most 2^40", m)
        if figures is not None:
            require(len(set(T)) > 1, "T", "at least two lengths, to plot growth", T)
            require((norms or {}).get("B_X", 2) >= math.sqrt(2), "norms",
                    "B_X of at least sqrt 2, the length of the "
                    "tokens, to plot Rademacher complexity", norms)
        rule = {"task": task, "level": level,
                "table": None if table is None else labels_of(table)}
        rows = bound_table(k, sorted(set(T)), eps, delta, norms=norms, m=m, **rule)
        record = rule | {"rule": in_words(**rule), "k": k, "eps": eps, "delta": delta,
                         "norms": norms, "rows": rows, "reading": reading(rows), "rademacher": None,
                         "version": VERSION}
        if figures is not None:
            record["rademacher"] = rademacher_table(k, norms=norms, **rule)
    with outputs():
        if figures is not None:
            figures.bounds(record, plot)
        if csv is not None:
            write_whole(csv, lambda file: file.write(as_csv(rows).encode()))
    click.echo(as_json(record) if json else report(record, plot, csv))


def as_csv(rows):
    """The rows as a table: the norms and what is certified at --m in columns of their own."""
    flat = [{name: value for name, value in row.items() if not isinstance(value, dict)}
            | row["norms"] | {f"{name}_at_m": value for name, value in row.get("at_m", {}).items()}
            for row in rows]
    lines = [",".join("" if value is None else f"{value:.10g}" for value in row.values())
             for row in flat]
    return "\n".join([",".join(flat[0]), *lines, ""])


# heading, width, the key of a row that it shows
COLUMNS = (
    ("Dudley", 9, "dudley"), ("chain", 9, "chain_l2"), ("margin", 9, "margin_l2"),
    ("T&T", 9, "margin_length_free"), ("head", 9, "averages_norms"),
    ("named", 9, "averages"),
    ("d = T+3", 11, "margin_count"), ("narrow", 9, "margin_count_narrow"),
    ("Occam", 9, "occam"), ("exact", 7, "m_star"), ("Fano", 6, "fano"))


LEGEND = (
    "Dudley, chain  gap bounds by the entropy integral and by discrete chaining; ||q|| is "
    "||q||_2",
    "margin, T&T    rate 1/m from a margin of 1/2 on every example; T&T after Trauger and "
    "Tewari: (1,1) norms,",
    "               T enters by d = T + 3",
    "the trained    attention that does not see the bits, so no norm of the scores enters: "
    "by ||v||_1 alone,\n               v = w A; and with the k positions named",
    "parameters     margin by counting them: one-hot positions, or (narrow) random signs of "
    "width O(k log T)\n               where that is less than T",
    "the problem    Occam: any learner that fits; exact: one support is left; Fano: no learner "
    "does with fewer",
)


def report(record, *files):
    """The table, what its columns are, and how to read it."""
    rows = record["rows"]
    column = max(8, len(str(rows[-1]["T"])))
    return "\n".join([*title(record, column), *numbers(rows, column), "", *LEGEND, "",
                      *(f"Written    {file}" for file in files if file is not None),
                      record["reading"]])


def title(record, column):
    """What is counted, for which class, and the heads of the columns."""
    changed = "".join(f", {name} = {value:g}" for name, value in (record["norms"] or {}).items())
    heads = "".join(f"{heading:>{width}}" for heading, width, _ in COLUMNS)
    return [f"Examples after which a head that equals the label on all of them errs at most "
            f"{record['eps']:g}, with probability {1 - record['delta']:g}.",
            f"Class: {record['rule']} of {record['k']} of T bits by one head of softmax "
            f"attention{changed}. Every constant is explicit.",
            "",
            f"{'':{column + 10}}{'norms alone':-^36}  {'the trained class':-^16}"
            f"  {'parameters':-^18}  {'the problem itself':-^20}",
            f"{'T':>{column}}{'||q||':>10}{heads}"]


def in_words(task, level, table):
    """A rule in words."""
    words = {"and": "AND", "or": "OR", "threshold": f"at least {level}"}.get(task, task)
    return words + (f" {''.join(map(str, table))}" if table else "")


def numbers(rows, column):
    """The rows of the table, and those of the errors at --m."""
    lines = [f"{row['T']:{column}}{row['norms']['B_q']:10.4g}"
             + "".join(f"{amount(row[key], width):>{width}}" for _, width, key in COLUMNS)
             for row in rows]
    at = [row["at_m"] for row in rows if "at_m" in row]
    if at:
        lines += ["", f"Error certified at m = {at[0]['m']:,}:"]
        lines += [f"{row['T']:{column}}{'':10}" + "".join(
            f"{'-' if key not in found else f'{found[key]:.2g}':>{width}}"
            for _, width, key in COLUMNS) for row, found in zip(rows, at)]
    return lines


def amount(value, width):
    """A number of examples, short in wide columns; "-" where a class does not hold the rule."""
    return "-" if value is None else rounded(value) if width > 7 else value


def reading(rows):
    """How to read the table, in its own numbers."""
    best = [min(row["margin_l2"], row["margin_length_free"]) for row in rows]
    times = [m / row["occam"] for m, row in zip(best, rows)]
    least, most = rounded(min(times)), rounded(max(times))
    text = (f"{'Vacuous in size: the' if min(times) > 10 else 'The'} best norm bound asks for "
            f"{least if least == most else f'{least} to {most}'} times Occam's examples.\n")
    if len(rows) == 1:
        return text + "Only its growth with T informs: give several T."
    last, first = rows[-1], rows[0]
    counted = rounded(last["margin_count"] / first["margin_count"])
    return text + (
        f"Its growth informs: from T = {first['T']:,} to {last['T']:,} it takes "
        f"{rounded(best[-1] / best[0])} times as "
        f"many, Occam {rounded(last['occam'] / first['occam'])} times,\n"
        f"counting the parameters of one-hot positions {counted} times.")
