"""What every source in the table keeps, on a tiny native tree: nothing lost, nothing guessed, terms said."""

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import REGIONS
from fracture.data.ingest import Claim, ingest
from fracture.data.sources import SOURCES, account, claims

FILMS = {".png", ".jpg"}


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def film(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(path.name).encode()]).integers(0, 255, (30, 40))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def roboflow(root, names):
    """Write an export with a fracture, an empty label, a label without film and a film without label."""
    write(root / "data.yaml", f"names: {names}\nnc: {len(names)}\nroboflow: {{license: CC BY 4.0}}\n")
    for stem, text in {"a": "0 0.5 0.5 0.2 0.4", "b": "", "gone": "0 0.5 0.5 0.2 0.4"}.items():
        write(root / "train/labels" / f"{stem}_jpg.rf.{'0' * 32}.txt", text)
    for split, stem in (("train", "a"), ("train", "b"), ("valid", "c")):
        film(root / split / "images" / f"{stem}_jpg.rf.{'0' * 32}.jpg")


def humerus(root):
    roboflow(root, ["oblique", "segmental", "spiral", "transverse"])


def rf100(root):
    roboflow(root, ["angle", "fracture", "line", "messed_up_angle"])


def hip(root):
    sites = ("neck", "intertrochanteric", "subtrochanteric", "dislocation", "normal")
    roboflow(root, [f"{side}-{site}" for side in ("left", "right") for site in sites])


def grazpedwri(root):
    films = [f"000{patient}_1297860395_01_WRI-L1_M014" for patient in (1, 2, 3)]
    write(root / "dataset.csv", "filestem,fracture_visible\n" + "".join(f"{stem},\n" for stem in films[1:]))
    write(root / "yolov5/meta.yaml", "names: [metal, fracture]")
    for number, stem in enumerate(films):
        film(root / f"images_part{number + 1}" / f"{stem}.png")
    write(root / f"yolov5/labels/{films[0]}.txt", "1 0.5 0.5 0.2 0.4")
    write(root / f"yolov5/labels/{films[1]}.txt")
    write(root / "yolov5/labels/0004_1297860395_01_WRI-L1_M014.txt")


def mura(root):
    for part in ("train", "valid"):
        rows = []
        for area, patient, study, label in (
            ("XR_WRIST", 1, "study1_positive", 1),
            ("XR_FINGER", 2, "study1_negative", 0),
        ):
            place = f"{part}/{area}/patient0000{patient + 2 * (part == 'valid')}/{study}"
            film(root / place / "image1.png")
            rows.append(f"MURA-v1.1/{place}/,{label}\n")
        write(root / f"{part}_labeled_studies.csv", "".join(rows))


TREES = {"grazpedwri": grazpedwri, "humerus": humerus, "hip": hip, "rf100": rf100, "mura": mura}


@pytest.fixture(params=sorted(SOURCES))
def source(request, fracatlas_tree, tmp_path):
    """Give the name of a source and the root of a tree in its layout."""
    if request.param == "fracatlas":
        return request.param, fracatlas_tree[0]
    root = tmp_path / "a tree of films"
    TREES[request.param](root)
    return request.param, root


def test_every_claim_has_an_id_of_its_own_under_its_source(source):
    name, root = source
    found = list(claims(name, root))
    assert found
    assert all(isinstance(claim, Claim) for claim in found)
    assert len({claim.image_id for claim in found}) == len(found)
    assert all(claim.source == name and claim.image_id.startswith(f"{name}/") for claim in found)
    assert not any(claim.image_id == f"{name}/" for claim in found)


def test_the_terms_and_the_regions_are_said(source):
    name, root = source
    for claim in claims(name, root):
        assert claim.licence
        assert claim.attribution
        assert claim.regions
        assert claim.regions <= set(REGIONS)


def test_an_unknown_film_is_never_normal(source):
    for claim in claims(*source):
        if claim.fractured is None:
            assert claim.boxes != ()
        if claim.boxes:
            assert claim.fractured is True or claim.weak
        if claim.abnormal is False:
            assert claim.fractured is False


def test_every_film_on_disk_is_claimed(source):
    name, root = source
    on_disk = {path for path in root.rglob("*") if path.suffix in FILMS}
    found = list(claims(name, root))
    assert on_disk <= {claim.file for claim in found}
    assert all(claim.problem for claim in found if claim.file not in on_disk)


def test_claims_are_the_same_every_time(source):
    assert list(claims(*source)) == list(claims(*source))


def test_ingest_accounts_for_every_claim(source, tmp_path):
    found = list(claims(*source))
    records = ingest(found, tmp_path / "out", workers=1)
    aside = [record for record in records if record.split == "set_aside"]
    assert [record.image_id for record in records] == [claim.image_id for claim in found]
    assert all(record.attributes["reason"] for record in aside)
    assert {claim.image_id for claim in found if claim.problem} <= {record.image_id for record in aside}
    kept = len(records) - len(aside)
    assert account(found, records).startswith(f"{len(found)} films in = {kept} kept + {len(aside)} set aside\n")
    for record in records:
        label = tmp_path / "out/labels" / f"{record.image_id.replace('/', '__')}.txt"
        if record.fractured is None:
            assert not label.exists()


def test_a_wrong_tree_is_refused_before_the_first_claim(source, tmp_path):
    name, _ = source
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match=str(tmp_path / "empty")):
        list(claims(name, tmp_path / "empty"))


def test_an_unknown_source_answers_with_the_known_ones(tmp_path):
    with pytest.raises(BadValue, match=r"fracatlas, grazpedwri, hip, humerus, mura, rf100, got 'graz'"):
        claims("graz", tmp_path)
