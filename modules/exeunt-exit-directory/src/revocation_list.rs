//! The CA's own objects, when something is told of them: its certificates, its revocation lists, and
//! certificates that bind it to other CAs.

use std::time::Duration;

use exeunt_module_kit::{Event, Outcome, exit_event};
use exeunt_publication::{
    certificate::Certificate,
    list::{self, RevocationList, Standing},
};
// The clock, where the rest of the module looks for it.
pub use exeunt_publication::time::unix_now as now;

use crate::{
    ca::{Ca, List},
    ca_objects::{
        self, ListPlace, Object, ObjectError, PLACEHOLDER, ROUNDS, compare_and_set, create, ensure,
    },
    ca_settings::{Make, ObjectSettings},
    error::DirectoryError,
    result_code::Then,
    session::{Entry, Session},
};

/// constraintViolation (RFC 4511).
const CONSTRAINT: u32 = 19;

/// The attribute of certificates between CAs (RFC 4523, section 4.2).
pub const CROSS: &str = "crossCertificatePair";

/// Takes an event about the CA itself. An error is turned into an outcome by the caller, who may try
/// once more over another connection.
///
/// # Errors
///
/// What the directory said.
pub async fn notify(
    session: &Session,
    settings: &ObjectSettings,
    event: &Event,
) -> Result<Outcome, DirectoryError> {
    let told = match event.event {
        exit_event::CRL_ISSUED => return publish_lists(session, settings, event).await,
        exit_event::CA_CERT_ISSUED => publish_certificates(session, settings, event).await,
        exit_event::CERT_ISSUED | exit_event::CERT_REVOKED => {
            publish_cross(session, settings, event).await
        }
        _ => Ok(Outcome::Skip),
    };
    told.or_else(ObjectError::outcome)
}

/// Publishes every list that is told of.
async fn publish_lists(
    session: &Session,
    settings: &ObjectSettings,
    event: &Event,
) -> Result<Outcome, DirectoryError> {
    let ca = match Ca::read(&event.system) {
        Ok(ca) => ca,
        Err(err) => return err.outcome(),
    };
    let mut sum = Outcome::Skip;
    for list in ca.lists(&event.system, settings) {
        let places = list.and_then(|list| {
            let places = ca_objects::list_places(settings, &list, &session.facts)?;
            Ok((list, places))
        });
        match places {
            Ok((list, places)) => {
                for place in places {
                    let told = publish_list(session, settings.make, &place, &list, now()).await;
                    sum = worse(sum, told.or_else(ObjectError::outcome)?);
                }
            }
            Err(err) => sum = worse(sum, err.outcome()?),
        }
    }
    Ok(sum)
}

/// The outcome of two things of one event: it is tried again as long as one of them has to be, and
/// then waits for a person where one of them does.
pub fn worse(one: Outcome, other: Outcome) -> Outcome {
    let rank = |it: &Outcome| match it {
        Outcome::Skip => 0,
        Outcome::Accept => 1,
        Outcome::Park { .. } => 2,
        _ => 3,
    };
    if rank(&one) < rank(&other) { other } else { one }
}

/// How a list stands to what its place holds.
#[derive(Debug)]
pub struct Look {
    /// The object; none where it is not there.
    pub entry: Option<Entry>,
    /// What is to be done.
    pub standing: Standing,
}

/// Looks at the place of a list.
///
/// # Errors
///
/// What the directory says.
pub async fn look(
    session: &Session,
    place: &ListPlace,
    list: &RevocationList,
    ca: &Certificate,
    now: i64,
) -> Result<Look, DirectoryError> {
    let asked = [session.attribute(place.attribute), "entryCSN".to_owned()];
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let entry = session.read(&place.dn, &asked).await?;
    let present: Vec<&[u8]> = match &entry {
        Some(entry) => entry.values(place.attribute).filter(|it| *it != PLACEHOLDER).collect(),
        None => Vec::new(),
    };
    let standing = stand(&present, list, ca, now);
    Ok(Look { entry, standing })
}

/// How a list stands to several values. One that is not ours decides, then one that is newer.
fn stand(present: &[&[u8]], list: &RevocationList, ca: &Certificate, now: i64) -> Standing {
    let mut all = present.iter().map(|it| list::compare(Some(it), list, ca, now));
    let Some(first) = all.next() else { return list::compare(None, list, ca, now) };
    let rank = |it: &Standing| match it {
        Standing::Foreign { .. } => 5,
        Standing::Superseded { .. } => 4,
        Standing::Expired => 3,
        Standing::Newer { .. } => 2,
        _ => 1,
    };
    all.fold(first, |one, other| if rank(&one) < rank(&other) { other } else { one })
}

/// Puts a list in its place, unless a newer one is there, and reads it back.
///
/// # Errors
///
/// What kept it from that.
pub async fn publish_list(
    session: &Session,
    make: Make,
    place: &ListPlace,
    list: &List<'_>,
    now: i64,
) -> Result<Outcome, ObjectError> {
    let List { list, ca } = list;
    let mut contested = None;
    for _ in 0..ROUNDS {
        let Look { entry, standing } = look(session, place, list, &ca.certificate, now).await?;
        match standing {
            Standing::Same => return Ok(Outcome::Accept),
            Standing::Superseded { .. } | Standing::Expired => return Ok(Outcome::Skip),
            Standing::Foreign { why } => {
                return Err(ObjectError::Foreign { place: place.dn.clone(), why });
            }
            Standing::Missing | Standing::Newer { .. } => (),
        }
        if let Ok(within @ 1..) = u64::try_from(list.this_update().saturating_sub(now)) {
            let within = Duration::from_secs(within);
            return Err(ObjectError::Early { number: list.number(), within });
        }
        let Some(entry) = entry else {
            let object = ca_objects::list_object(place, &session.facts, Some(list.der()));
            create(session, &object, make).await?;
            continue;
        };
        match compare_and_set(session, &entry, place.attribute, vec![list.der().to_vec()]).await {
            Ok(()) => (),
            // Somebody else has written in between: look again. A second value where there may be
            // one alone is such a case, and looks like one that the server never takes.
            Err(err) if err.then() == Then::Look => (),
            Err(err) if err.result_code() == Some(CONSTRAINT) => contested = Some(err),
            Err(err) => return Err(err.into()),
        }
    }
    Err(contested.map_or_else(|| ObjectError::NotThere(place.dn.clone()), ObjectError::Directory))
}

/// Puts the CA's certificates on its objects.
async fn publish_certificates(
    session: &Session,
    settings: &ObjectSettings,
    event: &Event,
) -> Result<Outcome, ObjectError> {
    let ca = Ca::read(&event.system)?;
    let objects = ca_objects::objects(settings, &ca, &session.facts, now())?;
    let mut outcome = Outcome::Skip;
    for object in objects {
        ensure(session, &object, settings.make).await?;
        outcome = Outcome::Accept;
    }
    Ok(outcome)
}

/// Puts a certificate of another CA, or of another key of this one, on the CA's object; or takes it
/// away, when it is revoked.
async fn publish_cross(
    session: &Session,
    settings: &ObjectSettings,
    event: &Event,
) -> Result<Outcome, ObjectError> {
    let property = |err: &dyn std::fmt::Display| ObjectError::Property(err.to_string());
    let der = event.certificate.binary("RawCertificate").map_err(|err| property(&err))?;
    let certificate = Certificate::from_der(der).map_err(|err| property(&err))?;
    if !certificate.is_ca() {
        return Ok(Outcome::Skip);
    }
    let ca = Ca::read(&event.system)?;
    let own = ca.certificates.iter().any(|it| it.certificate.subject() == certificate.subject());
    let pair = certificate_pair(certificate.der(), own);
    let dn = ca_objects::cross_place(settings, &ca, &session.facts)?;
    let wanted = event.event == exit_event::CERT_ISSUED;
    let asked = [session.attribute(CROSS), "entryCSN".to_owned()];
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    for _ in 0..ROUNDS {
        let Some(entry) = session.read(&dn, &asked).await? else {
            if !wanted {
                return Ok(Outcome::Accept);
            }
            let only_cross = ObjectSettings { aia: true, ..settings.clone() };
            let objects = ca_objects::objects(&only_cross, &ca, &session.facts, now())?;
            let object: Option<Object> =
                objects.into_iter().find(|it| it.dn.eq_ignore_ascii_case(&dn));
            let object = object.ok_or_else(|| ObjectError::Missing(dn.clone()))?;
            create(session, &object, settings.make).await?;
            continue;
        };
        let present: Vec<&[u8]> = entry.values(CROSS).collect();
        if present.contains(&pair.as_slice()) == wanted {
            return Ok(Outcome::Accept);
        }
        let mut values: Vec<Vec<u8>> =
            present.into_iter().filter(|it| *it != pair).map(<[u8]>::to_vec).collect();
        if wanted {
            values.push(pair.clone());
        }
        match compare_and_set(session, &entry, CROSS, values).await {
            Ok(()) => (),
            Err(err) if err.then() == Then::Look => (),
            Err(err) => return Err(err.into()),
        }
    }
    Err(ObjectError::NotThere(dn))
}

/// A `CertificatePair` (RFC 4523, section 2.3) with one certificate: one that was issued to this CA,
/// or by it.
fn certificate_pair(certificate: &[u8], issued_to_this: bool) -> Vec<u8> {
    let inner = tagged(if issued_to_this { 0xa0 } else { 0xa1 }, certificate);
    tagged(0x30, &inner)
}

/// A value in DER: tag, length, contents.
fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|it| **it == 0).count()..];
    let mut out = vec![tag];
    match significant {
        [] => out.push(0),
        [short @ 0..0x80] => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).expect("BUG: a length has eight octets"));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(contents);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_as_few_octets_as_they_need() {
        assert_eq!(tagged(0x30, &[]), [0x30, 0]);
        assert_eq!(tagged(0x30, &[7; 0x7f])[..2], [0x30, 0x7f]);
        assert_eq!(tagged(0x30, &[7; 0x80])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(tagged(0x30, &[7; 0x1234])[..4], [0x30, 0x82, 0x12, 0x34]);
        assert_eq!(certificate_pair(&[1, 2], true), [0x30, 4, 0xa0, 2, 1, 2]);
        assert_eq!(certificate_pair(&[1, 2], false), [0x30, 4, 0xa1, 2, 1, 2]);
    }

    #[test]
    fn what_has_to_be_done_again_decides_about_an_event() {
        let retry = exeunt_publication::outcome::retry("later");
        let park = exeunt_publication::outcome::park("look");
        assert_eq!(worse(Outcome::Skip, Outcome::Accept), Outcome::Accept);
        assert_eq!(worse(park.clone(), Outcome::Accept), park);
        assert_eq!(worse(park, retry.clone()), retry);
    }
}
