"""PKIData and PKIResponse by pyasn1, an implementation that knows nothing of ours.

A test appends one expression to this file and takes what it gives as the answer.
"""

import hashlib
import sys

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import char, univ
from pyasn1_alt_modules import rfc5280, rfc5652, rfc6402

CMC = "1.3.6.1.5.5.7.7."


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sequence(*parts):
    return bytes(encode(filled(univ.Sequence(), parts)))


def filled(holder, parts):
    for place, part in enumerate(parts):
        holder.setComponentByPosition(place, part if hasattr(part, "tagSet") else univ.Any(part))
    return holder


def integer(number):
    return bytes(encode(univ.Integer(number)))


def octets(value):
    return bytes(encode(univ.OctetString(value)))


def utf8(text):
    return bytes(encode(char.UTF8String(text)))


def pair(name, value):
    """Microsoft's EnrollmentNameValuePair."""
    return sequence(char.BMPString(name), char.BMPString(value))


def attribute(oid, *values):
    return sequence(univ.ObjectIdentifier(oid), filled(univ.SetOf(), values))


def add_attributes(holder, references, *attributes):
    """Microsoft's CmcAddAttributes."""
    references = filled(univ.Sequence(), map(integer, references))
    return sequence(univ.Integer(holder), references, filled(univ.SetOf(), attributes))


def add_extensions(holder, references, *extensions):
    found = rfc6402.AddExtensions()
    found["pkiDataReference"] = holder
    found["certReferences"].extend(references)
    for oid, critical, value in extensions:
        extension = rfc5280.Extension()
        extension["extnID"] = univ.ObjectIdentifier(oid)
        extension["critical"] = critical
        extension["extnValue"] = value
        found["extensions"].append(extension)
    return bytes(encode(found))


def control(number, oid, *values):
    found = rfc6402.TaggedAttribute()
    found["bodyPartID"] = number
    found["attrType"] = univ.ObjectIdentifier(oid)
    found["attrValues"].extend(values)
    return found


def tcr(number, request):
    found = rfc6402.TaggedRequest()
    found["tcr"]["bodyPartID"] = number
    found["tcr"]["certificationRequest"] = decode(
        request, asn1Spec=rfc6402.CertificationRequest()
    )[0]
    return found


def with_attribute(request, oid, *values):
    """What has to be signed of a request when an attribute is added."""
    found = decode(request, asn1Spec=rfc6402.CertificationRequest())[0]["certificationRequestInfo"]
    attribute = rfc5652.Attribute()
    attribute["attrType"] = univ.ObjectIdentifier(oid)
    attribute["attrValues"].extend(values)
    found["attributes"].append(attribute)
    return bytes(encode(found))


def with_unsigned(signed, oid, value):
    """A signed message with an attribute of its first signer that is not signed."""
    info = decode(signed, asn1Spec=rfc5652.ContentInfo())[0]
    data = decode(info["content"], asn1Spec=rfc5652.SignedData())[0]
    attribute = rfc5652.Attribute()
    attribute["attrType"] = univ.ObjectIdentifier(oid)
    attribute["attrValues"].append(value)
    data["signerInfos"][0]["unsignedAttrs"].append(attribute)
    info["content"] = bytes(encode(data))
    return bytes(encode(info))


def orm(number, oid, value):
    found = rfc6402.TaggedRequest()
    found["orm"]["bodyPartID"] = number
    found["orm"]["requestMessageType"] = univ.ObjectIdentifier(oid)
    found["orm"]["requestMessageValue"] = value
    return found


def crm():
    found = rfc6402.TaggedRequest()
    found["crm"]["certReq"]["certReqId"] = 1
    found["crm"]["certReq"]["certTemplate"]["version"] = 2
    return found


def message(number, der):
    found = rfc6402.TaggedContentInfo()
    found["bodyPartID"] = number
    found["contentInfo"] = decode(der, asn1Spec=rfc5652.ContentInfo())[0]
    return found


def other(number, oid, value):
    found = rfc6402.OtherMsg()
    found["bodyPartID"] = number
    found["otherMsgType"] = univ.ObjectIdentifier(oid)
    found["otherMsgValue"] = value
    return found


def pki_data(controls=(), requests=(), messages=(), others=()):
    found = rfc6402.PKIData()
    for name, parts in [
        ("controlSequence", controls),
        ("reqSequence", requests),
        ("cmsSequence", messages),
        ("otherMsgSequence", others),
    ]:
        found[name].extend(parts)
        if not parts:
            found[name].clear()
    return bytes(encode(found))


def signed_data(content_type, content, signers=(), certificates=()):
    found = rfc5652.SignedData()
    found["version"] = 3
    found["digestAlgorithms"].clear()
    found["encapContentInfo"]["eContentType"] = univ.ObjectIdentifier(content_type)
    found["encapContentInfo"]["eContent"] = content
    for der in certificates:
        choice = rfc5652.CertificateChoices()
        choice["certificate"] = decode(der, asn1Spec=rfc5280.Certificate())[0]
        found["certificates"].append(choice)
    found["signerInfos"].clear()
    found["signerInfos"].extend(signers)
    info = rfc5652.ContentInfo()
    info["contentType"] = rfc5652.id_signedData
    info["content"] = encode(found)
    return bytes(encode(info))


def no_signature(content_type, content):
    """The no-signature mechanism, with SHA-1, as Windows writes it."""
    digest = hashlib.sha1(content).digest()
    signer = rfc5652.SignerInfo()
    signer["version"] = 3
    signer["sid"]["subjectKeyIdentifier"] = b"nobody"
    signer["digestAlgorithm"]["algorithm"] = univ.ObjectIdentifier("1.3.14.3.2.26")
    for oid, value in [
        ("1.2.840.113549.1.9.3", encode(univ.ObjectIdentifier(content_type))),
        ("1.2.840.113549.1.9.4", octets(digest)),
    ]:
        attribute = rfc5652.Attribute()
        attribute["attrType"] = univ.ObjectIdentifier(oid)
        attribute["attrValues"].append(value)
        signer["signedAttrs"].append(attribute)
    signer["signatureAlgorithm"]["algorithm"] = rfc6402.id_alg_noSignature
    signer["signatureAlgorithm"]["parameters"] = encode(univ.Null(""))
    signer["signature"] = digest
    return signer


def shown(value):
    """What a test compares: digits, hex, text."""
    if isinstance(value, rfc6402.CMCStatusInfoV2):
        status = [value["cMCStatus"].prettyPrint()]
        for reference in value["bodyList"]:
            part = reference.getComponent()
            status.append(shown(part) if isinstance(part, univ.Integer) else ".".join(map(shown, part)))
        if value["statusString"].isValue:
            status.append(str(value["statusString"]))
        if value["otherInfo"].isValue:
            found = value["otherInfo"].getComponent()
            if isinstance(found, rfc6402.PendInfo):
                status += [bytes(found["pendToken"]).hex(), str(found["pendTime"])]
            else:
                status.append(found.prettyPrint())
        return " ".join(status)
    if isinstance(value, univ.Integer):
        return str(int(value))
    return bytes(value).hex()


def response(der):
    """One line for each control: number, last arc, values."""
    found, rest = decode(der, asn1Spec=rfc6402.PKIResponse())
    assert not rest and not len(found["cmsSequence"]) and not len(found["otherMsgSequence"])
    assert bytes(encode(found)) == der
    lines = []
    for one in found["controlSequence"]:
        oid = str(one["attrType"])
        kind = rfc6402.cmcControlAttributesMap[one["attrType"]]
        values = [shown(decode(bytes(it), asn1Spec=kind)[0]) for it in one["attrValues"]]
        lines.append(" ".join([str(one["bodyPartID"]), oid.removeprefix(CMC), *values]))
    return "\n".join(lines).encode()


SCHEMES = {
    "1.2.840.10045.4.3.2": ("2.16.840.1.101.3.4.2.1", hashlib.sha256),
    # A contradiction: ECDSA with SHA-384.
    "1.2.840.10045.4.3.3": ("2.16.840.1.101.3.4.2.1", hashlib.sha256),
    "1.2.840.10045.2.1": ("2.16.840.1.101.3.4.2.1", hashlib.sha256),
    "1.3.101.112": ("2.16.840.1.101.3.4.2.3", hashlib.sha512),
}


def signer(scheme, certificate, content_type, content, attributes, signature=b""):
    """A signer by a scheme of the test's own choice, with signed attributes of its own."""
    digest, hashed = SCHEMES[scheme]
    found = rfc5652.SignerInfo()
    tbs = decode(certificate, asn1Spec=rfc5280.Certificate())[0]["tbsCertificate"]
    found["version"] = 1
    found["sid"]["issuerAndSerialNumber"]["issuer"] = tbs["issuer"]
    found["sid"]["issuerAndSerialNumber"]["serialNumber"] = tbs["serialNumber"]
    found["digestAlgorithm"]["algorithm"] = univ.ObjectIdentifier(digest)
    for oid, value in [
        ("1.2.840.113549.1.9.3", encode(univ.ObjectIdentifier(content_type))),
        ("1.2.840.113549.1.9.4", octets(hashed(content).digest())),
        *attributes,
    ]:
        attribute = rfc5652.Attribute()
        attribute["attrType"] = univ.ObjectIdentifier(oid)
        attribute["attrValues"].append(value)
        found["signedAttrs"].append(attribute)
    found["signatureAlgorithm"]["algorithm"] = univ.ObjectIdentifier(scheme)
    found["signature"] = signature
    return found


def signed_attributes(signer):
    """What is signed: the same as a SET OF of its own."""
    found = univ.SetOf(componentType=rfc5652.Attribute())
    found.extend(signer["signedAttrs"])
    return bytes(encode(found))


def signed_by(key, certificate, content_type, content, *attributes):
    """A message with signed attributes of the signer's own, by pyca/cryptography and P-256."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    scheme = "1.2.840.10045.4.3.2"
    bare = signer(scheme, certificate, content_type, content, attributes)
    made = load_pem_private_key(key, None).sign(signed_attributes(bare), ECDSA(SHA256()))
    whole = signer(scheme, certificate, content_type, content, attributes, made)
    return signed_data(content_type, content, [whole], [certificate])
