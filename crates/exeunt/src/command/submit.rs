//! `exeunt submit`.

use std::io::Read as _;
use std::path::Path;

use exeunt_api::{
    CERTS_ONLY_MEDIA_TYPE, CMC_RESPONSE_MEDIA_TYPE, Disposition, REQUEST_BYTES_MAX, SubmitAnswer,
};

use crate::cli::{ResponseForm, Submit};
use crate::client::{ApiClient, CmsAnswer};
use crate::command::archive::enclose;
use crate::command::trial;
use crate::failure::{Failure, STATUS_FAILED, STATUS_PENDING};
use crate::output;

pub fn run(options: &Submit) -> Result<u8, Failure> {
    check_attributes(&options.attribute)?;
    let client = ApiClient::open(&options.door)?;
    let client = client.with_idempotency_key(options.idempotency_key.clone());
    let mut request = read_request(options)?;
    if let Some(key) = &options.archive_key {
        request = enclose(&client, &request, key, options.key_passphrase_file.as_deref())?;
    }
    let (attributes, template) = (&options.attribute, options.template.as_deref());
    if options.dry_run {
        return trial::tell(&client.try_out(request, attributes, template)?, options.json);
    }
    let accept = match options.response {
        ResponseForm::Pem => {
            let answer = client.submit(request, attributes, template)?;
            return hand_over(answer, options.out.as_deref(), options.json);
        }
        ResponseForm::P7b => CERTS_ONLY_MEDIA_TYPE,
        ResponseForm::Cmc => CMC_RESPONSE_MEDIA_TYPE,
    };
    match client.submit_for_cms(request, attributes, template, accept)? {
        CmsAnswer::None(answer) => hand_over(answer, None, options.json),
        CmsAnswer::Message { octets, request, disposition } => {
            hand_over_message(&octets, (&request, &disposition), options.out.as_deref())
        }
    }
}

/// Writes the message where it is wanted, whatever it says, and tells in short what that is.
fn hand_over_message(
    octets: &[u8],
    (request, disposition): (&str, &str),
    out: Option<&Path>,
) -> Result<u8, Failure> {
    let request = if request.is_empty() { "request" } else { &format!("request {request}") };
    let summary = crate::failure::plain(&format!("{request} {disposition}"));
    match out {
        None => {
            eprintln!("{summary}");
            output::write_stdout(octets)?;
        }
        Some(path) => {
            std::fs::write(path, octets).map_err(|err| {
                let message = format!("{} cannot be written: {err}", path.display());
                Failure::new("out-not-written", message)
                    .hint("what was decided stands: exeunt request list")
            })?;
            output::line(&summary)?;
            output::line(&format!("answer written to {}", path.display()))?;
        }
    }
    Ok(match disposition {
        "issued" => 0,
        "pending" => STATUS_PENDING,
        _ => STATUS_FAILED,
    })
}

/// Attributes as they are typed.
///
/// # Errors
///
/// One that is none.
pub fn check_attributes(attributes: &[String]) -> Result<(), Failure> {
    let is_none = |it: &&String| it.contains(['\r', '\n']) || !it.contains(':');
    match attributes.iter().find(is_none) {
        None => Ok(()),
        Some(attribute) => {
            let message = format!("attribute {attribute:?}: not NAME:VALUE");
            Err(Failure::usage("usage-attribute", message)
                .hint("for example CertificateTemplate:tls-server"))
        }
    }
}

/// Writes the certificate where it is wanted, and says what became of the request. The number is the
/// exit status.
///
/// # Errors
///
/// A file or an output that cannot be written; a denial, where no JSON is wanted.
pub fn hand_over(answer: SubmitAnswer, out: Option<&Path>, json: bool) -> Result<u8, Failure> {
    if let (Some(path), Some(certificate)) = (out, &answer.certificate) {
        std::fs::write(path, certificate).map_err(|err| {
            let message = format!("{} cannot be written: {err}", path.display());
            Failure::new("out-not-written", message).hint(format!(
                "the certificate is issued all the same: exeunt cert show {}",
                answer.serial.as_deref().unwrap_or_default()
            ))
        })?;
    }
    if json {
        output::json(&answer)?;
        return Ok(match answer.disposition {
            Disposition::Issued => 0,
            Disposition::Pending => STATUS_PENDING,
            _ => STATUS_FAILED,
        });
    }
    tell(out, answer)
}

fn tell(out: Option<&Path>, answer: SubmitAnswer) -> Result<u8, Failure> {
    let request = answer.request_id;
    match answer.disposition {
        state @ (Disposition::Issued | Disposition::Revoked) => {
            let subject = answer.subject.filter(|it| !it.is_empty());
            let summary = format!(
                "request {request} {}: serial {}, {}, valid until {}",
                state.word(),
                answer.serial.unwrap_or_default(),
                subject.as_deref().unwrap_or("no subject"),
                answer.not_after.unwrap_or_default(),
            );
            match (out, answer.certificate) {
                (Some(path), _) => {
                    output::line(&summary)?;
                    output::line(&format!("certificate written to {}", path.display()))?;
                }
                (None, certificate) => {
                    eprintln!("{}", crate::failure::plain(&summary));
                    output::write_stdout(certificate.unwrap_or_default().as_bytes())?;
                }
            }
            Ok(if state == Disposition::Issued { 0 } else { STATUS_FAILED })
        }
        Disposition::Pending => {
            output::line(&format!(
                "request {request} is pending: {}",
                answer.message.unwrap_or_default()
            ))?;
            output::line(&format!("look at it: exeunt request show {request}"))?;
            Ok(STATUS_PENDING)
        }
        Disposition::Foreign => {
            let message =
                format!("request {request} is foreign: another CA issued its certificate");
            Err(Failure::new("wrong-state", message)
                .hint(format!("look at it: exeunt request show {request}")))
        }
        state => {
            let code = answer.code.unwrap_or_else(|| "request-denied".to_owned());
            let what = match state {
                Disposition::Denied => "is denied",
                Disposition::Failed => "has failed",
                _ => "is without a certificate",
            };
            let message =
                format!("request {request} {what}: {}", answer.message.unwrap_or_default());
            let hint = match code.as_str() {
                "template-unknown" | "template-not-named" => {
                    "name one with --template; those that there are: exeunt template list"
                }
                "rate-limited" => "come again when the message says",
                "caller-not-local" => "use the Unix socket: --home DIR on the CA's own machine",
                _ => "change the request, or ask the CA's administrator for another template",
            };
            Err(Failure::new(code, message).hint(hint))
        }
    }
}

fn read_request(options: &Submit) -> Result<Vec<u8>, Failure> {
    read_file(&options.file)
}

/// The request in a file, or in standard input.
///
/// # Errors
///
/// It cannot be read, or is too large.
pub fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let limit = REQUEST_BYTES_MAX as u64 + 1;
    let shown = file.display();
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|it| it.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|err| {
        Failure::new("request-unreadable", format!("{shown} cannot be read: {err}"))
            .hint("give the file of a certificate request, or - for standard input")
    })?;
    if REQUEST_BYTES_MAX < bytes.len() {
        let message = format!("{shown} is larger than {REQUEST_BYTES_MAX} bytes");
        return Err(Failure::new("request-too-large", message).hint("is it a certificate request?"));
    }
    Ok(bytes)
}
