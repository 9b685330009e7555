"""Makes queues of RabbitMQ, fills and empties them with the Python library pika; writes JSON."""

import base64, json, sys

import pika

told = json.loads(sys.argv[1])
NAMES = ("content_type", "delivery_mode", "message_id", "type", "app_id", "headers")


def main(channel):
    match told["do"]:
        case "make":
            channel.exchange_declare("exeunt", "topic", durable=True)
            channel.queue_declare("exeunt", durable=True, arguments=told["arguments"])
            channel.queue_bind("exeunt", "exeunt", told["binding"])
        case "publish":
            channel.confirm_delivery()
            for _ in range(told["count"]):
                channel.basic_publish("exeunt", told["routing_key"], base64.b64decode(told["body"]), mandatory=True)
        case "count":
            try:
                return channel.queue_declare("exeunt", passive=True).method.message_count
            except pika.exceptions.ChannelClosedByBroker as err:
                if err.reply_code != 404:
                    raise
        case "take":
            # One by one: only so does the server itself say that there is no more, however busy it is.
            answer = []
            while True:
                method, properties, body = channel.basic_get("exeunt", auto_ack=True)
                if method is None:
                    return answer
                found = {name: getattr(properties, name) for name in NAMES if getattr(properties, name) is not None}
                answer.append({"routing_key": method.routing_key, "properties": found,
                               "body": base64.b64encode(body).decode()})


login = pika.PlainCredentials(told["user"], told["password"])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", told["port"], told["vhost"], login))
print(json.dumps(main(connection.channel())))
connection.close()
