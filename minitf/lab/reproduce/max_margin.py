"""Gradient descent on attention converges in direction to the max-margin token separator.

    f = v^T X^T softmax(X W z)                  one query z, tokens X (T, d), values X v
    loss = mean log(1 + exp(-y f))              normalised gradient descent

W grows along the separator of the tokens that attention ends up choosing,

    min ||W||  such that  (x_chosen - x_t)^T W z >= 1  for all other tokens t of all n inputs,

in the Frobenius norm where W is trained, in the nuclear norm where K and Q are, W = K Q^T.
"""
import numpy as np

from minitf.lab.reproduce.page import Page, row, unit
from minitf.lab.reproduce.separators import frobenius, nuclear
from minitf.ops import attention, logistic
from minitf.projections import norm


def draw_inputs(rng, runs, n, T, d):
    """Tokens X (runs, n, T, d), queries z (runs, n, d), values X v (runs, n, T, 1), labels."""
    X, z, v = (unit(rng.standard_normal((runs, *s, d))) for s in ((n, T), (n,), ()))
    return X, z, np.einsum("rntd,rd->rnt", X, v)[..., None], rng.integers(0, 2, (runs, n))


def loss_of(W, X, z, values, y):
    """The mean loss of every run (runs,); pullback(dloss) -> dW (runs, d, d)."""
    n = X.shape[1]
    q = np.einsum("rij,rnj->rni", W, z)[:, :, None]
    out, back_attention = attention(q, X, values, scale=1.0)
    loss, back_loss = logistic(out[..., 0, 0], y)

    def pullback(dloss):
        dout = back_loss(np.broadcast_to(dloss[:, None] / n, loss.shape))
        dq, _, _ = back_attention(dout[..., None, None])
        return np.einsum("rni,rnj->rij", dq[:, :, 0], z)

    return loss.mean(axis=1), pullback


def descend(parts, inputs, steps, lr):
    """Normalised gradient descent on W, or on K and Q with W = K Q^T: the last W (runs, d, d)."""
    for _ in range(steps):
        W = parts[0] if len(parts) == 1 else parts[0] @ parts[1].swapaxes(1, 2)
        loss, pullback = loss_of(W, *inputs)
        dW = pullback(np.ones_like(loss))
        grads = [dW] if len(parts) == 1 else [dW @ parts[1], dW.swapaxes(1, 2) @ parts[0]]
        parts = [p - lr * g for p, g in zip(parts, normalised(grads))]
    return parts[0] if len(parts) == 1 else parts[0] @ parts[1].swapaxes(1, 2)


def normalised(grads):
    """The gradients of every run over their common length; 0 where all of them are below 1e-290.

    The largest entry is divided out first: squares of late gradients leave the range of floats.
    """
    largest = np.max([np.abs(g).max(axis=(1, 2), keepdims=True) for g in grads], axis=0)
    grads = [g / np.maximum(largest, 1e-290) for g in grads]
    size = np.sqrt(sum((g * g).sum(axis=(1, 2), keepdims=True) for g in grads))
    return [g * (largest > 1e-290) / np.maximum(size, 1.0) for g in grads]


def constraints_of(W, X, z):
    """Rows C (runs, n (T-1), d d) with  C . W = (x_chosen - x_t)^T W z,  chosen by W itself."""
    runs, n, T, d = X.shape
    chosen = np.einsum("rnti,rij,rnj->rnt", X, W, z, optimize=True).argmax(axis=-1)
    best = np.take_along_axis(X, chosen[..., None, None], axis=2)
    others = np.arange(T) != chosen[..., None]
    gaps = (best - X)[others].reshape(runs, n, T - 1, d)
    return np.einsum("rnti,rnj->rntij", gaps, z).reshape(runs, n * (T - 1), d * d)


def correlation(a, b):
    """Cosines between the rows of two arrays."""
    return (unit(a) * unit(b)).sum(axis=-1)


def trained(rng, runs, n, T, d, steps, lr):
    """Both ways from one draw: inputs, W, and the product of K and Q."""
    inputs = draw_inputs(rng, runs, n, T, d)
    W, K, Q = rng.uniform(-1, 1, (3, runs, d, d)) / np.sqrt(d)
    return inputs, descend([W], inputs, steps, lr), descend([K, Q], inputs, steps, lr)


def run(rng, runs=100, n=6, T=8, d=10, steps=2000, lr=0.1, svm_steps=600):
    inputs, W, KQ = trained(rng, runs, n, T, d, steps, lr)
    C = constraints_of(W, *inputs[:2])
    found = [frobenius(c) for c in C]
    held = [r for r, (w, _) in enumerate(found) if w is not None]
    cosines = correlation(np.stack([found[r][0] for r in held]), W.reshape(runs, -1)[held])
    w, gaps = nuclear(constraints_of(KQ, *inputs[:2]), svm_steps)
    fine = (gaps >= -1e-9) & (gaps < 0.01)
    low_rank = correlation(w[fine], KQ.reshape(runs, -1)[fine])
    ranks = [[(np.linalg.svd(M, compute_uv=False) > 0.01 * norm(M, "spectral")).sum()
              for M in weights] for weights in (W, KQ)]
    rows = [
        row("(a) correlation with the Frobenius separator", cosines),
        row("(a) largest duality gap of a separator", max(found[r][1] for r in held)),
        row("(b) correlation with the nuclear separator", low_rank),
        row("(b) median duality gap of a separator", np.median(gaps)),
        row("(a) singular values of W above 1 %", ranks[0]),
        row("(b) singular values of K Q^T above 1 %", ranks[1]),
    ]
    return rows, {"(a) W": cosines, "(b) K Q^T": low_rank}


def draw(figure, curves):
    ax = figure.subplots()
    for name, cosines in curves.items():
        ax.plot(np.sort(cosines), (np.arange(len(cosines)) + 1) / len(cosines), label=name)
    ax.set(xlabel="correlation with the separator", ylabel="share of runs below")
    ax.legend()


PAGE = Page(
    claim="Gradient descent on attention converges in direction to the max-margin separator",
    setting="6 inputs of 8 tokens on the unit sphere of 10 dimensions, normalised gradient descent "
            "at 0.1, 2,000 steps, 100 runs: (a) W, (b) W = K Q^T",
    published="correlation near 1 (figures)",
    source="Tarzanagh et al. 2023, arXiv 2306.13596 and 2308.16898",
    goal="(a) mean >= .996, (b) the same for the nuclear norm",
    run=run,
    draw=draw,
)
