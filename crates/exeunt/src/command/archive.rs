//! `exeunt key …`, and private keys that go along with a request.

use std::path::Path;

use exeunt_api::{
    EXCHANGE_PATH, ExchangeCertificate, KEY_IMPORTS_PATH, KEY_RECOVERIES_PATH, KeyImportOrder,
    KeyImported, KeyRecovery, KeyRecoveryList, KeyRecoveryOrder, RecoveredKey,
};
use exeunt_engine::{open_key, seal_key};
use exeunt_keys::{Passphrase, SigningKey as _, SoftwareKey, secret_file};
use exeunt_x509::{
    CA_EXCHANGE, Certificate, SignerIdentifier, build_archival_request, decode_pem_or_der,
    encode_pem, key_identifier, parse_certificate, parse_envelope, parse_request,
};
use reqwest::Method;

use crate::cli::{Door, ImportKey, Key, Recover, Unwrap};
use crate::client::ApiClient;
use crate::clock::now;
use crate::failure::{Failure, chain};
use crate::output;

/// Largest file that `unwrap` reads, in bytes: an encrypted key and a certificate, both in PEM.
const RECOVERY_FILE_BYTES_MAX: u64 = 512 * 1024;
/// How the certificate begins in what `fetch` writes.
const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const KEY_HINT: &str = "openssl pkcs8 -topk8 -scrypt -in KEY -out ENCRYPTED; chmod 600 ENCRYPTED";

pub fn run(command: Key) -> Result<u8, Failure> {
    match command {
        Key::Recover(options) => recover(options),
        Key::ApproveRecovery { id, json, door } => approve(id, json, &door),
        Key::Fetch { id, out, door } => fetch(id, out.as_deref(), &door),
        Key::List { json, door } => list(json, &door),
        Key::Unwrap(options) => unwrap(&options),
        Key::Import(options) => import(options),
    }
}

fn recover(options: Recover) -> Result<u8, Failure> {
    let Recover { which, reason, json, door } = options;
    let order = KeyRecoveryOrder { request_id: which.request, serial: which.serial, reason };
    let client = ApiClient::open(&door)?;
    let asked: KeyRecovery = client.change(Method::POST, KEY_RECOVERIES_PATH, &[], Some(&order))?;
    if json {
        output::json(&asked)?;
    } else {
        let KeyRecovery { id, request_id, expires, .. } = asked;
        output::line(&format!("recovery {id} of the key of request {request_id} is asked for"))?;
        output::line(&format!(
            "until {expires} another certificate manager may agree: exeunt key approve-recovery {id}"
        ))?;
    }
    Ok(0)
}

fn approve(id: u64, json: bool, door: &Door) -> Result<u8, Failure> {
    let path = format!("{KEY_RECOVERIES_PATH}/{id}/approve");
    let client = ApiClient::open(door)?;
    let approved: KeyRecovery = client.change(Method::POST, &path, &[], None::<&()>)?;
    if json {
        output::json(&approved)?;
    } else {
        output::line(&format!("recovery {id} is approved"))?;
        output::line(&format!("fetch the encrypted key: exeunt key fetch {id} --out FILE"))?;
    }
    Ok(0)
}

fn fetch(id: u64, out: Option<&Path>, door: &Door) -> Result<u8, Failure> {
    let path = format!("{KEY_RECOVERIES_PATH}/{id}/fetch");
    let client = ApiClient::open(door)?;
    let fetched: RecoveredKey = client.change(Method::POST, &path, &[], None::<&()>)?;
    let RecoveredKey { agents, blob, certificate, .. } = fetched;
    let text = blob + &certificate;
    match out {
        None => output::write_stdout(text.as_bytes())?,
        Some(path) => {
            secret_file::write_new(path, text.as_bytes())?;
            output::line(&format!("encrypted key and certificate written to {}", path.display()))?;
        }
    }
    let agents = agents.join(", ");
    eprintln!("any of these recovery agents opens it, with exeunt key unwrap: {agents}");
    Ok(0)
}

fn list(json: bool, door: &Door) -> Result<u8, Failure> {
    let list: KeyRecoveryList = ApiClient::open(door)?.get(KEY_RECOVERIES_PATH, &[])?;
    if json {
        output::json(&list)?;
        return Ok(0);
    }
    let rows = list.recoveries.into_iter().map(|it| {
        vec![
            it.id.to_string(),
            it.request_id.to_string(),
            it.asked_by,
            it.expires,
            it.approved_by.unwrap_or_default(),
            it.fetched.unwrap_or_default(),
            it.reason,
        ]
    });
    let heading = ["ID", "REQUEST", "ASKED BY", "EXPIRES", "APPROVED BY", "FETCHED", "REASON"];
    output::table(&heading, rows.collect())?;
    Ok(0)
}

fn unwrap(options: &Unwrap) -> Result<u8, Failure> {
    let Unwrap { blob, key, passphrase_file, out, out_passphrase_file } = options;
    let text = read_recovery(blob)?;
    // What `fetch` wrote; a message alone does as well.
    let at =
        text.windows(CERTIFICATE_BEGIN.len()).position(|it| it == CERTIFICATE_BEGIN.as_bytes());
    let (message, certificate) = text.split_at(at.unwrap_or(text.len()));
    let envelope = parse_envelope(message).map_err(|err| Failure::from_error(err.code(), &err))?;
    let certificate = match at {
        None => None,
        Some(_) => Some(parse_certificate(certificate).map_err(|err| {
            Failure::new("recovery-certificate", format!("{}: {}", blob.display(), chain(&err)))
        })?),
    };
    let agent = read_key(key, passphrase_file.as_deref())?;
    let opened = open_key(&agent.opener()?, &envelope).ok_or_else(|| {
        let message = format!("{} does not open {}", key.display(), blob.display());
        Failure::new("recovery-not-opened", message)
            .hint("is it the key of one of the recovery agents that fetch named?")
    })?;
    if certificate.as_ref().is_some_and(|it| it.spki_der() != opened.public_key_der()) {
        let message = "the key in it is not that of the certificate beside it";
        return Err(Failure::new("recovery-certificate", message));
    }
    let passphrase = read_passphrase(out_passphrase_file)?;
    let mut text = opened.to_encrypted_pem(&passphrase)?;
    if let Some(certificate) = &certificate {
        text.push_str(&encode_pem("CERTIFICATE", certificate.der()));
    }
    secret_file::write_new(out, text.as_bytes())?;
    output::line(&format!("private key, encrypted, written to {}", out.display()))?;
    Ok(0)
}

fn read_recovery(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |why: String| {
        Failure::new("recovery-unreadable", format!("{}: {why}", path.display()))
            .hint("give the file that exeunt key fetch wrote")
    };
    let size = std::fs::metadata(path).map_err(|err| unreadable(err.to_string()))?.len();
    if RECOVERY_FILE_BYTES_MAX < size {
        return Err(unreadable(format!("is larger than {RECOVERY_FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|err| unreadable(err.to_string()))
}

fn import(options: ImportKey) -> Result<u8, Failure> {
    let ImportKey { which, key, passphrase_file, json, door } = options;
    let key = read_key(&key, passphrase_file.as_deref())?;
    let client = ApiClient::open(&door)?;
    let exchange = exchange_certificate(&client)?;
    let key = encode_pem("CMS", &seal_key(&key, [&exchange])?);
    let order = KeyImportOrder { request_id: which.request, serial: which.serial, key };
    let imported: KeyImported = client.change(Method::POST, KEY_IMPORTS_PATH, &[], Some(&order))?;
    if json {
        output::json(&imported)?;
    } else {
        output::line(&format!("the key of request {} is archived", imported.request_id))?;
    }
    Ok(0)
}

/// The request with its private key, which only the CA can open, and which goes along signed by itself.
///
/// # Errors
///
/// A request that is no PKCS #10, another key than the request's, a CA that archives none.
pub fn enclose(
    client: &ApiClient,
    request: &[u8],
    key: &Path,
    passphrase_file: Option<&Path>,
) -> Result<Vec<u8>, Failure> {
    let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
    let der = decode_pem_or_der(request, &labels)
        .map_err(|err| Failure::from_error(err.code(), &err).hint("a PKCS #10 is needed here"))?;
    let parsed = parse_request(&der).map_err(|err| {
        Failure::from_error(err.code(), &err).hint("a private key goes along with a PKCS #10 only")
    })?;
    let private = read_key(key, passphrase_file)?;
    if private.public_key_der() != parsed.spki_der() {
        let message = format!("{} is not the key of the request", key.display());
        return Err(Failure::new("archived-key-mismatch", message)
            .hint("give the key that the request was signed with: openssl req -key"));
    }
    let exchange = exchange_certificate(client)?;
    let envelope = seal_key(&private, [&exchange])?;
    let identifier = key_identifier(parsed.spki_der())
        .map_err(|err| Failure::from_error("request-key-invalid", &err))?;
    let signer = SignerIdentifier::KeyIdentifier(identifier.to_vec());
    let unsigned = build_archival_request(&der, &envelope, signer, private.scheme());
    let signature = private
        .sign(unsigned.bytes_to_sign())
        .map_err(|err| Failure::from_error(err.code(), &err))?;
    Ok(unsigned.assemble(&signature))
}

/// The CA's exchange certificate, which is looked at before anything is encrypted to it.
fn exchange_certificate(client: &ApiClient) -> Result<Certificate, Failure> {
    let answer: ExchangeCertificate = client.get(EXCHANGE_PATH, &[])?;
    let unusable = |why: &str| {
        Failure::new("exchange-certificate-unusable", format!("the exchange certificate {why}"))
    };
    let der = decode_pem_or_der(answer.certificate.as_bytes(), &["CERTIFICATE"])
        .map_err(|_| unusable("is not PEM"))?;
    let certificate = parse_certificate(&der).map_err(|err| unusable(&chain(&err)))?;
    let now = now().unix_seconds();
    if now < certificate.not_before() || certificate.not_after() < now {
        return Err(unusable("is not valid now").hint("are both clocks right?"));
    }
    if !certificate.extended_key_usages().contains(&CA_EXCHANGE) {
        return Err(unusable("is not for that"));
    }
    Ok(certificate)
}

/// A private key in PEM, encrypted or not, from a file that only its owner can read.
fn read_key(path: &Path, passphrase_file: Option<&Path>) -> Result<SoftwareKey, Failure> {
    let octets = secret_file::read(path)?;
    let text = str::from_utf8(&octets).map_err(|_| {
        Failure::new("key-malformed", format!("{} is no PEM", path.display())).hint(KEY_HINT)
    })?;
    let named = |err: exeunt_keys::KeyError| {
        let message = format!("{}: {}", path.display(), chain(&err));
        let failure = Failure::new(err.code(), message);
        if err.code() == "key-malformed" { failure.hint(KEY_HINT) } else { failure }
    };
    if !text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return SoftwareKey::from_pem(text).map_err(named);
    }
    let passphrase_file = passphrase_file.ok_or_else(|| {
        let message = format!("{} is encrypted", path.display());
        Failure::usage("usage-passphrase", message).hint("give the file with its passphrase")
    })?;
    SoftwareKey::from_encrypted_pem(text, &read_passphrase(passphrase_file)?).map_err(named)
}

fn read_passphrase(path: &Path) -> Result<Passphrase, Failure> {
    Ok(Passphrase::from_file_content(&secret_file::read(path)?)?)
}
