"""A web server that takes whatever is posted to it and writes it down, a line of JSON for each request.

Its only argument is a JSON object; exeunt_testbed::receiver writes it. It checks signatures with
Python's own HMAC as https://www.standardwebhooks.com describes them: over "id.timestamp.body".
"""

import base64, hashlib, hmac, http.server, json, os, pathlib, socket, ssl, sys, threading, time

told = json.loads(sys.argv[1])
lock = threading.Lock()


def signature(headers, body):
    """What is to be said of the request's signature."""
    sent = headers.get(told["signature_header"])
    if sent is None:
        return "none"
    id, timestamp = headers.get(told["id_header"]), headers.get(told["timestamp_header"])
    if id is None or timestamp is None or not timestamp.isdigit():
        return "bad: no id or timestamp"
    if 300 < abs(time.time() - int(timestamp)):
        return "bad: old"
    secret = base64.b64decode(told["secret"])
    signed = id.encode() + b"." + timestamp.encode() + b"." + body
    wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    versions = [it.split(",", 1) for it in sent.split(" ") if "," in it]
    if any(version == "v1" and hmac.compare_digest(it, wanted) for version, it in versions):
        return "good"
    return "bad: it is of something else"


def next_answer():
    """The first of the answers that wait, or the one that always holds."""
    with lock:
        for path in sorted(pathlib.Path(told["answers"]).glob("next-*.json")):
            answer = json.loads(path.read_text())
            path.unlink()
            return answer
        return json.loads((pathlib.Path(told["answers"]) / "always.json").read_text())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Written in one piece: Nagle's algorithm would wait for the client's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60

    def take(self):
        body = self.read_body()
        answer = next_answer()
        if answer.get("delay_ms"):
            time.sleep(answer["delay_ms"] / 1000)
        shown = self.connection.getpeercert() if hasattr(self.connection, "getpeercert") else None
        names = [value for rdn in (shown or {}).get("subject", ()) for key, value in rdn if key == "commonName"]
        line = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": base64.b64encode(body).decode(),
            "client": names[0] if names else None,
            "signature": signature(self.headers, body),
            "status": answer["status"],
        }
        with lock, open(told["log"], "a") as log:
            log.write(json.dumps(line) + "\n")
        content = answer.get("body", "").encode()
        if answer.get("cut"):
            # Half an answer, and then nothing.
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
            return
        self.send_response(answer["status"])
        for name, value in answer.get("headers", []):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    do_POST = do_PUT = do_GET = do_HEAD = do_DELETE = do_OPTIONS = take

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    context = None

    # In the thread of the connection: a client that does not speak holds up nobody else.
    def finish_request(self, request, client_address):
        request.settimeout(60)
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)


# Half a line is of a process that was killed while it wrote; what comes next is a line of its own.
log = pathlib.Path(told["log"])
if log.exists():
    os.truncate(log, log.read_bytes().rfind(b"\n") + 1)

server = Server(("127.0.0.1", told["port"]), Handler)
if told["certificate"]:
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(told["certificate"], told["key"])
    if told["clients"]:
        server.context.load_verify_locations(told["clients"])
        server.context.verify_mode = ssl.CERT_REQUIRED
server.serve_forever()
