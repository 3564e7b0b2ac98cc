"""predict: a saved model on new rows."""
import click

from minitf.commands.shell import bad_input
from minitf.files import as_json
from minitf.lab import read_table
from minitf.learn import load


@click.command(epilog="""\b
Example:
  minitf predict model.npz --data data/examples/feature_flags.csv""")
@click.argument("model", type=click.Path())
@click.option("--data", type=click.Path(), required=True,
              help="A table (.csv, .tsv, .gz, .npz, .npy), or - for stdin.")
@click.option("--json", is_flag=True, help="Print one JSON object instead of CSV lines.")
def predict(model, data, json):
    """Apply a saved MODEL to new rows. Prints row, prediction and probability.

    The columns that the model was trained on are found by name; a model of a drawn task takes the
    first T columns. Where the rule that was read off the model says something else, its answer
    stands beside.
    """
    with bad_input():
        result = load(model)
        table = read_table(data, columns=result.header.get("names") or result.T)
        labels, shares = result.predict(table.X).tolist(), result.predict_proba(table.X).tolist()
        rule = answers(result.header.get("rule"), table.X)
    keys = ["row", "prediction", "probability"]
    rows = [[i, *pair] for i, pair in enumerate(zip(labels, shares), 1)]
    if rule is not None and rule != labels:
        keys.append("rule")
        rows = [[*row, None if label == row[1] else label] for row, label in zip(rows, rule)]
    if json:
        header = {name: result.header.get(name) for name in ("label", "positive")}
        header["rule"] = (result.header.get("rule") or {}).get("text")
        rows = [dict(zip(keys, row)) for row in rows]
        click.echo(as_json({"model": model, "data": data, **header, "rows": rows}))
    else:
        lines = [",".join([str(i), str(label), f"{p:.6g}", *map(str, more)]).replace("None", "")
                 for i, label, p, *more in rows]
        click.echo("\n".join([",".join(keys), *lines]))


def answers(rule, X):
    """The labels of a rule {columns, table} on rows, or None without one."""
    if rule is None:
        return None
    number = sum(X[:, t].astype(int) << j for j, t in enumerate(rule["columns"]))
    return [rule["table"][i] for i in (number + 0 * X[:, 0].astype(int)).tolist()]
