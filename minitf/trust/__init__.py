"""Evidence: derivatives, golden vectors, other frameworks."""
from minitf.trust.golden import golden_cases
from minitf.trust.verdict import judge
from minitf.trust.verify import check_pullback, projection_gap, saved
