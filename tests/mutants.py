"""Wrong kernels, each one edit away from the plain formula, and the golden cases that catch them.

    python tests/mutants.py                     the table, as in minitf/trust/README.md
    kernel = mutant("sink forgotten")           a kernel for judge

A mutant is the source of `plain_attention` with a piece of its text replaced: what is wrong can be
read off the list. Every one must be caught by some case, and no case may catch the formula itself.
"""
import inspect

import numpy as np

from minitf.trust.frameworks import pairs, textbook
from minitf.trust.golden import golden_cases
from minitf.trust.verdict import judge, rounded_to

PARTS = (textbook.plain_attention, textbook.plain_scores, textbook.plain_weights,
         pairs.explicit, pairs.past, pairs.reach)
CAPPED = "S = S if softcap is None else softcap * np.tanh(S / softcap)\n"
SLOPE = "slope = 1 if softcap is None else 1 - (S / softcap) ** 2\n"
BIASED = "    S = S if bias is None else S + bias\n"
BACKWARD = "    dA = dout @ V.swapaxes(-1, -2) * keep\n"
ANEW = "    S = plain_scores(scale * (q @ K.swapaxes(-1, -2)), softcap, bias, {})[0]\n" \
    "    A = plain_weights(S, sinks)[0]\n" + BACKWARD
NO_IDS = 'explicit({"q": q, "k": k}, {"mask": given, "causal": causal, "window": window})'
MUTANTS = {             # name: pieces of text and what stands in their place
    "tile for repeat": [("np.repeat(x, shared, axis=-3)", "np.concatenate([x] * shared, axis=-3)")],
    "gradients of shared heads not summed": [(".sum(axis=-3)", "[..., 0, :, :]")],
    "mean for sum over shared heads": [(".sum(axis=-3)", ".mean(axis=-3)")],
    "broadcast axes not summed": [("sum_to(grads[f], x.shape)", "grads[f]")],
    "default scale 1/d": [("1 / math.sqrt(q.shape[-1])", "1 / q.shape[-1]")],
    "scale 0 taken for none": [("if scale is None else scale\n", "if not scale else scale\n")],
    "scale twice": [("plain_scores(scale * (q", "plain_scores(scale * scale * (q")],
    "scale without its sign": [("plain_scores(scale * (q", "plain_scores(abs(scale) * (q")],
    "scale forgotten in dq": [('"dq": scale * (', '"dq": (')],
    "scale forgotten in dk": [('"dk": scale * (', '"dk": (')],
    "softcap forgotten": [(CAPPED, "S = S\n")],
    "softcap after mask": [(CAPPED, "pass\n"), (SLOPE, "pass\n"),
                           ("return S, slope", CAPPED + "    " + SLOPE + "    return S, slope")],
    "softcap's slope forgotten": [(SLOPE, "slope = 1\n")],
    "softcap's slope by the wrong factor": [("(S / softcap) ** 2", "(S / softcap ** 2) ** 2")],
    "bias forgotten": [(BIASED, "")],
    "bias before the softcap": [(BIASED, ""), (CAPPED, BIASED.strip() + "\n    " + CAPPED)],
    "bias scaled": [("softcap, bias, mask)\n    A, A_sink",
                     "softcap, None if bias is None else scale * bias, mask)\n    A, A_sink")],
    "dbias unsummed": [("sum_to(grads[f], x.shape) for",
                        'grads[f] if f == "dbias" else sum_to(grads[f], x.shape) for')],
    "dbias behind the softcap's slope": [('"dbias": dS,', '"dbias": dS * slope,')],
    "sink forgotten": [("= plain_weights(S, sinks)", "= plain_weights(S, None)")],
    "sink scaled": [("= plain_weights(S, sinks)",
                     "= plain_weights(S, None if sinks is None else scale * sinks)")],
    "sink dropped in the backward": [(", A_sink * (dlse", ", 0 * (dlse")],
    "dsinks of the wrong sign": [(", A_sink * (dlse", ", -A_sink * (dlse")],
    "dlse ignored": [("(dA - mean + dlse)", "(dA - mean)")],
    "dlse ignored in dsinks": [("(dlse - mean)", "(0 - mean)")],
    "lse in base 2": [('{"lse": log_sum[..., 0]}', '{"lse": log_sum[..., 0] / math.log(2)}')],
    "lse without the maximum": [("log_sum = top + np.log", "log_sum = np.log")],
    "lse without the sink": [("np.log(total,", "np.log(total - rest,")],
    "mean of dA forgotten": [("(dA - mean + dlse)", "(dA + dlse)")],
    "mean of dA from the wrong row": [("(dA - mean + dlse)",
                                       "(dA - np.roll(mean, 1, axis=-2) + dlse)")],
    "dropout unscaled": [("else keep\n", "else keep > 0\n")],
    "dropout renormalised": [("out = (A * keep) @ V", "P = A * keep\n    out = P @ V if np.ndim(keep) == 0 "
                              "else P / P.sum(-1)[..., None] @ V")],
    "dropout forgotten in dA": [(BACKWARD, BACKWARD.replace(" * keep", ""))],
    "dropout forgotten in dv": [('"dv": (A * keep)', '"dv": A')],
    "causal one ahead": [("distance <= 0", "distance <= 1")],
    "causal without the diagonal": [("distance <= 0", "distance < 0")],
    "causal in the other corner": [('"bottom-right" in (', '"bottom-right" not in (')],
    "window one more to the left": [("distance >= -left", "distance >= -left - 1")],
    "window without its left end": [("distance >= -left", "distance > -left")],
    "window one more to the right": [("distance <= right", "distance <= right + 1")],
    "window without its right end": [("distance <= right", "distance < right")],
    "segments ignored": [("return allowed\n",
                          "return reach(options['causal'], options.get('window'), "
                          "q.shape[-2], k.shape[-2])\n", "def past")],
    "segments ignored in the backward": [("    mask = explicit(",
                                          "    given = mask\n    mask = explicit("),
                                         (BACKWARD, ANEW.format(NO_IDS))],
    "mask forgotten in the backward": [(BACKWARD, ANEW.format("None"))],
    "mask inverted": [("np.where(mask, S, -np.inf)", "np.where(mask, -np.inf, S)")],
    "-1e9 for -inf": [("np.where(mask, S, -np.inf)", "np.where(mask, S, -1e9)")],
    "additive mask forgotten": [("S + mask.astype(S.dtype)",
                                 "np.where(mask > -np.inf, S, -np.inf)")],
    "empty row NaN": [("total = np.where(total > 0, total, 1)", "total = total")],
    "maximum not subtracted": [("top = np.maximum(top, -3e38)", "top = np.zeros_like(top)")],
    "softmax in float32": [("np.exp(S - top)", "np.exp((S - top).astype(np.float32))")],
    "dk in the wrong order": [("(dS * slope).swapaxes(-1, -2) @ q",
                               "(dS * slope).swapaxes(-1, -2)[..., ::-1, :] @ q")],
    "dq of the values": [('"dq": scale * ((dS * slope) @ K)', '"dq": scale * ((dA * slope) @ K)')],
}


def mutant(name, dtype="float64"):
    """A wrong kernel by its name; name None: the formula as it is. Below float64 it computes in
    float32 and rounds what it returns."""
    names = vars(pairs) | vars(textbook)
    text = "".join(inspect.getsource(part) for part in PARTS)
    for old, new, *after in MUTANTS[name] if name else ():
        start = text.index(after[0]) if after else 0
        if text.count(old) != 1 and not after:
            raise ValueError(f"name: expected a text that occurs once, got {old!r}")
        text = text[:start] + text[start:].replace(old, new, 1)
    exec(compile(text, f"<mutant: {name}>", "exec"), names)

    def kernel(**given):
        if dtype != "float64":
            given = {key: x.astype(np.float32) if getattr(x, "dtype", None) == np.float16 else x
                     for key, x in given.items()}
        with np.errstate(all="ignore"):
            found = names["plain_attention"](**given)
        return found if dtype == "float64" else {
            key: rounded_to(np.asarray(x, np.float64), dtype) for key, x in found.items()}

    return kernel


def killers(name, dtype="float64", cases=None):
    """The names of the golden cases that catch a mutant."""
    kernel = mutant(name, dtype)
    return [case.name for case in cases or golden_cases("attention")
            if not passes(case, kernel, dtype)]


def passes(case, kernel, dtype):
    """Whether a kernel agrees; one that raises does not."""
    try:
        return bool(judge(case, kernel, dtype=dtype))
    except (ValueError, IndexError, TypeError):
        return False


def table():
    """The lines of the table: mutant, how many cases catch it in float64 and bfloat16, the
    first."""
    cases = golden_cases("attention")
    yield f"| wrong kernel | caught by, of {len(cases)} | in bfloat16 | first |"
    yield "|---|---|---|---|"
    for name in MUTANTS:
        found, low = (killers(name, dtype, cases) for dtype in ("float64", "bfloat16"))
        yield f"| {name} | {len(found)} | {len(low)} | `{found[0] if found else 'NONE'}` |"


if __name__ == "__main__":
    for line in table():
        print(line)
