"""The service that most people would write, to measure ours beside: FastAPI, a sync endpoint, Ultralytics' predict.

Nothing in it is crippled: the network is warm before the first request. For one film Ultralytics leaves torch one core
less than there are; films that come together use all of them. ``--threads`` overrides it.
"""

import argparse
from typing import Any

import cv2
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException, UploadFile
from ultralytics import YOLO


def main() -> None:
    """Parse flags, load the network, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True, help="a checkpoint")
    parser.add_argument("--imgsz", type=int, required=True, help="long side of the network's input in px")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, help="of torch for one film; as Ultralytics sets them if not named")
    args = parser.parse_args()
    model = YOLO(args.weights)
    model.predict(np.zeros((454, 373, 3), np.uint8), imgsz=args.imgsz, verbose=False)
    if args.threads:
        torch.set_num_threads(args.threads)
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/detect")
    def detect(file: UploadFile, conf: float = 0.25) -> dict[str, Any]:
        film = cv2.imdecode(np.frombuffer(file.file.read(), np.uint8), cv2.IMREAD_COLOR)
        if film is None:
            raise HTTPException(415, "expected an image")
        found = model.predict(film, imgsz=args.imgsz, conf=conf, verbose=False)[0]
        rows = zip(found.boxes.xyxy.tolist(), found.boxes.conf.tolist(), found.boxes.cls.tolist(), strict=True)
        boxes = [{"bbox_xyxy": box, "confidence": score, "class": found.names[int(kind)]} for box, score, kind in rows]
        height, width = film.shape[:2]
        return {
            "image_size": {"width": width, "height": height},
            "fracture_detected": bool(boxes),
            "num_detections": len(boxes),
            "detections": boxes,
        }

    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
