"""Experiments: runs, sweeps, figures, measurements."""
from minitf.lab.datasets import read_table
from minitf.lab.laws import growth, targets
from minitf.lab.holdout import HOLDOUT
from minitf.lab.run import MODELS, plan_table, plan_task, streams
from minitf.lab.stats import IDENTITY, points, read_runs, ROW, series_of
from minitf.lab.sweep import sweep, table
from minitf.lab.trial import METHODS, TASKS
