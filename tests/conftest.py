"""Fixtures that every room's tests share."""
import warnings

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run("learn", "--k", 2) -> (exit code, stdout, stderr): in an empty directory, warnings are errors."""
    from minitf import cli
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("error")
            cli.main([str(word) for word in words])
        return end.value.code or 0, *capsys.readouterr()

    return run
