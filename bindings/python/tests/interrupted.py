"""A program whose waits and pictures are interrupted by Ctrl-C, which costs no seat; prints how many scans were counted."""

import os
import signal
import sys
import threading

import seatmeter
from demo import init
from seatmeter._library import library


def interrupt_after(name: str) -> None:
    """Sends Ctrl-C at the moment at which a function of the library returns, before the caller has its result."""
    function = getattr(library, name)

    def call(*arguments):
        setattr(library, name, function)
        try:
            return function(*arguments)
        finally:
            # The traceback has this function in it, too.
            del arguments
            signal.raise_signal(signal.SIGINT)

    setattr(library, name, call)


def is_interrupted(work) -> bool:
    try:
        work()
    except KeyboardInterrupt as error:
        # A kept traceback, as in an interactive session, keeps no seat.
        assert error.__traceback__ is not None
        idle = seatmeter.idle_count()
        assert idle == 4, idle
        return True
    return False


def wait_for_ever() -> None:
    """Sends Ctrl-C during a wait for a seat, while all seats are taken. If it has no effect, the process is ended."""
    signal.alarm(60)
    holders = [seatmeter.Reader() for _ in range(4)]
    try:
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
        seatmeter.Reader(wait_ms=sys.maxsize)
    finally:
        signal.alarm(0)
        for holder in holders:
            holder.close()


def main(picture: str) -> None:
    # A process that a shell starts in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    init()
    interrupt_after("SM_CreateReaderWithin")
    assert is_interrupted(lambda: seatmeter.Reader(wait_ms=60000))
    interrupt_after("SM_CreateReaderWithin")
    assert is_interrupted(seatmeter.Reader)
    assert is_interrupted(wait_for_ever)
    for name in ["DBR_CreateInstance", "DBR_GetAllTextResults"]:
        interrupt_after(name)
        assert is_interrupted(lambda: seatmeter.decode_file(picture)), name
    assert len(seatmeter.decode_file(picture)) == 4
    seatmeter.shutdown(20000)
    print(8)


main(sys.argv[1])
