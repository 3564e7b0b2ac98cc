"""Learning parity by gradient descent: a gap in the Fourier spectrum, and steps that grow with n.

    y = parity of k of n bits; tf-scalar, Adam, a fresh batch every step

The population gradient of a neuron 1[sum x >= threshold] in its weight i is, up to sign, its
Fourier coefficient at the support with i added or taken away: of order k - 1 for i in the support,
of order k + 1 for others. Their gap falls like a power of n; the gradient points to the support,
faintly, long before the loss moves.
"""
import math

import numpy as np

from minitf.fast import on_vectors, predictor
from minitf.lab.reproduce.page import Page, row, whole
from minitf.model import ModelConfig, init_params
from minitf.optim import adam_step
from minitf.tasks import sample_task


def coefficient(j, n):
    """The Fourier coefficient of order j of [more than n/2 of n bits are 1], exactly."""
    total = 0
    for ones in range(j + 1):
        rest = range(max(0, n // 2 + 1 - ones), n - j + 1)
        total += (-1) ** ones * math.comb(j, ones) * sum(math.comb(n - j, b) for b in rest)
    return total / 2 ** n


def fourier_gap(k, n):
    """| |coefficient of order k - 1| - |coefficient of order k + 1| |."""
    return abs(abs(coefficient(k - 1, n)) - abs(coefficient(k + 1, n)))


def steps_to_learn(rng, n, k, batch, most, lr, every=20):
    """Steps until 99 % of 1,000 fresh examples are right, and losses; `most` where never."""
    task, model = sample_task(rng, "parity", n, k), ModelConfig.scalar(n, H=8, d=32, d_o=64)
    pack, unpack, hold, gradient = on_vectors(model, np.float32)
    x, state, losses = pack(init_params(rng, model)), None, []
    for step in range(1, most + 1):
        loss, dx = gradient(x, hold(*task.sample(rng, batch)))
        x, state = adam_step(x, dx, state, lr=lr)
        losses.append(float(loss))
        if step % every == 0:
            X, y = task.sample(rng, 1000)
            if ((predictor(unpack(x), model)(X) > 0) == y).mean() >= 0.99:
                break
    return step, losses


def slope(x, y):
    """The exponent of y = c x^a by least squares in logarithms, with its 95 % interval."""
    A = np.stack([np.ones(len(x)), np.log(x)], axis=1)
    found, _, _, _ = np.linalg.lstsq(A, np.log(y), rcond=None)
    rest = np.log(y) - A @ found
    half = 1.96 * math.sqrt((rest @ rest) / max(len(x) - 2, 1) * np.linalg.inv(A.T @ A)[1, 1])
    return float(found[1]), half


def measure(rng, lengths=(10, 20, 30, 40, 60), k=3, seeds=8, batch=256, most=20_000, lr=3e-3):
    steps, rows, curves = [], [], {}
    for n in lengths:
        found = [steps_to_learn(rng, n, k, batch, most, lr) for _ in range(seeds)]
        steps.append([step for step, _ in found])
        never = sum(step == most for step in steps[-1])
        rows.append(row(f"n = {n}: steps", steps[-1], f"{never} of {seeds} never" * bool(never)))
        curves[n] = found[0][1]
    exponent, half = slope(np.repeat(lengths, seeds), np.ravel(steps))
    rows.append(row("exponent of the steps in n", exponent) | {"low": exponent - half,
                                                               "high": exponent + half})
    gaps = [fourier_gap(k, n) for n in lengths]
    rows.append(row("exponent of 1 / Fourier gap^2 in n", -2 * slope(lengths, gaps)[0]))
    return rows, curves


def draw(figure, curves):
    ax = figure.subplots()
    for n, losses in curves.items():
        ax.plot(np.arange(len(losses)) + 1, losses, label=f"n = {n}")
    ax.set(xscale="log", xlabel="step", ylabel="loss of a fresh batch")
    ax.legend()


PAGE = Page(
    claim="Parity is learned by hidden progress, in steps that are a power of n of order k",
    setting="k = 3, n = 10 .. 60, tf-scalar, Adam, fresh batches of 256, 8 seeds",
    published="exponent near k",
    source="Barak et al. 2022, arXiv 2207.08799",
    criteria={"the interval of the exponent reaches between k - 1 and k + 1": lambda found: (
        found["exponent of the steps in n"]["low"] < 4
        and found["exponent of the steps in n"]["high"] > 2)},
    run=whole(measure),
    draw=draw,
)
