"""What every command has in common: its help, and one line and 2, never a traceback, for what a user can get wrong."""

import argparse
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from fracture.core.errors import FractureError

FAILED = 2
_NOBODY_READS, _STOPPED = 141, 130
"""What a shell reports of a program that wrote where nobody reads, or that was stopped: 128 and the signal's number."""


ENDS = """It ends with 0 when all is done; 1 when it is done but films were refused, or data leak between splits; 2 when
nothing could be done, and says why; 130 when it is stopped, 141 when nobody reads what it writes."""


class _Help(argparse.HelpFormatter):
    """Says of every flag what it is where it is not given."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "", argparse.SUPPRESS) or action.default == [] or action.required:
            return action.help
        return f"{action.help or ''} (default: %(default)s)".lstrip()


def arguments(about: str | None) -> argparse.ArgumentParser:
    """Give a command's parser: ``about`` is what it does, its module's docstring."""
    return argparse.ArgumentParser(description=about, epilog=ENDS, formatter_class=_Help)


def command(main: Callable[[], int]) -> Callable[[], int]:
    """Make a command of ``main``: what is refused, cannot be read or written, or is not installed ends in one line."""

    @wraps(main)
    def called() -> int:
        name = Path(sys.argv[0]).stem
        try:
            done = main()
            sys.stdout.flush()
        except KeyboardInterrupt:
            _refused(name, "stopped")
            return _STOPPED
        except BrokenPipeError:
            # The interpreter would complain once more when it empties the pipe at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _NOBODY_READS
        except FractureError as error:
            return _refused(name, str(error))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in {"", "fracture"}:
                raise
            return _refused(name, f"needs {package}, which is not installed: pip install -r requirements.txt")
        except OSError as error:
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
            return _refused(name, f"{where}{error.strerror or error}")
        return done

    return called


def _refused(name: str, why: str) -> int:
    print(f"{name}: {why}", file=sys.stderr)
    return FAILED
