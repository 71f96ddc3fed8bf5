"""Scans over HTTP: an API, and the page on which a reader looks at the result."""

from lts.service.guard import is_loopback
from lts.service.keys import read_keys
from lts.service.server import Server, address_of, check_root_path, listen
from lts.service.service import Service
from lts.service.settings import Limits

__all__ = [
    "Limits",
    "Server",
    "Service",
    "address_of",
    "check_root_path",
    "is_loopback",
    "listen",
    "read_keys",
]
