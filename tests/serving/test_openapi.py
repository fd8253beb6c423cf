"""The API against its own description: schemathesis asks what it allows, and more."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.extras
CASES = 40  # of each operation


def test_the_description_names_every_path(serving):
    with serving() as server:
        _, _, described = server.ask("GET", "/openapi.json")
    assert set(described["paths"]) == {"/v1/adapters", "/v1/predict", "/healthz"}
    assert described["info"]["title"] == "compacter"
    statuses = set(described["paths"]["/v1/predict"]["post"]["responses"])
    assert statuses == {"200", "400", "404", "408", "413", "422", "429", "500", "503"}


@pytest.mark.parametrize(
    ("token", "local", "more"), [(None, True, {"421"}), ("secret", True, {"401"})]
)
def test_the_description_names_how_askers_are_refused(serving, token, local, more):
    with serving(token=token, local=local) as server:
        _, _, described = server.ask("GET", "/openapi.json")
    predict = described["paths"]["/v1/predict"]["post"]["responses"]
    health = described["paths"]["/healthz"]["get"]["responses"]
    assert predict.keys() & {"401", "421"} == more
    assert health.keys() == {"200", "408", "413", "503"} | (more & {"421"})


@pytest.mark.slow
def test_whatever_is_asked_is_answered_as_described(serving, tmp_path):
    pytest.importorskip(
        "schemathesis", reason='needs schemathesis: pip install "compacter[serve-test]"'
    )
    # A body that is too large is refused for its size before it is looked at.
    (tmp_path / "schemathesis.toml").write_text(
        "[checks.negative_data_rejection]\n"
        'expected-statuses = [400, 404, 408, 413, 422, 429, "5xx"]\n',
        encoding="utf-8",
    )
    with serving() as server:
        # Which adapters there are, and which fields their rows have, the description leaves open.
        program = "from schemathesis.cli import schemathesis; schemathesis()"
        command = [
            sys.executable, "-P", "-c", program, "run",
            f"http://127.0.0.1:{server.port}/openapi.json", "--no-color", "--continue-on-failure",
            "--exclude-checks", "positive_data_acceptance", "--max-examples", str(CASES),
            "--generation-deterministic",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=280)
        assert done.returncode == 0, done.stdout[-5000:]
        assert server.predict(texts=["one"])[0] == 200
