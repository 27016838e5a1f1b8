"""The checkpoint of a card's network, whatever kind of network it is, run by its own library."""

from pathlib import Path

from fracture.models.card import ModelCard
from fracture.models.classifiers.export import torch_network
from fracture.models.detectors.table import detector
from fracture.models.network import Network


def checkpoint_network(card: ModelCard, checkpoint: Path) -> Network:
    """Open a checkpoint. Raises BadValue for one of another architecture than the card's."""
    return torch_network(card.arch, checkpoint)[0] if card.heads else detector(card.arch).network(checkpoint)
