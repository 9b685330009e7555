"""Tests of the kit: values, and whole conversations with modules in processes of their own."""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

import exeunt_module
from exeunt_module import Event, ExitEvent, ExitModule, Park, PropType, PropertyEmpty
from exeunt_module import PropertyInvalid, Retry, Setting, Skip

HERE = pathlib.Path(__file__).resolve().parent
CONVERSATIONS = HERE.parent / "exeunt-module" / "conversations" / "v1"

EVENT = {
    "id": "5f0c7a3e9d2b4c61-17",
    "seq": 17,
    "event": 1,
    "context": 9,
    "subject": "request:9",
    "time": "2026-11-21T07:00:00.123Z",
    "attempt": 1,
    "request": {
        "RequestID": {"long": 9},
        "RequesterName": {"string": "zoë"},
        "Odd": {"uuid": "x"},
    },
    "certificate": {
        "NotAfter": {"date": "2027-02-19T06:59:59Z"},
        "RawCertificate": {"binary": "MAA="},
        "Bad": {"date": "tomorrow"},
    },
    "attributes": [["CertificateTemplate", "WebServer"]],
    "extensions": {"2.5.29.17": {"flags": 65537, "value": "MAA="}},
    "system": {"SanitizedCAName": {"string": "Example CA"}},
    "detail": {"Reason": {"string": "full"}},
}

HELLO = {
    "protocol": 1,
    "features": [],
    "config": "Example CA",
    "module": "under-test",
    "settings": {},
    "window": 64,
    "deadline_ms": 30000,
}

#: The shortest module.
SMALLEST = """
    class It(ExitModule):
        def initialize(self, hello):
            return ExitEvent.CERT_ISSUED
    It().serve()
"""


class Module:
    """A module in a process, and the server's side of its conversation."""

    def __init__(self, script):
        script = "from exeunt_module import *\nimport os, sys, time\n" + textwrap.dedent(script)
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-X", "dev", "-c", script],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def write(self, *messages):
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def call(self, id, method, params=None):
        self.write({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})
        answer = self.read()
        assert answer["jsonrpc"] == "2.0" and answer["id"] == id, answer
        return answer

    def greet(self, **members):
        return self.call(1, "Initialize", {**HELLO, **members})["result"]

    def notify(self, id, **members):
        return self.call(id, "Notify", {"event": {**EVENT, **members}})

    def end(self):
        """Closes the input; gives the exit status and what was written to standard error."""
        _, stderr = self.process.communicate(timeout=20)
        return self.process.returncode, stderr.decode()


class Values(unittest.TestCase):
    def setUp(self):
        self.event = Event(EVENT)

    def test_an_event_reads_as_it_was_sent(self):
        event = self.event
        utc = datetime.timezone.utc
        self.assertEqual((event.id, event.seq, event.context), ("5f0c7a3e9d2b4c61-17", 17, 9))
        self.assertEqual((event.event, event.kind), (ExitEvent.CERT_ISSUED, "issued"))
        self.assertEqual(event.time, datetime.datetime(2026, 11, 21, 7, 0, 0, 123000, utc))
        self.assertEqual(event.request_property("requestid"), 9)
        self.assertEqual(event.request_property("RequesterName", PropType.STRING), "zoë")
        self.assertEqual(
            event.certificate_property("NotAfter"),
            datetime.datetime(2027, 2, 19, 6, 59, 59, tzinfo=utc),
        )
        self.assertEqual(event.certificate_property("RawCertificate"), b"0\0")
        self.assertEqual(event.system_property("SanitizedCAName"), "Example CA")
        self.assertEqual(event.detail_property("Reason"), "full")
        self.assertEqual(event.request_attribute("certificate-template"), "WebServer")
        self.assertEqual(event.certificate_extension("2.5.29.17"), b"0\0")
        self.assertEqual(event.extension_flags("2.5.29.17"), 0x10001)
        self.assertTrue(event.extension("2.5.29.17").critical)
        self.assertFalse(event.extension("2.5.29.17").disabled)

    def test_everything_can_be_enumerated(self):
        event = self.event
        request = [("RequestID", 9), ("RequesterName", "zoë")]
        self.assertEqual(list(event.request_properties()), request)
        self.assertEqual(list(event.system_properties()), [("SanitizedCAName", "Example CA")])
        self.assertEqual(list(event.detail_properties()), [("Reason", "full")])
        self.assertEqual(list(event.attributes()), [("CertificateTemplate", "WebServer")])
        self.assertEqual([it[0] for it in event.extensions()], ["2.5.29.17"])

    def test_what_is_not_there_is_empty(self):
        event = self.event
        for read in (
            lambda: event.request_property("CallerName"),
            lambda: event.request_property("Odd"),
            lambda: event.certificate_property("RequestID"),
            lambda: event.system_property("CAType"),
            lambda: event.request_attribute("Unknown"),
            lambda: event.certificate_extension("1.2.3"),
        ):
            with self.assertRaises(PropertyEmpty) as caught:
                read()
            self.assertEqual(caught.exception.hresult, 0x80094004)
        self.assertIsNone(event.request_property("CallerName", default=None))
        self.assertEqual(event.request_attribute("Unknown", default="x"), "x")

    def test_another_type_is_refused(self):
        with self.assertRaises(PropertyInvalid) as caught:
            self.event.request_property("RequestID", PropType.STRING)
        self.assertEqual(str(caught.exception), "RequestID is a long, not a string")
        self.assertEqual(caught.exception.hresult, 0x80070057)
        with self.assertRaises(PropertyInvalid):
            self.event.certificate_property("Bad")

    def test_dates_are_read_as_rfc_3339_has_them(self):
        def date(*parts):
            return datetime.datetime(*parts, tzinfo=datetime.timezone.utc)

        for text, expected in (
            ("2026-11-21T07:00:00Z", date(2026, 11, 21, 7)),
            ("2026-11-21T07:00:00.5Z", date(2026, 11, 21, 7, 0, 0, 500000)),
            ("2026-11-21T07:00:00.123456789Z", date(2026, 11, 21, 7, 0, 0, 123456)),
            ("2026-11-21T07:30:00+01:30", date(2026, 11, 21, 6)),
            ("2016-12-31T23:59:60Z", date(2016, 12, 31, 23, 59, 59)),
        ):
            self.assertEqual(exeunt_module._date(text), expected)
        for text in (
            "",
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2026-11-21T07:00:00",
            "٢026-11-21T07:00:00Z",
        ):
            with self.assertRaises(ValueError):
                exeunt_module._date(text)

    def test_outcomes_say_what_the_contract_says(self):
        self.assertEqual(Skip()._members(), {"outcome": "skip"})
        self.assertEqual(Retry()._members(), {"outcome": "retry"})
        retry = Retry(after=datetime.timedelta(seconds=1.5), reason="two\nlines \udc80")
        self.assertEqual(
            retry._members(), {"outcome": "retry", "after_ms": 1500, "reason": "two lines ?"}
        )
        self.assertEqual(Park("no use")._members(), {"outcome": "park", "reason": "no use"})
        self.assertEqual(Retry("later")._members(), {"outcome": "retry", "reason": "later"})
        self.assertEqual(
            Retry("no connection", target=True)._members(),
            {"outcome": "retry", "target": True, "reason": "no connection"},
        )
        with self.assertRaises(ValueError):
            Retry(after=-1)
        with self.assertRaises(TypeError):
            Retry("later", "or not")
        with self.assertRaises(ValueError):
            Setting("x", "text", "")


class Conversations(unittest.TestCase):
    def test_a_life_from_the_greeting_to_the_farewell(self):
        script = """
            class It(ExitModule):
                description = "tests"
                def initialize(self, hello):
                    assert (hello.config, hello.module) == ("Example CA", "under-test")
                    return ExitEvent.CERT_ISSUED | ExitEvent.CERT_DENIED
                def notify(self, event):
                    if event.attempt == 2: return Skip
                    if event.attempt == 3: raise Park("too often")
                    if event.attempt == 4: return Retry(2, "later")
                def shutdown(self):
                    print("bye")
            It().serve()
        """
        with Module(script) as module:
            self.assertEqual(
                module.greet(),
                {"protocol": 1, "features": [], "event_mask": 5, "window": 64},
            )
            self.assertEqual(module.call(2, "GetDescription")["result"], "tests")
            for attempt, expected in (
                (1, {"outcome": "accept"}),
                (2, {"outcome": "skip"}),
                (3, {"outcome": "park", "reason": "too often"}),
                (4, {"outcome": "retry", "after_ms": 2000, "reason": "later"}),
            ):
                self.assertEqual(module.notify(attempt, attempt=attempt)["result"], expected)
            unasked = module.notify(9, event=2, attempt=3)
            self.assertEqual(unasked["result"], {"outcome": "skip"})
            self.assertEqual(module.notify(10, event=1 << 30)["result"], {"outcome": "skip"})
            self.assertIsNone(module.call(2**53 - 1, "Shutdown")["result"])
            self.assertEqual(module.end(), (0, "bye\n"))

    def test_what_writes_to_standard_output_never_breaks_the_conversation(self):
        script = """
            import subprocess
            class It(ExitModule):
                def initialize(self, hello):
                    return ExitEvent.ALL
                def notify(self, event):
                    print("printed")
                    sys.__stdout__.write("stdout\\n")
                    sys.__stdout__.flush()
                    os.write(1, b"descriptor\\n")
                    subprocess.run(["sh", "-c", "echo child; cat"], check=True)
            It().serve()
        """
        with Module(script) as module:
            module.greet()
            self.assertEqual(module.notify(2)["result"], {"outcome": "accept"})
            self.assertEqual(module.notify(3)["result"], {"outcome": "accept"})
            status, stderr = module.end()
            self.assertEqual(status, 0)
            self.assertEqual(stderr, "printed\nstdout\ndescriptor\nchild\n" * 2)

    def test_an_exception_is_answered_in_one_line_and_the_module_goes_on(self):
        script = """
            class It(ExitModule):
                def initialize(self, hello):
                    return ExitEvent.ALL
                def notify(self, event):
                    if event.attempt == 1: raise KeyError("no\\nsuch")
                    if event.attempt == 2: return "done"
                    if event.attempt == 3: return event.request_property("CallerName")
            It().serve()
        """
        with Module(script) as module:
            module.greet()
            error = module.notify(2)["error"]
            self.assertEqual(error, {"code": -32603, "message": "KeyError: 'no\\nsuch'"})
            error = module.notify(3, attempt=2)["error"]
            self.assertEqual(error["message"], "TypeError: notify returned 'done' and no outcome")
            error = module.notify(4, attempt=3)["error"]
            self.assertEqual(error["message"], "PropertyEmpty: CallerName is empty")
            self.assertEqual(module.notify(5, attempt=4)["result"], {"outcome": "accept"})
            status, stderr = module.end()
            self.assertEqual(status, 0)
            self.assertIn("Traceback", stderr)

    def test_what_is_no_call_is_answered_as_the_contract_says(self):
        with Module(SMALLEST) as module:
            for line, id, code in (
                (b"{", None, -32700),
                (b'{"id":1,"method":"x","params":NaN}', None, -32700),
                (b'"\xff"', None, -32700),
                (b"[" * 100_000, None, -32700),
                (b"[]", None, -32600),
                (b'{"id":1}', None, -32600),
                (b'{"id":-1,"method":"Shutdown"}', None, -32600),
                (b'{"id":true,"method":"Shutdown"}', None, -32600),
                (b'{"id":1,"method":"Newer"}', 1, -32601),
                (b'{"id":2,"method":"Initialize","params":[]}', 2, -32602),
                (b'{"id":3,"method":"Initialize","params":{"protocol":"1"}}', 3, -32602),
                (b'{"id":4,"method":"Notify","params":{"event":{}}}', 4, -32600),
            ):
                module.write(line)
                answer = module.read()
                self.assertEqual((answer["id"], answer["error"]["code"]), (id, code), line[:60])
            module.write(b"", b'{"method":"Newer"}', b'{"id":null,"method":"Newer"}')
            answer = module.call(5, "Initialize", {**HELLO, "protocol": 0})
            self.assertEqual(answer["error"]["code"], -32000)
            module.greet(protocol=2)
            self.assertEqual(module.call(6, "Initialize", HELLO)["error"]["code"], -32600)
            self.assertEqual(module.call(7, "Notify", {"event": {}})["error"]["code"], -32602)
            self.assertEqual(module.end()[0], 0)

    def test_settings_are_checked_and_described(self):
        script = """
            class It(ExitModule):
                name, version, description = "it", "1.2", "tests"
                settings = [
                    Setting("folder", "string", "where", required=True),
                    Setting("count", "long", "how many", default=3),
                ]
                def configure(self, settings):
                    if settings["count"] < 0: raise Refused("count is 0 or more")
                def initialize(self, hello):
                    assert hello.settings["count"] == 3
                    return 1
            It().serve()
        """
        with Module(script) as module:
            self.assertEqual(
                module.call(1, "GetManageModule")["result"]["settings"],
                [
                    {"name": "folder", "type": "string", "description": "where", "required": True},
                    {"name": "count", "type": "long", "description": "how many", "default": 3},
                ],
            )
            fact = lambda name: module.call(2, "GetProperty", {"name": name, "flags": 0})["result"]
            self.assertEqual(fact("file version"), {"string": "1.2"})
            self.assertEqual(fact("Description"), {"string": "tests"})
            self.assertIsNone(fact("Copyright"))
            for settings, message in (
                ({"folder": "x", "count": -1}, "count is 0 or more"),
                ({"folder": "x", "count": True}, "setting 'count' is a long"),
                ({"count": 1}, "setting 'folder' is missing"),
                ({"folder": "x", "color": 1}, "there is no setting 'color'"),
            ):
                for method in ("Configure", "Initialize"):
                    answer = module.call(3, method, {**HELLO, "settings": settings, "flags": 2})
                    self.assertEqual(answer["error"], {"code": -32000, "message": message})
            one = lambda name, value: module.call(4, "SetProperty", {"name": name, "value": value})
            self.assertIsNone(one("count", 5)["result"])
            self.assertEqual(one("count", "5")["error"]["code"], -32000)
            self.assertEqual(one("color", 5)["error"]["code"], -32000)
            self.assertIsNone(module.call(5, "Configure", {"settings": {"folder": "x"}})["result"])
            module.greet(settings={"folder": "x"})
            self.assertEqual(module.call(6, "GetManageModule")["error"]["code"], -32600)

    def test_what_an_event_does_not_carry_is_fetched_while_others_wait(self):
        script = """
            class It(ExitModule):
                def initialize(self, hello):
                    self.kept = None
                    return ExitEvent.ALL
                def notify(self, event):
                    if self.kept:
                        try:
                            self.kept.request_property("CallerName")
                        except PropertyEmpty:
                            return Park("too late")
                    self.kept = event
                    raw = event.request_property("RawRequest", PropType.BINARY)
                    assert raw == event.request_property("rawrequest")
                    caller = event.request_property("CallerName", default="nobody")
                    dns = event.system_property("MachineDNSName")
                    flags = event.extension_flags("2.5.29.19")
                    attribute = event.request_attribute("Other")
                    try:
                        event.certificate_property("RawCACertificate.7")
                    except PropertyNotFound as err:
                        assert err.hresult == 0x80070002
                    return Retry(reason=f"{raw!r} {caller} {dns} {flags} {attribute}")
            It().serve()
        """
        with Module(script) as module:
            hello = module.greet(features=["call-backs", "other"], window=4096)
            self.assertEqual((hello["features"], hello["window"]), (["call-backs"], 128))
            notify = lambda id: {"id": id, "method": "Notify", "params": {"event": EVENT}}
            module.write(notify(2), notify(3))
            empty = {"error": {"code": -32001, "message": "empty"}}
            none = {"error": {"code": -32003, "message": "no"}}
            constraints = {"result": {"flags": 1, "value": "MAA="}}
            for method, seq, name, answer in (
                ("GetRequestProperty", 17, "RawRequest", {"result": {"binary": "AQI="}}),
                ("GetRequestProperty", 17, "CallerName", empty),
                ("GetCertificateProperty", 0, "MachineDNSName", {"result": {"string": "ca"}}),
                ("GetCertificateExtension", 17, "2.5.29.19", constraints),
                ("GetRequestAttribute", 17, "Other", {"result": {"string": "value"}}),
                ("GetCertificateProperty", 17, "RawCACertificate.7", none),
            ):
                question = module.read()
                self.assertEqual(question["method"], method)
                self.assertEqual(question["params"], {"seq": seq, "name": name})
                module.write({"jsonrpc": "2.0", "id": 10_000, "result": {"string": "another's"}})
                module.write({"jsonrpc": "2.0", "id": question["id"], **answer})
            answer = module.read()
            self.assertEqual(answer["id"], 2)
            self.assertEqual(answer["result"]["reason"], "b'\\x01\\x02' nobody ca 1 value")
            self.assertEqual(module.read()["result"], {"outcome": "park", "reason": "too late"})
            self.assertEqual(module.end()[0], 0)

    def test_a_server_that_goes_in_the_middle_of_a_call_back_ends_the_module_well(self):
        script = """
            class It(ExitModule):
                def initialize(self, hello):
                    return ExitEvent.ALL
                def notify(self, event):
                    try:
                        event.request_property("RawRequest")
                    except PropertyError:
                        print("not reached")
                def shutdown(self):
                    print("put away")
            It().serve()
        """
        with Module(script) as module:
            module.greet(features=["call-backs"])
            module.write({"id": 2, "method": "Notify", "params": {"event": EVENT}})
            self.assertEqual(module.read()["method"], "GetRequestProperty")
            self.assertEqual(module.end(), (0, "put away\n"))

    def test_a_line_that_is_too_long_ends_the_module(self):
        with Module(SMALLEST) as module:
            try:
                module.write(b" " * (exeunt_module.LINE_BYTES_MAX + 1))
            except BrokenPipeError:
                pass
            self.assertIsNone(module.read())
            module.process.stdin.close()
            module.process.stdin = None
            status, stderr = module.end()
            self.assertEqual(status, 1)
            self.assertIn("longer than 4194304 bytes", stderr)

    def test_the_recorded_conversations_replay(self):
        """The module answers what was recorded, and the kit writes what was recorded."""
        script = """
            import json
            lines = [json.loads(it) for it in open({path!r}, encoding="utf-8")]
            answers = {{it["module"]["id"]: it["module"] for it in lines if "module" in it}}
            calls = [it["host"] for it in lines if "host" in it]
            notified = iter([it["id"] for it in calls if it["method"] == "Notify"])
            greeted = iter([it["id"] for it in calls if it["method"] == "Initialize"])
            class It(ExitModule):
                settings = None
                def description(self):
                    asked = (it for it in calls if it["method"] == "GetDescription")
                    return answers[next(asked)["id"]]["result"]
                def initialize(self, hello):
                    answer = answers[next(greeted)]
                    if "error" in answer: raise Refused(answer["error"]["message"])
                    return answer["result"]["event_mask"]
                def notify(self, event):
                    list(event.request_properties()), list(event.certificate_properties())
                    list(event.extensions()), list(event.attributes()), event.time
                    answer = answers[next(notified)].get("result", {{"outcome": "error"}})
                    if answer["outcome"] == "retry":
                        after = answer.get("after_ms")
                        after = None if after is None else after / 1000
                        target = answer.get("target", False)
                        return Retry(after, answer.get("reason", ""), target=target)
                    if answer["outcome"] == "park": return Park(answer.get("reason", ""))
                    if answer["outcome"] == "skip": return Skip()
                    if answer["outcome"] != "accept": raise IndexError("out of bounds")
            It().serve()
        """
        # Where a module in Python answers otherwise, and may.
        others = {
            ("outcomes.jsonl", 6): "the recorded outcome is none that this version has",
            ("refusals.jsonl", 2): "refused by the kit itself, before the module",
            ("refusals.jsonl", 4): "every module of this kit has a description",
        }
        # Where the module that spoke knew settings, or asked questions, of its own.
        apart = {"call-backs.jsonl", "manage.jsonl", "policy.jsonl"}
        paths = [it for it in sorted(CONVERSATIONS.glob("*.jsonl")) if it.name not in apart]
        self.assertEqual(len(paths), 5)
        for path in paths:
            lines = [json.loads(it) for it in path.read_text(encoding="utf-8").split("\n") if it]
            recorded = {it["module"]["id"]: it["module"] for it in lines if "module" in it}
            with Module(script.format(path=str(path))) as module:
                for call in (it["host"] for it in lines if "host" in it):
                    module.write(call)
                    answer, expected = module.read(), recorded[call["id"]]
                    self.assertEqual(answer["id"], call["id"])
                    if (path.name, call["id"]) in others:
                        continue
                    if "error" in expected:
                        self.assertEqual(answer["error"]["code"], expected["error"]["code"])
                        continue
                    if call["method"] == "Initialize":
                        expected["result"]["window"] = answer["result"]["window"]
                    self.assertEqual(answer["result"], expected["result"], path.name)
                self.assertEqual(module.end()[0], 0)


class Examples(unittest.TestCase):
    def test_the_module_in_the_readme_works(self):
        readme = (HERE / "README.md").read_text(encoding="utf-8")
        script = readme.split("```python\n")[1].split("```")[0]
        with Module(script) as module:
            self.assertEqual(module.greet()["event_mask"], 1)
            error = module.notify(2)["error"]
            self.assertEqual(error["message"], "PropertyEmpty: SerialNumber is empty")
            certificate = {**EVENT["certificate"], "SerialNumber": {"string": "4a1f"}}
            answer = module.notify(3, certificate=certificate)
            self.assertEqual(answer["result"], {"outcome": "accept"})
            last = module.end()[1].splitlines()[-1]
            self.assertEqual(last, "issued 4a1f valid until 2027-02-19 06:59:59+00:00")

    def test_the_census_writes_down_what_was_issued(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "census")
            example = HERE / "examples" / "census.py"
            script = example.read_text(encoding="utf-8").replace("__file__", repr(str(example)))
            with Module(script) as module:
                module.greet(settings={"file": file, "template": "WebServer"})
                certificate = {"CertificateTemplate": {"string": "WebServer"}}
                self.assertEqual(module.notify(2)["result"], {"outcome": "skip"})
                answer = module.notify(3, certificate=certificate)
                self.assertEqual(answer["result"]["outcome"], "park")
                certificate["SerialNumber"] = {"string": "4a1f"}
                answer = module.notify(4, certificate=certificate)
                self.assertEqual(answer["result"], {"outcome": "accept"})
            with open(file, encoding="utf-8") as written:
                self.assertEqual(written.read(), "5f0c7a3e9d2b4c61-17 issued 4a1f 0\n")


COPIES = """
    class Copies(MaintainExitModule, ExitModule):
        description = "copies"

        def initialize(self, hello):
            return ExitEvent.CERT_ISSUED

        def begin(self, hello):
            self.told = set()

        def test(self, samples):
            would = [it.request_property("RawRequest").hex() for it in samples]
            return [Check("look", "warning", "dark")], would

        def reconcile(self, events, mend):
            self.told |= {it.context for it in events}
            missing = Finding("missing", "a/9", "serial 9")
            return len(events) - 1, [missing]

        def reconcile_end(self, mend):
            lost = Finding("surplus", "a/8", mended=mend)
            stuck = Finding("unknown", "a/7", error="locked\\nby somebody")
            return 0, [lost, stuck], len(self.told) > 1

    Copies().serve()
"""


class Maintaining(unittest.TestCase):
    def test_a_module_looks_after_its_target(self):
        with Module(COPIES) as module:
            hello = module.greet(role="maintain", features=["call-backs"])
            self.assertEqual((hello["event_mask"], hello["features"]), (0, ["call-backs"]))
            self.assertEqual(module.notify(2)["error"]["code"], -32600)
            module.write({"jsonrpc": "2.0", "id": 3, "method": "Test", "params": {"samples": [EVENT]}})
            asked = module.read()
            self.assertEqual((asked["method"], asked["params"]["seq"]), ("GetRequestProperty", 17))
            module.write({"jsonrpc": "2.0", "id": asked["id"], "result": {"binary": "MAA="}})
            look = {"what": "look", "result": "warning", "text": "dark"}
            self.assertEqual(module.read()["result"], {"checks": [look], "would_write": ["3000"]})
            refused = module.call(4, "Install", {"apply": True})["error"]
            self.assertEqual(refused["code"], -32000)
            self.assertEqual(refused["message"], "this module has nothing to install")
            compared = module.call(5, "Reconcile", {"events": [EVENT, {**EVENT, "context": 8}]})
            finding = {"difference": "missing", "place": "a/9", "text": "serial 9", "mended": False}
            self.assertEqual(compared["result"], {"good": 1, "findings": [finding]})
            ended = module.call(6, "ReconcileEnd", {"mend": True})["result"]
            self.assertTrue(ended["more"])
            lost, stuck = ended["findings"]
            self.assertTrue(lost["mended"])
            self.assertEqual(stuck["error"], "locked by somebody")

    def test_it_does_so_only_in_a_process_that_was_greeted_so(self):
        with Module(COPIES) as module:
            module.greet()
            self.assertEqual(module.call(2, "Test")["error"]["code"], -32600)
            self.assertEqual(module.notify(3, event=2)["result"], {"outcome": "skip"})

    def test_a_module_without_a_target_says_so(self):
        script = """
            class Plain(ExitModule):
                def initialize(self, hello):
                    return ExitEvent.CERT_ISSUED
            Plain().serve()
        """
        with Module(script) as module:
            error = module.call(1, "Initialize", {**HELLO, "role": "maintain"})["error"]
            self.assertEqual(error["message"], "this module has no target to look after")
            module.greet()
            self.assertEqual(module.call(2, "Test")["error"]["code"], -32601)


if __name__ == "__main__":
    unittest.main()
