"""construct: explicit weights that compute a sparse Boolean function, checked on every pattern of
its bits."""
import click

from minitf.checks import integer, require
from minitf.commands.options import labels_of
from minitf.commands.shell import bad_input, check_outputs, need, outputs
from minitf.files import VERSION, as_json
from minitf.lab import streams
from minitf.tasks import KINDS, sample_task
from minitf.theory import FORMS, MOST_BITS, MOST_K, as_result, verify
from minitf.theory import construct as weights_of


@click.command(epilog="""\b
Examples:
  minitf construct --task parity --k 4 --T 1024 --eps 1e-3
  minitf construct --task junta --k 3 --table 01101000 --save model.npz --plot model.png""")
@click.option("--task", type=click.Choice(KINDS), default="and", show_default=True,
              help="Rule of the k bits.")
@click.option("--k", type=int, default=2, show_default=True,
              help=f"Number of bits of the rule, at most {MOST_K}.")
@click.option("--T", "T", type=int, default=64, show_default=True,
              help="Number of bits, the context length.")
@click.option("--eps", type=float, default=0.05, show_default=True,
              help="The error allowed, 1e-9 to below 0.5.")
@click.option("--level", type=int, help="The least count of ones, for --task threshold.")
@click.option("--table",
              help="The rule, as 0110: k+1 labels by count for --task symmetric, 2^k for junta."
              "  [default: random]")
@click.option("--seed", type=int, default=0, show_default=True,
              help="Draws the support, a random table, other bits.")
@click.option("--save", type=click.Path(),
              help="Write the model to this .npz file, which `predict` reads.")
@click.option("--plot", type=click.Path(),
              help="Draw attention and readout to this file (needs the plot extra).")
@click.option("--json", is_flag=True, help="Print one JSON object instead of the report.")
def construct(task, k, T, eps, level, table, seed, save, plot, json):
    """Write down weights that compute a sparse Boolean function.

    A head of softmax attention, its score vector a sum of k position vectors, averages the k bits
    of the rule; ReLU units read the label off the average. Prints the norms used beside those that
    suffice, and the largest error over all 2^k patterns of the bits, against all zeros, all ones,
    random and searched choices of the other T-k.

    Exit code 0: the error is at most what was promised, 1: it is not, 2: bad input.
    """
    figures = None if plot is None else need("minitf.lab.figures.single", "matplotlib", "plot")
    with bad_input():
        check_outputs(save=save, plot=plot)
        require(integer("k", k, 1) <= MOST_K, "k", f"at most {MOST_K}", k)
        require(T <= MOST_BITS >> k, "T", f"at most {MOST_BITS >> k} with k = {k}", T)
        task_rng, rng = streams(seed, 2)
        drawn = sample_task(task_rng, task, T, k, level=level, table=None
                            if table is None else labels_of(table))
        params, model, certificate = weights_of(drawn, eps)
    result = as_result(params, model, drawn)
    record = record_of(drawn, result, certificate, verify(params, model, drawn, rng), seed)
    with outputs():
        if figures is not None:
            figures.construction(record, result.strength(), certificate.readout, plot)
        if save is not None:
            result.save(save, seed=seed)
    click.echo(as_json(record) if json else report(record, save, plot))
    return 0 if record["holds"] else 1


def record_of(task, result, certificate, verified, seed):
    """What construct says, as JSON values."""
    attention, w = result.strength(), certificate.weights
    code = "count of ones" if w.max() == 1 else "index in the table"
    code = "pattern met" if certificate.form == "heads" else code
    return {
        "task": task.kind, "description": str(task), "T": task.T, "k": task.k,
        "table": list(task.table),
        "support": list(task.support), "eps": certificate.eps, "form": certificate.form,
        "code": code, "weights": w.tolist(),
        "beta": certificate.beta, "leak": certificate.leak, "gap": certificate.gap,
        "attention": [float(attention[i]) for i in task.support],
        "norms": {name: dict(zip(("value", "bound", "formula"), norm))
                  for name, norm in certificate.norms.items()},
        "d": result.model.d, "units": result.model.d_v, "heads": result.model.H,
        "promised": certificate.promised, "rounding": certificate.rounding,
        "measured": verified.error,
        "patterns": verified.patterns, "rests": verified.rests,
        "holds": certificate.holds(verified.error),
        "seed": seed, "version": VERSION}


def report(record, *files):
    """What construct prints."""
    T, k = record["T"], record["k"]
    column = max(map(len, record["norms"]))
    return "\n".join([
        f"Task       {record['description']}, at positions {' '.join(map(str, record['support']))}",
        f"Model      one head, width {record['d']}, {record['units']} ReLU "
        f"unit{'s' * (record['units'] > 1)}; "
        "logit = 2 f - 1",
        "Attention  " + "  ".join(f"{i}: {a:.2%}"
                                  for i, a in zip(record["support"], record["attention"])),
        f"           temperature beta = {record['beta']:.6g}, leak lam = {record['leak']:.6g}; "
        f"any head that leaks no more needs a score gap of {record['gap']:.6g}",
        f"Code       {record['code']}, 0 to W = {sum(record['weights']):g}; the weights of the "
        f"bits are at most "
        f"w = {max(record['weights']):g}",
        f"Readout    {record['form']}: {FORMS[record['form']]}", "",
        "Norms      used, and what suffices",
        *(f"  {name:{column}}  {norm['value']:10.5g}  of at most {norm['bound']:10.5g} = "
          f"{norm['formula']}"
          for name, norm in record["norms"].items()), "",
        f"Error      promised at most {record['promised']:g} (and {record['rounding']:.1e} of "
        f"rounding)",
        f"           measured {record['measured']:.6g} over all {record['patterns']} patterns of "
        f"the {k} bits, "
        f"each with {record['rests']} choices of the other {T - k}",
        *(f"Written    {file}" for file in files if file is not None), "",
        "represented: the error is what was promised"
        if record["holds"] else "NOT represented: the error is larger"])
