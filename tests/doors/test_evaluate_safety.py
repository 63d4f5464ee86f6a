"""`hookflash eval safety`: the tables, the figures as JSON, and the exit code."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookflash.cli.evaluate import app


def test_the_figures_as_json_and_the_check(fresh_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_DATA_DIR", str(fresh_directory))
    done = CliRunner().invoke(app, ["safety", "--json", "--check", "0.999"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["part"] == "test"
    assert found["at_most_one_percent"]["both"] > 0.94
    can, cannot = (found["abstention"][name] for name in list(found["abstention"])[::2])
    assert can["hits"] / can["of"] >= 0.8
    assert cannot["hits"] / cannot["of"] >= 0.85
    assert found["calibration_error"] < 0.12
