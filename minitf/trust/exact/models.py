"""Whole models on the tape of `exact`: forward of tf, gpt and mlp, row by row, and projected
gradient descent.

Every row of every layer is computed and [CLS] read from the last one: none of the short cuts of
`minitf.model`. Source: Edelman, Goel, Kakade, Zhang 2022, section 3; Radford et al. 2019 (gpt).
"""
import numpy as np

from minitf.model import ModelConfig
from minitf.trust.exact import sets as exact_sets
from minitf.trust.exact.attention import OPS as ATTENTION
from minitf.trust.exact.ops import ACTIVATIONS, Twin, layer_norm, logistic, softmax, unit_ball
from minitf.trust.exact.ops import OPS as PRIMITIVES
from minitf.trust.exact.tape import Var, join, lift, number, pull


def forward(a, **options):
    """Twin of minitf.forward; saved: A (m, H, T), the attention of [CLS] (or z) on the positions in
    the last layer."""
    model = ModelConfig(**options)
    if model.block == "mlp":
        return Twin({"logits": perceptron(a, model)})
    g, scores = a["X"] if model.input == "tokens" else embedded(a, model), []
    for l in range(model.L):
        p = {name.rpartition("/")[2]: x for name, x in a.items()
             if model.L == 1 or name.startswith(f"{l}/")}
        rows = g
        if "z" in a:
            rows = a["z"].reshape(-1, 1, model.d) + np.zeros((len(g.value), 1, 1), int)
        g, A, score = layer(p, rows, g, model)
        scores.append(score)
    g = normed(a, g[:, 0], model, "") if model.block == "gpt" else g[:, 0]
    return Twin({"logits": dot(g, a)}, {"A": A.value[:, :, 0, -model.T:]}, max(scores))


def dot(g, a):
    """g . w + c for every row."""
    return (g @ a["w"].reshape(-1, 1)).reshape(-1) + a["c"]


def perceptron(a, model):
    """Logits of the multi-layer perceptron."""
    x = Var(lift(2.0 * a["X"] - 1))
    for l in range(model.L):
        name = f"{l}/" if model.L > 1 else ""
        x = ACTIVATIONS[model.activation](x @ a[name + "W_1"] + a[name + "b_1"])
    return dot(x, a)


def embedded(a, model):
    """Rows (m, T+1, d): x_cls, then E[symbol] + P[position]."""
    m, T = a["X"].shape
    learned = model.positions == "learned"
    E, P, x_cls = (a["E"], a["P"], a["x_cls"]) if learned else fixed(model)
    return join([x_cls.reshape(1, 1, -1) + np.zeros((m, 1, 1), int), E[a["X"]] + P], 1)


def fixed(model):
    """E, P, x_cls that are not trained: onehot or sinusoidal positions; an axis for every symbol
    and for [CLS]."""
    import mpmath
    V, width = model.V, model.d - model.V - 1
    axes = np.eye(V + 1, model.d, width, dtype=int)
    P = np.zeros((model.T, model.d), object)
    for t in range(model.T):
        if model.positions == "onehot":
            P[t, t] = 1
        for j in range(width // 2 if model.positions == "sinusoidal" else 0):
            angle = t / number(10000) ** (number(2 * j) / width)
            size = mpmath.sqrt(number(2) / width)
            P[t, j], P[t, width // 2 + j] = size * mpmath.sin(angle), size * mpmath.cos(angle)
    return Var(axes[:V]), Var(P), Var(axes[V])


def normed(p, x, model, i):
    """The norm between layers."""
    if model.norm == "layer":
        return layer_norm({"x": x, "gain": p[f"gain{i}"], "bias": p[f"bias{i}"]}).outputs["y"]
    return unit_ball({"x": x}).outputs["y"] if model.norm == "ball" else x


def layer(p, rows, g, model):
    """What the rows (m, Tq, d) become that ask all of g (m, n, d); A (m, H, Tq, n); the largest
    |score|."""
    gpt, H = model.block == "gpt", model.H
    asking = normed(p, rows, model, "_1") if gpt else rows
    n = normed(p, g, model, "_1") if gpt else g
    asking, n = (x.reshape(x.shape[0], 1, *x.shape[1:]) for x in (asking, n))
    if model.query == "q":
        q = p["q"] if model.values != "bit" else join([p["q"], Var(np.zeros((H, 3), int))], 1)
        S = q.reshape(H, 1, model.d) @ n.swap() + np.zeros((1, 1, rows.shape[1], 1), int)
    elif model.query == "combined":
        S = asking @ p["W_QK"].swap() @ n.swap()
    else:
        q = asking @ p["W_Q"]
        S = (q + p["b_Q"].reshape(H, 1, -1) if gpt else q) @ (n @ p["W_K"]).swap()
    A, _, score = softmax(S / number(model.d_v) ** 0.5 if gpt else S)
    W_V = Var(np.eye(1, model.d, model.d - 2, dtype=int).T) if model.values == "bit" else p["W_V"]
    out = A @ (n @ W_V)
    return (gpt_rows if gpt else tf_rows)(p, out, rows, model), A, score


def flat(out):
    """Heads side by side: (m, H, Tq, d_v) -> (m, Tq, H d_v)."""
    m, H, Tq, d_v = out.shape
    return out.swap(1, 2).reshape(m, Tq, H * d_v)


def tf_rows(p, out, rows, model):
    """The rest of a layer of the paper."""
    act, W_C = ACTIVATIONS[model.activation], p.get("W_C", Var(np.eye(model.width, dtype=int)))
    if model.heads == "concat":
        new = act(normed(p, flat(out), model, "_1") @ W_C)
    elif model.heads == "sum-pre":
        new = act(normed(p, out.sum(axis=1)[:, 0], model, "_1")) @ W_C
    else:
        new = flat(act(normed(p, out, model, "_1"))) @ W_C
    return normed(p, rows + new if model.residual else new, model, "_2")


def gpt_rows(p, out, rows, model):
    """The rest of a block of gpt."""
    new = flat(out + p["b_V"].reshape(model.H, 1, model.d_v)) @ p["W_C"] + p["b_C"]
    r = rows + new if model.residual else new
    if not model.d_ff:
        return r
    h = ACTIVATIONS[model.activation](normed(p, r, model, "_2") @ p["W_1"] + p["b_1"])
    new = h @ p["W_2"] + p["b_2"]
    return r + new if model.residual else new


def projected_gradient(a, model, lr, steps):
    """Twin of  x <- P(x - lr grad)  on the mean logistic loss, in the balls of
    ModelConfig(**model): l1 for every q_h, linf for w and c.

    Outputs: the losses and iterates, from the start to the last; saved: the gradients at all but
    the last.
    """
    params = {name: x for name, x in a.items() if name not in ("X", "y")}
    path, grads = {name: [x.value] for name, x in params.items()}, {name: [] for name in params}
    losses, score = [], 0.0
    for step in range(steps + 1):
        twin = forward({"X": a["X"], **params}, **model)
        loss = logistic(twin.outputs["logits"], a["y"]).sum() / len(a["y"])
        losses.append(loss.value[0])
        score = max(score, twin.score)
        slopes = pull(loss, lift([1.0]), list(params.values())) if step < steps else []
        for name, g in zip(params, slopes):
            ball = ("l1", model["radius"], 1) if name == "q" else ("linf", model["bound"], None)
            params[name] = Var(exact_sets.ball(params[name].value - g * number(lr), *ball))
            path[name].append(params[name].value)
            grads[name].append(g)
    outputs = {"loss": Var(losses)} | {f"{name}_path": Var(np.stack(xs))
                                       for name, xs in path.items()}
    return Twin(outputs, {f"d{name}_path": np.stack(xs) for name, xs in grads.items()}, score)


OPS = PRIMITIVES | ATTENTION | {"forward": forward, "projected_gradient": projected_gradient}
