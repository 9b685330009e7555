//! Nanoseconds per stage of issuing one certificate, without the signature:
//! `cargo run --release -p exeunt-x509 --example hot_path [REQUEST.pem]`.

use exeunt_types::{Serial, SignatureScheme};
use exeunt_x509::{
    CertificateFields, CertificationRequest, Extension, GeneralName, Issuer, KeyUsage, Name,
    ObjectIdentifier, assemble_certificate, assemble_request, build_request_info, build_tbs,
    lint_tbs, parse_request,
};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 20_000;
/// 2026-01-01T00:00:00Z.
const NOT_BEFORE: i64 = 1_767_225_600;
const YEAR_S: i64 = 365 * 86_400;
/// As long as most ECDSA signatures on P-256 are.
const SIGNATURE: [u8; 71] = [0x30; 71];
const SCHEME: SignatureScheme = SignatureScheme::EcdsaSha256;

fn main() -> Result<(), Box<dyn Error>> {
    let request_bytes = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => sample_request()?,
    };
    let issuer = sample_issuer()?;
    let request = parse_request(&request_bytes)?;
    let extensions = sample_extensions(&request, &issuer)?;
    let fields = fields(&request, &issuer, &extensions);
    let tbs = build_tbs(&fields)?;
    lint_tbs(&tbs, Some(&issuer)).map_err(|findings| format!("{findings:?}"))?;

    let stages: [(&str, &dyn Fn()); 6] = [
        ("parse_request", &|| {
            let _ = black_box(parse_request(black_box(&request_bytes)));
        }),
        ("extensions", &|| {
            let _ = black_box(sample_extensions(black_box(&request), &issuer));
        }),
        ("build_tbs", &|| {
            let _ = black_box(build_tbs(black_box(&fields)));
        }),
        ("lint_tbs", &|| {
            let _ = black_box(lint_tbs(black_box(&tbs), Some(&issuer)));
        }),
        ("assemble_certificate", &|| {
            black_box(assemble_certificate(black_box(&tbs), SCHEME, &SIGNATURE));
        }),
        ("all of it", &|| {
            let _ = black_box(issue(black_box(&request_bytes), &issuer));
        }),
    ];
    println!("request {} octets, certificate to sign {} octets", request_bytes.len(), tbs.len());
    for (name, stage) in stages {
        // The best of several runs: what the code costs, not what the neighbours do.
        let best = (0..7).map(|_| nanoseconds_per_round(stage)).min().unwrap_or_default();
        println!("{name:>22} {best:>8} ns");
    }
    Ok(())
}

fn nanoseconds_per_round(stage: &dyn Fn()) -> u128 {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        stage();
    }
    start.elapsed().as_nanos() / u128::from(ROUNDS)
}

fn issue(request_bytes: &[u8], issuer: &Issuer) -> Result<Vec<u8>, Box<dyn Error>> {
    let request = parse_request(request_bytes)?;
    let extensions = sample_extensions(&request, issuer)?;
    let tbs = build_tbs(&fields(&request, issuer, &extensions))?;
    lint_tbs(&tbs, Some(issuer)).map_err(|_| "lint")?;
    Ok(assemble_certificate(&tbs, SCHEME, &SIGNATURE))
}

fn fields<'a>(
    request: &'a CertificationRequest,
    issuer: &'a Issuer,
    extensions: &'a [Extension],
) -> CertificateFields<'a> {
    CertificateFields {
        serial: Serial::from_random([0xa5; 16]),
        scheme: SCHEME,
        issuer: issuer.name(),
        subject: request.subject(),
        not_before: NOT_BEFORE,
        not_after: NOT_BEFORE + YEAR_S - 1,
        spki_der: request.spki_der(),
        extensions,
    }
}

fn sample_extensions(
    request: &CertificationRequest,
    issuer: &Issuer,
) -> Result<Vec<Extension>, Box<dyn Error>> {
    let names = request.subject_alternative_names();
    Ok(vec![
        Extension::subject_key_identifier(request.spki_der())?,
        Extension::authority_key_identifier(issuer.key_identifier()),
        Extension::basic_constraints(false, None),
        Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE),
        Extension::extended_key_usage(&[ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1")]),
        Extension::subject_alternative_name(names, request.subject().is_empty()),
        Extension::crl_distribution_points(&["http://ca.example.org/ca.crl".to_owned()]),
        Extension::authority_information_access(&["http://ca.example.org/ca.crt".to_owned()], &[]),
    ])
}

/// A P-256 key by form. Nothing is verified here, so its point need not lie on the curve.
fn sample_spki(fill: u8) -> Vec<u8> {
    let header = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    [&header[..], &[fill; 64]].concat()
}

fn sample_request() -> Result<Vec<u8>, Box<dyn Error>> {
    let subject = Name::parse("CN=www.example.org,O=Example,C=DE")?;
    let names =
        [GeneralName::parse("dns:www.example.org")?, GeneralName::parse("dns:example.org")?];
    let extensions = [Extension::subject_alternative_name(&names, false)];
    let info = build_request_info(&subject, &sample_spki(7), &extensions)?;
    Ok(assemble_request(&info, SCHEME, &SIGNATURE))
}

fn sample_issuer() -> Result<Issuer, Box<dyn Error>> {
    let name = Name::parse("CN=Example Root,O=Example,C=DE")?;
    let spki_der = sample_spki(1);
    let extensions = [
        Extension::basic_constraints(true, None),
        Extension::key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN),
        Extension::subject_key_identifier(&spki_der)?,
    ];
    let tbs = build_tbs(&CertificateFields {
        serial: Serial::from_random([1; 16]),
        scheme: SCHEME,
        issuer: &name,
        subject: &name,
        not_before: NOT_BEFORE,
        not_after: NOT_BEFORE + 10 * YEAR_S,
        spki_der: &spki_der,
        extensions: &extensions,
    })?;
    Ok(Issuer::from_certificate(&assemble_certificate(&tbs, SCHEME, &SIGNATURE))?)
}
