"""From examples to a Result."""
from minitf.learn.fit import fit, most_steps, Progress
from minitf.learn.loop import descend, TrainConfig
from minitf.learn.result import in_blocks, load, logits_of, Result
from minitf.learn.rule import exact_rule, read_rule, Rule
from minitf.learn.words import in_words
from minitf.learn.working_set import Heads
