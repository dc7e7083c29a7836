"""Checks that an argument that C would cut is an error of the language; prints the number of counted scans."""

import sys
from unittest import mock

import seatmeter
from demo import init

NUL = "DEMO-4-SEATS\0"


def raises(kind: type, function, *arguments, **named) -> None:
    try:
        function(*arguments, **named)
    except kind:
        return
    raise AssertionError(f"{function.__name__} of {arguments} {named} is no {kind.__name__}")


def main() -> None:
    for option in ["handshake_code", "server", "standby_server", "session_password", "organization_id"]:
        raises(ValueError, seatmeter.initialize, **{option: NUL})
        raises(TypeError, seatmeter.initialize, **{option: None})
        raises(TypeError, seatmeter.initialize, **{option: b"DEMO-4-SEATS"})
    for option in ["deployment_type", "charge_way", "seats", "max_buffer_days"]:
        raises(OverflowError, seatmeter.initialize, **{option: 2**32 + 1})
        raises(OverflowError, seatmeter.initialize, **{option: -(2**31) - 1})
        raises(TypeError, seatmeter.initialize, **{option: 1.5})
    raises(ValueError, seatmeter.set_state_directory, NUL)
    raises(ValueError, seatmeter.decode_file, NUL)
    with mock.patch("seatmeter._reader.library", object()):
        raises(NotImplementedError, seatmeter.decode_file, "picture.png")
    for function in [seatmeter.set_ca_file, seatmeter.set_device_friendly_name]:
        raises(ValueError, function, NUL)
    raises(ValueError, seatmeter.set_validation_field, 0, NUL)
    raises(OverflowError, seatmeter.set_validation_field, 2**32, "shop.example")
    raises(OverflowError, seatmeter.count_pages, 2**32 + 1)
    raises(OverflowError, seatmeter.count_pages, 1, 2**64 + 1)
    for no_function in [5, 0, "print"]:
        raises(TypeError, seatmeter.set_log, no_function)
    init()
    with seatmeter.Reader(wait_ms=-sys.maxsize) as reader:
        raises(OverflowError, reader.count_image, [(2**32 + 4, b"cut")])
        raises(OverflowError, reader.count_scans, 2**32 + 4, 1)
        raises(OverflowError, reader.set_duplicate_forget_time, 2**32)
        # A NUL in a barcode is content.
        counted = reader.count_image(iter([(4, b"a\0b"), (4, b"a\0c"), (-1, b"")]))
    seatmeter.sync(sys.maxsize)
    seatmeter.shutdown(20000)
    print(counted)


main()
