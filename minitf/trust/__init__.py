"""Evidence: derivatives, golden vectors, other frameworks."""
from minitf.trust.verify import check_pullback, projection_gap, saved
