"""A page computed: its lines run, differences beside the gradients, a step downhill."""
import numpy as np

from minitf.trust.explain.layout import entry
from minitf.trust.explain.rules import key, run

NUDGE = 1e-5            # how far an entry is moved to either side for a difference
RATE = 0.01             # of the step of gradient descent at the end


def worked(lines, given, held=None):
    """All values, line by line; the value `held` is kept as given. A gradient has the shape of its
    array."""
    values = dict(given)
    for line in lines:
        if line.rule and line.name != held:
            name = key(line.name)
            shape = np.shape(values.get(name, values.get(name[1:], 0)))
            values[name] = run(line.rule, values, shape)
    return values


def differences(lines, values, name):
    """(loss(x + NUDGE) - loss(x - NUDGE)) / (2 NUDGE) in every entry x of one array; what follows
    from it is run again."""
    forward = [line for line in lines if line.part == "forward"]
    later = [line.name for line in forward]
    forward = forward[later.index(name) + 1:] if name in later else forward
    slopes = np.empty(np.shape(values[name]))
    for i in np.ndindex(slopes.shape):
        losses, moved = [], []
        for sign in (1, -1):
            x = np.array(values[name], float)
            x[i] += sign * NUDGE
            moved.append(x[i])
            losses.append(worked(forward, values | {name: x}, held=name)["loss"])
        slopes[i] = (losses[0] - losses[1]) / (moved[0] - moved[1])
    return slopes


def written(lines, values):
    """The arrays of a record."""
    return [entry(line.part, line.section, line.kind, line.name, line.formula,
                  values[key(line.name)], line.why,
                  differences(lines, values, line.name[1:])
                  if line.part == "backward" and line.kind == "step" else None,
                  line.rule, line.code) for line in lines]


def stepped(lines, values, names):
    """A step of gradient descent: the loss that the gradients predict, and what is seen."""
    moved = {name: values[name] - RATE * values["d" + name] for name in names}
    square = sum(float((values["d" + name] ** 2).sum()) for name in names)
    after = worked([line for line in lines if line.part == "forward"], values | moved)["loss"]
    loss = float(values["loss"])
    return {"loss": loss, "nudge": NUDGE, "rate": RATE, "parameters": list(names),
            "loss_predicted": loss - RATE * square, "loss_after": float(after)}
