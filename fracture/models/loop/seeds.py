"""Where chance comes from in a run."""

import numpy as np


def seed(number: int) -> None:
    """Have all that a run draws follow from ``number``: an epoch is the same whether or not a run was killed."""
    import random

    import torch

    random.seed(number)  # augmentation of Ultralytics draws from all three
    np.random.seed(number % 2**32)  # noqa: NPY002
    torch.manual_seed(number)
