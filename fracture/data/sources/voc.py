"""Pascal VOC: any set of films with one XML file of boxes per film, a person's own or an export of an annotation tool.

Format: Everingham et al., "The PASCAL VOC Challenge 2012 Development Kit". The licence is that of the films and is said
with the set.

An XML file belongs to the film with its path, else to the one with its stem, else to the one ``<filename>`` names:
tools leave ``<filename>`` as it is when films are renamed. Every name that occurs is a class. What is said
about patients and regions stands in films.csv, see `fracture.data.sources.annotated`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from fracture.core.errors import BadValue, MissingData
from fracture.core.folders import walk
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import read_xml, voc_objects
from fracture.data.names import fold, spellings
from fracture.data.sources.annotated import Films
from fracture.data.sources.joined import Annotation, claim_films, unread


def claims(images: Path, annotations: Path, about: Provenance) -> Iterator[Claim]:
    """Give one claim per film below ``images`` and per XML file below ``annotations`` that has no film.

    Raises, before the first claim, MissingData without films or XML files, and BadValue where fracture classes are not
    among the names that occur or are given by an index, which VOC does not have. An XML file that cannot be read is a
    problem of its film alone.
    """
    if about.classes.index is not None:
        raise BadValue(f"expected fracture classes by name, for Pascal VOC has no indices, got {about.classes.index}")
    films = Films.below(images)
    tree = walk(annotations)
    files = [path for path in tree.names if path.suffix.lower() == ".xml"]
    if not files:
        raise MissingData(f"expected Pascal VOC files (.xml) in {annotations}, found none{tree.why}")
    read = {normalize("NFC", path.relative_to(annotations).as_posix()): _read(path) for path in files}
    problems = [annotation.problem for annotation, _ in read.values() if annotation.problem]
    if len(problems) == len(read):
        raise BadValue(f"expected Pascal VOC in {annotations}, could read none of {len(read)} files: {problems[0]}")
    sure, unsure = _match({key: filename for key, (_, filename) in read.items()}, films)
    if not sure and not unsure:
        raise MissingData(f"expected the films that the annotations name in {images}, found none of {len(read)}")
    names = {drawn.name for annotation, _ in read.values() for drawn in annotation.drawn}
    fractures = about.classes.of(sorted(names))
    listed = [replace(read[key][0], film=film) for key, film in sure.items()]
    listed += [
        Annotation(film, problem=f"not certain that {key} belongs to it: others share the name")
        for key, found in unsure.items()
        for film in found
    ]
    listed += [replace(annotation, film=key) for key, (annotation, _) in read.items() if key not in sure | unsure]
    return claim_films(films, listed + unread(tree), fractures, about)


def _read(path: Path) -> tuple[Annotation, str]:
    """Give what an XML file says about a film that is not matched yet, and the name it has for that film."""
    try:
        root = read_xml(path)
        size_px, drawn = voc_objects(root, path.name)
    except BadValue as error:
        return Annotation("", problem=str(error)), ""
    return Annotation("", size_px, drawn), root.findtext("filename", "")


def _match(filenames: Mapping[str, str], films: Films) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Give the film of every XML file where it is certain, else the films that it may belong to.

    ``filenames`` is XML file -> the film it names. Folders may tell films of one stem apart, so a film without an XML
    file at its own path gets one with its stem only if no other film and no other such XML file has that stem.
    """
    by_path = _index([*films.files, *films.again], lambda film: str(film.with_suffix("")))
    by_stem = _index(films.files, attrgetter("stem"))
    sure: dict[str, str] = {}
    unsure: dict[str, list[str]] = {}
    for xml, filename in filenames.items():
        place = str(PurePosixPath(xml).with_suffix(""))
        found = _named(list({films.again.get(film, film): 0 for film in by_path(place)}), filename)
        if len(found) == 1:
            sure[xml] = found[0]
        elif found:
            unsure[xml] = found
    taken = set(sure.values())
    for xml, filename in filenames.items():
        if xml in sure or xml in unsure:
            continue
        stem = PurePosixPath(xml).stem
        found = _named(by_stem(stem) or list(films.names.find(stem)) or list(films.names.find(filename)), filename)
        free = [film for film in found if film not in taken]
        if len(found) == len(free) == 1:
            sure[xml] = free[0]
        elif free:
            unsure[xml] = free
    rivals = Counter(sure.values())
    unsure |= {xml: [film] for xml, film in sure.items() if rivals[film] > 1}
    return {xml: film for xml, film in sure.items() if xml not in unsure}, unsure


def _named(films: list[str], filename: str) -> list[str]:
    """Let the name in an XML file decide between films that differ in their suffix alone."""
    if len(films) < 2:
        return films
    meant = {end for spelled in spellings(filename) for end in (spelled, spelled.rpartition("/")[2])}
    named = [film for film in films if PurePosixPath(film).name in meant]
    return named if len(named) == 1 else films


def _index(films: Iterable[str], name: Callable[[PurePosixPath], str]) -> Callable[[str], list[str]]:
    """Give a function that finds films by a part of their path: as it is spelled, else as `fold` compares it."""
    exact, folded = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for film in films:
        key = name(PurePosixPath(film))
        exact[key].append(film)
        folded[fold(key)].append(film)
    return lambda key: exact.get(key) or folded.get(fold(key)) or []
