"""Checks that errors use the words of Python; prints the number of checked messages."""

import pickle
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


def names(call, expected: str) -> str:
    message = message_of(call)
    assert expected in message, message
    return message


def main() -> None:
    error = seatmeter.Error(-10012, "cut", [seatmeter.Barcode("QR_CODE", "a", b"a")])
    assert pickle.loads(pickle.dumps(error)).results == error.results
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
    field = seatmeter.ValidationField.WEBSITE_DOMAIN
    length = "the length of {} in bytes is {}; it must be from {} to {}"
    messages += [
        names(lambda: seatmeter.set_validation_field(9, "x"), "field is 9; it must be from 0 to 1"),
        names(lambda: seatmeter.set_validation_field(field, "x" * 513), length.format("value", 513, 0, 512)),
        names(lambda: seatmeter.set_device_friendly_name("x" * 513), length.format("name", 513, 0, 512)),
        names(lambda: seatmeter.set_state_directory(""), length.format("path", 0, 1, 4095)),
        names(lambda: seatmeter.set_ca_file(""), length.format("path", 0, 1, 4095)),
        names(lambda: seatmeter.count_pages(7), "module is 7; it must be from 1 to 4"),
    ]
    init()
    with seatmeter.Reader() as reader:
        count = "n is 4294967296; it must be from 0 to 4294967295"
        messages += [
            names(lambda: seatmeter.count_pages(1, 2**32), count),
            names(lambda: reader.count_scans(4, 2**32), count),
            names(lambda: reader.set_duplicate_forget_time(-1), "ms is -1; it must be from 0 to 600000"),
            names(lambda: reader.count_image([(4, b"")] * 1_048_577), "the number of barcodes is 1048577; it must be"),
        ]
    messages.append(message_of(lambda: seatmeter.set_device_friendly_name("late")))
    messages += [seatmeter.Error(code, "").args[0] for code in range(-20300, -9999)]
    for message in messages:
        # Names of picture formats and server programs are not names of the C API.
        assert not OF_C.search(message), message
    seatmeter.shutdown(20000)
    print(len(messages))


main()
