"""What is said of the [CLS] head: its steps, its gradients, the numbers on the way."""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.ops import add, embed, linear, logistic, relu, sigmoid, softmax


def tokens(E, P, x_cls, b):
    """Put x_cls above the embedded bits:  X_0 = x_cls,  X_t = E[b_t] + P_t."""
    rows, back_embed = embed(b, E)
    rows, back_add = add(rows, P)

    def pullback(dX):
        drows, dP = back_add(dX[1:])
        return back_embed(drows), dP, dX[0]

    return np.concatenate([x_cls[None], rows]), pullback


def matvec(W, x):
    """Multiply a matrix by a vector:  y = W x."""
    y, back = linear(x, W.T)

    def pullback(dy):
        dx, dW = back(dy)
        return dW.T, dx

    return y, pullback


def dot(w, o):
    """Multiply two vectors:  y = w . o."""
    y, back = matvec(w[None], o)

    def pullback(dy):
        dw, do = back(dy[None])
        return dw[0], do

    return y[0], pullback


class Step(NamedTuple):
    """One line of the forward pass: name = op(*inputs), inputs without a gradient last, what to say
    of it, and the rule that gives each entry."""
    section: str
    name: str
    op: Callable
    inputs: tuple
    formula: str
    why: str
    rule: str


STEPS = (
    Step("Tokens", "X", tokens, ("E", "P", "x_cls", "b"), "X_0 = x_cls, X_t = E[b_t] + P_t",
         "A row says which bit stands where; row 0 is [CLS], which carries no bit and will ask the "
         "question.", "t,j: t == 0 ? x_cls[j] : E[b[t-1],j] + P[t-1,j]"),
    Step("Scores", "q", matvec, ("W_QK", "x_cls"), "q = W_QK x_cls",
         "The query: the question that [CLS] asks of every row.",
         "i: sum(j: W_QK[i,j] * x_cls[j])"),
    Step("Scores", "s", matvec, ("X", "q"), "s = X q",
         "Row by row, how well the token answers the question; any number may come out.",
         "t: sum(j: X[t,j] * q[j])"),
    Step("Weights", "a", softmax, ("s",), "a = exp(s) / sum(exp(s))",
         "Exponentials are positive and dividing by their sum makes them shares of 1: how much of "
         "each row to read.", "t: e[t] / sum_e[]"),
    Step("Head", "c", linear, ("a", "X"), "c = X^T a",
         "The mean of the rows of X with those weights: what [CLS] has read.",
         "j: sum(t: X[t,j] * a[t])"),
    Step("Head", "h", linear, ("c", "W_V"), "h = W_V^T c",
         "The value matrix picks out of the mean what matters for the answer.",
         "i: sum(j: W_V[j,i] * c[j])"),
    Step("Head", "r", relu, ("h",), "r = max(h, 0)",
         "Negative entries are switched off; without this bend the readout could only be linear in "
         "c.",
         "i: max(h[i], 0)"),
    Step("Readout", "o", linear, ("r", "W_C"), "o = W_C^T r",
         "The output matrix mixes the entries that are left.", "i: sum(j: W_C[j,i] * r[j])"),
    Step("Readout", "logit", dot, ("w", "o"), "logit = w . o",
         "One number: above 0 the head answers 1, below 0 it answers 0.", ": sum(i: w[i] * o[i])"),
    Step("Loss", "loss", logistic, ("logit", "label"), "loss = log(1 + exp(logit)) - label logit",
         "The cost of the answer: minus the log of the probability that it gives to the label.",
         ": log(1 + exp(logit[])) - label[] * logit[]"),
)
GIVEN = {"b": "bits", "E": "row i stands for the bit i", "P": "row t stands for position t = 1..T",
         "x_cls": "the [CLS] token", "W_QK": "query-key matrix", "W_V": "value matrix",
         "W_C": "output matrix", "w": "readout", "label": "bit 1: what the head should answer"}
PARAMETERS = ("E", "P", "x_cls", "W_QK", "W_V", "W_C", "w")
GRADIENTS = {           # in the order of the backward pass: name -> formula, why, rule
    "logit": ("dlogit = 1 / (1 + exp(-logit)) - label",
              "Probability given to 1, minus the label: the error that everything below shares.",
              ": p[] - label[]"),
    "w": ("dw = dlogit o", "logit = w . o is linear in w, with slope o.", "i: dlogit[] * o[i]"),
    "o": ("do = dlogit w", "It is linear in o too, with slope w.", "i: dlogit[] * w[i]"),
    "W_C": ("dW_C = r do^T",
            "Entry (i, j) carries r_i into o_j, so it shares do_j in proportion to r_i.",
            "i,j: r[i] * do[j]"),
    "r": ("dr = W_C do",
          "The way back through a matrix is its transpose: r_i collects from every o_j it went to.",
          "i: sum(j: W_C[i,j] * do[j])"),
    "h": ("dh = dr where h > 0, else 0",
          "An entry that was switched off moves nothing: no error passes through it.",
          "i: h[i] > 0 ? dr[i] : 0"),
    "W_V": ("dW_V = c dh^T", "Entry (i, j) carries c_i into h_j: the same rule as for W_C.",
            "i,j: c[i] * dh[j]"),
    "c": ("dc = W_V dh", "Back through the matrix, as dr was.", "i: sum(j: W_V[i,j] * dh[j])"),
    "a": ("da = X dc", "More weight on row t moves c towards X_t, so the slope is X_t . dc.",
          "t: sum(j: X[t,j] * dc[j])"),
    "s": ("ds = a * (da - sum(a * da))",
          "Weights sum to 1, so a score matters only as far as its da differs from the weighted "
          "mean; ds sums to 0.", "t: a[t] * (da[t] - sum_a_da[])"),
    "q": ("dq = X^T ds", "Score t is X_t . q, so q collects X_t in proportion to ds_t.",
          "j: sum(t: X[t,j] * ds[t])"),
    "X": ("dX = a dc^T + ds q^T",
          "A row is used twice, as what is read and as what is scored: gradients add.",
          "t,j: a[t] * dc[j] + ds[t] * q[j]"),
    "W_QK": ("dW_QK = dq x_cls^T", "Entry (i, j) carries x_cls_j into q_i.",
             "i,j: dq[i] * x_cls[j]"),
    "P": ("dP_t = dX_t", "Each position has a row of its own, so its gradient is that row's.",
          "t,j: dX[t+1,j]"),
    "E": ("dE_i = sum of dX_t over the t with b_t = i",
          "All positions with the same bit share one row of E.",
          "i,j: sum(t: b[t] == i ? dX[t+1,j] : 0)"),
    "x_cls": ("dx_cls = dX_0 + W_QK^T dq",
              "x_cls is used twice as well: it is row 0, and it asks the question.",
              "j: dX[0,j] + sum(i: W_QK[i,j] * dq[i])"),
}
WORKING = {             # numbers on the way: after which line -> name, formula, value, rule
    "a": (("e", "e = exp(s)", lambda v, g: np.exp(v["s"]), "t: exp(s[t])"),
          ("sum(e)", "sum(e)", lambda v, g: np.exp(v["s"]).sum(), ": sum(t: e[t])")),
    "loss": (("p", "p = 1 / (1 + exp(-logit))", lambda v, g: sigmoid(v["logit"]),
              ": 1 / (1 + exp(-logit[]))"),),
    "ds": (("sum(a * da)", "sum(a * da)", lambda v, g: v["a"] @ g["a"], ": sum(t: a[t] * da[t])"),),
}
