"""How often `learn --data` finds the rule of a table, how often it states a wrong one: a measurement, not a test.

    python tests/own_tables.py runs.jsonl --seconds 600         draw tables and append a line for each; resumes
    python tests/own_tables.py others.jsonl --peers             the columns that others name (peers_of_tables), the same tables
    python tests/own_tables.py runs.jsonl --show                count the lines of either

A cell is a rule, T columns, m rows, label noise, correlation between any two columns. Tables are drawn from seeds that no choice
was made on (--first). The whole of `learn --data` judges but for its certificate: a fifth of the rows is held out.
"""
import argparse
import json
import time
import zlib
from itertools import product
from pathlib import Path

import numpy as np

from minitf.lab import own_table
from minitf.lab.datasets import Table
from minitf.learn import Rule

AND, ONE_NOT, TWO_NOTS, OR = (0, 0, 0, 0, 0, 0, 0, 1), (0, 0, 0, 1, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0, 0), (0, *[1] * 7)
RULES = {"and of 3": AND, "and, 1 not": ONE_NOT, "and, 2 nots": TWO_NOTS, "or of 3": OR, "(a and b) or c": (0, 0, 0, 1, 1, 1, 1, 1),
         "2 of 4": tuple(int(i.bit_count() >= 2) for i in range(16)), "xor of 2": (0, 1, 1, 0), "not x": (1, 0), "junta of 3": None,
         "noise": (0, 1)}
CELLS = [(T, m, noise, together, rule) for m, T, together, noise, rule in product(
    (500, 100, 2000, 10_000, 30_000), (60, 200), (0.0, 0.5), (0.0, 0.02, 0.05, 0.1), RULES) if rule != "noise" or noise == 0]


def drawn(cell, seed):
    """The rule, or None of labels that are coins, and the table of a cell and a seed."""
    T, m, noise, together, name = cell
    rng = np.random.default_rng([seed, zlib.crc32(repr(cell).encode())])
    table = RULES[name] or junta(rng)
    X = rng.integers(0, 2, (m, T), np.uint8)
    if together:                                            # a bit that all share, each with probability sqrt(together)
        X = np.where(rng.random((m, T)) < together ** 0.5, rng.integers(0, 2, (m, 1), np.uint8), X)
    k = len(table).bit_length() - 1
    rule = Rule(tuple(sorted(rng.choice(T, k, replace=False).tolist())), table, T)
    clean = rng.integers(0, 2, m, np.uint8) if name == "noise" else rule(X)
    return None if name == "noise" else rule, X, clean ^ (rng.random(m) < noise)


def junta(rng):
    """A table of three columns that depends on each of them."""
    while True:
        table = rng.integers(0, 2, 8)
        halves = [table.reshape(-1, 2, 1 << j) for j in range(3)]
        if all((half[:, 0] != half[:, 1]).any() for half in halves):
            return tuple(table.tolist())


def ours(rule, X, y, seed):
    """What learn --data says: exact, certain, the words of the last lines."""
    own_table.sure_of = lambda *given: None                 # half the time, and no part of what is counted
    names = tuple(f"x{t}" for t in range(X.shape[1]))
    _, record = own_table.plan_table(Table(X, names, y, "y"), seed=seed).run()
    same = rule is not None and record["rule"] == rule.say(names)
    return {"exact": same, "stated": record["certain"] and record["learned"] is not False, "learned": record["learned"],
            "found": record["support_found"], "rule": record["rule"] if len(record["rule"]) < 200 else "a long table",
            "why": record["why"], "models": len(record["tried"]), "certain": record["certain"]}


def peers(rule, X, y, seed):
    """The columns that others name, and whether they are those of the rule."""
    from peers_of_tables import METHODS
    wanted = () if rule is None else rule.support
    found = {}
    for name, method in METHODS.items():
        try:
            support = method(X, y, seed, len(wanted))
        except ImportError:
            continue
        found[name] = {"exact": support == wanted, "k": len(support)}
    return found


def run(args, measure):
    """Measure the tables of all wanted cells that the file lacks, a seed of every cell at a time."""
    known = {(tuple(line["cell"]), line["seed"]) for line in lines(args.file)}
    start = time.process_time()
    for seed, cell in product(range(args.first, args.first + args.n), CELLS):
        if (cell, seed) in known or args.only not in repr(cell) or cell[1] > args.most:
            continue
        before = time.process_time()
        if args.seconds and before - start > args.seconds:
            return
        line = {"cell": cell, "seed": seed, **measure(*drawn(cell, seed), seed)}
        with open(args.file, "a") as file:
            file.write(json.dumps(line | {"cpu": round(time.process_time() - before, 3)}) + "\n")


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()] if Path(path).exists() else []


def show(found):
    """A line a cell: how many tables, what was found exactly and stated, or stated and wrong; or what others found."""
    cells = {}
    for line in found:
        cells.setdefault(tuple(line["cell"]), []).append(line)
    for cell, some in sorted(cells.items(), key=lambda item: item[0][:4]):
        n, start = len(some), "T = {:3}  m = {:6,}  noise {:4.0%}  correlation {:.1f}  {:15}".format(*cell)
        if "stated" in some[0]:
            stated = [line["exact"] for line in some if line["stated"]]
            doubted = sum(line["exact"] and not line["stated"] for line in some)
            print(f"{start} {n:3} tables: {sum(stated):3} exact and stated, {doubted:3} exact with a perhaps, "
                  f"{len(stated) - sum(stated)} wrong and stated, {sum(line['learned'] is False for line in some)} not learned")
        else:
            print(start, f"{n:3} tables:", ", ".join(f"{name} {sum(line[name]['exact'] for line in some)}"
                                                    for name in some[0] if isinstance(some[0][name], dict)))
    stated = [line["exact"] for line in found if line.get("stated")]
    if "stated" in found[0]:
        wrong = len(stated) - sum(stated)
        print(f"{len(found)} tables, a rule stated in {len(stated)}, {wrong} of them wrong"
              + ("" if wrong else f": fewer than {1 - 0.05 ** (1 / len(found)):.2%} of such tables, with 95 % confidence"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--n", type=int, default=50, help="tables a cell")
    parser.add_argument("--first", type=int, default=10_000, help="the first seed")
    parser.add_argument("--seconds", type=float, help="of processor time, then stop")
    parser.add_argument("--only", default="", help="part of the cells, as in '(60, 500, 0.0'")
    parser.add_argument("--most", type=int, default=10_000, help="rows of the largest tables")
    parser.add_argument("--peers", action="store_true", help="measure others")
    parser.add_argument("--show", action="store_true", help="count what the file has")
    args = parser.parse_args()
    if args.show:
        show(lines(args.file))
    else:
        run(args, peers if args.peers else ours)


if __name__ == "__main__":
    main()
