"""Writes a policy module for Exeunt in Python: this file and ``exeunt_module.py`` beside it.

A policy module is asked about each request before anything is issued. Subclass
:class:`PolicyModule`, call :meth:`PolicyModule.serve`, and it is one::

    from exeunt_policy import Deny, Issue, PolicyModule

    class OursAlone(PolicyModule):
        description = "issues to names of example.com"

        def verify_request(self, request):
            name = request.request_property("CommonName", default="")
            if not name.endswith(".example.com"):
                return Deny(f"{name} is not ours")
            request.enable_extension("2.5.29.17")
            return Issue

    if __name__ == "__main__":
        OursAlone().serve()

What a module raises, and an answer that is none, issues nothing: the server pends or fails the
request, as it is configured.
"""

from __future__ import annotations

import base64
import datetime
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, Union

from exeunt_module import CERTSRV_E_PROPERTY_EMPTY, E_INVALIDARG, Event, ExitModule, Extension
from exeunt_module import PropertyEmpty, PropertyValue, PropType, Refused, Setting
from exeunt_module import _Ask, _member, _one_line

__all__ = [
    "CHANGES_MAX",
    "Deny",
    "E_ACCESSDENIED",
    "EXTENSION_BYTES_MAX",
    "Issue",
    "Pend",
    "PolicyError",
    "PolicyModule",
    "PolicyRequest",
    "Refused",
    "Setting",
]

E_ACCESSDENIED = 0x80070005
E_UNEXPECTED = 0x8000FFFF

#: Most properties, most extensions and most lines for the log that one ruling may set, each.
CHANGES_MAX = 64

#: Longest value of an extension, in bytes.
EXTENSION_BYTES_MAX = 4096

_OID_CHARACTERS_MAX = 31
_FLAGS_SETTABLE = 0xFF03
_NAME_BYTES_MAX = 8192
_NAME_VALUES_MAX = 32
_LOG_CHARACTERS_MAX = 1000
_MISSING: Any = object()
_ORIGIN_POLICY = 0x20000
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*)){2,}", re.ASCII)

#: Parts of a name: longest value, in characters, and whether it is ASCII.
_PARTS: Dict[str, Tuple[int, bool]] = {
    "CommonName": (64, False),
    "Country": (2, True),
    "DeviceSerialNumber": (1024, True),
    "DomainComponent": (128, True),
    "EMail": (128, True),
    "GivenName": (16, False),
    "Initials": (5, False),
    "Locality": (128, False),
    "Organization": (64, False),
    "OrgUnit": (64, False),
    "State": (128, False),
    "StreetAddress": (30, False),
    "SurName": (40, False),
    "Title": (64, False),
    "UnstructuredAddress": (1024, False),
    "UnstructuredName": (1024, False),
}

_ALIASES: Dict[str, str] = {
    "cn": "CommonName",
    "2.5.4.3": "CommonName",
    "c": "Country",
    "2.5.4.6": "Country",
    "2.5.4.5": "DeviceSerialNumber",
    "dc": "DomainComponent",
    "0.9.2342.19200300.100.1.25": "DomainComponent",
    "e": "EMail",
    "1.2.840.113549.1.9.1": "EMail",
    "g": "GivenName",
    "2.5.4.42": "GivenName",
    "i": "Initials",
    "2.5.4.43": "Initials",
    "l": "Locality",
    "2.5.4.7": "Locality",
    "o": "Organization",
    "org": "Organization",
    "2.5.4.10": "Organization",
    "ou": "OrgUnit",
    "organizationunit": "OrgUnit",
    "organizationalunit": "OrgUnit",
    "2.5.4.11": "OrgUnit",
    "st": "State",
    "s": "State",
    "2.5.4.8": "State",
    "street": "StreetAddress",
    "2.5.4.9": "StreetAddress",
    "sn": "SurName",
    "2.5.4.4": "SurName",
    "t": "Title",
    "2.5.4.12": "Title",
    "1.2.840.113549.1.9.8": "UnstructuredAddress",
    "1.2.840.113549.1.9.2": "UnstructuredName",
}

#: The original's properties for policies, with their types where those are known.
_POLICY: Dict[str, Optional[Type[Any]]] = {
    "DCName": str,
    "CrossForest": None,
    "RequesterSAMName": str,
    "RequesterUPN": str,
    "RequesterDN": str,
    "SEAuditId": None,
}

#: Properties that are lines for the server's log, and their levels.
_LOG: Dict[str, str] = {
    "eventlogerror": "error",
    "eventlogwarning": "warning",
    "eventlogterse": "terse",
    "eventlogverbose": "verbose",
    "eventlogexhaustive": "exhaustive",
}

#: What the engine puts into every certificate by itself.
_OWNED: Dict[str, str] = {
    "2.5.29.19": "basic constraints",
    "2.5.29.35": "authority key identifier",
    "2.5.29.14": "subject key identifier",
    "2.5.29.31": "CRL distribution points",
    "1.3.6.1.5.5.7.1.1": "authority information access",
}

#: Names that are there, and that no policy sets.
_READ_ONLY = frozenset(
    it.lower()
    for it in (
        "DistinguishedName RawName RequestID RawCertificate CertificateHash CertificateTemplate "
        "EnrollmentFlags GeneralFlags PrivatekeyFlags SerialNumber SubjectKeyIdentifier "
        "RawPublicKey PublicKeyLength PublicKeyAlgorithm RawPublicKeyAlgorithmParameters UPN "
        "CertificateType RawSMIMECapabilities NameType RequesterCAAccess UserDN KeyArchived "
        "RawRequest RequestType RequestFlags RequestAttributes RequesterName CallerName StatusCode "
        "Disposition DispositionMessage SubmittedWhen ResolvedWhen RawCACertificate RawCRL CAType "
        "CertCount SanitizedCAName SanitizedShortName MachineDNSName"
    ).split()
)


class PolicyError(Exception):
    """Something may not be set. ``hresult`` is the original's code, ``code`` a stable word.
    Nothing was changed."""

    def __init__(self, code: str, message: str, hresult: int = E_INVALIDARG) -> None:
        super().__init__(message)
        self.code = code
        self.hresult = hresult


class Verdict(Exception):
    """What a policy decides. Return one from :meth:`PolicyModule.verify_request`, or raise it."""

    _disposition = 0

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class Issue(Verdict):
    """Issue, with what was set."""

    _disposition = 1


class Pend(Verdict):
    """Keep it for an officer; ``message`` is one line for the requester."""

    _disposition = 0


class Deny(Verdict):
    """Refuse; ``message`` is one line for the requester, ``hresult`` a status of the module's own:
    a failing one, 0x80000000 and up."""

    _disposition = 2

    def __init__(self, message: str = "", hresult: Optional[int] = None) -> None:
        super().__init__(message)
        if hresult is not None:
            if not 0x80000000 <= hresult < 2**32:
                raise ValueError("a failing HRESULT is a number from 0x80000000 to 0xFFFFFFFF")
            self._disposition = hresult - 2**32


class PolicyRequest(Event):
    """One request under decision: everything that can be read about it, and what is set. The
    original's ``ICertServerPolicy``. A read after a set sees the new value."""

    #: Whether it comes for the first time; ``False`` when an officer takes it up again.
    new_request: bool
    #: What the CA's own policy has decided, where the module is chained to it: "issue" or "pend".
    #: The module can only be stricter then.
    default: Optional[str]

    def __init__(self, params: Mapping[str, Any], ask: Optional[_Ask] = None) -> None:
        super().__init__(_member(params, "event", dict), ask)
        self.new_request = _member(params, "new_request", bool)
        default = params.get("default")
        self.default = None
        if isinstance(default, dict):
            self.default = "issue" if default.get("disposition") == 1 else "pend"
        self._certificate = dict(self._certificate)
        self._extensions = dict(self._extensions)
        dates = (self.certificate_property(it, default=None) for it in ("NotBefore", "NotAfter"))
        self._validity: Tuple[Any, ...] = tuple(dates)
        self._set_properties: List[Dict[str, Any]] = []
        self._set_extensions: List[Dict[str, Any]] = []
        self._log: List[Dict[str, str]] = []

    def certificate_property(
        self, name: str, type: Optional[PropType] = None, default: Any = _MISSING
    ) -> Any:
        """A property of the certificate as it would be by now; names of its subject's parts also by
        their short forms and OIDs."""
        known = _part(name) or name
        try:
            return super().certificate_property(known, type)
        except PropertyEmpty:
            if default is _MISSING:
                raise
            return default

    def set_certificate_property(self, name: str, value: Optional[PropertyValue]) -> None:
        """Sets a part of the subject (a text, several values with line feeds between them, or
        ``None`` to take it out), ``NotBefore`` or ``NotAfter`` (a ``datetime``), or writes a line to
        the server's log (``EventLogError`` and its kin).

        Raises :class:`PolicyError`.
        """
        if isinstance(value, bool) or not isinstance(
            value, (str, int, bytes, datetime.datetime, type(None))
        ):
            raise PolicyError("policy-type", f"{name} cannot be a {type(value).__name__}")
        part = _part(name)
        folded = name.lower()
        if part in _PARTS:
            if value is not None:
                _typed(name, value, str)
                _check_part(str(part), str(value))
            self._keep(str(part), value)
        elif folded in _LOG:
            _typed(name, value, str)
            _room(self._log, "lines for the log")
            text = "".join(" " if ord(it) < 32 or 127 <= ord(it) < 160 else it for it in str(value))
            self._log.append({"level": _LOG[folded], "text": text[:_LOG_CHARACTERS_MAX]})
        elif folded in ("notbefore", "notafter"):
            self._set_date("NotBefore" if folded == "notbefore" else "NotAfter", value)
        elif self._policy_name(name) is not None:
            known = str(self._policy_name(name))
            if _POLICY[known] is not None and value is not None:
                _typed(name, value, str)
            self._keep(known, value)
        elif part is not None or re.sub(r"\.(0|[1-9][0-9]*)$", "", folded) in _READ_ONLY:
            raise PolicyError(
                "policy-property-read-only", f"{name} is not for a policy to set", E_ACCESSDENIED
            )
        else:
            raise PolicyError("policy-property-unknown", f"there is no property {name[:64]!r}")

    def set_certificate_extension(
        self, oid: str, value: Optional[PropertyValue], flags: int = 0
    ) -> None:
        """Puts an extension into the certificate: DER as ``bytes``, or an ``int``, a ``str`` or a
        ``datetime`` to be encoded. ``flags`` are those of :class:`Extension`. With
        ``Extension.DISABLED`` it is kept out, and ``None`` stands for the value that is there.

        Raises :class:`PolicyError`.
        """
        if not _OID.fullmatch(oid) or _OID_CHARACTERS_MAX < len(oid):
            raise PolicyError("policy-oid", f"{oid[:64]!r} is no OID of at most 31 characters")
        if oid in _OWNED:
            text = f"extension {oid} ({_OWNED[oid]}) is the engine's own"
            raise PolicyError("policy-extension-owned", text, E_ACCESSDENIED)
        if flags & ~_FLAGS_SETTABLE or flags < 0:
            raise PolicyError("policy-flags", f"flags {flags:#x} of extension {oid} mean nothing")
        _room(self._set_extensions, "extensions")
        there = self._extensions.get(oid)
        if value is None:
            if not flags & Extension.DISABLED:
                raise PolicyError("policy-value", f"extension {oid} has no value")
            if there is None:
                raise PolicyError(
                    "policy-no-extension",
                    f"there is no extension {oid} to disable",
                    CERTSRV_E_PROPERTY_EMPTY,
                )
            encoded, stored = None, there["value"]
        else:
            der = _encoded(oid, value)
            if EXTENSION_BYTES_MAX < len(der):
                raise PolicyError("policy-value", f"extension {oid} is longer than 4096 bytes")
            if not _is_der(der):
                raise PolicyError("policy-value", f"extension {oid} is not one value in DER")
            encoded = stored = base64.b64encode(der).decode("ascii")
        self._extensions[oid] = {"flags": flags | _ORIGIN_POLICY, "value": stored}
        self._set_extensions.append({"oid": oid, "flags": flags, "value": encoded})

    def enable_extension(self, oid: str) -> None:
        """Puts an extension of the request into the certificate as it stands there."""
        if oid not in self._extensions:
            text = f"there is no extension {oid[:64]}"
            raise PolicyError("policy-no-extension", text, CERTSRV_E_PROPERTY_EMPTY)
        there = self.extension(oid)
        self.set_certificate_extension(oid, there.value, there.flags & Extension.CRITICAL)

    def disable_extension(self, oid: str) -> None:
        """Keeps an extension out of the certificate."""
        self.set_certificate_extension(oid, None, Extension.DISABLED)

    def _set_date(self, name: str, value: Optional[PropertyValue]) -> None:
        if not isinstance(value, datetime.datetime):
            kind = "nothing" if value is None else type(value).__name__
            code = "policy-value" if value is None else "policy-type"
            raise PolicyError(code, f"{name} is a datetime, not {kind}")
        if value.tzinfo is None:
            raise PolicyError("policy-value", f"{name} has no time zone")
        moment = value.astimezone(datetime.timezone.utc).replace(microsecond=0)
        before = self.certificate_property("NotBefore", default=None)
        after = self.certificate_property("NotAfter", default=None)
        if moment == (before if name == "NotBefore" else after):
            raise PolicyError("policy-date-unchanged", f"{name} is {moment} already")
        first, last = self._validity
        if (first is not None and moment < first) or (last is not None and last < moment):
            text = f"{name} {moment} lies outside the validity from {first} to {last}"
            raise PolicyError("policy-date-wider", text)
        crosses = (
            after is not None and after < moment
            if name == "NotBefore"
            else before is not None and moment < before
        )
        if crosses:
            raise PolicyError("policy-value", f"{name} leaves no time between the two bounds")
        self._keep(name, moment)

    def _keep(self, name: str, value: Optional[PropertyValue]) -> None:
        _room(self._set_properties, "properties")
        for known in [it for it in self._certificate if it.lower() == name.lower()]:
            del self._certificate[known]
        member = _member_of(value)
        if member is not None:
            self._certificate[name] = member
        self._set_properties.append({"name": name, "value": member})

    @staticmethod
    def _policy_name(name: str) -> Optional[str]:
        plain = re.sub(r"\.(0|[1-9][0-9]*)$", "", name.lower())
        for known in _POLICY:
            if known.lower() == name.lower() or (known == "SEAuditId" and plain == "seauditid"):
                return known
        return None

    def _ruling(self, verdict: Verdict) -> Dict[str, Any]:
        members: Dict[str, Any] = {"disposition": verdict._disposition}
        if verdict.message:
            members["message"] = _one_line(verdict.message)
        changes = {
            "set_properties": self._set_properties,
            "set_extensions": self._set_extensions,
            "log": self._log,
        }
        members.update({name: it for name, it in changes.items() if it})
        return members


class PolicyModule(ExitModule):
    """A policy module. Subclass it, and call :meth:`serve` on an instance.

    One method runs at a time: first :meth:`initialize`, once, then :meth:`verify_request` for each
    request, and last :meth:`shutdown`, once.
    """

    def initialize(self, hello: Any) -> None:  # type: ignore[override]
        """Takes the greeting, with the settings. Raise :class:`Refused` where they cannot be."""

    def verify_request(self, request: PolicyRequest) -> Union[Verdict, Type[Verdict]]:
        """Decides: :class:`Issue`, :class:`Pend` or :class:`Deny`, returned or raised. The same
        request may be asked about again."""
        raise NotImplementedError

    def _verify_request(self, params: Mapping[str, Any], ask: Optional[_Ask]) -> Dict[str, Any]:
        request = PolicyRequest(params, ask)
        try:
            verdict: Any = self.verify_request(request)
        except Verdict as raised:
            verdict = raised
        finally:
            request._settled()
        if isinstance(verdict, type) and issubclass(verdict, Verdict):
            verdict = verdict()
        if not isinstance(verdict, Verdict):
            raise TypeError(f"verify_request returned {verdict!r} and no verdict")
        return request._ruling(verdict)


def _part(name: str) -> Optional[str]:
    """The name property that a name means, also of the whole name, which no policy sets."""
    plain = name.lower()
    if plain.startswith("subject."):
        plain = plain[len("subject.") :]
    elif plain in _ALIASES:
        return _ALIASES[plain]
    for known in (*_PARTS, "DistinguishedName", "RawName"):
        if known.lower() == plain:
            return known
    return None


def _check_part(name: str, text: str) -> None:
    characters_max, is_ascii = _PARTS[name]
    values = text.split("\n")

    def refuse(reason: str) -> PolicyError:
        return PolicyError("policy-value", f"{name} {reason}")

    if _NAME_BYTES_MAX < len(text.encode("utf-8", "replace")):
        raise refuse(f"is longer than {_NAME_BYTES_MAX} bytes")
    if name == "Country" and len(values) != 1:
        raise refuse("has one value")
    if _NAME_VALUES_MAX < len(values):
        raise refuse(f"has more than {_NAME_VALUES_MAX} values")
    for value in values:
        if not value:
            raise refuse("has an empty value; None takes it out")
        if characters_max < len(value):
            raise refuse(f"has more than {characters_max} characters")
        if any(ord(it) < 32 or 127 <= ord(it) < 160 or 0xD800 <= ord(it) < 0xE000 for it in value):
            raise refuse("has control characters")
        if is_ascii and not value.isascii():
            raise refuse("has characters beyond ASCII")
        if name == "Country" and not (len(value) == 2 and value.isalpha()):
            raise refuse("is not two letters")


def _typed(name: str, value: Optional[PropertyValue], kind: Type[Any]) -> None:
    if value is None:
        raise PolicyError("policy-value", f"{name} has no value")
    if not isinstance(value, kind):
        text = f"{name} is a {kind.__name__}, not a {type(value).__name__}"
        raise PolicyError("policy-type", text)


def _room(changes: List[Any], what: str) -> None:
    if CHANGES_MAX <= len(changes):
        text = f"more than {CHANGES_MAX} {what} were set"
        raise PolicyError("policy-too-many", text, E_UNEXPECTED)


def _member_of(value: Optional[PropertyValue]) -> Optional[Dict[str, Any]]:
    """A value as JSON has it."""
    if value is None:
        return None
    if isinstance(value, datetime.datetime):
        return {"date": value.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if isinstance(value, bytes):
        return {"binary": base64.b64encode(value).decode("ascii")}
    if isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise PolicyError("policy-value", "a long has 32 bits")
        return {"long": value}
    return {"string": value}


def _encoded(oid: str, value: PropertyValue) -> bytes:
    """DER of a value, as the original encodes it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        raise PolicyError("policy-type", f"extension {oid} cannot be a bool")
    if isinstance(value, int):
        _member_of(value)
        octets = (value if 0 <= value else ~value).bit_length() // 8 + 1
        return _tlv(0x02, value.to_bytes(octets, "big", signed=True))
    if isinstance(value, str):
        if not value.isascii():
            raise PolicyError("policy-value", f"extension {oid} has characters beyond ASCII")
        return _tlv(0x16, value.encode("ascii"))
    if value.tzinfo is None:
        raise PolicyError("policy-value", f"extension {oid} has no time zone")
    moment = value.astimezone(datetime.timezone.utc)
    if moment.year < 2050:
        return _tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return _tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def _tlv(tag: int, contents: bytes) -> bytes:
    length = len(contents)
    if length < 128:
        return bytes([tag, length]) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + contents


def _is_der(der: bytes) -> bool:
    """Whether it is one value, tag and length and nothing behind."""
    if len(der) < 2 or der[0] & 0x1F == 0x1F:
        return False
    if der[1] < 128:
        return len(der) == 2 + der[1]
    count = der[1] & 0x7F
    if not 1 <= count <= 2 or len(der) < 2 + count or der[2] == 0:
        return False
    length = int.from_bytes(der[2 : 2 + count], "big")
    return 128 <= length and len(der) == 2 + count + length
