"""Find bone fractures on X-ray films, and say how sure that is. Not a medical device.

>>> import fracture
>>> with fracture.load() as model:
...     answer = model.read("xray.png")

Six names: `load` opens a model, a `Model` reads films, an `Answer` is what it says of one, a `Box` a place on it,
`to_pandas` makes a table of answers, and `FractureError` is what every refusal is (`fracture.core.errors` has its
kinds). All else is in the packages that docs/ARCHITECTURE.md lists.

A model works in the process that loaded it: with `multiprocessing`, load one in each process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fracture.api.model import Answer, Box, Model, load, to_pandas
    from fracture.core.errors import FractureError

__version__ = "0.1.0"
__all__ = ["Answer", "Box", "FractureError", "Model", "load", "to_pandas"]


if not TYPE_CHECKING:  # or a misspelt name would be Any to a checker

    def __getattr__(name: str) -> Any:
        """Import what a program asks for only then: commands that need none of it start faster.

        By a name that is put together here: every module imports this package, and does not depend on all of it
        (`fracture.core.code`).
        """
        if name in __all__:
            return getattr(import_module(f"{__name__}.api.model"), name)
        raise AttributeError(f"module 'fracture' has no attribute {name!r}")
