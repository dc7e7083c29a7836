"""Plays a program of bindings/scenario.txt: reads commands from standard input, and answers each with a line."""

import copy
import pickle
import sys
import threading

import seatmeter

readers: "list[seatmeter.Reader]" = []
lines: "list[str]" = []


def barcodes(n: str) -> "list[tuple[int, bytes]]":
    return [(4, b"code%d" % i) for i in range(int(n))]


def init(server: str, code: str, seats: str) -> None:
    seatmeter.initialize(
        server=server,
        handshake_code=code,
        seats=int(seats),
        deployment_type=seatmeter.DeploymentType.SERVER,
        charge_way=seatmeter.ChargeWay.CONCURRENT_INSTANCE,
    )


def nul(server: str) -> str:
    try:
        init(server, "DEMO-4-SEATS\0-AND-MORE", "4")
    except ValueError:
        return "no text"
    return "a text"


def status() -> str:
    now = seatmeter.status()
    return f"{now.state} {now.seats_granted} {now.seats_held} {now.seats_idle}"


def roots() -> str:
    now = seatmeter.status()
    whose = "of the first answer" if now.root_key_is_of_first_answer else "of the vendor"
    return f"{now.root_keys_built_in} built in, {whose}, {len(now.root_key_ids)} digits"


def stale() -> str:
    """Closes a reader while threads count with it: each must get the error that it is closed."""
    reader, heard = readers.pop(), []

    def count() -> None:
        try:
            for _ in range(1_000_000):
                reader.count_image([])
        except ValueError:
            heard.append("closed")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    reader.close()
    for thread in threads:
        thread.join()
    return f"{len(heard)} closed"


def holders() -> str:
    all_holders = seatmeter.holders()
    return f"{len(all_holders)} processes {sum(holder.seats for holder in all_holders)} seats"


def no_copy() -> str:
    """Tries every way to make a second owner of a seat."""
    reader = readers[-1]
    for make in [copy.copy, copy.deepcopy, pickle.dumps]:
        for owner in [reader, reader._seat]:
            try:
                make(owner)
            except TypeError:
                continue
            return f"a copy by {make}"
    return "no copy"


def first_bytes(path: str) -> str:
    first = seatmeter.decode_file(path)[0]
    return f"{first.format} {first.bytes.hex()}"


COMMANDS = {
    "version": seatmeter.version,
    "log": lambda: seatmeter.set_log(lambda level, line: lines.append(line)),
    "heard": lambda: "yes" if any("licensed" in line for line in lines) else f"{lines}",
    "friendly": seatmeter.set_device_friendly_name,
    "field": lambda value: seatmeter.set_validation_field(seatmeter.ValidationField.WEBSITE_DOMAIN, value),
    "ca": seatmeter.set_ca_file,
    "uuid": lambda: f"{len(bytes.fromhex(seatmeter.device_uuid())) * 2} digits",
    "holders": holders,
    "copy": no_copy,
    "forget": lambda ms: readers[-1].set_duplicate_forget_time(int(ms)),
    "scans": lambda n: readers[-1].count_scans(4, int(n)),
    "init": init,
    "nul": nul,
    "idle": seatmeter.idle_count,
    "create": lambda: readers.append(seatmeter.Reader()),
    "within": lambda ms: readers.append(seatmeter.Reader(wait_ms=int(ms))),
    "destroy": lambda: readers.pop().close(),
    "stale": stale,
    "image": lambda n: readers[-1].count_image(barcodes(n)),
    "frame": lambda n: readers[-1].count_frame(barcodes(n)),
    "pages": lambda n: seatmeter.count_pages(seatmeter.PageModule.CORE, int(n)),
    "decode": lambda path: len(seatmeter.decode_file(path)),
    "bytes": first_bytes,
    "roots": roots,
    "status": status,
    "sync": lambda: seatmeter.sync(20000),
    "shutdown": lambda: seatmeter.shutdown(20000),
}


def answer(line: str) -> str:
    command, *arguments = line.split()
    try:
        value = COMMANDS[command](*arguments)
        return "ok" if value is None else str(value)
    except seatmeter.NoLicense as error:
        return describe(error, "unlicensed")
    except seatmeter.AllSeatsTaken as error:
        return describe(error, "taken")
    except seatmeter.Refused as error:
        return describe(error, "refused")
    except seatmeter.ServerUnreachable as error:
        return describe(error, "unreachable")
    except seatmeter.Error as error:
        return describe(error, "other")


def describe(error: seatmeter.Error, kind: str) -> str:
    found = f" with {len(error.results)} results" if error.results else ""
    return f"error {error.code} {kind}{found}"


for command_line in sys.stdin:
    print(answer(command_line), flush=True)
