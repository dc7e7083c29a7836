"""Being licensed."""

import contextlib
import ctypes
import enum
import os
from dataclasses import dataclass
from typing import Iterator

from ._arguments import file_path, integer, milliseconds, text
from ._errors import check
from ._library import TEXT_BYTES, ConnectionParameters, RawStatus, library


class DeploymentType(enum.IntEnum):
    """Where the program runs, and for whom."""

    SERVER = 1
    DESKTOP = 2
    EMBEDDED = 6
    OEM = 7
    MOBILE = 9


class ChargeWay(enum.IntEnum):
    """By what the licence is charged; AUTO lets the server choose."""

    AUTO = 0
    CLIENT_DEVICE = 1
    BARCODE_SCAN = 2
    CONCURRENT_DEVICE = 3
    DOMAIN = 6
    ACTIVE_DEVICE = 8
    SERVER = 9
    CONCURRENT_INSTANCE = 10
    PAGE = 20


@dataclass(frozen=True)
class Status:
    """How this process stands with its licence; ``seatmeter.h`` tells what each field means."""

    state: int
    usage: int
    seats_granted: int
    seats_held: int
    seats_idle: int
    valid_until: int
    expires_at: int
    used: int
    quota: int
    grace: int
    refusal_code: int
    last_error_code: int
    last_error: str


def set_state_directory(path: "os.PathLike[str] | str") -> None:
    """Choose where this device's state is kept, before initialize()."""
    check(library.SM_SetStateDirectory(file_path(path)))


def initialize(
    *,
    handshake_code: str = "",
    server: str = "",
    standby_server: str = "",
    session_password: str = "",
    organization_id: str = "",
    deployment_type: int = DeploymentType.DESKTOP,
    charge_way: int = ChargeWay.AUTO,
    seats: int = 1,
    max_buffer_days: int = 7,
) -> None:
    """Get this process licensed. Without a stored licence it waits for the server, 10 s at most."""
    parameters = ConnectionParameters()
    check(library.InitDLSConnectionParameters(parameters))
    parameters.main_server = text("server", server)
    parameters.standby_server = text("standby_server", standby_server)
    parameters.handshake_code = text("handshake_code", handshake_code)
    parameters.session_password = text("session_password", session_password)
    parameters.organization_id = text("organization_id", organization_id)
    parameters.deployment_type = integer("deployment_type", deployment_type)
    parameters.charge_way = integer("charge_way", charge_way)
    parameters.seats = integer("seats", seats)
    parameters.max_buffer_days = integer("max_buffer_days", max_buffer_days)
    message = ctypes.create_string_buffer(TEXT_BYTES)
    check(library.InitLicenseFromDLS(parameters, message, TEXT_BYTES), message.value)


@contextlib.contextmanager
def licensed(*, shutdown_ms: int = 5000, **parameters) -> Iterator[None]:
    """Be licensed as initialize() says, and report and give back everything at the end."""
    initialize(**parameters)
    try:
        yield
    finally:
        shutdown(shutdown_ms)


def idle_count() -> int:
    """Free seats of this device; -1 when the licence has to be refreshed; 2**31 - 1 without a limit."""
    return library.GetIdleInstancesCount()


def status() -> Status:
    """How this process stands with its licence."""
    raw = RawStatus(size=ctypes.sizeof(RawStatus))
    check(library.SM_GetStatus(raw))
    fields = {name: getattr(raw, name) for name in Status.__dataclass_fields__}
    fields["last_error"] = raw.last_error.decode(errors="replace")
    return Status(**fields)


def sync(timeout_ms: int = 5000) -> None:
    """Report and renew now."""
    message = ctypes.create_string_buffer(TEXT_BYTES)
    check(library.SM_Sync(milliseconds(timeout_ms), message, TEXT_BYTES), message.value)


def shutdown(timeout_ms: int = 5000) -> None:
    """Report the rest, and give back everything. What cannot be reported now, the next program reports."""
    check(library.SM_Shutdown(milliseconds(timeout_ms)))


def version() -> str:
    """The version of the library."""
    return library.SM_GetVersion().decode()
