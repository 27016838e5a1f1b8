"""One file per dataset family, and the table of their names."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from fracture.core.errors import BadValue
from fracture.core.types import ImageRecord
from fracture.core.words import counted
from fracture.data.ingest import Claim, count_classes, report
from fracture.data.labels import FractureClasses
from fracture.data.sources import fracatlas, grazpedwri, mura, roboflow

SOURCES: Mapping[str, Callable[[Path], Iterator[Claim]]] = MappingProxyType(
    {
        "fracatlas": fracatlas.claims,
        "grazpedwri": grazpedwri.claims,
        "humerus": roboflow.humerus,
        "hip": roboflow.hip,
        "rf100": roboflow.rf100,
        "mura": mura.claims,
    }
)


def claims(name: str, root: Path, classes: FractureClasses | None = None) -> Iterator[Claim]:
    """Give what the named source says about its films, its fractures being ``classes`` where these are given.

    Raises BadValue for a name that is not in the table, and for classes of a set whose labels have none.
    """
    if name not in SOURCES:
        raise BadValue(f"expected a source out of {', '.join(sorted(SOURCES))}, got {name!r}")
    if classes is None:
        return SOURCES[name](root)
    if name in roboflow.PRESETS:
        return roboflow.export(root, replace(roboflow.PRESETS[name], classes=classes))
    if name == "grazpedwri":
        return grazpedwri.claims(root, classes)
    raise BadValue(f"expected fracture classes for a set with a class list, got them for {name}, which has none")


def account(found: Sequence[Claim], records: Sequence[ImageRecord]) -> str:
    """Say in a few lines what an ingest made of every film, class and licence."""
    films, classes = report(records), count_classes(found)
    noted = sum("notes" in record.attributes for record in records)
    patients = {claim.patient_id for claim in found if claim.patient_id is not None}
    nameless = sum(claim.patient_id is None for claim in found)
    licences = sorted({claim.licence for claim in found})
    boxes = counted(films["boxes"], "box", "boxes")
    people = f"{counted(len(patients), 'patient')}, {counted(nameless, 'film')} of unknown patients"
    reasons = Counter(record.attributes["reason"] for record in records if record.split == "set_aside")
    first = [f"set aside, {counted(count, 'film')}: {reason}" for reason, count in reasons.most_common(3)]
    lines = "\n".join(
        [
            f"{counted(films['films'], 'film')} in = {films['kept']} kept + {films['set_aside']} set aside",
            f"{films['fractured']} fractured, {boxes}, {counted(noted, 'film')} with notes",
            f"classes kept as fractures: {_counts(classes['kept'])}",
            f"classes dropped: {_counts(classes['dropped'])}",
            f"{people}; licence: {', '.join(licences) or 'none'}",
            *first,
        ]
    )
    # Names and contents of files may hold characters that a terminal cannot show.
    return lines.encode(errors="backslashreplace").decode()


def _counts(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in classes.items()) or "none"
