"""Steps of first-order methods on one array, and their projections onto named constraint sets.

A step is pure: `x, state = step(x, g, state, ...)` returns new arrays and never writes into the caller's. Constraints are a
dict {parameter name: set with .project}, for any model whose parameters are a dict of arrays.
"""
import math

import numpy as np


def gradient_step(x, g, state=None, *, lr, momentum=0.0):
    """Heavy-ball gradient step:  v <- momentum v + g,   x <- x - lr v.      Source: Polyak 1964."""
    v = momentum * (0.0 if state is None else state) + g
    return x - lr * v, v


def adam_step(x, g, state=None, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Adam step with decoupled weight decay.

        n <- beta1 n + (1 - beta1) g          s <- beta2 s + (1 - beta2) g^2
        x <- (1 - lr weight_decay) x - lr (n / (1 - beta1^i)) / (sqrt(s / (1 - beta2^i)) + eps)        i = 1, 2, ...

    state = (i, n, s), None at the start. Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019 (decay).
    """
    i, n, s = (0, 0.0, 0.0) if state is None else state
    i = i + 1
    n = beta1 * n + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g * g)
    step = lr / (1 - beta1 ** i) * n / (np.sqrt(s / (1 - beta2 ** i)) + eps)
    return (1 - lr * weight_decay) * x - step, (i, n, s)


def project_params(params, constraints):
    """Replace every constrained array of a parameter dict by its Euclidean projection; the others pass through."""
    return {name: constraints[name].project(value) if name in constraints else value for name, value in params.items()}


def fixed_point_residual(params, grads, constraints, lr=1.0):
    """Norm of the projected-gradient map:  ||x - P(x - lr g)|| / lr,  zero exactly at the stationary points."""
    moved = project_params({name: params[name] - lr * grads[name] for name in params}, constraints)
    return math.sqrt(math.fsum(float(np.sum((params[name] - moved[name]) ** 2)) for name in params)) / lr
