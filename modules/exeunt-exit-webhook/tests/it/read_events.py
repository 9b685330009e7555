"""Reads what the webhook sent with the CloudEvents SDK for Python, the reference implementation.

Standard input holds a line of JSON for each request: content type and body. Standard output gets the
id, source, type and subject of each event that was read, in order.
"""

import json, sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"


def read(body):
    event = from_http_event(HTTPMessage({"content-type": STRUCTURED}, body))
    data = event.get_data()
    assert event.get_specversion() == "1.0" and event.get_time() is not None
    assert event.get_datacontenttype() == "application/json" and isinstance(data, dict)
    return [event.get_id(), event.get_source(), event.get_type(), event.get_subject()]


for line in sys.stdin:
    request = json.loads(line)
    kind, body = request["content_type"], request["body"]
    assert kind in (STRUCTURED, BATCHED), kind
    events = [body] if kind == STRUCTURED else [json.dumps(it) for it in json.loads(body)]
    for it in events:
        print(json.dumps(read(it.encode())))
