"""Writes an exit module for Exeunt in Python: one file, standard library alone, Python 3.9 and up.

An exit module is told of every event of a certificate authority, reads everything about it and
changes nothing. Subclass :class:`ExitModule`, call :meth:`ExitModule.serve`, and it is one::

    from exeunt_module import ExitEvent, ExitModule

    class Census(ExitModule):
        description = "writes down what was issued"

        def initialize(self, hello):
            return ExitEvent.CERT_ISSUED

        def notify(self, event):
            print("issued", event.certificate_property("SerialNumber"))

    if __name__ == "__main__":
        Census().serve()

Standard output belongs to the conversation with the server. While a module serves, ``print`` and
everything else that writes to standard output goes to standard error, and so into the server's log.

Copy this file beside your module; it has no other part.
"""

from __future__ import annotations

import base64
import binascii
import collections
import contextlib
import datetime
import enum
import json
import os
import re
import select
import sys
import time
import traceback
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, NoReturn, Optional, Sequence
from typing import Tuple, Type, Union

__all__ = [
    "CALL_BACK_SECONDS_MAX",
    "Check",
    "E_INVALIDARG",
    "CERTSRV_E_PROPERTY_EMPTY",
    "ERROR_FILE_NOT_FOUND",
    "Event",
    "ExitEvent",
    "ExitModule",
    "Extension",
    "Finding",
    "HostGone",
    "Hello",
    "LINE_BYTES_MAX",
    "MaintainExitModule",
    "Outcome",
    "PROTOCOL_VERSION",
    "Park",
    "PropType",
    "PropertyEmpty",
    "PropertyError",
    "PropertyInvalid",
    "PropertyNotFound",
    "Refused",
    "Retry",
    "Setting",
    "Skip",
]

#: Version of the protocol that this file speaks.
PROTOCOL_VERSION = 1

#: Longest line in either direction, in bytes, the line feed not counted.
LINE_BYTES_MAX = 4 * 1024 * 1024

#: Largest window that a module takes. What has been read ahead while a call-back waited stays in
#: memory, so that it is bounded.
WINDOW_MAX = 128

#: How long the server may take for one call-back, in seconds.
CALL_BACK_SECONDS_MAX = 30.0

#: Longest line that a module says about itself or a failure, in characters.
REASON_CHARACTERS_MAX = 500

CERTSRV_E_PROPERTY_EMPTY = 0x80094004
E_INVALIDARG = 0x80070057
ERROR_FILE_NOT_FOUND = 0x80070002

#: Values of the four types of properties: long, date (always UTC), binary, string.
PropertyValue = Union[int, datetime.datetime, bytes, str]

_CALL_BACKS = "call-backs"
_ROLE_POLICY = "policy"
_ROLE_MAINTAIN = "maintain"
_NO_TARGET = "this module has no target to look after"
_ID_MAX = 2**53 - 1
_READ_BYTES = 64 * 1024
_MISSING: Any = object()


class ExitEvent(enum.IntFlag):
    """The bits of a module's event mask; an event carries exactly one.

    Those below 0x10000 are the original's ``EXITEVENT_*``, the others Exeunt's own.
    """

    CERT_ISSUED = 0x1
    CERT_PENDING = 0x2
    CERT_DENIED = 0x4
    CERT_REVOKED = 0x8
    CERT_RETRIEVE_PENDING = 0x10
    CRL_ISSUED = 0x20
    SHUTDOWN = 0x40
    STARTUP = 0x80
    CERT_IMPORTED = 0x200
    CERT_UNREVOKED = 0x10000
    REQUEST_FAILED = 0x20000
    CERT_EXPIRING = 0x40000
    CA_CERT_ISSUED = 0x80000
    CRL_PUBLICATION_FAILED = 0x100000
    DELIVERY_PARKED = 0x200000
    HEARTBEAT = 0x400000
    RESTORED = 0x800000
    ALL = 0xFF02FF


_WORDS: Dict[int, str] = {
    0x1: "issued",
    0x2: "pending",
    0x4: "denied",
    0x8: "revoked",
    0x10: "retrieve-pending",
    0x20: "crl-issued",
    0x40: "shutdown",
    0x80: "startup",
    0x200: "imported",
    0x10000: "unrevoked",
    0x20000: "request-failed",
    0x40000: "expiring",
    0x80000: "ca-cert-issued",
    0x100000: "crl-publication-failed",
    0x200000: "delivery-parked",
    0x400000: "heartbeat",
    0x800000: "restored",
}


class PropType(enum.IntEnum):
    """The original's ``PROPTYPE_*``."""

    LONG = 1
    DATE = 2
    BINARY = 3
    STRING = 4


_TYPE_NAMES: Dict[str, PropType] = {it.name.lower(): it for it in PropType}


class PropertyError(Exception):
    """A value could not be read. ``hresult`` is the original's code, ``name`` what was asked."""

    hresult = E_INVALIDARG

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class PropertyEmpty(PropertyError):
    """It has no value here. Ordinary: which ones have one depends on the event."""

    hresult = CERTSRV_E_PROPERTY_EMPTY


class PropertyInvalid(PropertyError):
    """It has another type than asked for, or there is no property of that name."""

    hresult = E_INVALIDARG


class PropertyNotFound(PropertyError):
    """The index in the name is beyond the last."""

    hresult = ERROR_FILE_NOT_FOUND


class HostGone(Exception):
    """The server has closed the conversation, or does not answer a call-back."""


class Refused(Exception):
    """Raised by :meth:`ExitModule.initialize` or :meth:`ExitModule.configure`: what about the
    settings cannot be, in one line for the operator."""


class Outcome(Exception):
    """What became of an event. Return one from :meth:`ExitModule.notify`, or raise it."""

    def _members(self) -> Dict[str, Any]:
        return {"outcome": "accept"}


class Skip(Outcome):
    """The event is of no concern to this module. It does not come again."""

    def _members(self) -> Dict[str, Any]:
        return {"outcome": "skip"}


class Retry(Outcome):
    """Not now. ``after`` is the shortest pause, in seconds or as a ``timedelta``; left out, the
    server's schedule decides alone. ``reason`` is one line for the operator; a text alone is one:
    ``Retry("busy")``. ``target`` says that it is not for this event's sake: the target can be neither
    reached nor used by anybody. However often that is said of an event, it is not parked for it."""

    def __init__(
        self,
        after: Union[float, datetime.timedelta, str, None] = None,
        reason: str = "",
        *,
        target: bool = False,
    ) -> None:
        if isinstance(after, str):
            if reason:
                raise TypeError("after is a number of seconds or a timedelta: Retry(5, \"reason\")")
            after, reason = None, after
        super().__init__(reason)
        if isinstance(after, datetime.timedelta):
            after = after.total_seconds()
        if after is not None and not 0 <= after <= _ID_MAX / 1000:
            raise ValueError("after is a number of seconds, 0 or more")
        self.after_ms: Optional[int] = None if after is None else round(after * 1000)
        self.reason = reason
        self.target = bool(target)

    def _members(self) -> Dict[str, Any]:
        members: Dict[str, Any] = {"outcome": "retry"}
        if self.target:
            members["target"] = True
        if self.after_ms is not None:
            members["after_ms"] = self.after_ms
        if self.reason:
            members["reason"] = _one_line(self.reason)
        return members


class Park(Outcome):
    """Trying again is of no use until an operator has looked at it. ``reason`` is one line."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def _members(self) -> Dict[str, Any]:
        members = {"outcome": "park"}
        if self.reason:
            members["reason"] = _one_line(self.reason)
        return members


class Setting:
    """One setting that a module knows.

    ``type`` is one of ``string``, ``long``, ``boolean``, ``list``, ``object``; ``default`` is what
    counts where it is left out, and ``required`` says that it must not be.
    """

    _TYPES: Dict[str, Callable[[Any], bool]] = {
        "string": lambda it: isinstance(it, str),
        "long": lambda it: isinstance(it, int) and not isinstance(it, bool),
        "boolean": lambda it: isinstance(it, bool),
        "list": lambda it: isinstance(it, list),
        "object": lambda it: isinstance(it, dict),
    }

    def __init__(
        self,
        name: str,
        type: str,
        description: str,
        default: Any = None,
        required: bool = False,
    ) -> None:
        if type not in self._TYPES:
            raise ValueError(f"a setting is one of {', '.join(self._TYPES)}, not {type!r}")
        self.name = name
        self.type = type
        self.description = description
        self.default = default
        self.required = required

    def check(self, value: Any) -> None:
        """Raises :class:`Refused` where the value has another type."""
        if not self._TYPES[self.type](value):
            raise Refused(f"setting {self.name!r} is a {self.type}")

    def _members(self) -> Dict[str, Any]:
        members = {"name": self.name, "type": self.type, "description": self.description}
        if self.default is not None:
            members["default"] = self.default
        if self.required:
            members["required"] = True
        return members


class Hello:
    """The server's greeting."""

    #: Version of the protocol that the server speaks.
    protocol: int
    #: Optional parts of the protocol that the server can do.
    features: List[str]
    #: Name of the CA.
    config: str
    #: Name under which this module is configured.
    module: str
    #: What the module is asked to be: ``policy``, or ``None`` for an exit module.
    role: Optional[str]
    #: The module's settings, checked against :attr:`ExitModule.settings` and with its defaults.
    settings: Dict[str, Any]
    #: Most events that may be unanswered at the same time.
    window: int
    #: How long one event may take, in milliseconds.
    deadline_ms: int

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.protocol = _member(params, "protocol", int)
        self.features = [it for it in _member(params, "features", list, []) if isinstance(it, str)]
        self.config = _member(params, "config", str)
        self.module = _member(params, "module", str)
        self.role = params.get("role")
        self.settings = dict(_member(params, "settings", dict, {}))
        self.window = _member(params, "window", int)
        self.deadline_ms = _member(params, "deadline_ms", int)


class Extension:
    """An extension of a certificate or request. Also one that was left out: see ``disabled``."""

    #: The original's flags, with the origin in the bits of ``ORIGIN_MASK``.
    flags: int
    #: DER of the value.
    value: bytes

    CRITICAL = 0x1
    DISABLED = 0x2
    ORIGIN_MASK = 0xF0000

    def __init__(self, flags: int, value: bytes) -> None:
        self.flags = flags
        self.value = value

    @property
    def critical(self) -> bool:
        """Whether it is critical."""
        return bool(self.flags & self.CRITICAL)

    @property
    def disabled(self) -> bool:
        """Whether the CA knows it and it is not in the certificate."""
        return bool(self.flags & self.DISABLED)


class Event:
    """One event, with everything that can be read about it: the original's ``ICertServerExit``.

    What the event does not carry is asked of the server, if it offers that; only while
    :meth:`ExitModule.notify` runs. Names of properties and attributes compare in any case.
    """

    #: Names the event, the same at every attempt.
    id: str
    #: Its place in the CA's log, 1 and up.
    seq: int
    #: What happened: one bit of :class:`ExitEvent`, possibly one that this file does not know.
    event: int
    #: Number of the request, or 0 where the event is about none.
    context: int
    #: What it is about: ``request:9``, or ``server``. Events of one subject come in order.
    subject: str
    #: 1 at the first delivery to this module, then 2, and so on.
    attempt: int

    def __init__(self, members: Mapping[str, Any], ask: Optional[_Ask] = None) -> None:
        self.id = _member(members, "id", str)
        self.seq = _member(members, "seq", int)
        self.event = _member(members, "event", int)
        self.context = _member(members, "context", int)
        self.subject = _member(members, "subject", str)
        self.attempt = _member(members, "attempt", int)
        self._time = _member(members, "time", str)
        self._request = _member(members, "request", dict, {})
        self._certificate = _member(members, "certificate", dict, {})
        self._system = _member(members, "system", dict, {})
        self._detail = _member(members, "detail", dict, {})
        self._extensions = _member(members, "extensions", dict, {})
        self._attributes: List[Tuple[str, str]] = []
        for pair in _member(members, "attributes", list, []):
            if not (isinstance(pair, list) and [type(it) for it in pair] == [str, str]):
                raise _Malformed("an attribute is a pair of texts")
            self._attributes.append((pair[0], pair[1]))
        self._ask = ask
        self._asked: Dict[Tuple[str, int, str], Any] = {}

    @property
    def kind(self) -> str:
        """The word for what happened, as the server's own texts have it; ``unknown`` for a bit
        that this file does not know."""
        return _WORDS.get(self.event, "unknown")

    @property
    def time(self) -> datetime.datetime:
        """When it happened, in UTC."""
        return _date(self._time)

    def request_property(
        self, name: str, type: Optional[PropType] = None, default: Any = _MISSING
    ) -> Any:
        """A property of the request: an ``int``, a ``datetime`` in UTC, ``bytes`` or a ``str``.

        Raises :class:`PropertyEmpty` where it has no value, unless there is a ``default``, and
        :class:`PropertyInvalid` where it is not of that ``type``.
        """
        return self._property("GetRequestProperty", self._request, self.seq, name, type, default)

    def certificate_property(
        self, name: str, type: Optional[PropType] = None, default: Any = _MISSING
    ) -> Any:
        """A property of the certificate; otherwise as :meth:`request_property`."""
        of = self._certificate
        return self._property("GetCertificateProperty", of, self.seq, name, type, default)

    def system_property(
        self, name: str, type: Optional[PropType] = None, default: Any = _MISSING
    ) -> Any:
        """A property of the CA, the original's context 0; otherwise as :meth:`request_property`."""
        return self._property("GetCertificateProperty", self._system, 0, name, type, default)

    def detail_property(self, name: str, default: Any = _MISSING) -> Any:
        """What some events say beyond request and certificate, for example ``Reason``."""
        return self._property(None, self._detail, self.seq, name, None, default)

    def request_attribute(self, name: str, default: Any = _MISSING) -> str:
        """An attribute of the request. Blanks and hyphens in its name do not count."""
        plain = _attribute_name(name)
        for known, value in self._attributes:
            if _attribute_name(known) == plain:
                return value
        return self._missing("GetRequestAttribute", self.seq, name, None, default)

    def extension(self, oid: str) -> Extension:
        """The extension with that OID in dotted form.

        Raises :class:`PropertyEmpty` where there is none.
        """
        members = self._extensions.get(oid)
        if members is None:
            members = self._fetch("GetCertificateExtension", self.seq, oid)
        try:
            value = base64.b64decode(members["value"], validate=True)
            return Extension(int(members["flags"]), value)
        except (binascii.Error, KeyError, TypeError, ValueError) as err:
            raise PropertyInvalid(oid, f"extension {oid} cannot be read") from err

    def certificate_extension(self, oid: str) -> bytes:
        """DER of an extension's value; see :meth:`extension`."""
        return self.extension(oid).value

    def extension_flags(self, oid: str) -> int:
        """Flags and origin of an extension; see :meth:`extension`."""
        return self.extension(oid).flags

    def request_properties(self) -> Iterator[Tuple[str, PropertyValue]]:
        """Names and values of the request's properties that came with the event."""
        return _pairs(self._request)

    def certificate_properties(self) -> Iterator[Tuple[str, PropertyValue]]:
        """Names and values of the certificate's properties that came with the event."""
        return _pairs(self._certificate)

    def system_properties(self) -> Iterator[Tuple[str, PropertyValue]]:
        """Names and values of the CA's properties that came with the event."""
        return _pairs(self._system)

    def detail_properties(self) -> Iterator[Tuple[str, PropertyValue]]:
        """Names and values of what the event says beyond request and certificate."""
        return _pairs(self._detail)

    def attributes(self) -> Iterator[Tuple[str, str]]:
        """Names and values of the request's attributes, in order."""
        return iter(list(self._attributes))

    def extensions(self) -> Iterator[Tuple[str, Extension]]:
        """OIDs and extensions, in order."""
        return ((oid, self.extension(oid)) for oid in list(self._extensions))

    def _property(
        self,
        method: Optional[str],
        of: Mapping[str, Any],
        seq: int,
        name: str,
        kind: Optional[PropType],
        default: Any,
    ) -> Any:
        folded = name.lower()
        for known, members in of.items():
            if known.lower() == folded:
                found = _value(members)
                if found is not None:
                    return _checked(name, found, kind)
        return self._missing(method, seq, name, kind, default)

    def _missing(
        self, method: Optional[str], seq: int, name: str, kind: Optional[PropType], default: Any
    ) -> Any:
        try:
            found = _value(self._fetch(method, seq, name)) if method else None
            if found is None:
                raise PropertyEmpty(name, f"{name} is empty")
            return _checked(name, found, kind)
        except PropertyEmpty:
            if default is _MISSING:
                raise
            return default

    def _fetch(self, method: str, seq: int, name: str) -> Any:
        """Asks the server, once for each question."""
        question = (method, seq, name.lower())
        if question not in self._asked:
            if self._ask is None:
                raise PropertyEmpty(name, f"{name} is empty")
            try:
                self._asked[question] = self._ask(method, {"seq": seq, "name": name})
            except PropertyError as err:
                self._asked[question] = err
        answer = self._asked[question]
        if isinstance(answer, PropertyError):
            raise answer.with_traceback(None)
        return answer

    def _settled(self) -> None:
        """The event is answered: the server says no more about it."""
        self._ask = None


class ExitModule:
    """An exit module. Subclass it, and call :meth:`serve` on an instance.

    One method runs at a time: first :meth:`initialize`, once, then :meth:`notify` for each event,
    and last :meth:`shutdown`, once. What a method raises is answered as an error of that call, with
    the exception in one line; for an event that counts as one failed attempt, and it comes again.
    """

    #: What the module is, in one line.
    description: str = ""

    #: The settings that the module knows; any other is refused. ``None`` leaves all of that to the
    #: module, which then does not describe its settings either.
    settings: Optional[Sequence[Setting]] = ()

    #: Whether values that are large or rare are fetched when they are read. Where not, every event
    #: carries the whole request.
    call_backs: bool = True

    #: Facts for operators: the original's ``GetProperty``.
    name: str = ""
    copyright: str = ""
    version: str = ""

    def initialize(self, hello: Hello) -> int:
        """Takes the greeting and says which events the module wants: bits of :class:`ExitEvent`.

        Raise :class:`Refused` where the settings cannot be.
        """
        raise NotImplementedError

    def notify(self, event: Event) -> Optional[Outcome]:
        """Takes one event. It comes at least once, so a second time must do no harm.

        ``None`` means that it is done. Otherwise return or raise a :class:`Retry`, :class:`Park` or
        :class:`Skip`.
        """
        raise NotImplementedError

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Looks at all settings together, after each was found to be known and of its type.

        Called before :meth:`initialize`, and also in a process of its own while another one of this
        module works: it must touch nothing. Raise :class:`Refused` where they cannot be.
        """

    def shutdown(self) -> None:
        """The last call: the server says farewell, or has gone."""

    def serve(self) -> None:
        """Runs the module on standard input and output until the server says farewell.

        Raises :class:`OSError` or :class:`ValueError` where the conversation is broken; let it end
        the process, and the server starts it again.
        """
        reader, writer = _take_streams()
        _Session(self, reader, writer).run()


class Check:
    """One thing that was tried or made for a target: how it went, in a line."""

    RESULTS = ("passed", "warning", "failed")

    def __init__(self, what: str, result: str = "passed", text: str = "") -> None:
        if result not in self.RESULTS:
            raise ValueError(f"{result!r} is none of {', '.join(self.RESULTS)}")
        #: What was tried, in a few words.
        self.what = what
        #: passed, warning (somebody should look at it) or failed (the module cannot work so).
        self.result = result
        #: What was found, or what is wrong and what to do.
        self.text = text

    def _members(self) -> Dict[str, Any]:
        return {"what": _one_line(self.what), "result": self.result, "text": _one_line(self.text)}


class Finding:
    """One thing in a target that is not as it should be."""

    DIFFERENCES = ("missing", "stale", "surplus", "foreign", "unknown")

    def __init__(
        self,
        difference: str,
        place: str,
        text: str = "",
        mended: bool = False,
        error: Optional[str] = None,
    ) -> None:
        if difference not in self.DIFFERENCES:
            raise ValueError(f"{difference!r} is none of {', '.join(self.DIFFERENCES)}")
        #: missing, stale (another state is there), surplus (ours, and should not be there), foreign
        #: (something else stands in its place, and is left alone) or unknown (not compared).
        self.difference = difference
        #: Where it is, or would be.
        self.place = place
        #: What is meant: a serial number, the number of a list.
        self.text = text
        #: Whether it was mended just now.
        self.mended = mended
        #: Why it could not be mended, or not be compared.
        self.error = error

    def _members(self) -> Dict[str, Any]:
        members: Dict[str, Any] = {
            "difference": self.difference,
            "place": _one_line(self.place),
            "text": _one_line(self.text),
            "mended": bool(self.mended),
        }
        if self.error is not None:
            members["error"] = _one_line(self.error)
        return members


class MaintainExitModule:
    """What an exit module does for its target beside publishing: tries it, prepares it, compares it
    with the CA. Put it in front of :class:`ExitModule`::

        class Copies(MaintainExitModule, ExitModule):
            ...

    These methods run in a process of its own, which is told of no event: :meth:`begin` once, in the
    place of :meth:`ExitModule.initialize`, and then what the server asks for. The module's other
    process may be running meanwhile, but for the time in which something is mended.

    A plain exception is the answer that nothing could be said: for example that the target cannot be
    reached when it is to be compared. What failed in :meth:`test` is a check.
    """

    def begin(self, hello: Hello) -> None:
        """Takes the greeting. Nothing may be changed. Raise :class:`Refused` where the settings
        cannot be."""
        raise NotImplementedError

    def test(self, samples: Sequence[Event]) -> Tuple[Sequence[Check], Sequence[str]]:
        """Connects, authenticates, looks at rights and schema, and writes nothing. Gives what was
        tried, and what would be written for these events of the past, a line each."""
        raise NotImplementedError

    def install(self, apply: bool) -> Tuple[Sequence[Check], Optional[str]]:
        """Makes what has to be in the target before the first event; without ``apply``, says what
        that is. Gives the steps, and the same as a text to be applied by hand if there is one."""
        raise Refused("this module has nothing to install")

    def reconcile(self, events: Sequence[Event], mend: bool) -> Tuple[int, Sequence[Finding]]:
        """Compares the target with what the CA holds. Gives how many things are as they should be,
        and what is not. Called until everything was compared."""
        raise Refused("what this module has sent cannot be compared with anything")

    def reconcile_end(self, mend: bool) -> Tuple[int, Sequence[Finding], bool]:
        """Names what is the module's own in the target and was in no :meth:`reconcile`. The last
        value says whether there is more, so that it has to be called again."""
        return 0, (), False


_Ask = Callable[[str, Mapping[str, Any]], Any]


class _Malformed(Exception):
    """Parameters of another shape."""


class _Failure(Exception):
    """A call is answered with an error."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    REFUSED = -32000

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = _one_line(message)


#: Errors of a call-back, by code.
_REFUSALS: Dict[int, Type[PropertyError]] = {
    -32001: PropertyEmpty,
    -32002: PropertyInvalid,
    -32003: PropertyNotFound,
}


class _Lines:
    """Lines from a pipe, with a deadline where one is needed."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._buffer = bytearray()
        self._searched = 0
        self._ended = False

    def line(self, seconds_max: Optional[float] = None) -> Optional[bytes]:
        """The next line without its line feed; ``None`` at the end of the input."""
        deadline = None
        if seconds_max is not None:
            deadline = time.monotonic() + seconds_max
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if 0 <= end:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                self._searched = 0
                return self._short_enough(line)
            self._searched = len(self._buffer)
            if self._ended:
                line = bytes(self._buffer)
                self._buffer.clear()
                self._searched = 0
                return self._short_enough(line) if line else None
            self._short_enough(self._buffer)
            if deadline is not None:
                left = max(deadline - time.monotonic(), 0)
                if not select.select([self._file], [], [], left)[0]:
                    raise HostGone("the server does not answer a call-back")
            piece = os.read(self._file, _READ_BYTES)
            self._ended = not piece
            self._buffer += piece

    @staticmethod
    def _short_enough(line: Any) -> Any:
        if LINE_BYTES_MAX < len(line):
            raise ValueError(f"the server's line is longer than {LINE_BYTES_MAX} bytes")
        return line


class _Session:
    """The loop of a module: a line in, a call of the module, a line out."""

    def __init__(self, module: ExitModule, reader: int, writer: int) -> None:
        self._module = module
        self._lines = _Lines(reader)
        self._writer = writer
        #: Calls that came while a call-back waited.
        self._waiting: Deque[Dict[str, Any]] = collections.deque()
        self._mask: Optional[int] = None
        self._call_backs = False
        #: Whether it was greeted with the role of looking after its target.
        self._maintains = False
        self._last_id = 0

    def run(self) -> None:
        try:
            while True:
                call = self._next_call()
                if call is None or self._handle(call):
                    return
        except (HostGone, BrokenPipeError, KeyboardInterrupt):
            return
        finally:
            self._shutdown()

    def _next_call(self) -> Optional[Dict[str, Any]]:
        if self._waiting:
            return self._waiting.popleft()
        while True:
            line = self._lines.line()
            if line is None:
                return None
            message = self._message(line)
            # An answer that comes after its call-back has given up is passed over as well.
            if message is not None and "method" in message:
                return message
            if message is not None and not self._call_backs:
                self._fail(None, _Failure.INVALID_REQUEST, "a call has a method")

    def _message(self, line: bytes) -> Optional[Dict[str, Any]]:
        """A line as an object; what is none is answered, or passed over where it is blank."""
        if not line.strip():
            return None
        try:
            message = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as err:
            self._fail(None, _Failure.PARSE, f"the line is no JSON: {err}")
            return None
        if not isinstance(message, dict):
            self._fail(None, _Failure.INVALID_REQUEST, "a message is an object")
            return None
        return message

    def _handle(self, message: Dict[str, Any]) -> bool:
        """Answers one call. True after the farewell."""
        call, method = message.get("id", _MISSING), message["method"]
        if call is _MISSING or call is None:
            return False  # A notification of a later version.
        if not _is_id(call) or not isinstance(method, str):
            self._fail(None, _Failure.INVALID_REQUEST, "an id is a number, a method a text")
            return False
        params = message.get("params")
        try:
            result = self._call(method, {} if params is None else params)
        except _Failure as failure:
            self._fail(call, failure.code, failure.message)
        except (HostGone, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as err:
            traceback.print_exc()
            self._fail(call, _Failure.INTERNAL, _described(err), getattr(err, "hresult", None))
        else:
            self._send({"jsonrpc": "2.0", "id": call, "result": result}, call)
        return method == "Shutdown"

    def _call(self, method: str, params: Any) -> Any:
        calls: Dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "Initialize": self._initialize,
            "GetDescription": lambda _: _one_line(_text(self._module.description)),
            "Notify": self._notify,
            "VerifyRequest": self._verify_request,
            "Test": self._test,
            "Install": self._install,
            "Reconcile": self._reconcile,
            "ReconcileEnd": self._reconcile_end,
            "Shutdown": lambda _: self._shutdown(),
            "GetManageModule": self._manage_module,
            "GetProperty": self._property,
            "SetProperty": self._set_property,
            "Configure": self._configure,
        }
        handler = calls.get(method)
        if handler is None:
            text = f"there is no method {method[:64]!r}"
            raise _Failure(_Failure.METHOD_NOT_FOUND, text)
        if not isinstance(params, dict):
            raise _Failure(_Failure.INVALID_PARAMS, f"parameters of {method}: no object")
        try:
            return handler(params)
        except _Malformed as err:
            raise _Failure(_Failure.INVALID_PARAMS, f"parameters of {method}: {err}") from err

    def _initialize(self, params: Mapping[str, Any]) -> Any:
        if self._mask is not None:
            raise _Failure(_Failure.INVALID_REQUEST, "Initialize was called before")
        hello = Hello(params)
        if hello.protocol < PROTOCOL_VERSION:
            text = f"the host speaks protocol {hello.protocol}, this module {PROTOCOL_VERSION}"
            raise _Failure(_Failure.REFUSED, text)
        call_backs = bool(self._module.call_backs) and _CALL_BACKS in hello.features
        is_policy = hasattr(self._module, "_verify_request")
        if is_policy != (hello.role == _ROLE_POLICY):
            kinds = ("a policy module", "an exit module")
            text = "this is {}, and not {}".format(*(kinds if is_policy else kinds[::-1]))
            raise _Failure(_Failure.REFUSED, text)
        maintains = hello.role == _ROLE_MAINTAIN
        if maintains and not isinstance(self._module, MaintainExitModule):
            raise _Failure(_Failure.REFUSED, _NO_TARGET)
        try:
            hello.settings = self._checked_settings(hello.settings)
            mask: Any = 0
            if maintains and isinstance(self._module, MaintainExitModule):
                self._module.begin(hello)
            else:
                mask = self._module.initialize(hello)
            mask = 0 if is_policy else mask
        except Refused as err:
            raise _Failure(_Failure.REFUSED, str(err)) from err
        if not isinstance(mask, int) or not 0 <= mask < 2**32:
            raise TypeError(f"initialize returned {mask!r} and not bits of ExitEvent")
        self._mask, self._call_backs, self._maintains = int(mask), call_backs, maintains
        return {
            "protocol": PROTOCOL_VERSION,
            "features": [_CALL_BACKS] if call_backs else [],
            "event_mask": self._mask,
            "window": max(1, min(hello.window, WINDOW_MAX)),
        }

    def _notify(self, params: Mapping[str, Any]) -> Any:
        if self._mask is None:
            raise _Failure(_Failure.INVALID_REQUEST, "Notify before Initialize")
        if hasattr(self._module, "_verify_request"):
            raise _Failure(_Failure.METHOD_NOT_FOUND, "this is a policy module")
        if self._maintains:
            text = "a process that looks after the target is told of no event"
            raise _Failure(_Failure.INVALID_REQUEST, text)
        event = Event(_member(params, "event", dict), self._ask if self._call_backs else None)
        if not event.event & self._mask:
            return Skip()._members()
        try:
            outcome: Any = self._module.notify(event)
        except Outcome as raised:
            outcome = raised
        finally:
            event._settled()
        if isinstance(outcome, type) and issubclass(outcome, Outcome):
            outcome = outcome()
        if outcome is None:
            outcome = Outcome()
        if not isinstance(outcome, Outcome):
            raise TypeError(f"notify returned {outcome!r} and no outcome")
        return outcome._members()

    def _verify_request(self, params: Mapping[str, Any]) -> Any:
        decide = getattr(self._module, "_verify_request", None)
        if decide is None:
            text = "this is an exit module, and not a policy module"
            raise _Failure(_Failure.METHOD_NOT_FOUND, text)
        if self._mask is None:
            raise _Failure(_Failure.INVALID_REQUEST, "VerifyRequest before Initialize")
        return decide(params, self._ask if self._call_backs else None)

    def _maintained(self) -> MaintainExitModule:
        """The module, where it looks after its target in this process."""
        if not isinstance(self._module, MaintainExitModule):
            raise _Failure(_Failure.METHOD_NOT_FOUND, _NO_TARGET)
        if self._mask is None or not self._maintains:
            text = f"it was not greeted with the role {_ROLE_MAINTAIN}"
            raise _Failure(_Failure.INVALID_REQUEST, text)
        return self._module

    def _events(self, params: Mapping[str, Any], name: str) -> List[Event]:
        ask = self._ask if self._call_backs else None
        events = _member(params, name, list, [])
        if not all(isinstance(it, dict) for it in events):
            raise _Malformed(f"{name} has something else than events")
        return [Event(it, ask) for it in events]

    def _test(self, params: Mapping[str, Any]) -> Any:
        module, samples = self._maintained(), self._events(params, "samples")
        with _answered(), _in_hand(samples):
            checks, would_write = module.test(samples)
        return {
            "checks": [it._members() for it in checks],
            "would_write": [_one_line(it) for it in would_write],
        }

    def _install(self, params: Mapping[str, Any]) -> Any:
        module = self._maintained()
        with _answered():
            steps, script = module.install(_member(params, "apply", bool, False))
        result: Dict[str, Any] = {"steps": [it._members() for it in steps]}
        if script is not None:
            result["script"] = script
        return result

    def _reconcile(self, params: Mapping[str, Any]) -> Any:
        module, events = self._maintained(), self._events(params, "events")
        with _answered(), _in_hand(events):
            good, findings = module.reconcile(events, _member(params, "mend", bool, False))
        return {"good": good, "findings": [it._members() for it in findings]}

    def _reconcile_end(self, params: Mapping[str, Any]) -> Any:
        module = self._maintained()
        with _answered():
            good, findings, more = module.reconcile_end(_member(params, "mend", bool, False))
        return {"good": good, "findings": [it._members() for it in findings], "more": bool(more)}

    def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        """A call-back. What else comes in the meantime waits."""
        self._last_id += 1
        question = self._last_id
        self._send({"jsonrpc": "2.0", "id": question, "method": method, "params": params}, None)
        while True:
            line = self._lines.line(CALL_BACK_SECONDS_MAX)
            if line is None:
                raise HostGone("the server has gone")
            message = self._message(line)
            if message is None:
                continue
            if "method" in message:
                self._waiting.append(message)
            elif message.get("id") == question:
                return self._answer(str(params["name"]), message)

    @staticmethod
    def _answer(name: str, message: Mapping[str, Any]) -> Any:
        error = message.get("error")
        if error is None:
            return message.get("result")
        code = error.get("code") if isinstance(error, dict) else None
        text = error.get("message", "") if isinstance(error, dict) else ""
        refusal = _REFUSALS.get(code, PropertyInvalid) if isinstance(code, int) else PropertyInvalid
        raise refusal(name, _one_line(f"{name}: {text}"))

    def _shutdown(self) -> None:
        """The module's last call, if it was greeted and has not had it yet."""
        if self._mask is not None:
            self._mask = None
            self._module.shutdown()

    def _managed(self) -> Sequence[Setting]:
        if self._module.settings is None:
            raise _Failure(_Failure.METHOD_NOT_FOUND, "this module does not manage itself")
        if self._mask is not None:
            text = "managing is done before Initialize, in a process of its own"
            raise _Failure(_Failure.INVALID_REQUEST, text)
        return self._module.settings

    def _manage_module(self, _: Mapping[str, Any]) -> Any:
        return {"settings": [it._members() for it in self._managed()]}

    def _property(self, params: Mapping[str, Any]) -> Any:
        self._managed()
        facts = {
            "name": self._module.name,
            "description": self._module.description,
            "copyright": self._module.copyright,
            "file version": self._module.version,
            "product version": self._module.version,
        }
        fact = _text(facts.get(_member(params, "name", str).lower(), ""))
        return {"string": _one_line(fact)} if fact else None

    def _set_property(self, params: Mapping[str, Any]) -> Any:
        known = {it.name: it for it in self._managed()}
        name = _member(params, "name", str)
        try:
            if name not in known:
                raise Refused(f"there is no setting {name!r}")
            known[name].check(params.get("value"))
        except Refused as err:
            raise _Failure(_Failure.REFUSED, str(err)) from err
        return None

    def _configure(self, params: Mapping[str, Any]) -> Any:
        self._managed()
        try:
            self._checked_settings(_member(params, "settings", dict, {}))
        except Refused as err:
            raise _Failure(_Failure.REFUSED, str(err)) from err
        return None

    def _checked_settings(self, settings: Mapping[str, Any]) -> Dict[str, Any]:
        """The settings with their defaults, or :class:`Refused`."""
        checked = dict(settings)
        if self._module.settings is not None:
            known = {it.name: it for it in self._module.settings}
            for name, value in settings.items():
                if name not in known:
                    raise Refused(f"there is no setting {name!r}")
                known[name].check(value)
            for setting in known.values():
                if setting.name not in checked:
                    if setting.required:
                        raise Refused(f"setting {setting.name!r} is missing")
                    checked[setting.name] = setting.default
        self._module.configure(checked)
        return checked

    def _fail(
        self, call: Optional[int], code: int, message: str, hresult: Optional[int] = None
    ) -> None:
        error: Dict[str, Any] = {"code": code, "message": _one_line(message)}
        if hresult is not None:
            error["data"] = {"hresult": hresult}
        self._send({"jsonrpc": "2.0", "id": call, "error": error}, None)

    def _send(self, message: Mapping[str, Any], call: Optional[int]) -> None:
        line = json.dumps(message, separators=(",", ":")).encode("ascii")
        if LINE_BYTES_MAX < len(line):
            self._fail(call, _Failure.INTERNAL, "the answer is too long for a line")
            return
        line += b"\n"
        while line:
            line = line[os.write(self._writer, line) :]


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """What the module refuses, the operator reads in the module's own words."""
    try:
        yield
    except Refused as err:
        raise _Failure(_Failure.REFUSED, str(err)) from err


@contextlib.contextmanager
def _in_hand(events: Sequence[Event]) -> Iterator[None]:
    """Events that can be asked about until the end of the call."""
    try:
        yield
    finally:
        for event in events:
            event._settled()


def _take_streams() -> Tuple[int, int]:
    """Takes standard input and output for the conversation alone.

    Whatever else reads or writes there, in this process or one that it starts, reads nothing and
    writes to standard error.
    """
    reader, writer = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # Python's own object is exchanged as well: it may hold a buffer, and print need not flush then.
    sys.stdout = sys.stderr
    return reader, writer


def _is_id(call: Any) -> bool:
    return isinstance(call, int) and not isinstance(call, bool) and 0 <= call <= _ID_MAX


def _member(members: Mapping[str, Any], name: str, kind: Type[Any], default: Any = _MISSING) -> Any:
    value = members.get(name, default)
    if value is _MISSING:
        raise _Malformed(f"{name} is missing")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Malformed(f"{name} is of another type")
    return value


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _attribute_name(name: str) -> str:
    return name.replace(" ", "").replace("-", "").lower()


_DATE = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))",
    re.ASCII,
)


def _date(text: str) -> datetime.datetime:
    """Reads RFC 3339. Digits beyond microseconds are cut; a leap second is the one before it."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no date of RFC 3339")
    year, month, day, hour, minute, second = (int(it) for it in found.groups()[:6])
    microsecond = int((found[7] or "0")[:6].ljust(6, "0"))
    utc = datetime.timezone.utc
    date = datetime.datetime(year, month, day, hour, minute, min(second, 59), microsecond, utc)
    if found[8]:
        offset = datetime.timedelta(hours=int(found[9]), minutes=int(found[10]))
        date = date - offset if found[8] == "+" else date + offset
    return date


def _value(members: Any) -> Optional[Tuple[PropType, PropertyValue]]:
    """A property as JSON has it; ``None`` where its type is one of a later version."""
    if not isinstance(members, dict):
        return None
    for name, kind in _TYPE_NAMES.items():
        if name not in members:
            continue
        raw = members[name]
        try:
            if kind is PropType.LONG:
                return kind, _member(members, name, int)
            if kind is PropType.DATE:
                return kind, _date(_member(members, name, str))
            if kind is PropType.BINARY:
                return kind, base64.b64decode(_member(members, name, str), validate=True)
            return kind, _member(members, name, str)
        except (_Malformed, ValueError, OverflowError) as err:
            raise PropertyInvalid(name, f"{str(raw)[:40]!r} is no {name}") from err
    return None


def _checked(
    name: str, found: Tuple[PropType, PropertyValue], kind: Optional[PropType]
) -> PropertyValue:
    if kind is not None and kind != found[0]:
        found_name, asked = found[0].name.lower(), PropType(kind).name.lower()
        raise PropertyInvalid(name, f"{name} is a {found_name}, not a {asked}")
    return found[1]


def _pairs(properties: Mapping[str, Any]) -> Iterator[Tuple[str, PropertyValue]]:
    for name, members in list(properties.items()):
        found = _value(members)
        if found is not None:
            yield name, found[1]


def _text(text: Any) -> str:
    """A text, or what a method that gives one gives."""
    return str(text() if callable(text) else text)


def _one_line(text: str) -> str:
    """A text fit for a line of the server's log, and for its JSON."""
    line = " ".join(text.split())[:REASON_CHARACTERS_MAX]
    return line.encode("utf-8", "replace").decode("utf-8")


def _described(err: BaseException) -> str:
    text = str(err)
    return f"{type(err).__name__}: {text}" if text else type(err).__name__
