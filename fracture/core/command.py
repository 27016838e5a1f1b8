"""What every command has in common: its help, and one line and 2, never a traceback, for what a user can get wrong."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from fracture.core.errors import FractureError

FAILED = 2
_NOBODY_READS, _STOPPED = 141, 130
"""What a shell reports of a program that wrote where nobody reads, or that was stopped: 128 and the signal's number."""

_INSTALL = "pip install -r requirements.txt, in a checkout of the repository"


class _Help(argparse.HelpFormatter):
    """Says of every flag what it is where it is not given."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "", argparse.SUPPRESS) or action.default == [] or action.required:
            return action.help
        return f"{action.help or ''} (default: %(default)s)".lstrip()


def arguments(
    about: str | None, *, done: str = "all is done", partly: str = "", stopped: str = "it is stopped"
) -> argparse.ArgumentParser:
    """Give a command's parser: ``about`` is what it does, its module's docstring.

    Its help says when the command ends with 0 (``done``), with 1 if it ever does (``partly``) and with 130
    (``stopped``). An empty text is refused for every flag: it is what a shell makes of a variable that is not set.
    """
    ends = (
        f"It ends with 0 when {done};{f' 1 when {partly};' if partly else ''} 2 when nothing could be done, and says "
        f"why; 130 when {stopped}, 141 when nobody reads what it writes."
    )
    parser = argparse.ArgumentParser(description=about, epilog=ends, formatter_class=_Help)
    parser.register("type", None, _given)
    parser.register("type", Path, lambda text: Path(_given(text)))
    return parser


def _given(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a value, got an empty text: a variable that is not set?")
    return text


def command(main: Callable[[], int]) -> Callable[[], int]:
    """Make a command of ``main``: what is refused, cannot be read or written, or is not installed ends in one line."""

    @wraps(main)
    def called() -> int:
        interrupts: list[int] = []

        def interrupt(number: int, _: object) -> None:
            interrupts.append(number)
            raise KeyboardInterrupt

        try:
            with _on_interrupt(interrupt):
                done = main()
                sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001 - an import that is interrupted may raise anything
            return _ended(KeyboardInterrupt() if interrupts else error)
        return done

    return called


def starting() -> AbstractContextManager[None]:
    """Import what a command needs within this: Ctrl-C then ends the process at once, in one line.

    Nothing was begun yet that would have to be ended, and what an interrupted import raises no one can foresee.
    """
    return _on_interrupt(lambda *_: os._exit(_ended(KeyboardInterrupt())))


@contextmanager
def _on_interrupt(do: Callable[[int, Any], object]) -> Iterator[None]:
    """Have Ctrl-C do this instead of what Python does. A program that handles it otherwise is left alone."""
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, do)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _ended(error: BaseException) -> int:
    """Say in a line why a command ended, and give its status. What nobody foresaw is raised again."""
    if isinstance(error, KeyboardInterrupt):
        _refused("stopped")
        return _STOPPED
    if isinstance(error, BrokenPipeError):
        # The interpreter would complain once more when it empties the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    if isinstance(error, FractureError):
        return _refused(str(error))
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package not in {"", "fracture"}:
            return _refused(f"needs {package}, which is not installed: {_INSTALL}")
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        return _refused(f"{where}{error.strerror or error}")
    raise error


def _refused(why: str) -> int:
    program = Path(sys.argv[0])
    name = program.parent.name if program.stem == "__main__" else program.stem  # python -m names the package's file
    print(f"{name}: {why}", file=sys.stderr)
    return FAILED
