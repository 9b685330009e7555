//! `exeunt quickstart`: from nothing to a published certificate, and the next commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exeunt_api::{Disposition, SubmitAnswer};
use exeunt_keys::{SigningKey as _, SoftwareKey};
use exeunt_types::KeyAlgorithm;
use exeunt_x509::{Extension, GeneralName, Name, assemble_request, build_request_info, encode_pem};

use crate::cli::{DirectoryOptions, Init, KeyOptions, Kind, Quickstart};
use crate::client::ApiClient;
use crate::command::serve::Signals;
use crate::command::{init, run_module};
use crate::config::{Config, ModuleConfig};
use crate::failure::Failure;
use crate::home::Home;
use crate::{output, server};

/// Host name in the first certificate; `.test` is reserved for such use (RFC 6761).
const HOST: &str = "www.example.test";
/// How long the quickstart waits for the CA's first revocation list; it goes on without it.
const LISTS_DEADLINE: Duration = Duration::from_secs(5);
/// How long the quickstart waits for the module to publish.
const PUBLISH_DEADLINE: Duration = Duration::from_mins(1);
/// Any free port on this machine.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub fn run(options: &Quickstart) -> Result<u8, Failure> {
    let signals = Signals::listen()?;
    let home = Home::at(&options.home)?;
    let shown = options.home.display();
    if home.exists() {
        output::line(&format!("1. Found the CA in {shown}."))?;
    } else {
        init::create(&home, &first_ca(options))?;
        output::line(&format!("1. Made a CA in {shown}."))?;
    }
    let config = home.config()?;
    let folder = published_folder(&config);
    let running = server::start(&home, config, Some(LISTEN))?;
    let result = round_trip(&home, &running, folder.as_deref(), &options.home);
    if result.is_ok() && !options.once {
        output::line("\nServing. Ctrl-C stops.")?;
        let obeyed = signals.obey(&running);
        running.stop();
        return obeyed.map(|()| 0);
    }
    running.stop();
    result.map(|()| 0)
}

fn first_ca(options: &Quickstart) -> Init {
    Init {
        home: options.home.clone(),
        name: "Exeunt Quickstart Root".to_owned(),
        kind: Kind::Root,
        subject: None,
        validity: None,
        key: KeyOptions::default(),
        directory: DirectoryOptions::default(),
    }
}

fn round_trip(
    home: &Home,
    running: &server::Running,
    folder: Option<&Path>,
    shown: &Path,
) -> Result<(), Failure> {
    let Some(address) = running.address() else {
        return Err(Failure::new("quickstart-no-http", "the server does not listen for HTTP"));
    };
    output::line(&format!("2. Started the server: http://{address}"))?;
    // So that events have the same numbers wherever one begins.
    running.await_lists(LISTS_DEADLINE);
    let request = client_request()?;
    output::line(&format!("3. Made a key and a request for {HOST}, as a client would."))?;
    let client = ApiClient::loopback(address, &home.token_path())?;
    let answer = client.submit(request, &[], None)?;
    if answer.disposition != Disposition::Issued {
        let message = format!(
            "request {} is {}: {}",
            answer.request_id,
            answer.disposition.word(),
            answer.message.unwrap_or_default()
        );
        return Err(Failure::new(
            answer.code.unwrap_or_else(|| "quickstart-not-issued".to_owned()),
            message,
        )
        .hint(format!("the templates stand in {}", home.config_path().display())));
    }
    let serial = answer.serial.clone().unwrap_or_default();
    show(&answer)?;
    match folder {
        Some(folder) => {
            let file = await_file(folder, &serial)?;
            output::line(&format!("5. The exit module published it: {}", file.display()))?;
        }
        None => output::line("5. No exit module publishes files in this configuration.")?,
    }
    let shown = shown.display();
    output::line(&format!(
        "\nTry next, in another terminal:
  exeunt cert show {serial} --home {shown}
  exeunt exit status file --home {shown}
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout host.key -subj /CN=host.example.test -out host.csr
  exeunt submit host.csr --home {shown} --out host.pem
  openssl verify -CAfile {shown}/ca.cert.pem host.pem"
    ))
}

fn show(answer: &SubmitAnswer) -> Result<(), Failure> {
    output::line(&format!("4. The CA issued a certificate (request {}):", answer.request_id))?;
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    output::fields(&[
        ("   subject", text(&answer.subject)),
        ("   serial", text(&answer.serial)),
        ("   valid from", text(&answer.not_before)),
        ("   valid until", text(&answer.not_after)),
    ])
}

fn client_request() -> Result<Vec<u8>, Failure> {
    let build_failure =
        |err: exeunt_x509::BuildError| Failure::from_error("quickstart-request", &err);
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256)?;
    let subject = Name::parse(&format!("CN={HOST}"))
        .map_err(|err| Failure::from_error("quickstart-request", &err))?;
    let names = [GeneralName::Dns(HOST.to_owned())];
    let extensions = [Extension::subject_alternative_name(&names, false)];
    let info =
        build_request_info(&subject, key.public_key_der(), &extensions).map_err(build_failure)?;
    let signature =
        key.sign(&info).map_err(|err| Failure::from_error("quickstart-request", &err))?;
    let der = assemble_request(&info, key.scheme(), &signature);
    Ok(encode_pem("CERTIFICATE REQUEST", &der).into_bytes())
}

/// The folder of the shipped file module, if one is configured.
fn published_folder(config: &Config) -> Option<PathBuf> {
    let file = ModuleConfig::Shipped(run_module::SHIPPED[0].to_owned());
    let exit = config.exits.iter().find(|it| it.module == file)?;
    exit.publishes.clone()
}

/// Waits for a file whose name or content has the serial number: the pattern is the user's choice.
fn await_file(folder: &Path, serial: &str) -> Result<PathBuf, Failure> {
    let deadline = Instant::now() + PUBLISH_DEADLINE;
    while Instant::now() < deadline {
        if let Some(file) = find_file(folder, serial) {
            return Ok(file);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let message = format!("no file for {serial} appeared in {}", folder.display());
    Err(Failure::new("quickstart-not-published", message)
        .hint("the event is not lost; see why: exeunt exit status file --home DIR"))
}

fn find_file(folder: &Path, serial: &str) -> Option<PathBuf> {
    let exact = folder.join(format!("{serial}.pem"));
    if exact.exists() {
        return Some(exact);
    }
    let holds_it = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        exeunt_x509::parse_certificate(&bytes).is_ok_and(|it| it.serial().to_string() == serial)
    };
    // What is not yet in its place has a name that starts with a dot.
    let is_in_place = |it: &std::fs::DirEntry| !it.file_name().as_encoded_bytes().starts_with(b".");
    let files = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).filter(is_in_place);
    files.map(|it| it.path()).find(holds_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_in_its_place_yet_is_not_what_was_published() {
        let folder = tempfile::tempdir().unwrap();
        let options = Quickstart { home: folder.path().join("ca"), once: true };
        let home = Home::at(&options.home).unwrap();
        init::create(&home, &first_ca(&options)).unwrap();
        let pem = std::fs::read(home.certificate_path()).unwrap();
        let serial = exeunt_x509::parse_certificate(&pem).unwrap().serial().to_string();
        std::fs::write(folder.path().join(".exeunt.file.1.tmp"), &pem).unwrap();
        assert_eq!(find_file(folder.path(), &serial), None);
        let named = folder.path().join("www.example.test.pem");
        std::fs::write(&named, &pem).unwrap();
        assert_eq!(find_file(folder.path(), &serial), Some(named));
    }
}
