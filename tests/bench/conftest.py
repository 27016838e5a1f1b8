"""Scripted services: real HTTP servers of a few lines, in a thread or as a program of their own."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PROGRAM = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(READY, {"status": "asked"})

    def do_POST(self):
        film = self.rfile.read(int(self.headers["Content-Length"]))
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass
        box = {"bbox_xyxy": [0, 0, 1, 1], "confidence": len(film) / 1e6, "class": "fracture"}
        self.answer(STATUS, {"detections": [box]})

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Give the way to write a service as a program that takes its port."""

    def write(name="service", *, ready=200, status=200):
        file = tmp_path_factory.mktemp("program") / f"{name}.py"
        file.write_text(PROGRAM.replace("READY", str(ready)).replace("STATUS", str(status)))
        return file

    return write


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Give the way to run a service in a thread; ``script(film, number)`` gives status, body and headers."""
    with ExitStack() as running:

        def start(script) -> int:
            lock = threading.Lock()
            count = 0

            class Answer(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                wbufsize = -1  # one packet an answer: several meet a client that acknowledges late

                def do_POST(self):
                    nonlocal count
                    with lock:
                        count += 1
                        number = count
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                    status, answer, headers = script(body, number)
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer)

                def log_message(self, *_):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
            running.callback(server.server_close)
            running.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return server.server_port

        yield start


@pytest.fixture
def boxed():
    """Give the way to write an answer with boxes of these scores."""

    def write(*scores, **others):
        boxes = [{"bbox_xyxy": [1.0, 2.0, 3.0, 4.0], "confidence": score} for score in scores]
        return json.dumps({"detections": boxes, **others}).encode()

    return write
