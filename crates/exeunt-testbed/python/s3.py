"""moto's S3 with what it lacks for tests: signatures are checked, and what was written outlives the process.

Its only argument is a JSON object; exeunt_testbed::s3 writes it. Every change that was answered with
success is in a journal before the answer goes out, and is made again at the next start. It is done
under one lock, so conditions (If-Match, If-None-Match) hold between two writers as well.
"""

import base64, hashlib, hmac, io, json, os, pathlib, ssl, sys, threading, time, urllib.parse

os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "1"

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client, EnvironBuilder

told = json.loads(sys.argv[1])
lock = threading.Lock()


def quoted(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def refusal(environ, body):
    """Why a request is not authentic: AWS Signature Version 4, worked out here and not by a library."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    if not header:
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        return None if reads and told["public"] else "AccessDenied"
    if not header.startswith("AWS4-HMAC-SHA256 "):
        return "InvalidRequest"
    parts = dict(it.strip().split("=", 1) for it in header.removeprefix("AWS4-HMAC-SHA256 ").split(","))
    key, scope = parts["Credential"].split("/", 1)
    if key != told["access_key"]:
        return "InvalidAccessKeyId"
    raw_path, _, raw_query = environ["RAW_URI"].partition("?")
    pairs = sorted(urllib.parse.parse_qsl(raw_query, keep_blank_values=True))
    query = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)

    def header_of(name):
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        return " ".join(environ.get(key, "").split())

    names = parts["SignedHeaders"].split(";")
    digest = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return "XAmzContentSHA256Mismatch"
    path = quoted(urllib.parse.unquote(raw_path), "/-_.~")
    headers = "".join(f"{name}:{header_of(name)}\n" for name in names)
    canonical = "\n".join([environ["REQUEST_METHOD"], path, query, headers, ";".join(names), digest])
    when = environ.get("HTTP_X_AMZ_DATE", "")
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + told["secret_key"]).encode()
    for part in scope.split("/"):
        key = sign(key, part)
    wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(wanted, parts["Signature"]) else "SignatureDoesNotMatch"


STATUS = {"InvalidRequest": 400, "XAmzContentSHA256Mismatch": 400, "QuotaExceeded": 507,
          "SlowDown": 503, "InternalError": 500}


class Bucket:
    def __init__(self):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.journal = open(told["journal"], "a+b")
        self.journal.seek(0)
        whole = 0
        for line in self.journal.readlines():
            if not line.endswith(b"\n"):
                # Of a process that was killed while it wrote; nobody was told of it.
                self.journal.truncate(whole)
                break
            whole += len(line)
            self.replay(json.loads(line))

    def replay(self, it):
        builder = EnvironBuilder(method=it["method"], path=it["uri"], headers=it["headers"],
                                 data=base64.b64decode(it["body"]), base_url="http://127.0.0.1/")
        _, status, _ = Client(self.app).run_wsgi_app(builder.get_environ(), buffered=True)
        assert status.startswith("2"), (it, status)

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        now = json.loads(pathlib.Path(told["behaviour"]).read_text())
        if now.get("delay_ms"):
            time.sleep(now["delay_ms"] / 1000)
        writes = environ["REQUEST_METHOD"] not in ("GET", "HEAD")
        refused = refusal(environ, body) or (now.get("refuse") if writes or now.get("refuse_reads") else None)
        if refused:
            content = f"<?xml version='1.0'?><Error><Code>{refused}</Code><Message>no</Message></Error>".encode()
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))]
            start_response(f"{STATUS.get(refused, 403)} refused", headers)
            return [content]
        if writes and now.get("forgets"):
            # What a write is answered with, and nothing is there.
            etag = '"' + hashlib.md5(body).hexdigest() + '"'
            start_response("200 OK", [("ETag", etag), ("Content-Length", "0")])
            return [b""]
        environ["wsgi.input"] = io.BytesIO(body)
        if now.get("lists_anew"):
            for name in ("QUERY_STRING", "RAW_URI", "REQUEST_URI"):
                environ[name] = environ.get(name, "").replace("start-after=", "passed-over=")
        # moto has rules of its own for those without a key, which a bucket's policy would have to lift.
        environ.setdefault("HTTP_AUTHORIZATION", f"AWS4-HMAC-SHA256 Credential={told['access_key']}"
                           "/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
        answer = {}

        def keep(status, headers, exc_info=None):
            answer.update(status=status, headers=headers)
            return lambda it: None

        with lock:
            content = b"".join(self.app(environ, keep))
            if writes and answer["status"].startswith("2"):
                headers = [[name[5:].replace("_", "-"), value] for name, value in environ.items()
                           if name.startswith("HTTP_") and name != "HTTP_HOST"]
                headers = [it for it in headers if not it[0].startswith("IF-")]
                if environ.get("CONTENT_TYPE"):
                    headers.append(["Content-Type", environ["CONTENT_TYPE"]])
                line = {"method": environ["REQUEST_METHOD"], "uri": environ["RAW_URI"],
                        "headers": headers, "body": base64.b64encode(body).decode()}
                self.journal.write(json.dumps(line).encode() + b"\n")
                self.journal.flush()
        start_response(answer["status"], answer["headers"])
        return [content]


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *args):
        pass

    def make_environ(self):
        environ = super().make_environ()
        environ["RAW_URI"] = self.path
        return environ


context = None
if told["certificate"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(told["certificate"], told["key"])
make_server("127.0.0.1", told["port"], Bucket(), threaded=True, request_handler=Handler,
            ssl_context=context).serve_forever()
