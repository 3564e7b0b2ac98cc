"""Nearest points of norm balls, certified."""
import minitf.ops  # its kernels have the allocator keep freed memory
from minitf.projections.arguments import convex_set
from minitf.projections.balls import Ball, ConvexSet
from minitf.projections.intersections import Intersection, project
from minitf.projections.norms import dual_norm, l2, norm, reals
from minitf.projections.polytopes import Box, Simplex
