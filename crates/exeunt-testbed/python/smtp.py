"""A mail server that keeps what it is given in a file, a line of JSON for each message.

Its only argument is a JSON object; exeunt_testbed::smtp writes it. How it behaves is read anew at each
command from the file "behaviour".
"""

import asyncio, json, os, pathlib, ssl, sys, time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

told = json.loads(sys.argv[1])


def behaviour():
    return json.loads(pathlib.Path(told["behaviour"]).read_text())


seen = set()


class Inbox:
    async def at(self, server, command):
        now = behaviour()
        if now.get("delay_ms"):
            await asyncio.sleep(now["delay_ms"] / 1000)
        if now.get("cut_at") == command:
            server.transport.abort()
            return "421 4.3.0 cut off"
        return now.get("answers", {}).get(command)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = await self.at(server, "MAIL")
        if answer:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self.at(server, "RCPT")
        if answer:
            return answer
        now = behaviour()
        if address in now.get("refused", []):
            return "550 5.1.1 no such user here"
        pair = (envelope.mail_from, address)
        if now.get("greylist") and pair not in seen:
            seen.add(pair)
            return "451 4.7.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        answer = await self.at(server, "DATA")
        if answer:
            return answer
        content = envelope.original_content.decode("utf-8", "replace")
        if any(words in content for words in behaviour().get("spam", [])):
            return "554 5.7.1 looks like spam"
        secured = server.transport.get_extra_info("ssl_object")
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": secured.version() if secured else None,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "helo": session.host_name,
            "text": content,
        }
        with open(told["inbox"], "a") as inbox:
            inbox.write(json.dumps(mail) + "\n")
        # The client is cut off after the message was taken: it cannot know.
        if behaviour().get("cut_at") == "ANSWER":
            server.transport.abort()
        return "250 2.0.0 kept"


def authenticate(server, session, envelope, mechanism, data):
    right = (
        isinstance(data, LoginPassword)
        and data.login == told["user"].encode()
        and data.password == told["password"].encode()
    )
    if right:
        session.auth_data = data
    return AuthResult(success=right, handled=False, auth_data=data if right else None)


async def main():
    context = None
    if told["security"] != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(told["certificate"], told["key"])
    starttls = told["security"] == "starttls"

    def factory():
        return SMTP(
            Inbox(),
            hostname="mail.example.test",
            data_size_limit=told["size_max"],
            enable_SMTPUTF8=True,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=authenticate if told["user"] else None,
            auth_required=bool(told["user"]),
            # On a connection that was TLS from its start the library does not see the TLS.
            auth_require_tls=starttls,
        )

    loop = asyncio.get_running_loop()
    implicit = context if told["security"] == "tls" else None
    server = await loop.create_server(factory, "127.0.0.1", told["port"], ssl=implicit)
    async with server:
        await server.serve_forever()


# Half a line is of a process that was killed while it wrote; what comes next is a line of its own.
inbox = pathlib.Path(told["inbox"])
if inbox.exists():
    os.truncate(inbox, inbox.read_bytes().rfind(b"\n") + 1)

asyncio.run(main())
