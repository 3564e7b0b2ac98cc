"""One run on a user's own table: split its rows, find the rule, measure on the rows held out."""
import time

import numpy as np

from minitf.checks import bits, checked, instance, integer, real, require, shape
from minitf.lab.certainty import certainty
from minitf.lab.datasets import Table
from minitf.lab.holdout import wilson
from minitf.lab.run import Plan, choose, record_of, streams
from minitf.learn import Try, decide, longest, quoted, row_keys, usual_tries

ENOUGH = 10             # distinct rows held out, from which a verdict is given


def whole_table(name, table):
    """Return a Table as zeros and ones; every column must have a name, every row a label."""
    instance(name, table, Table)
    X, y = bits(f"{name}.X", table.X), bits(f"{name}.y", table.y, ndim=1)
    shape(f"{name}.y", y, X.shape[:1])
    named = isinstance(table.names, (tuple, list)) and len(table.names) == X.shape[1]
    require(named, f"{name}.names", f"{X.shape[1]} names", table.names)
    return table._replace(X=X, y=y)


@checked
def plan_table(table: whole_table, k=None, *, model=None, method="auto", H=None, radius=None,
               steps=None, seed=0, holdout=0.2, negations: bool = True):
    """Check every option against a user's own bits (datasets.Table) and split them: a Plan as of
    plan_task.

    Unless a method or a model is asked for, one bounded head is tried and then the heads of Adam
    (minitf.learn.decide). learned means better than chance: the lower end of the 95 % Wilson
    interval of the holdout accuracy is above the share of the majority label there; None with
    fewer than ENOUGH distinct rows held out. The support is that of the rule.
    """
    T = table.X.shape[1]
    split_rng, training_rng, shuffle_rng = streams(seed, 3)
    holdout = real("holdout", holdout, "a share above 0 and below 1", lambda share: 0 < share < 1)
    require(k is None or 1 <= integer("k", k) <= T, "k",
            f"an integer from 1 to {T}, the number of columns", k)
    tries = tries_of(T, min(3, T) if k is None else k, model, method, H, radius, steps, negations)
    rows, held = stratified_split(table.X, table.y, holdout, split_rng)
    both = f"a share that leaves some of the {len(table.y)} rows to train on"
    require(len(rows), "holdout", both, holdout)
    X, y = table.X[rows], table.y[rows]

    def run(training=None, counting=None):
        start = time.perf_counter()
        answer = decide(X, y, table.names, training_rng, tries=tries, callback=training)
        seconds = time.perf_counter() - start
        tried = next(one for one in tries if one.name == answer.name)
        known = asked(table, held, answer) | said(answer, table.names)
        known["certificate"] = sure_of(answer, tries, table, held, k, shuffle_rng)
        return answer.result, record_of(
            answer.result, seconds, X, y, answer.rule.support, label=table.label, k=k,
            description=f"{table.label} from {T} columns", names=list(table.names),
            positive=table.positive, notices=list(table.notices), rows=len(table.y),
            distinct=distinct(table.X), model=kind(tried.model), seed=seed,
            method="adam" if tried.train.method == "adam" else "pgd", **known)

    return Plan(tries[-1].model, tries[-1].train, run, longest(tries))


def sure_of(answer, tries, table, held, k, rng):
    """What is certain about the error, from all rows in an order that was drawn. The first half is
    decided from all tries: which one answered here was known from the other half too."""
    def again(X, y):
        return decide(X, y, table.names, np.random.default_rng(0), tries=tries).result

    order = rng.permutation(len(table.y))
    doubt = None if answer.certain else "nothing: which columns decide is not certain"
    X, y = table.X[order], table.y[order]
    return certainty(answer.result, X, y, k=k, train_again=again, logits=answer.result.logits(X),
                     rows=(lambda: table.X[held]) if len(held) > 1 else None,
                     without=doubt, examples="rows of the table")


def tries_of(T, k, model, method, H, radius, steps, negations):
    """The models to try: the usual two, or the one that was asked for."""
    if all(x is None for x in (model, H, radius, steps)) and str(method) == "auto":
        choose("pgd", "paper", "auto", (1 + negations) * T, k, H, radius, steps)   # not too wide
        return usual_tries(T, k, negations)
    usual = "adam" if model in ("gpt", "mlp") else "pgd"
    paper = model == "paper" or model is None and method != "adam"
    both = negations and paper
    method, model, config, train = choose(usual, model, method, (1 + both) * T, k, H, radius, steps)
    return (Try(f"{method} on the {model} model", config, train, both),)


def kind(model):
    """What the command line calls a model."""
    return "paper" if model.is_paper else {"tf": "scalar"}.get(model.block, model.block)


def distinct(X):
    """How many rows of X differ."""
    return len(np.unique(row_keys(X)))


def asked(table, held, answer):
    """What the rows held out say of the model and of the rule."""
    X, y = table.X[held], table.y[held]
    known = {"holdout": len(held), "holdout_distinct": distinct(X) if len(held) else 0}
    if not len(held):
        share = table.y.mean()
        return known | {"chance": float(max(share, 1 - share))}
    right = int((answer.result.predict(X) == y).sum())
    interval, chance = wilson(right, len(held)), float(max(y.mean(), 1 - y.mean()))
    enough = known["holdout_distinct"] >= ENOUGH
    return known | {
        "chance": chance, "holdout_accuracy": right / len(held), "holdout_interval": list(interval),
        "rule_holdout_accuracy": float((answer.rule(X) == y).mean()),
        "learned": interval[0] > chance if enough else None}


def said(answer, names):
    """The answer in words and numbers."""
    substitutes = {names[t]: [[names[other], how, rows] for other, how, rows in others]
                   for t, others in answer.substitutes.items()}
    return {
        "rule": answer.rule.say(names), "rule_exact": answer.rule.exact,
        "table": list(answer.rule.table),
        "support_found": [names[t] for t in answer.rule.support],
        "rule_train_accuracy": answer.right / answer.rows, "rule_differs": answer.differs,
        "certain": answer.certain, "why": answer.verdict.why, "label_noise": answer.noise,
        "substitutes": substitutes,
        "tried": [[name, rule.say(names), verdict.certain, verdict.why, differs]
                  for name, rule, verdict, differs in answer.tried]}


def label_in_words(record):
    """The label of a record as its rule says it, with the word that is 1."""
    return quoted(record["label"] + f" is {record['positive']}" * bool(record["positive"]))


def stratified_split(X, y, share, rng):
    """Split rows 0..m-1 at random into (train, holdout), holdout taking `share` of the rows of each
    label, rounded, as far as equal rows of X can stay on one side."""
    _, first, group = np.unique(row_keys(X), return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))       # groups in the order of their first rows
    group = order[group.ravel()]
    size = np.bincount(group)
    major = 2 * np.bincount(group, weights=y) > size
    held = np.zeros(len(size), bool)
    for value in (False, True):
        groups = rng.permutation(np.flatnonzero(major == value))
        wanted = round(share * size[groups].sum())
        for i in groups:
            if size[i] <= wanted:
                held[i], wanted = True, wanted - size[i]
    return np.flatnonzero(~held[group]), np.flatnonzero(held[group])
