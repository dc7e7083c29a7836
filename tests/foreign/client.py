"""A client of the license server, written from docs/wire.md alone.

It keeps its state in one JSON file. It waits for nothing: whoever uses it decides when to ask.
"""

import json
import os
import secrets
import time
import urllib.error
import urllib.request

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import wire

AUTHORIZE = "/v1/authorizations"
CHECK = "/v1/authorization-checks"
REPORT = "/v1/usage"
TIMEOUT = 20


class Silence(Exception):
    """No license server has answered, or its answer counts as none."""


class Refused(Exception):
    """A signed refusal."""

    def __init__(self, status, problem, headers):
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.status, self.problem, self.headers = status, problem, headers
        self.code = problem["code"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are not followed."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def ask_once(url, path, body, headers):
    """Post a body. Return status, headers and body of the answer."""
    request = urllib.request.Request(url + path, data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        with OPENER.open(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.headers, answer.read(wire.BODY_MAX)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read(wire.BODY_MAX)
    except OSError as error:
        raise Silence(str(error)) from error


class Device:
    """One installation with its state."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, encoding="utf-8") as file:
                self.state = json.load(file)
        except FileNotFoundError:
            # Former UUIDs stay here with their keys: what was counted under them is reported so.
            self.state = {"root": None, "issued_at": {}, "keys": {}, "uuid": None, "servers": {}}
            self.take_fresh_uuid()

    def save(self):
        """Make the state durable before anything is done by it."""
        draft = self.path + ".draft"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(self.state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path)

    def take_fresh_uuid(self):
        uuid = secrets.token_hex(16)
        self.state["uuid"] = uuid
        self.state["keys"][uuid] = secrets.token_hex(32)
        self.save()

    @property
    def uuid(self):
        return self.state["uuid"]

    def key(self, uuid=None):
        seed = self.state["keys"][uuid or self.uuid]
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))

    def server(self, url):
        """Return what is known of the server at a URL, for the present UUID."""
        empty = {
            "key": None, "newest": None, "held": {}, "report_keys": {}, "receipt": "",
            "epoch": "", "first_contact": {},
        }
        return self.state["servers"].setdefault(url, empty)

    # Requests

    def exchange(self, url, path, message, report_key=None, uuid=None):
        """Send a request with its proof. Return status, headers, body and what was sent."""
        body = json.dumps(message).encode()
        nonce = secrets.token_hex(16)
        headers = {"Seatmeter-Nonce": nonce}
        known = self.server(url)["key"]
        if known:
            headers["Seatmeter-Key-Id"] = wire.key_id(known)
        if report_key:
            headers["Seatmeter-Report-Key-Id"] = report_key[:8].hex()
            headers["Seatmeter-Report-Tag"] = wire.tag_request(report_key, path, nonce, body)
        else:
            signature = wire.sign_request(self.key(uuid), path, nonce, body)
            headers["Seatmeter-Device-Signature"] = signature
        status, answered, content = ask_once(url, path, body, headers)
        return status, answered, content, (body, nonce)

    @staticmethod
    def verify(public, status, headers, content, sent):
        body, nonce = sent
        time_, signer = headers.get("Seatmeter-Time"), headers.get("Seatmeter-Key-Id")
        signature = headers.get("Seatmeter-Signature")
        if not (time_ and signer and signature):
            raise wire.Untrusted("the answer is not signed")
        wire.verify_answer(public, body, nonce, status, time_, signer, content, signature)

    def refusal(self, url, status, headers, content, sent):
        """Raise the refusal in an answer, if it is one of the server that is known."""
        try:
            problem = json.loads(content)
            code = problem["code"]
        except (ValueError, KeyError, TypeError) as error:
            raise Silence(f"status {status}, and not as a license server does") from error
        known = self.server(url)["key"]
        if known:
            self.verify(known, status, headers, content, sent)
            if problem.get("epoch"):
                self.hear_epoch(url, problem["epoch"])
        if code in (-20100, -20003, -20140):
            raise Silence(problem["detail"]) from Refused(status, problem, headers)
        raise Refused(status, problem, headers)

    def request(self, url, code, more):
        """Return an authorization request, without its halves of agreement and challenge."""
        known = self.server(url)
        held = known["held"].get(code)
        newest = known["newest"]
        message = {
            "protocol": 1,
            "handshake_code": code,
            "device": {"uuid": self.uuid, "library_version": "foreign 1"},
            "deployment_type": "desktop",
            "products": 0xFFFF,
            "seats": 1,
            "buffer_days": 7,
            "validation": {"process_name": "foreign"},
            "device_key": wire.public_of(self.key()),
            "receipt": known["receipt"],
        }
        if held and wire.peek(held)["device_uuid"] == self.uuid:
            message["held_license"] = held
        if newest and wire.peek(newest)["device_uuid"] == self.uuid:
            if newest != message.get("held_license"):
                message["newest_license"] = newest
        else:
            contacts = known["first_contact"]
            message["first_contact"] = contacts.setdefault(self.uuid, secrets.token_hex(16))
        return message | more

    def authorize(self, url, code, **more):
        """Get or renew a license at one server. Return the local license and the whole answer."""
        message = self.request(url, code, more)
        self.save()
        challenged = False
        while True:
            secret = X25519PrivateKey.generate()
            message["key_share"] = wire.public_of(secret)
            status, headers, content, sent = self.exchange(url, AUTHORIZE, message)
            if status == 200:
                return self.accept(url, code, message, secret, headers, content, sent)
            try:
                self.refusal(url, status, headers, content, sent)
            except Refused as refused:
                if status != 401:
                    raise
                challenge = refused.problem.get("challenge")
                if challenge is None or challenged:
                    raise Silence("the proof was changed on its way") from refused
                message["challenge"], challenged = challenge, True

    def accept(self, url, code, message, secret, headers, content, sent):
        answer = json.loads(content)
        root = self.state["root"] or answer["root_key"]
        file = wire.peek(answer["license_file"])
        self.verify(file["server_key"], 200, headers, content, sent)
        known_issue = self.state["issued_at"].get(file["file_id"], 0)
        file, item, local = wire.check_grant(
            answer, root, known_issue, int(headers["Seatmeter-Time"]), self.uuid,
            message["device_key"],
        )
        wire.covers(item, message)
        known = self.server(url)
        known["key"] = file["server_key"]
        known["newest"] = known["held"][code] = answer["local_license"]
        known["receipt"] = answer.get("receipt", "")
        report_key = wire.agree(secret, answer["key_share"], self.uuid)
        known["report_keys"][self.uuid] = report_key.hex()
        self.state["root"] = root
        self.state["issued_at"][file["file_id"]] = file["issued_at"]
        self.hear_epoch(url, answer.get("epoch", ""))
        self.save()
        return local, answer

    def check(self, url, code, **more):
        """Return what an authorization would be."""
        message = self.request(url, code, more)
        message["key_share"] = wire.public_of(X25519PrivateKey.generate())
        status, headers, content, sent = self.exchange(url, CHECK, message)
        if status != 200:
            self.refusal(url, status, headers, content, sent)
        if self.server(url)["key"]:
            self.verify(self.server(url)["key"], status, headers, content, sent)
        return json.loads(content)

    def hear_epoch(self, url, epoch):
        """Note the epoch. In a new one, everything has to be sent again."""
        known = self.server(url)
        if epoch and epoch != known["epoch"]:
            known["must_send_again"] = bool(known["epoch"])
            known["epoch"] = epoch

    def report(self, url, segments, ended=(), uuid=None, with_tag=True):
        """Report segments that were counted under a UUID. Return the answer."""
        uuid = uuid or self.uuid
        known = self.server(url)
        message = {
            "protocol": 1,
            "device": {"uuid": uuid, "library_version": "foreign 1"},
            "segments": segments,
            "receipt": known["receipt"],
        }
        if known["newest"] and wire.peek(known["newest"])["device_uuid"] == uuid:
            message["newest_license"] = known["newest"]
        if ended:
            message["ended"] = list(ended)
        report_key = known["report_keys"].get(uuid) if with_tag else None
        if report_key:
            key = bytes.fromhex(report_key)
            outcome = self.exchange(url, REPORT, message, key, uuid)
            try:
                return self.recorded(url, *outcome)
            except Refused as refused:
                if refused.code != -20004:
                    raise
        # The server does not know the report key: the report is signed.
        return self.recorded(url, *self.exchange(url, REPORT, message, None, uuid))

    def recorded(self, url, status, headers, content, sent):
        if status != 200:
            self.refusal(url, status, headers, content, sent)
        self.verify(self.server(url)["key"], status, headers, content, sent)
        answer = json.loads(content)
        if answer.get("receipt"):
            self.server(url)["receipt"] = answer["receipt"]
        self.hear_epoch(url, answer.get("epoch", ""))
        self.save()
        return answer

    def authorize_somewhere(self, urls, code, **more):
        """Ask the main server, then the standby. Return the URL that has granted, and the grant."""
        failures = []
        for url in urls:
            try:
                return url, *self.authorize(url, code, **more)
            except (Silence, wire.Untrusted) as failure:
                failures.append(failure)
        raise Silence("; ".join(map(str, failures)))


    def authorize_with_patience(self, urls, code, seconds, **more):
        """Do as authorize_somewhere does, and again after each silence until the time is over."""
        end, pause = time.monotonic() + seconds, 2
        while True:
            try:
                return self.authorize_somewhere(urls, code, **more)
            except Silence:
                if time.monotonic() + pause > end:
                    raise
            time.sleep(pause + secrets.randbelow(1000) / 1000)
            pause = min(2 * pause, 60)


class Segment:
    """Counters with a random id under one local license and one UUID."""

    def __init__(self, local, envelope=None):
        self.segment_id = secrets.token_hex(16)
        self.license_id = local["license_id"]
        self.envelope = envelope
        self.counters = {}

    def count(self, kind, what, amount=1, slot=None):
        slot = int(time.time()) // wire.SLOT if slot is None else slot
        name = (slot, kind, what)
        self.counters[name] = self.counters.get(name, 0) + amount

    def written(self):
        totals = [
            {"slot": slot, "kind": kind, "what": what, "total": total}
            for (slot, kind, what), total in sorted(self.counters.items())
        ]
        segment = {"segment_id": self.segment_id, "license_id": self.license_id, "totals": totals}
        if self.envelope:
            segment["local_license"] = self.envelope
        return segment
