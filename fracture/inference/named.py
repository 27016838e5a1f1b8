"""Several models on one command line, each under a name of the caller's: ``--model NAME=WEIGHTS``, once for each."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture.core.errors import BadValue, FractureError
from fracture.inference.reader import Reader
from fracture.models.card import SHIPPED

OURS = "shipped"
"""What stands for the model that comes with the package, where nothing else has that name."""

_NAME = re.compile(r"\w[\w .+-]{0,59}", re.ASCII)  # it becomes a folder's name and stands in a table


@dataclass(frozen=True)
class Named:
    """A model's weights, and the name that it goes by here."""

    name: str
    weights: Path


def add(parser: ArgumentParser) -> None:
    """Add the flag ``--model``, whose values come as ``models``."""
    parser.add_argument(
        "--model",
        dest="models",
        metavar="NAME=WEIGHTS",
        type=_named,
        action="append",
        required=True,
        help=f"a model by a name of your own, and its run's folder, bundle, .onnx or .pt, or {OURS}; once for each",
    )


def opened(models: Sequence[Named], classes: Sequence[str] | None = None) -> list[Reader]:
    """Open every model. Raises what `Reader.load` raises, with the model's name before it.

    Raises BadValue for two models of one name, and for one that finds other classes than the first does, or than
    ``classes``.
    """
    twice = [name for name, count in Counter(one.name for one in models).items() if count > 1]
    if twice:
        raise BadValue(f"--model: expected each name once, got {', '.join(twice)} again")
    readers: list[Reader] = []
    for one in models:
        try:
            readers.append(Reader.load(one.weights))
        except FractureError as error:
            raise about(one, error) from error
    expected, whose = (tuple(classes), "the dataset") if classes else (readers[0].card.classes, models[0].name)
    for one, reader in zip(models, readers, strict=True):
        if reader.card.classes != expected:
            wanted = ", ".join(expected) or "none, as a film classifier has"
            got = ", ".join(reader.card.classes) or "a film classifier, which gives no boxes"
            raise BadValue(f"--model {one.name}: expected the classes of {whose}, {wanted}; got {got}")
    return readers


def about(one: Named, error: FractureError) -> FractureError:
    """Give a refusal with the name of the model that it is about."""
    return type(error)(f"--model {one.name}: {error}")


def _named(text: str) -> Named:
    name, _, weights = text.partition("=")
    if not weights:
        raise ArgumentTypeError(f"expected NAME=WEIGHTS, got {text!r}")
    if not _NAME.fullmatch(name):
        raise ArgumentTypeError(f"expected a name of letters a to z, digits, blanks and ._+-, at most 60, got {name!r}")
    path = Path(weights)
    return Named(name, SHIPPED if weights == OURS and not path.exists() else path)
