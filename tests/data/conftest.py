"""The phantom FracAtlas as far as a harmonised stage."""

import pytest

from fracture.core.types import HarmoniseConfig
from fracture.data.ingest import ingest
from fracture.data.preprocess import preprocess
from fracture.data.sources import claims


@pytest.fixture(scope="session")
def phantom_stages(fracatlas_tree, tmp_path_factory):
    """Give (ingested stage, harmonised stage, traps). Shared by all tests: read them, never write into them."""
    root, traps = fracatlas_tree
    folder = tmp_path_factory.mktemp("stages")
    ingest(claims("fracatlas", root), folder / "ingested", workers=2)
    preprocess(folder / "ingested", folder / "harmonised", HarmoniseConfig(), workers=2)
    return folder / "ingested", folder / "harmonised", traps
