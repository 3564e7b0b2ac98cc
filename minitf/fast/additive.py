"""A step of tf-scalar in half the work: heads over tokens E_b + P_t, and their readout.

No norm touches a token, so exp(score) is a factor of its symbol times one of its position, and two
products with the bits do for both symbols. Read `table_heads` first: this is the same function.
All arrays come from array(name, *shape), which hands out the same ones at the next step.
"""
import math

import numpy as np


def additive_heads(U, rows, turned_rows, array):
    """Heads of [CLS] over tokens E_b + P_t that no norm touches.

    A token weighs e_b e_t, a factor of its symbol and one of its position. With u = [1, v],
    v_b + v_t the value, and A, B the sums over the positions whose bit is 1 and is 0,

        F    = e_t u_t                                      (H, 1+d_v, T)
        A, B = F X^T, sum_t F - A                           (H, 1+d_v, m)
        Z, N = e_1 (A + v_1 A_0) + e_0 (B + v_0 B_0) + e_cls u_cls
             = M A + base                                   M (H, 1+d_v, 1+d_v)
        out  = N / Z                                        (H, d_v, m)

    U (H, 1+d_v, 3+T): scores, in row 0, and values of E_0, E_1, x_cls, P_1 .. P_T; overwritten.
    rows = X, X^T of floats 0 and 1, fastest as two arrays; turned_rows() = 1 - X, 1 - X^T.
    Returns None where some Z < sqrt(smallest float), else out and pullback(dout) -> dU.
    """
    (H, J, n), (m, T) = U.shape, rows[0].shape
    turned, product = trade(U, rows, turned_rows)           # 1. the heavier symbol of a head is 1
    e = weigh(U[:, 0], array("e", H, n))                    # 2. symbols and positions apart
    e_t, u_t = e[:, None, 3:], U[:, :, 3:]
    F = np.multiply(e_t, u_t, out=array("F", H, J, T))      # 3. sums over the ones
    A, S = product(F, 1, array("A", H, J, m)), F.sum(axis=2)
    M, base, back_M = together(e, U, S, array("M", H, J, J))
    NZ = np.matmul(M, A, out=array("NZ", H, J, m))          # 4. symbols and positions together
    NZ += base[:, :, None]
    if not NZ[:, 0].min() >= math.sqrt(np.finfo(U.dtype).tiny):
        return None
    over = 1 / NZ[:, :1]
    out = np.multiply(NZ[:, 1:], over, out=array("out", H, J - 1, m))

    def pullback(dout):
        dNZ, dU = array("dNZ", H, J, m), array("dU", H, J, n)
        dN = np.multiply(dout, over, out=dNZ[:, 1:])
        np.negative(np.einsum("hjm,hjm->hm", dN, out), out=dNZ[:, 0])
        dA = np.matmul(M.transpose(0, 2, 1), dNZ, out=array("dA", H, J, m))
        dS = back_M(np.matmul(dNZ, A.transpose(0, 2, 1)), dNZ.sum(axis=2), dU)
        dF = product(dA, 0, array("dF", H, J, T))
        dF += dS[:, :, None]
        dFu = np.multiply(e_t, dF, out=dU[:, :, 3:])
        dU[:, 0, 3:] = np.multiply(dFu, u_t, out=dF).sum(axis=1)
        dU[turned, :, :2] = dU[turned, :, 1::-1]
        return dU

    return out, pullback


def trade(U, rows, turned_rows):
    """Let a head that weighs symbol 0 more than 16 times as much as symbol 1 trade the two.

    B = sum F - A has lost digits where it is small next to A; so traded, that error stays below 32
    units of Z. -> which heads (H,), and product(P, i, out): P times X or X^T, head by head.
    """
    H, J, _ = U.shape
    turned = U[:, 0, 0] > U[:, 0, 1] + math.log(16)
    U[turned, :, :2] = U[turned, :, 1::-1]

    def product(P, i, out):
        if not turned.any():
            np.matmul(P.reshape(H * J, -1), rows[i], out=out.reshape(H * J, -1))
            return out
        for some, bits in (~turned, rows[i]), (turned, turned_rows()[i]):
            out[some] = (P[some].reshape(-1, len(bits)) @ bits).reshape(-1, J, bits.shape[1])
        return out

    return turned, product


def weigh(s, e):
    """The weights e = exp(s - largest) of symbols, [CLS] and positions, s (H, 3+T); s becomes u_0.

    The larger symbol weighs 1, and so does the larger of [CLS] and the largest position.
    """
    top = np.maximum(s[:, 0], s[:, 1])
    highest = np.maximum(s[:, 3:].max(axis=1), s[:, 2] - top)
    np.subtract(s[:, :3], top[:, None], out=e[:, :3])
    e[:, 2] -= highest
    np.subtract(s[:, 3:], highest[:, None], out=e[:, 3:])
    np.exp(e, out=e)
    s[:, :2], s[:, 2:] = 0, 1
    return e


def together(e, U, S, M):
    """M, filled, and base (H, 1+d_v) with  Z, N = M A + base,  where S = sum_t F.

    M = (e_1 - e_0) I + (w_1 - w_0) on column 0,  base = e_0 S + w_0 S_0 + w_cls,  w = e u
    pullback(dM, dbase, dU) -> dS; it fills the entries of E_0, E_1, x_cls in dU.
    """
    J, e0, e1, ends = len(M[0]), e[:, :1], e[:, 1:2], e[:, None, :3] * U[:, :, :3]
    w0, w1, w_cls = ends.transpose(2, 0, 1)
    M[...] = 0
    M.reshape(len(M), J * J)[:, ::J + 1] = e1 - e0
    M[:, :, 0] += w1 - w0
    base = e0 * S + w0 * S[:, :1] + w_cls

    def pullback(dM, dbase, dU):
        dS = e0 * dbase
        dS[:, 0] += np.einsum("hj,hj->h", w0, dbase)
        both = dM.trace(axis1=1, axis2=2)                   # sum of dNZ A
        dends = np.empty_like(ends)                         # sums of dNZ B_0, dNZ A_0, dNZ
        np.subtract(dbase * S[:, :1], dM[:, :, 0], out=dends[:, :, 0])
        dends[:, :, 1], dends[:, :, 2] = dM[:, :, 0], dbase
        np.multiply(e[:, None, :3], dends, out=dU[:, :, :3])
        np.einsum("hjb,hjb->hb", ends, dends, out=dU[:, 0, :3])
        dU[:, 0, 0] += e[:, 0] * (np.einsum("hj,hj->h", dbase, S) - both)
        dU[:, 0, 1] += e[:, 1] * both
        return dS

    return M, base, pullback


def relu_readout(out, rest, signs, array, grads):
    """The mean logistic loss of  logits = w . relu(W_C^T out) + c,  and its derivatives.

        t    = signs logits,  signs = 1 - 2y                (m,)    loss = mean log(1 + exp(t))
        dz   = signs exp(t - loss) / m                      (m,)    exp(t - loss) = sigmoid(t)
        dR   = w dz where R > 0,  R = W_C^T out             (d_o, m)
        dout = W_C dR                                       (width, m)

    out (width, m), an example a column; rest = W_C, w, c. grads: dW_C, dw, dc, which are filled.
    Returns loss, dout.
    """
    (width, m), (W_C, w, c), (dW_C, dw, dc) = out.shape, rest, grads
    R = np.matmul(W_C.T, out, out=array("R", len(w), m))
    np.maximum(R, 0, out=R)
    t = w @ R
    t += c
    t *= signs
    loss = np.logaddexp(0, t)
    t -= loss
    dz = np.exp(t, out=t)
    dz *= signs / m
    np.matmul(R, dz, out=dw)
    dc[...] = dz.sum()
    dR = np.multiply(w[:, None], dz, out=array("dR", len(w), m))
    dR *= R > 0
    np.matmul(out, dR.T, out=dW_C)
    return float(loss.sum()) / m, np.matmul(W_C, dR, out=array("dout", width, m))
