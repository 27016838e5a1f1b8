"""What is wrong with a stage or a dataset: copies, leaks, labels, boxes, files, confounders. One look at every film."""

from collections.abc import Sequence
from pathlib import Path

from fracture.core.files import write_bytes, write_json
from fracture.core.folders import check_apart
from fracture.core.types import HarmoniseConfig
from fracture.data import duplicates, manifest
from fracture.data.audit import checks as audit_checks
from fracture.data.audit import tables as audit_tables
from fracture.data.audit.kinds import Film, Finding
from fracture.data.audit.page import page
from fracture.data.audit.result import Audit


def audit(stages: Sequence[Path], *, config: HarmoniseConfig = duplicates.DEFAULT, out: Path | None = None) -> Audit:
    """Look at every film of the stages or datasets, taken as one set, and tell what is wrong.

    ``config`` is how films that are not harmonised yet are made comparable. Raises MissingData or BadValue where a
    manifest cannot be read, and where ``out``, which is to hold the audit, lies in a stage or around one; whatever
    else is wrong is a finding.
    """
    if out is not None:
        check_apart(out, *stages)
    loaded = [(folder, manifest.load(folder)) for folder in stages]
    manifest.check_unique(record for _, records in loaded for record in records)
    placed = [(r, folder) for folder, records in loaded for r in records if r.split != "set_aside"]
    placed.sort(key=lambda film: film[0].image_id)
    aside = sorted((r for _, records in loaded for r in records if r.split == "set_aside"), key=lambda r: r.image_id)
    thumbnails, looks = duplicates.look_at([folder / record.path for record, folder in placed], config)
    films = [Film(record, folder, look) for (record, folder), look in zip(placed, looks, strict=True)]
    records = [film.record for film in films]
    pairs = duplicates.pairs_among(records, thumbnails)
    links = audit_tables.confounders(records)
    found = audit_checks.find_all(films, aside, pairs)
    found += [Finding("shortcut", link.image_ids, str(link)) for link in links if link.decides]
    for folder, known in loaded:
        found += audit_checks.check_files(folder, known)
    return Audit(
        folders=tuple(folder.resolve().name for folder in stages),
        findings=audit_checks.in_order(found),
        counts=audit_tables.counts(records, aside),
        balance=audit_tables.balance(records, aside),
        group_sizes=audit_tables.group_sizes(records),
        confounders=links,
        films={film.record.image_id: film for film in films},
    )


def save(audit: Audit, out: Path) -> None:
    """Write ``audit.json`` and ``audit.html``, which opens from disk and needs no other file."""
    write_json(out / "audit.json", audit.content())
    write_bytes(out / "audit.html", page(audit).encode())
