"""Pictures of slices, cases, training and scores: arrays in, RGB arrays or PNG files out."""

from lts.figures.canvas import save_png
from lts.figures.cases import CaseOverlays
from lts.figures.charts import save_curves, save_leaderboard, save_roc
from lts.figures.contact_sheet import contact_sheet, mask_picture
from lts.figures.slices import SliceView, gray_range, overlay, overlay_sheet

__all__ = [
    "CaseOverlays",
    "SliceView",
    "contact_sheet",
    "gray_range",
    "mask_picture",
    "overlay",
    "overlay_sheet",
    "save_curves",
    "save_leaderboard",
    "save_png",
    "save_roc",
]
