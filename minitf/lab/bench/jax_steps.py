"""What `bench` compares with, in JAX: the training step of one [CLS] head, jitted as a whole, buffers donated.

Parameters have minitf's names and shapes and are one flat vector to the step: of the ways tried the fastest.
"""
import numpy as np

from minitf.lab.bench.pytorch_steps import Trained


def training(logits_of, params, X, y, lr):
    """A Trained of a form whose logits (m,) are those of the model of `params` for bits X."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree
    x, named = ravel_pytree({name: jnp.asarray(value, jnp.float32) for name, value in params.items()})
    X, y = jnp.asarray(X, jnp.int32 if logits_of is tokens else jnp.float32), jnp.asarray(y, jnp.float32)

    def loss_of(x, X, y):
        z = logits_of(named(x), X)
        return jnp.mean(jnp.maximum(z, 0) - y * z + jnp.log1p(jnp.exp(-jnp.abs(z))))

    def adam(x, n, s, i, X, y):
        loss, g = jax.value_and_grad(loss_of)(x, X, y)
        i, n, s = i + 1, 0.9 * n + 0.1 * g, 0.999 * s + 0.001 * g * g
        x = x - lr / (1 - 0.9 ** i) * n / (jnp.sqrt(s / (1 - 0.999 ** i)) + 1e-8)
        return loss, x, n, s, i

    loss, g = jax.jit(jax.value_and_grad(loss_of))(x, X, y)
    start = float(loss), {name: np.asarray(value) for name, value in named(g).items()}
    state = [x, jnp.zeros_like(x), jnp.zeros_like(x), jnp.float32(0)]
    compiled = jax.jit(adam, donate_argnums=(0, 1, 2, 3)).lower(*state, X, y).compile()

    def step():
        loss, *state[:] = compiled(*state, X, y)
        jax.block_until_ready(state)
        return float(loss)

    return Trained(step, start)


def identity(p, X):
    """Logits by two products of the bits with one table of T rows: what minitf computes."""
    import jax.numpy as jnp
    from jax.lax import stop_gradient
    H, d, d_v = p["W_V"].shape
    W = jnp.concatenate([p["q"], p["W_V"].transpose(0, 2, 1).reshape(H * d_v, d)])
    U = jnp.concatenate([p["E"], p["P"], p["x_cls"][None]]) @ W.T           # scores and values: E_0, E_1, P, [CLS]
    s, v = U[:, :H], U[:, H:].reshape(-1, H, d_v)
    top, highest = stop_gradient(s[2:-1].max(0)), stop_gradient(s[:2].max(0))
    e = jnp.exp(s[2:-1] - top)
    F = jnp.concatenate([(e[..., None] * v[2:-1]).reshape(-1, H * d_v), e], 1)
    ones, total = X @ F, F.sum(0)
    N1, Z1 = ones[:, :-H].reshape(-1, H, d_v), ones[:, -H:]                 # sums over the positions whose bit is 1
    N0, Z0 = total[:-H].reshape(H, d_v) - N1, total[-H:] - Z1
    e0, e1 = jnp.exp(s[:2] - highest)
    e_cls = jnp.exp(s[-1] - highest - top)
    Z = e1 * Z1 + e0 * Z0 + e_cls
    N = (e1[:, None] * N1 + e0[:, None] * N0 + (e1 * Z1)[..., None] * v[1] + (e0 * Z0)[..., None] * v[0]
         + e_cls[:, None] * v[-1])
    return jnp.maximum((N / Z[..., None]).reshape(-1, H * d_v) @ p["W_C"], 0) @ p["w"] + p["c"]


def tokens(p, X):
    """Logits by the [CLS] query over all tokens, each of them projected."""
    import jax
    import jax.numpy as jnp
    H, d, d_v = p["W_V"].shape
    cls = jnp.broadcast_to(p["x_cls"], (len(X), 1, d))
    x = jnp.concatenate([cls, p["E"][X] + p["P"]], axis=1)
    v = (x @ p["W_V"].transpose(1, 0, 2).reshape(d, H * d_v)).reshape(*x.shape[:2], H, d_v)
    A = jax.nn.softmax(x @ p["q"].T, axis=1)
    out = jnp.einsum("ith,ithd->ihd", A, v).reshape(len(X), H * d_v)
    return jnp.maximum(out @ p["W_C"], 0) @ p["w"] + p["c"]


FORMS = {"identity": identity, "tokens": tokens}


def use_threads(threads):
    """Nothing: XLA takes as many threads as the process may use processors, which the bench has set."""


def version():
    """JAX's version."""
    import jax
    return jax.__version__
