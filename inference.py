"""Read films: python inference.py FILE_OR_FOLDER ... prints one JSON line per film."""

from fracture.core.command import starting

with starting():
    from fracture.commands.read import main
    from fracture.inference.reader import Reader

__all__ = ["Reader", "main"]

if __name__ == "__main__":
    raise SystemExit(main())
