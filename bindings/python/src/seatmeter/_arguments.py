"""What users give, checked before it goes to C: ctypes cuts a number to its type."""

import operator

# The longest that the library waits for anything.
WAIT_MS_MAX = 600_000


def milliseconds(value: int) -> int:
    """How long to wait. What is out of the range of the library's waits counts as the nearest."""
    return min(max(operator.index(value), 0), WAIT_MS_MAX)
