"""Your own films (COCO, Pascal VOC, YOLO, a table, or folders named by class) -> a stage of films and a manifest."""

from fracture.core.command import starting

with starting():
    from fracture.commands.ingest import main

if __name__ == "__main__":
    raise SystemExit(main())
