"""A receiver of syslog messages that misbehaves on demand.

Its only argument is a JSON object. Each message that it has read, by the counting of octets of RFC 6587, it
takes apart by the grammar of RFC 5424 and writes down, a line of JSON for each. What is no message ends
the process.
"""

import json, os, pathlib, re, socket, socketserver, ssl, sys, time

told = json.loads(sys.argv[1])

NAME = r"[!#-<>-\\^-~]{1,32}"
VALUE = r'(?:[^"\\\]]|\\["\\\]])*'
HEADER = re.compile(
    r"<(?P<pri>0|[1-9]\d{0,2})>1 (?P<time>-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) "
    r"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<process>[!-~]{1,128}) (?P<kind>[!-~]{1,32}) "
    rf'(?P<data>-|(?:\[{NAME}(?: {NAME}="{VALUE}")*\])+)(?: (?P<text>.*))?',
    re.DOTALL,
)


def parse(octets):
    found = HEADER.fullmatch(octets.decode("utf-8"))
    assert found, octets
    fields = found.groupdict()
    assert int(fields["pri"]) <= 191
    values = re.findall(rf'({NAME})="({VALUE})"', fields["data"])
    fields["values"] = {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in values}
    text = fields["text"]
    if text is not None and not text.isascii():
        assert text.startswith("\ufeff"), text
    return fields


def write_down(octets):
    with open(told["log"], "a") as log:
        log.write(json.dumps(parse(octets)) + "\n")


def behaviour():
    return pathlib.Path(told["behaviour"]).read_text().strip()


class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        how = behaviour()
        if how == "close at once":
            # As a process that ends: without `shutdown`, which socketserver would do.
            self.request.close()
            return
        if context:
            self.request = context.wrap_socket(self.request, server_side=True)
        octets = b""
        begun = False
        while True:
            while found := re.match(rb"([1-9]\d*) ", octets):
                start, length = found.end(), int(found[1])
                if len(octets) < start + length:
                    break
                write_down(octets[start : start + length])
                octets = octets[start + length :]
                begun = True
            if how == "die after one" and begun:
                # With a reset, as a process that is killed does.
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.request.close()
                return
            more = self.request.recv(65536)
            if not more:
                break
            octets += more
        if how == "never close":
            time.sleep(60)
        if context and how != "no farewell":
            self.request.unwrap()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        # A client that goes away is nothing; a message that is none ends the test.
        if isinstance(sys.exc_info()[1], AssertionError):
            with open(told["log"], "a") as log:
                log.write(json.dumps({"wrong": str(sys.exc_info()[1])}) + "\n")


# Half a line is of a process that was killed while it wrote; what comes next is a line of its own.
log = pathlib.Path(told["log"])
if log.exists():
    os.truncate(log, log.read_bytes().rfind(b"\n") + 1)

context = None
if told["certificate"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(told["certificate"], told["key"])
    if told["clients"]:
        context.load_verify_locations(told["clients"])
        context.verify_mode = ssl.CERT_REQUIRED
Server(("127.0.0.1", told["port"]), Stream).serve_forever()
