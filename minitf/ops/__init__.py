"""Forward and backward by hand: primitives, and softmax attention."""
from minitf.checks import op
from minitf.ops.attention import attention, attention_weights
from minitf.ops.blocked import attention_blocked
from minitf.ops.kernels import sum_to
from minitf.ops.primitives import (
                                   ACTIVATIONS,
                                   add,
                                   cap,
                                   embed,
                                   gelu,
                                   identity,
                                   layer_norm,
                                   linear,
                                   logistic,
                                   relu,
                                   sigmoid,
                                   softmax,
                                   unit_ball,
)
from minitf.ops.tangent import attention_tangent

cap = op(cap)           # attention calls the plain one: its cotangents may have more leading axes
__all__ = ["ACTIVATIONS", "add", "attention", "attention_blocked", "attention_tangent",
           "attention_weights", "cap", "embed", "gelu", "identity", "layer_norm", "linear",
           "logistic", "relu", "sigmoid", "softmax", "sum_to", "unit_ball"]
