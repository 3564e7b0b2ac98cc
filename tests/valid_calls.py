"""A valid call of every public function, class and method: what `hostile` then spoils, one argument at a time.

    CALLS["norm"]               Call(function, bound arguments)
    surface()                   the names that must be there, read off the doors of the rooms

Pullbacks are found in the results of the calls: "linear pullback".
"""
import importlib
import inspect
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sweeps import Here, invent

import minitf
from minitf import bounds, learn, model, ops, optim, projections, tasks, theory, trust
from minitf import lab as laboratory
from minitf.trust import explain

ROOMS = ("ops", "projections", "tasks", "optim", "model", "fast", "learn", "theory", "bounds", "trust", "lab")
LENT = """convex_set sum_to l2 reals Packed bits examples flips labels_by_count mean_label ones_by_count balanced_p shapes
    before by_heads complete embedded examples_of layer_of mlp mlp_block named normed per_head positions queries
    queries_keys readout row_heads rows_below same_shapes symbols bit_weights bits_alone blocks one_hot attention_of
    head_shares mean_gradient on_vectors position_table predictor sought whole ConvexSet ACTIVATIONS in_blocks in_words
    logits_of minibatch_descent exact_rule read_rule Evidence fit_quietly FitWarning backtrack checked difference evaluate
    inner magnitude percent rounded tail_bound FORMS MOST_BITS MOST_K MOST NORMS TASKS KINDS as_result IDENTITY ROW HOLDOUT
    METHODS MODELS series_of Answer Candidates rho_of longest row_keys has_copies render quoted
    label_in_words""".split()
# ^ what one room lends another, called with arguments that a public function has checked


class Call(NamedTuple):
    function: Callable
    bound: inspect.BoundArguments

    def __call__(self, **instead):
        return self.function(*(bound := self.but(**instead)).args, **bound.kwargs)

    def but(self, **instead):
        """The arguments, some of them replaced."""
        return inspect.BoundArguments(self.bound.signature, {**self.bound.arguments, **instead})


def call(function, *args, **options):
    return Call(function, inspect.signature(function).bind(*args, **options))


def surface():
    """The public names: of the package, of the doors of the rooms, methods of public classes as "Class.method"."""
    found = set()
    for module in (minitf, explain, *(importlib.import_module(f"minitf.{room}") for room in ROOMS)):
        for name in [name for name in getattr(module, "__all__", None) or vars(module) if name not in LENT]:
            value = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith("minitf.") and (
                module is not optim or value.__module__ == "minitf.optim")
            if name.startswith("_") or not (callable(value) and ours):
                continue
            record = inspect.isclass(value) and issubclass(value, tuple)        # a NamedTuple holds what it is given
            found |= set() if record else {name}
            if inspect.isclass(value):
                found |= {f"{name}.{method}" for method in dir(value)
                          if not method.startswith("_") and method != "of_case" and callable(getattr(value, method))
                          and not hasattr(tuple, method)}
    return found


def floats(*shape):
    """Numbers in [-1, 1], all different."""
    return np.sin(np.arange(1.0, math.prod(shape) + 1)).reshape(shape)


RNG = np.random.default_rng(0)
TASK = minitf.sample_task(np.random.default_rng(1), "and", 8, 2)
X, Y = TASK.sample(np.random.default_rng(2), 40)
PAPER, TF = minitf.ModelConfig.paper(8, 2), minitf.ModelConfig(8, d=6, d_v=2, d_o=3, activation="relu")
GPT = minitf.ModelConfig.gpt(8, d=8, H=2)
SEARCH = minitf.TrainConfig(steps=3, restarts=0)
PARAMS = minitf.init_params(np.random.default_rng(3), TF)
RESULT = learn.fit_quietly(X, Y, PAPER, train=SEARCH)
NETWORK = minitf.ModelConfig.network(4, d=7, d_v=2)
WEIGHTS, BUILT, SURE = minitf.construct(TASK)
BALL, ROWS = minitf.Ball("l21", 1.0), minitf.Ball("l1", np.array([0.5, 1.0, 0.2]), axes=1)
BOTH = minitf.Intersection([BALL, minitf.Ball("spectral", 0.5)])
BOX, SIMPLEX = minitf.Box(-0.5, 0.5), minitf.Simplex(1.0)
SCALAR = bounds.ScalarBudgets(T=8, d=11, d_v=1, B_X=1.5, B_q=2.0, B_V=1.0, B_V21=1.0, B_u=2.0, clip=False)
HEAD = bounds.HeadBudgets(T=8, d=11, d_v=2, B_X=1.5, B_Z=1.0, B_QKF=2.0, B_V=1.0, B_V21=1.0, B_QK11=2.0, B_V11=1.0)
LAYERS = [bounds.LayerBudgets(d=5, k=2, B_QK=1.0, B_QKF=2.0, B_V=1.0, B_V21=2.0, B_C=1.0, B_C21=2.0)] * 2
RULE = learn.Rule((1, 3), (0, 0, 0, 1), 8)
CERTIFICATE = theory.certify_rule(RULE, X, Y)
POINT, GRADIENTS, SETS = {"w": floats(3, 2)}, {"w": floats(3, 2) + 1}, {"w": BALL}
MOVED = optim.projected_gradient(lambda p: (float((p["w"] ** 2).sum()), {"w": 2 * p["w"]}), POINT, SETS)
M, S = floats(3, 4), floats(2, 3, 5)
HEADS = floats(2, 3, 4), floats(2, 5, 4) / 2, floats(2, 5, 3) / 3
OPTIONS = dict(mask=floats(3, 5) < 0.8, bias=floats(3, 5), sinks=floats(2), causal="bottom-right", keep=floats(3, 5) > 0,
               window=(3, 1, "bottom-right"), segments=(np.array([0, 0, 1]), np.array([0, 0, 0, 1, 1])), scale=0.5,
               softcap=3.0)
WEIGHTED = {name: value for name, value in OPTIONS.items() if name != "keep"}
TABLES = floats(2, 2, 8), floats(2, 2, 8, 3), floats(2), floats(2, 3)
CASE = trust.golden_cases("attention")[0]
FOLDER = Path(tempfile.mkdtemp())
SAVED, CSV = FOLDER / "model.npz", FOLDER / "table.csv"
RESULT.save(SAVED)
RUNS = laboratory.read_runs([invent(FOLDER / "runs.jsonl", T=(16, 64), m=(10, 12, 20), reps=3)])
(PUBLISHED := FOLDER / "published.csv").write_text("T,m,share\n16,10,0.5\n")
CSV.write_text("a,b,y\n" + "0,1,1\n1,1,1\n0,0,0\n1,0,0\n" * 5)


def logcov(eps, m=1):
    return math.log(2) + (1 / eps) ** 2


def silent(progress):
    return None


def quadratic(p):
    return float((p["w"] ** 2).sum()), {"w": 2 * p["w"]}


def of_set(kind, s, x):
    """The methods of a set."""
    inside = s.project(x)
    given = {"project": (x,), "projection": (x,), "lmo": (x,), "gap": (x, inside), "support": (x,), "contains": (inside,),
             "norm": (x,), "project_certified": (x,)}
    return {f"{kind}.{name}": call(getattr(s, name), *args) for name, args in given.items() if hasattr(s, name)}


CALLS = {
    "add": call(ops.add, S, M[:, :1]), "linear": call(ops.linear, S, floats(5, 2), floats(2)),
    "embed": call(ops.embed, np.array([[0, 2], [1, 1]]), floats(3, 2)), "softmax": call(ops.softmax, S),
    "cap": call(ops.cap, S, 2.0), "layer_norm": call(ops.layer_norm, S, floats(5), floats(5), eps=1e-5),
    "unit_ball": call(ops.unit_ball, 2 * S), "identity": call(ops.identity, S), "relu": call(ops.relu, S),
    "gelu": call(ops.gelu, S), "sigmoid": call(ops.sigmoid, S), "logistic": call(ops.logistic, floats(4), np.array([0, 1, 1, 0])),
    "attention": call(ops.attention, *HEADS, **OPTIONS), "attention lse": call(ops.attention, *HEADS, lse=True),
    "attention_blocked": call(ops.attention_blocked, *HEADS, **OPTIONS, block=2),
    "attention_blocked lse": call(ops.attention_blocked, *HEADS, lse=True),
    "attention_weights": call(ops.attention_weights, *HEADS[:2], **WEIGHTED),
    "attention_tangent": call(ops.attention_tangent, *HEADS, *HEADS, bias_dot=floats(3, 5), sinks_dot=floats(2), lse=True,
                              **OPTIONS),
    "Ball": call(minitf.Ball, "l21", 1.0), "Ball rows": call(minitf.Ball, "l1", np.array([1.0, 2.0]), axes=1),
    "Simplex": call(minitf.Simplex, 1.0), "Box": call(minitf.Box, -1.0, 1.0, axes=1),
    "Box array": call(minitf.Box, floats(3) - 2, floats(3) + 2), "Intersection": call(minitf.Intersection, [BALL, BOX]),
    **of_set("Ball", BALL, M), **of_set("Simplex", SIMPLEX, M), **of_set("Box", BOX, M), **of_set("Intersection", BOTH, M),
    "norm": call(minitf.norm, M, "l21"), "norm spectral": call(minitf.norm, M, "spectral"),
    "dual_norm": call(minitf.dual_norm, M, "linf1"), "project": call(minitf.project, M, ROWS),
    **{f"Ball.project {kind}": call(minitf.Ball(kind, 0.5).project, M) for kind in projections.norms.KINDS},
    "BooleanTask": call(minitf.BooleanTask, "and", 8, 2, (1, 3), (0, 0, 0, 1), 0.5, 0.1),
    "BooleanTask.label": call(TASK.label, X), "BooleanTask.sample": call(TASK.sample, RNG, 5),
    "BooleanTask.blocks": call(TASK.blocks, RNG, 5, 2), "BooleanTask.influences": call(TASK.influences),
    "BooleanTask.sensitivity": call(TASK.sensitivity), "BooleanTask.average_sensitivity": call(TASK.average_sensitivity),
    "BooleanTask.fourier": call(TASK.fourier),
    "sample_task": call(minitf.sample_task, RNG, "threshold", 8, 3, level=2, p=0.5, noise=0.1),
    "sample_task junta": call(minitf.sample_task, RNG, "junta", 8, 2, table=[0, 1, 1, 0]),
    "truth_table": call(minitf.truth_table, "threshold", 3, 2), "truth_table symmetric": call(minitf.truth_table, "symmetric", 2, table=[0, 1, 0]),
    "consistent_supports": call(minitf.consistent_supports, X, Y, "and", 2, limit=2),
    "consistent_supports junta": call(minitf.consistent_supports, X, Y, "junta", 2, table=[0, 0, 0, 1]),
    "count_ones": call(tasks.count_ones, 3), "is_checkable": call(tasks.is_checkable, "and", 8, 2),
    "flatten": call(optim.flatten, POINT), "unflatten": call(optim.unflatten, floats(6), POINT),
    "gradient_step": call(optim.gradient_step, M, M, M, lr=0.1, momentum=0.5),
    "adam_step": call(optim.adam_step, M, M, (1, M, M * M), lr=1e-3, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1),
    "project_params": call(optim.project_params, POINT, SETS), "projected_step": call(optim.projected_step, POINT, GRADIENTS, SETS, 0.1),
    "fixed_point_residual": call(optim.fixed_point_residual, POINT, GRADIENTS, SETS, 0.5),
    "frank_wolfe_gap": call(optim.frank_wolfe_gap, POINT, GRADIENTS, SETS),
    "projected_gradient": call(optim.projected_gradient, quadratic, POINT, SETS, lr=0.5, momentum=True),
    "ModelConfig": call(minitf.ModelConfig, 8, **{name: value for name, value in vars(TF).items() if name != "T"}),
    "ModelConfig.paper": call(minitf.ModelConfig.paper, 8, 2, H=1, radius=5.0),
    "ModelConfig.scalar": call(minitf.ModelConfig.scalar, 8, H=2, d=4, d_o=3, radius=2.0),
    "ModelConfig.network": call(minitf.ModelConfig.network, 8, L=2, H=1, d=7, d_v=2, C_2=2.0, C_21=3.0, B_w=2.0),
    "ModelConfig.gpt": call(minitf.ModelConfig.gpt, 8, L=1, H=2, d=8, d_ff=8), "ModelConfig.mlp": call(minitf.ModelConfig.mlp, 8, L=2, d_ff=4),
    "init_params": call(minitf.init_params, RNG, TF), "constraints": call(minitf.constraints, PAPER),
    "forward": call(minitf.forward, PARAMS, X, TF, path="fast"), "forward general": call(model.forward, PARAMS, X, TF),
    "forward gpt": call(minitf.forward, minitf.init_params(RNG, GPT), X, GPT),
    "forward bits": call(minitf.forward, RESULT.params, X, PAPER), "mean_bit": call(minitf.mean_bit, floats(2, 8), X),
    "cls_head": call(minitf.cls_head, *TABLES, X),
    "TrainConfig": call(minitf.TrainConfig, "adam", 5, 4, 0.1, 0.1, 2.0, 1, 0.1, False, 100),
    "Rule": call(learn.Rule, (1, 3), (0, 0, 0, 1), 8), "Rule.say": call(RULE.say), "Rule.same_as": call(RULE.same_as, RULE),
    "Result": call(minitf.Result, RESULT.params, PAPER, RESULT.weights, RESULT.shares, RESULT.frequency),
    "Result.model_logits": call(RESULT.model_logits, X), "Result.logits": call(RESULT.logits, X), "Result.predict": call(RESULT.predict, X),
    "Result.predict_proba": call(RESULT.predict_proba, X), "Result.rule": call(RESULT.rule, X), "Result.support": call(RESULT.support, 2),
    "Result.influence": call(RESULT.influence, 5, 1), "Result.affine": call(RESULT.affine), "Result.attention": call(RESULT.attention),
    "Result.strength": call(RESULT.strength), "Result.save": call(RESULT.save, FOLDER / "other.npz"), "load": call(minitf.load, SAVED),
    "fit": call(minitf.fit, X, Y, PAPER, RNG, train=SEARCH, callback=silent, negations=False),
    "fit loop": call(minitf.fit, X, Y, TF, RNG, train=minitf.TrainConfig("adam", 3, restarts=0, few=20), params=PARAMS, sets={"w": minitf.Ball("l2", 1.0)}),
    "decide": call(learn.decide, X, Y, None, RNG, tries=[learn.Try("a head", PAPER, SEARCH)], callback=silent),
    "most_steps": call(learn.most_steps, PAPER, SEARCH), "usual_tries": call(learn.usual_tries, 8, 2, True),
    "ScalarBudgets": call(bounds.ScalarBudgets, **vars(SCALAR)), "HeadBudgets": call(bounds.HeadBudgets, **vars(HEAD)),
    "LayerBudgets": call(bounds.LayerBudgets, **vars(LAYERS[0])),
    "ds": call(bounds.ds, 2.0, 1.5, 0.1, 100), "sid": call(bounds.sid, 2.0, 1.5, 0.1, 100), "vol": call(bounds.vol, 5, 2.0, 0.1),
    "mau": call(bounds.mau, 2.0, 1.5, 0.1, 20, norm_only=False), "split": call(bounds.split, [1.0, 2.0], [0.5, 1.0], 0.1),
    "l21_K": call(bounds.l21_K, 100, 3), **{name: call(getattr(bounds, name), 2.0, 1.5, 0.1, 100, 3)
                                            for name in ("l21_closed", "l21_counted", "l21_truncated", "l21_frobenius")},
    "softmax_l1_bound": call(bounds.softmax_l1_bound, 0.5), "head_C2": call(bounds.head_C2, 100, HEAD),
    "head_logcov": call(bounds.head_logcov, 0.25, 100, HEAD, covers={"W_QK": ["sid"]}), "scalar_C2": call(bounds.scalar_C2, 100, SCALAR),
    "scalar_logcov": call(bounds.scalar_logcov, 0.25, 100, SCALAR, search=False), "scalar_scaling": call(bounds.scalar_scaling, 0.25, 100, SCALAR),
    "layers_C2": call(bounds.layers_C2, 100, 8, LAYERS, 1.5, 1.0, residual=False),
    "layers_logcov": call(bounds.layers_logcov, 0.25, 100, 8, LAYERS, 1.5, 1.0, residual=True, covers=None, search=False),
    "length_free_logcov": call(bounds.length_free_logcov, 0.25, HEAD, norm_only=False),
    "param_count_logcov": call(bounds.param_count_logcov, 0.1, [3, 4], [1.0, 2.0], [0.5, 0.5]),
    "screening_correlation": call(bounds.screening_correlation, [0, 0, 0, 1], 0.5),
    "rad_dudley_closed": call(bounds.rad_dudley_closed, 2.0, 1.0, 100, 0.5), "rad_chain": call(bounds.rad_chain, logcov, 100, 0.5),
    "gap_bound": call(bounds.gap_bound, 0.1, 100, 0.05, 2.0, 1.0), "margin_bound": call(bounds.margin_bound, logcov, 100, 0.05, 0.5),
    "uniform_margin_bound": call(theory.uniform_margin_bound, logcov, 100, 0.05, 0.5),
    "sample_complexity": call(bounds.sample_complexity, lambda m: 10 / m, 0.1, rtol=0.01, limit=10 ** 6),
    "dyadic_budgets": call(bounds.dyadic_budgets, [0.5, 3.0], 0.05, 8), "log_supports": call(bounds.log_supports, 64, 3),
    "occam_m": call(bounds.occam_m, 10.0, 0.1, 0.05, agnostic=False), "fano_m": call(bounds.fano_m, 10.0, 0.05, 0.5),
    "rho_overlap": call(bounds.rho_overlap, [0, 0, 1], 0.5, junta=False), "noise_factor": call(bounds.noise_factor, 0.3, 0.1),
    "union_U": call(bounds.union_U, 20, 64, [0.4, 0.2], 0.1), "m_star": call(bounds.m_star, 64, [0.4, 0.2], 0.05, 0.1),
    "and_class": call(theory.and_class, 16, 2), "bound_table": call(theory.bound_table, 1, [4], 0.5, 0.1, norms={"B_q": 1.0}, m=1000),
    "construct": call(minitf.construct, TASK, 0.05, form="unit", positions="onehot", position_seed=0),
    "verify": call(theory.verify, WEIGHTS, BUILT, TASK, RNG, rests=1, rounds=1),
    "certify": call(minitf.certify, RESULT, X, Y, 0.05, k=2, prefix=False, rows=X[:10], logits=RESULT.logits(X), independent=True),
    "certify_norms": call(theory.certify_norms, RESULT, X, Y, 0.05, k=2), "Certificate.say": call(CERTIFICATE.say),
    "certify_rule": call(theory.certify_rule, RULE, X, Y, 0.05, k=2, negations=False, independent=True),
    "Certificate.rule_in_words": call(CERTIFICATE.rule_in_words),
    "Certificate.needs": call(CERTIFICATE.needs),
    "rademacher_lower": call(minitf.rademacher_lower, X, SCALAR, RNG, signs=2, steps=1, starts=1, delta=0.1),
    "rademacher_table": call(theory.rademacher_table, 2, task="and", norms={"B_q": 3.0}, m=10, signs=2, seed=1, lengths=(4,)),
    "check_pullback": call(trust.check_pullback, ops.relu, (M,), RNG, wrt=[0], method="auto", tol=1e-6),
    "golden_cases": call(trust.golden_cases, "attention", tags=["causal"], without=["mask"]),
    "projection_gap": call(trust.projection_gap, M, BALL.project(M), BALL), "saved": call(trust.saved, ops.relu(M)[1]),
    "judge": call(trust.judge, CASE, found=CASE.expected, dtype="float64", layout="bhtd"),
    "read_table": call(laboratory.read_table, CSV, "y"), "plan_table": call(laboratory.plan_table, laboratory.read_table(CSV, "y")),
    "points": call(laboratory.points, RUNS, 10), "fit_laws": call(laboratory.fit_laws, laboratory.points(RUNS, 10)),
    "compare": call(laboratory.compare, [], RUNS, "pgd", 10), "table": call(laboratory.table, RUNS),
    "read_runs": call(laboratory.read_runs, [FOLDER / "runs.jsonl"]), "read_published": call(laboratory.read_published, PUBLISHED),
    "sweep": call(laboratory.sweep, FOLDER / "new.jsonl", "and", 1, [6], [8], method="screening", reps=1, jobs=1, executor=Here()),
    "blank": call(explain.blank, "dS", attention=True), "write_page": call(explain.write_page, FOLDER / "page.html", T=2, d=2, seed=1), "explain": call(explain.explain, 3, 2, 1),
    "explain_attention": call(explain.explain_attention, 3, 2, 2, "none", True, 2.0, 1),
    "plan_task": call(laboratory.plan_task, "and", 2, 8, m=20, seed=1), "streams": call(laboratory.streams, 1, 2),
}
