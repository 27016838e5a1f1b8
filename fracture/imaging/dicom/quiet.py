"""pydicom and the codecs, kept quiet: their warnings and errors quote elements, which may hold a patient's name."""

import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from pydicom.errors import BytesLengthException

from fracture.core.errors import BrokenFilm

_RAISED_BY_CODECS = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, TypeError, ValueError, BytesLengthException, struct.error, zlib.error),
)

# Quiet only while a film is decoded here: whoever uses pydicom for something else in this process still hears it.
_here: ContextVar[bool] = ContextVar("decoding a film", default=False)
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "openjpeg", "openjpeg.utils")
_OURS = r"pydicom(\.|$)|openjpeg(\.|$)|libjpeg(\.|$)|rle(\.|$)"
for _name_of_logger in _LOGGERS:
    logging.getLogger(_name_of_logger).addFilter(lambda _: not _here.get())


class _Quiet:
    """No warnings from the libraries while any thread is inside.

    Python's switch for warnings is shared by all threads: the first one in sets it, the last one out sets it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._switch = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._switch = warnings.catch_warnings()
                self._switch.__enter__()
                warnings.filterwarnings("ignore", module=_OURS)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._switch.__exit__(None, None, None)


_quiet = _Quiet()


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever pydicom and the codecs raise into BrokenFilm, whose words name ``what`` could not be decoded.

    The cause is dropped on purpose: its text quotes element values.
    """
    token = _here.set(True)
    try:
        with _quiet, np.errstate(all="ignore"):
            yield
    except _RAISED_BY_CODECS:
        raise BrokenFilm(f"{what} cannot be decoded") from None
    except BaseException as error:
        # The RLE codec panics on hostile input. A Rust panic is no Exception, and its type cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise BrokenFilm(f"{what} cannot be decoded") from None
    finally:
        _here.reset(token)
