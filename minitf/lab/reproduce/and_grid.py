"""Sparse AND of long bit strings by one head of attention, on a public grid.

    y = AND of k = 3 of T bits, balanced;   success: more than 99 % of 1,000 fresh examples right

Each trial draws its own support and sample and fits the bounded head of `ModelConfig.paper`.
"""
import numpy as np

from minitf.lab.reproduce.page import Page, share
from minitf.learn import fit
from minitf.tasks import sample_task


def learned(rng, T, m, k, trials, fresh):
    """How many of the trials of one cell learn."""
    found = 0
    for _ in range(trials):
        task = sample_task(rng, "and", T, k)
        result = fit(*task.sample(rng, m))
        X, y = task.sample(rng, fresh)
        found += int((result.predict(X) == y).mean() > 0.99)
    return found


LENGTHS = 10, 20, 40, 60, 80, 100, 200, 300, 400, 500


def run(each, lengths=LENGTHS, sizes=tuple(range(10, 101, 10)), trials=50, k=3, fresh=1000):
    cells = [(T, m, k, trials, fresh) for T in lengths for m in sizes]
    grid = np.array(each(learned, cells)).reshape(len(lengths), len(sizes))
    last = zip(sizes, grid[-1].tolist())
    rows = [share(f"T = {lengths[-1]}, m = {m}", right, trials) for m, right in last]
    for least in (40, 60):
        enough = grid[:, np.array(sizes) >= least]
        rows += [share(f"all cells with m >= {least}", int(enough.sum()), trials * enough.size),
                 share(f"the worst cell with m >= {least}", int(enough.min()), trials)]
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
    setting="k = 3, T = 10 .. 500, m = 10 .. 100 (100 cells), success > 0.99 on 1,000 fresh "
            "examples, 50 trials a cell",
    published="45 % at T = 500, m = 100",
    source="Edelman et al. 2022, arXiv 2110.10090; the grid of github.com/ssnio/NMA_NeuroAi_D4_T4",
    criteria={
        "at T = 500, m = 100 more than 45 % of the trials learn, interval included":
            lambda found: found["T = 500, m = 100"]["low"] > 0.45,
        "from m = 60 on, more than 99 % of all trials learn":
            lambda found: found["all cells with m >= 60"]["ours"] > 0.99,
    },
    run=run,
    draw=draw,
)
