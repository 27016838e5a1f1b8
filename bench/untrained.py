"""Write a YOLOv8 checkpoint of one class that nobody trained: as fast as any, for measuring speed.

Its layers are normalised on one film and its scores spread as a trained network spreads them. Without that every box
has one score, thousands pass any threshold, and what follows the network takes longer than in real use.
"""

import argparse
from pathlib import Path

import cv2
import torch
from ultralytics.nn.tasks import DetectionModel

FEW, MANY = 0.5, 0.001
"""The best score on the film, and the one that two of a hundred boxes reach."""


def main() -> None:
    """Parse flags, build, normalise, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True, help="yolov8n.yaml, yolov8s.yaml ...")
    parser.add_argument("--imgsz", type=int, required=True, help="side of the square the film is stretched to")
    parser.add_argument("--film", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = DetectionModel(args.architecture, nc=1, verbose=False)
    model.names, model.args = {0: "fracture"}, {}
    film = cv2.resize(cv2.imread(str(args.film)), (args.imgsz, args.imgsz))
    pixels = torch.from_numpy(film).permute(2, 0, 1)[None].float() / 255
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    usual = [layer.momentum for layer in norms]
    with torch.no_grad():
        for layer in norms:
            layer.momentum = 1.0
        model.train()(pixels)
        for layer, momentum in zip(norms, usual, strict=True):
            layer.momentum = momentum
        found = model.eval()(pixels)[0][0, 4].logit()
        best, many = found.max(), found.quantile(0.98)
        goal = torch.tensor([FEW, MANY]).logit()
        gain = (goal[0] - goal[1]) / (best - many)
        for branch in model.model[-1].cv3:
            branch[-1].weight *= gain
            branch[-1].bias.copy_(branch[-1].bias * gain + goal[0] - gain * best)
    torch.save({"model": model, "train_args": {}}, args.out)


if __name__ == "__main__":
    main()
