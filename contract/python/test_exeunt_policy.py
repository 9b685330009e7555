"""Tests of the kit for policy modules: the rules as data, and whole conversations."""

import base64
import datetime
import json
import pathlib
import unittest

from exeunt_module import Extension
from exeunt_policy import Deny, Issue, Pend, PolicyError, PolicyRequest
from test_exeunt_module import CONVERSATIONS, HELLO, HERE, Module

RULES = json.loads((HERE.parent / "exeunt-module" / "rules" / "policy.json").read_text("utf-8"))
EVENT = RULES["event"]

SMALLEST = """
    from exeunt_policy import *
    class It(PolicyModule):
        description = "decides"
        def verify_request(self, request):
            {body}
    It().serve()
"""


def native(value):
    """A value as JSON has it, as Python has it."""
    if value is None:
        return None
    if "date" in value:
        return datetime.datetime.fromisoformat(value["date"].replace("Z", "+00:00"))
    if "binary" in value:
        return base64.b64decode(value["binary"])
    return next(iter(value.values()))


def request(**params):
    return PolicyRequest({"event": EVENT, "new_request": True, "flags": 0, **params})


class Policy(Module):
    """A policy module in a process."""

    def greet(self, **members):
        return super().greet(role="policy", **members)

    def verify(self, id, **params):
        params = {"event": EVENT, "new_request": True, "flags": 0, **params}
        return self.call(id, "VerifyRequest", params)


class Rules(unittest.TestCase):
    def test_what_a_policy_may_set_and_what_it_may_not(self):
        for case in RULES["cases"]:
            with self.subTest(case=case):
                asked = request()
                before = (dict(asked.certificate_properties()), dict(asked._extensions))
                value = native(case["value"])
                try:
                    if "property" in case:
                        asked.set_certificate_property(case["property"], value)
                    else:
                        asked.set_certificate_extension(case["extension"], value, case["flags"])
                    outcome = "set"
                except PolicyError as err:
                    outcome = err.code
                    self.assertGreaterEqual(err.hresult, 0x80000000)
                self.assertEqual(outcome, case["expect"])
                if outcome != "set":
                    after = (dict(asked.certificate_properties()), dict(asked._extensions))
                    self.assertEqual(before, after)
                elif "property" in case and case.get("reads", True):
                    now = asked.certificate_property(case["property"], default=None)
                    self.assertEqual(now, value)
                elif "extension" in case:
                    now = asked.extension(case["extension"])
                    self.assertEqual(now.flags, case["flags"] | 0x20000)
                    if "der" in case:
                        self.assertEqual(now.value, base64.b64decode(case["der"]))

    def test_the_two_bounds_do_not_cross(self):
        asked = request()
        utc = datetime.timezone.utc
        asked.set_certificate_property("NotAfter", datetime.datetime(2027, 1, 1, tzinfo=utc))
        with self.assertRaises(PolicyError):
            asked.set_certificate_property("NotBefore", datetime.datetime(2027, 1, 2, tzinfo=utc))
        asked.set_certificate_property("NotBefore", datetime.datetime(2027, 1, 1, tzinfo=utc))
        with self.assertRaisesRegex(PolicyError, "time zone"):
            asked.set_certificate_property("NotAfter", datetime.datetime(2027, 2, 1))

    def test_an_extension_of_the_request_is_enabled_and_disabled(self):
        asked = request()
        self.assertTrue(asked.extension("2.5.29.17").disabled)
        asked.enable_extension("2.5.29.17")
        self.assertFalse(asked.extension("2.5.29.17").disabled)
        asked.disable_extension("2.5.29.17")
        self.assertEqual(asked.extension_flags("2.5.29.17"), 0x20000 | Extension.DISABLED)
        with self.assertRaises(PolicyError):
            asked.enable_extension("1.2.3")

    def test_so_much_is_set_and_no_more(self):
        asked = request()
        for _ in range(64):
            asked.set_certificate_property("EventLogTerse", "x")
        with self.assertRaisesRegex(PolicyError, "more than 64"):
            asked.set_certificate_property("EventLogTerse", "x")

    def test_a_refusal_has_a_failing_status_or_none(self):
        self.assertEqual(Deny("no", 0x80094011)._disposition, -2146877423)
        for status in (0, 1, 5, -1, 2**32):
            with self.assertRaises(ValueError):
                Deny("no", status)
        self.assertEqual([it._disposition for it in (Pend, Issue, Deny)], [0, 1, 2])


class Conversations(unittest.TestCase):
    def rule(self, body):
        with Policy(SMALLEST.format(body=body)) as module:
            hello = module.greet()
            self.assertEqual((hello["event_mask"], hello["protocol"]), (0, 1))
            answer = module.verify(2)
            module.call(3, "Shutdown")
            self.assertEqual(module.end()[0], 0)
            return answer

    def test_a_verdict_is_returned_or_raised(self):
        self.assertEqual(self.rule("return Issue")["result"], {"disposition": 1})
        pend = {"disposition": 0, "message": "wait"}
        self.assertEqual(self.rule("return Pend('wait')")["result"], pend)
        denied = {"disposition": -2146877423, "message": "no"}
        self.assertEqual(self.rule("raise Deny('no', 0x80094011)")["result"], denied)

    def test_what_is_no_verdict_issues_nothing(self):
        for body in ("pass", "return True", "return 1", "return 'issue'"):
            self.assertIn("no verdict", self.rule(body)["error"]["message"])
        error = self.rule("request.set_certificate_property('SerialNumber', 'x')")["error"]
        self.assertEqual(error["data"], {"hresult": 0x80070005})

    def test_a_ruling_carries_what_was_set(self):
        body = (
            "request.set_certificate_property('CN', None); request.enable_extension('2.5.29.17'); "
            "request.set_certificate_property('EventLogError', 'a\\nline'); return Issue"
        )
        expected = {
            "disposition": 1,
            "set_properties": [{"name": "CommonName", "value": None}],
            "set_extensions": [{"oid": "2.5.29.17", "flags": 0, "value": "MAA="}],
            "log": [{"level": "error", "text": "a line"}],
        }
        self.assertEqual(self.rule(body)["result"], expected)

    def test_each_kind_of_module_refuses_the_others_role(self):
        with Module(SMALLEST.format(body="return Issue")) as module:
            error = module.call(1, "Initialize", HELLO)["error"]
            self.assertEqual(error["message"], "this is a policy module, and not an exit module")
        script = """
            class It(ExitModule):
                def initialize(self, hello):
                    return 1
            It().serve()
        """
        with Policy(script) as module:
            error = module.call(1, "Initialize", {**HELLO, "role": "policy"})["error"]
            self.assertEqual(error["message"], "this is an exit module, and not a policy module")
        with Policy(script) as module:
            Module.greet(module)
            self.assertEqual(module.verify(2)["error"]["code"], -32601)

    def test_the_recorded_conversation_can_be_held(self):
        lines = (CONVERSATIONS / "policy.jsonl").read_text("utf-8").splitlines()
        said = [json.loads(it) for it in lines]
        rulings = {
            it["module"]["id"]: it["module"].get("result")
            for it in said
            if "module" in it and it["module"]["id"] in (3, 4, 5, 6)
        }
        script = """
            import base64, datetime
            from exeunt_policy import *
            class It(PolicyModule):
                description = "names of example.com alone"
                settings = None
                def verify_request(self, request):
                    if request.seq == 1:
                        request.set_certificate_property("Organization", "Example")
                        request.set_certificate_property("CommonName", None)
                        until = datetime.datetime(2026, 12, 31, tzinfo=datetime.timezone.utc)
                        request.set_certificate_property("NotAfter", until)
                        request.enable_extension("2.5.29.17")
                        request.disable_extension("2.5.29.15")
                        request.set_certificate_property("EventLogTerse", "a name of ours")
                        return Issue
                    if request.seq == 2:
                        return Deny("www.example.net is not ours", 0x80094011)
                    if request.default == "issue" and request.new_request:
                        return Pend("an officer looks at mail servers")
                    if request.default == "pend" and not request.new_request:
                        return Deny
                    raise OSError("the directory does not answer")
            It().serve()
        """
        with Policy(script) as module:
            for call in (it["host"] for it in said if "host" in it):
                module.write(call)
                answer = module.read()
                self.assertEqual(answer["id"], call["id"])
                if call["id"] in rulings:
                    self.assertEqual(answer["result"], rulings[call["id"]])
                if call["id"] in (7, 8):
                    self.assertIn("error", answer)
            self.assertEqual(module.end()[0], 0)


class Examples(unittest.TestCase):
    def test_the_guard_keeps_its_domain(self):
        example = HERE / "examples" / "guard.py"
        script = example.read_text(encoding="utf-8").replace("__file__", repr(str(example)))
        with Policy(script) as module:
            module.greet(settings={"domain": "example.com"})
            now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
            year = now + datetime.timedelta(days=365)

            def asked(name, until=year):
                text = {"string": name}
                dates = {"NotBefore": now, "NotAfter": until}
                dates = {it: {"date": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for it, at in dates.items()}
                return {
                    **EVENT,
                    "request": {"CommonName": text},
                    "certificate": {"CommonName": text, **dates},
                }

            issued = module.verify(2, event=asked("www.example.com"))["result"]
            self.assertEqual(issued["disposition"], 1)
            self.assertEqual([it["name"] for it in issued["set_properties"]], ["NotAfter"])
            self.assertEqual(issued["set_extensions"][0]["oid"], "2.5.29.17")
            denied = module.verify(3, event=asked("www.example.net"))["result"]
            self.assertEqual(denied["message"], "www.example.net is not ours")
            self.assertEqual(denied["disposition"] + 2**32, 0x80094001)
            mail = asked("mail.example.com", now + datetime.timedelta(days=1))
            self.assertEqual(module.verify(4, event=mail)["result"]["disposition"], 0)
            again = module.verify(5, event=mail, new_request=False, default={"disposition": 1})
            self.assertEqual(again["result"]["disposition"], 1)
            self.assertNotIn("set_extensions", again["result"])


if __name__ == "__main__":
    unittest.main()
