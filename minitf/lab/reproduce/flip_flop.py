"""A two-layer attention, written down, that reads the last bit that was written.

A flip-flop string has T/2 pairs of an instruction (write, read, ignore) and a bit. It begins with
a write, ends with a read, and the others are ignored with probability p_i, else written or read.
The bit of a read is the last one written.

    layer 1   query c_s, key c_(s'+1): [s follows s'] by position alone, and the value says write.
              c_s is a point of a circle: c_s . c_(s'+1) falls off by 1 - cos(2 pi/T) at least
    layer 2   score  scale ( 2 [s holds a written bit] + s/T ),  causal: the last written bit wins,
              older ones are at least 2/T behind

A read is wrong where the average of the bits lies on the wrong side of 1/2. The gaps between the
best key and the next shrink with T, so the scales must grow: this is the margin that is printed.
"""
import math

import numpy as np

from minitf.lab.reproduce.page import Page, row, share, whole
from minitf.ops import attention

WRITE, READ, IGNORE = range(3)


def strings(rng, m, T, p_ignore):
    """Instructions (m, T/2) and bits (m, T/2); the bit of a read is the last written one."""
    rest = [(1 - p_ignore) / 2] * 2 + [p_ignore]
    told = rng.choice(3, (m, T // 2), p=rest).astype(np.int8)
    told[:, 0], told[:, -1] = WRITE, READ
    bits = rng.integers(0, 2, (m, T // 2), dtype=np.int8)
    last = np.maximum.accumulate(np.where(told == WRITE, np.arange(T // 2), 0), axis=1)
    return told, np.where(told == READ, np.take_along_axis(bits, last, axis=1), bits)


def follows(T, scale):
    """Layer 1 on positions: the attention (T, T) that every position pays to the one before it."""
    angle = 2 * math.pi * np.arange(T + 1) / (T + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    A, _ = attention(circle[:T], circle[1:], np.eye(T), scale=scale)
    return A


def read_last(told, bits, scales):
    """What the two layers answer at every read, (reads,), and the bits that are right."""
    m, T = len(told), 2 * told.shape[1]
    is_write = np.zeros((m, T))
    is_write[:, ::2] = told == WRITE
    holds = is_write @ follows(T, scales[0]).T                      # 1. the one before says write
    values, position = np.zeros((m, T)), np.arange(T) / T
    values[:, 1::2] = bits
    row_of, pair = np.nonzero(told == READ)
    answers = np.empty(len(row_of))
    for cut in range(0, len(row_of), 4096):                         # 2. the last of those
        some = slice(cut, cut + 4096)
        keys = (2 * holds + position)[row_of[some], :, None]
        may = np.arange(T) <= 2 * pair[some, None, None]
        out, _ = attention(np.ones((len(keys), 1, 1)), keys, values[row_of[some], :, None],
                           mask=may, scale=scales[1])
        answers[some] = out[:, 0, 0]
    return answers, bits[row_of, pair]


def scales_for(T):
    """Scales at which each layer gives all but 1/8 of its attention to the right key."""
    gap = 1 - math.cos(2 * math.pi / (T + 1))
    return math.log(16 * T) / gap, math.log(16) * T / 2


def measure(rng, T=512, reads=1_000_000, p_ignores=(0.98, 0.1, 0.5, 0.9, 0.998),
        lengths=(32, 128, 512)):
    rows, wrong, margin = [], [], {}
    for p in p_ignores:
        count, errors, least = 0, 0, 1.0
        while count < reads / len(p_ignores):
            told, bits = strings(rng, 512, T, p)
            answers, right = read_last(told, bits, scales_for(T))
            errors += int(((answers > 0.5) != right).sum())
            count, least = count + len(right), min(least, float(np.abs(answers - 0.5).min()))
        wrong.append((errors, count))
        rows.append(share(f"p_i = {p}: share of wrong reads", errors, count,
                          f"smallest |answer - 1/2| {least:.3f}"))
    rows.append(share("all: share of wrong reads", *np.sum(wrong, axis=0).tolist()))
    for length in lengths:
        margin[length] = scales_for(length)
        told, bits = strings(rng, 256, length, 0.9)
        answers, right = read_last(told, bits, scales_for(length))
        found = float((np.abs(answers - 0.5) * np.where((answers > 0.5) == right, 1, -1)).min())
        first, second = (f"{x:,.0f}" for x in margin[length])
        rows.append(row(f"T = {length}: smallest margin", found, f"scales {first} and {second}"))
    return rows, {"T": list(margin), "scales": list(margin.values())}


def draw(figure, curves):
    ax = figure.subplots()
    names = "layer 1: the one before", "layer 2: the last"
    for name, scale in zip(names, zip(*curves["scales"])):
        ax.loglog(curves["T"], scale, "o-", label=name)
    ax.set(xlabel="T", ylabel="scale of the scores that it takes")
    ax.legend()


PAGE = Page(
    claim="Two layers of attention hold a flip-flop, which trained transformers get wrong at times",
    setting="weights written down; T = 512, p_i = .98 and .1 .. .998",
    published="trained transformers glitch, a 1-layer LSTM is right",
    source="Liu et al. 2023, arXiv 2306.00946",
    criteria={"no wrong read of 10^6": lambda found: (
        found["all: share of wrong reads"]["ours"] == 0
        and found["all: share of wrong reads"]["n"] >= 10 ** 6)},
    run=whole(measure),
    draw=draw,
)
