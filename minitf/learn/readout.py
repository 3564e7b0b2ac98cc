"""The readout of a head, logit = w r + c, refitted by Newton steps."""
import numpy as np

from minitf.ops import sigmoid

RIDGE = 1e-6            # on w, so that the refit of separable data has a finite answer


def mean_loss(r, y, w, c):
    """Mean logistic loss of logit = w r + c, with the ridge on w, for n heads: r (n, m) -> (n,)."""
    z = w[:, None] * r + c[:, None]
    losses = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))
    return losses.mean(axis=1) + RIDGE / 2 * w * w


def refit(r, y, w, c, sign, bound, steps=2):
    """Newton steps on (w, c) for fixed r (n, m), projected onto 0 <= sign w <= bound, |c| <= bound,
    and halved until the loss does not rise. Returns w, c, loss. Where w is at its bound, c need not
    be the best that goes with it."""
    low, high = np.where(sign > 0, 0, -bound), np.where(sign > 0, bound, 0)
    loss = mean_loss(r, y, w, c)
    for _ in range(steps):
        step_w, step_c = newton_step(r, y, w, c)
        new, worse, length = (w.copy(), c.copy(), loss.copy()), np.arange(len(w)), 1.0
        while len(worse) and length > 1 / 64:
            w_new = np.clip(w - length * step_w, low, high)[worse]
            c_new = np.clip(c - length * step_c, -bound, bound)[worse]
            loss_new = mean_loss(r[worse] if len(worse) < len(w) else r, y, w_new, c_new)
            better = ~(loss_new > loss[worse])
            for old, values in zip(new, (w_new, c_new, loss_new)):
                old[worse[better]] = values[better]
            worse, length = worse[~better], length / 2
        w, c, loss = new
    return w, c, loss


def newton_step(r, y, w, c):
    """The inverse Hessian of the mean loss in (w, c), times its gradient: two arrays (n,)."""
    p = sigmoid(w[:, None] * r + c[:, None])
    h = p * (1 - p) / y.size
    grad_w = ((p - y) * r).mean(axis=1) + RIDGE * w
    grad_c = (p - y).mean(axis=1)
    hess_ww = (h * r * r).sum(axis=1) + RIDGE
    hess_wc, hess_cc = (h * r).sum(axis=1), h.sum(axis=1) + RIDGE
    det = hess_ww * hess_cc - hess_wc * hess_wc
    return ((hess_cc * grad_w - hess_wc * grad_c) / det,
            (hess_ww * grad_c - hess_wc * grad_w) / det)


def loss_gradient(r, y, w, c, sign):
    """Gradient (n, m) of the mean loss in r (n, m), over |w|, and its product with r (n, 1): the
    average under a of the gradient in a. float32."""
    residual = (sigmoid(w[:, None] * r + c[:, None]) - y) * (sign / y.size)[:, None]
    average = (residual * r).sum(axis=1, keepdims=True)
    return residual.astype(np.float32), average.astype(np.float32)
