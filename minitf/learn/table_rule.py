"""The columns of a table that decide its label, as a rule in words, and how far it can be trusted.

    answer = decide(X, y, names)        answer.rule, answer.verdict, answer.result, answer.tries

Models are tried in turn, simplest first: one bounded head on all columns and their negations, then
the heads of Adam. A model proposes columns and a table (minitf.learn.rule); the rows mend it, where
a neighbouring rule explains them better; the first model whose rule is certain answers
(minitf.learn.evidence). Otherwise the model of the cheapest rule answers, and the verdict says what
is in doubt.
"""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, count, each, instance, require
from minitf.learn.evidence import GAIN, WIDEST_RULE, Evidence, Verdict, rule_on
from minitf.learn.fit import Progress, finished, fit_quietly, most_steps, read_examples
from minitf.learn.loop import TrainConfig, minibatch_descent
from minitf.learn.result import Result
from minitf.learn.rule import ROWS, Rule, flip_rates, majority
from minitf.model import ModelConfig, constraints, init_params
from minitf.tasks import Packed

LOOK = 100              # steps between two looks at the rule of a model in training
STARTS = 3              # starts of Adam
STEPS = 800             # steps from each
LOUDER = 4.0            # by which the positions of a rule that is known begin larger
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
    tried       (name, rule, verdict, differs) of each model that was tried
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

    def __str__(self):
        doubt = "" if self.certain else f"; in doubt: {self.verdict.why}"
        rows = f"{self.right} of {self.rows} rows{doubt}"
        return f"{'perhaps ' * (not self.certain)}{self.rule.say()}   ({rows})"


@checked
def usual_tries(T: count, k: count = 3, negations: bool = True):
    """One bounded head, then 16 heads and a ReLU readout by Adam."""
    head = ModelConfig.paper(2 * T if negations else T, k)
    return (Try("one head", head, TrainConfig(restarts=0), negations),
            Try("16 heads", ModelConfig.scalar(T), TrainConfig("adam")))


@checked
def decide(X, y, names: each(partial(instance, kind=str)) = None,
           rng: np.random.Generator | None = None, *,
           tries: each(partial(instance, kind=Try)) = None, callback: Callable | None = None):
    """The Answer of labelled rows X (m, T), y (m,): bits, or a data frame whose columns have names.

    tries: the models, usual_tries(T) unless given. callback(Progress) after every step.
    """
    X, y, found = read_examples(X, y)
    X, y = independent_rows(np.asarray(X), y)
    names = names if names is not None else found
    require(names is None or len(names) == X.shape[1], "names", f"{X.shape[1]} names", names)
    rng = np.random.default_rng(0) if rng is None else rng
    evidence, answers = Evidence(X, y), []
    for one in tries or usual_tries(X.shape[1]):
        known = [answer for answer in answers if answer.certain][-1:]
        answers.append(attempt(evidence, one, names, rng, named(one.name, callback), *known))
        if settled(answers[-1]):
            break
    best = min(answers, key=lambda found: (not found.certain, -found.verdict.gain,
                                           found.differs))
    tried = tuple((found.name, found.rule, found.verdict, found.differs) for found in answers)
    return Answer(**{**vars(best), "tried": tried})


def longest(tries):
    """The number of steps that `decide` will not exceed."""
    return sum(STARTS * (one.train.steps or STEPS) if by_adam(one) else
               most_steps(one.model, one.train) for one in tries)


def by_adam(one):
    """Whether a model is trained in the loop."""
    return one.train.method == "adam" or not one.model.is_paper


def named(name, callback):
    """A callback that is told which model is in training."""
    return callback and (lambda progress: callback(progress._replace(note=name)))


def row_keys(X):
    """One value for each row of bits X, equal where rows are equal."""
    octets = np.ascontiguousarray(np.packbits(X, axis=1))
    return octets.view(f"V{octets.shape[1]}").ravel()


def has_copies(X):
    """Whether more rows of X (m, T) are equal than rows of independent columns would be: pairs of
    equal rows are more than 10 times as many as expected, and than a twentieth of the rows."""
    if isinstance(X, Packed):                   # so many bits that equal rows would be a wonder
        return False
    m, p = len(X), X.mean(axis=0)
    counts = np.unique(row_keys(X), return_counts=True)[1]
    expected = m * (m - 1) / 2 * np.prod(p ** 2 + (1 - p) ** 2)
    return bool((counts * (counts - 1) / 2).sum() > 10 * expected + m / 20)


def independent_rows(X, y):
    """The rows without copies: those are no evidence of their own. Equal rows that differ in label
    are no copies."""
    first = np.sort(np.unique(row_keys(np.column_stack([X, y])), return_index=True)[1])
    alike = len(first) == len(np.unique(row_keys(X)))
    return (X[first], y[first]) if alike and has_copies(X) else (X, y)


def settled(answer):
    """Whether no other model need be tried: the model holds the rule, and that is certain, or more
    rows, not another model, would tell."""
    held = answer.differs <= 0.02 * answer.rows + (answer.rows - answer.right)
    return held and (answer.certain or answer.verdict.by_rows)


def attempt(evidence, one, names, rng, callback, known=None):
    """Train one model and return its Answer."""
    if by_adam(one):
        return descended(evidence, one, names, rng, callback, known)
    few = slice(None)
    if evidence.X.size > MOST_BITS:
        few = np.sort(rng.permutation(evidence.m)[:max(1, MOST_BITS // evidence.T)])
    result = fit_quietly(evidence.X[few], evidence.y[few], one.model, rng, train=one.train,
                         callback=callback, negations=one.negations)
    return answer_of(result, one, evidence, names)


def descended(evidence, one, names, rng, callback, known=None):
    """The Answer of a model in the loop of training, which ends when its rule is settled.

    known: an Answer of which the rule is certain; starts look at its columns. After a start that
    shows no rule no other is tried.
    """
    few = rng.permutation(evidence.m)[:MOST_ROWS]
    X, y, sets = evidence.X[few], evidence.y[few], constraints(one.model)
    best, history = None, {"step": [], "loss": []}
    for _ in range(STARTS):
        params = init_params(rng, one.model)
        if known is not None and "P" in params:
            params["P"][list(known.rule.support)] *= LOUDER
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
        if best.verdict.gain < GAIN:
            break
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
        rule = replace(exact, names=rule.names)
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
