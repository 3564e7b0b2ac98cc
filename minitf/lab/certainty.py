"""What a run says about the error of its model: the certificate of `certify`, for a record."""
from minitf.theory import certify

REDRAWN = "nothing: a sample drawn until one support explains it is not an independent one"


def certainty(result, X, y, *, k=None, train_again=None, rows=None, logits=None, without=None,
              examples="training examples alone"):
    """The certificate as a dict of JSON values: `text` says it in words, `error` is the number.

    rows: a function that gives rows without labels, for a model that is no rule on every input.
    without: why there is none, in words; the norms are still there. examples: what the sentence
    calls X.
    """
    rows = rows() if rows is not None and result.rule() is None else None
    sure = certify(result, X, y, k=k, train_again=train_again, rows=rows, logits=logits,
                   prefix=not without)
    parts = {name: None if part is None or without else part._asdict()
             for name, part in (("rule", sure.rule), ("prefix", sure.prefix),
                                ("differs", sure.differs))}
    return {"error": None if without else sure.error, "confidence": 1 - sure.delta,
            "text": without or sure.say(examples), **parts, "nats": sure.nats,
            "norms": sure.norms._asdict()}


def holds(result, rows=None):
    """The rule that a model holds, in words, and whether it is that on every input: two entries of
    a record."""
    rule = result.rule()
    if rule is None and rows is not None:
        rule = result.rule(rows())
    if rule is None:
        return {"rule": None, "rule_exact": None}
    names = {t: f"bit {t}" for t in rule.support}
    return {"rule": rule.say(names), "rule_exact": rule.exact}
