"""What the tests of sweeps share: jobs, records without their seconds, an executor without workers."""
import concurrent.futures
import json

import numpy as np

from minitf.lab.protocol import RECORD, identity, yardstick


def a_job(T=16, m=40, rep=0, **options):
    return identity(**options) | {"T": T, "m": m, "rep": rep}


def stripped(records):
    """Records without `seconds`, in order of their keys."""
    records = [{key: value for key, value in record.items() if key != "seconds"} for record in records]
    return sorted(records, key=lambda record: (record["T"], record["m"], record["rep"]))


class Here(concurrent.futures.Executor):
    """An executor without workers."""
    def submit(self, function, *args):
        future = concurrent.futures.Future()
        future.set_result(function(*args))
        return future


class Fragile(Here):
    """An executor that breaks at the given calls of submit, at once or through the future."""
    def __init__(self, breaks):
        self.breaks = breaks

    def submit(self, function, *args):
        broken = self.breaks.pop(0) if self.breaks else None
        if broken == "submit":
            raise concurrent.futures.BrokenExecutor
        if broken == "future":
            future = concurrent.futures.Future()
            future.set_exception(concurrent.futures.BrokenExecutor())
            return future
        return super().submit(function, *args)


def invent(path, *, task="and", k=3, T=(16, 64, 256), m=None, reps=20, method="pgd", model="paper",
           middle=lambda T: 10 + 5 * np.log2(T), slope=10, limit=None, seed=0, curve=False, **changes):
    """Write runs of a logistic truth in log m, nested over m within a seed, and return the path."""
    base = identity(task, k, method=method, model=model, limit=limit, seed=seed)
    base["limit"] = limit
    rng = np.random.default_rng([seed, len(method), k])
    lines = []
    for length in T:
        m_star = yardstick(base, length)
        sizes = m or sorted({round(middle(length) * 2 ** (j / 4)) for j in range(-4, 7)})
        for rep in range(reps):
            luck = rng.logistic()
            for size in sizes:
                success = bool(slope * np.log(size / middle(length)) + 0.8 * luck + 0.2 * rng.logistic() > 0)
                traces = training(rng, success, task, model, curve)
                lines.append(dict.fromkeys(RECORD) | base | {
                    "T": length, "m": int(size), "rep": rep, "m_star": m_star, "attempts": 1 + int(rng.poisson(0.1)),
                    "success": success, "success_any": success or bool(luck + size > 1.2 * middle(length) + 5), "support_exact": success,
                    "accuracy": 1.0 if success else 0.8, "timeout": False, "train_loss": 0.001, "seconds": 0.1,
                    "version": "0.1.0"} | traces | changes)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def training(rng, success, task, model, curve):
    """Traces that rise late and steeply where a run succeeds."""
    steps = int(rng.integers(600, 900))
    at = np.array([2 ** j for j in range(12) if 2 ** j < steps] + [steps])
    rise = 1 / (1 + np.exp(-4 * np.log(at / rng.uniform(80, 250)))) if success else 0.1 * at / at.max()
    gap = 1 / (1 + np.exp(-3 * np.log(at / rng.uniform(50, 150)))) if success else np.zeros(len(at)) - 0.02
    loss = np.log(2) * (1 - rise) + 0.001 + (0 if success else -0.4 * at / at.max())
    states = [{"step": int(s), "accuracy": float(0.5 + r / 2), "loss": float(x),
               "attention": None if model in (None, "mlp") else float(0.95 * r),
               **({"fourier_gap": float(g)} if task == "parity" else {})}
              for s, r, g, x in zip(at, rise, gap, loss)]
    end = states.pop()
    fine = np.unique(np.round(2 ** np.arange(0, np.log2(steps), 0.25)).astype(int))
    noisy = np.interp(fine, at, loss) * np.exp(0.05 * rng.normal(size=len(fine)))
    return {"snapshots": states, "steps": steps, "attention": end["attention"],
            "fourier_gap": end.get("fourier_gap"),
            "curve": [[int(s), float(x)] for s, x in zip(fine, noisy)] if curve else None}
