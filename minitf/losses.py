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


def relu_readout(out, W_C, w, c, signs, array, grads):
    """The mean logistic loss of  logits = w . relu(W_C^T out) + c,  and its derivatives, for the loop of training.

        t    = signs logits,  signs = 1 - 2y                                (m,)    loss = mean log(1 + exp(t))
        dz   = signs exp(t - loss) / m                                      (m,)    exp(t - loss) = sigmoid(t)
        dR   = w dz where R > 0, R = W_C^T out                              (d_o, m)
        dout = W_C dR                                                       (width, m)

    out (width, m), an example a column. grads: dW_C, dw, dc, which are filled. Returns loss, dout; arrays come from
    array(name, *shape).
    """
    (width, m), d_o = out.shape, len(w)
    R = np.matmul(W_C.T, out, out=array("R", d_o, m))
    np.maximum(R, 0, out=R)
    t = w @ R
    t += c
    t *= signs
    loss = np.logaddexp(0, t)
    t -= loss
    dz = np.exp(t, out=t)
    dz *= signs / m
    dW_C, dw, dc = grads
    np.matmul(R, dz, out=dw)
    dc[...] = dz.sum()
    dR = np.multiply(w[:, None], dz, out=array("dR", d_o, m))
    dR *= R > 0
    np.matmul(out, dR.T, out=dW_C)
    return float(loss.sum()) / m, np.matmul(W_C, dR, out=array("dout", width, m))
