//! `exeunt config check`: reads everything a start would read, and changes nothing.

use exeunt_api::PrincipalList;
use exeunt_engine::EngineError;
use exeunt_http::{TcpDoor, Tls, check_client_files, check_tls_files};
use exeunt_keys::{SigningKey, sha256};
use exeunt_store::Store;
use serde::Serialize;

use crate::cli::Config as ConfigCommand;
use crate::clock::now;
use crate::command::ca::key_of;
use crate::command::principal;
use crate::config::{
    Config, ExitConfig, KeyConfig, ModuleConfig, file_of_word, key_archival_warnings,
};
use crate::failure::{Failure, plain};
use crate::home::{Home, open_key};
use crate::launch::Launcher;
use crate::manage::{ManageError, principal_list};
use crate::server::{engine_failure, http_failure, read_key};
use crate::{output, own};

/// What was checked, for programs.
#[derive(Debug, Serialize)]
struct Report {
    ca: String,
    certificate: Option<String>,
    key_type: String,
    signature_scheme: String,
    key_place: String,
    listen: Option<String>,
    templates: Vec<String>,
    exits: Vec<String>,
    /// Who may do what.
    access: PrincipalList,
    warnings: Vec<String>,
}

pub fn run(command: ConfigCommand) -> Result<u8, Failure> {
    let ConfigCommand::Check { home, json } = command;
    let home = Home::at(&home)?;
    let config = home.config()?;
    let report = check(&home, &config)?;
    if json {
        output::json(&report)?;
    } else {
        let has_modules = !report.exits.is_empty();
        let Report {
            ca,
            certificate,
            key_type,
            signature_scheme,
            key_place,
            listen,
            templates,
            exits,
            access,
            warnings,
        } = report;
        output::fields(&[
            ("CA", ca),
            ("Certificate", certificate.unwrap_or_default()),
            ("Key", format!("{key_type}, {key_place}")),
            ("Signs by", signature_scheme),
            ("Listens on", listen.unwrap_or_default()),
            ("Templates", templates.join(", ")),
            ("Exit modules", exits.join(", ")),
        ])?;
        for it in &access.principals {
            output::line(&plain(&principal::sentence(it)))?;
        }
        for sentence in principal::beside(&access) {
            output::line(&plain(&sentence))?;
        }
        for warning in &warnings {
            output::line(&format!("warning: {}", plain(warning)))?;
        }
        output::line("The configuration is good.")?;
        if has_modules {
            output::line(
                "The modules were not asked: exeunt exit test NAME does, once the server runs",
            )?;
        }
    }
    Ok(0)
}

fn check(home: &Home, config: &Config) -> Result<Report, Failure> {
    let mut warnings = Vec::new();
    // The key is that of the newest certificate.
    let (certificate, key, declared) = if config.certificate.exists() {
        let own = own::read_certificates(home, config)?;
        let mut keys = own::open_keys(config, &own)?;
        check_keys(&own, &keys)?;
        check_past(home, &own)?;
        warnings.extend(own::warnings_of(config, &own));
        let last = own.last().expect("BUG: there is at least the first certificate");
        let key = keys.swap_remove(usize::from(last.key_index));
        let key = key.expect("BUG: the first certificate with a key has it");
        (Some(last.issuer.name().to_string()), key, key_of(config, last))
    } else {
        warnings.push(format!(
            "{} is not there yet; serve refuses to start",
            config.certificate.display()
        ));
        (None, open_key(&config.key)?, &config.key)
    };
    let access = principal_list(&crate::server::principals_of(config)?, now());
    warnings.extend(unreached(config));
    warnings.extend(key_archival_warnings(&config.key_archival, now())?);
    warnings.extend(config.exits.iter().filter_map(|it| missing_program(home, it)));
    let runner = Launcher::new(home)?.runner();
    let needs_it = |it: &&ExitConfig| matches!(it.module, ModuleConfig::Library { .. });
    if !runner.is_file()
        && let Some(exit) = config.exits.iter().find(needs_it)
    {
        let missing = ManageError::RunnerMissing(runner);
        warnings.push(format!("exit module {}: {missing}", exit.name));
    }
    if config.publication.crl_distribution_points.is_empty() && config.publication.ocsp.is_empty() {
        warnings.push(
            "certificates name no place to look for revocation: [publication] is empty".to_owned(),
        );
    }
    warnings.extend(config.templates.iter().filter_map(crate::config::warn_of));
    let crl = &config.crl.settings;
    if crl.has_deltas() && crl.freshest_crl.is_empty() {
        warnings
            .push("nobody is told where the delta lists are: [crl] freshest is empty".to_owned());
    }
    if !config.publication.ocsp.is_empty() && !config.ocsp.enabled {
        warnings.push(
            "certificates say where OCSP answers, and [ocsp] enabled is false: unless something \
             else answers there, nobody does"
                .to_owned(),
        );
    }
    let doors = config.tcp_doors(None);
    for door in &doors {
        check_client_files(&door.clients).map_err(|err| http_failure(&err))?;
        if let Some(Tls::Files(files)) = &door.tls {
            let found = check_tls_files(files, &read_key(), now());
            warnings.extend(found.map_err(|err| http_failure(&err))?);
        }
    }
    if !doors.is_empty() && config.token_files.is_empty() && config.principals.is_empty() {
        let warning = "HTTP listens, but nobody can come in: there is neither a [[principal]] nor a \
                       token in [server] token_files";
        warnings.push(warning.to_owned());
    }
    Ok(Report {
        ca: config.name.clone(),
        certificate,
        key_type: key.algorithm().name(),
        signature_scheme: key.scheme().name().to_owned(),
        key_place: match declared {
            KeyConfig::File { path, .. } => format!("in {}", path.display()),
            KeyConfig::Pkcs11 { token, .. } => format!("the {} in the {}", token.key, token.token),
        },
        listen: listen_text(&doors),
        templates: config.templates.iter().map(|it| it.name.clone()).collect(),
        access,
        exits: config.exits.iter().map(|it| it.name.to_string()).collect(),
        warnings,
    })
}

/// Where there are doors, and what they show.
fn listen_text(doors: &[TcpDoor]) -> Option<String> {
    let texts = doors.iter().map(|door| match door.tls {
        // As it was written before there were more doors.
        None | Some(Tls::Files(_)) => door.address.to_string(),
        Some(Tls::Own) => format!("{} (certificate of its own)", door.address),
    });
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Whether each certificate is for the key that stands beside it, or for an earlier one.
fn check_keys(
    own: &[own::OwnCertificate],
    keys: &[Option<Box<dyn SigningKey>>],
) -> Result<(), Failure> {
    for (own, key) in own.iter().zip(keys) {
        let belongs = match key {
            Some(key) => own.issuer.spki_der() == key.public_key_der(),
            None => own.key_index < own.index,
        };
        if !belongs {
            let path = own.path.display();
            let message = format!("{path} and its private key do not belong together");
            return Err(Failure::new("ca-key-mismatch", message)
                .hint("look at [ca], [key] and [[renewal]] in exeunt.toml: which key is whose"));
        }
    }
    Ok(())
}

/// Whether the CA has all certificates that it had, in their places: a start refuses anything else.
fn check_past(home: &Home, own: &[own::OwnCertificate]) -> Result<(), Failure> {
    // A store of another version is the start's business: it migrates it, or says why not.
    let known = Store::open_read_only(&home.store_path()).and_then(|it| it.ca_certificates());
    for (index, hash) in (0_u16..).zip(known.unwrap_or_default()) {
        let err = match own.get(usize::from(index)) {
            None => EngineError::CertificateRemoved { index },
            Some(it) if sha256(it.issuer.der()) != hash => {
                EngineError::CertificateChanged { index }
            }
            Some(_) => continue,
        };
        return Err(engine_failure(&err));
    }
    Ok(())
}

/// Users of principals who find no socket that they may open.
fn unreached(config: &Config) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    let others =
        config.principals.iter().filter(|it| it.uid.is_some_and(|it| it != own && it != 0));
    let names: Vec<&str> = others.map(|it| it.name.as_str()).collect();
    if names.is_empty() || config.peer_socket.is_some() {
        return None;
    }
    let names = names.join(", ");
    Some(format!(
        "nobody but the server's own user reaches its socket, so not {names}: set [server] \
                  peer_socket"
    ))
}

fn missing_program(home: &Home, exit: &ExitConfig) -> Option<String> {
    let program = match &exit.module {
        ModuleConfig::Shipped(_) => return None,
        ModuleConfig::Command(words) => file_of_word(home.path(), &words[0], true)
            .unwrap_or_else(|| exit.working_directory.join(&words[0])),
        ModuleConfig::Library { path, .. } => path.clone(),
    };
    // A bare name is searched in PATH.
    let bare = matches!(&exit.module, ModuleConfig::Command(words) if !words[0].contains('/'));
    let missing = !bare && !program.exists();
    missing.then(|| format!("exit module {}: {} is not there", exit.name, program.display()))
}
