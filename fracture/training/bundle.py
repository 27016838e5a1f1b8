"""From a training run to a bundle that can be served, with its thresholds and calibration measured on validation."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture import __version__
from fracture.core import boxes
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash, write_bytes
from fracture.core.types import REGIONS, Detections, HarmoniseConfig, ImageRecord
from fracture.data import manifest
from fracture.data.duplicates import Trace, traces
from fracture.data.yolo import DATASET, Dataset, load_dataset
from fracture.evaluation import comparison
from fracture.evaluation.cases import Cases, films_of, join
from fracture.evaluation.measure import RESAMPLES, choose_points, measured_on
from fracture.evaluation.run import PREDICTIONS, dataset_id, load_records, predict, progress
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.metrics.calibration import fit
from fracture.models import card as cards
from fracture.models import scope as scopes
from fracture.models import yolo
from fracture.models.card import INT8, ModelCard
from fracture.models.merge import merge
from fracture.models.quantise import quantise
from fracture.models.runtime import Network, OnnxNetwork, OpenVinoNetwork, check_numbers
from fracture.models.scope import FLAG

NMS_IOU = 0.5
STRIDE = 32
PARITY_FILMS = 48
PARITY_SCORE = 0.05
"""What scores below this is noise: left out where two networks' answers are compared."""
CALIBRATION_FILMS = 300
SPEED_FILMS = 40
MOST_OUTSIDE = 0.03
"""Share of val films that an 8-bit network may take for another kind; in float it is a third of that."""


def bundle(run: Path, *, version: str = __version__, long_side_px: int | None = None) -> ModelCard:
    """Make a run servable: export its best checkpoints, prove parity, measure operating points on val, write the card.

    ``long_side_px`` is the scale films are read at, the training scale if not named. Raises BadValue where the exported
    network does not answer as the checkpoint does.
    """
    reference, dataset = trained(run, version=version, long_side_px=long_side_px)
    records = load_records(dataset.root)
    with cards.renewed(run) as made:
        model = export(run, made / "model.onnx", reference.card.long_side_px)
        scope = embed_scope(model, reference, dataset.root, records)
        films = cards.save_films(splits_of(records), known_by(records, dataset.root, reference.card), made)
        card = replace(
            reference.card,
            files=reference.card.files | {file.name: file_hash(file) for file in (films, model)},
            intended=intended(films_of(records, "train")),
        )
        exported = Reader(card, OnnxNetwork(model), run)
        parity = compare(reference, exported, parity_films(dataset))
        card = measured(replace(card, measured={"parity": parity, "scope": scope}), exported, dataset.root, run)
        cards.save(card, made)
    return card


def trained(run: Path, *, version: str = __version__, long_side_px: int | None = None) -> tuple[Reader, Dataset]:
    """Give a reader of a run's best checkpoints, whose card says how to feed it and nothing measured; and its dataset.

    Raises MissingData where the folder is no run or lacks a checkpoint.
    """
    config = yolo.run_config(run)
    dataset = load_dataset(Path(config.data))
    found = yolo.checkpoints(run)
    card = ModelCard(
        model_id=config.name,
        version=version,
        classes=dataset.names,
        long_side_px=long_side_px or config.imgsz,
        stride=STRIDE,
        nms_iou=NMS_IOU,
        harmonise=yolo.harmonise_config_of(dataset),
        files={file.relative_to(run).as_posix(): file_hash(file) for file in found},
        members=len(found),
        training={
            # Names, not places: a card goes to other machines.
            "config": asdict(config) | {key: Path(getattr(config, key)).name for key in ("model", "start")},
            "dataset_id": dataset_id(dataset.root),
            "finished": yolo.finished_on(run),
            "epochs_run": yolo.epochs_run(run),
        },
    )
    return Reader(card, yolo.TorchNetworks(found), run), dataset


def export(run: Path, target: Path, long_side_px: int) -> Path:
    """Export a run's best checkpoints to one ONNX file."""
    found = yolo.checkpoints(run)
    if len(found) == 1:
        return yolo.export_onnx(found[0], target, long_side_px)
    with TemporaryDirectory() as place:
        parts = [Path(place) / f"{number}.onnx" for number in range(len(found))]
        return merge([yolo.export_onnx(*pair, long_side_px) for pair in zip(found, parts, strict=True)], target)


def embed_scope(model: Path, reader: Reader, root: Path, records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Teach an exported network what kind its train films are; say so as a card has it."""
    described = {}
    for split in ("train", "val"):
        films = films_of(records, split)
        pixels = network_inputs(reader, [root / film.path for film in films])
        described[split] = np.array(list(progress(scopes.describe(model, pixels), len(films))))
    groups = [film.group_id or film.image_id for film in films_of(records, "train")]
    scope, unseen = scopes.fit(described["train"], described["val"], groups)
    scopes.embed(model, scope)
    val = len(described["val"])
    return {
        "train_films": len(described["train"]),
        "unseen_films": len(unseen),
        "unseen_films_outside": int((unseen > 1).sum()),
        "val_films": val,
        "val_films_outside": int((unseen[-val:] > 1).sum()),
        "stage": scopes.STAGE,
    }


def intended(train: Sequence[ImageRecord]) -> dict[str, Any]:
    """Say which films a model is meant for: those it was trained on, as a card has it.

    Regions with their films and fractured films, the regions no film is labelled with (FracAtlas calls a wrist a hand),
    sources, and years of age where the manifest tells them (column ``x_age``).
    """
    films = Counter(region for record in train for region in record.regions)
    broken = Counter(region for record in train if record.fractured for region in record.regions)
    ages = sorted(
        float(age) for record in train if (age := record.attributes.get("age", "")).replace(".", "", 1).isdigit()
    )
    return {
        "regions": {name: {"films": films[name], "fractured": broken[name]} for name in REGIONS if films[name]},
        "never_labelled": [name for name in REGIONS if not films[name] and name != "unknown"],
        "sources": sorted({record.source for record in train}),
        "ages_years": [ages[0], ages[-1]] if ages else None,
    }


def splits_of(records: Sequence[ImageRecord]) -> dict[str, str]:
    """Give the split of every film that is in one."""
    return {record.image_id: record.split for record in records if record.split not in {None, "set_aside"}}


def known_by(records: Sequence[ImageRecord], root: Path, card: ModelCard) -> dict[str, Trace]:
    """Give by what the films of a dataset are known again, in whatever file and under whatever name."""
    there = [record for record in records if record.split not in {None, "set_aside"}]
    seen = traces([root / record.path for record in there], card.harmonise)
    # A harmonised film's own greys are no one's; those of the film that it was made of stand in the manifest.
    return {
        record.image_id: replace(found, pixel_sha256=record.attributes.get("pixel_sha256", found.pixel_sha256))
        for record, found in zip(there, seen, strict=True)
    }


def add_hashes(folder: Path, root: Path) -> tuple[ModelCard, int]:
    """Write into a bundle by what its films are known again, from the dataset it was made with; say how many are.

    Raises BadValue for a dataset that has none of its films, MissingData for a bundle that does not name them.
    """
    card, films = cards.load(folder), cards.films(folder)
    if not films:
        raise MissingData(f"{folder} has no {cards.FILMS}: make it anew with --run")
    records = [record for record in load_records(root) if record.image_id in films]
    known = cards.film_traces(folder) | {
        image_id: one for image_id, one in known_by(records, root, card).items() if one != Trace()
    }
    if not known:
        raise BadValue(f"dataset: expected some of the {len(films)} films the model was made with, got none")
    with cards.renewed(folder) as made:
        told = cards.save_films(films, known, made)
        card = replace(card, files=card.files | {told.name: file_hash(told)})
        cards.save(card, made)
    return card, len(known)


def measure(folder: Path, root: Path) -> ModelCard:
    """Measure a bundle's operating points and calibration on the val films of a dataset, and write them into its card.

    Films are prepared as the dataset's are. Where that is not how the card prepares them, the card takes it over and
    the network learns its scope anew, as films that are prepared otherwise look otherwise. Raises BadValue where the
    bundle names the films it was made with and these val films are not the same, or where it holds an 8-bit network,
    which was made for films as they were.
    """
    reader = Reader.load(folder)
    records = load_records(root)
    _check_val(folder, records)
    prepared = yolo.harmonise_config_of(load_dataset(root / DATASET))
    with cards.renewed(folder) as made:
        if prepared != reader.card.harmonise:
            reader = _prepared_otherwise(reader, prepared, root, records, made)
        card = measured(reader.card, reader, root, made)
        # What was found on test was found at other thresholds.
        card = replace(card, measured={what: told for what, told in card.measured.items() if what != "test"})
        shutil.rmtree(made / PREDICTIONS)
        cards.save(card, made)
    return card


def _prepared_otherwise(
    reader: Reader, prepared: HarmoniseConfig, root: Path, records: Sequence[ImageRecord], made: Path
) -> Reader:
    """Give a reader of films that are prepared otherwise, its network with its new scope in the folder ``made``."""
    card, folder = replace(reader.card, harmonise=prepared), reader.folder
    if folder is None or set(INT8) <= card.files.keys():
        raise BadValue(f"{card.model_id}: expected a bundle without an 8-bit network, make that again afterwards")
    [name] = [name for name in card.files if name.endswith(".onnx") and (folder / name).is_file()]
    model = Path(shutil.copy(folder / name, made / name))
    scope = embed_scope(model, Reader(card, reader.network), root, records)
    files = card.files | {name: file_hash(model)}
    # How far an 8-bit network is from this one was measured on films as they were.
    kept = {what: told for what, told in card.measured.items() if what != "int8"}
    card = replace(card, files=files, measured=kept | {"scope": scope})
    return Reader(card, OpenVinoNetwork(model), folder)


def add_test(folder: Path, report: Mapping[str, Any]) -> ModelCard:
    """Write into a bundle's card what each of its modes does on test films, as a report says.

    Films are counted as they are flagged by the service where the report says so, else by their scores. Raises BadValue
    for a report of other files or thresholds, on another split than test, or on films the model was made with.
    """
    card = cards.load(folder)
    # The list of films may have learnt more of them since: it is no part of what answers.
    ours, theirs = (
        {n: h for n, h in files.items() if n != cards.FILMS} for files in (card.files, report["model"]["files"])
    )
    if ours != theirs:
        raise BadValue(f"test report: expected one of this bundle's files, got {report['model']['id']}'s")
    if report["data"]["split"] != "test":
        raise BadValue(f"test report: expected the split test, got {report['data']['split']!r}")
    if report["model_was_made_with"]:
        raise BadValue(f"test report: the model was made with {len(report['model_was_made_with'])} of its films")
    flagged = report["film"].get("flagged") or report["film"]["at"]
    told = {point["name"]: point["threshold"] for point in report["points"]}
    modes = {}
    for point in card.operating_points:
        if told.get(point.name) != point.threshold:
            raise BadValue(f"test report: expected {point.name} at {point.threshold:g}, got {told.get(point.name)}")
        rates = {rate: flagged[point.name][rate] for rate in ("sensitivity", "specificity")}
        modes[point.name] = {"threshold": point.threshold} | rates
    data = report["data"]
    sources = " and ".join(report["slices"].get("source", {})) or data["name"]
    films = f"{sources} test, {data['fractured']} with and {data['normal']} without a fracture"
    about = {"films": films, "dataset_id": data["dataset_id"], "date": report["made"]["date"], "modes": modes}
    card = replace(card, measured=card.measured | {"test": about})
    cards.save(card, folder)
    return card


def bundle_int8(folder: Path, root: Path, *, most_drop: float = 0.005, least_gain: float = 1.2) -> ModelCard:
    """Quantise a bundle's network on train films, measure both on val, ship the 8-bit one where it is good enough.

    It ships where its AP at IoU 0.5 is at most ``most_drop`` lower and it is at least ``least_gain`` times as fast on
    this machine. What was measured stands in the card either way, and operating points and calibration are those of the
    network that serves. Raises MissingData for a bundle without an ONNX file, BadValue as `measure` does.
    """
    card = cards.load(folder)
    records = load_records(root)
    _check_val(folder, records)
    exported = [folder / name for name in card.files if name.endswith(".onnx") and (folder / name).is_file()]
    if not exported:
        raise MissingData(f"{folder}: no .onnx to quantise that {cards.NAME} vouches for")
    served_int8 = set(INT8) <= card.files.keys()
    card = replace(card, files={name: known for name, known in card.files.items() if name not in INT8})
    whole = Reader(card, OpenVinoNetwork(exported[0]), folder)
    films = calibration_films(records, cards.films(folder))
    pixels = list(network_inputs(whole, [root / film.path for film in films]))
    with TemporaryDirectory() as place:
        made = Path(place)
        recipe = quantise(exported[0], pixels, made)
        with_int8 = replace(card, files=card.files | {name: file_hash(made / name) for name in INT8})
        small = Reader(with_int8, OpenVinoNetwork(made / INT8[0]), folder)
        expected, got = (val_cases(reader, root, made / name) for name, reader in (("whole", whole), ("small", small)))
        figures = differences(expected, got)
        strange = int(got.flagged(FLAG).sum())
        gain = times_as_fast(whole.network, small.network, pixels[:SPEED_FILMS])
        good = figures["map50"]["float"] - figures["map50"]["int8"] <= most_drop and gain >= least_gain
        ships = good and strange <= MOST_OUTSIDE * len(got.records)
        shipped = {name: (made / name).read_bytes() for name in INT8} if ships else {}
    card, val = (with_int8, got) if ships else (card, expected)
    named = dataset_id(root)
    about = {
        "shipped": ships,
        "measured_on": measured_on(val, named),
        **figures,
        "times_as_fast": round(gain, 2),
        "outside": strange,
    }
    rule = {"most_drop": most_drop, "least_gain": least_gain}
    card = replace(card, measured=card.measured | {"int8": about | {"ships_at": rule, "recipe": recipe}})
    if ships or served_int8:  # else the points are this network's already
        card = with_points(card, val, named)
    with cards.renewed(folder) as made:
        for name, content in shipped.items():
            write_bytes(made / name, content)
        cards.save(card, made)
    for name in set(INT8) - shipped.keys():
        (folder / name).unlink(missing_ok=True)
    return card


def calibration_films(records: Iterable[ImageRecord], made_with: Mapping[str, str]) -> list[ImageRecord]:
    """Choose train films to quantise with, fractured and normal ones alike; the same ones every time."""
    train = [r for r in films_of(records, "train") if made_with.get(r.image_id, "train") == "train"]
    rng = np.random.default_rng(0)
    chosen: list[ImageRecord] = []
    for kind in (True, False):
        films = [record for record in train if record.fractured is kind]
        chosen += [films[i] for i in rng.permutation(len(films))[: CALIBRATION_FILMS // 2]]
    return chosen


def differences(expected: Cases, got: Cases) -> dict[str, Any]:
    """Say how far the 8-bit network's answers are from those in float, as a card has it.

    Raises BadValue where nobody drew a box on these films.
    """
    rows = {row["name"]: row for row in comparison.on_the_same_films(got, expected, ((), ()), 0, RESAMPLES)["rows"]}
    figures: dict[str, Any] = {}
    for name, row in (("map50", rows["AP50"]), ("film_auc", rows["film AUC"])):
        if row["difference"]["value"] is None:
            raise BadValue(f"val films: expected both kinds and drawn boxes to measure {name} on, got none")
        figures[name] = {"float": row["other"]["value"], "int8": row["this"]["value"]}
        figures[name] |= {f"difference_{end}": row["difference"][end] for end in ("low", "high")}
    pairs = [pair for two in zip(expected.detections, got.detections, strict=True) for pair in counterparts(*two)]
    overlap, gap = np.array(pairs).reshape(-1, 2).mean(axis=0) if pairs else (1.0, 0.0)
    return {
        "films": len(got.records),
        **figures,
        "boxes": len(pairs),
        "mean_iou": round(float(overlap), 4),
        "mean_score_difference": round(float(gap), 4),
        "mean_film_score_difference": round(float(np.abs(got.scores - expected.scores).mean()), 4),
    }


def times_as_fast(whole: Network, small: Network, films: Iterable[NDArray[np.uint8]]) -> float:
    """Say how many times as fast the second network is, in turns on the same films; the median over them."""
    ratios = []
    for pixels in films:
        took = []
        for network in (whole, small):
            network(pixels)  # the first film of a shape compiles
            began = time.perf_counter()
            network(pixels)
            took.append(time.perf_counter() - began)
        ratios.append(took[0] / took[1])
    return float(np.median(ratios))


def measured(card: ModelCard, reader: Reader, root: Path, out: Path) -> ModelCard:
    """Give the card with operating points and calibration as ``reader`` reaches them on val."""
    return with_points(card, val_cases(reader, root, out), dataset_id(root))


def val_cases(reader: Reader, root: Path, out: Path) -> Cases:
    """Read the val films of a dataset."""
    films = films_of(load_records(root), "val")
    return join(films, predict(reader, root, films, out / "predictions" / "val.jsonl").answers, "val")


def with_points(card: ModelCard, val: Cases, named: str) -> ModelCard:
    """Give the card with operating points and calibration of these answers."""
    return replace(
        card,
        operating_points=choose_points(val, named),
        calibration=fit(val.scores, val.fractured, measured_on(val, named)),
    )


def _check_val(folder: Path, records: Sequence[ImageRecord]) -> None:
    """Raise BadValue where the bundle names the films it was made with and these val films are not the same."""
    made_with = {image_id for image_id, part in cards.films(folder).items() if part == "val"}
    val = {record.image_id for record in films_of(records, "val")}
    if made_with and val != made_with:
        raise BadValue(
            f"val films: expected the {len(made_with)} the model was chosen on, got {len(val)}, "
            f"{len(val - made_with)} of them others"
        )


def parity_films(dataset: Dataset) -> list[Path]:
    """Choose val films to compare networks on, fractured ones first."""
    films = [record for record in manifest.load(dataset.root) if record.split == "val"]
    films.sort(key=lambda record: (record.fractured is not True, record.image_id))
    return [dataset.root / record.path for record in films[:PARITY_FILMS]]


def compare(
    reference: Reader,
    other: Reader,
    films: Iterable[Path],
    limit: tuple[float, float, float] = (0.95, 0.01, 1.0),
) -> dict[str, Any]:
    """Compare two readers' networks by candidate.

    ``limit`` is the least IoU, the largest difference of a score, and how far an edge may move in px of the network's
    input: beside its IoU, as a large box would hide a shift. All of it before suppression: which of two candidates with
    nearly one score survives, and which others do then, hangs on the last digit. Raises BadValue where a candidate that
    is not noise to both, or the best of a film, differs by more, and where there is none; BrokenAnswer for numbers that
    are none.
    """
    worst_iou, worst_score, worst_edge, count, read = 1.0, 0.0, 0.0, 0, 0
    rows = 4 + len(reference.card.classes)
    for pixels in network_inputs(reference, films):
        expected, got = (reader.network(pixels)[:rows].astype(np.float64) for reader in (reference, other))
        check_numbers(expected)
        check_numbers(got)
        read += 1
        scores = np.maximum(expected[4:].max(axis=0), got[4:].max(axis=0))
        # Where nothing is sure the best candidate counts: a comparison of nothing would prove nothing.
        sure = scores >= min(PARITY_SCORE, float(scores.max(initial=0)))
        if not sure.any():
            continue
        count += int(sure.sum())
        corners = [np.vstack([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2])[:, sure].T for raw in (expected, got)]
        worst_iou = min(worst_iou, float(np.diag(boxes.iou(*corners)).min()))
        worst_score = max(worst_score, float(np.abs(expected[4:, sure] - got[4:, sure]).max()))
        worst_edge = max(worst_edge, float(np.abs(corners[0] - corners[1]).max()))
    if not count:
        raise BadValue(f"parity: expected films with candidates to compare, got {read} films and no candidate")
    if worst_iou < limit[0] or worst_score > limit[1] or worst_edge > limit[2]:
        raise BadValue(
            f"{other.network.name} does not answer as {reference.network.name} does: expected IoU of at least "
            f"{limit[0]}, scores within {limit[1]} and edges within {limit[2]} px, got {worst_iou:.4f}, "
            f"{worst_score:.4f} and {worst_edge:.2f} px over {count} candidates"
        )
    return {
        "reference": reference.network.name,
        "compared": other.network.name,
        "films": read,
        "candidates": count,
        "least_iou": round(worst_iou, 5),
        "largest_score_difference": round(worst_score, 6),
        "farthest_edge_px": round(worst_edge, 3),
    }


def counterparts(expected: Detections, got: Detections) -> Iterator[tuple[float, float]]:
    """Give, for every box of either that is not noise, its IoU with the other's nearest and their scores' gap."""
    for one, two in ((expected, got), (got, expected)):
        sure = one.above(PARITY_SCORE)
        for box, score in zip(sure.xyxy, sure.score, strict=True):
            overlap = boxes.iou(box[None], two.xyxy)[0] if len(two) else np.zeros(1)
            best = int(overlap.argmax())
            yield float(overlap[best]), abs(float(score - two.score[best])) if len(two) else 1.0
