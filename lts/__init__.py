"""Liver tumor segmentation in CT: train, sweep, score and deploy.

The most used names are here, all others in the packages, as `lts.losses.BCEDiceLoss`.

Example:
    >>> import lts
    >>> data = lts.DataSettings(layout="lits", root="scans", batch_size=8)
    >>> settings = lts.TrainSettings(data=data, model=lts.Component("lts.networks.UNet", {"width": 16}))
    >>> done = lts.train(settings)  # doctest: +SKIP
    >>> new = lts.PredictSettings(ckpt="best.ckpt", input="new", output="masks")
    >>> rows = lts.predict(new)  # doctest: +SKIP
"""

from importlib import import_module

__version__ = "0.1.0"

TYPE_CHECKING = False  # typing's takes longer to import than all of this

if TYPE_CHECKING:
    from lts.app.commands.check import check
    from lts.app.commands.evaluate import Evaluation, evaluate
    from lts.app.commands.export import export
    from lts.app.commands.predict import predict
    from lts.app.commands.store import store
    from lts.app.commands.train import train
    from lts.app.commands.training.outcome import Training
    from lts.app.config.component import Component
    from lts.app.config.settings import (
        ArchiveSettings,
        CasesSettings,
        CheckSettings,
        DataSettings,
        EvaluateSettings,
        EvaluationPaths,
        ExportSettings,
        LocatorSettings,
        PhantomSettings,
        PostprocessSettings,
        PredictSettings,
        RunPaths,
        ScoringSettings,
        SplitSettings,
        StoreSettings,
        TaskSettings,
        TrainSettings,
    )
    from lts.inference import Predictor

_HOME = {
    "check": "lts.app.commands.check",
    "evaluate": "lts.app.commands.evaluate",
    "Evaluation": "lts.app.commands.evaluate",
    "export": "lts.app.commands.export",
    "predict": "lts.app.commands.predict",
    "store": "lts.app.commands.store",
    "train": "lts.app.commands.train",
    "Training": "lts.app.commands.training.outcome",
    "Component": "lts.app.config.component",
    "Predictor": "lts.inference",
    **dict.fromkeys(
        (
            *("ArchiveSettings", "CasesSettings", "CheckSettings", "DataSettings", "EvaluateSettings"),
            *("EvaluationPaths", "ExportSettings", "LocatorSettings", "PhantomSettings"),
            *("PostprocessSettings", "PredictSettings", "RunPaths", "ScoringSettings", "SplitSettings"),
            *("StoreSettings", "TaskSettings", "TrainSettings"),
        ),
        "lts.app.config.settings",
    ),
}
"""Where each name is defined; imported on first use, as torch takes seconds."""

__all__ = ["__version__", *_HOME]  # noqa: PLE0604

if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOME[name]), name)
        return found

    def __dir__():
        return sorted({*globals(), *_HOME})
