"""The list of golden cases: an operator, its options, and how its arguments were drawn when the
case was new.

Arguments are drawn so that a wrong kernel shows: no output or gradient is constant or negligible,
unless it is zero by convention. A name stands for its arguments for ever (see `regenerate`); to
draw others, give the case another name.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.model import ModelConfig, shapes


def off_zero(x):
    """Move entries at least 0.2 away from 0, where relu has its kink."""
    return x + np.copysign(0.2, x)


def off_sphere(x):
    """Give the rows lengths 0.5, 2, 0.5, ...: away from 1, where unit_ball has its kink."""
    length = 0.5 + 1.5 * (np.arange(x.shape[-2])[:, None] % 2)
    return x * length / np.linalg.norm(x, axis=-1, keepdims=True)


class Case(NamedTuple):
    """make(rng) -> {name: array}, the arguments in order, a mask last."""
    name: str
    family: str
    op: str
    options: dict
    make: Callable


CASES = []


def put(name, family, op, make, **options):
    """Put a case on the list."""
    CASES.append(Case(name, family, op, options, make))


def normal(*shape, f=lambda x: x):
    """A function that draws standard normal numbers and applies f."""
    return lambda rng: f(rng.standard_normal(shape))


def fixed(x):
    """A function that draws nothing."""
    return lambda rng: np.asarray(x)


def named(**arguments):
    """A function that draws all arguments."""
    return lambda rng: {name: draw(rng) for name, draw in arguments.items()}


# ---- primitives ----------------------------------------------------------------------------------

def primitive(name, op, options={}, **arguments):       # noqa: B006 (read only)
    put(name, "primitives", op, named(**arguments), **options)


def apart(x):
    """Scores of which some are -inf, never a whole row."""
    return np.where(np.arange(x.size).reshape(x.shape) % 4 == 1, -np.inf, 2 * x)


SYMBOLS = np.arange(35).reshape(5, 7) ** 2 % 3
BITS = (np.arange(35).reshape(5, 7) ** 3 % 11 % 2).astype(np.uint8)
primitive("add", "add", a=normal(2, 3, 4), b=normal(3, 1))
primitive("linear", "linear", x=normal(2, 3, 4), W=normal(4, 5), b=normal(5))
primitive("linear-no-bias", "linear", x=normal(3, 4), W=normal(4, 5))
primitive("linear-vector", "linear", x=normal(4), W=normal(4, 5), b=normal(5))
primitive("embed", "embed", index=fixed(np.arange(12).reshape(3, 4) ** 2 % 7), E=normal(9, 5))
primitive("softmax", "softmax", S=normal(2, 3, 6, f=lambda x: 3 * x))
primitive("softmax-large", "softmax", S=normal(4, 6, f=lambda x: 1e4 + x))
primitive("softmax-inf", "softmax", S=normal(4, 6, f=apart))
primitive("cap", "cap", x=normal(2, 3, 6, f=lambda x: 3 * x), options={"softcap": 2.5})
primitive("cap-wide", "cap", x=normal(2, 3, 6, f=lambda x: 20 * x), options={"softcap": 30.0})
primitive("layer_norm", "layer_norm", x=normal(2, 3, 6), gain=normal(6), bias=normal(6))
primitive("layer_norm-offset", "layer_norm", x=normal(4, 6, f=lambda x: x + 100), gain=normal(6),
          bias=normal(6))
primitive("layer_norm-eps", "layer_norm", x=normal(2, 3, 6), gain=normal(6), bias=normal(6),
          options={"eps": 0.3})
primitive("layer_norm-no-eps", "layer_norm", x=normal(4, 6), gain=normal(6), bias=normal(6),
          options={"eps": 0.0})
primitive("unit_ball", "unit_ball", x=normal(2, 4, 6, f=off_sphere))
primitive("identity", "identity", x=normal(2, 3))
primitive("relu", "relu", x=normal(2, 3, 6, f=off_zero))
primitive("gelu", "gelu", x=normal(2, 3, 6, f=lambda x: 2 * x))
primitive("logistic", "logistic", logits=normal(8, f=lambda x: 3 * x),
          y=fixed((np.arange(8) % 3 % 2).astype(np.uint8)))
primitive("logistic-soft-labels", "logistic", logits=normal(2, 4, f=lambda x: 3 * x),
          y=fixed(np.linspace(0, 1, 8).reshape(2, 4)))
primitive("logistic-large", "logistic", logits=normal(8, f=lambda x: 60 * x),
          y=fixed((np.arange(8) // 2 % 2).astype(np.uint8)))
primitive("mean_bit", "mean_bit", A=normal(2, 7), X=fixed(BITS))
primitive("cls_head", "cls_head", s=normal(2, 3, 7, f=lambda x: 2 * x), v=normal(2, 3, 7, 4),
          s_cls=normal(2),
          v_cls=normal(2, 4), X=fixed(SYMBOLS.astype(np.uint8)))
primitive("cls_head-far", "cls_head", s=normal(2, 2, 7, f=lambda x: x + [[[-800], [0]]]),
          v=normal(2, 2, 7, 3),
          s_cls=normal(2, f=lambda x: x - 800), v_cls=normal(2, 3),
          X=fixed(np.concatenate([np.zeros((2, 7), np.uint8), BITS[:2]])))


# ---- models --------------------------------------------------------------------------------------

def model(name, m=3, z=None, **options):
    """A case of forward: m examples of a ModelConfig; z: the shape of a query."""
    config = ModelConfig(**options)

    def make(rng):
        params = {key: rng.standard_normal(shape) * (1.2 / np.sqrt(shape[-2]) if len(shape) > 1
                                                     else 1)
                  for key, shape in shapes(config).items()}
        X = rng.standard_normal((m, config.T, config.d)) if config.input == "tokens" else \
            rng.integers(0, config.V, (m, config.T), dtype=np.uint8)
        return {**params, "X": X, **({} if z is None else {"z": rng.standard_normal(z)})}

    put(name, "models", "forward", make, **options)


HEAD = {"T": 6, "d": 5, "d_v": 4, "query": "combined", "input": "tokens"}
SCALAR = {"T": 6, "H": 2, "d": 5, "d_v": 3, "d_o": 4, "activation": "relu"}
NETWORK = {"T": 5, "L": 2, "d": 7, "d_v": 4, "d_o": 7, "query": "combined", "activation": "relu",
           "norm": "ball"}
GPT = {"T": 5, "H": 2, "d": 6, "d_v": 3, "d_o": 6, "d_ff": 8, "heads": "concat",
       "activation": "gelu", "block": "gpt",
       "query": "factored", "norm": "layer", "residual": True}
model("tf-head", z=(3, 5), **HEAD)
model("tf-head-gelu", z=(5,), **HEAD | {"activation": "gelu"})
model("tf-head-two", z=(3, 5), **HEAD | {"H": 2, "heads": "sum-out", "activation": "relu"})
model("tf-tokens", **HEAD | {"query": "factored"})
model("tf-scalar", **SCALAR)
model("tf-scalar-sum-out", **SCALAR | {"heads": "sum-out"})
model("tf-scalar-concat", **SCALAR | {"heads": "concat"})
model("tf-scalar-combined", **SCALAR | {"query": "combined", "activation": "gelu"})
model("tf-scalar-factored", **SCALAR | {"query": "factored", "activation": "identity"})
model("tf-scalar-symbols", **SCALAR | {"V": 4, "d_o": 0})
model("tf-scalar-norm", **SCALAR | {"norm": "ball", "d_o": 5, "residual": True})
model("paper", T=6, d=9, d_v=1, positions="onehot", values="bit")
model("paper-heads", T=6, H=2, d=9, d_v=1, positions="onehot", values="bit", heads="concat")
model("network", **NETWORK)
model("network-standardised", **NETWORK | {"norm": "layer", "residual": True})
model("network-heads", **NETWORK | {"H": 2, "heads": "sum-out", "query": "factored"})
model("network-sinusoidal",
      **NETWORK | {"activation": "gelu", "positions": "sinusoidal", "H": 2, "heads": "concat"})
model("network-tokens", **NETWORK | {"input": "tokens"})
model("gpt", **GPT)
model("gpt-layers", **GPT | {"L": 2})
model("gpt-heads-alone", **GPT | {"residual": False, "d_ff": 0})
model("mlp", m=5, T=6, H=0, d_ff=8, block="mlp", activation="relu")
model("mlp-layers", m=5, T=6, L=2, H=0, d_ff=8, block="mlp", activation="gelu")


# ---- projections ---------------------------------------------------------------------------------

def projection(name, op, x, **options):
    put(name, "projections", op, named(x=x), **options)


def ties(x):
    """Entries of few sizes: three rows of equal length, equal singular values, equal maxima."""
    return np.kron(np.sign(x[:2, :2]) + 0.5, np.diag([2.0, 2.0, 1.0])[:, [1, 0, 2]])


# two matrices of 5 x 4; the first norm is near `small`, the second far outside a ball of radius
# `inside`
RADII = {"l1": (3.0, 40.0), "linf": (0.7, 6.0), "l2": (1.5, 9.0), "l21": (2.5, 20.0),
         "l21t": (2.5, 20.0),
         "l2inf": (1.2, 8.0), "l2inft": (1.2, 8.0), "l1inf": (1.1, 12.0), "linf1": (2.0, 20.0),
         "spectral": (1.3, 8.0),
         "nuclear": (2.0, 20.0)}
for kind, (radius, inside) in RADII.items():
    projection(f"project-{kind}", "Ball", normal(2, 5, 4), kind=kind, radius=radius)
    projection(f"project-{kind}-inside", "Ball", normal(5, 4), kind=kind, radius=inside)
    projection(f"project-{kind}-ties", "Ball", normal(2, 2, f=ties), kind=kind, radius=radius / 2)
projection("project-l1-rows", "Ball", normal(4, 6), kind="l1", radius=1.5, axes=1)
projection("project-l2-rows", "Ball", normal(4, 6), kind="l2", radius=1.5, axes=1)
projection("project-linf1-vector", "Ball", normal(9), kind="linf1", radius=0.5)
projection("project-simplex", "Simplex", normal(2, 5, 4), radius=1.0)
projection("project-simplex-radius", "Simplex", normal(8), radius=3.5)
projection("project-simplex-rows", "Simplex", normal(4, 6), radius=2.0, axes=1)
projection("project-simplex-ties", "Simplex", normal(2, 2, f=ties), radius=0.75)


def common(name, x, *sets):
    projection(f"project-common-{name}", "Intersection", x, sets=list(sets))


def ball(kind, radius):
    return {"kind": kind, "radius": radius}


common("l21-spectral", normal(5, 4), ball("l21", 3.0), ball("spectral", 1.0))
common("l21t-spectral", normal(5, 4), ball("l21t", 3.0), ball("spectral", 1.0))
common("l1-l2", normal(3, 6), ball("l1", 2.0) | {"axes": 1}, ball("l2", 1.0) | {"axes": 1})
common("linf-l2", normal(7), ball("linf", 0.8), ball("l2", 1.5))
common("simplex-linf", normal(2, 6), {"radius": 2.0}, ball("linf", 0.3))
common("three", normal(5, 4), ball("l1", 5.0), ball("linf", 0.6), ball("l21", 3.0))
common("inside", normal(5, 4), ball("nuclear", 30.0), ball("linf", 9.0))

common("l1-l2-far", fixed(1e5 * np.array([1.0, 0.9, 0.5, 0.2])), ball("l1", 1.0), ball("l2", 0.7))
common("l21-l2-far", normal(5, 4, f=lambda x: 1e4 * x), ball("l21", 3.0), ball("l2", 1.6))
common("linf1-l2-far", normal(5, 4, f=lambda x: 1e8 * x), ball("linf1", 2.0), ball("l2", 1.1))
for kind, (radius, _) in RADII.items():
    of = {"kind": kind, "radius": radius}
    projection(f"project-{kind}-far", "Ball", normal(5, 4, f=lambda x: 1e8 * x), **of)
    put(f"derivative-{kind}", "projections", "projection", named(x=normal(5, 4)), **of)
    put(f"lmo-{kind}", "projections", "lmo", named(g=normal(2, 5, 4)), **of)


# ---- training ------------------------------------------------------------------------------------

def trace(rng):
    """20 examples of 8 bits labelled by a majority of three of them; a start inside the balls."""
    X = rng.integers(0, 2, (20, 8), dtype=np.uint8)
    y = (X[:, [1, 4, 6]].sum(axis=1) >= 2).astype(np.uint8)
    return {"q": 0.1 * rng.standard_normal((1, 8)), "w": np.array([1.0]), "c": np.array(-0.5),
            "X": X, "y": y}


PAPER = {"T": 8, "d": 11, "d_v": 1, "positions": "onehot", "values": "bit", "radius": 1.5,
         "bound": 2.5}
put("training", "training", "projected_gradient", trace, model=PAPER, lr=6.0, steps=10)
