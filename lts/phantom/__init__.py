"""Phantom scans: seeded, believable abdominal CT with liver tumors, as arrays or as files.

>>> from lts.phantom import make_phantom
>>> scan = make_phantom(seed=7, matrix=32)
>>> scan.hu.shape == scan.labels.shape, int(scan.labels.max())
(True, 2)
"""

from lts.phantom.cohort import make_phantom_cohort
from lts.phantom.scan import PhantomScan, make_phantom
from lts.phantom.tumors import Tumor

__all__ = ["PhantomScan", "Tumor", "make_phantom", "make_phantom_cohort"]
