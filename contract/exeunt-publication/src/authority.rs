//! The CA as an event shows it: its certificates, and the revocation lists that hold now.
//!
//! Both stand in the member `system` of events about the CA; a large list stands in a file of the server's
//! that is named there.

use std::io;

use exeunt_module_kit::Properties;

use crate::{
    certificate::Certificate,
    list::{RevocationList, read_list},
    outcome::chain,
    url::Names,
};

/// Most certificates of one CA, from the first to the newest.
pub const CERTIFICATE_COUNT_MAX: usize = 4096;

/// Most parts of the lists of a CA, bases and deltas of all keys together.
pub const PART_COUNT_MAX: usize = 65_536;

/// `CRLState` of a certificate whose key signs lists that are published.
const CRL_STATE_PUBLISHED: i32 = 3;

/// One certificate of the CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Which one, counted from 0.
    pub index: usize,
    /// The certificate itself.
    pub certificate: Certificate,
    /// What the tokens of publication URLs stand for.
    pub names: Names,
    /// Whether the lists of its key are published under it.
    pub has_lists: bool,
}

/// A revocation list whose signature was verified, with the names that it is published under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentList {
    /// The list.
    pub list: RevocationList,
    /// What the tokens of publication URLs stand for.
    pub names: Names,
    /// Which of the CA's certificates it was verified with, counted from 0.
    pub index: usize,
}

/// Why a list cannot be had, in one line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoList {
    /// Its file cannot be read now; it may have been replaced by the next one meanwhile.
    NotNow(String),
    /// It is not what it should be, at whatever time.
    Never(String),
}

/// How the names of properties about that certificate end: the newest one's stand under the plain
/// names.
fn ending(index: usize, count: usize) -> String {
    if index + 1 == count { String::new() } else { format!(".{index}") }
}

/// The CA's certificates, oldest first; none where the event does not say anything about the CA.
///
/// # Errors
///
/// One line: something about the CA is there and cannot be understood.
pub fn authorities(system: &Properties) -> Result<Vec<Authority>, String> {
    let Ok(count) = system.long("CertCount") else { return Ok(Vec::new()) };
    let count = usize::try_from(count).unwrap_or(0);
    if CERTIFICATE_COUNT_MAX < count {
        return Err(format!("a CA with more than {CERTIFICATE_COUNT_MAX} certificates"));
    }
    let text = |name: &str| system.string(name).unwrap_or_default().to_owned();
    let common = Names {
        machine_dns_name: text("MachineDNSName"),
        sanitized_ca_name: text("SanitizedCAName"),
        sanitized_short_name: text("SanitizedShortName"),
        configuration_dn: text("ConfigDN"),
        domain_dn: text("DomainDN"),
        ..Names::default()
    };
    (0..count)
        .map(|index| {
            let ending = ending(index, count);
            let name = format!("RawCACertificate{ending}");
            let der = system.binary(&name).map_err(|err| err.to_string())?;
            let certificate = Certificate::from_der(der)
                .map_err(|err| format!("certificate {index} of the CA: {}", chain(&err)))?;
            let state = system.long(&format!("CRLState{ending}"));
            Ok(Authority {
                index,
                certificate,
                names: Names {
                    cert_suffix: text(&format!("CertSuffix{ending}")),
                    crl_suffix: text(&format!("CRLSuffix{ending}")),
                    ..common.clone()
                },
                has_lists: state.is_ok_and(|it| it == CRL_STATE_PUBLISHED),
            })
        })
        .collect()
}

/// The lists that an event shows, each verified with the certificate of its key: bases, deltas, parts.
///
/// What cannot be read, or is not what it should be, stands in place of the list.
pub fn lists(system: &Properties, authorities: &[Authority]) -> Vec<Result<CurrentList, NoList>> {
    let mut found = Vec::new();
    for authority in authorities.iter().filter(|it| it.has_lists) {
        let ending = ending(authority.index, authorities.len());
        for (raw, file, delta) in
            [("RawCRL", "CRLFile", false), ("RawDeltaCRL", "DeltaCRLFile", true)]
        {
            let der = match system.binary(&format!("{raw}{ending}")) {
                Ok(der) => Ok(der.to_vec()),
                Err(_) => match system.string(&format!("{file}{ending}")) {
                    Ok(path) => read(path),
                    // There is no such list, as there are no deltas where they are off.
                    Err(_) => continue,
                },
            };
            found.push(der.and_then(|der| whole(der, authority, delta).map_err(NoList::Never)));
        }
    }
    let parts = system.string("CRLPartitionFiles").unwrap_or_default();
    for path in parts.lines().take(PART_COUNT_MAX) {
        found.push(read(path).and_then(|der| part(der, authorities).map_err(NoList::Never)));
    }
    found
}

fn read(path: &str) -> Result<Vec<u8>, NoList> {
    read_list(path).map_err(|err| {
        let why = format!("reading {path}: {err}");
        match err.kind() {
            io::ErrorKind::FileTooLarge => NoList::Never(why),
            _ => NoList::NotNow(why),
        }
    })
}

fn whole(der: Vec<u8>, authority: &Authority, delta: bool) -> Result<CurrentList, String> {
    let list = RevocationList::from_der(der).map_err(|err| chain(&err))?;
    list.verify(&authority.certificate)
        .map_err(|err| format!("revocation list {}: {}", list.number(), chain(&err)))?;
    if list.is_delta() != delta {
        return Err(format!("revocation list {} is no base, or no delta", list.number()));
    }
    Ok(CurrentList {
        names: Names { delta, part: list.part(), ..authority.names.clone() },
        list,
        index: authority.index,
    })
}

fn part(der: Vec<u8>, authorities: &[Authority]) -> Result<CurrentList, String> {
    let list = RevocationList::from_der(der).map_err(|err| chain(&err))?;
    if list.part() == 0 {
        return Err(format!("revocation list {} does not say which part it is", list.number()));
    }
    let mut owners = authorities.iter().filter(|it| it.has_lists);
    let owner = owners
        .find(|it| list.verify(&it.certificate).is_ok())
        .ok_or_else(|| format!("revocation list {} is of no key of this CA", list.number()))?;
    Ok(CurrentList {
        names: Names { delta: list.is_delta(), part: list.part(), ..owner.names.clone() },
        index: owner.index,
        list,
    })
}
