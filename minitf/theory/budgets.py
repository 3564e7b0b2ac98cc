"""The norms that define a class of attention networks: frozen, checked records. `classes` bounds
their covers.

    c = ScalarBudgets(T=64, d=67, d_v=1, B_X=2 ** 0.5, B_q=9.94, B_V=1.02, B_V21=1.02, B_u=4)

T positions and [CLS] make T + 1 rows x_t; sigma is L_s-Lipschitz, sigma(0) = 0; scores are X W_QK
z. H heads share one set of budgets, each head within it, and are combined as `heads` says:

    sum-pre   sigma(sum_h out_h) W_C        added before one activation
    sum-out   sum_h sigma(out_h) W_C,h      added after it, a matrix each
    concat    sigma([out_1 .. out_H]) W_C   side by side (an activation after W_C costs the same)

Source: Edelman, Goel, Kakade, Zhang 2022, sections 3 and 4.
"""
import math
from dataclasses import dataclass, fields
from functools import partial

from minitf.checks import choice, each, flag, instance, integer, require
from minitf.theory.linear import nonnegative

HEADS = ("sum-pre", "sum-out", "concat")


class Budgets:
    """Checks shared by the classes of networks: whole numbers >= 1, norms >= 0, None where a norm
    may be unknown."""

    @property
    def spread(self):
        """How far an error of 1 in every head moves their combination: H where errors add, sqrt(H)
        side by side."""
        return math.sqrt(self.H) if self.heads == "concat" else float(self.H)

    @property
    def readouts(self):
        """The number of matrices (or vectors) that read the heads."""
        return self.H if self.heads == "sum-out" else 1

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is bool:
                flag(field.name, value)
            elif field.type is str:
                choice(field.name, value, HEADS)
            elif value is not None or field.default is not None:
                whole = field.type is int
                check = (lambda name, n: integer(name, n, 1)) if whole else nonnegative
                object.__setattr__(self, field.name, check(field.name, value))


@dataclass(frozen=True)
class HeadBudgets(Budgets):
    """The class tf-head, one head:  sigma(W_V^T X^T softmax(X W_QK z)),  W_QK (d, d), W_V (d, d_v).

    ||x_t||_2 <= B_X, ||z||_2 <= B_Z, ||W_QK||_F <= B_QKF, ||W_V||_2 <= B_V, ||W_V||_{2,1} <= B_V21;
    and, if known, ||W_QK||_{1,1} <= B_QK11, ||W_V||_{1,1} <= B_V11.

    The paper bounds a (2,1) norm of W_QK, in either orientation at least ||W_QK||_F: give it as
    B_QKF.
    """
    T: int
    d: int
    d_v: int
    B_X: float
    B_Z: float
    B_QKF: float
    B_V: float
    B_V21: float
    L_s: float = 1.0
    B_QK11: float | None = None
    B_V11: float | None = None


@dataclass(frozen=True)
class ScalarBudgets(Budgets):
    """The class tf-scalar, read at [CLS]:  u^T sigma(W_V^T X^T softmax(X q)),  q = W_QK x_cls, u =
    W_C w.

    ||q||_2 <= B_q, ||u||_2 <= B_u (each u_h with sum-out), X and W_V as in `HeadBudgets`; if known,
    ||q||_1 <= B_q1. clip=True: the output is clipped to [0, 1], which is 1-Lipschitz and costs
    nothing.
    """
    T: int
    d: int
    d_v: int
    B_X: float
    B_q: float
    B_V: float
    B_V21: float
    B_u: float
    L_s: float = 1.0
    B_q1: float | None = None
    B_V11: float | None = None
    clip: bool = True
    H: int = 1
    heads: str = "sum-pre"


@dataclass(frozen=True)
class LayerBudgets(Budgets):
    """One layer:  bounds on ||W_QK||_2, ||W_QK||_F, ||W_V||_2, ||W_V||_{2,1}, ||W_C||_2,
    ||W_C||_{2,1}.

    W_QK (d, d), W_V (d, k), W_C (k, d); of H heads: concat W_C (H k, d), sum-out H matrices W_C (k,
    d).
    """
    d: int
    k: int
    B_QK: float
    B_QKF: float
    B_V: float
    B_V21: float
    B_C: float
    B_C21: float
    L_s: float = 1.0
    H: int = 1
    heads: str = "sum-pre"


def layers_of(name, value):
    """Return value as a list; it must be one or more LayerBudgets."""
    layers = each(partial(instance, kind=LayerBudgets))(name, value)
    require(len(layers) > 0, name, "at least one LayerBudgets", value)
    return layers
