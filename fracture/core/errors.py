"""The few refusals of the package. Each carries a stable code and the HTTP status the service answers with.

A refusal's message names the value that was found and what was expected. Of a film that a stranger sent it never quotes
a file name, a DICOM identifier or anything else that may hold a patient's name.
"""

from typing import ClassVar


class FractureError(Exception):
    """Base of every refusal: what was asked cannot be done, and the message says why."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 422


class EmptyFile(FractureError):
    """Raise when a file holds no bytes."""

    code = "empty_file"
    status = 400


class UnsupportedFormat(FractureError):
    """Raise when the bytes are no format this package reads, or a transfer syntax no codec here can decode."""

    code = "unsupported_format"
    status = 415


class FilmTooLarge(FractureError):
    """Raise when a header announces more pixels than a film may have, or a strip, before any pixel is decoded."""

    code = "film_too_large"
    status = 413


class NoPixels(FractureError):
    """Raise when a readable file holds no image: a structured report, an encapsulated PDF, a presentation state."""

    code = "no_pixels"


class WrongModality(FractureError):
    """Raise when a DICOM file holds an image of another kind than a projection radiograph."""

    code = "wrong_modality"


class BrokenFilm(FractureError):
    """Raise when a file says it is a film but its pixels cannot be decoded."""

    code = "broken_film"


class DecodeFailed(FractureError):
    """Raise when decoding a film broke down in a way nobody foresaw, or took its process with it."""

    code = "decode_failed"


class BrokenAnswer(FractureError):
    """Raise when a network's answer is no number, or not what its card says: nothing found, nothing ruled out."""

    code = "broken_answer"
    status = 500


class TooCostly(FractureError):
    """Raise when decoding a film takes more time or memory than one film may."""

    code = "too_costly"


class SeveralFrames(FractureError):
    """Raise when one film was asked for and the file holds several frames."""

    code = "several_frames"


class BadValue(FractureError):
    """Raise when an argument, a configuration or a table cell is outside what is allowed."""

    code = "bad_value"


class MissingData(FractureError):
    """Raise when a dataset, a model bundle or a file that a command needs is not there."""

    code = "missing_data"


class NotOpen(FractureError, RuntimeError):
    """Raise when a model is used after it was closed, or in another process than the one that opened it."""

    code = "not_open"
    status = 503
