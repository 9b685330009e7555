"""Verifies an exported audit trail with nothing but Python's own library and what the manual says.

Usage: verify_trail.py FILE. Prints the number of rows and the last hash; ends with 1 and the number of the
first row that is wrong where one is.
"""

import hashlib
import json
import struct
import sys


def text(value):
    octets = value.encode()
    return struct.pack(">I", len(octets)) + octets


def state(value):
    return b"\x00" if value is None else b"\x01" + text(value)


def main(path):
    number, last = 0, None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            (kind, it), = json.loads(line).items()
            if kind == "trail":
                last = hashlib.sha256(b"exeunt audit chain 1\x00" + it["store"].encode()).digest()
            elif kind == "row":
                number += 1
                octets = last + struct.pack(">Qq", number, it["unix_ms"])
                octets += struct.pack(">II", it["event"], it["also"])
                octets += b"".join(text(it[key]) for key in ("actor", "action", "object", "detail"))
                octets += state(it.get("before")) + state(it.get("after"))
                last = hashlib.sha256(octets).digest()
                if it["number"] != number or it["hash"] != last.hex():
                    print(number)
                    return 1
            elif kind == "end":
                if it["rows"] != number or it["hash"] != last.hex():
                    print(number)
                    return 1
                print(number, last.hex())
                return 0
    print(number)
    return 1


sys.exit(main(sys.argv[1]))
