"""Which films are the same film: exact copies, near ones, turned and mirrored ones, and whole films cut short.

Every film is looked at once, as a thumbnail of 64 x 64 px (`thumbnails`). Two films are alike when their thumbnails
correlate, in any of eight orientations. Cosine terms (`terms`) make that comparison cheap and miss no pair (`search`).
The same terms travel with a model, so that a film it was made with is recognised (`fingerprints`).

Source: perceptual hashing by the lowest cosine terms: Zauner, Implementation and Benchmarking of Perceptual Image Hash
Functions (2010); here the terms stay real numbers.
"""

from fracture.data.duplicates.fingerprints import Trace, copies, fingerprint, trace, traces
from fracture.data.duplicates.pairs import Pair, contradictions, find_pairs, pairs_among
from fracture.data.duplicates.search import NEAR, SAME, TURNED, alike
from fracture.data.duplicates.terms import AS_IS, ORIENTATIONS
from fracture.data.duplicates.thumbnails import DEFAULT, Look, look, look_at

__all__ = [
    "AS_IS",
    "DEFAULT",
    "NEAR",
    "ORIENTATIONS",
    "SAME",
    "TURNED",
    "Look",
    "Pair",
    "Trace",
    "alike",
    "contradictions",
    "copies",
    "find_pairs",
    "fingerprint",
    "look",
    "look_at",
    "pairs_among",
    "trace",
    "traces",
]
