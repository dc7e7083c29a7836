"""Errors use the words of Python; prints how many messages were looked at."""

import re

import seatmeter
from demo import init

OF_C = re.compile(r"\b(?:SM_\w+|DBR_\w+|InitLicense\w*|GetIdle\w*|[a-z]+(?:[A-Z][a-z0-9]*)+[A-Z]*)\b")


def message_of(call) -> str:
    try:
        call()
    except seatmeter.Error as error:
        return str(error)
    raise AssertionError("no error")


def main() -> None:
    calls = [
        seatmeter.Reader,
        lambda: seatmeter.initialize(handshake_code=""),
        lambda: seatmeter.initialize(handshake_code="DEMO-4-SEATS", seats=0),
        lambda: seatmeter.initialize(handshake_code="DEMO-4-SEATS", seats=5),
        lambda: seatmeter.initialize(handshake_code="DEMO-4-SEATS", deployment_type=9),
        lambda: seatmeter.initialize(handshake_code="DEMO-4-SEATS", charge_way=99),
        lambda: seatmeter.initialize(handshake_code="DEMO 4-SEATS"),
        lambda: seatmeter.initialize(handshake_code="DEMO-4-SEATS", server="ftp://x"),
    ]
    messages = [message_of(call) for call in calls]
    init()
    messages.append(message_of(lambda: seatmeter.set_device_friendly_name("late")))
    messages += [seatmeter.Error(code, "").args[0] for code in range(-20300, -9999)]
    for message in messages:
        # The names of pictures' and servers' makers are not ours.
        assert not OF_C.search(message), message
    seatmeter.shutdown(20000)
    print(len(messages))


main()
