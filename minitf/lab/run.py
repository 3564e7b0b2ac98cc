"""One run of learning, start to end: draw or read a sample, train, and measure what was learned. Nothing is printed.

A run on a task uses four independent streams of its seed: task, sample, holdout, training. The learner sees the sample
alone; the rule serves to check the sample before and the result after training.
"""
import math
import time
from typing import Callable, NamedTuple

import numpy as np

from minitf.checks import choice, integer, real, require
from minitf.files import VERSION
from minitf.lab.datasets import stratified_split
from minitf.lab.holdout import count_correct, HOLDOUT, wilson
from minitf.learn import fit, TrainConfig
from minitf.model import constraints, ModelConfig
from minitf.tasks import consistent_supports, is_checkable, labels_by_count, Packed, sample_task
from minitf.theory import certify

ATTEMPTS = 200          # samples drawn before an unambiguous one is given up
FIRST_ORDER = ("and", "or", "majority", "threshold")
MODELS = ("paper", "scalar", "gpt", "mlp")
LARGEST = 1 << 33       # bits of a sample, packed: 1 GB
PACK = 1 << 26          # bits of a sample from which it is packed as it is drawn
WIDEST = 1 << 25        # heads x positions of a model; a model other than paper counts as 1024 heads
RECORD = {
    "task": "kind of rule; null for a user's own table",
    "description": "the same in words",
    "label": "name of the label column of a user's own table",
    "names": "names of its T columns",
    "T": "positions",
    "k": "size of the support; null where the attention decides",
    "p": "P(bit = 1)",
    "noise": "probability that a label of the sample was flipped",
    "table": "the rule: 2^k labels, least significant bit first",
    "m": "examples trained on",
    "information_limit": "log2 C(T, k), the bits that name a support",
    "determined": "whether one support alone explains the sample; null: not checked",
    "redraws": "samples drawn in vain before this one",
    "chance": "accuracy of the best constant answer (own table: on the held-out rows)",
    "support_true": "positions that the rule depends on",
    "support_found": "positions, or column names, of most attention",
    "train_accuracy": "on the m examples, with the labels trained on",
    "train_loss": "mean logistic loss after the last step (of the last batch, in the plain loop)",
    "holdout": "number of fresh examples, or held-out rows",
    "holdout_accuracy": "on those (drawn task: against clean labels)",
    "holdout_interval": "own table: 95 % Wilson interval of holdout_accuracy",
    "noisy_holdout_accuracy": "drawn task: against labels with the same noise",
    "learned": "drawn task: exact support, every fresh example right; own table: the interval lies above chance",
    "method": "pgd or adam",
    "model": "paper, scalar, gpt or mlp",
    "heads": "attention heads",
    "radius": "bound on ||W_QK^T||_{2,1}; null for none",
    "steps": "steps taken",
    "seconds": "of training",
    "norms": "every bounded norm: {name: {value, radius}}, the largest over the heads",
    "certificate": "what the norms and the margin certify about the error, a dict (minitf.capacity.Certificate)",
    "attention_top": "[position, mean attention] of the ten strongest, and of as many as were found; mlp: flip rates",
    "residual": "||x - P(x - g)||, g the gradient of the mean training loss: how far from stationary training ended",
    "seed": "of the run",
    "version": "of the library",
}


class Plan(NamedTuple):
    """A run whose every option was checked: run(training=None, counting=None) -> (Result, record), a dict of JSON
    values. training, counting: callbacks (minitf.Progress) after every step and every block of fresh examples."""
    model: ModelConfig
    train: TrainConfig
    run: Callable


def auto_method(kind, model=None):
    """"pgd" for rules whose bits each correlate with the label, "adam" where perhaps none does, and for gpt and mlp."""
    return "pgd" if kind in FIRST_ORDER and model not in ("gpt", "mlp") else "adam"


def auto_m(kind, T, k, method, model=None, noise=0.0):
    """The sample size of a run unless given.

        pgd     6 log2 C(T, k), rounded down; at least 16. With label noise nu divided by 1 - 2 sqrt(nu (1 - nu)), the
                factor by which noise weakens the evidence against a wrong support (Chernoff)
        adam    500 for k <= 2, four times more for every further bit, times T/64 beyond T = 64; twice that for gpt, mlp
    """
    if method == "pgd":
        return max(16, math.floor(6 * math.log2(math.comb(T, k)) / (1 - 2 * math.sqrt(noise * (1 - noise)))))
    base = 1000 if model in ("gpt", "mlp") else 500
    return math.ceil(base * 4 ** max(k - 2, 0) * max(T / 64, 1))


def draw_sample(task, m, rng, *, redraw=False, rule_known=True):
    """Draw m examples; say whether they determine the support; with redraw, draw again until they do.

    Returns X, y, determined (True, False, or None: not checked, for noisy labels and tasks too large), redraws.
    """
    checked = task.noise == 0 and is_checkable(task.kind, task.T, task.k)
    checkable = "noise 0 and a task small enough to check"
    require(checked or not redraw, "redraw", checkable, f"noise {task.noise:g}, {task}")
    by_count = labels_by_count(task.table)
    rule = {"level": task.k + 1 - sum(by_count)} if task.kind == "threshold" else {}
    if task.kind in ("symmetric", "junta") and rule_known:
        rule["table"] = task.table if task.kind == "junta" else by_count
    for redraws in range(ATTEMPTS):
        X, y = sample(task, rng, m)
        determined = None
        if checked:
            determined = len(consistent_supports(X, y, task.kind, task.k, limit=2, **rule)) == 1
        if determined is not False or not redraw:
            return X, y, determined, redraws
    raise ValueError(f"redraw: expected a sample of m = {m} that determines the support, got {ATTEMPTS} ambiguous ones")


def sample(task, rng, m):
    """task.sample(rng, m), the bits Packed if they are many."""
    if m * task.T <= PACK:
        return task.sample(rng, m)
    labels = []

    def blocks():
        for X, y in task.blocks(rng, m, 8 * max(1, (1 << 19) // task.T)):
            labels.append(y)
            yield X

    return Packed.joined(blocks()), np.concatenate(labels)


NORMS = {"q": "||W_QK^T||_{2,1}", "w": "|w|", "c": "|c|"}


def norms(result):
    """Every constrained norm of a trained model, the largest over its heads, beside its radius."""
    return {NORMS[name]: {"value": float(np.max(ball.norm(result.params[name]))), "radius": ball.radius}
            for name, ball in constraints(result.model).items()}


def record_of(result, seconds, X, y, found, **known):
    """The record of a run, its keys those of RECORD: what is known of it and what the training itself says."""
    weights, logits = result.strength(), result.logits(X)
    top = np.argsort(-weights, kind="stable")[:max(10, len(found))]
    return dict.fromkeys(RECORD) | known | {
        "T": result.model.T, "m": len(y), "heads": result.model.H, "radius": result.model.radius, "version": VERSION,
        "train_accuracy": float(((logits > 0) == y).mean()), "train_loss": float(result.history["loss"][-1]),
        "steps": len(result.history["step"]), "seconds": round(seconds, 4), "norms": norms(result),
        "certificate": certify(result, X, y, k=len(found), logits=logits)._asdict(),
        "residual": result.residual, "attention_top": [[int(t), float(weights[t])] for t in top],
    }


def plan_task(task="and", k=2, T=64, *, m=None, p=None, noise=0.0, level=None, table=None, model=None, method="auto",
              H=None, radius=None, steps=None, seed=0, redraw=False):
    """Check every option, draw the task and its sample: a Plan whose run(callback) trains and measures."""
    task_rng, sample_rng, holdout_rng, training_rng = streams(seed, 4)
    method, model, config, train = choose(auto_method(task, model), model, method, T, k, H, radius, steps)
    drawn = sample_task(task_rng, task, T, k, level=level, table=table, p=p, noise=noise)
    m = integer("m", auto_m(task, T, k, method, model, drawn.noise) if m is None else m, 1)
    require(m * T <= LARGEST, "m", f"at most {LARGEST // T} examples of {T} bits (2^33 bits in all)", m)
    X, y, determined, redraws = draw_sample(drawn, m, sample_rng, redraw=redraw, rule_known=table is not None)

    def run(training=None, counting=None):
        result, seconds = timed_fit(X, y, config, training_rng, train, training)
        (clean, noisy), = count_correct([result.predict], drawn, holdout_rng, callback=counting)
        found = result.support(k)
        return result, record_of(
            result, seconds, X, y, found, task=task, description=str(drawn), k=k, p=drawn.p, noise=drawn.noise,
            table=list(drawn.table), information_limit=math.log2(math.comb(T, k)), determined=determined,
            redraws=redraws, chance=round(drawn.chance, 12), support_true=list(drawn.support),
            support_found=list(found), holdout=HOLDOUT, holdout_accuracy=clean / HOLDOUT,
            noisy_holdout_accuracy=noisy / HOLDOUT,
            learned=found == drawn.support and clean == HOLDOUT, method=method, model=model, seed=seed)

    return Plan(config, train, run)


def plan_table(table, k=None, *, model=None, method="auto", H=None, radius=None, steps=None, seed=0, holdout=0.2):
    """Check every option against a user's own bits (datasets.Table) and split them: a Plan as of plan_task.

    learned means better than chance: the lower end of the 95 % Wilson interval of the holdout accuracy is above the
    share of the majority label there. Without k the support is every position of at least half the largest attention.
    """
    T = table.X.shape[1]
    split_rng, training_rng = streams(seed, 2)
    require(k is None or 1 <= integer("k", k) <= T, "k", f"an integer from 1 to {T}, the number of columns", k)
    holdout = real("holdout", holdout, "a share above 0 and below 1", lambda share: 0 < share < 1)
    size = min(3, T) if k is None else k
    method, model, config, train = choose(auto_method("and", model), model, method, T, size, H, radius, steps)
    rows, held = stratified_split(table.y, holdout, split_rng)
    both = f"a share that leaves some of the {len(table.y)} rows on both sides"
    require(len(held) and len(rows), "holdout", both, holdout)
    X, y = table.X[rows], table.y[rows]

    def run(training=None, counting=None):
        result, seconds = timed_fit(X, y, config, training_rng, train, training)
        right = int((result.predict(table.X[held]) == table.y[held]).sum())
        interval = wilson(right, len(held))
        weights = result.strength()
        found = result.support(int((2 * weights >= weights.max()).sum()) if k is None else k)
        chance = float(max(table.y[held].mean(), 1 - table.y[held].mean()))
        return result, record_of(
            result, seconds, X, y, found, description=f"{table.label} from {T} columns", label=table.label,
            names=list(table.names), k=k, chance=chance, support_found=[table.names[t] for t in found],
            holdout=len(held), holdout_accuracy=right / len(held), holdout_interval=list(interval),
            learned=interval[0] > chance, method=method, model=model, seed=seed)

    return Plan(config, train, run)


def streams(seed, n):
    """n independent generators of one seed."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(integer("seed", seed, 0)).spawn(n)]


def choose(usual, model, method, T, k, H, radius, steps):
    """Fill in what was left to choose: (method, model name, ModelConfig, TrainConfig)."""
    method = usual if method == "auto" else choice("method", method, ("pgd", "adam"))
    model = ("paper" if method == "pgd" else "scalar") if model is None else choice("model", model, MODELS)
    options = {name: value for name, value in (("H", H), ("radius", radius)) if value is not None}
    require(H is None or model != "mlp", "H", "none with model mlp", H)
    require(radius is None or model in ("paper", "scalar"), "radius", f"none with model {model}", radius)
    config = ModelConfig.paper(T, k, **options) if model == "paper" else getattr(ModelConfig, model)(T, **options)
    heads = config.H if model == "paper" else 1024
    require(T * heads <= WIDEST, "T", f"at most {WIDEST // heads} with model {model} and heads = {config.H}", T)
    return method, model, config, TrainConfig(method=method, steps=steps)


def timed_fit(X, y, config, rng, train, callback):
    """fit, and the seconds that it took."""
    start = time.perf_counter()
    result = fit(X, y, config, rng, train=train, callback=callback)
    return result, time.perf_counter() - start
