"""What `bench` compares with, in PyTorch: the training step of one [CLS] head, attention, and a step of gpt.

Parameters have minitf's names and shapes. A form is `logits = form(p, data)`; `training` makes a step of it, as one
would write it: autograd, gradients set to None, Adam with fused=True, no device but the CPU.
"""
from typing import NamedTuple


class Trained(NamedTuple):
    """step() makes one training step and returns its loss; start: loss and gradients, {name: array}, before the first."""
    step: object
    start: tuple


def training(form, params, X, y, lr):
    """A Trained of a form whose logits (m,) are those of the model of `params` for bits X."""
    import torch
    p = {name: torch.tensor(value, dtype=torch.float32, requires_grad=True) for name, value in params.items()}
    data, target = form.data(X), torch.tensor(y, dtype=torch.float32)
    optimiser = torch.optim.Adam(p.values(), lr=lr, fused=True)

    def loss_of():
        return torch.nn.functional.binary_cross_entropy_with_logits(form.logits(p, data), target)

    def step():
        loss = loss_of()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    loss = loss_of()
    grads = torch.autograd.grad(loss, list(p.values()))
    return Trained(step, (loss.item(), {name: g.numpy() for name, g in zip(p, grads)}))


class Identity:
    """The sums over positions as two products of the bits with one table of T rows: what minitf computes."""

    @staticmethod
    def data(X):
        import torch
        return torch.tensor(X, dtype=torch.float32)

    @staticmethod
    def logits(p, X):
        import torch
        H, d, d_v = p["W_V"].shape
        W = torch.cat([p["q"], p["W_V"].transpose(1, 2).reshape(H * d_v, d)])
        U = torch.cat([p["E"], p["P"], p["x_cls"][None]]) @ W.T             # scores and values: E_0, E_1, P, [CLS]
        s, v = U[:, :H], U[:, H:].view(-1, H, d_v)
        top, highest = s[2:-1].detach().amax(0), s[:2].detach().amax(0)
        e = torch.exp(s[2:-1] - top)
        F = torch.cat([(e[..., None] * v[2:-1]).view(-1, H * d_v), e], 1)   # (T, H (d_v + 1))
        ones, total = X @ F, F.sum(0)
        N1, Z1 = ones[:, :-H].view(-1, H, d_v), ones[:, -H:]                # sums over the positions whose bit is 1
        N0, Z0 = total[:-H].view(H, d_v) - N1, total[-H:] - Z1
        e0, e1 = torch.exp(s[:2] - highest)
        e_cls = torch.exp(s[-1] - highest - top)
        Z = e1 * Z1 + e0 * Z0 + e_cls
        N = (e1[:, None] * N1 + e0[:, None] * N0 + (e1 * Z1)[..., None] * v[1] + (e0 * Z0)[..., None] * v[0]
             + e_cls[:, None] * v[-1])
        return torch.relu((N / Z[..., None]).view(-1, H * d_v) @ p["W_C"]) @ p["w"] + p["c"]


class Tokens:
    """The [CLS] query over all tokens, each of them projected, by scaled_dot_product_attention."""

    @staticmethod
    def data(X):
        import torch
        return torch.tensor(X, dtype=torch.int64)

    @staticmethod
    def logits(p, X):
        import torch
        H, d, d_v = p["W_V"].shape
        x = embedded(p, X)
        v = (x @ p["W_V"].transpose(0, 1).reshape(d, H * d_v)).view(*x.shape[:2], H, d_v).transpose(1, 2)
        q, k = (a.expand(len(X), H, -1, d) for a in (p["q"][:, None], x[:, None]))
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0)
        return torch.relu(out.reshape(len(X), H * d_v) @ p["W_C"]) @ p["w"] + p["c"]


def embedded(p, X):
    """The tokens (m, T+1, d) of bits, [CLS] first."""
    import torch
    return torch.cat([p["x_cls"].expand(len(X), 1, -1), torch.nn.functional.embedding(X, p["E"]) + p["P"]], 1)


def encoder(params, X, y, lr):
    """A Trained with nn.TransformerEncoderLayer of as many heads and hidden units, read at [CLS]; start is None.

    What a user would write first. Another function: its tokens attend to each other, it has an MLP and norms.
    """
    import torch
    H, d, d_v = params["W_V"].shape
    p = {name: torch.tensor(params[name], dtype=torch.float32, requires_grad=True) for name in ("E", "P", "x_cls")}
    layer = torch.nn.TransformerEncoderLayer(d, H, len(params["w"]), dropout=0.0, batch_first=True)
    last = torch.nn.Linear(d, 1)
    optimiser = torch.optim.Adam([*p.values(), *layer.parameters(), *last.parameters()], lr=lr, fused=True)
    X, y = torch.tensor(X, dtype=torch.int64), torch.tensor(y, dtype=torch.float32)

    def step():
        logits = last(layer(embedded(p, X))[:, 0])[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Trained(step, None)


class Gpt:
    """The gpt of minitf in eager PyTorch; of the last block only the row of [CLS], which is all that is read."""
    data = Tokens.data

    @staticmethod
    def logits(p, X):
        from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention
        g, L = embedded(p, X), sum(name.endswith("W_C") for name in p)
        for l in range(L):
            b = {name.split("/")[-1]: x for name, x in p.items() if name.startswith(f"{l}/") or L == 1}
            H, d, d_v = b["W_Q"].shape
            n = layer_norm(g, (d,), b["gain_1"], b["bias_1"])
            z, g = (n[:, :1], g[:, :1]) if l == L - 1 else (n, g)
            q, k, v = ((rows @ b[W].transpose(0, 1).reshape(d, d)).view(len(X), -1, H, d_v).transpose(1, 2)
                       for rows, W in ((z, "W_Q"), (n, "W_K"), (n, "W_V")))
            out = scaled_dot_product_attention(q + b["b_Q"][:, None], k, v + b["b_V"][:, None])
            g = g + out.transpose(1, 2).reshape(g.shape) @ b["W_C"] + b["b_C"]
            n = layer_norm(g, (d,), b["gain_2"], b["bias_2"])
            g = g + gelu(n @ b["W_1"] + b["b_1"], approximate="tanh") @ b["W_2"] + b["b_2"]
        return layer_norm(g[:, 0], (d,), p["gain"], p["bias"]) @ p["w"] + p["c"]


FORMS = {"identity": Identity, "tokens": Tokens, "gpt": Gpt}


def attention(q, k, v, dout):
    """A function that runs scaled_dot_product_attention forward and backward: out, dq, dk, dv."""
    import torch
    *leaves, dout = (torch.tensor(x) for x in (q, k, v, dout))
    leaves = [x.requires_grad_() for x in leaves]

    def run():
        out = torch.nn.functional.scaled_dot_product_attention(*leaves)
        return tuple(x.detach().numpy() for x in (out, *torch.autograd.grad(out, leaves, dout)))

    return run


def use_threads(threads):
    """Threads of this process for PyTorch; the environment has said the same."""
    import torch
    torch.set_num_threads(threads)


def version():
    """PyTorch's version."""
    import torch
    return torch.__version__
