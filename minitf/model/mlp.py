"""A multi-layer perceptron on the bits: the contrast, which has no attention."""
from minitf.model.rows import layer_of, named
from minitf.ops import ACTIVATIONS, linear


def mlp(params, X, model):
    """Logits (m,) of a multi-layer perceptron on 2 X - 1. pullback(dlogits) -> a dict."""
    x, backs = 2 * X.astype(params["w"].real.dtype) - 1, []
    for l in range(model.L):
        p = layer_of(params, l, model)
        h, back_h = linear(x, p["W_1"], p["b_1"])
        x, back_x = ACTIVATIONS[model.activation](h)
        backs.append((l, back_h, back_x))
    logits, back_logits = linear(x, params["w"][:, None], params["c"][None])

    def pullback(dlogits):
        dx, dw, dc = back_logits(dlogits[:, None])
        grads = {"w": dw[:, 0], "c": dc[0]}
        for l, back_h, back_x in reversed(backs):
            dx, dW_1, db_1 = back_h(back_x(dx))
            grads |= named({"W_1": dW_1, "b_1": db_1}, l, model)
        return grads

    return logits[:, 0], pullback
