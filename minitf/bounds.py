"""Every statement of the theory under one name: `from minitf import bounds`, `bounds.sid(...)`.

    linear             linear maps: ds, sid, vol, mau, and how to split an error among them
    budgets, networks  attention: the norms that define a class; one head, tf-scalar, L layers
    error              from covering numbers to error and sample size: chaining, gap, margin
    information        what the problem itself needs: counting, Occam, Fano, exact identification
    rivals             other bounds on the same classes: the paper's form, (1,1) norms, parameters
"""
from minitf.theory import (
                           HeadBudgets,
                           LayerBudgets,
                           ScalarBudgets,
                           ds,
                           dyadic_budgets,
                           fano_m,
                           gap_bound,
                           head_C2,
                           head_logcov,
                           l21_closed,
                           l21_counted,
                           l21_frobenius,
                           l21_K,
                           l21_truncated,
                           layers_C2,
                           layers_logcov,
                           length_free_logcov,
                           log_supports,
                           m_star,
                           margin_bound,
                           mau,
                           noise_factor,
                           occam_m,
                           param_count_logcov,
                           rad_chain,
                           rad_dudley_closed,
                           rho_overlap,
                           sample_complexity,
                           scalar_C2,
                           scalar_logcov,
                           scalar_scaling,
                           screening_correlation,
                           sid,
                           softmax_l1_bound,
                           split,
                           union_U,
                           vol,
)

__all__ = [
    "HeadBudgets", "LayerBudgets", "ScalarBudgets", "ds", "dyadic_budgets", "fano_m", "gap_bound",
    "head_C2", "head_logcov", "l21_K", "l21_closed", "l21_counted", "l21_frobenius",
    "l21_truncated", "layers_C2", "layers_logcov", "length_free_logcov", "log_supports", "m_star",
    "margin_bound", "mau", "noise_factor", "occam_m", "param_count_logcov", "rad_chain",
    "rad_dudley_closed", "rho_overlap", "sample_complexity", "scalar_C2", "scalar_logcov",
    "scalar_scaling", "screening_correlation", "sid", "softmax_l1_bound", "split", "union_U", "vol",
]
