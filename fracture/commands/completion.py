"""Print what a shell needs to complete ``fracture`` and its flags: ``eval "$(fracture completion bash)"``."""

import argparse
from importlib import import_module

import shtab

from fracture.__main__ import COMMANDS
from fracture.core.command import arguments, command


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="the shell that is to complete")
    return parser


@command
def main() -> int:
    """Parse flags, print the shell's script."""
    shell = parser().parse_args().shell
    whole = argparse.ArgumentParser("fracture")
    commands = whole.add_subparsers()
    for name, about in COMMANDS.items():
        own = import_module(f"fracture.commands.{name}").parser()
        commands.add_parser(name, help=about, parents=[own], add_help=False)
    print(shtab.complete(whole, shell))
    return 0
