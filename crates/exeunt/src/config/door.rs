//! `[[door]]`, `[tls]`, and what `[server]` says of TLS, checked.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_engine::{SERVER_VALIDITY_MAX, SERVER_VALIDITY_MIN, ServerCertificateSettings};
use exeunt_http::{ClientTrust, Clients, TcpDoor, Tls, TlsFiles};
use exeunt_types::KeyAlgorithm;
use exeunt_x509::GeneralName;

use super::file::{DoorTable, ServerTable, TlsTable};
use super::{Config, ConfigError, value_error};

/// Most `[[door]]` tables. Each has connections of its own.
pub const DOOR_COUNT_MAX: usize = 8;
/// Most names of the server's own certificate: as many as any certificate has.
pub const SERVER_NAME_COUNT_MAX: usize = 100;

/// Kinds of keys for the server's own certificate: those that clients of TLS know.
const KEYS: [KeyAlgorithm; 6] = [
    KeyAlgorithm::EcdsaP256,
    KeyAlgorithm::EcdsaP384,
    KeyAlgorithm::Ed25519,
    KeyAlgorithm::Rsa { bits: 2048 },
    KeyAlgorithm::Rsa { bits: 3072 },
    KeyAlgorithm::Rsa { bits: 4096 },
];
const SECONDS_PER_DAY: u64 = 86_400;

/// The TLS of `[server]`.
pub fn of_server(table: &ServerTable, home: &Path) -> Result<Option<Tls>, ConfigError> {
    let ServerTable { tls, tls_certificate, tls_key, .. } = table;
    which("server", (tls.as_deref(), tls_certificate.as_ref(), tls_key.as_ref()), home)
}

/// The tables `[[door]]`.
pub fn checked(tables: Vec<DoorTable>, home: &Path) -> Result<Vec<TcpDoor>, ConfigError> {
    if DOOR_COUNT_MAX < tables.len() {
        return Err(value_error("door", format!("there are more than {DOOR_COUNT_MAX}")));
    }
    let doors = tables.into_iter().map(|it| one(it, home)).collect::<Result<Vec<TcpDoor>, _>>()?;
    for (place, door) in doors.iter().enumerate() {
        let same = |it: &TcpDoor| it.address == door.address && it.address.port() != 0;
        if doors[..place].iter().any(same) {
            return Err(value_error("door.listen", format!("{} stands twice", door.address)));
        }
    }
    Ok(doors)
}

fn one(table: DoorTable, home: &Path) -> Result<TcpDoor, ConfigError> {
    let DoorTable {
        listen: address,
        tls,
        tls_certificate,
        tls_key,
        client_certificates,
        client_ca,
        client_crl,
    } = table;
    let files = (tls.as_deref(), tls_certificate.as_ref(), tls_key.as_ref());
    let tls = which("door", files, home)?;
    if tls.is_none() && !address.ip().is_loopback() {
        let reason = format!(
            "{address} is not a loopback address, and without TLS tokens would cross the network in \
             the clear"
        );
        return Err(value_error("door.listen", reason));
    }
    if client_ca.is_none() && !client_crl.is_empty() {
        let reason = "this CA knows itself what it has revoked; lists go with client_ca";
        return Err(value_error("door.client_crl", reason));
    }
    let has_trust = client_ca.is_some();
    let trust = ClientTrust {
        ca: client_ca.map(|it| home.join(it)),
        crls: client_crl.into_iter().map(|it| home.join(it)).collect(),
    };
    let clients = match client_certificates.as_deref() {
        None | Some("refuse") if has_trust => {
            let reason = "goes with client_certificates = \"ask\" or \"require\"";
            return Err(value_error("door.client_ca", reason));
        }
        None | Some("refuse") => Clients::Refuse,
        Some("ask") => Clients::Ask(trust),
        Some("require") => Clients::Require(trust),
        Some(_) => {
            let reason = "must be \"refuse\", \"ask\" or \"require\"";
            return Err(value_error("door.client_certificates", reason));
        }
    };
    if tls.is_none() && clients != Clients::Refuse {
        let reason = "certificates of clients come with TLS only";
        return Err(value_error("door.client_certificates", reason));
    }
    Ok(TcpDoor { address, tls, clients })
}

/// Which certificate a listener shows.
fn which(
    table: &str,
    (tls, certificate, key): (Option<&str>, Option<&PathBuf>, Option<&PathBuf>),
    home: &Path,
) -> Result<Option<Tls>, ConfigError> {
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (home.join(certificate), home.join(key));
            Some(Tls::Files(TlsFiles { certificate, key }))
        }
        (None, None) => None,
        _ => return Err(value_error(table, "tls_certificate and tls_key go together")),
    };
    match (tls, files) {
        (None, files) => Ok(files),
        (Some("own"), None) => Ok(Some(Tls::Own)),
        (Some("none"), None) => Ok(None),
        (Some("own" | "none"), Some(_)) => {
            let reason = "is given beside tls_certificate; only one of them can be";
            Err(value_error(format!("{table}.tls"), reason))
        }
        (Some(_), _) => Err(value_error(format!("{table}.tls"), "must be \"own\" or \"none\"")),
    }
}

/// `[tls]`: the server's own certificate. No names are those of [`names_of_doors`].
pub fn own(table: TlsTable) -> Result<ServerCertificateSettings, ConfigError> {
    let TlsTable { names, validity_days, key } = table;
    if SERVER_NAME_COUNT_MAX < names.len() {
        let reason = format!("there are more than {SERVER_NAME_COUNT_MAX}");
        return Err(value_error("tls.names", reason));
    }
    let names = names.iter().map(|it| name(it)).collect::<Result<_, _>>()?;
    let validity = Duration::from_secs(u64::from(validity_days) * SECONDS_PER_DAY);
    if !(SERVER_VALIDITY_MIN..=SERVER_VALIDITY_MAX).contains(&validity) {
        let days = |it: Duration| it.as_secs() / SECONDS_PER_DAY;
        let (least, most) = (days(SERVER_VALIDITY_MIN), days(SERVER_VALIDITY_MAX));
        return Err(value_error("tls.validity_days", format!("must be {least} to {most}")));
    }
    let key = KEYS.into_iter().find(|it| it.name() == key).ok_or_else(|| {
        let known: Vec<String> = KEYS.iter().map(|it| it.name()).collect();
        value_error("tls.key", format!("must be one of {}", known.join(", ")))
    })?;
    Ok(ServerCertificateSettings { names, validity, key })
}

/// A name or an address, as it stands in URLs.
fn name(text: &str) -> Result<GeneralName, ConfigError> {
    if let Ok(address) = text.parse() {
        return Ok(GeneralName::Ip(address));
    }
    let name = GeneralName::Dns(text.to_owned());
    name.check().map_err(|err| value_error("tls.names", err.to_string()))?;
    Ok(name)
}

/// Under which names clients reach doors, where nobody says: the machine's name, the addresses that
/// the doors listen on, and localhost where one is of this machine only.
pub fn names_of_doors(machine: &str, addresses: &[SocketAddr]) -> Vec<GeneralName> {
    let mut names = Vec::new();
    let machine = GeneralName::Dns(machine.to_owned());
    names.extend(Some(machine).filter(|it| it.check().is_ok()));
    if addresses.iter().any(|it| it.ip().is_loopback() || it.ip().is_unspecified()) {
        names.push(GeneralName::Dns("localhost".to_owned()));
    }
    let mut ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    ips.retain(|it| !it.is_unspecified());
    names.extend(ips.into_iter().map(GeneralName::Ip));
    let mut once: Vec<GeneralName> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

impl Config {
    /// All doors for TCP: that of `[server]`, with another address if there is one, and the others.
    pub fn tcp_doors(&self, listen: Option<SocketAddr>) -> Vec<TcpDoor> {
        let first = listen.or(self.listen).map(|address| TcpDoor {
            address,
            tls: self.tls.clone(),
            clients: Clients::Refuse,
        });
        first.into_iter().chain(self.doors.iter().cloned()).collect()
    }

    /// Files with private keys of TLS.
    pub fn tls_keys(&self) -> impl Iterator<Item = &PathBuf> {
        let of_doors = self.doors.iter().filter_map(|it| it.tls.as_ref());
        self.tls.iter().chain(of_doors).filter_map(|it| match it {
            Tls::Files(files) => Some(&files.key),
            Tls::Own => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_after_its_machine_and_its_doors() {
        let names = |machine: &str, addresses: &[&str]| {
            let addresses: Vec<SocketAddr> =
                addresses.iter().map(|it| it.parse().unwrap()).collect();
            let names = names_of_doors(machine, &addresses);
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("ca.example", &["0.0.0.0:1"]), "dns:ca.example dns:localhost");
        assert_eq!(
            names("a b", &["127.0.0.1:1", "[::1]:1", "127.0.0.1:2"]),
            "dns:localhost ip:127.0.0.1 ip:::1"
        );
        assert_eq!(names("host", &["192.0.2.1:1"]), "dns:host ip:192.0.2.1");
    }
}
