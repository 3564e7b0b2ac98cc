"""A record of a run in words: what `learn` prints."""
from minitf.lab import label_in_words


def report(record, *files, counting=0.0, verbose=False):
    """What learn prints: the task, the sample, what was found, the attention, the rule, the files,
    the verdict; with verbose the norms, too.

    counting: seconds that the fresh examples took, told where they are many."""
    if record["task"] is None:
        return table_report(record, *files, verbose=verbose)
    facts, drawn = task_facts(record), []
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
        *drawn, "", heading(record), *bars(record), "", *certified(record, verbose),
        *(f"Written    {file}" for file in files if file is not None), "", task_verdict(record)])


def certified(record, verbose):
    """The rule that the model holds and what is sure about it; with verbose every norm beside its
    radius, and what the norms certify."""
    yield f"Rule       {rule_line(record)}"
    yield f"Sure       {sure_line(record)}"
    yield from norms_of(record) if verbose else ()


def norms_of(record):
    """Every norm beside its radius, and what they certify."""
    for name, norm in record["norms"].items():
        yield f"Norm       {name} = {norm['value']:.5g} of at most {norm['radius']:.5g}"
    if not record["norms"]:
        yield "Norm       unconstrained"
    yield f"By norms   {record['certificate']['norms']['text']}"


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
LONGEST = 80            # letters of a rule that is not certain


def task_facts(record):
    """The lines of a report that speak of a drawn task."""
    found, true = (" ".join(map(str, record[key])) for key in ("support_found", "support_true"))
    redrawn = f" (draw {record['redraws'] + 1})" if record["redraws"] else ""
    names = f"log2 C({record['T']}, {record['k']}) = {record['support_bits']:.1f} bits"
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
        "accuracy": f"examples{flipped}\n           {fresh}{noisy}"}


def task_verdict(record):
    """The last line: learned, or not and why."""
    if record["learned"]:
        return "learned: the exact support, and every fresh example right"
    verdict = "not learned: the support is wrong"
    if record["support_found"] == record["support_true"]:
        verdict = "not learned: the support is exact, but some fresh examples are wrong"
    elif record["holdout_accuracy"] == 1:
        verdict += ", yet every fresh example is right"
    elif record["determined"] is False:
        verdict += "; several supports explain the sample"
    if record["model"] == "paper" and record["task"] in ("parity", "symmetric", "junta"):
        return verdict + f" (one bounded head cannot represent every such rule: {ADVICE})"
    return f"{verdict}; {record['next'] or 'more examples'} would be tried next"


def table_report(record, *files, verbose=False):
    """What learn prints of a user's own table; the last lines are the answer."""
    distinct = "all different" if record["distinct"] == record["rows"] else \
        f"{record['distinct']} of them different"
    notices = [f"           {notice}" for notice in record["notices"]]
    granted = [f"taken for granted: {'; '.join(record['notices'])}"] * bool(
        record["notices"] and not record["learned"])
    sure = [f"Sure       {record['certificate']['text']}"] if record["certain"] else []
    more = [*beside(record), *sure, *(norms_of(record) if verbose else ()),
            *(f"Written    {file}" for file in files if file is not None)]
    held = f"{record['holdout']} held out"
    if record["holdout_distinct"] < record["holdout"]:
        held += f" ({record['holdout_distinct']} different)"
    accuracy = [f"Accuracy   {record['train_accuracy']:.2%} of the training rows"]
    if record["holdout_interval"]:
        low, high = record["holdout_interval"]
        accuracy += [f"           {record['holdout_accuracy']:.2%} of the rows held out, "
                     f"95 % interval {low:.1%} to {high:.1%}"]
    return "\n".join([
        f"Task       {record['description']}; always guessing the commoner label is right "
        f"{record['chance']:.1%} of the time",
        f"Table      {record['rows']} rows, {distinct}", *notices,
        f"Sample     m = {record['m']} rows to train on, {held}; equal rows are on one side",
        f"Training   {record['method']} on the {record['model']} model, {record['steps']} steps, "
        f"{record['seconds']:.2f} s, seed {record['seed']}", *trials_of(record),
        *accuracy, "", heading(record), *bars(record), *([""] * bool(more)), *more,
        *table_verdict(record), *granted])


def trials_of(record):
    """Which models were tried, if not the first of them answered."""
    if len(record["tried"] or ()) > 1:
        for name, rule, certain, why, differs in record["tried"]:
            held = f"; the model itself says otherwise on {differs} rows" if differs else ""
            doubt = "no rule" if rule.startswith("always ") else \
                f"perhaps {rule}" if len(rule) <= LONGEST else "a long table"
            yield f"           {name}: " + (rule + held if certain else f"{doubt}; {why}")


def beside(record):
    """Columns that could stand in the place of those of the rule."""
    for name, others in (record["substitutes"] or {}).items():
        for how in ("equal", "complementary", "as good"):
            some = [other for other, kind, _ in others if kind == how]
            text = {"equal": "equal on every row", "complementary": "the complement on every row",
                    "as good": "as good in its place"}[how]
            if some:
                yield f"Beside     {name}: {', '.join(some)} ({text})"


def table_verdict(record):
    """The rule as a checked sentence, and how sure it is."""
    label = label_in_words(record)
    yield ""
    if not record["support_found"]:
        said = "no verdict, and no rule" if record["learned"] is None else "not learned: no rule"
        rare = round((1 - record["chance"]) * record["rows"])
        few = f"; only some {rare} rows have the rarer label" * (rare < 20)
        yield (f"{said} explains {label} so much better than always the same answer that chance "
               f"would not{few}")
        return
    rule, train = record["rule"], record["rule_train_accuracy"]
    if len(rule) > LONGEST and not record["certain"]:
        rule = f"a table of {', '.join(record['support_found'])}"
    counts = [share_of(train, record["m"], train == 1) + " rows to train on"]
    if record["holdout"]:
        held = share_of(record["rule_holdout_accuracy"], record["holdout"], train == 1)
        counts.append(held + " held out")
    noise = f"; the rest looks like noise: {record['label_noise']:.1%}" \
        if record["label_noise"] else ""
    sentence = f"{label} = {rule}   ({', '.join(counts)}{noise})"
    yield sentence if is_stated(record) else f"perhaps {sentence}"
    yield from verdict_of(record)


def is_stated(record):
    """Whether the rule is said without a "perhaps"."""
    return record["certain"] and record["learned"] is not False


def share_of(share, rows, counted):
    """A share of some rows: counted where all are right, else in per cent."""
    return f"{round(share * rows)} of {rows}" if counted else f"{share:.1%} of {rows}"


def verdict_of(record):
    """Learned, not learned, or no verdict, and why."""
    same = [name for name, others in record["substitutes"].items()
            if any(kind != "as good" for _, kind, _ in others)]
    if record["learned"] is None:
        told = (f"{record['holdout_distinct']} different rows are held out, too few to tell a rule "
                "from memory (10 would do)")
        if record["distinct"] == 2 ** record["T"]:
            told = (f"the table has all {record['distinct']} rows that {record['T']} columns can "
                    "have: none is left to foretell")
        yield f"no verdict: {told}"
    elif not record["learned"]:
        yield ("not learned: the rows held out do not show it better than always the same answer"
               + rows_to_show(record))
    elif not record["certain"]:
        yield "better than chance, but which columns decide is not certain"
    elif same:
        yield f"learned, up to the columns that could stand in the place of {', '.join(same)}"
    else:
        yield "learned: better than chance, and no other rule near explains the rows as well"
    if not record["certain"]:
        wrong = record["why"].startswith(("it errs", "its errors"))
        yield f"in doubt: {record['why']}" + ("" if wrong else "; more rows would tell")
    if record["holdout"] and record["holdout_interval"][0] > record["rule_holdout_accuracy"]:
        share = record["holdout_accuracy"]
        yield (f"the model itself is right on {share:.1%} of the rows held out: more decides than "
               f"this rule of {len(record['support_found'])} columns says")


def rows_to_show(record):
    """How many rows held out would put the Wilson interval above chance, if no error were among
    them: n / (n + z^2) > chance, z = 1.96."""
    chance, held = record["chance"], record["holdout"]
    n = 0 if chance == 1 else int(1.96 ** 2 * chance / (1 - chance)) + 1
    return f" ({n} without an error would)" if n > held else ""


def heading(record):
    """What the bars show."""
    if not record["heads"]:
        return "How often a flipped bit flips the answer"
    more = f", {record['heads']} heads weighed by how much of the logit they move"
    return "Attention of the [CLS] query" + (more if record["heads"] > 1 else "")


def bars(record, width=40):
    """The strongest positions and their attention as bars, every found one among them; the rest in
    one line."""
    names = record["names"] or range(record["T"])
    found = set(record["support_found"])
    most = record["attention_top"][0][1] or 1.0
    shown = [(names[t] in found or i < 6, str(names[t]), a)
             for i, (t, a) in enumerate(record["attention_top"])]
    top = [(name, a, "#" * round(width * a / most)) for show, name, a in shown if show]
    top = [line for line in top if line[2] or line[0] in map(str, found)]
    column = max(5, *(len(name) for name, _, _ in top))
    if record["heads"]:                         # influences do not add up to 1
        rest = max(0.0, 1 - sum(a for _, a, _ in top))
        left = record["T"] - len(top)
        others = f"{left} position{'s' * (left > 1)} and [CLS]" if left else "[CLS]"
        top.append(("other", rest, f"({others})"))
    return [f"  {name:>{column}}  {a:6.1%}  {bar}".rstrip() for name, a, bar in top]
