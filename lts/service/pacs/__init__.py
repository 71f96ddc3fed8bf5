"""Series of a PACS: taken by C-STORE and STOW-RS, segmented in turn, and answered by DICOM objects.

`exchange` and what it is made of need the extra `pacs`, so they are imported by the name of their module.
"""

from lts.service.pacs.credentials import read_authorization
from lts.service.pacs.options import DicomNode, PacsOptions, WebNode

__all__ = ["DicomNode", "PacsOptions", "WebNode", "read_authorization"]
