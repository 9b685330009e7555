//! What an event, or the host when it is asked, says about the CA: its names, its certificates, its
//! revocation lists.

use exeunt_module_kit::{Properties, Value};
use exeunt_publication::{
    authority::{Authority, CERTIFICATE_COUNT_MAX, authorities},
    certificate::Certificate,
    list::{self, RevocationList},
    url::Names,
};

use crate::{ca_objects::ObjectError, ca_settings::ObjectSettings, facts::Facts};

/// The CA.
#[derive(Debug)]
pub struct Ca {
    /// Its certificates, the newest one last.
    pub certificates: Vec<CaCertificate>,
}

/// A certificate of the CA.
#[derive(Debug)]
pub struct CaCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// Names for this certificate and its key.
    names: Names,
    /// How the names of properties about it end.
    ending: String,
}

/// A list of the CA.
#[derive(Debug)]
pub struct List<'a> {
    /// The list, verified with the certificate's key.
    pub list: RevocationList,
    /// The CA's certificate that it was verified with.
    pub ca: &'a CaCertificate,
}

impl Ca {
    /// Reads what the properties of the CA say.
    ///
    /// # Errors
    ///
    /// A property is missing, or a certificate cannot be read.
    pub fn read(system: &Properties) -> Result<Self, ObjectError> {
        let all = authorities(system).map_err(ObjectError::Property)?;
        let count = all.len();
        if count == 0 {
            return Err(ObjectError::Property("nothing is said of its certificates".to_owned()));
        }
        let certificate = |Authority { index, certificate, names, .. }| {
            let ending = if index + 1 == count { String::new() } else { format!(".{index}") };
            CaCertificate { certificate, names, ending }
        };
        Ok(Self { certificates: all.into_iter().map(certificate).collect() })
    }

    /// The newest certificate.
    pub fn newest(&self) -> &CaCertificate {
        self.certificates.last().expect("BUG: read() does not give none")
    }

    /// The lists that the properties hold or name a file for, each verified.
    ///
    /// # Errors
    ///
    /// A list cannot be read, or is by no key of this CA.
    pub fn lists(
        &self,
        system: &Properties,
        settings: &ObjectSettings,
    ) -> Vec<Result<List<'_>, ObjectError>> {
        let mut lists = Vec::new();
        let kinds = [
            (settings.lists, "RawCRL", "CRLFile"),
            (settings.delta_lists, "RawDeltaCRL", "DeltaCRLFile"),
        ];
        for (_, raw, file) in kinds.iter().filter(|it| it.0) {
            for ca in &self.certificates {
                let octets = match system.binary(&format!("{raw}{}", ca.ending)) {
                    Ok(octets) => Ok(octets.to_vec()),
                    Err(_) => match system.string(&format!("{file}{}", ca.ending)) {
                        Ok(path) => read_list(path),
                        // This key has none.
                        Err(_) => continue,
                    },
                };
                lists.push(octets.and_then(|it| self.verified(it)));
            }
        }
        if let Ok(paths) = system.string("CRLPartitionFiles") {
            for path in paths.lines() {
                let list = read_list(path).and_then(|it| self.verified(it));
                let wanted = |it: &List<'_>| {
                    if it.list.is_delta() { settings.delta_lists } else { settings.lists }
                };
                if list.as_ref().map_or(true, wanted) {
                    lists.push(list);
                }
            }
        }
        lists
    }

    fn verified(&self, octets: Vec<u8>) -> Result<List<'_>, ObjectError> {
        let list =
            RevocationList::from_der(octets).map_err(|err| ObjectError::List(err.to_string()))?;
        // The newest certificate with the key names the place.
        let ca = self.certificates.iter().rev().find(|it| list.verify(&it.certificate).is_ok());
        match ca {
            Some(ca) => Ok(List { list, ca }),
            None => Err(ObjectError::Signature(list.number().to_string())),
        }
    }
}

impl CaCertificate {
    /// The names that stand in a directory, for this certificate and its key.
    pub fn names(&self, settings: &ObjectSettings, facts: &Facts) -> Names {
        let said = |setting: &Option<String>, found: &Option<String>| {
            setting.clone().or_else(|| found.clone()).unwrap_or_default()
        };
        Names {
            machine_short_name: settings.machine_short_name.clone().unwrap_or_default(),
            domain_dn: said(&settings.domain, &facts.root_domain),
            configuration_dn: said(&settings.configuration, &facts.configuration),
            ..self.names.clone()
        }
    }
}

fn read_list(path: &str) -> Result<Vec<u8>, ObjectError> {
    list::read_list(path).map_err(|err| ObjectError::ListFile(format!("{path}: {err}")))
}

/// Asks the host for what [`Ca::read`] needs.
///
/// # Errors
///
/// One line: what the host does not say.
pub fn ask(mut asked: impl FnMut(&str) -> Result<Value, String>) -> Result<Properties, String> {
    let mut properties = Properties::default();
    for name in ["SanitizedCAName", "SanitizedShortName", "MachineDNSName"] {
        properties.push(name, asked(name)?);
    }
    let count = match asked("CertCount")? {
        Value::Long(count) => usize::try_from(count).unwrap_or(1).clamp(1, CERTIFICATE_COUNT_MAX),
        _ => 1,
    };
    properties.push("CertCount", Value::Long(i32::try_from(count).unwrap_or(1)));
    for index in 0..count {
        let ending = if index + 1 == count { String::new() } else { format!(".{index}") };
        for name in ["RawCACertificate", "CertSuffix", "CRLSuffix"] {
            let value = match asked(&format!("{name}.{index}")) {
                Ok(value) => value,
                // An empty suffix may be told as no value.
                Err(_) if name != "RawCACertificate" => Value::String(String::new()),
                Err(err) => return Err(err),
            };
            properties.push(format!("{name}{ending}"), value);
        }
    }
    Ok(properties)
}
