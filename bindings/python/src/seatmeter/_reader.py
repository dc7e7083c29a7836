"""Readers: each holds a seat while it is open."""

import ctypes
import enum
import math
import os
import time
from typing import Iterable, List, Optional, Tuple

from ._arguments import file_path, integer, milliseconds
from ._errors import ALL_SEATS_TAKEN, Barcode, check, check_range
from ._library import (
    BARCODES_MAX,
    COUNT_MAX,
    FORGET_MS_MAX,
    TEXT_BYTES,
    Owner,
    RawBarcode,
    TextResults,
    library,
)


class PageModule(enum.IntEnum):
    """The purpose for which pages are counted."""

    CORE = 1
    WEBCAM = 2
    PDFR = 3
    OCR = 4


# Signal handlers, also that of Ctrl-C, run when a call has returned. A wait for a seat returns after this time to let
# them run.
_SLICE_MS = 200


class _Seat(Owner):
    """A reader of the C API. Each call holds a reference to it, so that it is destroyed after the last call."""

    def __del__(self, destroy=library.SM_DestroyReader) -> None:
        destroy(self)


class Reader:
    """Holds a seat from its creation to close(), the end of its ``with``, or its collection.

    With ``wait_ms`` it waits for a seat, for so many milliseconds at most, up to ten minutes. Ctrl-C, and whatever else a
    signal handler raises, ends the wait.

    Threads may share one, and any of them may close it. A forked child has a copy, and closing that gives back no seat
    of the parent's.
    """

    def __init__(self, *, wait_ms: Optional[int] = None) -> None:
        # The owner exists before the seat, so that an exception of a signal handler cannot lose the seat.
        seat = _Seat()
        message = ctypes.create_string_buffer(TEXT_BYTES)
        end = time.monotonic() + milliseconds(wait_ms or 0) / 1000
        try:
            while True:
                left = max(math.ceil((end - time.monotonic()) * 1000), 0)
                code = library.SM_CreateReaderWithin(seat, min(left, _SLICE_MS), message, TEXT_BYTES)
                if code != ALL_SEATS_TAKEN or left <= _SLICE_MS:
                    break
            check(code, message.value)
        except BaseException:
            # Otherwise the seat would last as long as the traceback.
            del seat
            raise
        self._seat: Optional[_Seat] = seat

    def close(self) -> None:
        """Give the seat back, as soon as no thread counts with it any more. A second call does nothing."""
        self._seat = None

    def __reduce_ex__(self, _protocol: object):
        raise TypeError("a Reader owns its seat: it cannot be copied or pickled; make another Reader")

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def count_image(self, barcodes: Iterable[Tuple[int, bytes]]) -> int:
        """Count the barcodes, (symbology, content), of one still image; returns the number of different ones."""
        return self._count(library.SM_CountImage, barcodes)

    def count_frame(self, barcodes: Iterable[Tuple[int, bytes]]) -> int:
        """Count the barcodes of one frame of a video; returns how many were counted now."""
        return self._count(library.SM_CountFrame, barcodes)

    def count_scans(self, symbology: int, n: int) -> None:
        """Count n scans of one symbology, which the caller has made unique."""
        number = integer("n", n, 0, 2**64 - 1)
        code = library.SM_CountScans(self._open(), integer("symbology", symbology), number)
        if code:
            check_range(code, "n", number, 0, COUNT_MAX)
            check(code)

    def set_duplicate_forget_time(self, ms: int) -> None:
        """Set for how long a counted barcode of a frame sequence does not count again: 0 to 600000 milliseconds."""
        number = integer("ms", ms)
        code = library.SM_SetDuplicateForgetTime(self._open(), number)
        check_range(code, "ms", number, 0, FORGET_MS_MAX)
        check(code)

    def _open(self) -> _Seat:
        seat = self._seat
        if seat is None:
            raise ValueError("the reader is closed")
        return seat

    def _count(self, function, barcodes: Iterable[Tuple[int, bytes]]) -> int:
        seat = self._open()
        raw = [RawBarcode(integer("symbology", symbology), content, len(content)) for symbology, content in barcodes]
        counted = ctypes.c_size_t()
        code = function(seat, (RawBarcode * len(raw))(*raw), len(raw), counted)
        if code:
            check_range(code, "the number of barcodes", len(raw), 0, BARCODES_MAX)
            check(code)
        return counted.value


def decode_file(path: "os.PathLike[str] | str") -> List[Barcode]:
    """Read the barcodes of a picture, and count them. Holds a seat meanwhile.

    A file may give barcodes and an error, for example a PNG that is cut in its middle. The
    barcodes are counted, and the Error has them as its ``results``.
    """
    name = file_path(path)
    if not hasattr(library, "DBR_DecodeFile"):
        raise NotImplementedError("this libseatmeter.so was built without its decoder")
    results = ctypes.POINTER(TextResults)()
    instance = library.DBR_CreateInstance()
    try:
        code = library.DBR_DecodeFile(instance, name, b"")
        # Read the results also after an error: barcodes that were found before it are counted.
        check(library.DBR_GetAllTextResults(instance, results))
        raw = [results.contents.results[i].contents for i in range(results.contents.count)]
        found = [
            # One of the two names is empty.
            Barcode(
                (one.format_name or one.format_name_2).decode(),
                one.text.decode(),
                ctypes.string_at(one.bytes, one.length),
            )
            for one in raw
        ]
        check(code, results=found)
        return found
    finally:
        library.DBR_FreeTextResults(results)
        # Otherwise its seat would last as long as a traceback.
        del instance


def count_pages(module: int, n: int = 1) -> None:
    """Count pages of a module."""
    of, number = integer("module", module), integer("n", n, 0, 2**64 - 1)
    code = library.SM_CountPages(of, number)
    if code:
        check_range(code, "module", of, min(PageModule), max(PageModule))
        check_range(code, "n", number, 0, COUNT_MAX)
        check(code)
