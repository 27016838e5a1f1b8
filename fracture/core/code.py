"""What a result depends on besides what goes in: the code that makes it, and the libraries that this code calls.

A list of files kept by hand is wrong as soon as one of them imports another. So the code of a module is its own file
and all that is imported from there, however far: read from the source, without running it.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
_NAME = PACKAGE.name
_DISTRIBUTION = "fracture-xray"
_LONGEST_NAME = 100


@cache
def code_id(*modules: str) -> str:
    """Name the state of everything that modules of this package run, ``__name__`` of each: code, data files, libraries.

    Imports inside functions count: they run when they are called. Versions of libraries count too, since another OpenCV
    or another codec may give other pixels. They are those of the base set and of whatever else is imported: pydicom
    finds its codecs by itself, so that imports alone would not name them.
    """
    files, libraries = closure(*modules)
    digest = hashlib.sha256(repr(_versions(libraries)).encode())
    for file in sorted(files):
        digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


@cache
def closure(*modules: str) -> tuple[frozenset[Path], frozenset[str]]:
    """Give the files of this package that modules run or read, and the libraries that they import.

    A file counts as read where a module names it as it stands beside it, as the schema of a report does.
    """
    files: set[Path] = set()
    libraries: set[str] = set()
    todo = [file for module in modules for file in _files_of(module)]
    while todo:
        file = todo.pop()
        if file in files:
            continue
        files.add(file)
        if file.suffix == ".py":
            ours, others, named = _mentions(file)
            libraries |= others
            todo += [*named, *(found for module in ours for found in _files_of(module))]
    return frozenset(files), frozenset(libraries)


def _files_of(module: str) -> Iterator[Path]:
    """Give the file of a module, and of every package around it: importing it runs those first."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = PACKAGE.parent.joinpath(*parts[:count])
        yield from (file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file())


@cache
def _mentions(file: Path) -> tuple[frozenset[str], frozenset[str], frozenset[Path]]:
    """Give what a file imports from this package and from others, and the data files beside it that it names."""
    imported: set[str] = set()
    named: set[Path] = set()
    for node in _run(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < _LONGEST_NAME:
            beside = file.parent / node.value.replace("\0", "")
            if beside.is_file() and beside.is_relative_to(PACKAGE):
                named.add(beside)
    ours = frozenset(name for name in imported if name.split(".")[0] == _NAME)
    others = frozenset(name.split(".")[0] for name in imported - ours) - sys.stdlib_module_names
    return ours, others, frozenset(named)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Give a node and all below it, without what is there for the type checker alone."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield from _run(child)


def _versions(libraries: frozenset[str]) -> list[tuple[str, str]]:
    """Give what is installed of the base set and of these libraries, with its version."""
    found = _distributions()
    names = {name for library in libraries for name in found.get(library, ())} | _base_set()
    return sorted((name, version) for name in names if (version := _version(name)))


@cache
def _distributions() -> dict[str, list[str]]:
    return {module: list(names) for module, names in metadata.packages_distributions().items()}


def _base_set() -> set[str]:
    try:
        wanted = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return set()
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted if "extra ==" not in line}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
