"""minitf: bounded-norm softmax attention and the sparse Boolean functions it learns, exact, in NumPy."""
import numpy

from minitf.attention import attention, attention_weights
from minitf.bits import cls_head, mean_bit
from minitf.blocked import attention_blocked
from minitf.capacity import certify, rademacher_lower
from minitf.construct import construct
from minitf.identify import consistent_supports
from minitf.losses import logistic
from minitf.model import ModelConfig, constraints, forward, init_params
from minitf.norms import dual_norm, norm
from minitf.ops import add, cap, embed, gelu, identity, layer_norm, linear, relu, sigmoid, softmax, unit_ball
from minitf.params import VERSION as __version__
from minitf.projections import Ball, Intersection, Simplex, project
from minitf.result import Result, load
from minitf.tasks import BooleanTask, sample_task, truth_table
from minitf.train import Progress, TrainConfig, fit
from minitf.trust.verify import check_pullback, projection_gap, saved

__all__ = [
    "Ball", "BooleanTask", "Intersection", "ModelConfig", "Progress", "Result", "Simplex", "TrainConfig",
    "__version__", "add", "attention", "attention_blocked", "attention_weights", "cap", "certify", "check_pullback",
    "cls_head", "consistent_supports", "constraints", "construct", "dual_norm", "embed", "fit", "forward", "gelu",
    "identity", "init_params", "layer_norm", "linear", "load", "logistic", "mean_bit", "norm", "project",
    "projection_gap", "rademacher_lower", "relu", "sample_task", "saved", "sigmoid", "softmax", "truth_table",
    "unit_ball",
]

# The C library of Linux gives freed arrays back to the system, and the next step then pays for clearing fresh pages.
# Once a block of nearly 32 MB was freed, it keeps up to 64 MB (mallopt(3), M_MMAP_THRESHOLD). This one is never touched.
numpy.empty(2 ** 25 - 2 ** 16, numpy.uint8)
