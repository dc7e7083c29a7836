"""A program that forks with os.fork, reader open, threads at work; prints how many scans were counted."""

import os
import sys
import threading

import seatmeter
from demo import init


def be_a_child(inherited: seatmeter.Reader) -> None:
    inherited.close()
    with seatmeter.Reader() as own:
        assert own.count_image([(4, b"child")]) == 1
        assert seatmeter.idle_count() >= 0


def main(forks: int) -> None:
    init()
    is_over = threading.Event()
    counted = [0]

    def work() -> None:
        while not is_over.is_set():
            with seatmeter.Reader() as own:
                counted[0] += own.count_image([(4, b"thread")])
            is_over.wait(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    scans = 0
    with seatmeter.Reader() as reader:
        for _ in range(forks):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    be_a_child(reader)
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            scans += 1 + reader.count_image([(4, b"parent")])
        is_over.set()
        thread.join()
        assert seatmeter.idle_count() == 3
    assert seatmeter.idle_count() == 4
    seatmeter.sync(20000)
    seatmeter.shutdown(20000)
    print(scans + counted[0])


main(int(sys.argv[1]))
