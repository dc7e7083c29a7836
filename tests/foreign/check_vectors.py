"""Check the test vectors of the protocol with the code of this folder. Argument: their folder."""

import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import wire

FOLDER = pathlib.Path(sys.argv[1])


def vectors(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def refuses(what, check, *arguments):
    try:
        check(*arguments)
    except wire.Untrusted:
        return
    raise AssertionError(f"accepted: {what}")


def check_answer(case, public):
    wire.verify_answer(
        public, case["request_body"].encode(), case["nonce"], case["status"], case["server_time"],
        case["key_id"], case["body"].encode(), case["signature"],
    )


def documents():
    content = vectors("documents")
    keys = content["keys"]
    file = wire.open_envelope(content["license_file"], "license file", keys["vendor_public"])
    assert file["server_key"] == keys["server_public"]
    assert wire.key_id(keys["server_public"]) == keys["server_key_id"]
    wire.open_envelope(content["local_license"], "local license", keys["server_public"])
    case = vectors("answer")
    assert wire.digest(case["request_body"].encode()) == case["request_digest"]
    check_answer(case | {"body": case["answer_body"], "key_id": keys["server_key_id"]},
                 keys["server_public"])


def proofs():
    case = vectors("proofs")
    body, nonce = case["body"].encode(), case["nonce"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["device_seed"]))
    assert wire.public_of(key) == case["device_public"]
    signature = wire.sign_request(key, case["authorization"]["path"], nonce, body)
    assert signature == case["authorization"]["signature"]
    tag = wire.tag_request(bytes.fromhex(case["report_key"]), case["report"]["path"], nonce, body)
    assert tag == case["report"]["tag"]


def report_key():
    case = vectors("report_key")
    secret = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["device_secret"]))
    assert wire.public_of(secret) == case["device_share"]
    key = wire.agree(secret, case["server_share"], case["device_uuid"])
    assert key.hex() == case["report_key"]
    assert key[:8].hex() == case["report_key_id"]
    refuses("a share of zeros", wire.agree, secret, "0" * 64, case["device_uuid"])


def batches():
    content = vectors("batches")
    sizes = []
    public, signer = content["server_public"], content["server_key_id"]

    def verify(nonce, body, signature):
        wire.verify_answer(
            public, content["request_body"].encode(), nonce, content["status"],
            content["server_time"], signer, body.encode(), signature,
        )

    for batch in content["batches"]:
        sizes.append(batch["size"])
        for answer in batch["answers"]:
            verify(answer["nonce"], answer["body"], answer["signature"])
    assert sizes == [1, 2, 3, 64]
    refused = content["refused"]
    assert len(refused["signatures"]) > 15
    for case in refused["signatures"]:
        refuses(case["why"], verify, refused["nonce"], refused["body"], case["signature"])


def prove(exchange, device, report_key):
    """Compare the proof of a request with the one that its key makes."""
    request, sent = exchange["request"], exchange["request"]["headers"]
    body, path = request["body"].encode(), request["path"]
    if request["method"] == "GET":
        return path.split("nonce=")[1]
    nonce = sent["Seatmeter-Nonce"]
    if "Seatmeter-Report-Tag" in sent:
        assert sent["Seatmeter-Report-Key-Id"] == report_key[:8].hex()
        assert sent["Seatmeter-Report-Tag"] == wire.tag_request(report_key, path, nonce, body)
    else:
        signature = wire.sign_request(device, path, nonce, body)
        assert sent["Seatmeter-Device-Signature"] == signature
    return nonce


def exchanges():
    content = vectors("exchanges")
    keys = content["keys"]
    device = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys["device_seed"]))
    signers = {wire.key_id(keys[name]): keys[name] for name in ("server_public", "new_server_public")}
    seen = set()
    for exchange in content["exchanges"]:
        request, answer = exchange["request"], exchange["answer"]
        body, got, path = request["body"].encode(), answer["headers"], request["path"]
        nonce = prove(exchange, device, bytes.fromhex(keys["report_key"]))
        signer = got["Seatmeter-Key-Id"]
        wire.verify_answer(
            signers[signer], body, nonce, answer["status"], got["Seatmeter-Time"], signer,
            answer["body"].encode(), got["Seatmeter-Signature"],
        )
        if answer["status"] == 200 and path == "/v1/authorizations":
            message = json.loads(body)
            file, item, _ = wire.check_grant(
                json.loads(answer["body"]), keys["vendor_public"], 0, int(got["Seatmeter-Time"]),
                message["device"]["uuid"], message["device_key"],
            )
            wire.covers(item, message)
            # A grant is signed by the key of its file, whatever the request asked for.
            assert signer == wire.key_id(file["server_key"])
            seen.add(signer)
    assert len(seen) == 2, "one of them is after a replaced key"


def refused():
    content = vectors("refused")
    server, vendor = content["server_public"], content["vendor_public"]
    check_answer(content["good_answer"], server)
    for case in content["answers"]:
        refuses(case["why"], check_answer, case, server)
    for case in content["documents"]:
        refuses(case["why"], wire.open_envelope, case["envelope"], case["context"],
                case["expected_key"])

    def check(case):
        file, item, _ = wire.check_grant(
            case["answer"], vendor, case["known_issued_at"], case["server_time"],
            content["device_uuid"], content["device_public"],
        )
        if case["answered_by"] != file["server_key"]:
            raise wire.Untrusted("the answer is signed by another key than the file names")
        wire.covers(item, case["request"])

    for case in content["good_grants"]:
        check(case)
    for case in content["grants"]:
        refuses(case["why"], check, case)
    # The clauses of the page, each with a case.
    assert {case["clause"] for case in content["grants"]} == set(range(1, 15))


for check in (documents, proofs, report_key, batches, exchanges, refused):
    check()
print("ok")
