//! `exeunt init`: a new CA. Everything is made before the configuration, whose presence says that
//! the CA is complete.

use std::time::Duration;

use exeunt_engine::{CaProfile, ca_request, self_signed_root};
use exeunt_keys::{SigningKey, random_bytes, secret_file};
use exeunt_store::Store;
use exeunt_types::{Serial, UnixMillis};
use exeunt_x509::{Name, encode_pem};

use super::init_directory::Joined;
use crate::cli::{Init, KeyPlace, Kind};
use crate::clock::now;
use crate::config::KeyConfig;
use crate::failure::{Failure, chain};
use crate::home::Home;
use crate::new_key::{KeyFiles, NewKey, left_in_token, new_key};
use crate::output;

const FRESH_CONFIG: &str = include_str!("../fresh.toml");

/// How far a root's `notBefore` lies back: the original's `ClockSkewMinutes`.
const BACKDATE: Duration = Duration::from_mins(10);

/// Validity of a root where nothing is said, in days: ten years.
const VALIDITY_DAYS: u32 = 3650;

pub fn run(options: &Init) -> Result<u8, Failure> {
    let home = Home::at(&options.home)?;
    create(&home, options)?;
    let shown = home.path().display();
    match options.kind {
        Kind::Root => {
            output::line(&format!("The CA {:?} is ready in {shown}.", options.name))?;
            output::line(&format!("  certificate: {}", home.certificate_path().display()))?;
        }
        Kind::Subordinate => {
            output::line(&format!(
                "The CA {:?} waits in {shown} for its certificate.",
                options.name
            ))?;
            output::line(&format!(
                "  request for the parent CA: {}",
                home.request_path().display()
            ))?;
            output::line(&format!(
                "  install what it signs: exeunt ca install FILE --home {shown}"
            ))?;
        }
    }
    match options.key.place {
        None | Some(KeyPlace::File) => {
            output::line(&format!("  private key: {} (encrypted)", home.key_path().display()))?;
            output::line(&format!("  its passphrase: {}", home.passphrase_path().display()))?;
            output::line("Keep a copy of the key and of the passphrase in different places.")?;
        }
        Some(KeyPlace::Pkcs11) => {
            if let KeyConfig::Pkcs11 { token, .. } = home.config()?.key {
                output::line(&format!("  private key: the {} in the {}", token.key, token.token))?;
            }
            output::line(
                "Keep the token and its PIN in different places, and a copy as its maker says.",
            )?;
        }
    }
    let start = match options.kind {
        Kind::Root => "Start it",
        Kind::Subordinate => "Start it then",
    };
    output::line(&format!("{start}: exeunt serve --home {shown}"))?;
    if let [directory, ..] = options.directory.directory.as_slice() {
        output::line(&format!(
            "It belongs to {directory}. Once it runs, make what it needs there:"
        ))?;
        output::line(&format!("  exeunt exit install directory --home {shown}"))?;
        if options.directory.directory_container.is_none() {
            output::line(
                "Where it is no Active Directory, say before that where the CA's objects are to be:",
            )?;
            output::line(&format!(
                "  exeunt exit settings set directory objects.container=DN objects.make=parents --home {shown}"
            ))?;
        }
    }
    Ok(0)
}

/// Makes a CA.
///
/// # Errors
///
/// Nothing is left half made that a second try would trip over: what this call has written before
/// a failure is removed again.
pub fn create(home: &Home, options: &Init) -> Result<(), Failure> {
    let name = options.name.as_str();
    if name.is_empty() || 64 < name.chars().count() || name.contains(char::is_control) {
        return Err(Failure::usage(
            "usage-name",
            "--name must be 1 to 64 characters without controls",
        ));
    }
    let subject_text =
        options.subject.clone().unwrap_or_else(|| format!("CN={}", escape_rfc4514(name)));
    let subject = Name::parse(&subject_text).map_err(|err| {
        Failure::usage("usage-subject", format!("--subject {subject_text:?}: {}", chain(&err)))
            .hint("for example --subject 'CN=Example Root,O=Example,C=DE'")
    })?;
    if subject.is_empty() {
        return Err(Failure::usage("usage-subject", "a CA needs a subject"));
    }
    if options.kind == Kind::Subordinate && options.validity.is_some() {
        let message = "how long the certificate is valid, says the parent that signs it";
        return Err(Failure::usage("usage-validity", message).hint("leave out --validity"));
    }
    let joined = Joined::read(home, &options.directory)?;
    let lock = home.create()?;
    for path in made_by_init(home) {
        if path.exists() {
            let message =
                format!("{} is there already, without a configuration beside it", path.display());
            return Err(Failure::new("home-incomplete", message)
                .hint("an earlier init may have broken off; choose another folder, or look what it is and remove it"));
        }
    }
    // None of these was there, and the lock keeps everybody else out: what is removed is ours.
    let made = fill(home, options, &subject, joined.as_ref());
    if made.is_err() {
        for path in made_by_init(home) {
            let _ = std::fs::remove_file(path);
        }
    }
    drop(lock);
    made
}

fn made_by_init(home: &Home) -> [std::path::PathBuf; 8] {
    let [password, trusted] = Joined::made(home);
    [
        password,
        trusted,
        home.key_path(),
        home.passphrase_path(),
        home.token_path(),
        home.certificate_path(),
        home.request_path(),
        home.store_path(),
    ]
}

fn fill(
    home: &Home,
    options: &Init,
    subject: &Name,
    joined: Option<&Joined>,
) -> Result<(), Failure> {
    let files = KeyFiles { key: Home::KEY, passphrase: Home::PASSPHRASE };
    let key = new_key(home, &options.key, &options.name, files)?;
    fill_beside(home, options, subject, joined, &key)
        .map_err(|it| if key.is_left_in_token { left_in_token(it) } else { it })
}

fn fill_beside(
    home: &Home,
    options: &Init,
    subject: &Name,
    joined: Option<&Joined>,
    new_key: &NewKey,
) -> Result<(), Failure> {
    let key = new_key.key.as_ref();
    write_secret(&home.token_path(), token()?.as_bytes())?;
    match options.kind {
        Kind::Root => {
            let der = root(key, subject, options)?;
            Home::write_new(&home.certificate_path(), encode_pem("CERTIFICATE", &der).as_bytes())?;
        }
        Kind::Subordinate => {
            let der =
                ca_request(key, subject).map_err(|err| Failure::from_error(err.code(), &err))?;
            let pem = encode_pem("CERTIFICATE REQUEST", &der);
            Home::write_new(&home.request_path(), pem.as_bytes())?;
        }
    }
    let store_id = random_bytes::<8>()?;
    Store::create(&home.store_path(), store_id, now())
        .map_err(|err| Failure::from_error(err.code(), &err))?;
    let mut config = fresh_config(&options.name, &new_key.toml());
    if let Some(joined) = joined {
        joined.write(home)?;
        config = belonging_to(&config, joined);
    }
    Home::write_new(&home.config_path(), config.as_bytes())?;
    home.sync()
}

/// The configuration of a new CA.
pub fn fresh_config(name: &str, key: &str) -> String {
    let name = toml::Value::String(name.to_owned()).to_string();
    // The name last: it may hold anything.
    FRESH_CONFIG.replacen("@KEY@", key, 1).replacen("@NAME@", &name, 1)
}

/// The configuration of a new CA that belongs to a directory: as in the original, certificates go there
/// and not into files.
fn belonging_to(config: &str, joined: &Joined) -> String {
    const FILE: &str = "[[exit]]\nname = \"file\"\n";
    let off = format!(
        "{FILE}# A CA of a directory publishes there; true publishes here as well.\nenabled = false\n"
    );
    let mut config = config.replacen(FILE, &off, 1);
    config.push_str(&joined.toml());
    config
}

fn root(key: &dyn SigningKey, subject: &Name, options: &Init) -> Result<Vec<u8>, Failure> {
    let start = now();
    let days = options.validity.map_or(VALIDITY_DAYS, |it| it.0);
    let validity = Duration::from_hours(24 * u64::from(days));
    let octets = random_bytes::<16>()?;
    let profile = CaProfile {
        subject: subject.clone(),
        not_before: UnixMillis(
            start.0 - i64::try_from(BACKDATE.as_millis()).expect("BUG: ten minutes"),
        ),
        // Both ends count (RFC 5280, section 4.1.2.5).
        not_after: UnixMillis(start.plus(validity).0 - 1000),
    };
    self_signed_root(key, &profile, Serial::from_random(octets))
        .map_err(|err| Failure::from_error(err.code(), &err))
}

/// 256 random bits in hexadecimal, and a newline.
fn token() -> Result<String, Failure> {
    let [high, low] = [random_bytes::<16>()?, random_bytes::<16>()?].map(u128::from_be_bytes);
    Ok(format!("{high:032x}{low:032x}\n"))
}

fn write_secret(path: &std::path::Path, content: &[u8]) -> Result<(), Failure> {
    Ok(secret_file::write_new(path, content)?)
}

/// Writes a text so that RFC 4514 reads it back as one attribute value.
fn escape_rfc4514(text: &str) -> String {
    let last = text.chars().count() - 1;
    let mut out = String::new();
    for (index, it) in text.chars().enumerate() {
        let special = matches!(it, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=');
        let at_edge = (index == 0 && matches!(it, ' ' | '#')) || (index == last && it == ' ');
        if special || at_edge {
            out.push('\\');
        }
        out.push(it);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_ca_is_one_common_name() {
        for name in ["Example", "A, B = C", " lead", "#1", "trail ", "a\\b", "\"q\"", "x+y;z<>"] {
            let subject = Name::parse(&format!("CN={}", escape_rfc4514(name))).unwrap();
            assert_eq!(subject.common_name(), Some(name));
            assert_eq!(subject.attributes().count(), 1);
        }
    }
}
