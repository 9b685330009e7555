"""Makes the writes of a module once more, as fast as a loop in Python does, and prints how many seconds that took.

limit.py NAME ABOUT: ABOUT is a JSON object that says where. The writes are in the file ABOUT["writes"], a line
of JSON for each: "name", "headers" and "body" (base64). Reading them and connecting are not counted.
"""

import asyncio
import base64
import hashlib
import http.client
import json
import os
import smtplib
import ssl
import sys
import threading
import time


def trust(about):
    return ssl.create_default_context(cafile=about["ca_file"])


def file(about, writes):
    """As the module: many are staged, then each is forced to the disk and named, then the folder is forced."""
    folder = about["folder"]
    os.mkdir(folder)
    begun = time.monotonic()
    for start in range(0, len(writes), about["at_once"]):
        staged = []
        for write in writes[start:start + about["at_once"]]:
            path = os.path.join(folder, write["name"])
            it = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(it, write["body"])
            staged.append((it, path))
        for it, path in staged:
            os.fsync(it)
            os.rename(path + ".tmp", path)
            os.close(it)
        it = os.open(folder, os.O_RDONLY)
        os.fsync(it)
        os.close(it)
    return time.monotonic() - begun


def connected(about, writes, connect, send):
    """Shares the writes among connections, a thread each; the clock starts when all are connected."""
    count = about["connections"]
    ready = threading.Barrier(count + 1)
    failed = []

    def work(index):
        try:
            connection = connect()
            ready.wait()
            for write in writes[index::count]:
                send(connection, write)
        except BaseException as err:
            ready.abort()
            failed.append(err)

    threads = [threading.Thread(target=work, args=[index]) for index in range(count)]
    for it in threads:
        it.start()
    try:
        ready.wait()
    except threading.BrokenBarrierError:
        pass
    begun = time.monotonic()
    for it in threads:
        it.join()
    if failed:
        raise failed[0]
    return time.monotonic() - begun


def mail(about, writes):
    def connect():
        server = smtplib.SMTP_SSL("localhost", about["port"], context=trust(about))
        server.login(about["user"], about["password"])
        return server

    def send(server, write):
        server.sendmail("ca@example.test", ["ops@example.test"], write["body"])

    return connected(about, writes, connect, send)


def webhook(about, writes):
    # What the client makes by itself.
    own = ("host", "content-length", "accept-encoding")

    def connect():
        server = http.client.HTTPSConnection("localhost", about["port"], context=trust(about))
        server.connect()
        return server

    def send(server, write):
        headers = {name: value for name, value in write["headers"] if name not in own}
        server.request("POST", "/limit", write["body"], headers)
        answer = server.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    return connected(about, writes, connect, send)


def nats(about, writes):
    import nats

    async def work():
        server = await nats.connect(
            about["url"], user=about["user"], password=about["password"], tls=trust(about),
            pending_size=64 * 1024 * 1024,
        )
        stream = server.jetstream()
        for write in writes:
            write["headers"] = dict(write["headers"])
            # What it has seen is not written again.
            if "Nats-Msg-Id" in write["headers"]:
                write["headers"]["Nats-Msg-Id"] += about["mark"]
        at_once = about["at_once"]
        begun = time.monotonic()
        for start in range(0, len(writes), at_once):
            await asyncio.gather(*(
                stream.publish(it["name"], it["body"], headers=it["headers"], timeout=30)
                for it in writes[start:start + at_once]
            ))
        took = time.monotonic() - begun
        await server.close()
        return took

    return asyncio.run(work())


def object(about, writes):
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=about["url"],
        verify=about["ca_file"],
        region_name=about["region"],
        aws_access_key_id=about["access_key"],
        aws_secret_access_key=about["secret_key"],
        config=Config(
            s3={"addressing_style": "path"},
            max_pool_connections=about["connections"],
            retries={"max_attempts": 0},
            request_checksum_calculation="when_required",
        ),
    )

    for write in writes:
        write["body"] = client.get_object(Bucket=about["bucket"], Key=write["name"])["Body"].read()

    def put(name, body):
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        client.put_object(
            Bucket=about["bucket"], Key=about["mark"] + name, Body=body, IfNoneMatch="*",
            ContentType="application/pkix-cert", ChecksumSHA256=checksum,
        )

    def connect():
        put(f"{threading.get_ident()}", b"first")

    return connected(about, writes, connect, lambda _, write: put(write["name"], write["body"]))


def amqp(about, writes):
    import pika

    context = pika.SSLOptions(trust(about), "localhost")
    login = pika.PlainCredentials(about["user"], about["password"])
    at_once = about["at_once"]

    # The blocking adapter waits for each confirmation; the event loop has many under way.
    state = {"next": 0, "begun": None, "took": None}
    open_tags = set()

    def more(channel):
        while state["next"] < len(writes) and len(open_tags) < at_once:
            write = writes[state["next"]]
            headers = dict(write["headers"])
            properties = pika.BasicProperties(
                content_type=headers.get("content_type"), delivery_mode=2,
                message_id=headers.get("message_id", "") + about["mark"],
            )
            channel.basic_publish(about["exchange"], write["name"], write["body"], properties, mandatory=True)
            state["next"] += 1
            open_tags.add(state["next"])

    def confirmed(frame, channel, connection):
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        tag = frame.method.delivery_tag
        gone = {it for it in open_tags if it <= tag} if frame.method.multiple else {tag}
        open_tags.difference_update(gone)
        more(channel)
        if not open_tags:
            state["took"] = time.monotonic() - state["begun"]
            connection.close()

    def opened(connection):
        def ready(channel):
            def go(_):
                state["begun"] = time.monotonic()
                more(channel)
            channel.confirm_delivery(lambda frame: confirmed(frame, channel, connection), callback=go)
        connection.channel(on_open_callback=ready)

    connection = pika.SelectConnection(
        pika.ConnectionParameters("localhost", about["port"], about["vhost"], login, ssl_options=context),
        on_open_callback=opened,
        on_close_callback=lambda connection, _: connection.ioloop.stop(),
    )
    connection.ioloop.start()
    assert state["took"] is not None, state
    return state["took"]


name, about = sys.argv[1], json.loads(sys.argv[2])
with open(about["writes"]) as lines:
    writes = [json.loads(line) for line in lines]
for write in writes:
    write["body"] = base64.b64decode(write["body"])
loops = {it.__name__: it for it in (file, mail, webhook, nats, object, amqp)}
print(loops[name](about, writes))
