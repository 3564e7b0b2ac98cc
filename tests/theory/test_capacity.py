"""Certificates by hand and by models they must not flatter; Rademacher complexity from below against exact cases."""
import json
import math
from itertools import product

import numpy as np
import pytest

from minitf.fast.forward import forward
from minitf.learn.fit import fit
from minitf.model.config import ModelConfig
from minitf.model.parameters import init_params
from minitf.tasks.samples import sample_task
from minitf.theory.by_norms import NormCertificate as Certificate
from minitf.theory.by_norms import certify_norms as certify
from minitf.theory.by_norms import rounded
from minitf.theory.construct import construct
from minitf.theory.error import dyadic_budgets, gap_bound, margin_bound
from minitf.theory.information import log_supports, occam_m
from minitf.theory.linear import mau_max
from minitf.theory.measured import family_of


def head(T=8, q=((3, 4.0), (5, 2.0)), w=6.0, c=-3.0):
    """The bounded head with scores q, its attention, and all 2^T inputs."""
    model = ModelConfig.paper(T)
    params = {"q": np.zeros((1, T)), "w": np.array([w]), "c": np.array(c)}
    for t, score in q:
        params["q"][0, t] = score
    a = np.exp(np.r_[0, params["q"][0]])
    return params, model, (a / a.sum())[1:], np.array(list(product((0, 1), repeat=T)), np.uint8)


def learned(kind="and", T=64, k=2, m=65, **options):
    task = sample_task(np.random.default_rng(0), kind, T, k, **options)
    X, y = task.sample(np.random.default_rng(1), m)
    return fit(X, y), X, y


# ---- certificates -----------------------------------------------------------------------------------------------

def test_certificate_of_a_bounded_head_by_hand():
    """v = w a: two weights and six equal ones, so 3 vectors are mixed once 2 of 8 positions are named."""
    params, model, a, X = head()
    logits = forward(params, X, model)[0]
    y = (logits > 0).astype(np.uint8)
    g = abs(logits).min()
    (W, C), left = dyadic_budgets([6 * a.sum() / (2 * g), abs(-3 + 3 * a.sum()) / (2 * g)], 0.025)

    def logcov(eps, m):
        naming = math.log(3 * 2.5 * 9) + math.log(28)
        return naming + mau_max(W, 0.5, 0.95 * eps, m, 3) + math.log(math.ceil(C / (0.05 * eps)))

    def everywhere(eps):            # v / W in a simplex of 4 coordinates, in multiples of 1/N
        N = math.ceil(W * 4 / (4 * 0.95 * eps))
        return math.log(3 * 2.5 * 9) + math.log(28 * math.comb(N + 3, 3)) + math.log(math.ceil(C / (0.05 * eps)))

    def bound(m):
        uniform = 1 - (left * math.exp(-everywhere(0.25 * (1 - 1e-9)))) ** (1 / m)
        return min(uniform, margin_bound(logcov, m, left))

    found = certify((params, model), X, y, k=2)
    assert found.fitted and found.margin == pytest.approx(g)
    assert found.error == pytest.approx(bound(256)) and "single out 2" in found.family
    assert bound(256) < margin_bound(logcov, 256, left) / 2.5
    m = found.needed
    assert bound(m) <= 0.1 < bound(int(m / 1.006) - 1)
    assert found.yardstick == occam_m(math.log(28), 0.1, 0.05) and found.factor == m / found.yardstick
    many = certify((params, model), np.tile(X, (8, 1)), np.tile(y, 8), k=2)
    assert many.error == pytest.approx(bound(8 * 256)) and many.error < 0.1 < found.error
    assert certify((params, model), X[::4], y[::4], k=2).error > 0.3
    assert certify((params, model), X, y).yardstick == occam_m(math.log(8), 0.1, 0.05)      # one holds most attention


def test_certificate_with_errors_is_a_margin_loss_and_a_gap():
    params, model, a, X = head()
    logits = forward(params, X, model)[0]
    y = (logits > 0).astype(np.uint8)
    y[:16] ^= 1
    X, y, logits = np.tile(X, (400, 1)), np.tile(y, 400), np.tile(logits, 400)
    g, m = np.median(abs(logits)), len(y)
    (W, C), left = dyadic_budgets([6 * a.sum() / (2 * g), abs(-3 + 3 * a.sum()) / (2 * g)], 0.025)
    rad = W / 2 * math.sqrt(2 * math.log(16) / m) + C / math.sqrt(m)
    loss = np.clip(1 - (2.0 * y - 1) * logits / g, 0, 1).mean()
    found = certify((params, model), X, y, k=2)
    assert not found.fitted and found.margin == pytest.approx(g) and loss > 16 / 256
    assert found.error == pytest.approx(loss + gap_bound(rad, m, left)) and found.error < 1
    assert found.yardstick == occam_m(math.log(28), 0.1, 0.05, agnostic=True)
    assert "above the margin loss" in found.text


def test_rademacher_complexity_of_averages_is_not_exceeded():
    """The exact supremum over ||v||_1 <= W, |c| <= C is W max_t |<s, b_t - 1/2>| + C |sum s|, over m."""
    params, model, _, _ = head()
    _, norms, build = family_of(params, model, 1.0)
    rng = np.random.default_rng(0)
    for m in (10, 100, 1000):
        X, s = rng.integers(0, 2, (m, 8)), rng.choice([-1, 1], (2000, m))
        exact = (norms[0] * abs(s @ (X - 0.5)).max(axis=1) + norms[1] * abs(s.sum(axis=1))).mean() / m
        bound = build(*norms)[1](m)
        assert min(exact, 0.5) <= bound and (bound == 0.5 or bound < 2 * exact)


@pytest.mark.parametrize("options", [{}, {"H": 3}])
def test_averages_are_the_logit(options):
    """<v, b> + c read off the basis vectors equals forward on all inputs, and the norms are those of v."""
    rng, T = np.random.default_rng(0), 6
    model = ModelConfig.paper(T, 3, **options)
    params = {name: rng.standard_normal(x.shape) for name, x in init_params(rng, model).items()}
    basis = np.r_[np.zeros((1, T)), np.eye(T)].astype(np.uint8)
    logits = forward(params, basis, model)[0]
    v, c = logits[1:] - logits[0], logits[0]
    name, norms, _ = family_of(params, model, 2.0)
    X = rng.integers(0, 2, (50, T)).astype(np.uint8)
    assert forward(params, X, model)[0] == pytest.approx(X @ v + c)
    assert norms == pytest.approx([abs(v).sum() / 2, abs(c + v.sum() / 2) / 2])
    assert "single out 5" in name           # scores all differ: all but one position stand out


def test_a_learned_head_is_close_to_occam_and_nearer_with_more_examples():
    result, X, y = learned()
    found = certify(result, X, y, k=2)
    assert 0.3 < found.error < 0.45 and found.fitted and 2 < found.factor < 5
    assert found.text.startswith(f"error at most {found.error:.1%}; the same norms and margin certify 10% error from m = ")
    assert found.yardstick == occam_m(log_supports(64, 2), 0.1, 0.05) == 107
    assert certify(result, X, y, 0.01, k=2).needed > found.needed
    result, X, y = learned(m=2500)
    found = certify(result, X, y, k=2)
    assert found.error < 0.02 and found.text.startswith(f"error at most {found.error:.1%}; ")
    task = sample_task(np.random.default_rng(0), "and", 64, 2)
    X, y = task.sample(np.random.default_rng(7), 10_000)
    assert (result.predict(X) != y).mean() <= found.error
    assert json.loads(json.dumps(found._asdict()))["needed"] == found.needed


@pytest.mark.every(3)
@pytest.mark.parametrize("seed", range(3))
def test_memorised_random_labels_are_not_certified(seed):
    """The true error is 1/2: heads of both signs fit all of 30 random labels, and a search fits what it can."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 2, (30, 64), np.uint8), rng.integers(0, 2, 30, np.uint8)
    v = np.linalg.lstsq(np.c_[X, np.ones(30)], 2.0 * y - 1, rcond=None)[0]
    plus, minus = np.maximum(v[:64], 0), np.maximum(-v[:64], 0)
    model = ModelConfig(64, H=2, d=67, d_v=1, positions="onehot", values="bit", heads="concat")
    with np.errstate(divide="ignore"):
        q = np.maximum(np.log(np.stack([plus, minus]) / 1e-9), 0)       # attention in proportion to v, [CLS] the rest
    share = np.exp(q).sum(axis=1) + 1
    params = {"q": q, "w": np.array([1, -1]) * share * 1e-9, "c": np.array(v[64])}
    found = certify((params, model), X, y, k=3)
    assert found.fitted and found.error > 0.99 and found.needed > 1000
    X, y = rng.integers(0, 2, (300, 64), np.uint8), rng.integers(0, 2, 300, np.uint8)
    assert certify(fit(X, y), X, y).error > 0.5


# ---- families ---------------------------------------------------------------------------------------------------

SCALARS = {
    "scalar": ModelConfig.scalar(6, H=3, d=12, d_o=5), "sum-pre": ModelConfig(6, H=2, d=8, d_v=3, activation="relu"),
    "sum-pre, W_C": ModelConfig(6, H=2, d=8, d_v=3, d_o=4, activation="gelu"),
    "sum-out": ModelConfig(6, H=2, d=8, d_v=3, heads="sum-out", activation="relu"),
    "sum-out, W_C": ModelConfig(6, H=2, d=8, d_v=3, d_o=4, heads="sum-out", activation="relu"),
    "concat": ModelConfig(6, H=2, d=8, d_v=3, heads="concat", activation="relu"),
    "residual": ModelConfig(6, H=2, d=8, d_v=3, d_o=8, residual=True, query="combined"),
    "onehot": ModelConfig(6, H=2, d=9, d_v=3, positions="onehot", activation="relu", query="factored"),
    "sign": ModelConfig(6, H=1, d=11, d_v=3, positions="sign", activation="relu"),
    "gelu of bits": ModelConfig(6, H=2, d=9, d_v=1, positions="onehot", values="bit", activation="gelu"),
}


def random_params(model, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: scale * rng.standard_normal(x.shape) for name, x in init_params(rng, model).items()}


@pytest.mark.parametrize("name", SCALARS)
def test_scalar_family_contains_the_model(name):
    """Every logit less its constant lies within the radius that the measured norms allow, and uses a share of it."""
    model, X = SCALARS[name], np.array(list(product((0, 1), repeat=6)), np.uint8)
    used = []
    for seed in range(20):
        params = random_params(model, seed)
        family, norms, build = family_of(params, model, 2.0)
        B_q, B_V, B_V21, B_u, C = norms
        assert family == "tf-scalar" and B_V <= B_V21 * (1 + 1e-12)
        logits = forward(params, X, model)[0]
        B_X = 1.0 if model.positions == "learned" else math.sqrt(2)
        spread = math.sqrt(model.H) if (model.heads, model.d_o) == ("concat", 0) else model.H
        used.append(abs(logits).max() / 2 / (spread * B_u * 1.13 * B_V * B_X + C))
        logcov, rad, uniform = build(*norms)
        assert uniform is None and logcov(0.25, 100) > 0 and 0 < rad(10 ** 6) <= 0.5
        constant = params["c"] + (params["x_cls"] @ params["w"] if name == "residual" else 0)
        assert C == pytest.approx(abs(constant) / 2)
    assert 0.02 < max(used) <= 1


def test_scalar_norms_are_those_of_the_token_tables():
    """scalar(): singular values and columns of the values of all V T + 1 tokens, computed the long way."""
    model = SCALARS["scalar"]
    params = random_params(model, 0)
    tokens = np.concatenate([(params["E"][:, None] + params["P"]).reshape(-1, 12), params["x_cls"][None]])
    scores = tokens @ params["q"].T
    values = [tokens @ params["W_V"][h] @ params["W_C"][4 * h:4 * h + 4] for h in range(3)]
    _, norms, _ = family_of(params, model, 2.0)
    assert norms == pytest.approx([
        np.linalg.norm(scores - scores.mean(axis=0), axis=0).max(), max(np.linalg.norm(v, 2) for v in values),
        max(np.linalg.norm(v, axis=0).sum() for v in values), np.linalg.norm(params["w"]) / 2, abs(params["c"]) / 2])


@pytest.mark.parametrize("heads, query, L, residual", [
    ("sum-pre", "combined", 2, False), ("sum-out", "factored", 2, True), ("concat", "combined", 3, False),
    ("sum-pre", "q", 1, False)])
def test_layers_family_contains_the_model(heads, query, L, residual):
    model = ModelConfig.network(6, L=L, H=2, d=9, d_v=3, heads=heads, query=query, residual=residual)
    X = np.array(list(product((0, 1), repeat=6)), np.uint8)
    params = random_params(model, L)
    family, norms, build = family_of(params, model, 2.0)
    assert family == f"{L} layers between projections" and len(norms) == 6 * L + 2
    assert abs(forward(params, X, model)[0]).max() / 2 <= norms[-2] + norms[-1]
    name = "0/W_V" if L > 1 else "W_V"
    assert norms[2] == pytest.approx(max(np.linalg.norm(W, 2) for W in params[name]))
    assert norms[3] == pytest.approx(max(np.linalg.norm(W, axis=0).sum() for W in params[name]))
    if query == "factored":
        W_QK = params["0/W_K"] @ params["0/W_Q"].swapaxes(1, 2)
        assert norms[:2] == pytest.approx([max(np.linalg.norm(W, order) for W in W_QK) for order in (2, "fro")])
    logcov, rad, uniform = build(*norms)
    assert uniform is None and logcov(0.25, 100) > 0 and 0 < rad(10 ** 8) <= 0.5
    y = (forward(params, X, model)[0] > 0).astype(np.uint8)
    assert certify((params, model), X, y, k=1).error == 1


@pytest.mark.parametrize("model, reason", [
    (ModelConfig.gpt(4, d=8, H=2), "layer norm"), (ModelConfig.gpt(4, d=8, H=2, norm="none"), "block of gpt"),
    (ModelConfig.mlp(4), "no attention"),
    (ModelConfig.network(4, positions="learned"), "learned"), (ModelConfig.network(4, norm="none"), "several layers")])
def test_no_bound_comes_with_a_reason(model, reason):
    X = np.array(list(product((0, 1), repeat=4)), np.uint8)
    found = certify((init_params(np.random.default_rng(0), model), model), X, X[:, 0])
    assert found == Certificate(None, found.text) and found.text.startswith("none: ") and reason in found.text


@pytest.mark.parametrize("kind, form", [("and", "unit"), ("majority", "plateau"), ("parity", "interp"),
                                        ("and", "paper")])
def test_constructed_models_have_a_certificate(kind, form):
    task = sample_task(np.random.default_rng(0), kind, 64, 3)
    params, model, _ = construct(task, form=form)
    X, y = task.sample(np.random.default_rng(1), 500)
    found = certify((params, model), X, y, k=3)
    assert found.fitted and found.needed > (400 if form == "paper" else 1000) and found.factor == found.needed / found.yardstick


def test_a_model_that_says_nothing():
    params, model, _, X = head(w=0.0, c=0.0)
    found = certify((params, model), X, X[:, 0], k=1)
    assert found.error == 1 and not found.fitted and found.margin == 1


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")       # of the forward pass
def test_norms_beyond_any_number_of_examples():
    """No finite answer, and no number is made up; where the arithmetic itself ends, that is said."""
    X = np.array(list(product((0, 1), repeat=6)), np.uint8)
    model = SCALARS["scalar"]
    found = certify((random_params(model, 0, 1e9), model), X, X[:, 0], k=1)
    assert (found.error, found.needed, found.factor) == (1, None, None)
    assert found.text == "vacuous at m = 64; more than 1e+60 examples of the same norms and margin would certify 10% " \
        "error above the margin loss"
    json.dumps(found._asdict(), allow_nan=False)
    deep = ModelConfig.network(6, L=6, H=2, d=9, d_v=3)
    for odd, scale in ((deep, 1e20), (model, 1e60), (SCALARS["onehot"], 1e150)):
        found = certify((random_params(odd, 0, scale), odd), X, X[:, 0], k=1)
        assert found == Certificate(None, "none: its norms multiply to more than float64 holds")


@pytest.mark.parametrize("x, text", [(1.444, "1.4"), (9.96, "10"), (12.6, "13"), (1352, "1,400"), (213977, "210,000"),
                                     (44221632, "4.4e7"), (1e12, "1.0e12"), (None, "inf")])
def test_rounded(x, text):
    assert rounded(x) == text


@pytest.mark.parametrize("change, error, name", [
    ({"delta": 0.2}, ValueError, "delta: "), ({"delta": "5%"}, TypeError, "delta: "), ({"k": 0}, ValueError, "k: "),
    ({"k": 9}, ValueError, "k: "), ({"logits": np.zeros(3)}, ValueError, "logits: "),
    ({"y": np.full(256, 2)}, ValueError, "y: "), ({"X": np.zeros((256, 7), np.uint8)}, ValueError, "X: ")])
def test_errors_name_the_argument(change, error, name):
    params, model, _, X = head()
    with pytest.raises(error, match=name):
        certify(**{"model": (params, model), "X": X, "y": X[:, 0], **change})
