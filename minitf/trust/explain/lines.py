"""The lines of the attention page: formula, reason, rule, and the line of ops/attention.py."""
from typing import NamedTuple


class Line(NamedTuple):
    """One array: where it stands, how it is made, why so, its rule, and the op's own expression."""
    part: str
    section: str
    kind: str
    name: str
    formula: str
    rule: str | None = None
    why: str = ""
    code: str = ""


def given(section, name, what):
    """An array that is drawn."""
    return Line("forward", section, "given", name, what)


def step(section, name, formula, rule, why="", code="", kind="step", part="forward"):
    """An array that is computed."""
    return Line(part, section, kind, name, formula, rule, why, code)


def forward_lines(o):
    """From tokens to a loss."""
    heads = range(o.heads)
    lines = [given("Projections", "x", "one row a token"), given("Projections", "W_K", "of keys"),
             given("Projections", "W_V", "of values")]
    lines += [given("Projections", f"W_Q{h}", f"of the queries of head {h}") for h in heads]
    for h in heads:
        lines.append(step("Projections", f"q{h}", f"q{h} = x W_Q{h}",
                          f"i,c: sum(a: x[i,a] * W_Q{h}[a,c])", "" if h else
                          "What each token asks. A head has questions of its own."))
    lines += [step("Projections", "k", "k = x W_K", "j,c: sum(a: x[j,a] * W_K[a,c])",
                   "What each token is found by"
                   + ("; all heads search the same keys." if o.heads > 1 else ".")),
              step("Projections", "v", "v = x W_V", "j,c: sum(a: x[j,a] * W_V[a,c])",
                   "What is read where a key is found."),
              given("Scores", "scale", "1 / sqrt(d)")]
    lines += [given("Scores", "softcap", "bound of the scores")] if o.softcap else []
    for h in heads:
        lines.append(step("Scores", f"S{h}", f"S{h} = scale q{h} k^T",
                          f"i,j: scale[] * sum(c: q{h}[i,c] * k[j,c])", "" if h else
                          "A sum of d products of entries of size 1 has size sqrt(d): 1/sqrt(d) "
                          "brings it back to size 1, so that the softmax does not start one-sided.",
                          "S = pairs(scale * q, k, S)"))
        if o.softcap:
            lines.append(step("Scores", f"Z{h}", f"Z{h} = softcap tanh(S{h} / softcap)",
                              f"i,j: softcap[] * tanh(S{h}[i,j] / softcap[])",
                              code="cap(S, softcap)"))
    return lines + weight_lines(o, heads)


def weight_lines(o, heads):
    """From scores to a loss."""
    lines = [given("Weights", "M", "1: this query (row) may meet this key (column)")]
    lines += [given("Weights", f"sink{h}", "one more score, without a value")
              for h in heads if o.sink]
    for h in heads:
        S = f"Z{h}" if o.softcap else f"S{h}"
        sink = f"exp(sink{h}[]) + " if o.sink else ""
        why = ("The mask enters here, and only here: a pair that may not meet has weight 0, and on "
               "the way back dS multiplies by that weight.")
        lines += [
            step("Weights", f"e{h}", f"e{h} = M * exp({S})", f"i,j: M[i,j] * exp({S}[i,j])",
                 kind="working"),
            step("Weights", f"sum{h}",
                 f"sum{h} = {sink.replace('[]', '')}the sum of each row of e{h}",
                 f"i: {sink}sum(j: e{h}[i,j])", kind="working"),
            step("Weights", f"A{h}", f"A{h} = e{h} / sum{h}",
                 f"i,j: sum{h}[i] > 0 ? e{h}[i,j] / sum{h}[i] : 0", "" if h else why,
                 "A, lse, unsoftmax = softmax_rows(S, sinks)")]
    lines += [step("Output", f"out{h}", f"out{h} = A{h} v", f"i,c: sum(j: A{h}[i,j] * v[j,c])",
                   "" if h else "Each query reads a mean of the values, with its own weights"
                   + (": what the sink takes is read as 0." if o.sink else "."),
                   "out = mix(kept, v)") for h in heads]
    lines += [given("Loss", f"Y{h}", f"what out{h} should be") for h in heads]
    square = " + ".join(f"sum(i: sum(c: (out{h}[i,c] - Y{h}[i,c]) ** 2))" for h in heads)
    return lines + [step("Loss", "loss", "loss = half the sum of (out - Y)^2 over all heads",
                         f": 0.5 * ({square})",
                         "The distance from the targets, squared and halved.")]


def backward_lines(o):
    """From the loss to every array above."""
    heads, lines = range(o.heads), []

    def add(section, name, formula, rule, why="", code="", kind="step"):
        lines.append(step(section, name, formula, rule, why, code, kind, "backward"))

    for h in heads:
        add("Loss", f"dout{h}", f"dout{h} = out{h} - Y{h}", f"i,c: out{h}[i,c] - Y{h}[i,c]",
            "" if h else "loss = 1/2 (out - Y)^2; its derivative in out is out - Y.")
    for h in heads:
        add("Output", f"dA{h}", f"dA{h} = dout{h} v^T",
            f"i,j: sum(c: dout{h}[i,c] * v[j,c])", "" if h else
            "out_i = sum_j A_ij v_j. So A_ij moves the loss by dout_i . v_j, met or not.",
            "dA = pairs(dout, v)")
    shared(add, heads, "Output", "v", lambda h: f"A{h}^T dout{h}",
           lambda h: f"j,c: sum(i: A{h}[i,j] * dout{h}[i,c])", "dv = gather(kept, dout)",
           "out_i = sum_j A_ij v_j. So v_j collects A_ij dout_i from every query and every head.")
    softmax_lines(o, heads, add)
    for h in heads:
        add("Scores", f"dq{h}", f"dq{h} = scale dS{h} k",
            f"i,c: scale[] * sum(j: dS{h}[i,j] * k[j,c])", "" if h else
            "S_ij = scale q_i . k_j. So q_i collects scale dS_ij k_j: the scale once more.",
            "dq = scale * mix(dS0, k)")
    shared(add, heads, "Scores", "k", lambda h: f"scale dS{h}^T q{h}",
           lambda h: f"j,c: scale[] * sum(i: dS{h}[i,j] * q{h}[i,c])",
           "dk = scale * gather(dS0, q)",
           "S_ij = scale q_i . k_j. So k_j collects scale dS_ij q_i from every query and head.")
    projection_lines(heads, add)
    return lines


def shared(add, heads, section, name, formula, rule, code, why):
    """The gradient of what all heads use: a part from each head, and their sum."""
    for h in heads:
        add(section, f"d{name}_{h}", f"d{name}_{h} = {formula(h)}", rule(h), "" if h else
            f"The part of one head. Moving {name} moves all of them: no difference stands beside a "
            "part, but one beside their sum.", code, "working")
    parts = " + ".join(f"d{name}_{h}" for h in heads)
    total = " + ".join(f"d{name}_{h}[j,c]" for h in heads)
    add(section, f"d{name}", f"d{name} = {parts}", f"j,c: {total}", why,
        "dq, dk, dv = map(sum_to, grads, stacked_shapes)")


def softmax_lines(o, heads, add):
    """Through the softmax: the Jacobian of one row written out once, then the formula for rows."""
    row, dS = o.T - 1, "dZ" if o.softcap else "dS"
    add("Weights", "J", f"J = diag(a) - a a^T for a = A0[{row}]",
        f"i,j: (i == j) * A0[{row},i] - A0[{row},i] * A0[{row},j]",
        "A_i = e_i / sum(e). So dA_i/dS_j = A_i ([i = j] - A_j): raising one score lowers the "
        "weight of all others, which is how the scores are coupled.", kind="working")
    add("Weights", "JdA", f"JdA = J dA0[{row}]", f"i: sum(j: J[i,j] * dA0[{row},j])",
        "All of the Jacobian for one row.", kind="working")
    for h in heads:
        add("Weights", f"D{h}", f"D{h} = sum(A{h} * dA{h}) of each row",
            f"i: sum(j: A{h}[i,j] * dA{h}[i,j])", kind="working")
        add("Weights", f"O{h}", f"O{h} = sum(dout{h} * out{h}) of each row",
            f"i: sum(c: dout{h}[i,c] * out{h}[i,c])", "" if h else
            "sum_j A_ij (dout_i . v_j) = dout_i . sum_j A_ij v_j = dout_i . out_i: the same "
            "numbers, without A.", kind="working")
        add("Weights", f"{dS}{h}", f"{dS}{h} = A{h} * (dA{h} - D{h})",
            f"i,j: A{h}[i,j] * (dA{h}[i,j] - D{h}[i])", "" if h else
            f"{dS}_j = sum_i dA_i A_i ([i = j] - A_j) = A_j (dA_j - sum_i A_i dA_i): J dA without "
            "J. Each row sums to 0 (with a sink: but for the sink's).",
            "dS, dsinks = unsoftmax(dA, dlse)")
        if o.sink:
            add("Weights", f"dsink{h}", f"dsink{h} = -sum(exp(sink{h}) / sum{h} * D{h})",
                f": 0 - sum(i: exp(sink{h}[]) / sum{h}[i] * D{h}[i])", "" if h else
                "A sink is a score whose value is 0, so its own dA is 0.",
                "dS, dsinks = unsoftmax(dA, dlse)")
    for h in heads:
        if o.softcap:
            add("Scores", f"dS{h}", f"dS{h} = dZ{h} / cosh(S{h} / softcap)^2",
                f"i,j: dZ{h}[i,j] / cosh(S{h}[i,j] / softcap[]) ** 2", "" if h else
                "tanh' = 1 / cosh^2.", "dS0 = uncap(dS)")


def projection_lines(heads, add):
    """Into the weights, and three times into x."""
    for h in heads:
        add("Projections", f"dW_Q{h}", f"dW_Q{h} = x^T dq{h}",
            f"a,c: sum(i: x[i,a] * dq{h}[i,c])", "" if h else
            "q_i = x_i W_Q. So entry (a, c) collects x_ia dq_ic over the tokens.")
    for n, N in ("k", "W_K"), ("v", "W_V"):
        add("Projections", f"d{N}", f"d{N} = x^T d{n}", f"a,c: sum(j: x[j,a] * d{n}[j,c])")
    add("Projections", "dx_q", "dx_q = " + " + ".join(f"dq{h} W_Q{h}^T" for h in heads),
        "i,a: " + " + ".join(f"sum(c: dq{h}[i,c] * W_Q{h}[a,c])" for h in heads),
        "The part of one use. Moving x moves all three: the difference stands beside their sum.",
        kind="working")
    for n in "kv":
        add("Projections", f"dx_{n}", f"dx_{n} = d{n} W_{n.upper()}^T",
            f"j,a: sum(c: d{n}[j,c] * W_{n.upper()}[a,c])", kind="working")
    add("Projections", "dx", "dx = dx_q + dx_k + dx_v", "i,a: dx_q[i,a] + dx_k[i,a] + dx_v[i,a]",
        "x is used three times: it asks, it is found, it is read. Each use adds its part.")
