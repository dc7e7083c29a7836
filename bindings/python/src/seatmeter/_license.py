"""Licenses."""

import atexit
import contextlib
import ctypes
import enum
import os
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional

from ._arguments import file_path, integer, milliseconds, text
from ._errors import check, check_range
from ._library import (
    PATH_BYTES_MAX,
    SETTING_BYTES_MAX,
    TEXT_BYTES,
    ConnectionParameters,
    LogCallback,
    RawHolder,
    RawStatus,
    library,
)
from ._words import in_python


class DeploymentType(enum.IntEnum):
    """Where the program runs, and for whom."""

    SERVER = 1
    DESKTOP = 2
    EMBEDDED = 6
    OEM = 7
    MOBILE = 9


class ChargeWay(enum.IntEnum):
    """The unit by which the license is charged; AUTO lets the server choose."""

    AUTO = 0
    CLIENT_DEVICE = 1
    BARCODE_SCAN = 2
    CONCURRENT_DEVICE = 3
    DOMAIN = 6
    ACTIVE_DEVICE = 8
    SERVER = 9
    CONCURRENT_INSTANCE = 10
    PAGE = 20


class ValidationField(enum.IntEnum):
    """A fact about the application that a handshake code may ask for."""

    WEBSITE_DOMAIN = 0
    APPLICATION_ID = 1


class LogLevel(enum.IntEnum):
    """The importance of a line of the log."""

    ERROR = 1
    WARNING = 2
    INFO = 3


@dataclass(frozen=True)
class Holder:
    """A process that holds seats of this device. ``since`` is in Unix seconds."""

    seats: int
    pid: int
    since: int
    name: str


@dataclass(frozen=True)
class Status:
    """The state of this process's license; ``seatmeter.h`` explains each field."""

    state: int
    charge_way: int
    cache_code: int
    trial_code: int
    expiry_code: int
    refusal_code: int
    usage: int
    usage_module: int
    seats_granted: int
    seats_held: int
    seats_idle: int
    valid_until: int
    expires_at: int
    grace_ends_at: int
    oldest_unsent_at: int
    used: int
    quota: int
    grace: int
    told_at: int
    contact_at: int
    last_error_at: int
    last_error_code: int
    last_error_stage: int
    last_error: str
    server: str
    root_keys_built_in: int
    root_key_is_of_first_answer: bool
    root_key_ids: str


def set_state_directory(path: "os.PathLike[str] | str") -> None:
    """Choose where this device's state is kept, before initialize()."""
    raw = file_path(path)
    code = library.SM_SetStateDirectory(raw)
    check_range(code, "the length of path in bytes", len(raw), 1, PATH_BYTES_MAX)
    check(code)


def set_validation_field(field: int, value: str) -> None:
    """Tell the server a fact about this application, before initialize(). An empty text removes it."""
    number, raw = integer("field", field), text("value", value)
    code = library.SM_SetValidationField(number, raw)
    check_range(code, "field", number, min(ValidationField), max(ValidationField))
    check_range(code, "the length of value in bytes", len(raw), 0, SETTING_BYTES_MAX)
    check(code)


def set_device_friendly_name(name: str) -> None:
    """Give this device a name by which people know it on the server, before initialize()."""
    raw = text("name", name)
    code = library.SM_SetDeviceFriendlyName(raw)
    check_range(code, "the length of name in bytes", len(raw), 0, SETTING_BYTES_MAX)
    check(code)


def set_ca_file(path: "os.PathLike[str] | str") -> None:
    """Trust the certificates in this PEM file, besides the system's, before the first initialize()."""
    raw = file_path(path)
    code = library.SM_SetCaFile(raw)
    check_range(code, "the length of path in bytes", len(raw), 1, PATH_BYTES_MAX)
    check(code)


def device_uuid() -> str:
    """Return the client UUID by which the server knows this device: 32 hexadecimal digits."""
    out = ctypes.create_string_buffer(33)
    check(library.SM_GetDeviceUUID(out, len(out)))
    return out.value.decode()


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
    """Get this process licensed. Without a stored license it waits for the server, 10 s at most."""
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
    """Initialize with these arguments, and report and give everything back at the end."""
    initialize(**parameters)
    try:
        yield
    finally:
        shutdown(shutdown_ms)


def idle_count() -> int:
    """Free seats of this device; -1 when the license has to be refreshed; 2**31 - 1 without a limit."""
    return library.GetIdleInstancesCount()


def status() -> Status:
    """Return the state of this process's license."""
    raw = RawStatus(size=ctypes.sizeof(RawStatus))
    check(library.SM_GetStatus(raw))
    fields = {name: getattr(raw, name) for name in Status.__dataclass_fields__}
    fields["last_error"] = in_python(raw.last_error.decode(errors="replace"))
    fields["server"] = raw.server.decode(errors="replace")
    fields["root_key_is_of_first_answer"] = raw.root_key_is_of_first_answer != 0
    fields["root_key_ids"] = raw.root_key_ids.decode()
    return Status(**fields)


def holders() -> List[Holder]:
    """Return the processes that hold seats of this device, those of other programs among them."""
    count = ctypes.c_size_t()
    # Another process may take its first seat between two calls. Mostly the first call has room for all.
    capacity = 64
    while True:
        raw = (RawHolder * capacity)()
        check(library.SM_ListHolders(raw, capacity, count))
        if count.value <= capacity:
            found = raw[: count.value]
            return [Holder(one.seats, one.pid, one.since, one.name.decode(errors="replace")) for one in found]
        capacity = count.value * 2


_log_callback: Optional[LogCallback] = None


def set_log(hear: Optional[Callable[[LogLevel, str], None]]) -> None:
    """Set a function that gets the lines of the log: any thread may call ``hear(level, line)``. ``None`` removes it.

    What ``hear`` raises is reported by ``sys.unraisablehook`` and goes no further.
    """
    global _log_callback

    def call(_user: object, level: int, line: bytes) -> None:
        hear(LogLevel(level), line.decode(errors="replace"))

    if hear is not None and not callable(hear):
        raise TypeError(f"hear must be a function or None, not {type(hear).__name__}")
    callback = LogCallback(call) if hear is not None else None
    check(library.SM_SetLogCallback(ctypes.cast(callback, ctypes.c_void_p) if callback else None, None))
    # The previous one is not in use any more, so it may be collected.
    _log_callback = callback


@atexit.register
def _end_log() -> None:
    # The library's thread may log a line when the interpreter is gone.
    if _log_callback:
        library.SM_SetLogCallback(None, None)


def sync(timeout_ms: int = 5000) -> None:
    """Report and renew now."""
    message = ctypes.create_string_buffer(TEXT_BYTES)
    check(library.SM_Sync(milliseconds(timeout_ms), message, TEXT_BYTES), message.value)


def shutdown(timeout_ms: int = 5000) -> None:
    """Report the rest, and give everything back. The next program reports what cannot be reported now."""
    check(library.SM_Shutdown(milliseconds(timeout_ms)))


def version() -> str:
    """The version of the library."""
    return library.SM_GetVersion().decode()
