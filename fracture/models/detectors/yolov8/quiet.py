"""Ultralytics (AGPL-3.0), imported with every connection to the outside switched off."""

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any


@cache
def ultralytics() -> Any:
    """Import Ultralytics with every connection to the outside switched off."""
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path("runs").resolve() / ".ultralytics"))
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_OFFLINE"] = "true"
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    import ultralytics as library
    from matplotlib import font_manager
    from ultralytics.utils import SETTINGS, USER_CONFIG_DIR
    from ultralytics.utils.events import events

    loggers = ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "tensorboard", "wandb")
    dict.update(SETTINGS, {"sync": False, **dict.fromkeys(loggers, False)})
    events.enabled = False
    # Its plots would fetch a font; one that is here already takes that font's name.
    font = Path(USER_CONFIG_DIR) / "Arial.ttf"
    if not font.exists():
        shutil.copyfile(font_manager.findfont("DejaVu Sans"), font)
    return library
