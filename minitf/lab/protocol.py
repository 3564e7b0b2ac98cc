"""The protocol of a sweep: what a run is asked, how it is trained, what its record holds.

A job is a dict of JSON values, the identity of its sweep with T, m and rep. The randomness is that
of the job and of nothing else:

    data      SeedSequence(seed, spawn_key = numbers for (task, k, T, p, noise, rep, use, attempt)),
              without m: the training set is the first m rows of the first attempt that one support
              alone explains, so the sets of different m are nested
    training  the same with m, method and model
"""
import math

import numpy as np

from minitf.checks import choice, integer, real, require
from minitf.lab.decoders import DECODERS, POOLED
from minitf.lab.draw import FIRST_ORDER
from minitf.lab.run import MODELS, choose
from minitf.tasks import KINDS, balanced_p, is_checkable, sample_task, truth_table
from minitf.theory import m_star, rho_of

PROTOCOL = 4            # raised when a job would give other numbers or a key another meaning
TASKS = KINDS
METHODS = ("pgd", "adam", "pgd-no-mirror", "pgd-no-restarts", "l1-logistic", "screening",
           "exact-search", *DECODERS, "adam-starts", "adam-all-rows")
TRAINING = {    # one start of Adam, as in the paper; the search, and all starts, without a part
    "adam": {"restarts": 0, "steps": 2000, "few": None}, "pgd-no-mirror": {"mirror": False},
    "pgd-no-restarts": {"restarts": 0}, "adam-all-rows": {"restarts": 8, "few": None}}
TUNED = {       # but for parity: what did best of several; gpt and mlp have the usual values
    "paper": {"lr": 0.3, "weight_decay": 0.0}, "scalar": {"lr": 0.01, "weight_decay": 0.5}}
OPTIONAL = {"level": None, "table": None, "ambiguous": "redraw", "rate": "exact"}   # if absent
LARGEST = 1 << 30       # bits of a training set, each a byte, and a float at times
LIMIT = 20.0            # processor seconds of training, unless given, of adam and l1-logistic
SNAPSHOTS = 12          # at steps 1, 2, 4, ..., 2048
USES = ("support", "sample", "holdout", "fourier", "training")
RECORD = {
    "protocol": "version of these records",
    "task": "kind of rule",
    "k": "size of the support",
    "p": "P(bit = 1)",
    "noise": "probability that a label of the training set was flipped",
    "method": "one of METHODS; adam: one start of at most 2,000 steps, no norm bounded; "
              "adam-starts: as learn trains; adam-all-rows: nine starts, all rows from the first",
    "model": "paper, scalar, gpt or mlp; null for a method without one",
    "limit": "processor seconds of training after which a run is a timeout; null: none. Where it "
             "ends a run, `timeout` says so, and what the run found depends on the machine",
    "seed": "of the sweep",
    "T": "positions",
    "m": "examples trained on",
    "rep": "0, 1, ...: which of the runs of equal T and m",
    "m_star": "examples that determine the support with probability 0.95",
    "attempts": "training sets drawn, the last of which was used",
    "determined": "whether one support alone explains the training set; null: not checked",
    "success": "every fresh example right at the end of training, or more than the share `rate`; "
               "null: no attempt determined the support, no training",
    "success_any": "the same at the end or at a snapshot",
    "support_exact": "whether the k strongest positions, or those decoded, are the support; null "
                     "for mlp",
    "accuracy": "on 10,000 fresh examples against clean labels; null where success means an exact "
                "support",
    "timeout": "whether the limit ended the training, which is no success",
    "train_loss": "mean logistic loss on the m examples",
    "attention": "on the support, the mean over the examples, and over heads by their shares; null "
                 "without attention",
    "fourier_gap": "parity: |F(S)| less the largest |F(A)| of other k-sets A",
    "steps": "steps taken",
    "seconds": "processor seconds of the whole run",
    "snapshots": "step, accuracy, loss, attention and fourier_gap at 12 steps at most, the end not "
                 "among them",
    "curve": "parity with adam: [step, mean batch loss since the entry before] at steps that grow "
             "by 2^(1/4)",
    "version": "of the library",
}


def identity(task="and", k=3, *, p=None, noise=0.0, method="pgd", model=None, limit=None, seed=0,
             level=None, table=None, ambiguous="redraw", success="exact"):
    """What all runs of one file share, checked and completed: a dict. limit: math.inf for none.
    Of OPTIONAL there are: level, and the labels of table as a text, for the kinds of rule that have
    them; ambiguous, where samples that several supports explain are kept; rate, where success is
    more than this share of the fresh examples, not all."""
    choice("task", task, TASKS)
    choice("method", method, METHODS)
    own = {} if level is None else {"level": level}
    own |= {} if table is None else {"table": "".join(map(str, table))}
    if choice("ambiguous", ambiguous, ("redraw", "keep")) == "keep":
        own["ambiguous"] = ambiguous
    if success != "exact":
        fresh = method not in ("screening", "exact-search", *DECODERS)
        require(fresh, "success", "exact with method " + method, success)
        own["rate"] = real("success", success, "exact or a share above 0 and below 1",
                           lambda x: 0 < x < 1)
    rule = truth_table(task, k, level, table)
    drawn = sample_task(np.random.default_rng(0), task, k, k, level=level, table=table, p=p,
                        noise=noise)
    adam = method.startswith("adam")
    allowed = MODELS if adam else ("paper",) if method.startswith("pgd") else ()
    require(model is None or model in allowed, "model",
            f"{' or '.join(allowed) or 'none'} with method {method}", model)
    require(method not in DECODERS or task in POOLED, "task", f"and, or with method {method}", task)
    require(noise == 0 or method != "exact-search", "noise", "0 with method exact-search", noise)
    model = model or ("scalar" if adam else allowed[0] if allowed else None)
    if limit is None:
        limit = LIMIT if method in ("adam", "l1-logistic") else math.inf
    limit = real("limit", limit, "a number > 0", lambda s: s > 0)
    return {"protocol": PROTOCOL, "task": task, "k": int(k),
            "p": balanced_p(rule) if p is None else drawn.p, "noise": drawn.noise,
            "method": method, "model": model, "limit": None if limit == math.inf else limit,
            "seed": integer("seed", seed, 0), **own}


def rule_of(config):
    """The level or the table of a sweep's rule, as `sample_task` and others take them."""
    table = config.get("table")
    return {"level": config.get("level"), "table": None if table is None else [*map(int, table)]}


def yardstick(config, T):
    """m*(T) of a sweep, at 95 %."""
    table = truth_table(config["task"], config["k"], **rule_of(config))
    return m_star(T, rho_of(config["task"], table, config["p"]), 0.05, config["noise"])


def check_job(config, T, m):
    """Refuse, before any work, a context length or a sample size that a trial could not take."""
    k, method = config["k"], config["method"]
    require(integer("T", T, 1) >= k, "T", f"at least k = {k}", T)
    require(T <= LARGEST, "T", "at most 2^30", T)
    require(m * T <= LARGEST, "m",
            f"at most {LARGEST // T} examples of {T} bits (2^30 bits in all)", m)
    checkable = method != "exact-search" or is_checkable(config["task"], T, k)
    require(checkable, "T", f"a task small enough for exact search, {config['task']} of {k} bits",
            T)
    if config["model"]:
        settings(config | {"T": T})


def settings(job):
    """The ModelConfig and the TrainConfig of a job that trains a model."""
    base = "adam" if job["method"].startswith("adam") else "pgd"
    *_, model, train = choose(base, job["model"], base, job["T"], job["k"], None, None, None)
    options = TRAINING.get(job["method"], {})
    if job["method"] == "adam" and job["task"] in FIRST_ORDER:
        options = options | TUNED.get(job["model"], {})
    return model, type(train)(method=base, **options)


def stream(job, use, *more):
    """The random generator of one use of a job: see the top of this page."""
    numbers = [KINDS.index(job["task"]), job["k"], job["T"], int(job["p"] * 2 ** 32),
               int(job["noise"] * 2 ** 32)]
    rule = rule_of(job)
    numbers += [] if rule["level"] is None else [rule["level"]]
    numbers += rule["table"] or []
    numbers += [job["rep"], USES.index(use), *more]
    return np.random.default_rng(np.random.SeedSequence(job["seed"], spawn_key=numbers))
