"""From examples to a Result."""
from minitf.learn.fit import FitWarning, Progress, fit, most_steps
from minitf.learn.loop import TrainConfig, minibatch_descent
from minitf.learn.result import Result, in_blocks, load, logits_of
from minitf.learn.rule import Rule, exact_rule, read_rule
from minitf.learn.words import in_words
from minitf.learn.working_set import Candidates
