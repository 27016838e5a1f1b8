"""What several tests share: a phantom FracAtlas with every trap, and the real mini set where it lies."""

from pathlib import Path

import numpy as np
import pytest

from fracture.core.types import HarmoniseConfig
from fracture.data.assemble import assemble
from fracture.data.ingest import ingest
from fracture.data.preprocess import preprocess
from fracture.data.sources import claims
from fracture.phantom import write_fracatlas

MINI = Path(__file__).parents[1].parent / "shared/data/fracatlas-mini"


def pytest_addoption(parser):
    """Let `make schema` look longer than `make test` does."""
    parser.addoption("--long", action="store_true", help="look for minutes where the rule is seconds")


def pytest_collection_modifyitems(config, items):
    """Leave out what takes long and shows little that other tests do not; begin with what trains.

    A file of tests stays in one process (`make test`), so the longest must not come last.
    """
    items.sort(key=lambda item: not item.path.is_relative_to(config.rootpath / "tests/training"))
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long: run it with --long"))


@pytest.fixture(scope="session")
def fracatlas_tree(tmp_path_factory):
    """Give (root, traps) of a phantom FracAtlas. Shared by all tests: read it, never write into it."""
    root = tmp_path_factory.mktemp("native") / "FracAtlas"
    return root, write_fracatlas(root, np.random.default_rng(20240229))


@pytest.fixture(scope="session")
def mini_fracatlas():
    """Give the root of 159 real films in FracAtlas' native layout."""
    if not MINI.is_dir():
        pytest.skip("the real films of shared/data/fracatlas-mini are not beside this checkout")
    return MINI


@pytest.fixture(scope="session")
def tiny_dataset(fracatlas_tree, tmp_path_factory) -> Path:
    """Give the dataset.yaml of a phantom FracAtlas, harmonised and split."""
    root, _ = fracatlas_tree
    folder = tmp_path_factory.mktemp("tiny")
    ingest(claims("fracatlas", root), folder / "stage", copy=True)
    preprocess(folder / "stage", folder / "proc", HarmoniseConfig(long_side_px=256))
    assemble([folder / "proc"], folder / "dataset_v5", val=0.25, test=0.2, seed=0, copy=True)
    names = "path: dataset_v5\ntrain: images/train\nval: images/val\ntest: images/test\nnames:\n  0: fracture\n"
    (folder / "dataset.yaml").write_text(names)
    return folder / "dataset.yaml"
