"""Sample complexity against context length: trials on a grid of T and m, or where an adaptive
design wants them.

    sweep("runs.jsonl", "and", 3, [16, 64, 256], method="pgd", reps=40, jobs=2)

Every finished trial becomes one line of the file (protocol.RECORD). Started again, a sweep does
what is missing. Which trials there are, and what each finds, depends on the options alone: not on
the workers, nor on interruptions.
"""
import contextlib
from collections import Counter
from collections.abc import Callable

from minitf.checks import checked, count, each, integer, require
from minitf.files import stop
from minitf.lab.journal import Journal
from minitf.lab.lines import check_run, checker, is_path
from minitf.lab.protocol import LARGEST, OPTIONAL, check_job, identity, yardstick
from minitf.lab.workers import crew

CAP = 4096              # the most examples that an adaptive design asks for
PILOT = 5               # trials a sample size while it looks for the transition
LOWEST = -4             # not below m*/2, where most sets are ambiguous and those left are odd ones
MOST = 10 ** 6          # runs of one sweep
FAR = 8, 4              # (first, stride) where many parameters learn: 4 m*, twice or half that
COUNTS = ("ambiguous", "timeouts", "redrawn")


def fixed(sizes, reps):
    """A design of one round: reps trials of each size."""
    yield dict.fromkeys(sizes, reps)


def adaptive(base, reps, cap=CAP, first=0, stride=2):
    """Yield rounds {m: trials} and be sent the shares of success {m: share}, on the sizes base
    2^(j/4) up to the cap.

    A few trials a size: from j = first up in strides until all of them succeed, and down until at
    most half do. Then all reps at the sizes between, in half strides, and beyond: up until the two
    largest have shares of 0.95, so that an interval about 0.9 ends inside them, and down while the
    smallest has one above 0.5. If nothing ever succeeded up to the cap, there is no transition to
    look at.
    """
    def size(j):
        return min(cap, max(2, round(base * 2 ** (j / 4))))

    def below(enough, *where):
        return min(share.get(j, 0) for j in where) < enough and size(where[0]) < cap

    def above_half(j):
        return share[j] > 0.5 and j > LOWEST and size(j) > 2

    def ask(points, n):
        answer = yield {size(j): n for j in points}
        share.update({j: answer[size(j)] for j in points})

    def go(j, step, n, on):
        while on(j):
            j += step
            yield from ask([j], n)
        return j

    share, few, half = {}, min(PILOT, reps), stride // 2
    yield from ask([first], few)
    high = yield from go(first, stride, few, lambda j: below(1, j))
    low = yield from go(first, -stride, few, above_half)
    if any(share.values()):
        low = max((j for j in share if share[j] <= 0.2), default=low)
        yield from ask(range(low, high + 1, half), reps)
        yield from go(high, half, reps, lambda j: below(0.95, j, j - half))
        yield from go(low, -half, reps, above_half)


def missing(design, T, done):
    """Yield the trials (T, m, rep) that a design wants and `done` has not, a round at a time.

    To be resumed when they are in `done`. The design sees complete rounds alone, so it decides the
    same after any interruption; an ambiguous trial counts for no share.
    """
    answer = None
    while True:
        try:
            points = design.send(answer)
        except StopIteration:
            return
        wanted = {m: [(T, m, rep) for rep in range(n)] for m, n in points.items()}
        lacking = [key for keys in wanted.values() for key in keys if key not in done]
        if lacking:
            yield lacking
        answer = {}
        for m, keys in wanted.items():
            known = [done[key]["success"] for key in keys if done[key]["success"] is not None]
            answer[m] = sum(known) / max(len(known), 1)


def executes(name, value):
    """Return value; it must take work."""
    require(hasattr(value, "submit"), name, "what has .submit", value, TypeError)
    return value


@checked
def sweep(path: is_path, task="and", k=3, T=(16, 64, 256, 1024), m="auto", *, p=None, noise=0.0,
          method="pgd", model=None, limit=None, seed=0, level=None, table=None, ambiguous="redraw",
          success="exact", reps=20, jobs=1, dask=None, executor: executes = None,
          progress: Callable | None = None):
    """Do the trials that are missing in the file at path, and return all of its records that belong
    to these options.

    T: context lengths. m: sample sizes, the same for every T, or "auto" (`adaptive`), with `reps`
    trials of each. ambiguous "keep": take every sample, also one that several supports explain.
    success: "exact", all fresh examples right, or a share that has to be exceeded. limit: processor
    seconds of training (math.inf: none; unless given, 20 for adam and l1-logistic). Workers: `jobs`
    processes, or a Dask cluster at address `dask`, or an executor. progress(finished, waiting): the
    records of this call so far, and how many trials of each T are known to be left, a Counter.
    A script calls it under  if __name__ == "__main__":  since every worker process imports it.
    Errors: ValueError for bad options or a file of other options; OSError; RuntimeError if workers
    keep dying.
    """
    config = identity(task, k, p=p, noise=noise, method=method, model=model, limit=limit, seed=seed,
                      level=level, table=table, ambiguous=ambiguous, success=success)
    lengths = several("T", T)[::-1]
    sizes = None if isinstance(m, str) and m == "auto" else several("m", m)
    grid = len(lengths) * len(sizes or [0])
    require(grid <= MOST, "T", f"at most {MOST} pairs of T and m", grid)
    reps, jobs = integer("reps", reps, 1, MOST // grid), integer("jobs", jobs, 1, 1024)
    for t in lengths:
        check_job(config, t, sizes[-1] if sizes else 1)

    def design(t):
        if sizes:
            return fixed(sizes, reps)
        far = FAR if config["model"] not in (None, "paper") else ()
        return adaptive(max(1, yardstick(config, t)), reps, min(CAP, LARGEST // t), *far)

    with (crew(jobs, dask, executor) as workers,
          contextlib.closing(
              Journal(path, OPTIONAL | config, OPTIONAL, checker)) as journal):
        done = {(record["T"], record["m"], record["rep"]): record for record in journal.records}
        rounds = {t: missing(design(t), t, done) for t in lengths}
        run(rounds, config, done, journal, workers, progress)
        journal.keep()
    return [record
            for record in done.values()
            if record["T"] in rounds and (not sizes or record["m"] in sizes)]


def several(name, values):
    """Positive integers, at least one, sorted."""
    found = sorted(set(each(count)(name, values)))
    require(found, name, "at least one number", values)
    return found


def run(rounds, config, done, journal, workers, progress):
    """Hand out the rounds of every T, each as soon as the one before is complete, and keep what
    comes back."""
    waiting, finished = Counter(), []

    def hand_out(t):
        lacking = next(rounds[t], ())
        waiting[t] = len(lacking)
        for _, m, rep in lacking:
            workers.submit(config | {"T": t, "m": m, "rep": rep})

    for t in rounds:
        hand_out(t)
    while waiting.total():
        for record in workers.finished():
            with stop.held():                   # what is kept is counted
                t = record["T"]
                journal.append(record)
                done[t, record["m"], record["rep"]] = record
                finished.append(record)
                waiting[t] -= 1
                if not waiting[t]:
                    hand_out(t)
                if progress is not None:
                    progress(finished, waiting)


@checked
def table(records: each(check_run)):
    """What a sweep found, a row for each T and m: trials, successes, their share of those that were
    not ambiguous, ambiguous trials, timeouts, and training sets drawn in vain by the others."""
    rows = {}
    for record in sorted(records, key=lambda record: (record["T"], record["m"])):
        empty = {"T": record["T"],
                 "m": record["m"]} | dict.fromkeys(("runs", "successes", *COUNTS), 0)
        row = rows.setdefault((record["T"], record["m"]), empty)
        ambiguous = record["success"] is None
        row["runs"] += 1
        row["successes"] += record["success"] is True
        row["ambiguous"] += ambiguous
        row["timeouts"] += record["timeout"]
        row["redrawn"] += 0 if ambiguous else record["attempts"] - 1
    for row in rows.values():
        trained = row["runs"] - row["ambiguous"]
        row["share"] = row["successes"] / trained if trained else None
    return list(rows.values())
