"""A record of a run in words: what `learn` prints."""


def report(record, *files, counting=0.0, verbose=False):
    """What learn prints: the task, the sample, what was found, the attention, the rule and what is
    sure about it, the files, the verdict; verbose: the norms too.

    counting: seconds that the fresh examples took, told where they are many."""
    facts = table_facts(record) if record["task"] is None else task_facts(record)
    norms = [f"Norm       {name} = {norm['value']:.5g} of at most {norm['radius']:.5g}"
             for name, norm in record["norms"].items()] or ["Norm       unconstrained"]
    norms += [f"By norms   {record['certificate']['norms']['text']}"]
    weighed, drawn = "", []
    if record["heads"] > 1:
        weighed = f", {record['heads']} heads weighed by how much of the logit they move"
    if counting > 1:
        bits = f"{record['holdout'] * record['T']:.1e}"
        drawn = [f"           {bits} bits of them drawn and read in {counting:.1f} s"]
    return "\n".join([
        f"Task       {record['description']}; always guessing the commoner label is right "
        f"{record['chance']:.1%} of the time",
        facts["sample"],
        f"Training   {record['method']} on the {record['model']} model, {record['steps']} steps, "
        f"{record['seconds']:.2f} s, seed {record['seed']}",
        "", facts["support"],
        f"Accuracy   {record['train_accuracy']:.2%} of the training {facts['accuracy']}",
        *drawn, "",
        f"Attention of the [CLS] query{weighed}" if record["heads"]
        else "How often a flipped bit flips the answer", *bars(record), "",
        f"Rule       {rule_line(record)}", f"Sure       {sure_line(record)}",
        *(norms if verbose else []),
        *(f"Written    {file}" for file in files if file is not None), "", facts["verdict"]])


def rule_line(record):
    """The rule that the model holds, and where."""
    if record["rule"] is None:
        return "none of few bits decides on every input"
    where = f"on every one of 2^{record['T']} inputs" if record["rule_exact"] else (
        "read off the model")
    return f"{record['rule']} ({where})"


def sure_line(record):
    """What is certain about the error; of noisy labels, that it counts the noise."""
    noise = record["noise"]
    against = f" (against labels of which {100 * noise:.3g} % are flipped)" if noise else ""
    return record["certificate"]["text"] + against


DETERMINED = {True: "one support alone explains them", False: "several supports explain them",
              None: "not checked for other supports that explain them"}
ADVICE = "try --method adam --model scalar"


def task_facts(record):
    """The lines of a report that speak of a drawn task."""
    found, true = (" ".join(map(str, record[key])) for key in ("support_found", "support_true"))
    redrawn = f" (draw {record['redraws'] + 1})" if record["redraws"] else ""
    names = f"log2 C({record['T']}, {record['k']}) = {record['information_limit']:.1f} bits"
    flipped, noisy = "", ""
    if record["noise"]:
        flipped = f", {100 * record['noise']:.3g}% of their labels flipped"
        noisy = f" with clean labels, {record['noisy_holdout_accuracy']:.2%} with noise"
    fresh = f"{record['holdout_accuracy']:.2%} of {record['holdout']} fresh examples"
    return {
        "sample": f"Sample     m = {record['m']} examples{redrawn}, "
                  f"{DETERMINED[record['determined']]}; {names} name a support",
        "support": f"Support    found {found}   true {true}   "
                   f"{'exact' if found == true else 'WRONG'}",
        "accuracy": f"examples{flipped}\n           {fresh}{noisy}",
        "verdict": task_verdict(record)}


def task_verdict(record):
    """The last line: learned, or not and why."""
    if record["learned"]:
        return "learned: the exact support, and every fresh example right"
    if record["support_found"] == record["support_true"]:
        return "not learned: the support is exact, but some fresh examples are wrong"
    verdict = "not learned: the support is wrong"
    if record["holdout_accuracy"] == 1:
        verdict += ", yet every fresh example is right"
    elif record["determined"] is False:
        verdict += "; several supports explain the sample"
    elif record["model"] == "paper" and record["task"] in ("parity", "symmetric", "junta"):
        verdict += f" (one bounded head cannot represent every such rule: {ADVICE})"
    return verdict + (f"; {record['next']} would be tried next" if record["next"] else "")


def table_facts(record):
    """The lines of a report that speak of a user's own table."""
    low, high = record["holdout_interval"]
    one_sign = f" (one bounded head reads all its bits with one sign: {ADVICE})"
    advice = one_sign if record["model"] == "paper" else ""
    return {
        "sample": f"Sample     m = {record['m']} rows to train on, {record['holdout']} held out",
        "support": "Support    found " + " ".join(record["support_found"]),
        "accuracy": f"rows\n           {record['holdout_accuracy']:.2%} of the rows held out, "
                    f"95 % interval {low:.1%} to {high:.1%}",
        "verdict": "learned: better than chance" if record["learned"] else
                   f"not learned: not better than chance{advice}"}


def bars(record, width=40):
    """The strongest positions and their attention as bars, every found one among them; the rest in
    one line."""
    names = record["names"] or range(record["T"])
    most, found = record["attention_top"][0][1] or 1.0, len(record["support_found"])
    top = [(str(names[t]), a, "#" * round(width * a / most))
           for t, a in record["attention_top"][:max(6, found)]]
    top = [line for i, line in enumerate(top) if line[2] or i < found]
    column = max(5, *(len(name) for name, _, _ in top))
    if not record["heads"]:                     # influences do not add up to 1
        return [f"  {name:>{column}}  {a:6.1%}  {bar}".rstrip() for name, a, bar in top]
    rest = max(0.0, 1 - sum(a for _, a, _ in top))
    others = f"{record['T'] - len(top)} positions and [CLS]" if record["T"] > len(top) else "[CLS]"
    return [f"  {name:>{column}}  {a:6.1%}  {bar}".rstrip()
            for name, a, bar in [*top, ("other", rest, f"({others})")]]
