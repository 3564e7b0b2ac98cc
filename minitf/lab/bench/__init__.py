"""Seconds beside PyTorch and JAX."""
