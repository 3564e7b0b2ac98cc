"""What a line of a file of runs must hold before anything is made of it: it may come from
elsewhere.

    check = checker()
    check("runs.jsonl, line 7", run)            ValueError naming the place and the keys
"""
import functools
import sys
from os import PathLike

from minitf.checks import instance, require
from minitf.lab.protocol import METHODS, OPTIONAL, PROTOCOL, TASKS, rule_of
from minitf.lab.run import MODELS
from minitf.tasks import truth_table

IDENTITY = ("task", "k", "p", "noise", "method", "model", "limit", *OPTIONAL)
HUGE = 2 ** 53          # whole numbers below it are exact as floats
LARGEST = sys.float_info.max


def is_path(name, value):
    """Return value; it must name a file."""
    return instance(name, value, str | PathLike)


def whole(low, high=HUGE):
    return lambda x: type(x) is int and low <= x <= high


def number(low=-LARGEST, high=LARGEST):
    return lambda x: type(x) in (int, float) and low <= x <= high


def maybe(fits):
    return lambda x: x is None or fits(x)


def listed(fits):
    return lambda x: type(x) is list and all(map(fits, x))


def word(known):
    return lambda x: type(x) is str and x in known


def boolean(x):
    return type(x) is bool


def state(x):
    """A snapshot: its step, and numbers."""
    return type(x) is dict and whole(0)(x.get("step")) and all(map(maybe(number()), x.values()))


def pair(x):
    """A step and a loss."""
    return type(x) is list and len(x) == 2 and whole(0)(x[0]) and maybe(number())(x[1])


FIELDS = {              # what a run must hold, and what fits
    "task": word(TASKS), "k": whole(1, 20), "p": number(2 ** -40, 1 - 2 ** -40),
    "noise": number(0, 0.5), "method": word(METHODS), "model": maybe(word(MODELS)),
    "limit": maybe(number(0)), "seed": whole(0, float("inf")), "T": whole(1), "m": whole(1),
    "rep": whole(0), "m_star": maybe(number(0, HUGE)), "attempts": whole(1),
    "success": maybe(boolean), "success_any": maybe(boolean), "timeout": boolean,
    "seconds": number(0, HUGE), "steps": maybe(whole(0)), "train_loss": maybe(number()),
    "attention": maybe(number()), "fourier_gap": maybe(number()), "snapshots": listed(state),
    "curve": maybe(listed(pair)), "level": maybe(whole(1, 20)),
    "table": maybe(lambda x: type(x) is str), "ambiguous": maybe(word(("redraw", "keep"))),
    "rate": maybe(number(0, 1))}


@functools.lru_cache(maxsize=64)
def is_rule(task, k, level, table):
    """Whether these name a rule."""
    try:
        run = {"level": level, "table": table}
        return bool(truth_table(task, k, **rule_of(run)))
    except (TypeError, ValueError):
        return False


def check_run(where, run):
    """Refuse what is no run of this protocol; return it."""
    protocol = run.get("protocol") if isinstance(run, dict) else None
    require(protocol == PROTOCOL, where, f"a run of protocol {PROTOCOL}", protocol)
    absent = dict.fromkeys(OPTIONAL)
    wrong = [key for key, fits in FIELDS.items() if not fits((absent | run).get(key, ...))]
    if not wrong:
        wrong += ["T"] * (run["T"] < run["k"])
        rule = is_rule(run["task"], run["k"], run.get("level"), run.get("table"))
        wrong += [] if rule else ["level or table"]
    if wrong:
        raise ValueError(f"{where}: expected a run of a sweep, got one without a proper "
                         f"{', '.join(wrong)}")
    return run


def checker():
    """A function check(where, run) that refuses what is no run, and a run that was there before."""
    seen = {}

    def check(where, run):
        check_run(where, run)
        key = tuple(run.get(name) for name in (*IDENTITY, "seed", "T", "m", "rep"))
        if key in seen:
            raise ValueError(f"{where}: expected every run once, got that of {seen[key]} again")
        seen[key] = where

    return check
