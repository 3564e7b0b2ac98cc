"""The columns of a table that decide its label, as a rule in words, and how far it can be trusted.

    answer = decide(X, y, names)        answer.rule, answer.verdict, answer.result, answer.tries

Models are tried in turn, simplest first: one bounded head on all columns and their negations, then
the heads of Adam. A model proposes columns and a table (minitf.learn.rule); the rows mend it, where
a neighbouring rule explains them better; the first model whose rule is certain answers
(minitf.learn.evidence). Otherwise the model of the cheapest rule answers, and the verdict says what
is in doubt.
"""
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from minitf.checks import generator
from minitf.learn.evidence import WIDEST_RULE, Evidence, Verdict, rule_on
from minitf.learn.fit import Progress, finished, fit_quietly, read_examples
from minitf.learn.loop import TrainConfig, minibatch_descent
from minitf.learn.result import Result
from minitf.learn.rule import ROWS, Rule, flip_rates, majority
from minitf.model import ModelConfig, constraints, init_params

LOOK = 100              # steps between two looks at the rule of a model in training
STARTS = 3              # starts of Adam
STEPS = 800             # steps from each
MOST_BITS = 1 << 24     # bits that the search of one head is given, of more a random part
MOST_ROWS = 4096        # rows that Adam trains on: of more, memory builds the rule too late


class Try(NamedTuple):
    """A model to try: what to call it, its configuration, how to train it, on negations too?"""
    name: str
    model: ModelConfig
    train: TrainConfig = TrainConfig()
    negations: bool = False


@dataclass(frozen=True)
class Answer:
    """What a table says: the model that answers and the rule in its place.

    right       of `rows`, the training rows without copies, those on which the rule is right
    differs     rows on which the model says something else than the rule
    noise       the share of labels that look flipped, where the rule is certain, else None
    substitutes {column of the rule: [(other column, "equal", "complementary" or "as good", rows
                on which the two differ)]}
    tried       (name, rule, verdict) of each model that was tried
    """
    result: Result = field(repr=False)
    name: str
    rule: Rule
    verdict: Verdict
    right: int
    rows: int
    differs: int
    noise: float | None
    substitutes: dict
    tried: tuple

    @property
    def certain(self):
        return self.verdict.certain


def usual_tries(T, k=3, negations=True):
    """One bounded head, then 16 heads and a ReLU readout by Adam."""
    head = ModelConfig.paper(2 * T if negations else T, k)
    return (Try("one head", head, TrainConfig(), negations),
            Try("16 heads", ModelConfig.scalar(T), TrainConfig("adam")))


def decide(X, y, names=None, rng=None, *, tries=None, callback=None):
    """The Answer of labelled rows X (m, T), y (m,): bits, or a data frame whose columns have names.

    tries: the models, usual_tries(T) unless given. callback(Progress) after every step.
    """
    X, y, found = read_examples(X, y)
    X, y = independent_rows(np.asarray(X), y)
    names = names if names is not None else found
    rng = np.random.default_rng(0) if rng is None else generator("rng", rng)
    evidence, answers = Evidence(X, y), []
    for one in tries or usual_tries(X.shape[1]):
        answers.append(attempt(evidence, one, names, rng, named(one.name, callback)))
        if settled(answers[-1]):
            break
    best = min(answers, key=lambda found: (not found.certain, -found.verdict.gain,
                                           found.differs))
    tried = tuple((found.name, found.rule, found.verdict) for found in answers)
    return Answer(**{**vars(best), "tried": tried})


def named(name, callback):
    """A callback that is told which model is in training."""
    return callback and (lambda progress: callback(progress._replace(note=name)))


def independent_rows(X, y):
    """The rows without copies, where equal rows never differ in label and are more than four times
    as many pairs as independent columns would make: then copies are no evidence of their own."""
    octets = np.ascontiguousarray(np.packbits(np.column_stack([X, y]), axis=1))
    keys = octets.view(f"V{octets.shape[1]}").ravel()
    _, first, sizes = np.unique(keys, return_index=True, return_counts=True)
    without_label = np.ascontiguousarray(np.packbits(X, axis=1))
    distinct = len(np.unique(without_label.view(f"V{without_label.shape[1]}")))
    p = X.mean(axis=0)
    expected = len(X) ** 2 / 2 * np.prod(p * p + (1 - p) ** 2)
    pairs = (sizes * (sizes - 1) // 2).sum()
    if distinct < len(first) or pairs <= 4 * expected + 3:
        return X, y
    kept = np.sort(first)
    return X[kept], y[kept]


def settled(answer):
    """Whether no other model need be tried: the rule is certain and the model holds it, or it errs
    on no row and more rows, not another model, would tell."""
    held = answer.differs <= 0.02 * answer.rows + (answer.rows - answer.right)
    return held and (answer.certain or answer.right == answer.rows)


def attempt(evidence, one, names, rng, callback):
    """Train one model and return its Answer."""
    if one.train.method == "adam" or not one.model.is_paper:
        return descended(evidence, one, names, rng, callback)
    few = slice(None)
    if evidence.X.size > MOST_BITS:
        few = np.sort(rng.permutation(evidence.m)[:max(1, MOST_BITS // evidence.T)])
    result = fit_quietly(evidence.X[few], evidence.y[few], one.model, rng, train=one.train,
                         callback=callback, negations=one.negations)
    return answer_of(result, one, evidence, names)


def descended(evidence, one, names, rng, callback):
    """The Answer of a model in the loop of training, which ends when its rule is settled."""
    few = rng.permutation(evidence.m)[:MOST_ROWS]
    X, y, sets = evidence.X[few], evidence.y[few], constraints(one.model)
    best, history = None, {"step": [], "loss": []}
    for _ in range(STARTS):
        params = init_params(rng, one.model)
        descent = minibatch_descent(X, y, params, one.model, rng, one.train, sets)
        for step, (loss, params) in zip(range(1, (one.train.steps or STEPS) + 1), descent):
            history["step"].append(len(history["step"]) + 1)
            history["loss"].append(loss)
            if callback is not None:
                callback(Progress(len(history["step"]), loss, params))
            if step % LOOK == 0:
                result = finished(params, X, y, one.model, sets, history, {})
                now = answer_of(result, one, evidence, names)
                if best is None or now.verdict.gain >= best.verdict.gain:
                    best = now
                if settled(now):
                    return now
    return best


def answer_of(result, one, evidence, names):
    """Read a rule off a trained model, mend it by the rows, and judge it."""
    few = evidence.X[:ROWS].copy()
    rates = flip_rates(result.predict, few, result.strength())
    order = np.argsort(-rates, kind="stable")[:min(WIDEST_RULE, int((rates > 0).sum()))]
    labels = result.predict(evidence.X)

    def by_the_model(support):
        return majority(result.predict, evidence.X, labels, few, support)

    # of the columns that move the model most, as many as the rows bear out
    nested = [tuple(sorted(order[:s].tolist())) for s in range(len(order) + 1)]
    support = min(nested, key=lambda S: evidence.cost(evidence.errors(S), len(S)))
    support = evidence.improved(support)
    rule = rule_on(evidence, support, by_the_model, names)
    exact = result.rule()
    if exact is not None and exact.same_as(rule):
        rule = exact
    answers = rule(evidence.X)
    right = int((answers == evidence.y).sum())
    verdict = evidence.verdict(rule, names or [f"x{t}" for t in range(evidence.T)])
    return Answer(result, one.name, rule, verdict, right, evidence.m,
                  int((answers != labels).sum()),
                  (evidence.m - right) / evidence.m if verdict.certain else None,
                  substitutes(evidence, rule), ())


def substitutes(evidence, rule, most=8):
    """The columns that could stand in the place of each column of a rule."""
    found, price = {}, evidence.cost((rule(evidence.X) != evidence.y).sum(), rule.k)
    for column in rule.support:
        equal, opposite = evidence.same_or_opposite(column)
        found[column] = [(t, "equal", 0) for t in sorted(equal)]
        found[column] += [(t, "complementary", evidence.m) for t in sorted(opposite)]
    for other, rival, column in evidence.rivals(rule.support):
        if column is None or rival - price > 4:
            continue
        t = (set(other) - set(rule.support)).pop()
        if t not in [known[0] for known in found[column]]:
            differ = int((evidence.X[:, t] != evidence.X[:, column]).sum())
            found[column].append((t, "as good", differ))
    return {column: others[:most] for column, others in found.items() if others}
