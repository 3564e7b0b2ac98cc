"""Experiments with the core: data sets, sweeps, statistics, figures."""
