"""What minitf itself makes of the golden cases: its answers, and its pullbacks against their own
forward.

    judge(case, computed(case))                         what `check golden` does with every case
    for row in check_gradients(seed=0): ...             what `check gradients` does
"""
import math

import numpy as np

from minitf.checks import integer
from minitf.fast import attention_of, cls_head, forward, mean_bit
from minitf.model import ModelConfig, constraints
from minitf.ops import (
    add,
    attention,
    attention_tangent,
    attention_weights,
    cap,
    embed,
    gelu,
    identity,
    layer_norm,
    linear,
    logistic,
    relu,
    softmax,
    unit_ball,
)
from minitf.optim import gradient_step, project_params
from minitf.projections import Ball, Intersection, Simplex
from minitf.trust.composites import (
    attend,
    attention_qk_norm,
    attention_rope,
    rms_norm,
    rope,
    segmented,
)
from minitf.trust.golden import load_golden
from minitf.trust.verdict import MISSING, judge
from minitf.trust.verify import check_pullback, saved


def tangent(case):
    """Output and derivative of an attention_tangent case."""
    y, y_dot = attention_tangent(**segmented(case.arguments), **case.options)
    y, y_dot = (x if isinstance(x, tuple) else (x,) for x in (y, y_dot))
    return {"out": y[0], "out_dot": y_dot[0]} | dict(zip(("lse", "lse_dot"), (*y[1:], *y_dot[1:])))


def second(case):
    """The derivative of the pullback along tangents: a complex step, exact to rounding."""
    a = segmented(case.arguments)
    dout, step = a.pop("dout"), 1e-30
    dots = {name[:-4]: a.pop(name) for name in list(a) if name.endswith("_dot")}
    moved = {name: a[name] + 1j * step * np.asarray(dot, np.float64) for name, dot in dots.items()}
    _, pullback = attention(**a | moved, **case.options)
    return {f"d{name}_dot": g.imag / step for name, g in zip(dots, pullback(dout))}


OPERATORS = {"attention": attend, "attention_rope": attention_rope,
             "attention_qk_norm": attention_qk_norm} | {op.__name__: op for op in (
    add, cap, cls_head, embed, gelu, identity, layer_norm, linear, logistic, mean_bit, relu,
    softmax, unit_ball)}
OPERATORS["projection"] = lambda x, **options: Ball(**options).projection(x)
SETS = {"Ball": Ball, "Simplex": Simplex,
        "Intersection": lambda sets: Intersection([(Ball if "kind" in one else Simplex)(**one)
                                                   for one in sets])}


def model_op(arguments, options):
    """forward of a model, as an op of all its arguments by name: parameters, X, and a query z."""
    model = ModelConfig(**options)

    def op(**given):
        X, z = given.pop("X"), given.pop("z", None)
        logits, pullback = forward(given, X, model, z=z)
        return logits, lambda dlogits: {f"d{name}": g for name, g in pullback(dlogits).items()}

    return op


def named_op(case):
    """An operator as an op of its arguments by name; its pullback returns {"dq": array, ...}."""
    if case.op == "forward":
        return model_op(case.arguments, case.options)

    def op(**given):
        y, pullback = OPERATORS[case.op](**given, **case.options)

        def by_name(dy):
            grads = pullback(dy)
            return dict(zip(case.gradients, grads if isinstance(grads, tuple) else (grads,)))

        by_name.saved = saved(pullback)
        return y, by_name

    return op


def computed(case):
    """Compute outputs, saved arrays and gradients of a case with minitf: {name: array}."""
    a, options = case.arguments, case.options
    if case.op == "lmo":
        return {"s": Ball(**options).lmo(a["g"])}
    if case.op in SETS:
        return {"p": SETS[case.op](**options).project(a["x"])}
    if case.op in WHOLE:
        return WHOLE[case.op](case)
    y, pullback = named_op(case)(**a)
    dy = tuple(case.cotangents.values())
    values = getattr(pullback, "saved", {}) | pullback(dy if len(dy) > 1 else dy[0])
    return values | weights(case) | dict(zip(case.outputs, y if isinstance(y, tuple) else (y,)))


def weights(case):
    """The attention of a case, "A" and "lse" where the case saves them."""
    a, options = case.arguments, case.options
    if case.op in ("attention_rope", "attention_qk_norm"):
        a, options = prepared(case)
    if case.op.startswith("attention"):
        a = segmented({name: x for name, x in a.items() if name not in ("v", "keep")})
        options = {name: x for name, x in options.items() if name != "lse"}
        A, lse = attention_weights(**a, **options)
    elif case.op == "cls_head":
        A, lse = cls_weights(**a)
    elif case.op == "forward":
        A, lse = model_weights(**a, model=ModelConfig(**options)), None
    else:
        return {}
    return {"A": A, "lse": lse} | ({} if lse is None else {"lse2": lse / math.log(2)})


def prepared(case):
    """q, k and options of a composite as attention gets them."""
    a, options = case.arguments, dict(case.options)
    if case.op == "attention_rope":
        turning = options.pop("pairing"), options.pop("base", 10000.0)
        return {name: rope(a[name], *turning)[0] for name in "qk"}, options
    eps = options.pop("eps", 1e-6)
    return {name: rms_norm(a[name], a[f"gain_{name}"], eps)[0] for name in "qk"}, options


def cls_weights(s, v, s_cls, v_cls, X):
    """Weights (m, H, T+1) and log-sum-exp (m, H) of cls_head: a query 1 whose keys are the
    scores."""
    S = s[:, X, np.arange(X.shape[1])].swapaxes(0, 1)
    first = np.broadcast_to(s_cls[:, None], S.shape[:2] + (1,))
    S = np.concatenate([first, S], axis=-1)
    A, lse = attention_weights(np.ones((*S.shape[:2], 1, 1)), S[..., None], scale=1.0)
    return A[:, :, 0], lse[:, :, 0]


def model_weights(X, z=None, *, model, **params):
    """The attention of every example's [CLS]; a query z of its own attends through its W_QK."""
    if z is None:
        return np.stack([attention_of(params, X[i:i + 1], model) for i in range(len(X))])
    z = np.broadcast_to(z, (len(X), model.d))[:, None, None]
    query = z @ params["W_QK"].swapaxes(1, 2)
    rows = np.broadcast_to(X[:, None], query.shape[:2] + X.shape[1:])
    return attention_weights(query, rows, scale=1.0)[0][:, :, 0]


def trace(a, model, lr, steps):
    """Losses, iterates and gradients of projected gradient descent: x <- P(x - lr grad)."""
    config, X, y = ModelConfig(**model), a["X"], a["y"]
    params, seen = {name: x for name, x in a.items() if name not in ("X", "y")}, {"loss": []}
    for step in range(steps + 1):
        logits, pullback = forward(params, X, config)
        loss, back = logistic(logits, y)
        grads = pullback(back(np.full(len(y), 1 / len(y))))
        seen["loss"].append(loss.mean())
        for name, x in params.items():
            seen.setdefault(f"{name}_path", []).append(x)
            seen.setdefault(f"d{name}_path", []).extend([grads[name]] if step < steps else [])
        moved = {name: gradient_step(x, grads[name], lr=lr)[0] for name, x in params.items()}
        params = project_params(moved, constraints(config))
    return {name: np.stack(xs) for name, xs in seen.items()}


WHOLE = {"attention_tangent": tangent, "attention_hvp": second,
         "projected_gradient": lambda case: trace(case.arguments, **case.options)}


def check_golden(folder=None):
    """Hold minitf against the golden values: yield a dict for every case; a damaged file is an
    error before any."""
    for case in load_golden(folder):
        rows = [row if row.why != MISSING else row._replace(agrees=False, error=math.inf)
                for row in judge(case, found=computed(case)).rows]
        worst = min(rows, key=lambda row: (row.agrees, -row.error, row.name))
        yield {"case": case.name, "family": case.family, "operator": case.op,
               "agrees": worst.agrees, "worst": worst.name, "error": worst.error, "tol": case.tol,
               "ratio": worst.error / case.tol}


def check_gradients(seed=0):
    """Check the pullback of every golden case that has one: yield a dict for each, its name,
    whether the derivatives passed, the worst error, method, reason.

    Directions are complex steps, so a kink or a close race of large scores beside the arguments is
    not stepped over. A gradient that is zero by convention has no relative error: `check golden`
    demands its zeros.
    """
    rng = np.random.default_rng(integer("seed", seed, 0))
    for case in load_golden():
        names = [name for name in case.arguments
                 if f"d{name}" in case.gradients and case.gradients[f"d{name}"].any()]
        if not names:
            continue
        row = {"case": case.name, "agrees": True, "error": 0.0, "method": "", "why": ""}
        real = case.op == "projection"              # it refuses complex numbers
        how = {} if real else {"method": "complex", "tol": 10 * case.tol}
        try:
            found = check_pullback(restricted(case, names),
                                   [case.arguments[name] for name in names],
                                   rng, **how)
            worst = max(found, key=lambda record: record.error)
            yield row | {"error": worst.error, "method": worst.method}
        except AssertionError as failure:
            yield row | {"agrees": False, "error": math.inf, "why": str(failure)}


def restricted(case, names):
    """The op of a case as a function of some of its arguments, in order."""
    op, wanted = named_op(case), [f"d{name}" for name in names]

    def some(*given):
        y, pullback = op(**case.arguments | dict(zip(names, given)))
        return y, lambda dy: tuple(map(pullback(dy).get, wanted))

    return some
