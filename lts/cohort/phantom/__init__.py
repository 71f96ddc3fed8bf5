"""Phantom scans: seeded, believable abdominal CT with liver tumors, in the layout of LiTS."""

from lts.cohort.phantom.cohort import make_phantom_cohort
from lts.cohort.phantom.scan import PhantomScan, make_phantom
from lts.cohort.phantom.tumors import Tumor

__all__ = ["PhantomScan", "Tumor", "make_phantom", "make_phantom_cohort"]
