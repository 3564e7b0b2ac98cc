"""The generalisation gap of attention against the context length, its norms beside it.

    y = majority of s = 9 of T bits, 300 examples;   gap = fresh loss - training loss

Norm-based bounds that do not depend on T say that the gap of a class of bounded norms does not grow
with T. Measured for tf-scalar, trained by Adam without a bound on its norms, and for the bounded
head of `ModelConfig.paper`, whose radius is that of the shortest context for every T.
"""
import warnings

import numpy as np

from minitf.lab.reproduce.page import Page, row, whole
from minitf.learn import FitWarning, TrainConfig, fit
from minitf.model import ModelConfig
from minitf.ops import logistic
from minitf.projections import norm
from minitf.tasks import sample_task


def classes(lengths, s):
    """{name: (model of T, how to train it)}."""
    radius = ModelConfig.paper(min(lengths), s).radius
    return {
        "bounded": (lambda T: ModelConfig.paper(T, s, radius=radius), TrainConfig()),
        "tf-scalar": (lambda T: ModelConfig.scalar(T, H=4, d=16, d_o=32),
                      TrainConfig("adam", steps=300, restarts=0)),
    }


def measure(rng, model, train, s, m, fresh):
    """Training and fresh loss, fresh accuracy, (1,1) and (2,1) norms of the scores of positions."""
    task = sample_task(rng, "majority", model.T, s)
    X, y = task.sample(rng, m)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)         # a bad fit is a measurement here
        result = fit(X, y, model, rng, train=train)
    test = task.sample(rng, fresh)
    losses = [float(logistic(result.logits(A), b)[0].mean()) for A, b in ((X, y), test)]
    accuracy = float((result.predict(test[0]) == test[1]).mean())
    q = np.asarray(result.params["q"], float)
    if "x_cls" in result.params:                            # scores of positions: P q
        q = q @ np.asarray(result.params["P"], float).T
    return *losses, accuracy, norm(q, "l1"), norm(q, "l21")


def measure_all(rng, lengths=(16, 64, 256, 1024, 4096), s=9, m=300, seeds=5, fresh=2000):
    rows, curves = [], {"T": lengths}
    for name, (model_of, train) in classes(lengths, s).items():
        gaps = []
        for T in lengths:
            found = np.array([measure(rng, model_of(T), train, s, m, fresh) for _ in range(seeds)])
            gaps.append(found[:, 1] - found[:, 0])
            _, _, accuracy, l11, l21 = found.mean(axis=0)
            rows.append(row(f"{name}, T = {T:,}: gap", gaps[-1],
                            f"fresh accuracy {accuracy:.3f}, norms of the scores of positions: "
                            f"(1,1) {l11:.1f}, (2,1) {l21:.1f}"))
        curves[name] = [(gap.mean(), gap.std()) for gap in gaps]
    return rows, curves


def draw(figure, curves):
    ax = figure.subplots()
    for name in set(curves) - {"T"}:
        gaps = np.array(curves[name])
        ax.errorbar(curves["T"], gaps[:, 0], gaps[:, 1], fmt="o-", label=name)
    ax.set(xscale="log", xlabel="T", ylabel="fresh loss - training loss")
    ax.legend()


PAGE = Page(
    claim="The generalisation gap of bounded attention does not grow with the context length",
    setting="majority of 9 bits, 300 examples, T = 16 .. 4,096, 5 seeds",
    published="flat in T (figure)",
    source="Trauger and Tewari 2023, arXiv 2310.13088",
    criteria={
        "bounded, every mean gap is at most .02": lambda found: all(
            r["ours"] <= 0.02 for name, r in found.items() if "bounded" in name),
        "the unbounded gap is larger there":
            lambda found: found["tf-scalar, T = 4,096: gap"]["low"]
            > found["bounded, T = 4,096: gap"]["high"],
    },
    run=whole(measure_all),
    draw=draw,
)
