"""Make a training run servable: ONNX, parity with the checkpoint, thresholds and calibration from val, card.json.

With --int8 an 8-bit network is made of a bundle, measured, and shipped in it where it is good enough. With --hashes a
bundle learns by what its films are known again, from the dataset it was made with: 4,000 films take about a minute.
"""

from fracture.core.command import starting

with starting():
    from fracture.commands.bundle import main

if __name__ == "__main__":
    raise SystemExit(main())
