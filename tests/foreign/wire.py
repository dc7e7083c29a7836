"""The protocol of docs/wire.md: signatures, proofs, and the checks of a grant.

Written from that page alone, with the standard library and `cryptography`. Nothing here sends or
stores anything.
"""

import hashlib
import hmac
import json
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DAY = 86_400
SLOT = 180
BODY_MAX = 1 << 20
BATCH = re.compile(r"[0-9a-f]{128}\.(0|[1-9][0-9]*)\.([1-9][0-9]*)((\.[0-9a-f]{64})*)")

# The charge ways whose licenses carry allowances, and the numbers of the page modules.
PAGE_MODULES = {"core": 1, "webcam": 2, "pdfr": 3, "ocr": 4}
CHARGE_WAYS = {
    "client_device", "barcode_scan", "concurrent_device", "domain", "active_device", "server",
    "concurrent_instance", "page",
}
DEPLOYMENT_TYPES = {"server", "desktop", "embedded", "oem", "mobile", "browser"}
ITEM_FIELDS = {
    "item_id", "charge_way", "quota", "deployment_types", "products", "starts_at", "expires_at",
    "offline_days", "window_days", "page_quotas", "domains", "overuse_budget",
    "overuse_growth_per_day", "strict", "modules", "versions", "edition", "requires", "trial",
}


class Untrusted(Exception):
    """An answer, a document or a grant that must not be used."""


def digest(data):
    return hashlib.sha256(data).hexdigest()


def key_id(public):
    """Return the id of a public key, which is given in 64 digits."""
    return digest(bytes.fromhex(public))[:16]


def public_of(private):
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def text_of(context, content):
    """Return what a signature in this context covers."""
    return b"seatmeter/1 " + context.encode() + b"\n" + content


def verify_alone(public, text, signature):
    if not re.fullmatch("[0-9a-f]{128}", signature):
        raise Untrusted("the signature does not have 128 digits")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            bytes.fromhex(signature), text
        )
    except InvalidSignature as error:
        raise Untrusted("the signature is wrong") from error


def verify_in_batch(public, text, written):
    """Check a batch signature in the five steps of the page."""
    match = BATCH.fullmatch(written)
    if not match:
        raise Untrusted("the batch signature is malformed")
    signature, index, size, *path = written.split(".")
    i, last = int(index), int(size) - 1
    if i > last or last >= 1024:
        raise Untrusted("the place in the batch is out of range")
    path = [bytes.fromhex(one) for one in path]
    here = hashlib.sha256(b"\0" + text).digest()
    while last > 0:
        if i % 2 == 1 or i < last:
            if not path:
                raise Untrusted("the path is too short")
            beside = path.pop(0)
            pair = beside + here if i % 2 == 1 else here + beside
            here = hashlib.sha256(b"\1" + pair).digest()
        i, last = i // 2, last // 2
    if path:
        raise Untrusted("the path is too long")
    verify_alone(public, f"seatmeter/1 batch\n{size}\n{here.hex()}".encode(), signature)


def open_envelope(envelope, context, public):
    """Return the document in an envelope that this key must have signed."""
    if envelope["key_id"] != key_id(public):
        raise Untrusted(f"the {context} is signed by another key")
    text = text_of(context, envelope["payload"].encode())
    is_alone = context in ("license file", "license correction", "usage export")
    (verify_alone if is_alone else verify_in_batch)(public, text, envelope["signature"])
    return json.loads(envelope["payload"])


def peek(envelope):
    """Return the document in an envelope without a check."""
    return json.loads(envelope["payload"])


def verify_answer(public, request_body, nonce, status, time, signer, body, signature):
    if signer != key_id(public):
        raise Untrusted("the answer is signed by another key")
    head = f"{digest(request_body)}\n{nonce}\n{status}\n{time}\n{signer}\n".encode()
    verify_in_batch(public, text_of("answer", head + body), signature)


def facts(path, nonce, body):
    return f"POST\n{path}\n{nonce}\n{digest(body)}\n".encode()


def sign_request(private, path, nonce, body):
    return private.sign(text_of("request", facts(path, nonce, body))).hex()


def tag_request(report_key, path, nonce, body):
    """Return the HMAC under a report key of 40 bytes: 8 of its id, 32 of the secret."""
    text = text_of("report", facts(path, nonce, body))
    return hmac.new(report_key[8:], text, hashlib.sha256).hexdigest()


def agree(secret, server_share, uuid):
    """Return the report key of a device with this X25519 secret."""
    own = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    theirs = bytes.fromhex(server_share)
    try:
        agreed = secret.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise Untrusted("the share of the server gives no secret") from error
    info = b"seatmeter/1 report key\n" + uuid.encode()
    return HKDF(algorithm=SHA256(), length=40, salt=own + theirs, info=info).derive(agreed)


def grace(quota, percent):
    return (quota * percent + 50) // 100


def is_understood(item):
    """Return whether a reader of this version knows everything that may restrict an item."""
    return (
        item.get("charge_way") in CHARGE_WAYS
        and set(item.get("deployment_types", ())) <= DEPLOYMENT_TYPES
        and set(item) <= ITEM_FIELDS
        and set(item.get("page_quotas") or {}) <= set(PAGE_MODULES)
        and set(item.get("versions") or {}) <= {"from", "to"}
    )


def quotas(item):
    """Return the quota of each module that an item counts; module 0 stands for scans."""
    if item["charge_way"] == "barcode_scan":
        return {0: item["quota"]}
    if item["charge_way"] == "page":
        return {PAGE_MODULES[name]: n for name, n in item["page_quotas"].items() if n > 0}
    return {}


def version(text):
    numbers = [int(part) for part in text.split(".")]
    return numbers + [0] * (4 - len(numbers))


def covers_version(versions, asked):
    if not versions.get("from") and not versions.get("to"):
        return True
    if asked is None:
        return False
    asked = version(asked)
    if versions.get("from") and asked < version(versions["from"]):
        return False
    end = versions.get("to")
    if not end or asked <= version(end):
        return True
    prefix = [int(part) for part in end.split(".")]
    return asked[: len(prefix)] == prefix


def host_of(website):
    """Return the host of a website, which is written as a host or an origin."""
    return website.split("://")[-1].split("/")[0].split(":")[0].lower().rstrip(".")


def is_near(host, domain):
    labels = host.split(".")[-2:]
    return host == domain or len(labels) == 2 and labels == domain.split(".")[-2:]


def covers(item, request):
    """Raise if an item does not cover what the client itself has asked for."""
    asked = request["deployment_type"]
    if asked == "desktop" and item["charge_way"] in ("server", "concurrent_instance"):
        asked = "server"
    if asked not in item["deployment_types"]:
        raise Untrusted("the item is for other deployment types")
    if request["products"] & ~item["products"]:
        raise Untrusted("the item is for other products")
    modules = item.get("modules") or []
    if modules and not set(request.get("modules", ())) <= set(modules):
        raise Untrusted("the item has other modules")
    if not covers_version(item.get("versions") or {}, request.get("product_version")):
        raise Untrusted("the item is for other versions")
    if item.get("edition") and item["edition"] != request.get("product_edition"):
        raise Untrusted("the item is for another edition")
    if item["charge_way"] == "domain":
        host = host_of(request.get("validation", {}).get("website_domain", ""))
        domains = [host_of(domain.removeprefix("*.")) for domain in item.get("domains") or []]
        if not any(is_near(host, domain) for domain in domains):
            raise Untrusted("the item is for other domains")


def within(local, item):
    """Raise if a local license is wider than its item."""
    bounds = [
        (local["charge_way"] == item["charge_way"], "another charge way"),
        (local["seats"] <= item.get("quota", 0), "too many seats"),
        (local["issued_at"] >= item["starts_at"], "granted before the start"),
        (local["item_expires_at"] <= item["expires_at"], "a later expiry"),
        (local["valid_until"] <= item["expires_at"] + 7 * DAY, "valid beyond the grace"),
    ]
    offline = item.get("offline_days", 30) * DAY or SLOT
    bounds.append((local["valid_until"] - local["issued_at"] <= offline, "too many days offline"))
    for good, why in bounds:
        if not good:
            raise Untrusted(f"the local license is wider than its item: {why}")
    of_item = quotas(item)
    for allowance in local.get("allowances") or []:
        quota = of_item.get(allowance.get("module", 0))
        if quota is None:
            raise Untrusted("an allowance for a module without a quota")
        if allowance["allowed"] > max(quota + grace(quota, 5), allowance["used"]):
            raise Untrusted("an allowance above quota and grace")


def check_grant(answer, root, known_issued_at, server_time, uuid, device_public):
    """Check a grant as "Client behavior, Grants" says. Return file, item and local license."""
    file = open_envelope(answer["license_file"], "license file", root)
    if file["version"] != 1:
        raise Untrusted("a license file of another version")
    if file["issued_at"] < known_issued_at:
        raise Untrusted("an earlier issue of the license file")
    if file["issued_at"] > server_time + DAY:
        raise Untrusted("the server's time is before the issue of the license file")
    local = open_envelope(answer["local_license"], "local license", file["server_key"])
    if local["version"] != 1:
        raise Untrusted("a local license of another version")
    if (local["device_uuid"], local["device_key"]) != (uuid, device_public):
        raise Untrusted("the license is for another device")
    items = [item for item in file["items"] if item.get("item_id") == local["item_id"]]
    if not items or not is_understood(items[0]):
        raise Untrusted("the item is not in the license file, or not understood")
    within(local, items[0])
    return file, items[0], local
