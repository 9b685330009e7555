"""Writes to a target as fast as a loop in Python does, and prints how many seconds that took.

limit.py NAME ABOUT OCTETS: ABOUT is a JSON object that says where; connecting is not counted.
"""

import asyncio
import http.client
import json
import os
import smtplib
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def trust(about):
    return ssl.create_default_context(cafile=about["ca_file"])


def file(about, body):
    folder = os.path.join(about["folder"], "limit")
    os.mkdir(folder)
    begun = time.monotonic()
    for index in range(about["count"]):
        name = os.path.join(folder, str(index))
        with open(name + ".tmp", "wb") as it:
            it.write(body)
            it.flush()
            os.fsync(it.fileno())
        os.rename(name + ".tmp", name)
    return time.monotonic() - begun


def mail(about, body):
    text = "Subject: limit\r\n\r\n" + body.decode()
    with smtplib.SMTP_SSL("localhost", about["port"], context=trust(about)) as server:
        server.login(about["user"], about["password"])
        begun = time.monotonic()
        for _ in range(about["count"]):
            server.sendmail("ca@example.test", ["ops@example.test"], text)
        return time.monotonic() - begun


def webhook(about, body):
    connections = 4

    def work(_):
        server = http.client.HTTPSConnection("localhost", about["port"], context=trust(about))
        for _ in range(about["count"] // connections):
            server.request("POST", "/limit", body, {"content-type": "application/json"})
            assert server.getresponse().read() is not None

    begun = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))
    return time.monotonic() - begun


def bus(about, body):
    import nats

    async def work():
        server = await nats.connect(
            about["url"], user=about["user"], password=about["password"], tls=trust(about)
        )
        stream = server.jetstream()
        begun = time.monotonic()
        for start in range(0, about["count"], 64):
            some = range(start, min(start + 64, about["count"]))
            await asyncio.gather(*(stream.publish("exeunt.limit", body) for _ in some))
        took = time.monotonic() - begun
        await server.close()
        return took

    return asyncio.run(work())


def object(about, body):
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=about["url"],
        verify=about["ca_file"],
        region_name=about["region"],
        aws_access_key_id=about["access_key"],
        aws_secret_access_key=about["secret_key"],
        # Without checksums in trailers, which the server does not read.
        config=Config(
            s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
        ),
    )
    client.put_object(Bucket=about["bucket"], Key="limit/first", Body=body)
    begun = time.monotonic()
    for index in range(about["count"]):
        client.put_object(Bucket=about["bucket"], Key=f"limit/{index}", Body=body)
    return time.monotonic() - begun


loop = {"file": file, "mail": mail, "webhook": webhook, "bus": bus, "object": object}[sys.argv[1]]
print(loop(json.loads(sys.argv[2]), b"x" * int(sys.argv[3])))
