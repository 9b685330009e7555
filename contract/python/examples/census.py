#!/usr/bin/env python3
"""An exit module that writes a line about every issued certificate into a file."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from exeunt_module import ExitEvent, ExitModule, Park, PropertyEmpty, Refused, Retry, Setting, Skip


class Census(ExitModule):
    name = "census"
    version = "1.0"
    description = "writes down what was issued"
    settings = [
        Setting("file", "string", "the file to append to", required=True),
        Setting("template", "string", "only certificates of this template"),
    ]

    def configure(self, settings):
        if not settings["file"].startswith("/"):
            raise Refused("setting 'file' is a path from the root")

    def initialize(self, hello):
        self.file, self.template = hello.settings["file"], hello.settings["template"]
        return ExitEvent.CERT_ISSUED | ExitEvent.CERT_REVOKED

    def notify(self, event):
        template = event.certificate_property("CertificateTemplate", default="")
        if self.template not in (None, template):
            return Skip
        try:
            serial = event.certificate_property("SerialNumber")
        except PropertyEmpty:
            return Park("a certificate without a serial number")
        request = event.request_property("RawRequest", default=b"")
        print(f"{event.kind}: {serial}")
        try:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(f"{event.id} {event.kind} {serial} {len(request)}\n")
        except OSError as err:
            return Retry(after=5, reason=str(err))


if __name__ == "__main__":
    Census().serve()
