//! `exeunt ca …`: the CA's own certificates, by their files. A running server is not asked: it takes up
//! what is new when it is started again, and writes it down then.

mod install;
mod renew;

use std::fs;
use std::path::{Path, PathBuf};

use exeunt_engine::{OwnState, own_states, renewal_request, suffix};
use exeunt_http::rfc3339;
use exeunt_types::UnixMillis;
use exeunt_x509::{
    CaVersion, Issuer, Name, build_certs_only, certificates_in, encode_pem, parse_certificate,
    parse_request,
};
use serde::Serialize;

use crate::cli::Ca;
use crate::clock::now;
use crate::config::{Config, KeyConfig, KeyTable};
use crate::failure::{Failure, chain};
use crate::home::{Home, open_key};
use crate::output;
use crate::own::{Files, OwnCertificate, chain_path, read_certificates, replace, to_index};

const CERTIFICATE_LABEL: &str = "CERTIFICATE";
const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";

/// Runs `exeunt ca …`.
///
/// # Errors
///
/// Why it failed, ready to be shown.
pub fn run(command: Ca) -> Result<u8, Failure> {
    match command {
        Ca::Show { home, json } => show(&Home::at(&home)?, json),
        Ca::Request { home, out } => request(&Home::at(&home)?, out.as_deref()),
        Ca::Install { file, home } => install::run(&Home::at(&home)?, &file),
        Ca::Renew(options) => renew::run(&options),
        Ca::ExportChain { home, index, p7b, out } => {
            export_chain(&Home::at(&home)?, index, p7b, out.as_deref())
        }
    }
}

/// A certificate that was asked for and is not there yet.
#[derive(Debug)]
struct Waiting {
    /// The index that it will have.
    index: u16,
    /// Whether its key is one that no certificate of the CA has.
    is_new_key: bool,
    /// Its key.
    key: KeyConfig,
    /// File with the request.
    request: PathBuf,
}

impl Waiting {
    /// What the CA waits for, if it does.
    fn find(home: &Home, config: &Config) -> Result<Option<Self>, Failure> {
        if !config.certificate.exists() {
            let (key, request) = (config.key.clone(), home.request_path());
            return Ok(Some(Self { index: 0, is_new_key: true, key, request }));
        }
        let index = to_index(config.renewals.len() + 1);
        let files = Files::of(index);
        let request = home.path().join(files.request);
        if !request.exists() {
            return Ok(None);
        }
        let table = home.path().join(files.waiting_key);
        if !table.exists() {
            let own = read_certificates(home, config)?;
            let last = own.last().expect("BUG: the first certificate exists");
            let key = key_of(config, last).clone();
            return Ok(Some(Self { index, is_new_key: false, key, request }));
        }
        let text = read_text(&table)?;
        let unusable = |reason: String| {
            let message = format!("{}: {reason}", table.display());
            Failure::new("ca-waiting-key", message)
        };
        let key: KeyTable = toml::from_str(&text).map_err(|err| unusable(err.message().into()))?;
        let key = KeyConfig::checked("key", &key, home.path());
        let key = key.map_err(|err| unusable(chain(&err)))?;
        Ok(Some(Self { index, is_new_key: true, key, request }))
    }
}

/// Where the key of a certificate is.
pub(super) fn key_of<'a>(config: &'a Config, own: &OwnCertificate) -> &'a KeyConfig {
    let renewal = usize::from(own.key_index).checked_sub(1);
    let renewed = renewal.and_then(|at| config.renewals.get(at)).and_then(|it| it.key.as_ref());
    renewed.unwrap_or(&config.key)
}

/// Keeps other commands that change the CA's certificates out until the answer is dropped.
fn hold(home: &Home) -> Result<fs::File, Failure> {
    let path = home.path().join("init.lock");
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let lock = opened.map_err(|err| {
        let message = format!("{} cannot be opened: {err}", path.display());
        Failure::new("home-not-writable", message)
    })?;
    if lock.try_lock().is_err() {
        let message = format!("another command is at work on the CA in {}", home.path().display());
        return Err(Failure::new("home-busy", message).hint("wait until it has ended"));
    }
    Ok(lock)
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|err| {
        Failure::new("ca-file-unreadable", format!("{} cannot be read: {err}", path.display()))
    })
}

/// A certificate as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    index: u16,
    key_index: u16,
    suffix: String,
    subject: String,
    /// Hexadecimal; empty where the parent gave one of a fashion of its own.
    serial: String,
    not_before: String,
    not_after: String,
    cert_state: &'static str,
    crl_state: &'static str,
    file: PathBuf,
}

fn show(home: &Home, json: bool) -> Result<u8, Failure> {
    let config = home.config()?;
    let waiting = Waiting::find(home, &config)?;
    let own = match &waiting {
        Some(Waiting { index: 0, .. }) => Vec::new(),
        _ => read_certificates(home, &config)?,
    };
    let lives: Vec<_> = own.iter().map(|it| (it.key_index, it.issuer.not_after())).collect();
    let states = own_states(&lives, now().unix_seconds());
    let mut shown: Vec<Shown> =
        own.iter().zip(states).map(|(own, states)| shown(own, states)).collect();
    if let Some(Waiting { index, is_new_key, request, .. }) = waiting {
        let key_index = own.last().filter(|_| !is_new_key).map_or(index, |it| it.key_index);
        let subject = read_subject(&request).map(|it| it.to_string()).unwrap_or_default();
        shown.push(Shown {
            index,
            key_index,
            suffix: suffix(index),
            subject,
            serial: String::new(),
            not_before: String::new(),
            not_after: String::new(),
            cert_state: OwnState::UnderSubmission.word(),
            crl_state: OwnState::UnderSubmission.word(),
            file: request,
        });
    }
    if json {
        output::json(&shown)?;
        return Ok(0);
    }
    let heading =
        ["INDEX", "KEY", "CERTIFICATE", "LISTS", "NOT BEFORE", "NOT AFTER", "SERIAL", "SUBJECT"];
    let rows = shown.into_iter().map(|it| {
        let Shown { index, key_index, subject, serial, not_before, not_after, .. } = it;
        let (cert, crl) = (it.cert_state.to_owned(), it.crl_state.to_owned());
        let (index, key_index) = (index.to_string(), key_index.to_string());
        vec![index, key_index, cert, crl, not_before, not_after, serial, subject]
    });
    output::table(&heading, rows.collect())?;
    Ok(0)
}

fn shown(own: &OwnCertificate, (cert, crl): (OwnState, OwnState)) -> Shown {
    let OwnCertificate { index, key_index, path, issuer } = own;
    let time = |seconds| rfc3339(UnixMillis::from_unix_seconds(seconds));
    let serial = parse_certificate(issuer.der()).map(|it| it.serial().to_string());
    Shown {
        index: *index,
        key_index: *key_index,
        suffix: suffix(*index),
        subject: issuer.name().to_string(),
        serial: serial.unwrap_or_default(),
        not_before: time(issuer.not_before()),
        not_after: time(issuer.not_after()),
        cert_state: cert.word(),
        crl_state: crl.word(),
        file: path.clone(),
    }
}

/// The subject that a request asks for.
fn read_subject(request: &Path) -> Result<Name, Failure> {
    let text = read_text(request)?;
    let request = parse_request(text.as_bytes()).map_err(|err| {
        let message = format!("{}: {}", request.display(), chain(&err));
        Failure::new("ca-request-unreadable", message)
            .hint("restore it from your backup, or remove it and begin anew")
    })?;
    Ok(request.subject().clone())
}

fn request(home: &Home, out: Option<&Path>) -> Result<u8, Failure> {
    let _held = hold(home)?;
    let config = home.config()?;
    let Some(waiting) = Waiting::find(home, &config)? else {
        let message = "this CA waits for no certificate";
        return Err(Failure::new("ca-request-none", message).hint(format!(
            "to renew the one that it has: exeunt ca renew --home {}",
            home.path().display()
        )));
    };
    let subject = read_subject(&waiting.request)?;
    let own = match waiting.index {
        0 => Vec::new(),
        _ => read_certificates(home, &config)?,
    };
    let key = open_key(&waiting.key)?;
    let last = own.last();
    let key_index = last.filter(|_| !waiting.is_new_key).map_or(waiting.index, |it| it.key_index);
    let version = CaVersion { certificate_index: waiting.index, key_index };
    let previous = last.map(|it| it.issuer.der());
    let renewal = exeunt_engine::Renewal { version, previous };
    let der = renewal_request(key.as_ref(), &subject, renewal)
        .map_err(|err| Failure::from_error(err.code(), &err))?;
    let pem = encode_pem(REQUEST_LABEL, &der);
    replace(&waiting.request, pem.as_bytes())?;
    give(&pem, out)?;
    Ok(0)
}

/// Writes what was asked for where it was asked for.
fn give(text: &str, out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return output::write_stdout(text.as_bytes()) };
    fs::write(path, text).map_err(|err| {
        Failure::new("output", format!("{} cannot be written: {err}", path.display()))
    })
}

fn export_chain(
    home: &Home,
    index: Option<u16>,
    p7b: bool,
    out: Option<&Path>,
) -> Result<u8, Failure> {
    let config = home.config()?;
    let own = read_certificates(home, &config)?;
    let found = match index {
        Some(index) => own.get(usize::from(index)),
        None => own.last(),
    };
    let Some(OwnCertificate { path, issuer, .. }) = found else {
        let last = own.len().saturating_sub(1);
        let message = format!("the last certificate of the CA has the index {last}");
        return Err(Failure::usage("usage-index", message)
            .hint(format!("which there are: exeunt ca show --home {}", home.path().display())));
    };
    let mut all = vec![issuer.der().to_vec()];
    let above = chain_path(path);
    if above.exists() {
        all.extend(read_bag(&above)?);
    } else if !issuer.is_self_issued() {
        output::warn(&format!("{} is not there: the chain is not whole", above.display()));
    }
    let text = if p7b {
        encode_pem("PKCS7", &build_certs_only(&all))
    } else {
        all.iter().map(|it| encode_pem(CERTIFICATE_LABEL, it)).collect()
    };
    give(&text, out)?;
    Ok(0)
}

/// The certificates in a file.
fn read_bag(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let shown = path.display();
    let unreadable = |reason: String| Failure::new("ca-file-unreadable", reason);
    let size = fs::metadata(path).map(|it| it.len());
    let size = size.map_err(|err| unreadable(format!("{shown} cannot be read: {err}")))?;
    if u64::try_from(exeunt_x509::CERTIFICATE_FILE_BYTES_MAX).is_ok_and(|most| most < size) {
        return Err(unreadable(format!("{shown} is too large to hold certificates")));
    }
    let octets = fs::read(path);
    let octets = octets.map_err(|err| unreadable(format!("{shown} cannot be read: {err}")))?;
    certificates_in(&octets).map_err(|err| {
        Failure::new(err.code(), format!("{shown}: {}", chain(&err)))
            .hint("give a certificate, or a chain of them: PEM, DER or PKCS #7")
    })
}

/// The certificate of a CA in these octets, and why they are none.
fn read_issuer(der: &[u8]) -> Result<Issuer, Failure> {
    Issuer::from_certificate(der).map_err(|err| Failure::from_error(err.code(), &err))
}
