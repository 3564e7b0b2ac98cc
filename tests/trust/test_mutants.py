"""Every wrong kernel on the list is caught, the right one is not, and the published table is the command's."""
import re

import mutants
import pytest
from helpers import ROOT, attention_cases

README = (ROOT / "minitf" / "trust" / "README.md").read_text(encoding="utf-8")
CASES = attention_cases()
ROUNDING = {"softmax in float32"}               # which bfloat16 does not show
PUBLISHED = dict(re.findall(r"^\| ([^|]+) \| (\d+ \| \d+ \| `[\w.-]+`) \|$", README, flags=re.M))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_the_formula_itself_passes_every_case(dtype):
    assert mutants.killers(None, dtype, CASES) == []


def test_there_are_thirty_and_the_table_names_them_all():
    assert len(mutants.MUTANTS) >= 30 and set(PUBLISHED) == set(mutants.MUTANTS)


@pytest.mark.parametrize("name", mutants.MUTANTS)
@pytest.mark.slow
def test_a_mutant_is_caught_as_the_table_says(name):
    found, low = (mutants.killers(name, dtype, CASES) for dtype in ("float64", "bfloat16"))
    assert PUBLISHED[name] == f"{len(found)} | {len(low)} | `{found[0]}`"
    assert low or name in ROUNDING


def test_an_edit_that_does_not_fit_is_an_error(monkeypatch):
    monkeypatch.setitem(mutants.MUTANTS, "nothing", [("no such text", "")])
    with pytest.raises(ValueError, match="a text that occurs once"):
        mutants.mutant("nothing")
