"""YOLO exports in general: folders of films, a text file of boxes or polygons per film, and a list of class names.

Format: docs.ultralytics.com, "Object Detection Datasets Overview". The licence is that of the films; a person says it.

The label of ``.../images/.../x.jpg`` is ``.../labels/.../x.txt``; one beside the film will do, and one elsewhere below
the labels' folder that only this film can mean by its name. Films and labels may be one root, as in the split folders
``train``, ``valid`` and ``test`` of a Roboflow export. Such splits are made by image, with augmented copies of one film
on both sides, so they are kept as ``export_split`` and not followed. A copy that Roboflow made, such as
``stem_jpg.rf.<hash>.jpg``, names the film it is made of as its family. A films.csv in the folder of films is read as
`fracture.data.sources.annotated` says.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from unicodedata import normalize

from fracture.core.errors import BadValue, MissingData
from fracture.core.folders import Tree, may_be_film, walk
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Drawn, FractureClasses, class_list, keypoint_shape, read_yolo, sort_out
from fracture.data.names import fold
from fracture.data.names import stem as film_stem
from fracture.data.sources.annotated import SIDECAR, Facts, Films, native_ids, read_sidecar
from fracture.imaging.dicom import is_dicom
from fracture.imaging.raster import is_raster

CLASS_LISTS = ("data.yaml", "data.yml", "meta.yaml", "meta.yml")
NO_LABEL = "no label: nobody said"

_FILMS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom")
_HEAD_BYTES = 4096
_NOT_LABELS = re.compile(r"(readme.*|license.*|classes|train|val|valid|test)", re.IGNORECASE)
_COPY = re.compile(rf"(.+?)(?:_(?:{'|'.join(suffix[1:] for suffix in _FILMS)}))?\.rf\.[0-9a-z]+", re.IGNORECASE)
_SPLITS = {"train": "train", "valid": "val", "val": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class _Entry:
    """A film, its label and its row of films.csv, as far as they exist; ``inside`` is its place in the export."""

    film: Path
    inside: PurePath
    label: Path | None = None
    facts: Facts = field(default_factory=Facts)
    attributes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str | None = None


def claims(images: Path, labels: Path, about: Provenance, data_yaml: Path | None = None) -> Iterator[Claim]:
    """Give one claim per film below ``images`` and per label below ``labels`` that has no film.

    Raises, before the first claim, MissingData where films or labels are not there, and BadValue where the fracture
    classes cannot be found in the class list: ``data_yaml``, or the one that lies in these folders or above them.
    """
    tree, films = films_below(images)
    folders = (images, labels, images.parent, labels.parent)
    names, keypoints = class_names(folders, data_yaml), keypoint_shapes(folders, data_yaml)
    fractures = fracture_names(about.classes, names)
    label_tree = walk(labels)
    texts = [path for path in label_tree.names if path.suffix.lower() == ".txt"]
    pairs = _pair(films, tree, texts, labels)
    if not pairs:
        raise MissingData(f"expected labels (.txt) of the films of {images} in {labels}, found none{label_tree.why}")
    entries = _entries(films, images, texts, labels, pairs) + _unread(tree, label_tree)
    ids = _ids([entry.inside for entry in entries])
    return (_claim(entry, name, (names, keypoints), fractures, about) for entry, name in zip(entries, ids, strict=True))


def films_below(root: Path) -> tuple[Tree, list[Path]]:
    """Find all files of a folder, and among them the films: by their suffix, else by how their content begins.

    Raises MissingData where there are none.
    """
    tree = walk(root)
    found = [
        path for path in tree.files if path.suffix.lower() in _FILMS or (may_be_film(path) and _begins_as_film(path))
    ]
    if not found:
        raise MissingData(f"expected films ({', '.join(_FILMS)}) in {root}, found none{tree.why}")
    return tree, found


def _begins_as_film(path: Path) -> bool:
    """Tell whether a file of another suffix or none is a film. One that cannot be opened may be: reading it decides."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return True
    return is_raster(head) or is_dicom(head)


def class_names(folders: Iterable[Path], data_yaml: Path | None = None) -> tuple[str, ...] | None:
    """Read the class list, ``data_yaml`` or else the one in these folders; None where there is none.

    Raises BadValue where several lists disagree.
    """
    if data_yaml is not None:
        return class_list(data_yaml)
    found = {path: class_list(path) for folder in folders for name in CLASS_LISTS if (path := folder / name).is_file()}
    if len(set(found.values())) > 1:
        raise BadValue(f"expected one class list, got {', '.join(map(str, found))}; name the right one: --data-yaml")
    return next(iter(found.values()), None)


def keypoint_shapes(folders: Iterable[Path], data_yaml: Path | None = None) -> tuple[int, int] | None:
    """Read how many keypoints follow a box where `class_names` reads the classes; None where none do.

    Raises BadValue where several lists disagree.
    """
    lists = [data_yaml] if data_yaml else [folder / name for folder in folders for name in CLASS_LISTS]
    shapes = {keypoint_shape(path) for path in lists if path.is_file()}
    if len(shapes) > 1:
        raise BadValue(f"expected one kpt_shape, got {', '.join(map(str, shapes))}; name the right list: --data-yaml")
    return next(iter(shapes), None)


def fracture_names(classes: FractureClasses, names: Sequence[str] | None) -> frozenset[str] | None:
    """Find the fractures in a class list; None means that whatever is drawn is one.

    Raises BadValue where they are not in it, and where they are wanted by name and there is no list.
    """
    if classes.everything:
        return None
    if names is None and classes.index is not None:
        names = [str(number) for number in range(classes.index + 1)]
    if names is None:
        raise BadValue(
            f"expected a class list to find {', '.join(map(repr, classes.names))} in, and there is none: "
            "name it with --data-yaml, or give the number of the class with --fracture-class"
        )
    return classes.of(names)


def original(film: PurePath) -> str | None:
    """Give the name of the film of which Roboflow made this augmented copy, None where it is no such copy."""
    match = _COPY.fullmatch(film.stem)
    return match[1] if match else None


def export_split(film: Path, root: Path) -> dict[str, str]:
    """Give the attribute that names the split folder a film lies in, none where it lies in no such folder."""
    folders = (part.lower() for part in film.relative_to(root).parts[:-1])
    split = next((_SPLITS[folder] for folder in folders if folder in _SPLITS), None)
    return {"export_split": split} if split else {}


def _entries(
    films: Sequence[Path], images: Path, texts: Sequence[Path], labels: Path, pairs: Mapping[Path, Path]
) -> list[_Entry]:
    """List the entries: films, then labels without a film, then rows of films.csv without one."""
    keys = {film: normalize("NFC", film.relative_to(images).as_posix()) for film in films}
    rows = read_sidecar(Films(images, {key: film for film, key in keys.items()}))
    users = Counter(pairs.values())
    entries = []
    for film, key in keys.items():
        label = pairs.get(film)
        notes = () if label else (NO_LABEL,)
        if label and users[label] > 1:
            notes = (f"{users[label]} films of one name share a label",)
        facts = rows.pop(key, Facts())
        entries.append(_Entry(film, film.relative_to(images), label, facts, export_split(film, images), notes))
    for text in texts:
        if text not in users and not _NOT_LABELS.fullmatch(text.stem):
            inside = text.relative_to(labels)
            film = images / _swap(inside, "labels", "images").with_suffix(films[0].suffix)
            problem = f"label {inside.as_posix()} without a film"
            entries.append(_Entry(film, inside, text, problem=problem, attributes=export_split(film, images)))
    for key, facts in rows.items():
        entries.append(_Entry(images / key, PurePath(key), facts=facts, problem=f"named in {SIDECAR}, no film on disk"))
    return entries


def _unread(films: Tree, labels: Tree) -> list[_Entry]:
    """List what could not be opened and may be a film, a label or a folder of them."""
    kinds = ((films, _FILMS), (labels, (".txt",)))
    found = {
        one.path: _Entry(one.path, one.path.relative_to(tree.root), problem=f"cannot be looked at: {one.reason}")
        for tree, suffixes in kinds
        for one in tree.unread
        if one.path != tree.root and (one.is_folder or one.path.suffix.lower() in suffixes)
    }
    return list(found.values())


def _pair(films: Sequence[Path], tree: Tree, texts: Sequence[Path], labels: Path) -> dict[Path, Path]:
    """Find the label of every film that has one: by the rule for folders, else by a name that only these two share."""
    pairs: dict[Path, Path] = {}
    # A film may have its label under another of its names, and tools change the case of names.
    named = [*((film, film) for film in films), *((film, link) for link, film in tree.again.items())]
    for spelled in (str, fold):
        known: dict[str, list[Path]] = {}
        for text in set(texts) - set(pairs.values()) if pairs else texts:
            known.setdefault(spelled(text.relative_to(labels).as_posix()), []).append(text)
        for film, name in named:
            beside = name.relative_to(tree.root).with_name(f"{_stem(name)}.txt")
            places = (_swap(beside, "images", "labels"), beside, _swap(beside, "images"))
            found = [known[key] for place in places if (key := spelled(place.as_posix())) in known]
            if film not in pairs and found and len(found[0]) == 1:
                pairs[film] = found[0][0]
    left = _by_stem(film for film in films if film not in pairs)
    left_texts = _by_stem(set(texts) - set(pairs.values()))
    for stem, namesakes in left.items():
        texts_here = left_texts.get(stem, [])
        if len(namesakes) == len(texts_here) == 1:
            film, label = namesakes[0], texts_here[0]
            here, there = export_split(film, tree.root), export_split(label, labels)
            if not here or not there or here == there:
                pairs[film] = label
    return pairs


def _by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Sort films and labels by their name without any suffix of a film: some tools write x.png.txt."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(fold(film_stem(_stem(path))), []).append(path)
    return found


def _stem(path: Path) -> str:
    """Give a name without its suffix; the last number of a DICOM UID is none."""
    return path.name if path.suffix[1:].isdecimal() else path.stem


def _swap(inside: PurePath, folder: str, *instead: str) -> PurePath:
    """Give a path with its last folder of that name replaced, or left out."""
    parts = list(inside.parts)
    at = max((at for at, part in enumerate(parts[:-1]) if part.lower() == folder), default=None)
    if at is not None:
        parts[at : at + 1] = instead
    return PurePath(*parts)


def _ids(insides: Sequence[PurePath]) -> list[str]:
    """Name films by their paths, without folders called images or labels unless two films would then share a name."""
    short = ["/".join(part for part in inside.parts if part.lower() not in {"images", "labels"}) for inside in insides]
    count = Counter(short)
    keys = [name if count[name] == 1 else inside.as_posix() for name, inside in zip(short, insides, strict=True)]
    names = native_ids(keys)
    return [names[key] for key in keys]


def _claim(
    entry: _Entry,
    native: str,
    classes: tuple[Sequence[str] | None, tuple[int, int] | None],
    fractures: frozenset[str] | None,
    about: Provenance,
) -> Claim:
    drawn: tuple[Drawn, ...] | None = None
    problem = entry.problem
    if entry.label:
        try:
            drawn = read_yolo(entry.label, *classes)
        except BadValue as error:
            problem = str(error)
    objects = sort_out(drawn or (), fractures)
    looked = bool(drawn) or (drawn is not None and about.empty_is_normal)
    return about.claim(
        native,
        entry.film,
        objects,
        looked=looked,
        relative=True,
        family=original(entry.film),
        attributes={**entry.attributes, **entry.facts.attributes},
        notes=entry.notes,
        problem=problem,
        **entry.facts.known(),
    )
