"""Checks of arguments before they go to C: ctypes cuts a number to its type, and C reads a text to its first NUL."""

import operator
import os

# The longest time that the library waits for anything.
WAIT_MS_MAX = 600_000


def integer(name: str, value: int, least: int = -(2**31), most: int = 2**31 - 1) -> int:
    """A number that its type in C can hold; a C int without other bounds."""
    number = operator.index(value)
    if not least <= number <= most:
        raise OverflowError(f"{name} must be from {least} to {most}")
    return number


def milliseconds(value: int) -> int:
    """Return how long to wait. A time outside the range of the library's waits counts as the nearest one inside it."""
    return min(max(operator.index(value), 0), WAIT_MS_MAX)


def text(name: str, value: str) -> bytes:
    """A text for C."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return _without_nul(name, value.encode())


def file_path(value: "os.PathLike[str] | str") -> bytes:
    """A path for C."""
    return _without_nul("path", os.fsencode(value))


def _without_nul(name: str, value: bytes) -> bytes:
    if b"\0" in value:
        raise ValueError(f"{name} must not contain a NUL: C would read it to there")
    return value
