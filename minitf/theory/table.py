"""What the bounds say about a rule of k of T bits: the numbers behind `minitf bound`."""
import math
from dataclasses import replace
from functools import partial

import numpy as np

from minitf.checks import checked, choice, count, each, integer, real, require
from minitf.projections import norm
from minitf.tasks import KINDS, balanced_p, truth_table
from minitf.theory.budgets import ScalarBudgets
from minitf.theory.error import (
    gap_bound,
    margin_bound,
    probability,
    rad_chain,
    rad_dudley_closed,
    sample_complexity,
    uniform_margin_bound,
)
from minitf.theory.information import fano_m, log_supports, m_star, occam_m, rho_of
from minitf.theory.leak import beta_for_leak, code_of
from minitf.theory.measured import averages
from minitf.theory.networks import scalar_C2, scalar_logcov, scalar_parts
from minitf.theory.rademacher import rademacher_lower
from minitf.theory.readout import ramps
from minitf.theory.rivals import param_count_logcov, scalar_scaling

NORMS = ("B_X", "B_q", "B_q1", "B_V", "B_V21", "B_V11", "B_u", "L_s")
MOST = 1e9                                          # of a budget: products of a dozen stay finite
LIMIT = 10 ** 120                                   # examples
LENGTHS = tuple(2 ** j for j in range(4, 11))       # of `rademacher_table`
# Which covers a route allows for each weight: l2 and l1 name the norm of q; l1 and best may count
# parameters (mau is a binomial, which counts those of q); length_free depends on norms, and on T
# through the width d alone.
ROUTES = {
    "l2": {"q": ["sid"], "W_V": ["frobenius"], "u": ["sid"]},
    "l1": {"q": ["mau"], "W_V": ["frobenius"], "u": ["sid"]},
    "best": {"q": ["sid", "mau", "vol"], "W_V": ["frobenius", "vol"], "u": ["sid", "vol"]},
    "length_free": {"q": ["mau-norm"], "W_V": ["mau-norm"], "u": ["sid", "vol"]},
}
EVERYWHERE = ROUTES["length_free"] | {"u": ["vol"]}     # covers of the whole domain


@checked
def and_class(T: count, k: count):
    """Return the budgets of an exact head for AND of k of T bits, and its inverse temperature beta.

    Positions, the two bit vectors and x_cls are orthonormal, d = T + 3, rows of norm sqrt 2. q =
    beta on each position of the support leaves attention lam = 1/(4(k+1)) elsewhere: beta =
    log((T+1-k)(1-lam)/(lam k)). One unit relu(mean bit - theta), theta = (1-lam)(k-1)/k + lam, is
    positive only if all k bits are 1; u = k/(1 - (k+1) lam) = 4k/3 lifts it to 1, where f is
    clipped.
    """
    require(k <= T, "k", f"at most T = {T}", k)
    lam = 1 / (4 * (k + 1))
    beta = math.log((T + 1 - k) * (1 - lam) / (lam * k))
    theta = (1 - lam) * (k - 1) / k + lam
    # the column (1 - theta, -theta, -theta) in the basis e_1, e_0, e_c
    B_V = math.hypot(1 - theta, theta, theta)
    return ScalarBudgets(T=T, d=T + 3, d_v=1, B_X=math.sqrt(2), B_q=beta * math.sqrt(k),
                         B_q1=beta * k,
                         B_V=B_V, B_V21=B_V, B_V11=1 + theta, B_u=4 * k / 3), beta


def task_class(kind, T, k, level=None, table=None):
    """Return the budgets of an exact head for a rule of k bits (`truth_table`), and its inverse
    temperature beta.

    and: `and_class`. Else a function g of a code 0..W of the bits (`leak.code_of`): the count of
    ones, or of a rule that tells its bits apart the index in its table. Scores beta + log w_i,
    attention 1 - lam on the support, lam = 1/(4W), leave the mean of the bits in disjoint
    intervals, one for each code, and up to 2W ReLU units join the values g over them
    (`readout.ramps`, plateau).
    """
    rule = truth_table(kind, k, level, table)
    if kind == "and":
        return and_class(T, k)
    require(k <= integer("T", T, 1), "k", f"at most T = {T}", k)
    w, g = code_of(rule)
    lam = 1 / (4 * w.sum())
    beta, units = beta_for_leak(lam, T, k, w.sum()), ramps("plateau", g, lam)
    q = beta + np.log(w)
    # in the basis e_1, e_0, e_c
    W_V = np.stack([1 - units.theta, -units.theta, -units.theta])
    norms = {name: float(norm(value, of)) for name, value, of in (
        ("B_q", q, "l2"), ("B_q1", q, "l1"), ("B_V", W_V, "spectral"), ("B_V21", W_V, "l21"),
        ("B_V11", W_V, "l1"), ("B_u", units.u, "l2"))}
    return ScalarBudgets(T=T, d=T + 3, d_v=len(units.u), B_X=math.sqrt(2), **norms), beta


def position_width(T, k, failure=0.01):
    """Return the width of random-sign positions that serve k of T:  max(16 k log(2T/f), 8 k^2 log(2
    k^2/f)).

    With probability 1 - f, f = failure, the scores on the support are exact, those elsewhere at
    most half as large, and ||q||_2 <= 2 beta sqrt(2k).
    """
    return math.ceil(max(16 * k * math.log(2 * T / failure),
                         8 * k * k * math.log(2 * k * k / failure)))


def count_parameters(eps, m, c):
    """log N(eps) of c by `param_count_logcov`, q, W_V and u each a part."""
    parts = scalar_parts(m, c)
    D, r, b = zip(*((part.maps.p * part.maps.d, part.maps.F * part.maps.B, part.b)
                    for part in parts))
    return param_count_logcov(eps, D, r, b)


def narrow(c, k, above=0.0):
    """c with positions of random signs, `position_width` wide; c itself where one-hot ones are
    narrower. Scores 2 beta + log max w + log w_i on the support, above = log(max w)/beta, are as
    far from the others as beta + log w_i are with one-hot ones."""
    width, more = position_width(c.T, k), math.sqrt(2) * (2 + above)
    return c if c.T <= width else replace(c, d=width + 3, B_q=more * c.B_q)


def routes(c, slim):
    """Return {name: logcov(eps, m)} for c: ROUTES, and parameter counts at width T + 3 and in
    `narrow`."""
    found = {name: partial(scalar_logcov, c=c, covers=covers) for name, covers in ROUTES.items()}
    return found | {"count": partial(count_parameters, c=c),
                    "count_narrow": partial(count_parameters, c=slim)}


def bounded_head(k, T, delta, named):
    """The bound, a function of m, of the class that the bounded head is trained in: averages of
    the bits, whose attention does not see them.

    f = 1/2 + <v, b - 1/2> + c with ||v||_1 <= W, |c| <= W/2, W the slope that takes f from 0 to 1
    between two counts of ones where lam = 1/(4(k+1)) of the attention leaks. named: v is the same
    on all but k of the T positions, which are named (`averages_family`); else of any shape.
    """
    lam = 1 / (4 * (k + 1))
    W = 1 / ((1 - lam) / k - lam)
    naming = math.log(7.5 * (k + 1) ** 2) + log_supports(T, k) if named else math.log(3)
    logcov, _, uniform = averages(T, k + 1 if named else T, naming, W, W / 2)
    return margin(logcov, delta, uniform)


def margin(logcov, delta, uniform=None):
    """`margin_bound` as a function of m; `uniform_margin_bound` where there is a cover of the whole
    domain and that is smaller."""
    def bound(m):
        ghost = margin_bound(logcov, m, delta)
        return ghost if uniform is None else min(ghost, uniform_margin_bound(uniform, m, delta))
    return bound


@checked
def bound_table(k: count, T_list: each(count), eps: probability = 0.1, delta: probability = 0.05, *,
                task="and", norms: dict | None = None, m: count = None, level=None, table=None):
    """Return for each T a dict: norms of `task_class`, examples that bounds and yardsticks ask for.

    norms: {name: budget} that replace those of the class, names from NORMS. dudley, chain_ROUTE,
    margin_ROUTE, averages, averages_norms: m at which the bound on the error of a head that fits
    its sample falls to eps with probability 1 - delta (`bounds_of_class`), to 0.01 %; averages are
    None where the label does not change once with the count of ones. C2 and scaling at m = 10^6.
    fano, m_star, occam: lower bound, exact identification, finite class, for the rule with labels
    as balanced as can be. m: at_m has the error, at most 1, that each bound certifies there.
    """
    rule = truth_table(choice("task", task, KINDS), k, level, table)
    rho = rho_of(task, rule, balanced_p(rule))
    return [bound_row(k, T, eps, delta, *budgets_of(task, T, k, norms, level, table), rho, rule, m)
            for T in T_list]


def budgets_of(task, T, k, norms, level=None, table=None, **more):
    """task_class with some budgets replaced."""
    c, beta = task_class(task, T, k, level, table)
    for name, budget in (norms or {}).items():
        real(choice("norms", name, NORMS), budget, f"a number from 0 to {MOST:g}",
             lambda x: 0 <= x <= MOST)
    return replace(c, **(norms or {}), **more), beta


def bounds_of_class(k, T, delta, c, beta, rule):
    """{name: bound on the error, a function of m} of the columns of `bound_table`.

    dudley, chain_ROUTE by `gap_bound`; margin_ROUTE by `margin`, with covers of the whole domain
    where parameters are counted and, by Maurey's lemma, for (1,1) norms; `bounded_head`.
    """
    def gap(rad):
        return lambda m: gap_bound(rad(m), m, delta)

    w, g = code_of(rule)
    slim = narrow(c, k, math.log(w.max()) / beta)
    everywhere = {"count": lambda eps: count_parameters(eps, 1, c),
                  "count_narrow": lambda eps: count_parameters(eps, 1, slim),
                  "length_free": lambda eps: scalar_logcov(eps, 1, c, covers=EVERYWHERE)}
    found = {"dudley": gap(lambda m: rad_dudley_closed(*scalar_C2(m, c), m, 0.5))}
    for name, logcov in routes(c, slim).items():
        found[f"chain_{name}"] = gap(partial(rad_chain, logcov, D=0.5))
        found[f"margin_{name}"] = margin(logcov, delta, everywhere.get(name))
    if w.max() == 1 and np.count_nonzero(np.diff(g)) == 1:
        found |= {"averages": bounded_head(k, T, delta, True),
                  "averages_norms": bounded_head(k, T, delta, False)}
    return found


def bound_row(k, T, eps, delta, c, beta, rho, rule, m):
    """One row of `bound_table`."""
    row = {"T": T, "beta": beta, "norms": {name: getattr(c, name) for name in NORMS},
           "C2": scalar_C2(10 ** 6, c).C2, "scaling": scalar_scaling(1.0, 10 ** 6, c),
           "averages": None, "averages_norms": None}
    bounds = bounds_of_class(k, T, delta, c, beta, rule)
    row |= {name: sample_complexity(bound, eps, rtol=1e-4, limit=LIMIT)
            for name, bound in bounds.items()}
    if m is not None:
        bounds["occam"] = lambda m: uniform_margin_bound(lambda _: log_supports(T, k), m, delta)
        row["at_m"] = {"m": m} | {name: min(1.0, bound(m)) for name, bound in bounds.items()}
    supports = log_supports(T, k)
    return row | {"fano": fano_m(supports, delta), "m_star": m_star(T, rho, delta),
                  "occam": occam_m(supports, eps, delta)}


@checked
def rademacher_table(k: count, *, task="and", norms: dict | None = None, m: count = 100,
                     signs=40, seed=0, lengths: each(count) = LENGTHS, level=None, table=None):
    """Return for T of lengths >= k the Rademacher complexity of the class on m uniform inputs, from
    below and above.

    "growing": at the norms of `task_class`, "fixed": with ||q||_2 <= 6 (or what norms says) at
    every T; no clip and no (1,1) norms. Of each: B_q; mean and se of `rademacher_lower`, single;
    upper (`rad_chain`, at most the radius of the class); lead = sqrt(C2/m), the size of the first
    term of Dudley's integral. Errors: B_X below sqrt 2, the length of the tokens.
    """
    choice("task", task, KINDS)
    require(0 < m * max(lengths, default=0) <= 2 ** 36, "m, lengths", "1 to 2^36 bits", m)
    first, *seeds = np.random.SeedSequence(integer("seed", seed, 0)).spawn(1 + len(lengths))
    X, rows = np.random.default_rng(first).integers(0, 2, (m, max(lengths)), np.uint8), []
    for T, child in zip(lengths, seeds):
        if T >= k:
            c, _ = budgets_of(task, T, k, norms, level, table, B_q1=None, B_V11=None, clip=False)
            fixed = replace(c, B_q=(norms or {}).get("B_q", 6.0))
            rows.append({"T": T, "m": m, "growing": estimates(X[:, :T], c, child, signs),
                         "fixed": estimates(X[:, :T], fixed, child, signs)})
    return rows


def estimates(X, c, seed, signs):
    """One entry of `rademacher_table`. The upper bound is `rad_chain` by ||q||_2 or by counting
    parameters."""
    radius, covers = c.B_u * c.L_s * c.B_V * c.B_X, ROUTES["best"] | {"q": ["sid", "vol"]}
    found = rademacher_lower(X, c, np.random.default_rng(seed), signs=signs)
    return {"B_q": c.B_q, "mean": found.mean, "se": found.se, "single": found.single,
            "upper": rad_chain(partial(scalar_logcov, c=c, covers=covers), len(X), radius)
            if radius else 0.0,
            "lead": math.sqrt(scalar_C2(len(X), c).C2 / len(X))}
