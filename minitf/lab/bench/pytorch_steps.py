"""What `bench` compares with, in PyTorch: the step of one [CLS] head, attention, a step of gpt.

Parameters have minitf's names and shapes; a step is what one would write: autograd, gradients set
to None, Adam with fused=True, no device but the CPU.
"""
from minitf.lab.bench import forms


def training(logits_of, params, X, y, lr):
    """step() -> loss, and (loss, gradients {name: array}) before the first, of a form; of the
    encoder None."""
    import torch
    if logits_of is encoder:
        return encoder(params, X, y, lr), None
    p = {name: torch.tensor(value, dtype=torch.float32, requires_grad=True)
         for name, value in params.items()}
    X = torch.tensor(X, dtype=torch.int64 if logits_of in (tokens, gpt) else torch.float32)
    step, loss_of = stepper(lambda: logits_of(p, X), p.values(), y, lr)
    loss = loss_of()
    grads = torch.autograd.grad(loss, list(p.values()))
    return step, (loss.item(), {name: g.numpy() for name, g in zip(p, grads)})


def stepper(logits, leaves, y, lr):
    """step() of Adam on the mean logistic loss of logits(), and that loss."""
    import torch
    y = torch.tensor(y, dtype=torch.float32)
    optimiser = torch.optim.Adam(leaves, lr=lr, fused=True)

    def loss_of():
        return torch.nn.functional.binary_cross_entropy_with_logits(logits(), y)

    def step():
        loss = loss_of()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step, loss_of


def library():
    """PyTorch's part of forms.Library."""
    import torch
    return forms.Library(torch.cat, torch.exp, lambda s: s.detach().amax(0), torch.relu)


def identity(p, X):
    """Logits by two products of the bits with one table of T rows: what minitf computes."""
    return forms.identity(p, X, library())


def tokens(p, X):
    """Logits by the [CLS] query over all tokens, each projected, by torch's own attention."""
    from torch.nn.functional import scaled_dot_product_attention
    H, d, d_v = p["W_V"].shape
    x = embedded(p, X)
    v = (x @ p["W_V"].transpose(0, 1).reshape(d, H * d_v)).view(*x.shape[:2], H, d_v)
    q, k = (a.expand(len(X), H, -1, d) for a in (p["q"][:, None], x[:, None]))
    out = scaled_dot_product_attention(q, k, v.transpose(1, 2), scale=1.0)
    return forms.readout(p, out, library())


def embedded(p, X):
    """The tokens (m, T+1, d) of bits, [CLS] first."""
    import torch
    x = torch.nn.functional.embedding(X, p["E"]) + p["P"]
    return torch.cat([p["x_cls"].expand(len(X), 1, -1), x], 1)


def encoder(params, X, y, lr):
    """step() with nn.TransformerEncoderLayer of as many heads and hidden units, read at [CLS].

    What a user would write first. Another function: its tokens attend to each other, it has an MLP
    and norms.
    """
    import torch
    H, d, d_v = params["W_V"].shape
    p = {name: torch.tensor(params[name], dtype=torch.float32, requires_grad=True)
         for name in ("E", "P", "x_cls")}
    layer = torch.nn.TransformerEncoderLayer(d, H, len(params["w"]), dropout=0.0, batch_first=True)
    last, X = torch.nn.Linear(d, 1), torch.tensor(X, dtype=torch.int64)
    leaves = [*p.values(), *layer.parameters(), *last.parameters()]
    return stepper(lambda: last(layer(embedded(p, X))[:, 0])[:, 0], leaves, y, lr)[0]


def gpt(p, X):
    """minitf's gpt in eager PyTorch; of the last block only the row of [CLS], all that is read."""
    from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention
    g, L = embedded(p, X), sum(name.endswith("W_C") for name in p)
    for l in range(L):
        b = {name.split("/")[-1]: x for name, x in p.items() if name.startswith(f"{l}/") or L == 1}
        H, d, d_v = b["W_Q"].shape
        n = layer_norm(g, (d,), b["gain_1"], b["bias_1"])
        z, g = (n[:, :1], g[:, :1]) if l == L - 1 else (n, g)
        q, k, v = ((rows @ b[W].transpose(0, 1).reshape(d, d)).view(len(X), -1, H, d_v)
                   .transpose(1, 2) for rows, W in ((z, "W_Q"), (n, "W_K"), (n, "W_V")))
        out = scaled_dot_product_attention(q + b["b_Q"][:, None], k, v + b["b_V"][:, None])
        g = g + out.transpose(1, 2).reshape(g.shape) @ b["W_C"] + b["b_C"]
        n = layer_norm(g, (d,), b["gain_2"], b["bias_2"])
        g = g + gelu(n @ b["W_1"] + b["b_1"], approximate="tanh") @ b["W_2"] + b["b_2"]
    return layer_norm(g[:, 0], (d,), p["gain"], p["bias"]) @ p["w"] + p["c"]


FORMS = {"identity": identity, "tokens": tokens, "encoder": encoder, "gpt": gpt}


def attention(q, k, v, dout):
    """A function that runs torch's own attention forward and backward: out, dq, dk, dv."""
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
