"""The class of functions that a model belongs to, by its measured norms: what `certify` plugs into
the bounds.

    name, norms, build = family_of(params, model, scale)
                    logit/scale + 1/2 belongs to build(*norms)

Three families, each the sharpest here for its models: averages of the bits (values are bits, scores
do not see them), tf-scalar (one layer without norms), L layers between projections onto the unit
ball.
Source: Edelman, Goel, Kakade, Zhang 2022, sections 3 and 4; the constants are those of `linear`
and `networks`.
"""
import math

import numpy as np

from minitf.fast import bit_weights, bits_alone, position_table, sought, whole
from minitf.model import layer_of
from minitf.projections import norm
from minitf.theory.budgets import LayerBudgets, ScalarBudgets
from minitf.theory.error import rad_chain
from minitf.theory.information import log_supports
from minitf.theory.linear import log_binomial, mau_max
from minitf.theory.networks import layers_C2, layers_logcov, scalar_C2, scalar_logcov

LIPSCHITZ = {"identity": 1.0, "relu": 1.0, "gelu": 1.13}
# those that cost little to evaluate
SCALAR_COVERS, MATRIX_COVERS = ["sid", "vol"], ["frobenius", "vol"]


def family_of(params, model, scale):
    """The sharpest class here that holds f = 1/2 + logit/scale: its name, norms, build(*budgets);
    or why there is none.

    build returns logcov(eps, m) and rad(m), bounds on the covering number and the Rademacher
    complexity of the class, and uniform(eps), of a cover of the whole domain, or None.
    """
    reasons = {
        "layer norm is not Lipschitz": model.norm == "layer",
        "it has no attention": model.block == "mlp",
        "it is a block of gpt": model.block == "gpt",
        "its inputs are not bits": model.input == "tokens",
        "several layers, and no projection between them": model.L > 1 and model.norm == "none",
        "the tokens of its layers are learned": model.norm == "ball"
        and model.positions == "learned"}
    for reason, holds in reasons.items():
        if holds:
            return reason
    if model.norm == "ball":
        return layers_family(params, model, scale)
    signs_survive = model.activation == "identity" or (
        model.activation == "relu" and (model.heads != "concat" or model.d_o == 0))
    return (averages_family if bits_alone(model) and signs_survive else scalar_family)(params,
                                                                                       model, scale)


def averages_family(params, model, scale):
    """Values are bits and scores do not see them, so the logit is <v, b> + c: v combines the
    attention of the heads.

    The class {1/2 + <v, b - 1/2> + c: ||v||_1 <= W, |c| <= C}, v the same on all but z positions:
    softmax gives equal scores equal weights. Naming z, the positions and the sign of v (+, -,
    mixed) takes log(3 * 2.5 (z+1)^2 C(T, z)); c lies in an interval (0.05 eps); and v

        at the sample   mixes z + 1 vectors (`mau_max`, at 0.95 eps)
        everywhere      divided by W it is in a simplex of n + 1 coordinates, n = z + 1, twice as
                        many for mixed signs; multiples of 1/N come within (n + 1)/(2N) in l1, and
                        <v, b - 1/2> moves by half of W times that: log C(N + n, n)

    Whatever z is, Rad <= W sqrt(2 log(2T)/m)/2 + C/sqrt(m), Massart's lemma for the 2T vertices.
    """
    attention, _ = bit_weights(params["q"], position_table(params, model), model)
    u = params["W_C"] @ params["w"] if model.d_o else params["w"]
    v = (u[:, None] * attention).sum(axis=0)
    z = model.T - int(np.unique(v, return_counts=True)[1].max())
    n = (z + 1) * (1 if (v >= 0).all() or (v <= 0).all() else 2)
    naming = math.log(3 * 2.5 * (z + 1) ** 2) + log_supports(model.T, z)

    def build(W, C):
        return averages(model.T, n, naming, W, C)

    norms = [float(abs(v).sum()) / scale, float(abs(params["c"] + v.sum() / 2)) / scale]
    return f"averages of the bits that single out {z} of them", norms, build


def averages(T, n, naming, W, C):
    """logcov(eps, m), rad(m) and uniform(eps) of averages of T bits that mix n vectors once
    something is named, in `naming` nats: derived in `averages_family`."""
    def logcov(eps, m):
        return naming + mau_max(W, 0.5, 0.95 * eps, m, n) + interval(C, 0.05 * eps)

    def rad(m):
        return min(0.5, W / 2 * math.sqrt(2 * math.log(2 * T) / m) + C / math.sqrt(m))

    def uniform(eps):
        N = max(1, math.ceil(W * (n + 1) / (4 * 0.95 * eps)))
        return naming + log_binomial(N + n, n) + interval(C, 0.05 * eps)

    return logcov, rad, uniform


def interval(C, eps):
    """log of how many numbers come within eps of all of [-C, C]."""
    return math.log(max(1, math.ceil(C / eps)))


def with_constant(logcov, C2, C):
    """build's answer for a class with an added constant, |c| <= C: the constant takes a twentieth
    of eps."""
    def rad(m):
        lead, c0 = C2(m)
        return rad_chain(lambda eps, m: lead / (0.95 * eps) ** 2 + c0 + interval(C, 0.05 * eps), m,
                         0.5)

    return lambda eps, m: logcov(0.95 * eps, m) + interval(C, 0.05 * eps), rad, None


def scalar_family(params, model, scale):
    """One layer without norms is tf-scalar, `ScalarBudgets`; every head is given the largest norms
    of any.

    Fixed tokens are at most sqrt(2) long. Where they are learned, the V T + 1 of them become
    orthonormal inputs: then q holds their scores (less the mean, which softmax ignores) and W_V
    their values. With concat, W_V,h W_C,h are the values of heads that are added.
    """
    p = whole(params, model)
    q, values, B_X = sought(p, p["x_cls"], model)[0], p["W_V"], math.sqrt(2)
    if model.positions == "learned":
        tokens = np.concatenate([(p["E"][:, None] + p["P"]).reshape(-1, model.d), p["x_cls"][None]])
        q, values, B_X = q @ tokens.T, tokens @ values, 1.0
        q = q - q.mean(axis=1, keepdims=True)
    mixed = model.heads == "concat" and model.d_o > 0
    R = p["W_C"].reshape(model.H, model.d_v, -1) if mixed else np.eye(model.d_v)[None]
    u = p["W_C"] @ p["w"] if model.d_o and not mixed else p["w"]
    heads = "sum-pre" if mixed else model.heads
    u = u.reshape(-1, model.d_v) if heads == "sum-out" else u[None]
    # the values are `values` @ R
    gram = np.swapaxes(values, 1, 2) @ values
    columns = np.sqrt(np.einsum("hrp,hrs,hsp->hp", R, gram, R).clip(0))
    spectral = np.sqrt(np.linalg.eigvals(gram @ (R @ np.swapaxes(R, -1, -2))).real.max())
    c = params["c"] + (p["x_cls"] @ p["w"] if model.residual else 0.0)

    def build(B_q, B_V, B_V21, B_u, C):
        budgets = ScalarBudgets(T=model.T, d=values.shape[1], d_v=R.shape[-1], B_X=B_X, B_q=B_q,
                                B_V=B_V, B_V21=B_V21,
                                B_u=B_u, L_s=LIPSCHITZ[model.activation], H=model.H, heads=heads)
        covers = {"q": SCALAR_COVERS, "W_V": MATRIX_COVERS, "u": SCALAR_COVERS}
        return with_constant(lambda eps, m: scalar_logcov(eps, m, budgets, covers),
                             lambda m: scalar_C2(m, budgets), C)

    norms = [norm(q[..., None], "l2").max(), spectral, columns.sum(axis=1).max()]
    return "tf-scalar", [*norms, norm(u[..., None], "l2").max() / scale, abs(c) / scale], build


def layers_family(params, model, scale):
    """L layers between projections onto the unit ball, fixed tokens: `LayerBudgets`, the largest
    norms of any head."""
    norms, full = [], whole(params, model)
    for l in range(model.L):
        p = layer_of(full, l, model)
        # W_QK = q x_cls^T, x_cls of length 1
        if model.query == "q":
            W_QK = p["q"][..., None]
        else:
            W_QK = p["W_QK"] if model.query == "combined" else p["W_K"] @ np.swapaxes(p["W_Q"], 1,
                                                                                      2)
        W_C = p["W_C"].reshape(model.H if model.heads == "sum-out" else 1, -1, model.d)
        norms += [norm(W, kind).max()
                  for W, kind in ((W_QK, "spectral"), (W_QK, "l2"), (p["W_V"], "spectral"),
                                                      (p["W_V"], "l21"), (W_C, "spectral"),
                                  (W_C, "l21"))]

    def build(*budgets):
        *layers, B_w, C = budgets
        layers = [LayerBudgets(model.d, model.d_v, *layers[6 * l:6 * l + 6],
                               LIPSCHITZ[model.activation], model.H,
                               model.heads) for l in range(model.L)]
        arguments = dict(T=model.T, layers=layers, B_X=math.sqrt(2), B_w=B_w,
                         residual=model.residual)
        covers = {"W_QK": SCALAR_COVERS, "W_V": MATRIX_COVERS, "W_C": MATRIX_COVERS,
                  "w": SCALAR_COVERS}
        return with_constant(lambda eps, m: layers_logcov(eps, m, **arguments, covers=covers),
                             lambda m: layers_C2(m, **arguments), C)

    norms += [norm(params["w"], "l2") / scale, abs(params["c"]) / scale]
    return f"{model.L} layers between projections", norms, build
