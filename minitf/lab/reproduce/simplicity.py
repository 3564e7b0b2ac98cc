"""Random transformers are less sensitive than random LSTMs.

    sensitivity(f) = mean over inputs x, mean over positions i, of [f(x) != f(x with bit i flipped)]

Both read n bits with weights drawn uniformly from [-a, a] and answer with the sign of a logit.
"""
import numpy as np

from minitf.fast import forward
from minitf.lab.reproduce.page import Page, row, whole
from minitf.model import ModelConfig, shapes
from minitf.ops import sigmoid


def neighbours(rng, inputs, n):
    """Random rows and, below each, the n rows that differ in one bit: (inputs (n+1), n)."""
    X = rng.integers(0, 2, (inputs, 1, n), dtype=np.uint8)
    flips = np.concatenate([np.zeros((1, n), np.uint8), np.eye(n, dtype=np.uint8)])
    return (X ^ flips).reshape(-1, n)


def sensitivity(logits, n):
    """How often the sign changes with one bit, over the rows of `neighbours`."""
    signs = (logits > 0).reshape(-1, n + 1)
    return float((signs[:, 1:] != signs[:, :1]).mean())


def transformer(rng, X, model, spread):
    """Logits of a random transformer."""
    params = {name: rng.uniform(-spread, spread, shape) for name, shape in shapes(model).items()}
    for name in params:
        if "gain" in name:
            params[name] = np.ones(params[name].shape)
    return forward(params, X, model)[0]


def lstm(rng, X, d, spread):
    """Logits of a random LSTM of width d, read off its last state.

    i, f, o = sigmoid, u = tanh of [x_t, h] W + b,   c <- f c + i u,   h <- o tanh(c)
    """
    E, w = rng.uniform(-spread, spread, (2, d)), rng.uniform(-spread, spread, d)
    W, b = rng.uniform(-spread, spread, (2 * d, 4 * d)), rng.uniform(-spread, spread, 4 * d)
    table = E @ W[:d] + b                       # what a symbol adds to the gates
    h = c = np.zeros((len(X), d))
    for t in range(X.shape[1]):
        gates = table[X[:, t]] + h @ W[d:]
        i, f, o = (sigmoid(gates[:, j * d:(j + 1) * d]) for j in range(3))
        c = f * c + i * np.tanh(gates[:, 3 * d:])
        h = o * np.tanh(c)
    return h @ w


def measure(rng, n=20, models=100, inputs=1000, d=16, layers=1, spreads=(10.0, 1.0)):
    model, rows, curves = ModelConfig.gpt(n, L=layers, H=2, d=d), [], {}
    for spread in spreads:
        found = {"transformer": [], "LSTM": []}
        for _ in range(models):
            X = neighbours(rng, inputs, n)
            found["transformer"].append(sensitivity(transformer(rng, X, model, spread), n))
            found["LSTM"].append(sensitivity(lstm(rng, X, d, spread), n))
        for name, values in found.items():
            rows.append(row(f"a = {spread:g}: mean sensitivity of a random {name}", values))
            curves[f"{name}, a = {spread:g}"] = values
        less = np.array(found["LSTM"]) - np.array(found["transformer"])
        rows.append(row(f"a = {spread:g}: LSTM less transformer", less))
    return rows, curves


def draw(figure, curves):
    ax = figure.subplots()
    for name, values in curves.items():
        ax.hist(values, bins=20, alpha=0.6, label=name)
    ax.set(xlabel="sensitivity", ylabel="random models")
    ax.legend()


PAGE = Page(
    claim="Random transformers are less sensitive than random LSTMs",
    setting="n = 20 bits, 100 random models each, one layer of width 16, weights uniform in "
            "[-a, a], a = 10 and 1; sensitivity on 1,000 inputs",
    published="histograms: transformers near 0, LSTMs higher",
    source="Bhattamishra et al. 2022, arXiv 2211.12316",
    criteria={"the interval of the difference is above 0 at both spreads": lambda found: all(
        r["low"] > 0 for name, r in found.items() if "less" in name)},
    run=whole(measure),
    draw=draw,
)
