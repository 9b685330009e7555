"""An exit module that keeps every rule. What breaks one is put in by a subclass `Bad`."""

import json
import os
import sys
import time


class Module:
    mask = 0xFF02FF
    knows = {"colour": "string"}

    def __init__(self):
        self.greeted = False
        self.asked = 0

    # What goes out.

    def say(self, message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    def result(self, call, value):
        self.say({"jsonrpc": "2.0", "id": call["id"], "result": value})

    def refuse(self, call, code, text):
        self.say({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": text}})

    # What comes in.

    def lines(self):
        while line := (self.kept.pop(0) if self.kept else sys.stdin.buffer.readline()):
            yield line

    def run(self):
        for line in self.lines():
            try:
                call = json.loads(line)
            except ValueError:
                self.malformed()
                continue
            if "id" not in call:
                self.notification(call)
                continue
            if call["method"] == "Shutdown":
                self.shutdown(call)
                return
            handle = getattr(self, "on_" + call["method"], None)
            if handle:
                handle(call, call.get("params", {}))
            else:
                self.unknown(call)
        self.input_ended()

    def malformed(self):
        self.say({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no JSON"}})

    def notification(self, call):
        pass

    def unknown(self, call):
        self.refuse(call, -32601, "no such method")

    def shutdown(self, call):
        self.result(call, None)

    def input_ended(self):
        pass

    # Settings and greeting.

    def wrong(self, settings):
        for name in settings:
            if name not in self.knows:
                return "there is no setting " + name
        return None

    def on_Initialize(self, call, hello):
        wrong = self.wrong(hello["settings"])
        if self.greeted:
            self.refuse(call, -32600, "Initialize was called before")
        elif wrong:
            self.refuse(call, -32000, wrong)
        else:
            self.greeted = True
            self.hello = hello
            self.result(call, self.initialized(hello))

    def initialized(self, hello):
        features = [it for it in hello["features"] if it == "call-backs"]
        self.may_ask = bool(features)
        return {"protocol": 1, "features": features, "event_mask": self.mask, "window": hello["window"]}

    def on_GetDescription(self, call, _):
        self.result(call, "keeps every rule")

    def on_GetManageModule(self, call, _):
        settings = [{"name": name, "type": kind, "description": "a " + name} for name, kind in self.knows.items()]
        self.result(call, {"settings": settings})

    def on_GetProperty(self, call, asked):
        self.result(call, {"string": "keeper"} if asked["name"].lower() == "name" else None)

    def on_SetProperty(self, call, asked):
        self.checked(call, {asked["name"]: asked["value"]})

    def on_Configure(self, call, asked):
        self.checked(call, asked["settings"])

    def checked(self, call, settings):
        wrong = self.wrong(settings)
        if wrong:
            self.refuse(call, -32000, wrong)
        else:
            self.result(call, None)

    # Events.

    def ask(self, method, seq, name):
        return self.ask_with(method, {"seq": seq, "name": name})

    def ask_with(self, method, params):
        self.asked += 1
        self.say({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params})
        while True:
            line = sys.stdin.buffer.readline()
            answer = json.loads(line)
            if "method" not in answer:
                return answer
            self.kept.append(line)

    kept = []

    def on_Notify(self, call, params):
        event = params["event"]
        if event["event"] & self.mask == 0:
            self.result(call, {"outcome": "skip"})
        else:
            self.notify(call, event)

    def notify(self, call, event):
        self.result(call, {"outcome": "accept"})
