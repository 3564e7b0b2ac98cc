"""The table of trust/README.md: five checkers on the same right and wrong derivatives.

    PYTHONPATH=. python tests/checker_table.py [CALLS] [CHECKER ...]      needs torch, jax, autograd

Every op is a pair (y, pullback) in NumPy; each checker gets it as its own kind of custom function. CALLS is 1,000
unless given. A checker that raises whatever exception has rejected.
"""
import sys
import time
import warnings

import numpy as np
from scipy.special import erf

from minitf import attention, check_pullback, layer_norm

PHI = np.sqrt(2 * np.pi)


def elementwise(f, df):
    return lambda x: (f(x), lambda dy: (df(x) * dy).astype(x.dtype))


def net(W, V):
    """ReLU net 32 x 10 -> 64 -> 3 as a function of x."""
    def op(x):
        H = x @ W
        R = np.where(H > 0, H, 0)
        return R @ V, lambda dy: ((dy @ V.T) * (H > 0)) @ W.T
    return op


def max_pool(x):
    blocks = x.reshape(-1, 4)
    best = blocks.argmax(axis=1)[:, None]

    def pullback(dy):
        dx = np.zeros_like(blocks, dtype=dy.dtype)
        np.put_along_axis(dx, best, dy[:, None], axis=1)
        return dx.reshape(x.shape)
    return np.take_along_axis(blocks, best, axis=1)[:, 0], pullback


def sort(x):
    order = np.argsort(x)

    def pullback(dy):
        dx = np.zeros(x.shape)
        dx[order] = dy
        return dx
    return x[order], pullback


def log_softmax_then_log(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return np.log(p), lambda dy: dy - p * dy.sum(axis=-1, keepdims=True)


def gather(x):
    index = np.array([0, 2, 2, 5, 7, 0, 1])

    def pullback(dy):
        dx = np.zeros(x.shape)
        np.add.at(dx, index, dy)
        return dx
    return x[index], pullback


def scatter(x):
    index = np.array([3, 1, 3, 0, 1, 3, 5, 2])
    y = np.zeros((6, *x.shape[1:]), x.dtype)
    np.add.at(y, index, x)
    return y, lambda dy: dy[index]


def empty_rows(q):
    rng = np.random.default_rng(5)
    k, v = rng.standard_normal((2, 6, 4))
    y, pullback = attention(q, k, v, mask=np.arange(5)[:, None] % 3 < np.arange(6) % 3)
    return y, lambda dy: pullback(dy)[0]


def normal_rows(x):
    y, pullback = layer_norm(x, np.ones(x.shape[-1]), np.zeros(x.shape[-1]))
    return y, lambda dy: pullback(dy)[0]


def sdpa(q):
    """PyTorch's scaled dot-product attention in float32, its autograd as the pullback."""
    import torch
    rng = np.random.default_rng(6)
    k, v = (torch.tensor(rng.standard_normal((6, 8)), dtype=torch.float32) for _ in range(2))
    x = torch.tensor(np.asarray(q), requires_grad=True)
    y = torch.nn.functional.scaled_dot_product_attention(x[None], k[None], v[None])[0]
    return y.detach().numpy(), lambda dy: torch.autograd.grad(y, x, torch.tensor(dy), retain_graph=True)[0].numpy()


square = elementwise(lambda x: x * x, lambda x: 2 * x)
gelu = elementwise(lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
                   lambda x: (1 + erf(x / np.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / PHI)
relu = elementwise(lambda x: np.where(x > 0, x, 0), lambda x: x > 0)


def fixed_net():
    rng = np.random.default_rng(3)
    return net(rng.standard_normal((10, 64)), rng.standard_normal((64, 3)))


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


RIGHT = {
    "ReLU, 16 entries": (relu, normal(16)),
    "ReLU, 1,024 entries": (relu, normal(1024)),
    "ReLU net, 32 x 10 -> 64 -> 3": (fixed_net(), normal(32, 10)),
    "max pooling": (max_pool, normal(64)),
    "sort": (sort, normal(20)),
    "clip to [-1, 1]": (elementwise(lambda x: np.clip(x, -1, 1), lambda x: np.abs(x) < 1), normal(40)),
    "|x|": (elementwise(np.abs, np.sign), normal(40)),
    "log of softmax": (log_softmax_then_log, lambda rng: 2 * rng.standard_normal((4, 5))),
    "log": (elementwise(np.log, lambda x: 1 / x), lambda rng: np.exp(3 * rng.standard_normal(20))),
    "sqrt near 0": (elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(x)), lambda rng: rng.random(20) ** 6),
    "attention, float32 SDPA": (sdpa, lambda rng: rng.standard_normal((5, 8)).astype(np.float32)),
    "tanh, float32": (elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
                      lambda rng: rng.standard_normal(30).astype(np.float32)),
    "GELU": (gelu, normal(40)),
    "attention, empty rows": (empty_rows, normal(5, 4)),
    "layer_norm, nearly constant rows": (normal_rows, lambda rng: 3 + 1e-3 * rng.standard_normal((4, 8))),
    "square at 1e-150": (square, lambda rng: 1e-150 * rng.standard_normal(10)),
    "square at 1e150": (square, lambda rng: 1e150 * rng.standard_normal(10)),
    "embedding": (gather, normal(9, 3)),
    "scatter": (scatter, normal(8, 3)),
}


def spoilt(op, spoil):
    def wrong(x):
        y, pullback = op(x)
        return y, lambda dy: spoil(pullback(dy), x, dy)
    return wrong


def one_entry(dx, x, dy):
    dx = np.array(dx)
    dx.flat[7] *= 1.01
    return dx


def softmax_no_sum(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, lambda dy: p * dy


def matmul_transposed(x):
    W = np.random.default_rng(1).standard_normal((4, 4))
    return x @ W, lambda dy: dy @ W


def mask_ignored(q):
    rng = np.random.default_rng(5)
    k, v = rng.standard_normal((2, 6, 4))
    y, _ = attention(q, k, v, mask=np.arange(6) > 0)
    return y, lambda dy: attention(q, k, v)[1](dy)[0]


def beside_a_large(x):
    scale = np.array([1e9, 1.0])
    return scale * np.abs(x), lambda dy: dy * scale * np.sign(x) * np.array([1, -1])


def broadcast_unsummed(b):
    X = np.random.default_rng(2).standard_normal((4, 4))
    return X + b, lambda dy: dy[0] * 4


def leaky(x):
    return np.where(x > 0, x, 0.1 * x), lambda dy: np.where(x > 0, dy, 0.2 * dy)


WRONG = {
    "factor 1.0005": (spoilt(gelu, lambda dx, x, dy: 1.0005 * dx), normal(40)),
    "factor 1.0005, |x|": (spoilt(RIGHT["|x|"][0], lambda dx, x, dy: 1.0005 * dx), normal(40)),
    "dropped term": (softmax_no_sum, normal(3, 4)),
    "transposed": (matmul_transposed, normal(4, 4)),
    "mask ignored": (mask_ignored, normal(5, 4)),
    "one entry of 40, by 1 %": (spoilt(gelu, one_entry), normal(40)),
    "sign, beside a slope of 1e9": (beside_a_large, normal(2)),
    "zero pullback": (spoilt(gelu, lambda dx, x, dy: 0 * dx), normal(40)),
    "unsummed broadcast": (broadcast_unsummed, normal(4)),
    "wrong for negative inputs": (leaky, normal(40)),
}


def by_minitf(op, x, rng):
    check_pullback(op, (x,), rng)


def by_torch(op, x, rng):
    import torch

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y, ctx.pullback = op(x.detach().numpy())
            return torch.tensor(y)

        @staticmethod
        def backward(ctx, dy):
            return torch.tensor(np.asarray(ctx.pullback(dy.numpy())))

    assert torch.autograd.gradcheck(Op.apply, (torch.tensor(x, requires_grad=True),))


def by_jax(op, x, rng):
    import jax
    from jax.test_util import check_grads
    jax.config.update("jax_enable_x64", True)
    y = op(x)[0]
    of = jax.ShapeDtypeStruct(y.shape, y.dtype), jax.ShapeDtypeStruct(x.shape, x.dtype)

    @jax.custom_vjp
    def f(x):
        return jax.pure_callback(lambda x: op(np.asarray(x))[0].astype(y.dtype), of[0], x)

    def backward(x, dy):
        return (jax.pure_callback(lambda x, dy: np.asarray(op(np.asarray(x))[1](np.asarray(dy))).astype(x.dtype),
                                  of[1], x, dy),)
    f.defvjp(lambda x: (f(x), x), backward)
    check_grads(f, (x,), order=1, modes=["rev"])


def by_autograd(op, x, rng):
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads
    f = primitive(lambda x: op(x)[0])
    defvjp(f, lambda y, x: op(x)[1])
    np.random.seed(rng.integers(2**31))     # noqa: NPY002 (check_grads draws from it)
    check_grads(f, modes=["rev"], order=1)(x)


def by_scipy(op, x, rng):
    """check_grad wants a number from a vector: <dy, y> for a random dy; rejected above 1e-5 of the gradient."""
    from scipy.optimize import check_grad
    dy = rng.standard_normal(op(x)[0].shape)

    def value(u):
        return float((dy * op(u.reshape(x.shape).astype(x.dtype))[0]).sum())

    def slope(u):
        dx = op(u.reshape(x.shape).astype(x.dtype))[1](dy.astype(op(x)[0].dtype))
        return np.asarray(dx, np.float64).ravel()

    u = x.ravel().astype(np.float64)
    assert check_grad(value, slope, u) <= 1e-5 * np.linalg.norm(slope(u))


CHECKERS = {"minitf": by_minitf, "torch": by_torch, "jax": by_jax, "autograd": by_autograd, "scipy": by_scipy}


def rejections(check, op, draw, calls, seed=0):
    """How many of so many calls are rejected, the seconds, and the last message."""
    count, said, start = 0, "", time.perf_counter()
    for i in range(calls):
        rng = np.random.default_rng((seed, i))
        x = draw(rng)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                check(op, x, rng)
            except Exception as error:
                count, said = count + 1, f"{type(error).__name__}: {error}"
    return count, time.perf_counter() - start, said


def main(calls=1000, *names):
    for title, cases in ("right ops: false alarms", RIGHT), ("wrong ops: detections", WRONG):
        print(f"\n{title} of {calls}", *(names or CHECKERS), sep=" | ")
        for name, (op, draw) in cases.items():
            found = [rejections(CHECKERS[c], op, draw, int(calls)) for c in names or CHECKERS]
            print(name, *(n for n, _, _ in found), " ".join(f"{1e3 * s / int(calls):.0f}ms" for _, s, _ in found),
                  sep=" | ", flush=True)
            if names == ("minitf",) and found[0][2] and cases is RIGHT:
                print("   ", found[0][2][:600])


if __name__ == "__main__":
    main(*sys.argv[1:])
