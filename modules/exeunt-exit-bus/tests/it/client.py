"""Another client of NATS: makes streams, reads everything back, publishes as a stranger.

It speaks the protocol itself and uses Python's own library alone, so that it agrees with the module
about nothing that is not on the wire.

    client.py PORT [--tls CA] [--user NAME PASSWORD] request SUBJECT JSON
    client.py PORT ... read STREAM
    client.py PORT ... publish SUBJECT COUNT
"""

import base64
import json
import socket
import ssl
import sys


class Client:
    def __init__(self, port, authority, user):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.stream.makefile("rb")
        info = json.loads(self.file.readline().split(b" ", 1)[1])
        if authority:
            context = ssl.create_default_context(cafile=authority)
            self.stream = context.wrap_socket(self.stream, server_hostname="localhost")
            self.file = self.stream.makefile("rb")
        assert info["headers"] and info["jetstream"], info
        hello = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        if user:
            hello["user"], hello["pass"] = user
        self.send(b"CONNECT " + json.dumps(hello).encode() + b"\r\nPING\r\n")
        answer = self.file.readline()
        assert answer == b"PONG\r\n", answer
        self.send(b"SUB _INBOX.foreign.* 1\r\n")

    def send(self, data):
        self.stream.sendall(data)

    def request(self, number, subject, body):
        head = "PUB %s _INBOX.foreign.%d %d\r\n" % (subject, number, len(body))
        self.send(head.encode() + body + b"\r\n")

    def answer(self):
        """The next answer: its number and its body."""
        while True:
            line = self.file.readline()
            assert line, "the server hung up"
            words = line.split()
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                body = self.file.read(int(words[-1]) + 2)[:-2]
                if words[0] == b"HMSG":
                    body = body[int(words[-2]):]
                return int(words[1].rsplit(b".", 1)[1]), body
            elif words[0] == b"-ERR":
                sys.exit(line.decode())


def headers(encoded):
    lines = base64.b64decode(encoded).decode().split("\r\n")[1:]
    pairs = [line.split(":", 1) for line in lines if line]
    return {name.lower(): value.strip() for name, value in pairs}


def read(client, stream):
    client.request(0, "$JS.API.STREAM.INFO." + stream, b"")
    info = json.loads(client.answer()[1])
    state = info["state"]
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        body = json.dumps({"seq": seq}).encode()
        client.request(seq, "$JS.API.STREAM.MSG.GET." + stream, body)
        number, answer = client.answer()
        assert number == seq
        message = json.loads(answer).get("message")
        if message is None:
            continue
        found = headers(message["hdrs"]) if "hdrs" in message else {}
        body = base64.b64decode(message.get("data", "")).decode()
        print(json.dumps({"subject": message["subject"], "headers": found, "body": body}))


def main():
    arguments = sys.argv[1:]
    port, authority, user = int(arguments.pop(0)), None, None
    while arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option == "--tls":
            authority = arguments.pop(0)
        else:
            user = arguments.pop(0), arguments.pop(0)
    client = Client(port, authority, user)
    action = arguments.pop(0)
    if action == "read":
        read(client, *arguments)
    elif action == "request":
        client.request(0, arguments[0], arguments[1].encode())
        print(client.answer()[1].decode())
    elif action == "publish":
        for number in range(int(arguments[1])):
            client.request(number, arguments[0], b"a stranger's")
            answer = json.loads(client.answer()[1])
            assert "seq" in answer, answer


main()
