"""Losses of one example each, computed from logits: the mean over examples is the caller's visible cotangent 1/m."""
import numpy as np

from minitf.checks import floats, require, shape


def sigmoid(z):
    """Return 1 / (1 + exp(-z)) without overflow: exp is only ever taken of -|z|."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def logistic(logits, y):
    """Cross-entropy of Boolean labels from logits:  loss = log(1 + exp(-s z)),  s = 2y - 1, per example.

    dz = dloss * (sigmoid(z) - y)
    z = logits (m,), y (m,) of 0 and 1 (or probabilities between) -> loss (m,). pullback(dloss) -> dz. The stable form is
    max(z, 0) - y z + log1p(exp(-|z|)): no clipping, no epsilon.
    """
    z = floats("logits", logits)
    y = np.asarray(y)
    shape("y", y, z.shape)
    y = y.astype(z.dtype)
    require(bool(((y >= 0) & (y <= 1)).all()), "y", "labels from 0 to 1", y)
    loss = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))

    def pullback(dloss):
        return dloss * (sigmoid(z) - y)

    return loss, pullback
