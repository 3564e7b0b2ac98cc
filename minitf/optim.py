"""Steps of first-order methods on one array, and their projections onto named constraint sets.

A step is pure: `x, state = step(x, g, state, ...)` returns new arrays and never writes into the
caller's. Constraints are a dict {parameter name: set with .project}, for any model whose
parameters are a dict of arrays.
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import require


def flatten(params):
    """Concatenate the arrays of a dict, in its order, into one new vector."""
    return np.concatenate([np.ravel(value) for value in params.values()])


def unflatten(vector, like):
    """Cut a vector into views named and shaped as the arrays of `like`: the inverse of flatten, without a copy."""
    ends = np.cumsum([np.size(value) for value in like.values()])
    require(vector.shape == (ends[-1],), "vector", f"shape ({ends[-1]},)", vector)
    return {name: vector[end - np.size(value):end].reshape(np.shape(value))
            for (name, value), end in zip(like.items(), ends)}


def gradient_step(x, g, state=None, *, lr, momentum=0.0):
    """Heavy-ball gradient step:  v <- momentum v + g,   x <- x - lr v.      Source: Polyak 1964."""
    v = momentum * (0.0 if state is None else state) + g
    return x - lr * v, v


def adam_step(x, g, state=None, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Adam step with decoupled weight decay.

        n <- beta1 n + (1 - beta1) g
        s <- beta2 s + (1 - beta2) g^2
        x <- (1 - lr weight_decay) x - lr (n / (1 - beta1^i)) / (sqrt(s / (1 - beta2^i)) + eps)

    at the steps i = 1, 2, ... The state is (i, n / (1 - beta1), s / (1 - beta2)), None at the
    start: the factors of the decaying sums n and s are numbers, which join lr and eps. Source:
    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019 (decay).
    """
    i, n, s = (0, 0.0, 0.0) if state is None else state
    i = i + 1
    n = beta1 * n + g
    s = beta2 * s + g * g
    root = math.sqrt((1 - beta2) / (1 - beta2 ** i))
    step = n / (np.sqrt(s) + eps / root) * (lr * (1 - beta1) / (1 - beta1 ** i) / root)
    return (1 - lr * weight_decay) * x - step, (i, n, s)


def repeated(step, **options):
    """The function x, g -> x that makes one step after the other and keeps their state."""
    state = None

    def advance(x, g):
        nonlocal state
        x, state = step(x, g, state, **options)
        return x

    return advance


def project_params(params, constraints):
    """Replace every constrained array of a parameter dict by its Euclidean projection; the others pass through."""
    return {name: constraints[name].project(value) if name in constraints else value for name, value in params.items()}


def fixed_point_residual(params, grads, constraints, lr=1.0):
    """Norm of the projected-gradient map:  ||x - P(x - lr g)|| / lr,  zero exactly at the stationary points."""
    moved = project_params({name: params[name] - lr * grads[name] for name in params}, constraints)
    step = {name: params[name] - moved[name] for name in params}
    return math.sqrt(inner(step, step)) / lr


class Iterate(NamedTuple):
    """A point of projected_gradient: the parameters, f there, and residual and lr of the step that led to it."""
    params: dict
    value: float
    residual: float
    lr: float


def projected_gradient(f, params, constraints, *, lr=1.0):
    """Yield the iterates of projected gradient descent with backtracking:  x <- P(x - lr grad f(x)),  for ever.

    f(params) -> value, grads with the keys of params. lr is halved until a parabola bounds f along
    s = x' - x, by the values up to their rounding and by the gradients, which still tell where
    values no longer differ:

        f(x') <= f(x) + <grad f(x), s> + ||s||^2 / (2 lr),        <grad f(x') - grad f(x), s> <=
        ||s||^2 / lr

    and grows by a tenth after a step that was taken at once. Both hold for lr <= 1/L where the
    gradient is L-Lipschitz; then f(x_i) - min f = O(L ||x_0 - x*||^2 / i) for convex f. Source:
    Beck and Teboulle 2009 (without momentum).
    """
    params = project_params(params, constraints)
    value, grads = f(params)
    while True:
        slack, grow = 4 * np.finfo(np.float64).eps * abs(value), 1.1
        while True:
            moved = project_params({name: params[name] - lr * grads[name] for name in params}, constraints)
            step = {name: moved[name] - params[name] for name in params}
            square, slope = inner(step, step), inner(grads, step)
            new_value, new_grads = f(moved)
            bend = inner(new_grads, step) - slope
            if new_value <= value + slope + square / (2 * lr) + slack and bend <= square / lr:
                break
            lr, grow = lr / 2, 1.0
        yield Iterate(moved, new_value, math.sqrt(square) / lr, lr)
        params, value, grads, lr = moved, new_value, new_grads, lr * grow


def inner(a, b):
    """The inner product of two dicts of arrays with the same keys."""
    return math.fsum(float(np.sum(a[name] * b[name])) for name in a)
