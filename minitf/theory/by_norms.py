"""A model against the bounds: the error that its measured norms and its margin rule out.

    certify_norms(result, X, y)     for every member of the class of those norms, so the model too

Every constant is explicit, in `error`, `networks` and `measured`.
Sources: Edelman, Goel, Kakade, Zhang 2022, section 4 (the classes); Schapire, Freund, Bartlett and
Lee 1998 (norms over margins); Bartlett and Mendelson 2002 (Rademacher complexity).
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import bits, examples, integer, require, shape
from minitf.fast import attention_of, head_shares
from minitf.learn import Result
from minitf.model import ModelConfig
from minitf.projections import reals
from minitf.theory.error import (
    confidence,
    dyadic_budgets,
    gap_bound,
    margin_bound,
    sample_complexity,
    uniform_margin_bound,
)
from minitf.theory.information import log_supports, occam_m
from minitf.theory.measured import family_of

TARGET = 0.1            # the error for which `needed` and `yardstick` count examples
LIMIT = 10 ** 60        # examples


class NormCertificate(NamedTuple):
    """What norms certify of a model. error None: no bound here covers it, and `text` says why.

    error      P(wrong) is at most this, with probability >= 1 - delta over samples; 1: nothing
    needed     examples from which a model of these norms and this margin is certified to err at
               most TARGET; of one that does not fit all examples, TARGET above its margin loss.
               None: more than LIMIT
    yardstick  examples that Occam's bound asks for if the rule is known and k of T positions are
               to be named
    factor     needed / yardstick
    margin     what the logits are measured by: the smallest of them; where some example is wrong,
               the median |logit|
    """
    error: float | None
    text: str
    family: str | None = None
    fitted: bool | None = None
    margin: float | None = None
    needed: int | None = None
    yardstick: int | None = None
    factor: float | None = None
    delta: float | None = None


def certify_norms(model, X, y, delta=0.05, *, k=None, logits=None):
    """Bound the error of a model from its measured norms and margin, once it has seen the examples:
    a NormCertificate.

    f = clip(1/2 + logit/(2g), 0, 1) decides as the model does, g its margin. The norms of f are
    rounded up to budgets on a grid that costs confidence alone (`dyadic_budgets`). In the sharpest
    class of `families` that holds f,
        all examples right:   error <= `margin_bound`, f being equal to y on all of them, or
                              `uniform_margin_bound` where the cover serves all inputs at once
        otherwise:            error <= mean of clip(1 - margin/g, 0, 1) + `gap_bound`
    at half of delta each. Assumed: independent examples. No constant is suppressed.

    model: a Result, or a pair (params, ModelConfig). X (m, T), y (m,) what it was trained on. k:
    the positions that the yardstick names (default: as many as have half the largest attention).
    logits (m,): those of X, if they are known.
    Cost: one forward pass, and a few milliseconds. Source: theorems as in the functions named.
    """
    delta = confidence(delta, 0.125)
    if not isinstance(model, Result):
        X, y = examples(X, y)
        params, config = pair_of(model)
        model = Result(params, config, attention_of(params, X, config),
                       head_shares(params, X, config), X.mean(axis=0))
    y = bits("y", y, ndim=1)
    logits = model.logits(X) if logits is None else reals("logits", logits)
    shape("logits", logits, y.shape)
    margins = (2.0 * y - 1) * logits
    fitted = bool(margins.min() > 0)
    g = float(margins.min() if fitted else np.median(abs(logits))) or 1.0
    k = None if k is None else integer("k", k, 1, model.T)
    with np.errstate(over="ignore", invalid="ignore"):
        found = certified(model, 2 * g, delta / 2, fitted, len(y))
    if isinstance(found, str):
        return NormCertificate(None, f"none: {found}")
    name, gap, needed = found
    loss = 0.0 if fitted else float(np.clip(1 - margins / g, 0, 1).mean())
    error = min(1.0, loss + gap)
    strength = model.strength()
    k = int((2 * strength >= strength.max()).sum()) if k is None else k
    yardstick = occam_m(log_supports(model.T, k), TARGET, delta, agnostic=not fitted)
    factor = None if needed is None else needed / yardstick
    # the error of the commoner label: a bound above is vacuous
    guessing = min(y.mean(), 1 - y.mean()) or 1.0
    text = summary(error if error < guessing else 1.0, len(y), fitted, needed, yardstick, factor)
    return NormCertificate(error, text, name, fitted, g, needed, yardstick, factor, delta)


def pair_of(model):
    """Return params, ModelConfig; model must be such a pair."""
    pair = isinstance(model, tuple) and len(model) == 2 and isinstance(model[1], ModelConfig)
    require(pair, "model", "a Result, or a pair (params, ModelConfig)", model, TypeError)
    return model


def certified(model, scale, delta, fitted, m):
    """Return the family of a model, the bound at m, the m at which it falls to TARGET or None; or
    why there is none."""
    try:
        family = family_of(model.params, model.model, scale)
        if isinstance(family, str):
            return family
        name, norms, build = family
        budgets, left = dyadic_budgets(norms, delta)
        logcov, rad, uniform = build(*budgets)

        def bound(m):
            if not fitted:
                return gap_bound(rad(m), m, left)
            ghost = margin_bound(logcov, m, left)
            return ghost if uniform is None else min(ghost, uniform_margin_bound(uniform, m, left))

        needed = None if bound(LIMIT) > TARGET else sample_complexity(bound, TARGET, rtol=1e-4,
                                                                      limit=LIMIT)
        return name, bound(m), needed
    # nothing here is input: a product of norms is inf, or eps over it 0
    except (ArithmeticError, ValueError):
        return "its norms multiply to more than float64 holds"


def summary(error, m, fitted, needed, yardstick, factor):
    """A certificate in one line; of one that is vacuous, that it is."""
    here = f"error at most {error:.1%}" if error < 1 else f"vacuous at m = {m}"
    least = f"{TARGET:.0%} error" + ("" if fitted else " above the margin loss")
    if needed is None:
        more = f"more than {LIMIT:.0e} examples of the same norms and margin"
        return f"{here}; {more} would certify {least}"
    return (f"{here}; the same norms and margin certify {least} from m = {rounded(needed)} on, "
            f"{rounded(factor)} times Occam's {yardstick}")


def rounded(x):
    """Two digits of a positive number: 1.4, 13, 1,400, 2.3e7."""
    x = math.inf if x is None else float(f"{x:.2g}")
    if x >= 1e6:
        return f"{x:.1e}".replace("+0", "").replace("+", "")
    return f"{x:,.0f}" if x >= 10 else f"{x:g}"
