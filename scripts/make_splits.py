"""Harmonised stages -> dataset_v5: groups that never meet across splits, stratified by source, region and label."""

from fracture.core.command import starting

with starting():
    from fracture.commands.split import main

if __name__ == "__main__":
    raise SystemExit(main())
