"""Your own films (COCO, Pascal VOC, YOLO, or folders named by class) -> a stage of films, labels and a manifest."""

from fracture.core.command import starting

with starting():
    from fracture.commands.ingest import main

if __name__ == "__main__":
    raise SystemExit(main())
