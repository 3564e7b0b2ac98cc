"""Parity of many bits by a chain of thought, learned by teacher forcing.

A tree of 2-parities: step m of the chain is the product of two earlier entries, bits or steps.

    A     = softmax(w_m) over the entries before step m         by position alone
    z     = A x                                                 of +-1 entries
    guess = phi(z) = 2 z^2 - 1                                  phi(0) = -1, phi(+-1) = 1
    loss  = mean 1/2 (guess - x_m)^2, summed over the steps;  dz = 4 z (guess - x_m) / n

With teacher forcing every step reads the true earlier ones, so its gradient sees a parity of two
bits. At the end the chain runs on its own guesses.
"""
import numpy as np

from minitf.lab.reproduce.page import Page, row, share, whole
from minitf.ops import linear, softmax


def tree(rng, d, k):
    """Pairs (a, b) of a balanced tree over k of d bits: step m is the entry d + m."""
    level, pairs, entry = rng.permutation(d)[:k].tolist(), [], d
    while len(level) > 1:
        new = list(zip(level[::2], level[1::2]))
        pairs, level, entry = pairs + new, list(range(entry, entry + len(new))), entry + len(new)
    return pairs


def chain(rng, n, d, pairs):
    """n examples (n, d + steps) of +-1, the bits and then all steps of the chain."""
    X = np.empty((n, d + len(pairs)), np.float32)
    X[:, :d] = rng.choice([-1.0, 1.0], (n, d))
    for m, (a, b) in enumerate(pairs):
        X[:, d + m] = X[:, a] * X[:, b]
    return X


def teacher_forced(w, X, may, targets):
    """The loss of all steps, and its gradient in w (steps, entries)."""
    A, back_A = softmax(np.where(may, w, -np.inf).astype(np.float32))
    z, back_z = linear(X, A.T)
    error = 2 * z * z - 1 - targets

    def pullback(dloss):
        _, dA = back_z(dloss * 4 * z * error / len(X))
        return np.where(may, back_A(dA.T), 0)

    return float((error ** 2).sum() / 2 / len(X)), pullback, A


def learn(X, d, targets, may, steps, lr):
    """Gradient descent from w = 0, its step growing as its gradients die away: the attention."""
    w = np.zeros(may.shape)
    for t in range(steps):
        _, pullback, A = teacher_forced(w, X, may, targets)
        w -= lr * (1 + t / 300) * pullback(1.0)
    return A


def think(A, bits, sign):
    """Run the chain on its own guesses, rounded to +-1 where sign; the last one (n,)."""
    n, d = bits.shape
    X = np.concatenate([bits, np.zeros((n, len(A)), np.float32)], axis=1)
    for m, a in enumerate(A):
        z = X[:, :len(a)] @ a
        X[:, d + m] = np.sign(2 * z * z - 1) if sign else 2 * z * z - 1
    return X[:, -1]


def measure(rng, d=64, ks=(8, 16, 32), n=3000, steps=3000, lr=10.0, fresh=10_000):
    rows, masses = [], {}
    for k in ks:
        pairs = tree(rng, d, k)
        X, test = chain(rng, n, d, pairs), chain(rng, fresh, d, pairs)
        may = np.arange(d + k - 1) < d + np.arange(k - 1)[:, None]
        A = learn(X, d, X[:, d:], may, steps, lr)
        for sign, words in (True, "steps rounded to +-1"), (False, "steps as they are"):
            right = np.sign(think(A, test[:, :d], sign)) == test[:, -1]
            rows.append(share(f"k = {k}: accuracy, {words}", int(right.sum()), fresh))
        masses[k] = [float(a[list(pair)].sum()) for a, pair in zip(A, pairs)]
        rows.append(row(f"k = {k}: smallest attention on the two parents", min(masses[k])))
        A = learn(X[:, :d], d, X[:, -1:], np.ones((1, d), bool), steps, lr)
        right = np.sign(think(A, test[:, :d], True)) == test[:, -1]
        rows.append(share(f"k = {k}: accuracy without the chain", int(right.sum()), fresh))
    return rows, {"masses": masses}


def draw(figure, curves):
    ax = figure.subplots()
    for k, mass in curves["masses"].items():
        ax.plot(np.arange(len(mass)) + 1, mass, ".-", label=f"k = {k}")
    ax.set(xlabel="step of the chain", ylabel="attention on its two parents", ylim=(0, 1.05))
    ax.legend()


PAGE = Page(
    claim="Parity is learned efficiently where its steps are supervised, with a chain of thought",
    setting="64 bits, k = 8, 16, 32, a tree of 2-parities, attention by position, teacher forcing, "
            "3,000 samples, 10,000 fresh ones",
    published="learned with 100,000 samples on a GPU",
    source="Kim and Suzuki 2024, arXiv 2410.08633",
    criteria={
        "k = 32: >= 99.9 % of fresh examples right, from 3,000 samples":
            lambda found: found["k = 32: accuracy, steps rounded to +-1"]["ours"] >= 0.999,
        "without the chain the interval of no accuracy reaches 55 %":
            lambda found: all(r["high"] < 0.55 for name, r in found.items() if "without" in name),
    },
    run=whole(measure),
    draw=draw,
)
