"""Forecasts beside runs: own data are trained as they are forecast, in small."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CASE = {"forecast_s": 40.0, "s": 50.0, "forecast_bytes": 400_000_000, "bytes": 300_000_000}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "forecast.py")))
    sys.modules.pop("ending", None)


def test_ratios_are_measured_over_forecast(bench, capsys):
    bench.show({"one": CASE})
    assert capsys.readouterr().out.split()[-7:] == [
        "50.0", "1.25", "400.00", "MB", "300.00", "MB", "0.75",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_of_own_data_stands_beside_its_forecast(bench, tmp_path):
    (recipe,) = bench.own_data(tmp_path)
    words = ["train", "--recipe", recipe, "--output", str(tmp_path / "run"), "--device", "cpu"]
    found = bench.both([*words, "--set", "train.epochs=1"], tmp_path / "cache")
    assert min(found.values()) > 0
    assert json.dumps(found)
    assert found["forecast_bytes"] > 200_000_000  # torch and keras are in it, as in the run's
