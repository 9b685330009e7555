"""Makes streams and reads them with the Python library of NATS; writes JSON."""

import asyncio, base64, json, ssl, sys

import nats
from nats.js.api import DiscardPolicy, StreamConfig

told = json.loads(sys.argv[1])


async def main():
    context = ssl.create_default_context(cafile=told["ca"])
    client = await nats.connect(told["url"], tls=context, allow_reconnect=False, connect_timeout=5,
                                **told["credentials"])
    stream = client.jetstream(timeout=10)
    match told["do"]:
        case "make":
            config = StreamConfig(name=told["stream"], subjects=told["subjects"], discard=DiscardPolicy.NEW,
                                  max_msgs=told["max_msgs"], duplicate_window=told["duplicate_window_s"])
            await stream.add_stream(config)
            answer = None
        case "delete":
            await stream.delete_stream(told["stream"])
            answer = None
        case "publish":
            ack = await stream.publish(told["subject"], base64.b64decode(told["data"]), headers=told["headers"])
            answer = {"seq": ack.seq, "duplicate": bool(ack.duplicate)}
        case "read":
            answer = []
            state = (await stream.stream_info(told["stream"])).state
            subscription = await stream.pull_subscribe("", stream=told["stream"], durable=None,
                                                       config=None) if state.messages else None
            while len(answer) < state.messages:
                for it in await subscription.fetch(min(500, state.messages - len(answer)), timeout=10):
                    answer.append({"subject": it.subject, "headers": it.headers or {}, "seq": it.metadata.sequence.stream,
                                   "data": base64.b64encode(it.data).decode()})
                    await it.ack()
    await client.close()
    return answer


print(json.dumps(asyncio.run(main())))
