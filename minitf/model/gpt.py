"""A block of gpt: what follows its attention, row by row."""
from minitf.model.rows import normed, plus
from minitf.ops import ACTIVATIONS, add, linear


def mix_gpt(p, out, g, model):
    """The rest of a block of gpt:  r = [g +] (out + b_V) W_C + b_C, then its MLP.

    pullback(dy) -> dout, dg, a dict.
    """
    values, back_b_V = add(out, p["b_V"])
    o, back_o = linear(values.reshape(*out.shape[:-2], model.width), p["W_C"], p["b_C"])
    r, back_r = plus(g, o, model)
    y, back_y = mlp_block(p, r, model) if model.d_ff else (r, lambda dr: (dr, {}))

    def pullback(dy):
        dr, grads = back_y(dy)
        dg, do = back_r(dr)
        dvalues, dW_C, db_C = back_o(do)
        dout, db_V = back_b_V(dvalues.reshape(out.shape))
        return dout, dg, grads | {"W_C": dW_C, "b_C": db_C, "b_V": db_V}

    return y, pullback


def mlp_block(p, r, model):
    """The MLP of gpt:  [r +] sigma(Pi(r) W_1 + b_1) W_2 + b_2. pullback(dy) -> dr and a dict."""
    n, back_n = normed(p, r, model, "_2")
    h, back_h = linear(n, p["W_1"], p["b_1"])
    a, back_a = ACTIVATIONS[model.activation](h)
    o, back_o = linear(a, p["W_2"], p["b_2"])
    y, back_y = plus(r, o, model)

    def pullback(dy):
        dr, do = back_y(dy)
        da, dW_2, db_2 = back_o(do)
        dn, dW_1, db_1 = back_h(back_a(da))
        dr_n, grads = back_n(dn)
        return dr + dr_n, grads | {"W_1": dW_1, "b_1": db_1, "W_2": dW_2, "b_2": db_2}

    return y, pullback
