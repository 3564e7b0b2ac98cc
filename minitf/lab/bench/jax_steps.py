"""What `bench` compares with, in JAX: the step of one [CLS] head, jitted as a whole.

Parameters have minitf's names and shapes and are one flat vector to the step, its buffers donated:
of the ways tried the fastest.
"""
import numpy as np

from minitf.lab.bench import forms


def training(logits_of, params, X, y, lr):
    """step() -> loss, and (loss, gradients {name: array}) before the first, of a form."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree
    to_float = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    x, named = ravel_pytree(to_float)
    X = jnp.asarray(X, jnp.int32 if logits_of is tokens else jnp.float32)
    y = jnp.asarray(y, jnp.float32)

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

    return step, start


def library():
    """JAX's part of forms.Library."""
    import jax
    import jax.numpy as jnp
    return forms.Library(jnp.concatenate, jnp.exp, lambda s: jax.lax.stop_gradient(s.max(0)),
                         jax.nn.relu)


def identity(p, X):
    """Logits by two products of the bits with one table of T rows: what minitf computes."""
    return forms.identity(p, X, library())


def tokens(p, X):
    """Logits by the [CLS] query over all tokens, each of them projected."""
    import jax
    import jax.numpy as jnp
    H, d, d_v = p["W_V"].shape
    cls = jnp.broadcast_to(p["x_cls"], (len(X), 1, d))
    x = jnp.concatenate([cls, p["E"][X] + p["P"]], axis=1)
    v = (x @ p["W_V"].swapaxes(0, 1).reshape(d, H * d_v)).reshape(*x.shape[:2], H, d_v)
    A = jax.nn.softmax(x @ p["q"].T, axis=1)
    return forms.readout(p, jnp.einsum("ith,ithd->ihd", A, v), library())


FORMS = {"identity": identity, "tokens": tokens}


def use_threads(threads):
    """Nothing: XLA takes as many threads as the process may use processors."""


def version():
    """JAX's version."""
    import jax
    return jax.__version__
