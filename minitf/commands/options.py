"""Types of options that several commands take."""
import click

from minitf.checks import require


class Sizes(click.ParamType):
    """Positive integers separated by commas."""
    name = "list"

    def convert(self, value, param, context):
        words = value.split(",")
        if value == "auto" and param.name == "m":
            return value
        if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            self.fail(f"expected positive integers as in 16,64,256, got {value!r}", param, context)
        return [int(word) for word in words]


def labels_of(table):
    """The labels of a --table, such as 0110 or 0,1,1,0."""
    labels = table.replace(",", "")
    require(labels and set(labels) <= {"0", "1"}, "table", "labels 0 and 1 as in 0110", table)
    return [int(bit) for bit in labels]
