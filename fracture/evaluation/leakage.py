"""Films that are no test of a model: those it was made with, and copies of them under other names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import HarmoniseConfig
from fracture.data import duplicates
from fracture.data.duplicates import Trace, traces
from fracture.evaluation.cases import Cases
from fracture.inference.reader import Reader
from fracture.models import card as cards

MOST_COPIES = 0.5
"""Films of which more than this share had a part in making the model are no test of it, whatever is left out."""

NO_TEST = frozenset({"train", "val"})
"""The splits of a model's films that are no test of it."""


@dataclass(frozen=True)
class MadeWith:
    """Which films a model was made with, image_id -> split, and by what those are known that are no test of it.

    ``no_test`` is the number of those that are no test, however they are known.
    """

    films: Mapping[str, str] = field(default_factory=dict)
    no_test: int = 0
    known_by: Mapping[str, Trace] = field(default_factory=dict)
    harmonise: HarmoniseConfig = field(default_factory=HarmoniseConfig)

    @classmethod
    def of(cls, reader: Reader, parts: frozenset[str] = NO_TEST) -> "MadeWith":
        """Give the films of a model. ``parts`` are the splits of its films that are no test of it."""
        return cls.read(reader.folder, reader.card.harmonise, parts) if reader.folder else cls()

    @classmethod
    def named(cls, bundle: Path | None, model_id: str) -> "MadeWith":
        """Give the films of a program: those of a bundle, or of the shipped model if the program goes by its name."""
        if bundle is not None and not (bundle / cards.FILMS).is_file():
            raise MissingData(f"no {cards.FILMS} in {bundle}: expected a bundle that says which films it was made with")
        folder = bundle or (cards.SHIPPED if (cards.SHIPPED / cards.NAME).is_file() else None)
        card = cards.load(folder) if folder and (folder / cards.NAME).is_file() else None
        if folder is None or (bundle is None and card is not None and card.model_id != model_id):
            return cls()
        return cls.read(folder, card.harmonise if card else HarmoniseConfig(), NO_TEST)

    @classmethod
    def read(cls, folder: Path, harmonise: HarmoniseConfig, parts: frozenset[str]) -> "MadeWith":
        """Read a bundle's table of films."""
        films, known_by = cards.films(folder), cards.film_traces(folder)
        no_test = {image_id for image_id, part in films.items() if part in parts}
        return cls(films, len(no_test), {one: known_by[one] for one in known_by if one in no_test}, harmonise)


def leave_out_copies(cases: Cases, root: Path, made_with: MadeWith) -> tuple[Cases, dict[str, str]]:
    """Leave out the films that are copies, under other names, of films the model was made with; say of which each is.

    Raises BadValue where most are.
    """
    unknown = [record for record in cases.records if made_with.films.get(record.image_id) not in NO_TEST]
    if not made_with.known_by or not unknown:
        return cases, {}
    seen = traces([root / record.path for record in unknown], made_with.harmonise)
    by_pixels = {known.pixel_sha256: name for name, known in made_with.known_by.items() if known.pixel_sha256}
    copied: dict[str, str] = {}
    looks: list[tuple[str, bytes]] = []
    for record, one in zip(unknown, seen, strict=True):
        exact = by_pixels.get(record.attributes.get("pixel_sha256", "")) or by_pixels.get(one.pixel_sha256)
        if exact:
            copied[record.image_id] = exact
        else:
            looks += [(record.image_id, look) for look in one.looks]
    known = [(name, look) for name, one in made_with.known_by.items() for look in one.looks]
    for theirs, ours in duplicates.copies([look for _, look in known], [look for _, look in looks]):
        copied.setdefault(looks[ours][0], known[theirs][0])
    if len(copied) > MOST_COPIES * len(cases.records):
        raise BadValue(
            f"films: expected others than the model was made with, got {len(copied)} of {len(cases.records)} that are "
            f"copies of such films, such as {next(iter(copied))} of {next(iter(copied.values()))}"
        )
    kept = cases.where(lambda record: record.image_id not in copied)
    why = {name: f"a copy of {theirs}, which the model was made with" for name, theirs in copied.items()}
    return replace(kept, left_out={**cases.left_out, **why}), copied


def seen_before(cases: Cases, made_with: MadeWith, *, chosen_here: bool) -> list[str]:
    """Name the films of these cases that the model was trained with, or thresholds were chosen on: then or just now."""
    return [
        record.image_id
        for record in cases.records
        if made_with.films.get(record.image_id) in NO_TEST or (chosen_here and record.split == "val")
    ]
