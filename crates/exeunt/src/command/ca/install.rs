//! `exeunt ca install`: takes what the parent of a subordinate CA has signed.

use std::fs;
use std::path::Path;

use exeunt_keys::verify;
use exeunt_x509::{Certificate, Issuer, encode_pem, parse_certificate};

use super::{
    CERTIFICATE_LABEL, Waiting, hold, read_bag, read_issuer, read_subject, read_text, renew,
};
use crate::clock::now;
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::home::{Home, open_key};
use crate::manage::ConfigFile;
use crate::output;
use crate::own::{Files, chain_path, replace};

pub fn run(home: &Home, file: &Path) -> Result<u8, Failure> {
    home.config()?;
    let _held = hold(home)?;
    let config = ConfigFile::read(home).map_err(|err| Failure::from_error(err.code(), &err))?;
    let Some(waiting) = Waiting::find(home, &config.config)? else {
        let message = "this CA waits for no certificate";
        let shown = home.path().display();
        return Err(Failure::new("ca-request-none", message)
            .hint(format!("look what it has: exeunt ca show --home {shown}"))
            .hint(format!("to renew it: exeunt ca renew --home {shown}")));
    };
    let bag = read_bag(file)?;
    let key = open_key(&waiting.key)?;
    let own = find_own(&bag, key.public_key_der(), file)?;
    check(&own, &waiting, &config.config)?;
    let above = above(&own, &bag)?;

    // The chain first: the certificate, or its line in the configuration, is what counts.
    let files = Files::of(waiting.index);
    let path = match waiting.index {
        0 => config.config.certificate.clone(),
        _ => home.path().join(&files.certificate),
    };
    if above.is_empty() {
        let _ = fs::remove_file(chain_path(&path));
    } else {
        let pem: String = above.iter().map(|it| encode_pem(CERTIFICATE_LABEL, it)).collect();
        replace(&chain_path(&path), pem.as_bytes())?;
    }
    replace(&path, encode_pem(CERTIFICATE_LABEL, own.der()).as_bytes())?;
    if 0 < waiting.index {
        let entries = if waiting.is_new_key { waiting_entries(home, &files)? } else { Vec::new() };
        renew::declare(&config, &files.certificate, &entries)?;
        // Said in the configuration now.
        let _ = fs::remove_file(home.path().join(&files.waiting_key));
    }
    output::line(&format!("The CA has its certificate number {}.", waiting.index))?;
    output::line(&format!("  certificate: {}", path.display()))?;
    match above.len() {
        0 => output::line("  without the certificates above it: none was in the file")?,
        count => output::line(&format!("  chain: {} ({count})", chain_path(&path).display()))?,
    }
    let shown = home.path().display();
    match waiting.index {
        0 => output::line(&format!("Start it: exeunt serve --home {shown}"))?,
        _ => output::line("It counts when the server is started again.")?,
    }
    Ok(0)
}

/// The certificate for the key.
fn find_own(bag: &[Vec<u8>], spki: &[u8], file: &Path) -> Result<Issuer, Failure> {
    let (mut why, mut unreadable) = (None, None);
    for der in bag {
        match read_issuer(der) {
            Ok(issuer) if issuer.spki_der() == spki => return Ok(issuer),
            Ok(_other) => (),
            Err(err) if parse_certificate(der).is_ok_and(|it| it.spki_der() == spki) => {
                why = Some(err);
            }
            Err(_other) => {
                // Perhaps the one: openssl x509 -req without extensions makes one of version 1.
                if let Err(err) = parse_certificate(der) {
                    unreadable.get_or_insert(err);
                }
            }
        }
    }
    if let (None, Some(err)) = (&why, unreadable) {
        let message = format!(
            "no certificate in {} is for the key that waits for one, and one cannot be read: {}",
            file.display(),
            chain(&err)
        );
        return Err(Failure::new(err.code(), message).hint(
            "a certificate of a CA is of version 3, with the extensions that the request asks for",
        ));
    }
    Err(why.unwrap_or_else(|| {
        let message =
            format!("no certificate in {} is for the key that waits for one", file.display());
        Failure::new("ca-install-other-key", message)
            .hint("which key that is, says the request: exeunt ca request")
    }))
}

/// Whether the CA can work with it.
fn check(own: &Issuer, waiting: &Waiting, config: &Config) -> Result<(), Failure> {
    let at = now().unix_seconds();
    if own.not_after() < at {
        return Err(Failure::new("ca-install-expired", "the certificate has expired already"));
    }
    if at < own.not_before() {
        output::warn(
            "the certificate is not valid yet: until it is, the CA issues under an older one, if that is valid",
        );
    }
    let asked = read_subject(&waiting.request);
    // Without its request, a first certificate may have any subject; the next one has that of the first.
    if let Ok(asked) = asked
        && !asked.matches(own.name())
    {
        let message = format!("the certificate is for {}, and was asked for {asked}", own.name());
        return Err(Failure::new("ca-install-other-subject", message)
            .hint("lists and certificates under another name would be those of another CA"));
    }
    let declared = config.renewals.iter().map(|it| &it.certificate).chain([&config.certificate]);
    let is_same = |path: &std::path::PathBuf| {
        read_bag(path).is_ok_and(|it| it.first().is_some_and(|der| der == own.der()))
    };
    if declared.into_iter().any(is_same) {
        let message = "the CA has this certificate already";
        return Err(Failure::new("ca-install-known", message)
            .hint("have the request signed: exeunt ca request prints it"));
    }
    Ok(())
}

/// The certificates above it in the file, its issuer's first. Each must have signed the one below.
fn above(own: &Issuer, bag: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Failure> {
    let read = |der: &[u8]| {
        parse_certificate(der).map_err(|err| {
            let message = format!("the certificate or one above it: {}", chain(&err));
            Failure::new(err.code(), message)
        })
    };
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut below = read(own.der())?;
    while !below.subject().matches(below.issuer()) {
        let is_above = |der: &&Vec<u8>| {
            let issuer = Issuer::from_certificate(der);
            issuer.is_ok_and(|it| it.name().matches(below.issuer()))
                && der.as_slice() != own.der()
                && !found.contains(der)
        };
        let candidates: Vec<&Vec<u8>> = bag.iter().filter(is_above).collect();
        if candidates.is_empty() {
            break;
        }
        let signer = candidates.iter().find(|der| signed(&below, der));
        let Some(signer) = signer else {
            let message = format!(
                "the certificate of {} is not signed by that of {} in the file",
                below.subject(),
                below.issuer()
            );
            return Err(Failure::new("ca-install-signature", message)
                .hint("give the parent's right certificate along, or none"));
        };
        found.push((*signer).clone());
        below = read(signer)?;
    }
    Ok(found)
}

fn signed(below: &Certificate, above: &[u8]) -> bool {
    Issuer::from_certificate(above).is_ok_and(|it| {
        verify(it.spki_der(), it.key(), below.scheme(), below.tbs_der(), below.signature()).is_ok()
    })
}

/// What `[renewal.key]` will say.
fn waiting_entries(home: &Home, files: &Files) -> Result<Vec<(&'static str, String)>, Failure> {
    const KEYS: [&str; 10] = [
        "file",
        "passphrase_file",
        "passphrase_env",
        "pkcs11_module",
        "token",
        "token_serial",
        "key_label",
        "key_id",
        "pin_file",
        "pin_env",
    ];
    let path = home.path().join(&files.waiting_key);
    let unusable =
        |reason: &str| Failure::new("ca-waiting-key", format!("{}: {reason}", path.display()));
    let table: toml::Table =
        read_text(&path)?.parse().map_err(|err: toml::de::Error| unusable(err.message()))?;
    let entries = KEYS.into_iter().chain(["scheme"]).filter_map(|key| {
        let value = table.get(key)?.as_str()?;
        Some((key, value.to_owned()))
    });
    let entries: Vec<_> = entries.collect();
    if entries.len() == table.len() { Ok(entries) } else { Err(unusable("it has an unknown key")) }
}
