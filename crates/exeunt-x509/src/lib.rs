//! Bytes in, bytes out: requests in PKCS #10, PKCS #7 and CMC, X.509 certificates, lints, revocation
//! lists, OCSP.
//!
//! No key, no clock, no I/O, no randomness: what is signed is handed out as bytes, and times and
//! serials come in as arguments. A certificate is made in four steps: [`parse_request`],
//! [`build_tbs`], [`lint_tbs`], [`assemble_certificate`]. The lint reads the built bytes anew and
//! knows nothing of the builder.

mod algorithm;
mod certificate;
mod cmc;
mod cms;
mod crl;
mod extension;
mod general_name;
mod lint;
mod name;
mod name_text;
mod ocsp;
mod oid;
mod other_name;
mod pem;
mod purpose;
mod request;
mod tbs;
mod time;
mod tlv;
mod value;
mod write;

pub use algorithm::{
    KeyError, PublicKeyParts, RSA_BITS_MAX, RSA_BITS_MIN, RSA_EXPONENT_BITS_MAX, key_algorithm,
    key_identifier, public_key_parts,
};
pub use certificate::{
    CERTIFICATE_BYTES_MAX, Certificate, CertificateError, Issuer, certificate_hash,
    parse_certificate,
};
pub use cmc::{
    BroughtKey, CONTROL_COUNT_MAX, CmcFailure, CmcStatus, ECHO_BYTES_MAX, FullResponse,
    LAYER_ATTRIBUTE_COUNT_MAX, SIGNED_LAYER_COUNT_MAX, SUBMISSION_BYTES_MAX,
    SUBMISSION_PEM_BYTES_MAX, SignedLayer, SubmissionError, SubmittedRequest,
    build_archival_request, build_full_response, parse_submission,
};
pub use cms::bag::{
    CERTIFICATE_BAG_BYTES_MAX, CERTIFICATE_BAG_COUNT_MAX, CERTIFICATE_FILE_BYTES_MAX,
    certificates_in, many_certificates_in,
};
pub use cms::build::{UnsignedMessage, build_certs_only};
pub use cms::data::{
    SIGNED_TEXT_BYTES_MAX, SignedText, SignedTextError, build_signed_text, parse_signed_text,
};
pub use cms::enveloped::{
    ENVELOPE_BYTES_MAX, Envelope, EnvelopeError, RECIPIENT_COUNT_MAX, Recipient, parse_envelope,
};
pub use cms::{
    DigestAlgorithm, MESSAGE_CERTIFICATE_COUNT_MAX, SIGNED_ATTRIBUTE_COUNT_MAX, SIGNER_COUNT_MAX,
    Signer, SignerIdentifier, SignerKey,
};
pub use const_oid::ObjectIdentifier;
pub use crl::entry::{CrlLengths, RevokedEntry};
pub use crl::read::{Crl, CrlEntries, parse_crl};
pub use crl::write::{CrlFields, CrlFrame, CrlWriter, TbsFrame, frame_crl, frame_tbs};
pub use crl::{
    CRL_BYTES_MAX, CRL_PEM_LABEL, CRL_URI_COUNT_MAX, CaVersion, CrlBuildError, CrlError, CrlScope,
    IssuingDistributionPoint,
};
pub use extension::{EXTENSION_COUNT_MAX, Extension, KeyUsage};
pub use general_name::{
    DNS_LABEL_BYTES_MAX, DNS_NAME_BYTES_MAX, EMAIL_BYTES_MAX, GeneralName, GeneralNameError,
    SAN_COUNT_MAX, URI_BYTES_MAX,
};
pub use lint::{Finding, lint_tbs};
pub use name::{NAME_ATTRIBUTE_COUNT_MAX, NAME_BYTES_MAX, Name, NameError, is_deceptive};
pub use ocsp::request::{CertId, OcspRequest, parse_ocsp_request};
pub use ocsp::response::{
    CertStatus, OcspFields, OcspRefusal, SingleResponse, assemble_ocsp_response,
    build_ocsp_response_data, refuse_ocsp,
};
pub use ocsp::{
    OCSP_NONCE_BYTES_MAX, OCSP_REQUEST_BYTES_MAX, OCSP_REQUEST_COUNT_MAX, OcspBuildError,
    OcspRequestError,
};
pub use other_name::{SID_BYTES_MAX, UPN_BYTES_MAX, is_sid};
pub use pem::{PemError, decode_pem_or_der, encode_pem};
pub use purpose::{CA_EXCHANGE, ENROLLMENT_AGENT, KEY_RECOVERY_AGENT};
pub use request::{
    ATTRIBUTE_COUNT_MAX, CertificationRequest, ENROLLMENT_NAME_LENGTH_MAX,
    ENROLLMENT_VALUE_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_PEM_BYTES_MAX, RequestError,
    assemble_request, build_request_info, parse_request,
};
pub use tbs::{BuildError, CertificateFields, assemble_certificate, build_tbs};
pub use time::time_text;
pub use tlv::NESTING_DEPTH_MAX;
pub use value::{alternative_names_in, key_usage_in, purposes_in};
