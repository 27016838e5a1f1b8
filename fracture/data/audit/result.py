"""What an audit found: every finding in full, the tables beside them, and both in a few lines of text."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fracture.data import duplicates
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
            # Confounders: this key, and the kind "shortcut", are older than the word, and programs read them.
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

    def text(self) -> str:
        """Give the audit in a few lines for a terminal."""
        lines = [f"{self.counts['films_usable']} films and {self.counts['films_set_aside']} set aside"]
        for kind, number in Counter(finding.kind for finding in self.findings).items():
            lines.append(f"{KINDS[kind].severity:>7}: {number} x {KINDS[kind].title.lower()}")
        totals = self.totals
        return "\n".join([*lines, ", ".join(f"{totals[severity]} {severity}s" for severity in SEVERITIES)])
