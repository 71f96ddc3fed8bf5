"""Liver tumor segmentation in CT: train, sweep, score and deploy.

What is used most can be had from here, as `lts.Predictor`, all else from the floors, as
`lts.losses.BCEDiceLoss`.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {"Predictor": "lts.inference"}
"""The module that each name is imported from when it is first asked for."""

TYPE_CHECKING = False  # that of typing takes longer to import than all of this

if TYPE_CHECKING:
    from lts.inference import Predictor as Predictor
else:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOME[name]), name)
        return found

    def __dir__():
        return sorted({*globals(), *_HOME})
