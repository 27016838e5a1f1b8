"""What is wrong with a stage or a dataset: copies, leaks, labels, boxes, files, confounders. One look at every film."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fracture.core.files import write_bytes, write_json
from fracture.core.folders import check_apart
from fracture.core.types import HarmoniseConfig
from fracture.data import duplicates, manifest
from fracture.data.audit import checks as audit_checks
from fracture.data.audit import page as audit_html
from fracture.data.audit import tables as audit_tables
from fracture.data.audit.kinds import KINDS, Film, Finding
from fracture.data.audit.tables import Confounder, Row
from fracture.data.split import PARTS

SEVERITIES = ("leak", "defect", "note")


@dataclass(frozen=True)
class Audit:
    """Everything that was found, the gravest first, and the tables a reader needs to judge it."""

    folders: tuple[str, ...]
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    balance: Mapping[str, tuple[Row, ...]]
    group_sizes: Mapping[int, int]
    confounders: tuple[Confounder, ...]
    films: Mapping[str, Film] = field(repr=False)

    @property
    def totals(self) -> dict[str, int]:
        """Count the findings by severity."""
        found = Counter(KINDS[finding.kind].severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    @property
    def is_dealt(self) -> bool:
        """Tell whether any film stands in a split; before, leaks cannot be judged."""
        return any(row.name in PARTS for row in self.balance["split"])

    @property
    def leaks(self) -> int:
        """Count the findings that make a result look better than it is."""
        return self.totals["leak"]

    def content(self) -> dict[str, Any]:
        """Give the audit as JSON has it: every finding in full, in a fixed order, nothing that changes by itself."""
        return {
            "folders": list(self.folders),
            "totals": self.totals,
            "kinds": dict(Counter(finding.kind for finding in self.findings)),
            "counts": dict(self.counts),
            "balance": {name: [asdict(row) for row in rows] for name, rows in self.balance.items()},
            "group_sizes": {str(size): groups for size, groups in self.group_sizes.items()},
            "thresholds": {"near": duplicates.NEAR, "turned": duplicates.TURNED, "same": duplicates.SAME},
            "shortcuts": [
                {
                    "column": s.column,
                    "value": s.value,
                    "decides": s.decides,
                    "here": asdict(s.here),
                    "rest": asdict(s.rest),
                }
                for s in self.confounders
            ],
            "findings": [
                {"kind": finding.kind, "severity": KINDS[finding.kind].severity}
                | {key: value for key, value in asdict(finding).items() if key != "kind"}
                for finding in self.findings
            ],
        }

    def save(self, out: Path) -> None:
        """Write ``audit.json`` and ``audit.html``, which opens from disk and needs no other file."""
        write_json(out / "audit.json", self.content())
        write_bytes(out / "audit.html", audit_html.page(self).encode())

    def text(self) -> str:
        """Give the audit in a few lines for a terminal."""
        lines = [f"{self.counts['films_usable']} films and {self.counts['films_set_aside']} set aside"]
        for kind, number in Counter(finding.kind for finding in self.findings).items():
            lines.append(f"{KINDS[kind].severity:>7}: {number} x {KINDS[kind].title.lower()}")
        totals = self.totals
        return "\n".join([*lines, ", ".join(f"{totals[severity]} {severity}s" for severity in SEVERITIES)])


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
