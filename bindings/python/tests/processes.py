"""A program that works in processes of multiprocessing, forked and spawned; prints how many scans were counted."""

import multiprocessing
import sys

import seatmeter
from demo import init


def work(n: int) -> int:
    with seatmeter.Reader(wait_ms=60000) as reader:
        return sum(reader.count_image([(4, b"%d" % i), (4, b"more")]) for i in range(n))


def main(tasks: int) -> None:
    counted = 0
    init()
    with seatmeter.Reader() as reader:
        counted += reader.count_image([(4, b"parent")])
        # Forked processes continue under their parent's license; spawned ones get a license of their own.
        with multiprocessing.get_context("fork").Pool(4) as pool:
            counted += sum(pool.map(work, range(tasks)))
        with multiprocessing.get_context("spawn").Pool(2, init) as pool:
            counted += sum(pool.map(work, range(tasks // 4)))
        assert seatmeter.idle_count() == 3
    try:
        multiprocessing.get_context("spawn").Pool(1).apply(work, (1,))
    except seatmeter.NoLicense as error:
        assert error.code == -20000
    else:
        raise AssertionError("a reader without a license")
    seatmeter.sync(20000)
    seatmeter.shutdown(20000)
    print(counted)


if __name__ == "__main__":
    main(int(sys.argv[1]))
