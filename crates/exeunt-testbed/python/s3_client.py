"""Reads a bucket with Amazon's own library, and writes all of it as one JSON object."""

import base64, json, sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

told = json.loads(sys.argv[1])
client = boto3.client(
    "s3", endpoint_url=told["url"], region_name=told["region"], verify=told["ca"] or True,
    aws_access_key_id=told["access_key"], aws_secret_access_key=told["secret_key"],
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1},
                  request_checksum_calculation="when_required"),
)
try:
    match told["do"]:
        case "make-bucket":
            client.create_bucket(Bucket=told["bucket"])
            answer = None
        case "list":
            answer = {}
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=told["bucket"]):
                answer |= {it["Key"]: it["ETag"] for it in page.get("Contents", [])}
        case "read":
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=told["bucket"])
            keys = [it["Key"] for page in pages for it in page.get("Contents", [])]
            body = lambda key: client.get_object(Bucket=told["bucket"], Key=key)["Body"].read()
            with ThreadPoolExecutor(8) as threads:
                answer = {key: base64.b64encode(it).decode() for key, it in zip(keys, threads.map(body, keys))}
        case "get":
            it = client.get_object(Bucket=told["bucket"], Key=told["key"])
            answer = {"body": base64.b64encode(it["Body"].read()).decode(), "type": it["ContentType"],
                      "etag": it["ETag"], "metadata": it["Metadata"]}
        case "put":
            conditions = {name: told[name] for name in ("IfMatch", "IfNoneMatch") if told.get(name)}
            body = base64.b64decode(told["body"]) * told.get("times", 1)
            answer = client.put_object(Bucket=told["bucket"], Key=told["key"], Body=body, **conditions)["ETag"]
        case "delete":
            client.delete_object(Bucket=told["bucket"], Key=told["key"])
            answer = None
    print(json.dumps({"ok": answer}))
except ClientError as err:
    print(json.dumps({"error": err.response["Error"]["Code"]}))
