"""The OpenAPI document and the service agree, whatever schemathesis makes up."""

import re
import subprocess
import sys

import pytest

from tests.service.running import running, write_bundle

EXAMPLES, EXAMPLES_LONG = 20, 400
KEY = "0123456789-admin"
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 413, 415, 422]
"""


@pytest.fixture
def schemathesis(tmp_path, pytestconfig):
    """Give the way to try a service with every check but one: random bytes are no film, so most are refused."""
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    examples = EXAMPLES_LONG if pytestconfig.getoption("--long") else EXAMPLES

    def run(service, *flags):
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{service.port}/openapi.json"]
        command += ["--checks=all", "--exclude-checks=positive_data_acceptance", "--continue-on-failure", "--seed=0"]
        command += [f"--max-examples={examples}", "--generation-database=none", "--no-color", *flags]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("auth", ["off", "on"])
def test_schemathesis_finds_nothing(schemathesis, tmp_path, auth):
    settings = {"FRACTURE_AUTH": auth, "FRACTURE_API_KEYS": f"admin:{KEY}", "FRACTURE_RATE_PER_MINUTE": "1000000"}
    settings["FRACTURE_FEEDBACK"] = str(tmp_path / "feedback.sqlite")
    headers = {"X-API-Key": KEY} if auth == "on" else {}
    with running(write_bundle(tmp_path / "bundle"), headers=headers, **settings) as service:
        found = schemathesis(service, *(f"--header={name}: {value}" for name, value in headers.items()))
        assert found.returncode == 0, found.stdout
        assert re.search(r"(\d+) selected / \1 total", found.stdout), found.stdout
        service.is_as_before()
