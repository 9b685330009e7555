//! `exeunt cert …`: looking at certificates and revoking them.

use std::path::Path;

use exeunt_api::{
    CERTIFICATES_PATH, CertificateDetail, Disposition, PublishExpiredOrder, REQUESTS_PATH,
    RequestDetail, RevokeOrder, Revoked,
};
use exeunt_types::Serial;
use exeunt_x509::{decode_pem_or_der, parse_certificate};
use reqwest::Method;

use crate::cli::{BulkOptions, Cert, OnOff, PublishExpired, Revoke, Unrevoke, WhichCertificate};
use crate::client::ApiClient;
use crate::command::cert_bulk::{self, Action};
use crate::command::request::revocation_fields;
use crate::command::{cert_import, list};
use crate::failure::Failure;
use crate::output;

pub fn run(command: Cert) -> Result<u8, Failure> {
    match command {
        Cert::List(options) => list::certificates(&options),
        Cert::Show { serial, json, door } => {
            let serial = typed_serial(&serial)?;
            let detail: CertificateDetail =
                ApiClient::open(&door)?.get(&format!("{CERTIFICATES_PATH}/{serial}"), &[])?;
            if json {
                output::json(&detail)?;
            } else {
                show(&detail)?;
            }
            Ok(0)
        }
        Cert::Revoke(options) => revoke(&options),
        Cert::Unrevoke(options) => unrevoke(&options),
        Cert::Import(options) => cert_import::run(&options),
        Cert::PublishExpired(options) => publish_expired(&options),
    }
}

fn typed_serial(text: &str) -> Result<Serial, Failure> {
    // openssl x509 -text puts colons between the octets.
    Serial::from_hex(&text.replace(':', "")).map_err(|err| {
        Failure::usage("usage-serial", format!("{text:?}: {err}"))
            .hint("copy it from: exeunt cert list")
            .hint("of its first digits alone: exeunt cert list --serial DIGITS")
    })
}

fn revoke(options: &Revoke) -> Result<u8, Failure> {
    let Revoke { which, bulk, reason, effective, json, door } = options;
    let client = ApiClient::open(door)?;
    let effective = Some(effective.clone()).filter(|it| it != "now");
    let action = Action::Revoke(*reason, effective.clone());
    let serial = match one(&client, which, bulk, &action, *json)? {
        One::Serial(serial) => serial,
        One::Done(status) => return Ok(status),
    };
    let order = RevokeOrder { reason: Some(reason.word().to_owned()), effective };
    let path = format!("{CERTIFICATES_PATH}/{serial}/revoke");
    let revoked: Revoked = client.change(Method::POST, &path, &[], Some(&order))?;
    if *json {
        output::json(&revoked)?;
        return Ok(0);
    }
    let counts = revoked.revocation.map(|it| it.effective).unwrap_or_default();
    let reason = reason.word();
    output::line(&format!("certificate {serial} is revoked: {reason}, counts from {counts}"))?;
    output::line("relying parties learn it from the next revocation list: exeunt crl publish")?;
    Ok(0)
}

fn unrevoke(options: &Unrevoke) -> Result<u8, Failure> {
    let Unrevoke { which, bulk, json, door } = options;
    let client = ApiClient::open(door)?;
    let serial = match one(&client, which, bulk, &Action::Release, *json)? {
        One::Serial(serial) => serial,
        One::Done(status) => return Ok(status),
    };
    let path = format!("{CERTIFICATES_PATH}/{serial}/unrevoke");
    let released: Revoked = client.change(Method::POST, &path, &[], None::<&()>)?;
    if *json {
        output::json(&released)?;
        return Ok(0);
    }
    output::line(&format!("certificate {serial} is released from hold"))?;
    output::line("relying parties learn it from the next revocation list: exeunt crl publish")?;
    Ok(0)
}

fn publish_expired(options: &PublishExpired) -> Result<u8, Failure> {
    let PublishExpired { serial, stays, json, door } = options;
    let serial = typed_serial(serial)?;
    let order = PublishExpiredOrder { publish_expired: *stays == OnOff::On };
    let path = format!("{CERTIFICATES_PATH}/{serial}/publish-expired");
    let changed: Revoked = ApiClient::open(door)?.change(Method::POST, &path, &[], Some(&order))?;
    if *json {
        output::json(&changed)?;
        return Ok(0);
    }
    let not = if order.publish_expired { "stays" } else { "does not stay" };
    output::line(&format!(
        "certificate {serial}, once revoked, {not} in lists after its validity"
    ))?;
    Ok(0)
}

/// Whether one certificate is meant, or it was many and all is done.
enum One {
    Serial(Serial),
    /// With that exit status.
    Done(u8),
}

/// The one certificate that is meant; of many, all are changed.
fn one(
    client: &ApiClient,
    which: &WhichCertificate,
    bulk: &BulkOptions,
    action: &Action,
    json: bool,
) -> Result<One, Failure> {
    if !bulk.filters.is_empty() {
        let done = cert_bulk::by_filter(client, &bulk.filters, action, bulk, json);
        return done.map(One::Done);
    }
    if let Some(path) = &which.file {
        let certificates = cert_import::certificates(path)?;
        if let [der] = certificates.as_slice() {
            return serial_of(client, path, der).map(One::Serial);
        }
        let done = cert_bulk::by_file(client, &certificates, action, bulk, json);
        return done.map(One::Done);
    }
    serial(client, which).map(One::Serial)
}

/// The serial number of the certificate that is named by itself or by its request.
fn serial(client: &ApiClient, which: &WhichCertificate) -> Result<Serial, Failure> {
    let WhichCertificate { serial, file: _, request } = which;
    if let Some(serial) = serial {
        return typed_serial(serial);
    }
    let Some(request) = request else {
        return Err(Failure::usage("usage-serial", "no certificate is named")
            .hint("give SERIAL, --request ID or --file CERT"));
    };
    let detail: RequestDetail = client.get(&format!("{REQUESTS_PATH}/{request}"), &[])?;
    let state = detail.summary.disposition;
    if state == Disposition::Foreign {
        // Its number is its issuer's, and may be that of another certificate here.
        let message = format!("request {request} is foreign: another CA issued its certificate");
        return Err(Failure::new("wrong-state", message).hint("only its issuer can revoke it"));
    }
    let Some(serial) = detail.summary.serial else {
        let message = format!("request {request} is {} and has no certificate", state.word());
        return Err(Failure::new("certificate-none", message)
            .hint(format!("look at it: exeunt request show {request}")));
    };
    typed_serial(&serial)
}

/// The serial number of a certificate in a file, if it is one of this CA.
fn serial_of(client: &ApiClient, path: &Path, der: &[u8]) -> Result<Serial, Failure> {
    let shown = path.display();
    let certificate = parse_certificate(der).map_err(|err| {
        let message = format!("{shown} is no certificate: {err}");
        Failure::new("certificate-unreadable", message).hint("give a certificate, PEM or DER")
    })?;
    let serial = certificate.serial();
    // Another CA may have used the same number.
    let ours: CertificateDetail = client.get(&format!("{CERTIFICATES_PATH}/{serial}"), &[])?;
    let ours = decode_pem_or_der(ours.certificate.as_bytes(), &["CERTIFICATE"]);
    if ours.is_ok_and(|it| it == der) {
        return Ok(serial);
    }
    let message =
        format!("{shown} has the serial number of a certificate of this CA, but is not it");
    Err(Failure::new("certificate-differs", message).hint("was it issued by another CA?"))
}

fn show(detail: &CertificateDetail) -> Result<(), Failure> {
    let it = &detail.summary;
    output::fields(&[
        ("Serial", it.serial.clone()),
        ("Request", it.request_id.to_string()),
        ("Subject", it.subject.clone()),
        ("Names", it.subject_alternative_names.clone()),
        ("Key", it.key_type.clone()),
        ("Template", it.template.clone()),
        ("Valid from", it.not_before.clone()),
        ("Valid until", it.not_after.clone()),
        ("Issued", it.issued.clone()),
        ("Event", it.event.to_string()),
        ("State", detail.disposition.map(|it| it.word().to_owned()).unwrap_or_default()),
    ])?;
    if let Some(revocation) = &detail.revocation {
        output::fields(&revocation_fields(revocation))?;
    }
    output::write_stdout(detail.certificate.as_bytes())
}
