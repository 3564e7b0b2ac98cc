"""Steps of first-order methods on one array, and their projections onto named constraint sets.

A step is pure: `x, state = step(x, g, state, ...)` returns new arrays and never writes into the
caller's. Constraints are a dict {name: set with .project}; parameters are a dict of arrays.
"""
import math
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from minitf import checks
from minitf.checks import checked, floats, nonnegative, positive, real, require, shape
from minitf.projections import convex_set, reals

__all__ = ["Iterate", "adam_step", "fixed_point_residual", "flatten", "frank_wolfe_gap",
           "gradient_step", "project_params", "projected_gradient", "projected_step", "unflatten"]

numbers = lambda name, x: reals(name, x, finite=False)
arrays, points, sets = map(checks.values, (floats, reals, convex_set))      # rules of dicts


def share(name, value):
    """Return value as float; it must be a number from 0 to below 1."""
    return real(name, value, "a number from 0 to below 1", lambda number: 0 <= number < 1)


def adam_state(name, value):
    """Return (i, N, S); it must be what a step of Adam returned."""
    require(isinstance(value, tuple) and len(value) == 3, name, "what a step returned", value)
    return checks.integer(name, value[0], 0), *(numbers(name, x) for x in value[1:])


@checked
def flatten(params: arrays):
    """Concatenate the arrays of a dict, in its order, into one new vector."""
    require(len(params) > 0, "params", "at least one array", params)
    return np.concatenate([np.ravel(value) for value in params.values()])


@checked
def unflatten(vector: floats, like: Mapping):
    """Cut a vector into views named and shaped as the arrays of `like`, the inverse of flatten."""
    ends = np.cumsum([0, *(np.size(value) for value in like.values())])[1:]
    shape("vector", vector, (sum(ends[-1:]),))
    return {name: vector[end - np.size(value):end].reshape(np.shape(value))
            for (name, value), end in zip(like.items(), ends)}


@checked
def gradient_step(x: floats, g: floats, state: floats = None, *, lr: nonnegative,
                  momentum: share = 0.0):
    """Heavy-ball gradient step:  v <- momentum v + g,   x <- x - lr v.      Source: Polyak 1964."""
    if not x.shape == g.shape == (x if state is None else state).shape:
        require(False, "g, state", f"shape {x.shape}, as x has", g)
    v = momentum * (0.0 if state is None else state) + g
    return x - lr * v, v


@checked
def adam_step(x: numbers, g: numbers, state: adam_state = None, *, lr: nonnegative = 1e-3,
              beta1: share = 0.9, beta2: share = 0.999, eps: nonnegative = 1e-8,
              weight_decay: nonnegative = 0.0):
    """Adam step with decoupled weight decay.

        n <- beta1 n + (1 - beta1) g
        s <- beta2 s + (1 - beta2) g^2
        x <- (1 - lr weight_decay) x - lr (n / (1 - beta1^i)) / (sqrt(s / (1 - beta2^i)) + eps)

    at the steps i = 1, 2, ... The state is (i, N, S), None at the start: the code keeps the sums
    N = n / (1 - beta1) and S = s / (1 - beta2), and what they lack joins lr and eps.
    Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019 (decay).
    """
    i, N, S = (0, np.zeros_like(x), np.zeros_like(x)) if state is None else state
    if not x.shape == g.shape == N.shape == S.shape:
        require(False, "g, state", f"shape {x.shape}, as x has", g)
    i = i + 1
    N = beta1 * N + g
    S = beta2 * S + g * g
    root = math.sqrt((1 - beta2) / (1 - beta2 ** i))
    step = np.asarray(np.sqrt(S))               # new here, so the rest may happen in it
    step += eps / root
    step = np.divide(N, step, out=step)
    step *= lr * (1 - beta1) / (1 - beta1 ** i) / root
    return (x if weight_decay == 0 else (1 - lr * weight_decay) * x) - step, (i, N, S)


@checked
def project_params(params: points, constraints: sets):
    """Replace every constrained array by its Euclidean projection; the others pass through."""
    for name in filter(constraints.__contains__, params):
        told, x = f"constraints[{name!r}].project", params[name]
        params[name] = floats(told, constraints[name].project(x), finite=True)
        shape(told, params[name], x.shape)
    return params


@checked
def projected_step(params: arrays, grads: arrays, constraints: sets, lr: nonnegative):
    """x <- P(x - lr g), array for array."""
    require_like("grads", grads, params)
    moved = {name: params[name] - lr * grads[name] for name in params}
    return project_params.__wrapped__(points("x - lr g", moved), constraints)


@checked
def fixed_point_residual(params: arrays, grads: arrays, constraints: sets, lr: positive = 1.0):
    """Norm of the projected-gradient map:  ||x - P(x - lr g)|| / lr,  0 where stationary."""
    step = difference(params, projected_step(params, grads, constraints, lr))
    return math.sqrt(inner(step, step)) / lr


@checked
def frank_wolfe_gap(params: points, grads: points, constraints: sets):
    """max <g, x - u> over u in the sets = <g, x> + sum h(-g): bounds f(x) - min f of a convex f.

    The support functions h are the sets' own; where one is missing, or a gradient is not 0 and
    nothing bounds its array, the gap is inf.
    """
    require_like("grads", grads, params)
    gap = inner(grads, params)
    for name, g in grads.items():
        if hasattr(constraints.get(name), "support"):
            gap += float(np.sum(constraints[name].support(-g)))
        elif np.any(g):
            return math.inf
    return gap


class Iterate(NamedTuple):
    """A point of projected_gradient, f and its gradients there, residual and lr of its step."""
    params: dict
    value: float
    residual: float
    lr: float
    grads: dict
    constraints: dict

    @property
    def gap(self):
        """For convex f a bound on  value - min f  over the sets, see `frank_wolfe_gap`."""
        return frank_wolfe_gap(self.params, self.grads, self.constraints)


@checked
def projected_gradient(f: Callable, params: points, constraints: sets, *,
                       lr: positive = 1.0, momentum: bool = False):
    """Yield the iterates of projected gradient descent:  x' = P(x - lr grad f(x)).

    f(params) -> value, grads by the keys of params, read-only arrays. `backtrack` finds lr <= 1/L
    or so where the gradient is L-Lipschitz; then f(x_i) - min f = O(L ||x_0 - x*||^2 / i), f
    convex. With momentum the step starts from a point y further on, the error falls as 1 / i^2:

        y = x' + (t - 1) / t' (x' - x),   t' = (1 + sqrt(1 + 4 t^2)) / 2,   t = 1 again
                                          where the step has turned back:  <y - x', x' - x> > 0

    The iteration goes on until f is too noisy for any step, which a RuntimeWarning says.
    Source: Beck and Teboulle 2009; O'Donoghue and Candes 2015 (restarts).
    """
    for name in constraints:
        require(name in params, "constraints", "names among " + ", ".join(map(str, params)), name)
    return _projected_gradient(f, params, constraints, lr, momentum)


def _projected_gradient(f, params, constraints, lr, momentum):
    x = y = project_params(params, constraints)
    value, grads = evaluate(f, y)
    require(math.isfinite(value), "f", "a finite value at the start", value)
    points("f: grads", grads)
    t = 1.0
    while found := backtrack(f, y, value, grads, constraints, lr):
        moved, value, grads, lr, residual, grow = found
        yield Iterate(moved, value, residual, lr, grads, constraints)
        ahead = moved
        if momentum:
            way = difference(moved, x)
            t = 1.0 if inner(difference(y, moved), way) > 0 else t
            t, before = (1 + math.sqrt(1 + 4 * t * t)) / 2, t
            ahead = {name: moved[name] + (before - 1) / t * way[name] for name in moved}
            value, grads = evaluate(f, ahead)
            if not math.isfinite(value + inner(grads, way)):    # y may leave where f is defined
                ahead, t = moved, 1.0
                value, grads = evaluate(f, ahead)
        x, y, lr = moved, ahead, lr * grow


def backtrack(f, x, value, grads, constraints, lr):
    """Halve lr until a parabola bounds f along the step s = x' - x, by values and by gradients:

        f(x') <= f(x) + <grad f(x), s> + ||s||^2 / (2 lr),
        <grad f(x') - grad f(x), s> <= ||s||^2 / lr,

    each up to rounding: the gradients still tell where the values no longer differ. Returns x',
    f(x'), its gradients, lr, ||s|| / lr, and how lr grows: by a tenth after a step that moved and
    was taken at once. None, with a warning, where 60 halvings do not help.
    """
    rounding = 4 * max(np.finfo(v.dtype).eps for v in x.values())
    for halvings in range(60):
        moved = projected_step(x, grads, constraints, lr)
        s = difference(moved, x)
        square, slope = inner(s, s), inner(grads, s)
        if square == 0 and halvings:
            break
        new_value, new_grads = evaluate(f, moved)
        bend = inner(new_grads, s) - slope
        slack = rounding * (abs(value) + magnitude(grads, x))
        below = new_value <= value + slope + square / (2 * lr) + slack
        bent = bend > square / lr + rounding * magnitude(grads, s)
        if below and not bent and math.isfinite(new_value + bend):
            grow = 1.0 if halvings or square == 0 else 1.1      # at rest: nothing to grow for
            return moved, new_value, new_grads, lr, math.sqrt(square) / lr, grow
        lr /= 2
    require(math.isfinite(new_value), "f", "finite values near an iterate", new_value)
    points("f: grads", new_grads)
    warnings.warn("projected_gradient: the noise floor of f is reached", RuntimeWarning, 3)


def evaluate(f, params):
    """f(params) as value, grads; a gradient for each array, in its shape."""
    found = f({name: np.broadcast_to(x, x.shape) for name, x in params.items()})   # read-only
    pair = isinstance(found, tuple) and len(found) == 2 and np.ndim(found[0]) == 0
    require(pair, "f", "a pair: a number, and a dict of gradients", found, TypeError)
    value, grads = found[0], arrays("f", found[1])
    require_like("f", grads, params)
    return float(reals("f", value, finite=False)), grads


def require_like(name, grads, params):
    """Require grads to have the keys of params, and arrays of their shapes."""
    names = ", ".join(map(str, params))
    require(set(grads) == set(params), name, f"gradients of {names}", list(grads))
    for key, value in params.items():
        shape(f"{name}[{key!r}]", grads[key], value.shape)


def difference(a, b):
    return {name: a[name] - b[name] for name in a}


@np.errstate(over="ignore")
def inner(a, b):
    """The inner product of two dicts of arrays with the same keys; NaN where it is not finite."""
    parts = [float(np.sum(a[name] * b[name])) for name in a]
    return math.fsum(parts) if all(map(math.isfinite, parts)) else math.nan


def magnitude(a, b):
    """sum |a_i b_i|: an inner product times eps is its rounding."""
    return sum(float(np.sum(np.abs(a[name] * b[name]))) for name in a)
