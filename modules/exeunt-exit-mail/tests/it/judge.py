"""Reads mails as a program of somebody else does, and says what is in them.

Standard input is a JSON list of messages; standard output a JSON list of what each says.
"""

import email, email.policy, json, sys


def judged(text):
    message = email.message_from_bytes(text.encode(), policy=email.policy.default)
    parts = []
    for part in message.walk():
        if part.is_multipart():
            continue
        content = part.get_content()
        if isinstance(content, str):
            content = content.replace("\r\n", "\n")
        parts.append(
            {
                "type": part.get_content_type(),
                "file": part.get_filename(),
                "text": content if isinstance(content, str) else None,
                "octets": None if isinstance(content, str) else content.hex(),
            }
        )
    defects = [str(it) for part in message.walk() for it in part.defects]
    defects += [str(it) for header in message.values() for it in getattr(header, "defects", [])]

    def people(name):
        return [
            {"name": it.display_name, "address": it.addr_spec}
            for header in message.get_all(name, [])
            for it in header.addresses
        ]

    return {
        "names": list(message.keys()),
        "subject": message["Subject"],
        "id": message["Message-ID"],
        "event": message["X-Exeunt-Event"],
        "from": people("From"),
        "to": people("To"),
        "cc": people("Cc"),
        "reply_to": people("Reply-To"),
        "automatic": message["Auto-Submitted"],
        "dated": message["Date"].datetime is not None,
        "parts": parts,
        "defects": defects,
        "longest_line": max(len(it) for it in text.split("\r\n")),
        "bare": text.replace("\r\n", "").count("\n") + text.replace("\r\n", "").count("\r"),
    }


json.dump([judged(it) for it in json.load(sys.stdin)], sys.stdout)
