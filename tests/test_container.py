"""The container, built and run as the head of the Dockerfile says, where an engine has its base image."""

import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from bench.processes import free_port

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PYTHON = "/opt/fracture/bin/python"
IMAGE = NAME = "fracture-under-test"
KEY = {"X-API-Key": "an-operators-own-key"}
PATIENCE_S = 120

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def done(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def engine():
    [base] = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    engines = [name for name in ("docker", "podman") if shutil.which(name)]
    held = [name for name in engines if done(name, "image", "inspect", base).returncode == 0]
    if not held:
        pytest.skip(f"expected docker or podman with the image {base}, found {', '.join(engines) or 'neither'}")
    built = done(held[0], "build", "--pull=false", *["--format=docker"] * (held[0] == "podman"), "-t", IMAGE, ".")
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    yield held[0]
    done(held[0], "rmi", "--force", IMAGE)


@pytest.fixture(scope="module")
def address(engine):
    """Run it with corrections in a volume; it has to end well when it is told to stop."""
    [command] = re.findall(r"docker run (.*?) fracture\n", DOCKERFILE, re.DOTALL)
    port = free_port()
    ours = {"FRACTURE_API_KEYS=viewer:at-least-16-characters": f"FRACTURE_API_KEYS=operator:{KEY['X-API-Key']}"}
    ours["8000:8000"] = f"127.0.0.1:{port}:8000"
    flags = [ours.get(word, word) for word in shlex.split(command.replace("\\\n#", ""))]
    kept = ["-e", "FRACTURE_FEEDBACK=/var/lib/fracture/corrections.db", "-v", f"{NAME}:/var/lib/fracture"]
    process = subprocess.Popen([engine, "run", "--name", NAME, *flags, *kept, IMAGE])
    try:
        yield f"http://127.0.0.1:{port}"
        assert done(engine, "stop", NAME).returncode == 0
        assert process.wait(PATIENCE_S) == 0
    finally:
        done(engine, "rm", "--force", NAME)
        done(engine, "volume", "rm", NAME)


def inside(engine, *command):
    return done(engine, "exec", NAME, PYTHON, *command)


def test_it_becomes_ready_and_its_decoders_are_confined(address):
    over = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = httpx2.get(f"{address}/readyz", timeout=PATIENCE_S)
            if answer.status_code == 200:
                break
        except httpx2.TransportError:
            pass
        assert time.monotonic() < over
        time.sleep(0.2)
    assert answer.json() == {"status": "ready", "confinement": {"landlock": True, "seccomp": True}}


def test_a_film_is_read_and_corrected_with_a_key_alone(address):
    film = {"file": (ROOT / "samples/leg-2.png").read_bytes()}
    correction = {"correction": json.dumps({"truth": "fracture", "boxes": [[151, 250, 205, 299]], "wrong": []})}
    assert httpx2.post(f"{address}/detect", files=film, timeout=PATIENCE_S).json()["code"] == "key_missing"
    answer = httpx2.post(f"{address}/detect", files=film, headers=KEY, timeout=PATIENCE_S)
    assert answer.json()["status"] == "fracture"
    answer = httpx2.post(f"{address}/feedback", files=film, data=correction, headers=KEY, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    assert len(httpx2.get(f"{address}/feedback/coco", headers=KEY).json()["images"]) == 1


def test_its_health_check_works_and_it_writes_nowhere_else(engine, address):
    [check] = re.findall(r"CMD (\[.*\])", DOCKERFILE)
    assert done(engine, "exec", NAME, *json.loads(check)).returncode == 0
    for folder in ("/", "/opt/fracture", "/etc"):
        assert "Read-only file system" in inside(engine, "-c", f"open('{folder}/x', 'w')").stderr
    assert "(10001, 10001)" in inside(engine, "-c", "import os; print((os.getuid(), os.getgid()))").stdout


def test_it_says_what_is_inside(engine, address):
    told = json.loads(inside(engine, "-c", "print(open('/opt/fracture/sbom.json').read())").stdout)
    parts = {part["name"]: part["version"] for part in told["components"]}
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert parts["numpy"] == pins["numpy"]
    assert parts.keys() & {"pip", "setuptools", "torch", "cyclonedx-bom"} == set()
