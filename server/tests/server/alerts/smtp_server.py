"""A mail server: aiosmtpd with TLS and a login.

It prints its port, and then a line of JSON for each mail. Arguments: starttls or tls, the files of
certificate and key, and then the answers to recipients one after another, such as
"451 greylisted"; then it accepts all. A recipient that begins with "nobody" is refused.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

HOW, CERTIFICATE, KEY = sys.argv[1:4]
ANSWERS = sys.argv[4:]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 there is no such user"
        if ANSWERS:
            return ANSWERS.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content()
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": mail["subject"],
            "id": mail["message-id"],
            "plain": part("plain"),
            "html": part("html"),
            "tls": session.ssl is not None,
            "user": session.auth_data,
        }), flush=True)
        return "250 accepted"


def authenticate(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    is_known = (user, password) == ("seatmeterd@example.com", "open sesame")
    return AuthResult(success=is_known, handled=False, auth_data=user)


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    starttls = HOW == "starttls"

    def protocol():
        return SMTP(
            Handler(),
            hostname="localhost",
            loop=loop,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_require_tls=starttls,
            auth_required=True,
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=None if starttls else context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
