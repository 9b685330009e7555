"""Second opinions in Python: pkilint on certificates, CRLs and OCSP, pyca/cryptography on keys.

Called with a function's name; takes one JSON object on standard input and prints one.
"""

import base64
import json
import sys


class Refused(Exception):
    """A verdict, as opposed to a fault of this script."""


def linters():
    from pkilint import loader, pkix
    from pkilint.pkix import certificate, crl, extension, name, ocsp

    # What lint_pkix_cert, lint_crl and lint_ocsp_response set up (profile PKIX), once for all documents.
    certificates = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
    crls = crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )
    responses = ocsp.create_pkix_ocsp_response_validator_container(
        [
            ocsp.create_response_decoder(),
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [],
    )
    return {
        "CERTIFICATE": (loader.RFC5280CertificateDocumentLoader(), certificates),
        "OCSP RESPONSE": (loader.RFC6960OCSPResponseDocumentLoader(), responses),
        "X509 CRL": (loader.RFC5280CertificateListDocumentLoader(), crls),
    }


def lint(argument):
    """Gives one line for each finding of WARNING or worse in any of the documents."""
    from pkilint.validation import ValidationFindingSeverity as Severity

    known = linters()
    findings = []
    for document in argument["documents"]:
        title, pem = document["name"], document["pem"].strip()
        label = pem.partition("-----BEGIN ")[2].partition("-----")[0]
        loader, validators = known[label]
        try:
            parsed = loader.load_pem_document(pem, title)
            results = list(validators.validate(parsed.root))
        except ValueError as err:
            findings.append(f"{title}: FATAL unreadable: {err}")
            continue
        for result in results:
            for it in result.finding_descriptions:
                if it.finding.severity <= Severity.WARNING:
                    severity, code = it.finding.severity.name, it.finding.code
                    line = f"{title}: {severity} {code} at {result.node.path}"
                    findings.append(f"{line}: {it.message}" if it.message else line)
    return findings


def octets(value):
    return base64.b64decode(value)


def text(value):
    return base64.b64encode(value).decode("ascii")


def spki(public_key):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return text(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def ml_dsa_key(parameter_set):
    from cryptography.hazmat.primitives.asymmetric import mldsa

    return getattr(mldsa, f"MLDSA{parameter_set}PrivateKey").generate()


def ml_dsa_verify(argument):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(octets(argument["spki"]))
    try:
        key.verify(octets(argument["signature"]), octets(argument["message"]))
    except InvalidSignature as err:
        raise Refused("the signature is not valid") from err


def ml_dsa_sign(argument):
    key = ml_dsa_key(argument["parameter_set"])
    signature = key.sign(octets(argument["message"]))
    return {"spki": spki(key.public_key()), "signature": text(signature)}


def issued_by(argument):
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    certificate = x509.load_pem_x509_certificate(argument["certificate"].encode())
    issuer = x509.load_pem_x509_certificate(argument["issuer"].encode())
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature as err:
        raise Refused("the signature is not valid") from err
    except (ValueError, TypeError) as err:
        raise Refused(str(err)) from err


def crl_issued_by(argument):
    from cryptography import x509

    crl = x509.load_pem_x509_crl(argument["crl"].encode())
    issuer = x509.load_pem_x509_certificate(argument["issuer"].encode())
    if crl.issuer != issuer.subject:
        raise Refused("the issuer's name differs")
    if not crl.is_signature_valid(issuer.public_key()):
        raise Refused("the signature is not valid")


def public_key(argument):
    """Opens a private key in PEM and gives its public half."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    passphrase = argument["passphrase"]
    password = passphrase.encode() if passphrase is not None else None
    try:
        key = load_pem_private_key(argument["pem"].encode(), password)
    except (ValueError, TypeError) as err:
        raise Refused(str(err)) from err
    return spki(key.public_key())


def ml_dsa_request(argument):
    """Gives a PKCS#10 and its key; the subject is a list of pairs, the SAN one of pairs too."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import NameOID

    types = {
        "C": NameOID.COUNTRY_NAME,
        "CN": NameOID.COMMON_NAME,
        "L": NameOID.LOCALITY_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "ST": NameOID.STATE_OR_PROVINCE_NAME,
        "emailAddress": NameOID.EMAIL_ADDRESS,
    }
    kinds = {
        "DNS": x509.DNSName,
        "IP": lambda value: x509.IPAddress(ipaddress.ip_address(value)),
        "URI": x509.UniformResourceIdentifier,
        "email": x509.RFC822Name,
    }
    key = ml_dsa_key(argument["parameter_set"])
    subject = [x509.NameAttribute(types[kind], value) for kind, value in argument["subject"]]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    names = [kinds[kind](value) for kind, value in argument["san"]]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    request = builder.sign(key, None)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {"request": request.public_bytes(Encoding.PEM).decode(), "key": private.decode()}


FUNCTIONS = {
    it.__name__: it
    for it in (
        lint,
        ml_dsa_verify,
        ml_dsa_sign,
        issued_by,
        crl_issued_by,
        public_key,
        ml_dsa_request,
    )
}

if __name__ == "__main__":
    try:
        answer = {"ok": FUNCTIONS[sys.argv[1]](json.load(sys.stdin))}
    except Refused as refused:
        answer = {"refused": str(refused)}
    json.dump(answer, sys.stdout)
