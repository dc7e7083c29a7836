"""Play a part of a scenario against running license servers.

Arguments: the part, the folder of the state, the folder of the test vectors, the URLs. Each part
prints "ok" if everything was as docs/wire.md says.
"""

import copy
import json
import os
import pathlib
import secrets
import sys
import time

import wire
from client import Device, Refused, Segment, Silence

CODE = "DEMO-4-SEATS"
PART, STATE, VECTORS, *URLS = sys.argv[1:]
URL = URLS[0]
QR_CODE = 0x400_0000


def device(name="device"):
    return Device(os.path.join(STATE, f"{name}.json"))


def refused(code, ask, *arguments, **named):
    """Return a refusal, which must have this number."""
    try:
        ask(*arguments, **named)
    except Refused as refusal:
        assert refusal.code == code, refusal
        return refusal
    raise AssertionError(f"granted, and not {code}")


def scans(one, url=URL, **more):
    return one.authorize(url, CODE, charge_way="barcode_scan", **more)


def used(answer):
    """Return what is used of the item, by the meter in the answer to a report."""
    [standing] = answer["standings"]
    [meter] = [meter for meter in standing["meters"] if meter["of"] == "scans"]
    return meter["used"]


def license_and_renewal():
    one = device()
    first, answer = scans(one)
    assert answer["meters"], answer
    assert first["generation"] == {"branch": 1, "step": 1}
    second, _ = scans(one)
    assert second["license_id"] == first["license_id"], "a renewal keeps the id"
    assert second["serial"] > first["serial"]
    assert second["generation"] == {"branch": 1, "step": 2}
    wanted = one.check(URL, CODE, charge_way="barcode_scan")
    assert wanted["item_id"] == second["item_id"]
    assert scans(one)[0]["generation"]["step"] == 3, "a check changes nothing"


def refusals():
    one = device("refused")
    assert refused(-20101, one.authorize, URL, "NO-SUCH-CODE").status == 404
    assert refused(-20123, one.authorize, URL, "").status == 403
    assert refused(-20108, one.authorize, URL, CODE, deployment_type="oem").status == 403
    lower = refused(-20104, one.authorize, URL, CODE, modules=["ocr"], charge_way="page")
    assert "OCR" in lower.problem["detail"], lower
    instance = {"charge_way": "concurrent_instance"}
    refused(-20008, one.authorize, URL, CODE, seats=5, **instance)
    local, _ = one.authorize(URL, CODE, seats=4, **instance)
    assert local["seats"] == 4
    # Another protocol version has a number of its own, and a malformed request a type of its own.
    for change, kind in (
        ({"protocol": 2}, "/problems/protocol-mismatch"),
        ({"needed": 4_294_967_296}, "/problems/invalid-request"),
        ({"seats": "many"}, "/problems/malformed-body"),
    ):
        message = one.request(URL, CODE, {"key_share": "9" * 64}) | change
        status, _, content, _ = one.exchange(URL, "/v1/authorizations", message)
        problem = json.loads(content)
        assert (status, problem["type"]) == (400, kind), problem
        assert problem["code"] == (-20140 if "protocol" in change else -20003), problem


def reports():
    one = device()
    local, answer = scans(one)
    before = next(meter["used"] for meter in answer["meters"])
    segment = Segment(local, answer["local_license"])
    segment.count("scan", QR_CODE, 3)
    early = segment.written()
    segment.count("scan", QR_CODE, 2)
    segment.count("image", 0, 9)
    late = segment.written()
    # Reordered and repeated: the later one counts, once.
    for written in (late, early, late):
        answer = one.report(URL, [written])
        assert answer["recorded"] == [segment.segment_id], answer
        assert used(answer) == before + 5 if "standings" in answer else True, answer
    # Signed in the place of a tag.
    other = Segment(local)
    other.count("scan", QR_CODE, 1)
    assert used(one.report(URL, [other.written()], with_tag=False)) == before + 6
    # What was counted is kept, for the server that is restored later.
    one.state["segments"] = [late, other.written()]
    one.save()


def scripts():
    """Play the scripts of reports among the vectors, each on a device of its own."""
    content = json.loads(pathlib.Path(VECTORS, "reports.json").read_text(encoding="utf-8"))
    stranger, _ = scans(device("stranger"))
    for number, script in enumerate(content["scripts"]):
        one = device(f"script{number}")
        local, answer = scans(one)
        begun = billed = next(meter["used"] for meter in answer["meters"])
        now = int(time.time()) // wire.SLOT
        licenses = {"own": local["license_id"], "of another device": stranger["license_id"]}
        ids = {}
        for step in script["steps"]:
            segments = []
            for name, written in sorted(step["segments"].items()):
                segment = Segment({"license_id": licenses.get(written["license"],
                                                              secrets.token_hex(16))})
                segment.segment_id = ids.setdefault(name, segment.segment_id)
                for slot, kind, what, total in written["totals"]:
                    segment.count(kind, what, total, now + slot)
                segments.append(segment.written())
            answer = one.report(URL, segments)
            names = {segment_id: name for name, segment_id in ids.items()}
            assert [names[one] for one in answer["recorded"]] == step["recorded"], script["name"]
            codes = {names[one["segment_id"]]: one["code"] for one in answer.get("refused", ())}
            assert codes == step["refused"], (script["name"], codes)
            if answer.get("standings"):
                billed = used(answer)
            assert billed - begun == step["billed"], (script["name"], billed - begun)


def pages_and_strict():
    one = device("pages")
    local, _ = one.authorize(URL, CODE, charge_way="page", modules=["OCR"], needed=3)
    allowed = {one.get("module", 0): one for one in local["allowances"]}
    ocr = allowed[wire.PAGE_MODULES["ocr"]]
    assert 3 <= ocr["allowed"] <= 105 and ocr["used"] == 0, "N and its grace: 105"
    segment = Segment(local)
    # The device never counts more than it may, and asks for more.
    segment.count("page", wire.PAGE_MODULES["ocr"], ocr["allowed"])
    assert one.report(URL, [segment.written()])["recorded"]
    local, _ = one.authorize(URL, CODE, charge_way="page", modules=["OCR"], needed=1)
    again = {one.get("module", 0): one for one in local["allowances"]}[4]
    assert again["used"] == ocr["allowed"] < again["allowed"] <= 105, again
    # What is not needed any more is given back, and somebody else gets it.
    ended = [{"license_id": local["license_id"], "serial": local["serial"]}]
    one.report(URL, [], ended)
    rest = 105 - ocr["allowed"]
    other = device("more pages")
    local, _ = other.authorize(URL, CODE, charge_way="page", modules=["OCR"], needed=rest)
    segment = Segment(local)
    segment.count("page", wire.PAGE_MODULES["ocr"], rest)
    # What it has got of other modules, it gives back.
    ended = [{"license_id": local["license_id"], "serial": local["serial"]}]
    other.report(URL, [segment.written()], ended)
    third = device("no pages")
    refused(-20120, third.authorize, URL, CODE, charge_way="page", modules=["OCR"], needed=1)
    # Another module has a quota of its own.
    third.authorize(URL, CODE, charge_way="page", modules=["CORE"], needed=1)


def clone():
    one = device("cloned")
    scans(one)
    copied = os.path.join(STATE, "copy.json")
    pathlib.Path(copied).write_text(json.dumps(one.state), encoding="utf-8")
    copy_ = Device(copied)
    scans(one)
    local, answer = scans(copy_)
    segment = Segment(local, answer["local_license"])
    segment.count("scan", QR_CODE, 4)
    copy_.report(URL, [segment.written()])
    # The first one goes on with what it has got, and is told.
    first_uuid = one.uuid
    counted = Segment(wire.peek(one.server(URL)["newest"]), one.server(URL)["newest"])
    counted.count("scan", QR_CODE, 7)
    assert refused(-20151, scans, one).status == 403
    one.take_fresh_uuid()
    local, _ = scans(one)
    assert local["device_uuid"] == one.uuid != first_uuid
    # Nothing that it has counted is lost.
    answer = one.report(URL, [counted.written()], uuid=first_uuid)
    assert answer["recorded"] == [counted.segment_id], answer
    # The other one continues.
    assert scans(copy_)[0]["device_uuid"] == first_uuid
    # Somebody with the UUID and another key is nobody.
    thief = device("thief")
    thief.state["keys"][first_uuid] = thief.state["keys"].pop(thief.uuid)
    thief.state["uuid"] = first_uuid
    assert refused(-20004, scans, thief).status == 403


def lost_state():
    """A device has lost all but its key and UUID, and a license under them runs."""
    whole, lost = device("whole"), device("lost")
    scans(whole)
    lost.state["uuid"], lost.state["keys"] = whole.uuid, dict(whole.state["keys"])
    # It has no key of the server to check the refusal with. It has no grant to lose, either.
    refused(-20151, scans, lost)
    assert lost.server(URL)["key"] is None
    lost.take_fresh_uuid()
    local, _ = scans(lost)
    assert local["device_uuid"] == lost.uuid != whole.uuid
    # The device that still works under the UUID is not disturbed.
    assert scans(whole)[0]["generation"] == {"branch": 1, "step": 2}


def standby_waits():
    """The main server is up: the standby leaves everything to it."""
    main, standby = URLS
    one = device("standby")
    try:
        one.authorize(standby, CODE, charge_way="barcode_scan")
        raise AssertionError("the standby has granted")
    except Silence as silence:
        answer = silence.__cause__
        assert (answer.code, answer.status) == (-20100, 503), answer
        assert int(answer.headers["Retry-After"]) > 0
    url, *_ = one.authorize_somewhere([standby, main], CODE, charge_way="barcode_scan")
    assert url == main
    one.save()


def standby_serves():
    """The main server is down."""
    main, standby = URLS
    one = device("standby")
    # The standby remembers for a moment that the main server was up.
    scan = {"charge_way": "barcode_scan"}
    url, local, _ = one.authorize_with_patience([main, standby], CODE, 60, **scan)
    assert url == standby
    segment = Segment(local)
    segment.count("scan", QR_CODE, 1)
    assert one.report(standby, [segment.written()])["recorded"]


def replaced_key():
    """The server has another key, and the vendor has issued the license file for it."""
    one = device()
    before = one.server(URL)["key"]
    local, _ = scans(one)
    after = one.server(URL)["key"]
    assert before != after, "the grant names the new key"
    segment = Segment(local)
    segment.count("scan", QR_CODE, 1)
    assert one.report(URL, [segment.written()])["recorded"]
    one.state["segments"].append(segment.written())
    one.save()


def restored():
    """The server was restored from a backup, at another address."""
    one = device()
    before, known = URLS[1], one.state["servers"]
    known[URL] = copy.deepcopy(known[before])
    known[URL]["must_send_again"] = False
    scans(one)
    assert known[URL]["must_send_again"], "it has heard of the new epoch"
    segments = one.state["segments"]
    for segment in segments:
        segment.setdefault("local_license", known[URL]["newest"])
    answer = one.report(URL, segments)
    assert answer["recorded"] == [segment["segment_id"] for segment in segments], answer


globals()[PART]()
print("ok")
