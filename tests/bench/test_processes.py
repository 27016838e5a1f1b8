"""Programs as the benches start them: when they are ready, what they and their children cost, how they end."""

import os
import subprocess
import sys
import time

import pytest

from bench import processes
from bench.processes import DidNotStart, Watch, can_account, cpu_s, free_port, memory_mb, started, tree

if not can_account():
    pytest.skip("what a process costs is read from Linux's /proc", allow_module_level=True)

# A process with a child that has a child; the last burns some time and holds 80 MB.
BURN = "import time\nheld = b'x' * 80_000_000\nwhile time.process_time() < {s}: pass"
FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"


def family(inner):
    return [sys.executable, "-c", FAMILY.format(inner=FAMILY.format(inner=inner))]


@pytest.fixture
def kept():
    """Give the way to start a program that does not outlive the test."""
    running = []

    def start(command):
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True))
        return running[-1].pid

    yield start
    for one in running:
        if one.poll() is None:
            os.killpg(one.pid, 9)
        one.wait()


def until(condition, limit_s=20.0):
    over = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < over
        time.sleep(0.02)


def test_a_service_is_ready_when_it_says_so(program):
    port = free_port()
    began = time.perf_counter()
    with started([sys.executable, str(program()), str(port)], port, "/health", {}) as running:
        assert 0.03 < running.start_s <= time.perf_counter() - began
        assert running.port == port
        os.kill(running.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_its_environment_is_ours_and_more(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE_BEFORE", "yes")
    code = "import os, sys; sys.exit(os.environ['HERE_BEFORE'] + os.environ['ADDED'])"
    with (
        pytest.raises(DidNotStart, match="it ended: yestoo"),
        started([sys.executable, "-c", code], free_port(), "/", {"ADDED": "too"}),
    ):
        pass


def test_what_a_program_said_last_is_quoted():
    code = "print('early'); print(); print('why'); raise SystemExit('over')"
    with (
        pytest.raises(DidNotStart, match=r"^it ended: (why / over|over / why)$"),
        started([sys.executable, "-c", code], free_port(), "/", {}),
    ):
        pass


def test_a_service_that_never_gets_ready_is_given_up(program, monkeypatch):
    monkeypatch.setattr(processes, "START_LIMIT_S", 5.0)
    port = free_port()
    began = time.perf_counter()
    with (
        pytest.raises(DidNotStart, match=r'not ready after 5 s: status 503, \{"status": "asked"\}'),
        started([sys.executable, str(program(ready=503)), str(port)], port, "/readyz", {}),
    ):
        pass
    assert time.perf_counter() - began < 12


def test_one_that_does_not_stop_is_killed(tmp_path, program, monkeypatch):
    monkeypatch.setattr(processes, "STOP_LIMIT_S", 0.3)
    file = program()
    file.write_text("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + file.read_text())
    port = free_port()
    with started([sys.executable, str(file), str(port)], port, "/", {}) as running:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_children_and_theirs_belong_to_the_tree(kept):
    pid = kept(family("import time; time.sleep(60)"))
    until(lambda: len(tree(pid)) == 3)
    assert tree(pid)[0] == pid
    assert os.getpid() not in tree(pid)
    assert set(tree(pid)) < set(tree(os.getpid()))


def test_time_of_children_counts_while_they_run_and_after(kept):
    pid = kept(family(BURN.format(s=0.6)))
    until(lambda: cpu_s(pid) > 0.4)
    assert len(tree(pid)) == 3
    until(lambda: len(tree(pid)) == 1)
    assert 0.55 < cpu_s(pid) < 2  # three interpreters start, too


def test_memory_of_children_counts(kept):
    pid = kept(family("import time; held = b'x' * 80_000_000; time.sleep(60)"))
    until(lambda: memory_mb(pid)[1] > 80)
    rss_mb, pss_mb = memory_mb(pid)
    assert 80 < pss_mb < rss_mb < 200


def test_a_watch_has_the_peak_and_the_time_of_its_block(kept, monkeypatch):
    monkeypatch.setattr(processes, "SAMPLE_EVERY_S", 0.05)
    pid = kept(family(BURN.format(s=0.8)))
    until(lambda: cpu_s(pid) > 0.3)
    with Watch(pid) as cost:
        until(lambda: len(tree(pid)) == 1)
        before = cpu_s(pid)
    assert 0.2 < cost.cpu_s < before - 0.2
    assert 80 < cost.pss_mb < cost.rss_mb
    assert memory_mb(pid)[0] < 40


def test_a_free_port_can_be_listened_on():
    assert 1024 < free_port() < 65536
