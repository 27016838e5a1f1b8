"""What a person does where a program cannot: read an agreement, sign in, put an archive in its place."""

from pathlib import Path

from fracture.core.errors import MissingData
from fracture.data.acquire.archive import kind
from fracture.data.acquire.origins import origin_of


def instructions(source: str, root: Path) -> str:
    """Say where a dataset is, what to download there and where to put it. Raises BadValue for an unknown source."""
    origin = origin_of(source)
    tree, store = root / origin.folder, root / "downloads" / origin.folder
    steps = [*origin.steps, f"unpack so that {tree} holds {origin.holds}"]
    lines = [
        f"{origin.title}, {origin.licence}, about {origin.size_gb:g} GB: {origin.page}",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
    ]
    if origin.roboflow is not None:
        lines.append(
            "  or give a Roboflow key (free account, Settings, API Keys) in ROBOFLOW_API_KEY and run this again"
        )
    elif origin.figshare is None:
        lines.append(f"  or put the zip into {store} and run this again")
    return "\n".join(lines)


def found_by_hand(store: Path) -> list[Path]:
    """Give the archives that somebody put into a folder. Raises MissingData where there are none."""
    files = sorted(path for path in store.glob("*") if path.is_file() and kind(path)) if store.is_dir() else []
    if not files:
        raise MissingData("this set cannot be fetched by a program")
    return files
