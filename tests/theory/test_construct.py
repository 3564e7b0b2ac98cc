"""Constructed weights do what they promise on every pattern, with norms as tabled; wrong weights are found."""
import importlib
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minitf import TrainConfig, fit, load, sample_task
from minitf.fast.forward import attention_of, forward
from minitf.model.config import ModelConfig
from minitf.model.parameters import constraints
from minitf.model.tokens import positions
from minitf.tasks.rules import count_ones
from minitf.theory.construct import (
    as_result,
    construct,
    largest_errors,
    represent,
    verify,
)
from minitf.theory.leak import beta_for_leak, code_of, leak, least_gap

LENGTHS = (16, 64, 256, 1024, 4096)
EPS = 0.05
# (form, rule, k): beta / ||q||_2 for every length, then the leak, all as printed: two decimals, three digits.
TEMPERATURES = {
    ("unit", "and", 1): ("5.77/5.77 7.15/7.15 8.54/8.54 9.93/9.93 11.31/11.31", .0476),
    ("unit", "and", 2): ("5.70/8.07 7.14/10.10 8.54/12.07 9.93/14.04 11.31/16.00", .0244),
    ("unit", "and", 3): ("5.63/9.76 7.12/12.34 8.53/14.78 9.93/17.19 11.31/19.59", .0164),
    ("unit", "and", 4): ("5.56/11.12 7.11/14.21 8.53/17.06 9.92/19.85 11.31/22.63", .0123),
    ("unit", "and", 6): ("5.39/13.21 7.07/17.33 8.52/20.87 9.92/24.30 11.31/27.71", .00826),
    ("plateau", "threshold", 3): ("3.94/6.82 5.43/9.40 6.84/11.84 8.23/14.25 9.62/16.66", .0833),
    ("plateau", "threshold", 6): ("3.74/9.17 5.42/13.28 6.87/16.83 8.27/20.26 9.66/23.66", .0417),
    ("interp", "parity", 2): ("5.01/7.09 6.45/9.12 7.84/11.09 9.23/13.06 10.62/15.02", .0476),
    ("interp", "parity", 3): ("4.94/8.56 6.43/11.14 7.84/13.58 9.23/15.99 10.62/18.39", .0323),
    ("interp", "parity", 6): ("4.70/11.51 6.38/15.63 7.83/19.17 9.23/22.61 10.62/26.01", .0164),
    ("interp", "alternating", 2): ("5.01/7.59 6.45/9.62 7.84/11.59 9.23/13.56 10.62/15.52", .0323),
    ("interp", "alternating", 3): ("4.94/9.81 6.43/12.38 7.84/14.81 9.23/17.22 10.62/19.62", .0141),
    ("interp", "alternating", 4): ("4.87/11.92 6.41/14.99 7.84/17.82 9.23/20.60 10.62/23.37", .00662),
    ("interp", "alternating", 6): ("4.70/16.02 6.38/20.08 7.83/23.60 9.23/27.01 10.62/30.39", .00158),
    ("plateau", "alternating", 3): ("3.99/8.17 5.48/10.73 6.89/13.17 8.28/15.57 9.67/17.97", .0357),
    ("plateau", "alternating", 6): ("3.78/13.81 5.46/17.86 6.91/21.36 8.31/24.77 9.70/28.15", .00397),
}
# ||W_V||_2, ||W_V||_{2,1}, ||u||_2, units: the same for every length; threshold at level 1.
READOUTS = {
    ("unit", "and", 1): "0.95 0.95 1.05 1", ("unit", "and", 2): "0.87 0.87 2.05 1",
    ("unit", "and", 3): "1.01 1.01 3.05 1", ("unit", "and", 6): "1.19 1.19 6.05 1",
    ("plateau", "threshold", 2): "1.16 1.73 4.53 2", ("plateau", "threshold", 3): "1.21 1.74 6.36 2",
    ("plateau", "threshold", 6): "1.29 1.83 11.98 2",
    ("interp", "parity", 1): "1.36 2.31 1.56 2", ("interp", "parity", 2): "1.59 3.22 5.14 3",
    ("interp", "parity", 3): "1.82 4.19 9.80 4", ("interp", "parity", 4): "2.02 5.16 15.34 5",
    ("interp", "parity", 6): "2.37 7.12 28.61 7",
    ("plateau", "parity", 3): "2.17 5.84 11.02 6", ("plateau", "parity", 6): "3.07 11.74 29.34 12",
    ("interp", "alternating", 2): "1.82 4.19 9.80 4", ("interp", "alternating", 3): "2.53 8.10 36.20 8",
    ("interp", "alternating", 4): "3.57 15.98 115.0 16", ("interp", "alternating", 5): "5.03 31.74 343.5 32",
    ("interp", "alternating", 6): "7.11 63.27 997.7 64",
    ("plateau", "alternating", 3): "3.32 13.70 36.67 14", ("plateau", "alternating", 6): "9.97 124.05 947.9 126",
}


def beta_interp(eps, T, k):
    """The temperature of one knot a code, lam = 2 eps/(W + 2 eps), in which W drops out."""
    return math.log((T + 1 - k) / (2 * eps))


def built(form, rule, k, T, eps=EPS):
    """params, model, certificate, support, table. "alternating" is code mod 2, which ignores all bits but one."""
    if rule == "alternating":
        support, table = np.sort(np.random.default_rng(k).choice(T, k, replace=False)), np.arange(1 << k) % 2
        return *represent(support, table, eps, form, model_of(T)), support, table
    task = sample_task(np.random.default_rng(k), rule, T, k, level=1 if rule == "threshold" else None)
    return *construct(task, eps, form=form), np.array(task.support), np.array(task.table)


def model_of(T):
    return ModelConfig(T, d=T + 3, d_v=1, activation="relu", positions="onehot")


def printed(text, value):
    """Whether text is value rounded to as many digits."""
    return abs(float(text) - value) <= 0.5000001 * 10.0 ** -len(text.partition(".")[2])


def others(T, n, seed=0):
    """All zeros, all ones, n random rows."""
    return np.concatenate([np.zeros((1, T), np.uint8), np.ones((1, T), np.uint8),
                           np.random.default_rng(seed).integers(0, 2, (n, T), np.uint8)])


@pytest.mark.parametrize("form, rule, k", TEMPERATURES, ids=str)
def test_temperature_leak_and_error_at_every_length(form, rule, k):
    row, lam = TEMPERATURES[form, rule, k]
    for T, cell in zip(LENGTHS, row.split()):
        params, model, certificate, support, table = built(form, rule, k, T)
        beta, q = cell.split("/")
        assert printed(beta, certificate.beta) and printed(q, certificate.norms["||W_QK||_2"][0])
        assert abs(certificate.leak - lam) <= 0.005 * lam
        W = sum(certificate.weights)
        exactly = {"unit": EPS / (k + EPS), "interp": 2 * EPS / (W + 2 * EPS), "plateau": 1 / (4 * W)}[form]
        attention = attention_of(params, np.zeros((1, T), np.uint8), model)[0]
        assert abs(certificate.leak - exactly) <= 1e-9 * exactly
        assert abs(1 - attention[support].sum() - exactly) <= 1e-9
        error = largest_errors(params, model, support, table, others(T, 2)).max()
        if form == "plateau":
            assert error <= min(1e-9, certificate.rounding) and certificate.promised == 0
        else:
            assert EPS * (1 - 1e-3) <= error <= EPS * (1 + 1e-9) and certificate.promised == EPS
        assert certificate.holds(error)


@pytest.mark.parametrize("form, rule, k", READOUTS, ids=str)
def test_norms_of_the_readout(form, rule, k):
    norms = built(form, rule, k, 64)[2].norms
    for name, text in zip(("||W_V||_2", "||W_V||_{2,1}", "||u||_2", "units"), READOUTS[form, rule, k].split()):
        assert printed(text, norms[name][0]), name


def test_golden_values():
    assert abs(beta_interp(0.05, 256, 3) - 7.8399) <= 5e-5
    assert abs(beta_interp(0.05, 4096, 3) - 10.6199) <= 1e-4
    assert abs(built("unit", "and", 3, 256)[2].beta - 8.5331) <= 5e-5
    assert abs(leak(5.736572, 64, 3, 3) - 0.0625) <= 1e-7
    for T, k, W in product((16, 4096), (1, 3), (3, 7)):
        assert abs(leak(beta_for_leak(0.01, T, k, W), T, k, W) - 0.01) <= 1e-15
        assert abs(beta_for_leak(2 * EPS / (W + 2 * EPS), T, k, W) - beta_interp(EPS, T, k)) <= 1e-13
    assert printed("4.72", built("heads", "parity", 2, 16)[2].beta)
    assert printed("10.07", built("heads", "parity", 6, 1024)[2].beta)


CASES = [("and", "unit"), ("and", "plateau"), ("and", "paper"), ("or", "paper"), ("majority", None),
         ("threshold", "paper"), ("threshold", "interp"), ("parity", None), ("parity", "plateau"), ("parity", "heads"),
         ("symmetric", None), ("symmetric", "plateau"), ("symmetric", "heads"), ("junta", None), ("junta", "plateau"),
         ("junta", "heads")]


def task_of(kind, T, k, seed):
    rng = np.random.default_rng(seed)
    return sample_task(rng, kind, T, k, level=int(rng.integers(1, k + 1)) if kind == "threshold" else None)


@pytest.mark.parametrize("kind, form", CASES)
def test_every_input_of_ten_bits_by_the_plain_path(kind, form):
    """All 2^10 inputs, through tokens that are built and `attention`: an oracle that knows no tables."""
    X = (np.arange(1024)[:, None] >> np.arange(10) & 1).astype(np.uint8)
    for k, eps in ((1, 0.3), (3, 0.01), (5, 0.1)):
        if (kind, k) == ("junta", 1):
            continue
        task = task_of(kind, 10, k, seed=k)
        params, model, certificate = construct(task, eps, form=form)
        f = np.clip((1 + forward(params, X, model, path="general")[0]) / 2, 0, 1)
        error = np.abs(f - task.label(X)).max()
        assert certificate.holds(error) and certificate.promised in (0, eps)
        assert abs(error - verify(params, model, task).error) <= 1e-9       # support patterns x other bits miss nothing
        for name, ball in constraints(model).items():
            assert np.all(ball.contains(params[name])), name
        for name, (value, bound, formula) in certificate.norms.items():
            assert value <= bound * (1 + 1e-12), (name, formula)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10 ** 6), kind=st.sampled_from(["threshold", "symmetric", "junta", "parity"]),
       k=st.integers(2, 6), T=st.integers(6, 3000), eps=st.floats(1e-9, 0.49),
       form=st.sampled_from([None, "interp", "plateau", "heads"]))
@example(seed=2, kind="threshold", k=2, T=1976, eps=0.1, form="heads")          # 1.6e-13 of rounding
def test_random_rules_hold(seed, kind, k, T, eps, form):
    task = task_of(kind, T, k, seed)
    params, model, certificate = construct(task, eps, form=form)
    assert certificate.holds(verify(params, model, task, rests=1, rounds=1).error)
    assert all(value <= bound * (1 + 1e-12) for value, bound, _ in certificate.norms.values())
    assert as_result(params, model, task).support(k) == task.support


@pytest.mark.parametrize("kind, form", [("parity", "heads"), ("junta", "plateau"), ("majority", "plateau")])
def test_rounding_bounds_the_worst_order_of_sums(kind, form):
    """Sums one term at a time, the support first, so that every later addition is rounded at full size."""
    task, measured = task_of(kind, 20000, 3, 2), []
    params, _, certificate = construct(task, form=form)
    order = np.concatenate([task.support, np.setdiff1d(np.arange(20000), task.support)])
    w = np.append(np.exp(params["q"][:, order]), np.ones((len(params["q"]), 1)), axis=1)            # [CLS] last
    for pattern, rest in product(product((0, 1), repeat=3), (0, 1)):
        b = np.array([*pattern, *[rest] * (20000 - 3), 0])
        mean = sum(np.cumsum(w_h[:, None] * np.where(b[:, None], W_V[-2], W_V[-3]), axis=0)[-1] / np.cumsum(w_h)[-1]
                   for w_h, W_V in zip(w, params["W_V"]))
        f = np.clip((1 + np.maximum(mean, 0) @ params["w"] + params["c"]) / 2, 0, 1)
        measured.append(abs(f - task.table[sum(bit << i for i, bit in enumerate(pattern))]))
    assert certificate.rounding / 2000 < max(measured) <= certificate.rounding
    assert certificate.rounding < 1e-9


def test_rounding_grows_with_what_it_is_made_of():
    """Twice as many positions, a hotter head, other positions: never less; by hand for one unit of AND."""
    for kind, form in CASES:
        bounds = [construct(task_of(kind, T, 3, 1), form=form)[2].rounding for T in (50, 500, 5000)]
        assert bounds[0] < bounds[1] < bounds[2] and bounds[2] > 9 * bounds[1]
    hot = [construct(TASK, eps, form="interp")[2].rounding for eps in (0.1, 1e-6)]
    assert hot[0] < hot[1]
    task = sample_task(np.random.default_rng(0), "and", 20, 3)
    certificate = construct(task, 0.1)[2]
    u, theta, s = 3.1, 2 / 3.1 + 0.1 / 3.1, math.log(18 / 0.1)         # k/(1-lam), (1-lam)(k-1)/k + lam, beta
    assert certificate.rounding == pytest.approx(2.0 ** -53 * (40 + 1 + 1 + 4 * s + 32) * u * (1 + theta))
    sign = construct(task, 0.1, positions="sign", d_P=300)[2]
    assert sign.rounding > 2.0 ** -53 * 300 * sign.norms["||W_QK||_2"][0]


def test_the_bounded_class_holds_thresholds():
    """|w| and |c| are far inside 16 k, ||q||_1 inside k (log T + 4), and f is exact after the clip."""
    for k, T in product((1, 2, 3, 6), (16, 4096)):
        for level in range(1, k + 1):
            task = sample_task(np.random.default_rng(level), "threshold", T, k, level=level)
            params, model, certificate = construct(task, form="paper")
            assert model == ModelConfig.paper(T, k) and verify(params, model, task, rests=1, rounds=0).error <= 1e-12


def test_attention_shows_the_support():
    """Equal peaks for a symmetric rule, peaks that double for a junta, a peak of its own for every head."""
    for kind, form, ratio in (("parity", None, 1), ("junta", None, 2)):
        task = task_of(kind, 200, 4, 5)
        params, model, _ = construct(task, form=form)
        attention = attention_of(params, np.zeros((1, 200), np.uint8), model)[0]
        peaks = attention[list(task.support)]
        assert np.allclose(peaks[1:] / peaks[:-1], ratio, rtol=1e-12)
        assert np.delete(attention, task.support).max() < peaks.min() / 10
    task = task_of("junta", 200, 4, 5)
    params, model, _ = construct(task, form="heads")
    assert tuple(attention_of(params, np.zeros((1, 200), np.uint8), model).argmax(axis=1)) == task.support


def forget_leak(params, table):
    """The same knots with lam = 0: at c/W, as if nothing else got attention."""
    W = len(code_of(table)[1]) - 1
    W_V = params["W_V"].copy()
    theta = np.round(-W_V[0, -3] * W) / W
    W_V[0, -3:] = [-theta, 1 - theta, -theta]
    return params | {"W_V": W_V}


@pytest.mark.parametrize("kind, form", CASES)
def test_wrong_weights_are_found(kind, form):
    task = task_of(kind, 300, 4, 2)
    params, model, certificate = construct(task, form=form)

    def fails(params):
        return not certificate.holds(verify(params, model, task, rests=0, rounds=0).error)

    first = np.append(0, params["w"][1:])
    wrong = {"w": [0.9 * params["w"], first], "c": [params["c"] + 0.3, params["c"] - 0.3],
             "q": [np.roll(params["q"], 1, axis=1), 0.7 * params["q"]]}
    if certificate.form != "heads":             # there the worst pattern need not have label 1
        wrong["q"].append(0.99 * params["q"])
    assert not fails(params)
    for name, values in wrong.items():
        assert all(fails(params | {name: value}) for value in values), name
    if certificate.form in ("interp", "plateau"):
        assert fails(forget_leak(params, task.table))


def test_the_worst_other_bits_are_all_zeros_or_all_ones():
    for kind, form in CASES:
        task = task_of(kind, 100, 4, 3)
        params, model, _ = construct(task, form=form)
        assert abs(verify(params, model, task, rests=10, rounds=10).error
                   - verify(params, model, task, rests=0, rounds=0).error) <= 1e-9


def test_the_search_finds_other_bits_that_are_worse(monkeypatch):
    """A model whose error is the share of bits that equal a hidden row."""
    hidden = np.random.default_rng(7).integers(0, 2, 64, np.uint8)
    monkeypatch.setattr(importlib.import_module("minitf.theory.construct"), "logits_of", lambda params, X, model:
                        2 * np.abs(X[:, 5] - (X == hidden).mean(axis=1)) - 1)
    task = replace(sample_task(np.random.default_rng(0), "and", 64, 1), support=(5,))
    errors = [verify({}, model_of(64), task, rounds=rounds).error for rounds in (0, 5, 40)]
    assert 0.5 < errors[0] < errors[1] < errors[2] and errors[2] > 0.8
    assert verify({}, model_of(64), task, rounds=3)[1:] == (2, 2 + 4 + 24)


def test_sign_positions():
    """Scores on the support are exact, the leak is the wanted one, beta is larger than for orthonormal positions."""
    for kind, T, k, d_P, betas, lengths in (("parity", 4096, 3, 688, (10.8, 11.1), (17.0, 20.5)),
                                            ("parity", 4096, 6, 426, (11.2, 12.0), (26.0, 29.0)),
                                            ("junta", 256, 6, 426, (8.1, 8.8), (24.5, 27.5)),
                                            ("parity", 4096, 3, 114, (11.6, 13.8), (19.5, 25.5))):
        task = task_of(kind, T, k, 1)
        params, model, certificate = construct(task, EPS, positions="sign", d_P=d_P)
        scores = positions(model, np.float64) @ params["q"][0, :-3]
        wanted = certificate.beta + np.log(certificate.weights)
        assert np.allclose(scores[list(task.support)], wanted, rtol=1e-12)
        W = certificate.weights.sum()
        lam = 2 * EPS / (W + 2 * EPS)
        attention = attention_of(params, np.zeros((1, T), np.uint8), model)[0]
        assert abs(1 - attention[list(task.support)].sum() - lam) <= 1e-11
        assert betas[0] < certificate.beta < betas[1] and certificate.beta > beta_interp(EPS, T, k)
        assert lengths[0] < certificate.norms["||W_QK||_2"][0] < lengths[1]
        assert EPS * (1 - 1e-2) <= verify(params, model, task, rests=1, rounds=0).error <= EPS * (1 + 1e-9)
    task = task_of("junta", 60, 3, 1)
    for form in ("plateau", "heads"):
        params, model, certificate = construct(task, form=form, positions="sign", d_P=400)
        assert certificate.holds(verify(params, model, task).error) and certificate.promised == 0
        assert all(np.all(ball.contains(params[name])) for name, ball in constraints(model).items())


def test_least_gap():
    """Any attention obeys it, equal scores meet it: no head has a lower temperature than that of a symmetric rule."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        T, k = int(rng.integers(3, 40)), int(rng.integers(1, 3))
        scores = 5 * rng.standard_normal(T + 1)
        weights = np.exp(scores - scores.max())
        lam = weights[k:].sum() / weights.sum()
        assert scores[:k].max() - scores[k:].min() >= least_gap(lam, T, k) - 1e-10
    for T in LENGTHS:
        certificate = built("interp", "parity", 3, T)[2]
        assert abs(certificate.gap - certificate.beta) <= 1e-12
        assert certificate.norms["||W_QK||_2"][0] >= certificate.gap / math.sqrt(2)
    assert abs(least_gap(0.01, 4 ** 9, 2) - least_gap(0.01, 4 ** 8, 2) - math.log(4)) <= 1e-4


def test_code_of():
    assert code_of((0, 1, 1, 0))[0].tolist() == [1, 1] and code_of((0, 1, 1, 0))[1].tolist() == [0, 1, 0]
    w, g = code_of((0, 1, 0, 0))
    assert w.tolist() == [1, 2] and g.tolist() == [0, 1, 0, 0]
    for k in (2, 3):
        for bits in product((0, 1), repeat=1 << k):
            w, g = code_of(np.array(bits, np.uint8))
            codes = (np.arange(1 << k)[:, None] >> np.arange(k) & 1) @ w
            assert len(g) == w.sum() + 1 and np.array_equal(g[codes.astype(int)], bits)
            assert (w.max() == 1) == all(len({b for b, c in zip(bits, count_ones(k)) if c == n}) == 1
                                         for n in range(k + 1))


def test_fit_starts_from_it_and_files_keep_it(tmp_path):
    for kind, form in (("parity", None), ("majority", "paper")):
        task = task_of(kind, 40, 3, 4)
        params, model, _ = construct(task, form=form)
        X, y = task.sample(np.random.default_rng(5), 200)
        result = as_result(params, model, task)
        assert np.array_equal(result.predict(X), task.label(X)) and result.support(3) == task.support
        result.save(tmp_path / "model.npz")
        again = load(tmp_path / "model.npz")
        assert again.model == model and np.array_equal(again.logits(X), result.logits(X))
        trained = fit(X, y, model, params=params, train=TrainConfig("pgd", steps=20, restarts=0))
        assert trained.history["loss"][0] < 0.33 and trained.support(3) == task.support      # log(1 + 1/e) = 0.313
        assert trained.history["loss"][-1] < 0.33 and np.array_equal(trained.predict(X), task.label(X))
        assert all(np.all(ball.contains(trained.params[name])) for name, ball in constraints(model).items())


TASK = sample_task(np.random.default_rng(0), "majority", 20, 3)
JUNTA = sample_task(np.random.default_rng(0), "junta", 20, 3)


@pytest.mark.parametrize("arguments, options, error, words", [
    (("and",), {}, TypeError, "task: expected a BooleanTask"),
    ((TASK, 0.5), {}, ValueError, "eps: expected a number from 1e-9 to below 0.5"),
    ((TASK, 0.0), {}, ValueError, "eps"), ((TASK, float("nan")), {}, ValueError, "eps"),
    ((TASK, "x"), {}, TypeError, "eps"),
    ((TASK,), {"form": "step"}, ValueError, "form: expected one of unit"),
    ((TASK,), {"form": "unit"}, ValueError, "form: expected another than unit"),
    ((JUNTA,), {"form": "paper"}, ValueError, "form: expected another than paper"),
    ((task_of("parity", 20, 3, 0),), {"form": "paper"}, ValueError, "form: expected another"),
    ((task_of("parity", 20, 9, 0),), {}, ValueError, "k: expected at most 8"),
    ((JUNTA,), {"positions": "learned"}, ValueError, "positions"), ((JUNTA,), {"d_P": 20}, ValueError, "d_P"),
    ((TASK,), {"form": "paper", "positions": "sign", "d_P": 8}, ValueError, "positions"),
    ((JUNTA,), {"positions": "sign"}, TypeError, "d_P: expected an integer >= 2"),
    ((JUNTA,), {"positions": "sign", "d_P": 2}, ValueError, "d_P: expected a width at which the positions of 3 bits"),
    ((JUNTA,), {"positions": "sign", "d_P": 4}, ValueError, "d_P: expected a width at which"),
    ((task_of("parity", 10 ** 6, 8, 0),), {}, ValueError, "T: expected at most 419430 with units = 9"),
])
def test_bad_input(arguments, options, error, words):
    with pytest.raises(error, match=words.replace("(", "\\(")):
        construct(*arguments, **options)


def test_bad_input_of_verify():
    params, model, _ = construct(TASK)
    for arguments, error, words in (
            ((params, None, TASK), TypeError, "model"), ((params, model, None), TypeError, "task"),
            ((params, model, replace(TASK, T=21)), ValueError, "task: expected a task of T = 20"),
            ((params, model, TASK, 0), TypeError, "rng"), (({}, model, TASK), ValueError, "params")):
        with pytest.raises(error, match=words):
            verify(*arguments)
    with pytest.raises(ValueError, match="rests"):
        verify(params, model, TASK, rests=-1)
    task = sample_task(np.random.default_rng(0), "parity", 2 ** 17, 8)
    with pytest.raises(ValueError, match="T: expected at most 65536 with k = 8"):
        verify(*construct(task)[:2], task)
