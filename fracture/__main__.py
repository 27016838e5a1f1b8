"""The command ``fracture``: ``fracture read film.png``, ``fracture serve``; each takes ``--help``."""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from fracture import __version__
from fracture.core.command import starting

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "read": "read films, a JSON line each",
        "draw": "draw what the model sees on a film",
        "serve": "run the service",
        "ingest": "take in films of your own, with their labels",
        "preprocess": "harmonise films: contrast, size",
        "split": "make a dataset: parts that share no patient",
        "audit": "say what is wrong with a set: copies, leaks, labels",
        "train": "train a detector on a dataset",
        "bundle": "make a training run servable",
        "evaluate": "evaluate a model on a split of a dataset",
        "compare": "draw what several models see on one film",
        "explain": "draw where the score of a film comes from",
        "benchmark": "judge several models alike on the same films",
        "completion": "print what a shell needs to complete these commands",
    }
)
HELP, WRONG = 0, 2


def main() -> int:
    """Run the command that is named first, with the arguments behind it; 2 where there is none of that name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(__version__)
        return HELP
    if name in {"-h", "--help"}:
        print("usage: fracture COMMAND ...\n\n" + "\n".join(f"  {key:12}{text}" for key, text in COMMANDS.items()))
        print("\nfracture COMMAND --help tells of each, its flags and what it ends with.")
        return HELP
    if name not in COMMANDS:
        print(f"fracture: expected a command out of {', '.join(COMMANDS)}, got {name!r}", file=sys.stderr)
        return WRONG
    sys.argv = [f"fracture {name}", *sys.argv[2:]]
    with starting():
        command = import_module(f"fracture.commands.{name}")
    done: int = command.main()
    return done


if __name__ == "__main__":
    raise SystemExit(main())
