//! `exeunt request …`: looking at requests, and what officers do with them.

use exeunt_api::{
    AttributesOrder, Denied, DenyOrder, ExtensionOrder, REQUESTS_PATH, RequestDetail, Revocation,
};
use reqwest::Method;

use crate::cli::{Decide, Door, Request, SetExtension};
use crate::client::ApiClient;
use crate::command::list;
use crate::command::submit::{check_attributes, hand_over};
use crate::failure::Failure;
use crate::output;

/// Largest value of an extension that is read from a file, in bytes: no request may be larger.
const EXTENSION_VALUE_BYTES_MAX: u64 = exeunt_api::REQUEST_BYTES_MAX as u64 / 2;

pub fn run(command: Request) -> Result<u8, Failure> {
    match command {
        Request::List(options) => list::requests(&options),
        Request::Show { id, json, door } => {
            let detail: RequestDetail =
                ApiClient::open(&door)?.get(&format!("{REQUESTS_PATH}/{id}"), &[])?;
            if json {
                output::json(&detail)?;
            } else {
                show(&detail)?;
            }
            Ok(0)
        }
        Request::Approve(options) => decide(&options, "approve"),
        Request::Resubmit(options) => decide(&options, "resubmit"),
        Request::Retrieve(options) => decide(&options, "retrieve"),
        Request::Deny { id, reason, json, door } => deny(id, reason, json, &door),
        Request::SetAttribute { id, attributes, json, door } => {
            check_attributes(&attributes)?;
            let order = AttributesOrder { attributes };
            let path = format!("{REQUESTS_PATH}/{id}/attributes");
            let detail = ApiClient::open(&door)?.change(Method::PUT, &path, &[], Some(&order))?;
            changed(&detail, json)
        }
        Request::SetExtension(options) => set_extension(&options),
    }
}

/// Says on standard error how to see more.
pub fn next_page(next: Option<u64>) {
    if let Some(before) = next {
        eprintln!("More: --before {before}");
    }
}

fn show(detail: &RequestDetail) -> Result<(), Failure> {
    let it = &detail.summary;
    output::fields(&[
        ("Request", it.id.to_string()),
        ("State", it.disposition.word().to_owned()),
        ("Status code", it.status_code.clone()),
        ("Message", it.message.clone()),
        ("Template", it.template.clone()),
        ("Subject", it.subject.clone()),
        ("Requester", it.requester.clone()),
        ("Caller", it.caller.clone()),
        ("Made", made(detail)),
        ("Submitted", it.submitted.clone()),
        ("Resolved", it.resolved.clone().unwrap_or_default()),
        ("Serial", it.serial.clone().unwrap_or_default()),
    ])?;
    if let Some(revocation) = &detail.revocation {
        output::fields(&revocation_fields(revocation))?;
    }
    for approval in &detail.approvals {
        let text = format!("{} at {}", approval.manager, approval.at);
        output::fields(&[("Approved by", text)])?;
    }
    for attribute in &detail.attributes {
        output::fields(&[("Attribute", format!("{}:{}", attribute.name, attribute.value))])?;
    }
    for extension in &detail.officer_extensions {
        let critical = if extension.critical { " critical" } else { "" };
        let disabled = if extension.disabled { " left out" } else { "" };
        let text = format!("{}{critical}{disabled} {}", extension.oid, extension.value);
        output::fields(&[("Officer's extension", text)])?;
    }
    output::write_stdout(detail.request.as_bytes())
}

/// What is special about how the request was made; nothing of an ordinary one.
fn made(detail: &RequestDetail) -> String {
    let mut made = Vec::new();
    if !matches!(detail.format.as_str(), "" | "pkcs10") {
        made.push(format!("in {}", detail.format));
    }
    if detail.on_behalf {
        made.push("by an enrolment agent on behalf of the requester".to_owned());
    }
    if detail.renewed_certificate.is_some() {
        made.push("as a renewal".to_owned());
    }
    if detail.key_archived {
        made.push("its private key is archived".to_owned());
    }
    made.join(", ")
}

/// What people read of a revocation.
pub fn revocation_fields(it: &Revocation) -> [(&'static str, String); 3] {
    let (ordered, reason) = match &it.reason {
        Some(reason) => ("Revoked at", reason.clone()),
        None => ("Released at", String::new()),
    };
    let effective = it.reason.as_ref().map(|_| it.effective.clone()).unwrap_or_default();
    [(ordered, it.ordered.clone()), ("Counts from", effective), ("Reason", reason)]
}

fn decide(options: &Decide, what: &str) -> Result<u8, Failure> {
    let client = ApiClient::open(&options.door)?;
    let answer = client.decide(&format!("{REQUESTS_PATH}/{}/{what}", options.id))?;
    hand_over(answer, options.out.as_deref(), options.json)
}

fn deny(id: u64, reason: Option<String>, json: bool, door: &Door) -> Result<u8, Failure> {
    let order = DenyOrder { reason };
    let path = format!("{REQUESTS_PATH}/{id}/deny");
    let denied: Denied = ApiClient::open(door)?.change(Method::POST, &path, &[], Some(&order))?;
    if json {
        output::json(&denied)?;
    } else {
        output::line(&format!("request {id} is denied"))?;
    }
    Ok(0)
}

fn set_extension(options: &SetExtension) -> Result<u8, Failure> {
    let SetExtension { id, oid, value, critical, disable, json, door } = options;
    let value = match value {
        Some(value) => extension_value(value)?,
        None => String::new(),
    };
    let order = ExtensionOrder { value, critical: *critical, disabled: *disable };
    let plain = |it: char| it.is_ascii_digit() || it == '.';
    if oid.is_empty() || !oid.chars().all(plain) {
        let message = format!("{oid:?}: not an object identifier in dotted form");
        return Err(Failure::usage("usage-extension", message).hint("for example 1.2.3.4"));
    }
    let path = format!("{REQUESTS_PATH}/{id}/extensions/{oid}");
    let detail = ApiClient::open(door)?.change(Method::PUT, &path, &[], Some(&order))?;
    changed(&detail, *json)
}

/// The hexadecimal digits that were typed, or those of a file's octets.
fn extension_value(text: &str) -> Result<String, Failure> {
    let Some(path) = text.strip_prefix('@') else {
        let is_hex = text.len().is_multiple_of(2) && text.chars().all(|it| it.is_ascii_hexdigit());
        if is_hex && !text.is_empty() {
            return Ok(text.to_ascii_lowercase());
        }
        let message = "--value: neither octets in hexadecimal nor @FILE";
        return Err(Failure::usage("usage-extension", message)
            .hint("for example --value 0500, or --value @extension.der"));
    };
    let unreadable = |reason: String| {
        Failure::usage("usage-extension", format!("--value: {path} {reason}"))
            .hint("the file holds the DER of the extension's value, and nothing else")
    };
    let size =
        std::fs::metadata(path).map_err(|err| unreadable(format!("cannot be read: {err}")))?;
    if EXTENSION_VALUE_BYTES_MAX < size.len() {
        return Err(unreadable(format!("is larger than {EXTENSION_VALUE_BYTES_MAX} bytes")));
    }
    let octets = std::fs::read(path).map_err(|err| unreadable(format!("cannot be read: {err}")))?;
    Ok(exeunt_types::hexadecimal(&octets))
}

fn changed(detail: &RequestDetail, json: bool) -> Result<u8, Failure> {
    let shown = if json { output::json(detail) } else { show(detail) };
    shown.map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_an_extension_is_hexadecimal_or_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0x0c, 0x02, 0x68, 0xe9]).unwrap();
        let from_file = format!("@{}", file.path().display());
        assert_eq!(extension_value("0C02").unwrap(), "0c02");
        assert_eq!(extension_value(&from_file).unwrap(), "0c0268e9");
        for bad in ["", "0", "0g", "@", "@/none", "\u{e9}\u{e9}"] {
            assert_eq!(extension_value(bad).unwrap_err().code, "usage-extension", "{bad:?}");
        }
    }
}
