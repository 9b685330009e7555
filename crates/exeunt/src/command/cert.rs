//! `exeunt cert list|show`.

use exeunt_api::{CERTIFICATES_PATH, CertificateDetail, CertificatePage, CertificateSummary};
use exeunt_types::Serial;

use crate::cli::{Cert, List};
use crate::client::ApiClient;
use crate::command::request::{next_page, page_query};
use crate::failure::Failure;
use crate::output;

pub fn run(command: Cert) -> Result<u8, Failure> {
    match command {
        Cert::List(options) => list(&options),
        Cert::Show { serial, json, door } => {
            let serial = Serial::from_hex(&serial).map_err(|err| {
                Failure::usage("usage-serial", format!("{serial:?}: {err}"))
                    .hint("copy it from: exeunt cert list")
            })?;
            let detail: CertificateDetail =
                ApiClient::open(&door)?.get(&format!("{CERTIFICATES_PATH}/{serial}"), &[])?;
            if json {
                output::json(&detail)?;
            } else {
                show(&detail)?;
            }
            Ok(0)
        }
    }
}

fn list(options: &List) -> Result<u8, Failure> {
    let page: CertificatePage =
        ApiClient::open(&options.door)?.get(CERTIFICATES_PATH, &page_query(options))?;
    if options.json {
        output::json(&page)?;
        return Ok(0);
    }
    let row = |it: &CertificateSummary| {
        vec![
            it.serial.clone(),
            it.request_id.to_string(),
            it.not_after.clone(),
            it.template.clone(),
            it.subject.clone(),
        ]
    };
    let rows = page.certificates.iter().map(row).collect();
    output::table(&["SERIAL", "REQUEST", "VALID UNTIL", "TEMPLATE", "SUBJECT"], rows)?;
    next_page(page.next_before);
    Ok(0)
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
    ])?;
    output::write_stdout(detail.certificate.as_bytes())
}
