"""Experiments: runs, sweeps, figures, measurements."""
from minitf.lab.datasets import read_table
from minitf.lab.holdout import HOLDOUT
from minitf.lab.laws import fit_laws
from minitf.lab.own_table import label_in_words, plan_table
from minitf.lab.pairs import PAIRED, compare
from minitf.lab.points import IDENTITY, ROW, points, read_published, read_runs, series_of
from minitf.lab.protocol import METHODS, OPTIONAL, TASKS
from minitf.lab.run import MODELS, plan_task, streams
from minitf.lab.sweep import sweep, table
