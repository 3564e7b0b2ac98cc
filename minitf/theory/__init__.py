"""What norms say about error, and which weights exist."""
from minitf.theory.budgets import HeadBudgets, LayerBudgets, ScalarBudgets
from minitf.theory.by_norms import NormCertificate, certify_norms, rounded
from minitf.theory.certify import Certificate, certify, certify_rule, percent, tail_bound
from minitf.theory.construct import FORMS, MOST_BITS, MOST_K, as_result, construct, verify
from minitf.theory.error import (
                                 dyadic_budgets,
                                 gap_bound,
                                 margin_bound,
                                 rad_chain,
                                 rad_dudley_closed,
                                 sample_complexity,
                                 uniform_margin_bound,
)
from minitf.theory.information import (
                                 fano_m,
                                 log_supports,
                                 m_star,
                                 noise_factor,
                                 occam_m,
                                 rho_of,
                                 rho_overlap,
                                 union_U,
)
from minitf.theory.linear import (
                                 ds,
                                 mau,
                                 sid,
                                 split,
                                 vol,
)
from minitf.theory.matrices import (
                                 l21_closed,
                                 l21_counted,
                                 l21_frobenius,
                                 l21_K,
                                 l21_truncated,
)
from minitf.theory.networks import (
                                 head_C2,
                                 head_logcov,
                                 layers_C2,
                                 layers_logcov,
                                 scalar_C2,
                                 scalar_logcov,
                                 softmax_l1_bound,
)
from minitf.theory.rademacher import rademacher_lower
from minitf.theory.rivals import (
                                 length_free_logcov,
                                 param_count_logcov,
                                 scalar_scaling,
                                 screening_correlation,
)
from minitf.theory.table import MOST, NORMS, and_class, bound_table, rademacher_table
