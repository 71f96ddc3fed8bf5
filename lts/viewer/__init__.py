"""A scan and masks of it in three planes, in a browser: for the service, and as a file that opens offline."""

from lts.viewer.case_page import MAX_MIB, ViewedCase, write_case_page
from lts.viewer.parts import page_files, put_together
from lts.viewer.values import ValueScale, gray_windows

__all__ = [
    "MAX_MIB",
    "ValueScale",
    "ViewedCase",
    "gray_windows",
    "page_files",
    "put_together",
    "write_case_page",
]
