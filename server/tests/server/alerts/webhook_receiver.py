"""A receiver of webhooks, which checks them by the package of Standard Webhooks.

It prints its port, and then a line of JSON for each request. The arguments are the secret, the public
key, and the statuses that it answers one after another; then it answers 200.
"""

import base64
import http.server
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET, PUBLIC = sys.argv[1:3]
STATUSES = [int(status) for status in sys.argv[3:]]


def verified(headers, body):
    """Return what the signatures in these headers prove."""
    found = []
    try:
        Webhook(SECRET).verify(body, headers)
        found.append("v1")
    except WebhookVerificationError as error:
        found.append(str(error))
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for signature in headers["webhook-signature"].split(" "):
        if signature.startswith("v1a,"):
            key.verify(base64.b64decode(signature.removeprefix("v1a,")), content)
            found.append("v1a")
    return found


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.note({"method": "GET", "path": self.path})
        self.answer(200)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.note({
            "method": "POST",
            "path": self.path,
            "id": headers["webhook-id"],
            "timestamp": int(headers["webhook-timestamp"]),
            "verified": verified(headers, body),
            "body": json.loads(body),
        })
        self.answer(STATUSES.pop(0) if STATUSES else 200)

    def note(self, what):
        print(json.dumps(what), flush=True)

    def answer(self, status):
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
