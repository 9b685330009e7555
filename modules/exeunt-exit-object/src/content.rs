//! What is published: under which key, as which octets, and whether it may take the place of what is
//! there.

use exeunt_module_kit::{Event, exit_event};
use exeunt_publication::{
    authority::{self, Authority, CurrentList, NoList},
    certificate::Certificate,
    list::{Standing, compare},
    outcome,
    pattern::{Place, sanitized},
    url::Names,
};
use pem_rfc7468::LineEnding;

use crate::{
    bucket::{Body, CERTIFICATE_BYTES_MAX, Failure, OBJECT_BYTES_MAX},
    settings::{Format, Settings},
};

/// Label of the armour, RFC 7468, section 5.1.
const LABEL: &str = "CERTIFICATE";

/// Media type of a certificate in DER (RFC 2585, section 4.1).
const CERTIFICATE_TYPE: &str = "application/pkix-cert";

/// Media type of a revocation list in DER (RFC 2585, section 4.2).
const LIST_TYPE: &str = "application/pkix-crl";

/// Media type of a certificate in PEM (RFC 8555, section 9.1, for chains; one is a chain as well).
const PEM_TYPE: &str = "application/pem-certificate-chain";

/// One object that should be there.
#[derive(Debug)]
pub struct Wanted {
    /// Its key.
    pub key: String,
    /// What it is, for the operator.
    pub name: String,
    octets: Vec<u8>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Somebody's certificate, and those of the CA.
    Issued {
        certificate: Box<Certificate>,
        format: Format,
        read_back: bool,
        authorities: Vec<Certificate>,
    },
    /// One of the CA's own.
    Authority,
    /// A list, verified with that certificate.
    List { list: Box<CurrentList>, signer: Box<Certificate>, cache_control: String },
}

/// What is to be done about what is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It should be written, over what was looked at.
    Write,
    /// It is there.
    Same,
    /// What is there is newer.
    Superseded,
    /// What is there is not ours.
    Foreign(String),
}

impl Wanted {
    /// What is written.
    pub fn body(&self) -> Body<'_> {
        let (content_type, cache_control) = match &self.content {
            Content::Issued { format: Format::Pem, .. } => (PEM_TYPE, None),
            Content::Issued { .. } | Content::Authority => (CERTIFICATE_TYPE, None),
            Content::List { cache_control, .. } => (LIST_TYPE, Some(cache_control.as_str())),
        };
        Body { bytes: &self.octets, content_type, cache_control }
    }

    /// Most octets that are looked at of what is there; what is larger is none of ours.
    pub fn bytes_max(&self) -> u64 {
        match self.content {
            Content::Issued { .. } | Content::Authority => CERTIFICATE_BYTES_MAX,
            Content::List { .. } => OBJECT_BYTES_MAX,
        }
    }

    /// Whether nothing is expected to be there, so that it is worth writing before looking.
    pub fn is_new(&self) -> bool {
        matches!(self.content, Content::Issued { .. })
    }

    /// Whether it counts only after it was read back.
    pub fn is_read_back(&self) -> bool {
        match &self.content {
            Content::Issued { read_back, .. } => *read_back,
            // Every relying party depends on these.
            Content::Authority | Content::List { .. } => true,
        }
    }

    /// Whether it is a certificate of the CA's own, or a list.
    pub fn is_the_cas_own(&self) -> bool {
        !matches!(self.content, Content::Issued { .. })
    }

    /// Compares it with what is there. `now` is in Unix seconds.
    pub fn verdict(&self, present: Option<&[u8]>, now: i64) -> Verdict {
        let Some(octets) = present else {
            return match &self.content {
                Content::List { list, .. } if list.list.expired_at(now) => Verdict::Superseded,
                _ => Verdict::Write,
            };
        };
        if octets == self.octets {
            return Verdict::Same;
        }
        match &self.content {
            Content::Authority => {
                Verdict::Foreign("something else than the CA's certificate is there".to_owned())
            }
            Content::Issued { certificate, authorities, .. } => {
                match read(octets) {
                    Some(it) if authorities.iter().any(|ca| it.issued_by(ca).is_ok()) => {
                        let age = |it: &Certificate| (it.not_before(), it.der().to_vec());
                        // The same is there in the other format.
                        if age(certificate) >= age(&it) {
                            Verdict::Write
                        } else {
                            Verdict::Superseded
                        }
                    }
                    _ => Verdict::Foreign("what is there is no certificate of this CA".to_owned()),
                }
            }
            Content::List { list, signer, .. } => {
                match compare(Some(octets), &list.list, signer, now) {
                    Standing::Missing | Standing::Newer { .. } => Verdict::Write,
                    Standing::Same => Verdict::Same,
                    Standing::Superseded { .. } | Standing::Expired => Verdict::Superseded,
                    Standing::Foreign { why } => Verdict::Foreign(why),
                }
            }
        }
    }
}

/// A certificate in either format.
fn read(octets: &[u8]) -> Option<Certificate> {
    match pem_rfc7468::decode_vec(octets) {
        Ok((LABEL, der)) => Certificate::from_der(&der).ok(),
        _ => Certificate::from_der(octets).ok(),
    }
}

/// Whether an object is a certificate or a list that one of these has signed, or one of these.
pub fn is_ours(octets: &[u8], authorities: &[Certificate]) -> bool {
    match read(octets) {
        Some(it) => authorities.iter().any(|ca| *ca == it || it.issued_by(ca).is_ok()),
        None => match exeunt_publication::list::RevocationList::from_der(octets) {
            Ok(list) => authorities.iter().any(|ca| list.verify(ca).is_ok()),
            Err(_) => false,
        },
    }
}

/// The CA's certificates, as an event shows them.
///
/// # Errors
///
/// One line for the operator.
pub fn authorities(event: &Event) -> Result<Vec<Authority>, String> {
    authority::authorities(&event.system)
}

/// What an event asks for; nothing where it does not concern the bucket. For what cannot be made it
/// is said in its place why.
pub fn of_event(event: &Event, settings: &Settings) -> Vec<Result<Wanted, Failure>> {
    match event.event {
        exit_event::CERT_ISSUED => of_certificate(event, settings)
            .map_err(Failure::Never)
            .transpose()
            .into_iter()
            .collect(),
        exit_event::CRL_ISSUED | exit_event::CA_CERT_ISSUED | exit_event::STARTUP => {
            of_authority(event, settings)
        }
        _ => Vec::new(),
    }
}

/// The certificate of an event, whatever happened to it.
///
/// # Errors
///
/// One line for the operator.
pub fn of_certificate(event: &Event, settings: &Settings) -> Result<Option<Wanted>, String> {
    let Some(pattern) = &settings.certificates else { return Ok(None) };
    let der = event.certificate.binary("RawCertificate").map_err(|err| err.to_string())?;
    let certificate = Certificate::from_der(der).map_err(|err| outcome::chain(&err))?;
    let octets = match settings.format {
        Format::Der => der.to_vec(),
        Format::Pem => pem_rfc7468::encode_string(LABEL, LineEnding::LF, der)
            .map_err(|err| err.to_string())?
            .into_bytes(),
    };
    Ok(Some(Wanted {
        key: pattern.expand(event)?,
        name: format!("certificate {}", certificate.serial()),
        octets,
        content: Content::Issued {
            certificate: Box::new(certificate),
            format: settings.format,
            read_back: settings.read_back,
            authorities: authorities(event)?.into_iter().map(|it| it.certificate).collect(),
        },
    }))
}

/// The CA's own certificates and lists.
pub fn of_authority(event: &Event, settings: &Settings) -> Vec<Result<Wanted, Failure>> {
    let authorities = match authorities(event) {
        Ok(authorities) => authorities,
        Err(why) => return vec![Err(Failure::Never(why))],
    };
    let mut wanted = Vec::new();
    if let Some(folder) = &settings.ca_folder {
        wanted.extend(authorities.iter().map(|it| {
            let name = file_name(&it.names.sanitized_ca_name).map_err(Failure::Never)?;
            Ok(Wanted {
                key: format!("{folder}{name}{}.crt", it.names.cert_suffix),
                name: format!("certificate {} of the CA", it.index),
                octets: it.certificate.der().to_vec(),
                content: Content::Authority,
            })
        }));
    }
    if let Some(folder) = &settings.list_folder {
        let lists = authority::lists(&event.system, &authorities);
        wanted.extend(lists.into_iter().map(|list| match list {
            Ok(it) => of_list(it, folder, settings, &authorities).map_err(Failure::Never),
            Err(NoList::NotNow(why)) => Err(Failure::NotNow(why)),
            Err(NoList::Never(why)) => Err(Failure::Never(why)),
        }));
    }
    wanted
}

fn of_list(
    list: CurrentList,
    folder: &str,
    settings: &Settings,
    authorities: &[Authority],
) -> Result<Wanted, String> {
    let signer = authorities.iter().find(|it| it.index == list.index);
    let signer = signer.ok_or("a list without the certificate of its key")?.certificate.clone();
    let kind = if list.list.is_delta() { "delta" } else { "base" };
    Ok(Wanted {
        key: format!("{folder}{}", list_name(&list.names)?),
        name: format!("{kind} revocation list {}", list.list.number()),
        octets: list.list.der().to_vec(),
        content: Content::List {
            signer: Box::new(signer),
            cache_control: settings.list_cache_control.clone(),
            list: Box::new(list),
        },
    })
}

/// The name under which the CA's own addresses have a list.
fn list_name(names: &Names) -> Result<String, String> {
    let ca = file_name(&names.sanitized_ca_name)?;
    let part = match names.part {
        0 => String::new(),
        part => format!("_Partition{part:05}"),
    };
    let delta = if names.delta { "+" } else { "" };
    Ok(format!("{ca}{}{part}{delta}.crl", names.crl_suffix))
}

/// The CA's sanitised name, which is fit for a key as it is.
fn file_name(name: &str) -> Result<String, String> {
    let fits =
        |it: char| it == '!' || sanitized(&it.to_string(), Place::ObjectKey) == it.to_string();
    let safe = !name.is_empty() && !name.starts_with('.');
    if safe && name.chars().skip(1).all(|it| it == '.' || fits(it)) {
        Ok(name.to_owned())
    } else {
        Err(format!("the CA's name {name:?} is not fit for a key"))
    }
}
