"""Sparse variable creation: explicit weights, inside stated norm balls, that compute a sparse
Boolean function.

    params, model, certificate = construct(task, eps=0.05)
                    an ordinary model: logit = 2 f - 1, |f - rule| <= eps
    certificate.holds(verify(params, model, task).error)
                    over every pattern on the support, against other bits

`codes` derives the weights, FORMS lists the choices: how much attention leaks, which readout.
Source: Edelman, Goel, Kakade, Zhang 2022, sparse variable creation, where score norms are O(log(T
k/eps)) and the others O(k), poly(k), 2^O(k) for monotone symmetric, symmetric, general rules; the
explicit constants are derived here.
"""
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, choice, integer, real, require
from minitf.fast import attention_of
from minitf.learn import Result, logits_of
from minitf.model import ModelConfig
from minitf.model import positions as position_vectors
from minitf.tasks import BooleanTask
from minitf.theory.costs import bounds_of, norms_of, rounding_of
from minitf.theory.leak import code_of, least_gap, query
from minitf.theory.readout import Readout, match, ramps

FORMS = {
    "unit": "AND alone. One unit: 0 up to the most that k-1 ones reach, from there to 1 at v = 1; "
            "lam = eps/(k + eps)",
    "interp": "one knot a code, in the middle of its interval; lam = 2 eps/(W + 2 eps), by which "
              "the error is eps",
    "plateau": "two knots a code, the ends of its interval, flat between: exact while lam < "
               "1/(W+1); lam = 1/(4W)",
    "heads": "a head for each bit, two units for each pattern of label 1: exact; lam = 1/(4k)",
    "paper": "rules count >= level in the bounded class of ModelConfig.paper: the ramp of plateau, "
             "clipped: exact",
}
MOST_K = 8              # bits of a rule: more would take thousands of units
MOST_WEIGHTS = 1 << 22  # T x heads x (units + 1): a pass takes a dozen arrays of as many numbers
MOST_BITS = 1 << 24     # T x 2^k that `verify` runs for every choice of the other bits


class Construction(NamedTuple):
    """What a construction promises, and the norms it takes.

    promised: the largest |f - rule| over all 2^T inputs, f = clip((1 + logit)/2, 0, 1); rounding:
    what float64 may add (`rounding_of`). beta, leak: temperature, attention outside the support (of
    the worst head); gap: the score gap that this leak needs in any head (`least_gap`). weights: the
    w_i of the code. norms: {name: (value, bound, formula)}, the largest over heads; u = w/2 is the
    readout of f, units its length.
    """
    form: str
    eps: float
    promised: float
    rounding: float
    beta: float
    leak: float
    gap: float
    weights: np.ndarray
    norms: dict
    readout: Readout

    def holds(self, error):
        """Whether a measured error keeps the promise."""
        return bool(error <= self.promised * (1 + 1e-9) + self.rounding)


class Verification(NamedTuple):
    """error: the largest |f - rule| over all patterns on the support, each with `rests` choices of
    the other bits."""
    error: float
    patterns: int
    rests: int


@checked
def construct(task: BooleanTask, eps=0.05, *, form=None, positions="onehot", d_P=None,
              position_seed=0):
    """Return params, model, certificate: weights with |f - rule| <= eps for all 2^T inputs, logit =
    2 f - 1.

    form: of FORMS; unless given, unit for AND, plateau for rules "count >= level", otherwise
    interp. positions "sign": P of d_P columns +-1/sqrt(d_P), drawn from position_seed; max(16 k
    log(4T/f), 8 k^2 log(2 k^2/f)) columns serve a support with probability 1 - f, a sixth of them
    usually. The balls of the model are the norms that suffice: they hold the weights, and fit can
    start there. Errors: k above MOST_K; eps outside [1e-9, 0.5); a form that cannot hold the rule;
    too many units for T; a d_P too small for the support.
    """
    eps = real("eps", eps, "a number from 1e-9 to below 0.5", lambda eps: 1e-9 <= eps < 0.5)
    require(task.k <= MOST_K, "k", f"at most {MOST_K}", task.k)
    w, g = code_of(task.table)
    level = w.max() == 1 and np.array_equal(g, np.sort(g))
    usual = "unit" if task.kind == "and" else "plateau" if level else "interp"
    form = usual if form is None else choice("form", form, FORMS)
    require(form != "unit" or (level and sum(g) == 1), "form",
            "another than unit, which is for AND", form)
    require(form != "paper" or level, "form",
            "another than paper, which is for rules count >= level", form)
    choice("positions", positions, ("onehot", "sign"))
    onehot = positions == "onehot"
    require(onehot or form != "paper", "positions", "onehot with form paper", positions)
    require(not onehot or d_P is None, "d_P", "none with positions onehot", d_P)
    width = task.T if onehot else integer("d_P", d_P, 2)
    model = ModelConfig.paper(task.T, task.k) if form == "paper" else ModelConfig(
        task.T, d=width + 3, d_v=1, activation="relu", positions=positions,
        position_seed=position_seed)
    return represent(np.array(task.support), np.array(task.table), eps, form, model)


def represent(S, table, eps, form, model):
    """construct for a table of 2^k labels, which may ignore some of its bits, and a model that says
    which positions."""
    T, k, (w, g) = model.T, len(S), code_of(table)
    W, supports = w.sum(), [S]
    if form == "heads":
        w, supports = np.ones(1), S[:, None]
    lam = {"unit": eps / (k + eps), "interp": 2 * eps / (W + 2 * eps),
           "heads": 1 / (4 * k)}.get(form, 1 / (4 * W))
    P = None if model.positions == "onehot" else position_vectors(model, np.float64)
    q, betas, leaks = zip(*(query(T, part, w, lam, P) for part in supports))
    q, beta, lam = np.array(q), max(betas), max(leaks)
    readout = match(table, lam) if form == "heads" else ramps("plateau"
                                                              if form == "paper" else form, g, lam)
    params = bounded(q, readout) if form == "paper" else scalar(q, readout, model)
    bounds = bounds_of(form, P is None, T=T, k=k, eps=eps, lam=lam, W=W, w=w.max(),
                       ones=np.count_nonzero(table),
                       jumps=np.count_nonzero(np.diff(g)))
    norms = norms_of(params, bounds, score=beta + math.log(w.max()), units=len(readout.u))
    if form != "paper":
        model = replace(model, H=len(q), d_v=len(readout.u), radius=norms["||q||_1"][1],
                        C_21=norms["||W_V||_{2,1}"][1], B_w=2 * norms["||u||_2"][1])
    promised, gap = eps if form in ("unit", "interp") else 0.0, least_gap(lam, T, len(supports[0]))
    rounding = rounding_of(readout, q, P, supports, [beta + np.log(w) for beta in betas])
    return params, model, Construction(form, eps, promised, rounding, beta, lam, gap, w, norms,
                                      readout)


def scalar(q, readout, model):
    """The weights of a readout by ReLU units: W_V has columns a E_1 - theta o, and c = 2 heights[0]
    - 1."""
    a, theta, H, n = readout.a, readout.theta / len(q), len(q), len(readout.u)
    most = MOST_WEIGHTS // (H * (n + 1))
    require(model.T <= most, "T", f"at most {most} with units = {n}, heads = {H}", model.T)
    W_V = np.zeros((H, model.d, n))
    W_V[:, -3], W_V[:, -2], W_V[:, -1] = -theta, a - theta, -theta          # rows E_0, E_1, x_cls
    c = np.array(2 * readout.heights[0] - 1)
    return {"q": np.pad(q, ((0, 0), (0, 3))), "W_V": W_V, "w": 2 * readout.u, "c": c}


def bounded(q, readout):
    """The weights of a ramp in the bounded class, where v itself is read: logit = 2 u (v - theta) -
    1."""
    u, theta = readout.u[0], readout.theta[0]
    return {"q": q, "w": np.array([2 * u]), "c": np.array(-2 * u * theta - 1)}


@checked
def verify(params: Mapping, model: ModelConfig, task: BooleanTask,
           rng: np.random.Generator | None = None, *, rests=4, rounds=2):
    """Run a model on all 2^k patterns on the support of a task:  a Verification of f = clip((1 +
    logit)/2, 0, 1).

    The other bits are all 0, all 1, `rests` random draws, and those of a search: from the worst
    found, `rounds` times, 8 times flip a random set of bits and keep what is worst. For one head
    all 0 and all 1 are the worst (`codes`).
    """
    require(task.T == model.T, "task", f"a task of T = {model.T} bits", task.T)
    rng = np.random.default_rng(0) if rng is None else rng
    rests, rounds = integer("rests", rests, 0, 1000), integer("rounds", rounds, 0, 1000)
    S, table, T = np.array(task.support), np.array(task.table), task.T
    require(T * len(table) <= MOST_BITS, "T", f"at most {MOST_BITS >> task.k} with k = {task.k}", T)
    others = np.concatenate([np.zeros((1, T), np.uint8), np.ones((1, T), np.uint8),
                             rng.integers(0, 2, (rests, T), np.uint8)])
    errors = largest_errors(params, model, S, table, others)
    worst, error = others[errors.argmax()], errors.max()
    for _ in range(rounds):
        share = T ** -rng.random((8, 1))
        others = worst ^ (rng.random((8, T)) < share)
        errors = largest_errors(params, model, S, table, others)
        if errors.max() > error:
            worst, error = others[errors.argmax()], errors.max()
    return Verification(float(error), len(table), 2 + rests + 8 * rounds)


def largest_errors(params, model, S, table, others):
    """The largest |f - label| over all 2^k patterns on S, for every row of other bits (n, T) ->
    (n,)."""
    k, size = len(S), len(others) * len(table)
    errors, step = np.empty(size), max(1, (1 << 23) // model.T)
    for start in range(0, size, step):
        index = np.arange(start, min(start + step, size))
        X = others[index >> k]
        X[:, S] = index[:, None] >> np.arange(k) & 1
        f = np.clip((1 + logits_of(params, X, model)) / 2, 0, 1)
        errors[index] = np.abs(f - table[index & (len(table) - 1)])
    return errors.reshape(len(others), -1).max(axis=1)


def as_result(params, model, task):
    """A Result of constructed weights, to predict, show attention and save; heads count equally."""
    weights = attention_of(params, np.zeros((1, model.T), np.uint8), model)
    return Result(params, model, weights, np.full(model.H, 1 / model.H), np.full(model.T, task.p))
