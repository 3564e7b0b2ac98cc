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
    first T columns.
    """
    with bad_input():
        result = load(model)
        table = read_table(data, columns=result.header.get("names") or result.model.T)
        rows = list(zip(result.predict(table.X).tolist(), result.predict_proba(table.X).tolist()))
    if json:
        rows = [{"row": i, "prediction": label, "probability": p}
                for i, (label, p) in enumerate(rows, 1)]
        click.echo(as_json({"model": model, "data": data, "label": result.header.get("label"),
                            "rows": rows}))
    else:
        lines = [f"{i},{label},{p:.6g}" for i, (label, p) in enumerate(rows, 1)]
        click.echo("\n".join(["row,prediction,probability", *lines]))
