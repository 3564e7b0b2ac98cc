"""From examples to a Result, and from a Result to a rule in words."""
from minitf.learn.evidence import Evidence, Verdict
from minitf.learn.fit import FitWarning, Progress, fit, fit_quietly, most_steps
from minitf.learn.loop import TrainConfig, minibatch_descent
from minitf.learn.result import Result, in_blocks, load, logits_of
from minitf.learn.rule import Rule, exact_rule, read_rule
from minitf.learn.table_rule import Answer, Try, decide, has_copies, longest, row_keys, usual_tries
from minitf.learn.words import in_words, quoted
from minitf.learn.working_set import Candidates

__all__ = ["Answer", "Candidates", "Evidence", "FitWarning", "Progress", "Result", "Rule",
           "TrainConfig", "Try", "Verdict", "decide", "exact_rule", "fit", "fit_quietly",
           "has_copies", "in_blocks", "in_words", "load", "logits_of", "longest",
           "minibatch_descent", "most_steps", "quoted", "read_rule", "row_keys", "usual_tries"]
