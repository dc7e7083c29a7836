"""The shared library, and the layouts of its structures."""

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_int, c_int64, c_size_t, c_ubyte, c_uint, c_uint64, c_void_p

# Ranges of the header, for the messages about values that the library refuses.
BARCODES_MAX = 1_048_576
COUNT_MAX = 2**32 - 1
FORGET_MS_MAX = 600_000
PATH_BYTES_MAX = 4_095
SETTING_BYTES_MAX = 512

TEXT_BYTES = 512


class ConnectionParameters(ctypes.Structure):
    """``DM_DLSConnectionParameters``."""

    _pack_ = 1
    _fields_ = [
        ("main_server", c_char_p),
        ("standby_server", c_char_p),
        ("handshake_code", c_char_p),
        ("session_password", c_char_p),
        ("deployment_type", c_int),
        ("charge_way", c_int),
        ("uuid_generation_method", c_int),
        ("max_buffer_days", c_int),
        ("module_count", c_int),
        ("modules", POINTER(c_int)),
        ("seats", c_int),
        ("organization_id", c_char_p),
        ("products", c_int),
        ("reserved", c_char * 52),
    ]


class RawBarcode(ctypes.Structure):
    """``SM_Barcode``."""

    _fields_ = [("format", c_int), ("bytes", c_char_p), ("length", c_size_t)]


class RawHolder(ctypes.Structure):
    """``SM_Holder``."""

    _fields_ = [("seats", c_uint), ("pid", c_int), ("since", c_uint64), ("name", c_char * 64)]


class RawStatus(ctypes.Structure):
    """``SM_Status``."""

    _fields_ = [
        ("size", c_size_t),
        ("state", c_int),
        ("charge_way", c_int),
        ("cache_code", c_int),
        ("trial_code", c_int),
        ("expiry_code", c_int),
        ("refusal_code", c_int),
        ("usage", c_int),
        ("usage_module", c_int),
        ("seats_granted", c_int),
        ("seats_held", c_int),
        ("seats_idle", c_int),
        ("valid_until", c_uint64),
        ("expires_at", c_uint64),
        ("grace_ends_at", c_uint64),
        ("oldest_unsent_at", c_uint64),
        ("used", c_int64),
        ("quota", c_int64),
        ("grace", c_int64),
        ("told_at", c_uint64),
        ("contact_at", c_uint64),
        ("last_error_at", c_uint64),
        ("last_error_code", c_int),
        ("last_error_stage", c_int),
        ("last_error", c_char * TEXT_BYTES),
        ("server", c_char * TEXT_BYTES),
        ("root_keys_built_in", c_int),
        ("root_key_is_of_first_answer", c_int),
        ("root_key_ids", c_char * TEXT_BYTES),
    ]


class TextResult(ctypes.Structure):
    """The beginning of ``TextResult``: results are read in place, through pointers of the library."""

    _pack_ = 1
    _fields_ = [
        ("format", c_int),
        ("format_name", c_char_p),
        ("format_2", c_int),
        ("format_name_2", c_char_p),
        ("text", c_char_p),
        ("bytes", POINTER(c_ubyte)),
        ("length", c_int),
    ]


class TextResults(ctypes.Structure):
    """``TextResultArray``."""

    _pack_ = 1
    _fields_ = [("count", c_int), ("results", POINTER(POINTER(TextResult)))]


LogCallback = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)
"""``SM_LogCallback``."""


class Owner(c_void_p):
    """A pointer that owns its target. A copy would be a second owner, and would destroy it again."""

    def __reduce_ex__(self, _protocol: object):
        raise TypeError(f"{type(self).__name__} owns an object of the library: it cannot be copied or pickled")


class Instance(Owner):
    """The reader from ``DBR_CreateInstance``, destroyed with this object. The call itself makes the object, so that a
    signal handler that raises cannot lose it."""

    def __del__(self) -> None:
        library.DBR_DestroyInstance(self)


def _path() -> str:
    """Return the library that the environment names, else the one in this package, else the system's."""
    inside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libseatmeter.so.0")
    return os.environ.get("SEATMETER_LIBRARY") or (inside if os.path.exists(inside) else "libseatmeter.so.0")


def _load() -> ctypes.CDLL:
    path = _path()
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"the seatmeter library cannot be loaded: {error}. Set the environment variable SEATMETER_LIBRARY to the"
            " path of libseatmeter.so, or install the library where the system's loader looks."
        ) from error
    message = [c_char_p, c_size_t]
    functions = {
        "InitDLSConnectionParameters": (c_int, [POINTER(ConnectionParameters)]),
        "InitLicenseFromDLS": (c_int, [POINTER(ConnectionParameters), c_char_p, c_int]),
        "GetIdleInstancesCount": (c_int, []),
        "SM_SetStateDirectory": (c_int, [c_char_p]),
        "SM_SetValidationField": (c_int, [c_int, c_char_p]),
        "SM_SetDeviceFriendlyName": (c_int, [c_char_p]),
        "SM_SetCaFile": (c_int, [c_char_p]),
        "SM_GetDeviceUUID": (c_int, [c_char_p, c_size_t]),
        # This is a plain pointer, so that None removes the callback.
        "SM_SetLogCallback": (c_int, [c_void_p, c_void_p]),
        "SM_CreateReaderWithin": (c_int, [POINTER(c_void_p), c_int, *message]),
        "SM_DestroyReader": (None, [c_void_p]),
        "SM_CountImage": (c_int, [c_void_p, POINTER(RawBarcode), c_size_t, POINTER(c_size_t)]),
        "SM_CountFrame": (c_int, [c_void_p, POINTER(RawBarcode), c_size_t, POINTER(c_size_t)]),
        "SM_CountScans": (c_int, [c_void_p, c_int, c_uint64]),
        "SM_SetDuplicateForgetTime": (c_int, [c_void_p, c_int]),
        "SM_ListHolders": (c_int, [POINTER(RawHolder), c_size_t, POINTER(c_size_t)]),
        "SM_CountPages": (c_int, [c_int, c_uint64]),
        "SM_GetStatus": (c_int, [POINTER(RawStatus)]),
        "SM_Sync": (c_int, [c_int, *message]),
        "SM_Shutdown": (c_int, [c_int]),
        "SM_GetErrorString": (c_char_p, [c_int]),
        "SM_GetVersion": (c_char_p, []),
        "DBR_CreateInstance": (Instance, []),
        "DBR_DestroyInstance": (None, [c_void_p]),
        "DBR_DecodeFile": (c_int, [c_void_p, c_char_p, c_char_p]),
        "DBR_GetAllTextResults": (c_int, [c_void_p, POINTER(POINTER(TextResults))]),
        "DBR_FreeTextResults": (None, [POINTER(POINTER(TextResults))]),
    }
    for name, (result, arguments) in functions.items():
        # A library without the decoder has no DBR functions.
        function = getattr(loaded, name, None)
        if function is not None:
            function.restype, function.argtypes = result, arguments
    return loaded


library = _load()
