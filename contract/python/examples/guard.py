#!/usr/bin/env python3
"""A policy module: names of one domain alone, short certificates, and an officer for mail servers."""

import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from exeunt_policy import Deny, Issue, Pend, PolicyModule, Refused, Setting

ALTERNATIVE_NAMES = "2.5.29.17"
CERTSRV_E_BAD_REQUESTSUBJECT = 0x80094001


class Guard(PolicyModule):
    name = "guard"
    version = "1.0"
    description = "names of one domain alone"
    settings = [
        Setting("domain", "string", "the domain", required=True),
        Setting("days", "long", "how long certificates hold at most", default=30),
    ]

    def configure(self, settings):
        if settings.get("days") is not None and settings["days"] < 1:
            raise Refused("setting 'days' is 1 or more")

    def initialize(self, hello):
        self.domain = "." + hello.settings["domain"]
        self.days = hello.settings["days"]

    def verify_request(self, request):
        name = request.request_property("CommonName", default="")
        if not name.endswith(self.domain):
            return Deny(f"{name} is not ours", CERTSRV_E_BAD_REQUESTSUBJECT)
        if name.startswith("mail.") and request.new_request:
            return Pend("an officer looks at mail servers")

        now = datetime.datetime.now(datetime.timezone.utc)
        until = now + datetime.timedelta(days=self.days)
        if until < request.certificate_property("NotAfter"):
            request.set_certificate_property("NotAfter", until)
        # What the default policy has planned is enabled already, where the module is chained to it.
        if request.default is None and ALTERNATIVE_NAMES in dict(request.extensions()):
            request.enable_extension(ALTERNATIVE_NAMES)
        request.set_certificate_property("EventLogTerse", f"{name} until {until:%Y-%m-%d}")
        return Issue


if __name__ == "__main__":
    Guard().serve()
