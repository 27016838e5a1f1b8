"""The service as its operator runs it: a process of its own, ``python -m app``, and children that decode."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import httpx2
import numpy as np

from bench.processes import cpu_s, free_port, tree
from fracture.core.files import file_hash
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.phantom import draw_film

PATIENCE_S = 60
CHILDREN = 2
START = [sys.executable, "-m", "app"]


def png(film):
    return bytes(cv2.imencode(".png", film)[1])


FILM = png(draw_film(np.random.default_rng(5), fractured=True)[0])


@dataclass
class Service:
    """A service that runs, and what it said of a film when nothing was wrong."""

    process: subprocess.Popen
    port: int
    headers: dict
    expected: list = field(default_factory=list)

    def get(self, path):
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", headers=self.headers, timeout=PATIENCE_S)

    def detect(self, *films, **query):
        files = [("file", film) for film in films]
        address, query = f"http://127.0.0.1:{self.port}/detect", {"conf": 0.0001} | query
        return httpx2.post(address, files=files, params=query, headers=self.headers, timeout=PATIENCE_S)

    def inside(self):
        """Give how many requests it says are inside."""
        lines = self.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("fracture_requests_inside ")).split()[1])

    def children(self):
        return tree(self.process.pid)[1:]

    def spent(self):
        """Give the processor time of each child so far."""
        return {child: cpu_s(child) for child in self.children()}

    def at_work(self, before):
        """Wait until a child has been at something large since ``before``, and give it."""

        def found():
            return next((child for child, at_s in self.spent().items() if at_s - before.get(child, at_s) > 0.15), None)

        return until(found)

    def is_as_before(self):
        """Check that the service reads films, and rightly, and wait until all its children are idle."""
        assert self.get("/readyz").status_code == 200
        told = self.detect(FILM)
        assert told.status_code == 200, told.text
        assert told.json()["detections"] == self.expected
        until(lambda: self.inside() == 0)
        until(lambda: all(map(is_idle, self.children())))


def is_idle(child):
    """Tell whether a child has started, after which it may open no file, and waits; or is dead and not missed yet."""
    with suppress(OSError):
        few = re.search(r"Max open files +0 ", Path(f"/proc/{child}/limits").read_text())
        return state(child) in "SZ" and (few or state(child) == "Z")
    return True


def until(condition, limit_s=PATIENCE_S):
    over = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < over
        time.sleep(0.002)
    return found


def state(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def write_bundle(folder, **changes):
    folder.mkdir(parents=True)
    weights = (SHIPPED / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(weights)
    files = {"model.onnx": file_hash(folder / "model.onnx")}
    cards.save(replace(cards.load(SHIPPED), **{"long_side_px": 64, "files": files, **changes}), folder)
    return folder


@contextmanager
def running(bundle, command=START, out=subprocess.DEVNULL, headers=None, **settings):
    """Run a service for the length of a ``with`` block. ``headers`` are sent with all requests."""
    port = free_port()
    given = {"FRACTURE_PORT": str(port), "FRACTURE_WEIGHTS": str(bundle), "FRACTURE_DECODERS": str(CHILDREN)} | settings
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("FRACTURE_", "GOOGLE_"))}
    process = subprocess.Popen(command, env=outside | given, stdout=out, stderr=out)
    try:
        service = Service(process, port, headers or {})

        def answers():
            assert process.poll() is None, "it ended"
            with suppress(httpx2.TransportError):
                return service.get("/readyz").status_code == 200

        until(answers)
        service.expected = service.detect(FILM).json()["detections"]
        assert service.expected, "a film without boxes proves nothing"
        yield service
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
