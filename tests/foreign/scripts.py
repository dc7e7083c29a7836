"""Play steps of a script among the test vectors against a running license server.

Arguments: "clones" or "rollbacks", the folder of the state, the folder of the test vectors, the
URL, the number of the script, the first step, and the one after the last. What the devices have
got stays in the folder for the steps that follow. Prints "ok" if every outcome was as the script
says. What a step does to the server or to its clock, the caller does.
"""

import json
import os
import pathlib
import secrets
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import wire
from client import AUTHORIZE, CHECK, REPORT, Device, Refused

CODE = "DEMO-4-SEATS"
KIND, STATE, VECTORS, URL, NUMBER, FIRST, LAST = sys.argv[1:]
NAME = os.path.join(STATE, f"{KIND}{NUMBER}")


class Notes:
    """What a script has come to, in a file."""

    def __init__(self):
        self.path = pathlib.Path(NAME + ".notes")
        self.licenses, self.receipts, self.epochs = {}, {}, {}
        self.contacts, self.segments, self.billed = {}, {}, 0
        if self.path.exists():
            self.__dict__.update(json.loads(self.path.read_text(encoding="utf-8")), path=self.path)

    def save(self):
        content = {name: value for name, value in self.__dict__.items() if name != "path"}
        self.path.write_text(json.dumps(content), encoding="utf-8")

    def contact(self, who):
        return self.contacts.setdefault(who, secrets.token_hex(16))

    def see_epoch(self, name, epoch):
        """Each name stands for one epoch of the script."""
        if name not in self.epochs:
            assert epoch not in self.epochs.values(), f"{name} is not new"
            self.epochs[name] = epoch
        assert self.epochs[name] == epoch, f"{name} is another one: {self.epochs}"


def device(who):
    return Device(f"{NAME}-{who}.json")


def message_of(one, step, notes):
    """Return the request of a step, which shows what the step says and nothing else."""
    message = one.request(URL, CODE, {"charge_way": "barcode_scan"})
    for field in ("held_license", "newest_license", "first_contact", "receipt"):
        message.pop(field, None)
    if step["shows"]:
        message["newest_license"] = notes.licenses[step["shows"]]
    else:
        message["first_contact"] = notes.contact(step["who"])
    if step.get("shows_receipt"):
        message["receipt"] = receipt_of(step, notes)
    return message


def receipt_of(step, notes):
    receipt = notes.receipts[step["shows_receipt"]]
    if step.get("receipt_is_changed"):
        receipt = receipt[:-1] + ("0" if receipt[-1] != "0" else "1")
    return receipt


def ask(one, message):
    """Ask once. Return the local license and the answer."""
    secret = X25519PrivateKey.generate()
    message["key_share"] = wire.public_of(secret)
    status, headers, content, sent = one.exchange(URL, AUTHORIZE, message)
    if status != 200:
        one.refusal(URL, status, headers, content, sent)
    return one.accept(URL, CODE, message, secret, headers, content, sent)


def challenge_of(one, message):
    """Return the challenge with which the server must answer."""
    try:
        ask(one, message)
    except Refused as refused:
        assert (refused.status, refused.code) == (401, -20004), refused
        assert refused.problem["type"] == "/problems/challenge", refused
        return refused.problem["challenge"]
    raise AssertionError("granted without a challenge")


def clone(step, notes):
    """Both installations have one key and one UUID: here they are one device."""
    one = device("both")
    message = message_of(one, step, notes)
    if step.get("challenge"):
        message["challenge"] = challenge_of(one, message)
    try:
        local, answer = ask(one, message)
    except Refused as refused:
        assert refused.code == step["outcome"], refused
        return
    generation = local["generation"]
    assert [generation["branch"], generation["step"]] == step["outcome"], generation
    notes.licenses[step["gets"]] = answer["local_license"]


def authorize(step, notes):
    one = device(step["who"])
    local, answer = ask(one, message_of(one, step, notes))
    generation = local["generation"]
    assert [generation["branch"], generation["step"]] == step["outcome"], generation
    notes.licenses[step["gets"]] = answer["local_license"]
    return answer


def check(step, notes):
    one = device(step["who"])
    message = message_of(one, step, notes)
    message["key_share"] = wire.public_of(X25519PrivateKey.generate())
    status, headers, content, sent = one.exchange(URL, CHECK, message)
    one.verify(one.server(URL)["key"], status, headers, content, sent)
    assert status == 200, content
    return json.loads(content)


def report(step, notes):
    one, envelope = device(step["who"]), notes.licenses[step["shows"]]
    local = wire.peek(envelope)
    # The server's clock may be far ahead of that of this program.
    first = {"segment_id": secrets.token_hex(16), "slot": local["issued_at"] // wire.SLOT}
    segment = notes.segments.setdefault(step["who"], first)
    total = {"slot": segment["slot"], "kind": "scan", "what": 4, "total": step["total"]}
    message = {
        "protocol": 1,
        "device": {"uuid": one.uuid},
        "newest_license": envelope,
        "segments": [
            {
                "segment_id": segment["segment_id"],
                "license_id": local["license_id"],
                "local_license": envelope,
                "totals": [total],
            }
        ],
    }
    if step.get("shows_receipt"):
        message["receipt"] = receipt_of(step, notes)
    answer = one.recorded(URL, *one.exchange(URL, REPORT, message))
    assert answer["recorded"] == [segment["segment_id"]], answer
    # One server serves all scripts, and its item has been used by those before.
    begun = notes.segments.setdefault("begun", used(answer) - step["billed"])
    assert used(answer) - begun == step["billed"], (answer, begun)
    return answer


def used(answer):
    [standing] = answer["standings"]
    [meter] = [meter for meter in standing["meters"] if meter["of"] == "scans"]
    return meter["used"]


def play(step, notes):
    if KIND == "clones":
        clone(step, notes)
        return
    do = {"authorize": authorize, "check": check, "report": report}[step["do"]]
    answer = do(step, notes)
    notes.see_epoch(step["epoch"], answer["epoch"])
    if step.get("gets_receipt"):
        notes.receipts[step["gets_receipt"]] = answer["receipt"]


def main():
    path = pathlib.Path(VECTORS, f"{KIND}.json")
    script = json.loads(path.read_text(encoding="utf-8"))["scripts"][int(NUMBER)]
    notes = Notes()
    for number in range(int(FIRST), int(LAST)):
        step = script["steps"][number]
        try:
            play(step, notes)
        except (AssertionError, Refused) as failure:
            raise AssertionError(f"{script['name']}: step {number}, {step}") from failure
    notes.save()


main()
print("ok")
