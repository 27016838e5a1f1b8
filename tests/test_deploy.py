"""What operators copy: the Dockerfile and compose file, the systemd unit, as far as they can be checked unbuilt."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_dockerfile_is_clean():
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_container_is_not_root_and_says_whether_it_is_ready():
    user = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert user
    assert int(user[-1]) > 0
    assert "HEALTHCHECK" in DOCKERFILE
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))["services"]["fracture"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_the_image_holds_what_the_wheel_needs():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    copies = re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE)
    copied = {source for line in copies for source in line.split()[:-1]}
    assert kept == copied
    assert all((ROOT / name).exists() for name in kept)


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "fracture.service"
    text = (ROOT / "deploy/fracture.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/fracture/bin/python", "/usr/bin/env"), encoding="utf-8")
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "fracture.service" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_the_unit_lets_decoders_confine_themselves():
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed")
    unit = (ROOT / "deploy/fracture.service").read_text(encoding="utf-8")
    [filtered] = re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE)
    allowed, pending = set(), filtered.split()
    while pending:
        name = pending.pop()
        if not name.startswith("@"):
            allowed.add(name)
            continue
        listed = subprocess.run([analyze, "syscall-filter", name], capture_output=True, text=True, check=True).stdout
        pending += [word for line in listed.splitlines()[1:] if not (word := line.strip()).startswith("#") and word]
    assert {"landlock_create_ruleset", "landlock_restrict_self", "seccomp", "prctl", "prlimit64"} <= allowed


def test_the_unit_may_neither_write_nor_rise():
    text = (ROOT / "deploy/fracture.service").read_text(encoding="utf-8")
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="):
        assert re.search(f"^{re.escape(line)}$", text, re.MULTILINE), line
