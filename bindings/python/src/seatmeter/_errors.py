"""Errors of the library as exceptions."""

from typing import NamedTuple, Sequence

from ._library import library
from ._words import in_python


class Barcode(NamedTuple):
    """A barcode that the library has read."""

    format: str
    text: str
    bytes: bytes


class Error(Exception):
    """An error of the library: ``code`` is its number, and the text says what to do.

    ``results`` are the barcodes that decode_file() found before it failed. They are counted. With
    an error of the license their text is masked with ``*``, and they are not counted. For an error
    of any other function the list is empty.
    """

    def __init__(self, code: int, message: str, results: Sequence[Barcode] = ()) -> None:
        super().__init__(in_python(message or library.SM_GetErrorString(code).decode()))
        self.code = code
        self.results = list(results)

    def __reduce__(self):
        return (type(self), (self.code, str(self), self.results))


class NoLicense(Error):
    """There is no license (yet): call initialize()."""


class AllSeatsTaken(Error):
    """All seats of this device are in use, or the request was for more than the device has."""


class Refused(Error):
    """The license server has refused, or the license is used up or has expired."""


class ServerUnreachable(Error):
    """No license server can be reached, and this device has no license that is good without one."""


ALL_SEATS_TAKEN = -20008
VALUE_INVALID = -10038


def check_range(code: int, name: str, value: int, least: int, most: int) -> None:
    """Raise an Error that names value and range, if the library has refused the value."""
    if code == VALUE_INVALID and not least <= value <= most:
        raise Error(code, f"{name} is {value}; it must be from {least} to {most}")


def check(code: int, message: bytes = b"", results: Sequence[Barcode] = ()) -> None:
    """Raise the exception for a number of the library, unless it is 0, with its results."""
    if code == 0:
        return
    if code == -20000:
        kind = NoLicense
    elif code == ALL_SEATS_TAKEN:
        kind = AllSeatsTaken
    elif code == -20200:
        kind = ServerUnreachable
    elif -20200 < code <= -20100:
        kind = Refused
    else:
        kind = Error
    raise kind(code, message.decode(errors="replace"), results)
