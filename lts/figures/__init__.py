"""Pictures of slices, cases, training and scores: arrays in, RGB arrays or PNG files out."""

from lts.figures.canvas import save_png, to_jpeg
from lts.figures.cases import CaseOverlays, forget_lesion_pictures, lesion_picture
from lts.figures.charts import save_curves, save_leaderboard, save_roc
from lts.figures.contact_sheet import contact_sheet, mask_picture
from lts.figures.slices import Cut, SliceView, closeups, gray_range, overlay, overlay_sheet

__all__ = [
    "CaseOverlays",
    "Cut",
    "SliceView",
    "closeups",
    "contact_sheet",
    "forget_lesion_pictures",
    "gray_range",
    "lesion_picture",
    "mask_picture",
    "overlay",
    "overlay_sheet",
    "save_curves",
    "save_leaderboard",
    "save_png",
    "save_roc",
    "to_jpeg",
]
