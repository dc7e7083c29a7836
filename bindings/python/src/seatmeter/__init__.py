"""Seats, scans, pages and devices, counted without loss: the seatmeter library from Python."""

from ._errors import AllSeatsTaken, Error, NoLicense, Refused, ServerUnreachable
from ._license import (
    ChargeWay,
    DeploymentType,
    Status,
    idle_count,
    initialize,
    licensed,
    set_state_directory,
    shutdown,
    status,
    sync,
    version,
)
from ._reader import Barcode, PageModule, Reader, count_pages, decode_file

__all__ = [
    "AllSeatsTaken",
    "Barcode",
    "ChargeWay",
    "DeploymentType",
    "Error",
    "NoLicense",
    "PageModule",
    "Reader",
    "Refused",
    "ServerUnreachable",
    "Status",
    "count_pages",
    "decode_file",
    "idle_count",
    "initialize",
    "licensed",
    "set_state_directory",
    "shutdown",
    "status",
    "sync",
    "version",
]
