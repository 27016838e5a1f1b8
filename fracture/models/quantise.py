"""An 8-bit network: post-training quantisation by NNCF, calibrated on films as the Reader feeds them.

Convolutions compute in 8-bit integers; what enters and leaves the network stays float32. Left in float32 are the class
branch of the detection head, where nearly all that scores lose is lost, the decoding of boxes, and the first stage,
which gains little by it; and scope and film head, which are a few numbers. JOURNAL.md has the figures.
"""

import logging
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.models.card import INT8
from fracture.models.network import DIVISOR, network_tensor
from fracture.models.runtime import import_openvino

PRESET = "mixed"
SCOPE, FILM = "scope_.*", "film_.*"
_FAR = 0.95
"""Where distances from the scope are made equal: near the limit, where it matters, and with films enough beyond."""
_STAGE = re.compile(r"/model\.(\d+)/")


def quantise(
    network: Path, films: Sequence[NDArray[np.uint8]], folder: Path, divisor: float = DIVISOR
) -> dict[str, Any]:
    """Quantise an ONNX file of Ultralytics' into ``folder``, as the files that `fracture.models.card.INT8` names.

    ``films`` are the (H, W, 3) pixels that the network is fed, to learn the ranges of its activations from; shapes may
    differ. Gives the recipe, as a card has it. Raises BadValue without films and for layers that are not named as
    Ultralytics names them.
    """
    if not films:
        raise BadValue("calibration films: expected at least one, got none")
    openvino = import_openvino()  # before NNCF, which reports its use in the same way
    import nncf

    nncf.set_log_level(logging.ERROR)
    # Converting folds each bias into a constant and each activation into one node, as the file itself does not have
    # them. NNCF corrects only biases that are constants, and quantises what lies between the nodes of an activation.
    model = openvino.convert_model(str(network))
    in_float = _in_float([operation.get_friendly_name() for operation in model.get_ops()])
    quantised = nncf.quantize(
        model,
        nncf.Dataset(films, partial(network_tensor, divisor=divisor)),
        preset=nncf.QuantizationPreset(PRESET),
        subset_size=len(films),
        ignored_scope=nncf.IgnoredScope(patterns=in_float),
        # Weights in 7 bits. In 8, processors without VNNI overflow, and would not give the answer that was measured.
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )
    about_scope = _rescale_scope(quantised, model, films, divisor) if SCOPE in in_float else {}
    # Where a network came from and how it was made stand in the card; here they would carry this machine's paths.
    for about in ("conversion_parameters", "nncf"):
        if quantised.has_rt_info(about):
            del quantised.get_rt_info()[about]
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantised, str(folder / INT8[0]))
    return {
        "tool": f"nncf {nncf.__version__}",
        "preset": PRESET,
        "overflow_fix": "all weights",
        "films": len(films),
        "in_float": in_float,
    } | about_scope


def _rescale_scope(quantised: Any, whole: Any, films: Sequence[NDArray[np.uint8]], divisor: float) -> dict[str, float]:
    """Have the 8-bit network find films as far from its scope as the float one does.

    The scope is computed in float of a stage that is not: noise adds to every distance, and one in a hundred films
    beyond the limit would become several. The distances are divided by what the far films have grown by.
    """
    import openvino

    far = []
    for model in (whole, quantised):
        network = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        far.append(
            float(np.quantile([network(network_tensor(pixels, divisor))[0][0, -1, 0] for pixels in films], _FAR))
        )
    grown = far[1] / max(far[0], 1e-6)
    distance = next(one for one in quantised.get_ops() if one.get_friendly_name() == "scope_distance")
    readers = list(distance.output(0).get_target_inputs())
    scaled = openvino.opset13.multiply(distance.output(0), openvino.opset13.constant(np.float32(1 / grown)))
    for reader in readers:
        reader.replace_source_output(scaled.output(0))
    return {"scope_grown": round(grown, 4)}


def _in_float(operations: Sequence[str]) -> list[str]:
    """Name, by patterns, what stays in float32."""
    stages = [int(stage[1]) for name in operations if (stage := _STAGE.match(name))]
    head = max(stages, default=0)
    if not any(name.startswith(f"/model.{head}/cv3.") for name in operations):
        raise BadValue(f"network: expected layers named as Ultralytics names a detector's, got none of {head}/cv3")
    added = [kind for kind in (SCOPE, FILM) if any(re.match(kind, name) for name in operations)]
    floats = (r"/model\.0/.*", rf"/model\.{head}/cv3\..*", rf"/model\.{head}/(dfl/|[A-Z]).*")
    return [*added, *(r"(member\d+)?" + pattern for pattern in floats)]
