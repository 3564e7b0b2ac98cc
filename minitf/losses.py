"""Losses of one example each, computed from logits: the mean over examples is the caller's visible cotangent 1/m."""
import numpy as np

from minitf.checks import floats, require, shape
from minitf.ops import sigmoid


def logistic(logits, y):
    """Cross-entropy of Boolean labels from logits:  loss = log(1 + exp(-z)) where y = 1, log(1 + exp(z)) where y = 0.

    loss = max(z, 0) - y z + log(1 + exp(-|z|)),   dz = dloss ( (1 - y) sigmoid(z) - y sigmoid(-z) )
    z = logits (...), y of the same shape, 0 and 1 or probabilities between -> loss (...). pullback(dloss) -> dz. Both
    are written so that a well-classified example keeps its digits: no clipping, no epsilon.
    """
    z, y = floats("logits", logits), np.asarray(y)
    shape("y", y, z.shape)
    require(y.dtype.kind in "biuf", "y", "labels from 0 to 1", y, TypeError)
    require(bool(((y >= 0) & (y <= 1)).all()), "y", "labels from 0 to 1", y)
    y = y.astype(z.real.dtype)
    positive = np.where(z.real > 0, z, 0)
    loss = positive - y * z + np.log1p(np.exp(z - positive - positive))

    def pullback(dloss):
        return dloss * ((1 - y) * sigmoid(z) - y * sigmoid(-z))

    return loss, pullback
