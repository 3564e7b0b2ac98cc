"""Every statement of the theory under one name: `from minitf import bounds`, then `bounds.scalar_logcov(...)`.

    covering           linear maps: ds, sid, vol, mau, l21, and how to split an error among them
    budgets, classes   attention: the norms that define a class; one head, tf-scalar, L layers, several heads
    generalisation     from covering numbers to error and sample size: chaining, gap, margin
    yardsticks         what to hold them against: the paper's scaling forms, counting, Occam, Fano, exact identification
"""
from minitf.theory import HeadBudgets, LayerBudgets, ScalarBudgets
from minitf.theory import (head_C2, head_logcov, layers_C2, layers_logcov, multihead_combine, scalar_C2, scalar_logcov,
                            softmax_l1_bound)
from minitf.theory import (ds, l21, l21_closed, l21_counted, l21_frobenius, l21_K, l21_truncated, mau, sid, split,
                             vol)
from minitf.theory import (dyadic_budgets, gap_bound, margin_bound, rad_chain, rad_dudley_closed,
                                   sample_complexity)
from minitf.theory import (fano_m, head_scaling, junta_rules, l21_scaling, layers_scaling, length_free_logcov,
                               log_precision, log_supports, m_star, noise_factor, occam_m, param_count_logcov,
                               rho_overlap, scalar_scaling, screening_correlation, union_U, vc_scaling, zhang)

__all__ = [
    "HeadBudgets", "LayerBudgets", "ScalarBudgets", "ds", "dyadic_budgets", "fano_m", "gap_bound", "head_C2",
    "head_logcov", "head_scaling", "junta_rules", "l21", "l21_K", "l21_closed", "l21_counted", "l21_frobenius",
    "l21_scaling", "l21_truncated", "layers_C2", "layers_logcov", "layers_scaling", "length_free_logcov",
    "log_precision", "log_supports", "m_star", "margin_bound", "mau", "multihead_combine", "noise_factor", "occam_m",
    "param_count_logcov", "rad_chain", "rad_dudley_closed", "rho_overlap", "sample_complexity", "scalar_C2",
    "scalar_logcov", "scalar_scaling", "screening_correlation", "sid", "softmax_l1_bound", "split", "union_U",
    "vc_scaling", "vol", "zhang",
]
