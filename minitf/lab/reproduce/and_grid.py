"""Sparse AND of long bit strings by one head of attention, on a public grid.

    y = AND of k = 3 of T bits, balanced;   success: more than 99 % of 1,000 fresh examples right

Each trial draws its own support and sample and fits the bounded head of `ModelConfig.paper`.
"""
import numpy as np

from minitf.lab.reproduce.page import Page, share
from minitf.learn import fit
from minitf.tasks import sample_task


def succeeds(rng, T, m, k, fresh):
    """Whether one trial learns."""
    task = sample_task(rng, "and", T, k)
    X, y = task.sample(rng, m)
    result = fit(X, y)
    X, y = task.sample(rng, fresh)
    return bool((result.predict(X) == y).mean() > 0.99)


def run(rng, lengths=(10, 100, 200, 500), sizes=(20, 40, 60, 80, 100), trials=50, k=3, fresh=1000):
    grid = np.zeros((len(lengths), len(sizes)), int)
    for i, T in enumerate(lengths):
        for j, m in enumerate(sizes):
            grid[i, j] = sum(succeeds(rng, T, m, k, fresh) for _ in range(trials))
    rows = [share(f"T = {T}, m = {m}", int(grid[i, j]), trials) for i, T in enumerate(lengths)
            for j, m in enumerate(sizes) if T == lengths[-1] or m == 60]
    rows.append(share("all cells with m >= 60", int(grid[:, np.array(sizes) >= 60].sum()),
                      trials * len(lengths) * sum(m >= 60 for m in sizes)))
    return rows, {"lengths": lengths, "sizes": sizes, "share": grid / trials}


def draw(figure, curves):
    ax = figure.subplots()
    image = ax.imshow(curves["share"], origin="lower", aspect="auto", vmin=0, vmax=1)
    ax.set_xticks(range(len(curves["sizes"])), curves["sizes"])
    ax.set_yticks(range(len(curves["lengths"])), curves["lengths"])
    ax.set(xlabel="training examples m", ylabel="T")
    figure.colorbar(image, label="share of trials that learn")


PAGE = Page(
    claim="Attention learns the AND of 3 of T bits from few examples",
    setting="k = 3, T = 10, 100, 200, 500, m = 20 .. 100, success > 0.99 on 1,000 fresh examples, "
            "50 trials a cell",
    published="45 % at T = 500, m = 100",
    source="Edelman et al. 2022, arXiv 2110.10090; the grid of github.com/ssnio/NMA_NeuroAi_D4_T4",
    goal="100 % from m = 60",
    run=run,
    draw=draw,
)
