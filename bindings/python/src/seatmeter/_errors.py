"""Errors of the library as exceptions."""

from ._library import library
from ._words import in_python


class Error(Exception):
    """The library has said no: ``code`` is its number, and the text says what to do."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(in_python(message or library.SM_GetErrorString(code).decode()))
        self.code = code

    def __reduce__(self):
        return (type(self), (self.code, str(self)))


class NoLicense(Error):
    """There is no license (yet): call initialize()."""


class AllSeatsTaken(Error):
    """All seats of this device are in use, or more were asked for than there are."""


class Refused(Error):
    """The license server has refused, or what was bought is used up or has expired."""


class ServerUnreachable(Error):
    """No license server can be reached, and this device has no license that is good without one."""


ALL_SEATS_TAKEN = -20008


def check(code: int, message: bytes = b"") -> None:
    """Raise what a number of the library means, unless it is 0."""
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
    raise kind(code, message.decode(errors="replace"))
