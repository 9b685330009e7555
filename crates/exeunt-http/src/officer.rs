//! What officers do: deciding requests, revoking certificates, making revocation lists.
//!
//! Who may is in the table of `endpoint.rs`.

use std::sync::Arc;

use exeunt_api::{
    AttributesOrder, Denied, DenyOrder, ExtensionOrder, PublishExpiredOrder, PublishOrder,
    RevokeOrder, Revoked,
};
use exeunt_engine::{Blame, Caller, CrlError, Engine, OfficerError, Outcome, Submitted, Which};
use exeunt_types::{
    CrlKind, CrlLine, OfficerExtension, RequestId, RevocationReason, Serial, UnixMillis,
};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, from_rfc3339, json};
use crate::endpoint::Operation;
use crate::fault::Fault;
use crate::handler::{Edge, blocking, look_up};
use crate::rooms::Room;
use crate::submit::Telling;
use crate::{body, rows, submit};

/// What is at a path below a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestPart<'a> {
    Approve,
    Deny,
    Resubmit,
    Retrieve,
    Attributes,
    Extension(&'a str),
}

impl<'a> RequestPart<'a> {
    /// The operations on a request. `second` is what else stands in the path.
    pub(crate) fn of(operation: Operation, second: &'a str) -> Option<Self> {
        Some(match operation {
            Operation::ApproveRequest => Self::Approve,
            Operation::DenyRequest => Self::Deny,
            Operation::ResubmitRequest => Self::Resubmit,
            Operation::RetrieveRequest => Self::Retrieve,
            Operation::SetAttributes => Self::Attributes,
            Operation::SetExtension => Self::Extension(second),
            _ => return None,
        })
    }
}

/// What is at a path below a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificatePart {
    Revoke,
    Unrevoke,
    PublishExpired,
}

/// `/v1/requests/{id}/{part}`.
pub(crate) async fn request(
    edge: &Arc<Edge>,
    caller: Caller,
    (id, part): (&str, RequestPart<'_>),
    body: Incoming,
) -> Result<Answer, Fault> {
    let id = rows::request_id(id)?;
    match part {
        RequestPart::Approve => decide(edge, id, move |engine| engine.approve(id, &caller)).await,
        RequestPart::Resubmit => decide(edge, id, move |engine| engine.resubmit(id, &caller)).await,
        RequestPart::Retrieve => {
            // Anybody with a token may do this: it takes none of the officers' room.
            look_up(edge, move |edge| {
                edge.engine.retrieve(id).map(rows::retrieved).map_err(|err| fault(&err))
            })
            .await
        }
        RequestPart::Deny => {
            let DenyOrder { reason } = read_or_default(edge, body).await?;
            let deny = move |engine: &Engine| engine.deny(id, &caller, reason.as_deref());
            let event = without_key(edge, deny).await??;
            let disposition = exeunt_api::Disposition::Denied;
            Ok(json(StatusCode::OK, &Denied { request_id: id.0, disposition, event: event.0 }))
        }
        RequestPart::Attributes => {
            let AttributesOrder { attributes } = read(edge, body).await?;
            if attributes.is_empty() {
                return Err(Fault::order("no attribute is named"));
            }
            // One of them must not bring another one along.
            if attributes.iter().any(|it| it.contains(['\r', '\n']) || !it.contains(':')) {
                let detail = "an attribute is one line, NAME:VALUE".to_owned();
                return Err(Fault::attribute("attribute-invalid", detail));
            }
            let lines = attributes.join("\n");
            without_key(edge, move |engine| engine.set_attributes(id, &lines, &caller)).await??;
            look_up(edge, move |edge| rows::request(&edge.engine, id)).await
        }
        RequestPart::Extension(oid) => {
            let ExtensionOrder { value, critical, disabled } = read(edge, body).await?;
            let value =
                unhex(&value).ok_or_else(|| Fault::order("value is not octets in hexadecimal"))?;
            let flag = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
            let flags = flag(critical, OfficerExtension::CRITICAL)
                | flag(disabled, OfficerExtension::DISABLED);
            let extension = OfficerExtension { oid: oid.to_owned(), flags, value };
            without_key(edge, move |engine| engine.set_extension(id, extension, &caller)).await??;
            look_up(edge, move |edge| rows::request(&edge.engine, id)).await
        }
    }
}

/// Has a request decided again, and answers once the modules that asked for it were told.
async fn decide<F>(edge: &Arc<Edge>, id: RequestId, decide: F) -> Result<Answer, Fault>
where
    F: FnOnce(&Engine) -> Result<Submitted, OfficerError> + Send + 'static,
{
    let before_it = edge.engine.store().head();
    let decided = in_room(edge, &edge.rooms.key, decide).await?;
    let telling = match &decided {
        Ok(Submitted { outcome: Outcome::Issued { event, .. }, .. }) => Telling::Event(*event),
        // Whatever else was decided, and some failures, are events, too.
        _ => Telling::Of { request: id, after: before_it },
    };
    submit::wait_until_told(edge, telling).await;
    Ok(submit::answer(decided?))
}

/// `/v1/certificates/{serial}/{part}`.
pub(crate) async fn certificate(
    edge: &Arc<Edge>,
    caller: Caller,
    (serial, part): (&str, CertificatePart),
    body: Incoming,
) -> Result<Answer, Fault> {
    let serial: Serial = rows::serial(serial)?;
    let order = match part {
        CertificatePart::Unrevoke => exeunt_engine::RevokeOrder::Release,
        CertificatePart::Revoke => {
            let RevokeOrder { reason, effective } = read_or_default(edge, body).await?;
            revoke_order(reason.as_deref(), effective.as_deref())?
        }
        CertificatePart::PublishExpired => {
            let PublishExpiredOrder { publish_expired } = read(edge, body).await?;
            exeunt_engine::RevokeOrder::PublishExpired(publish_expired)
        }
    };
    let revoke = move |engine: &Engine| engine.revoke(Which::Serial(serial), order, &caller);
    let exeunt_engine::Revoked { request, serial, disposition, revocation, event } =
        without_key(edge, revoke).await??;
    Ok(json(
        StatusCode::OK,
        &Revoked {
            serial: serial.to_string(),
            request_id: request.0,
            disposition: rows::wire_disposition(disposition),
            revocation: revocation.map(|it| rows::revocation(&it)),
            event: event.map(|it| it.0),
        },
    ))
}

/// Why and from when on certificates shall count as revoked, as it was written.
pub(crate) fn revoke_order(
    reason: Option<&str>,
    effective: Option<&str>,
) -> Result<exeunt_engine::RevokeOrder, Fault> {
    let reason = match reason {
        None => RevocationReason::Unspecified,
        Some(word) => RevocationReason::from_word(word).ok_or_else(|| {
            let known = RevocationReason::ALL.map(RevocationReason::word);
            Fault::order(format!("reason is none of {}", known.join(", ")))
        })?,
    };
    let effective = effective.map(|it| moment(it, "effective")).transpose()?;
    Ok(exeunt_engine::RevokeOrder::Revoke { reason, effective })
}

/// `POST /v1/crls`.
pub(crate) async fn publish(
    edge: &Arc<Edge>,
    caller: Caller,
    body: Incoming,
) -> Result<Answer, Fault> {
    // Lists are of all certificates, whosever they are.
    if caller.scope.is_some() {
        return Err(Fault::manager_restricted());
    }
    let PublishOrder { delta, next } = read_or_default(edge, body).await?;
    let next_publish = next.as_deref().map(|it| moment(it, "next")).transpose()?;
    let order = exeunt_engine::CrlOrder { base: !delta, delta, next_publish };
    let publish = move |edge: &Edge| {
        edge.engine.publish_crls(order, Some(&caller)).map_err(|err: CrlError| {
            if err.blame() != Blame::Requester {
                let chain = submit::chain(&err);
                tracing::error!(code = err.code(), "a revocation list was not made: {chain}");
            }
            Fault::list_not_made(&err)
        })
    };
    let made = blocking(edge, &edge.rooms.key, publish).await??;
    Ok(json(StatusCode::OK, &rows::crl_page(&edge.engine, &made, None)))
}

/// Which list of a run a path's last part means: `base` or `delta`, which is that of the newest key, or
/// with key and part before it, as in the names of files: `1-3-base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListOfRun {
    pub(crate) kind: CrlKind,
    pub(crate) key_index: Option<u16>,
    pub(crate) partition: u32,
}

impl ListOfRun {
    pub(crate) fn find(text: &str) -> Option<Self> {
        let kind = |word| [CrlKind::Base, CrlKind::Delta].into_iter().find(|it| it.word() == word);
        let is_plain = |it: &str| it == "0" || !it.starts_with(['0', '+']);
        match text.split('-').collect::<Vec<_>>()[..] {
            [word] => Some(Self { kind: kind(word)?, key_index: None, partition: 0 }),
            [key, part, word] if is_plain(key) && is_plain(part) => Some(Self {
                kind: kind(word)?,
                key_index: Some(key.parse().ok()?),
                partition: part.parse().ok()?,
            }),
            _ => None,
        }
    }

    /// Whether it may be that list. Of several, the one with the greatest key index is meant.
    pub(crate) fn may_be(self, line: CrlLine) -> bool {
        let Self { kind, key_index, partition } = self;
        (line.kind, line.partition) == (kind, partition)
            && key_index.is_none_or(|it| it == line.key_index)
    }
}

/// An officer's order that needs no key, and never waits for those that do.
pub(crate) async fn without_key<T, F>(edge: &Arc<Edge>, act: F) -> Result<Result<T, Fault>, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Engine) -> Result<T, OfficerError> + Send + 'static,
{
    in_room(edge, &edge.rooms.order, act).await
}

async fn in_room<T, F>(edge: &Arc<Edge>, room: &Room, act: F) -> Result<Result<T, Fault>, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Engine) -> Result<T, OfficerError> + Send + 'static,
{
    blocking(edge, room, move |edge| act(&edge.engine).map_err(|err| fault(&err))).await
}

/// What an officer is told, and what the log is.
fn fault(err: &OfficerError) -> Fault {
    let code = err.code();
    match err.blame() {
        Blame::Requester => tracing::debug!(code, "refused: {}", submit::chain(err)),
        Blame::Operator | Blame::Us => {
            tracing::error!(code, "an officer's order failed: {}", submit::chain(err));
        }
    }
    Fault::officer(err)
}

/// The body as JSON.
pub(crate) async fn read<T: DeserializeOwned>(
    edge: &Arc<Edge>,
    body: Incoming,
) -> Result<T, Fault> {
    let octets = body::read(body, edge.limits.read).await?;
    serde_json::from_slice(&octets).map_err(|err| Fault::json(&err))
}

/// The body as JSON; an order without one is the plainest.
async fn read_or_default<T>(edge: &Arc<Edge>, body: Incoming) -> Result<T, Fault>
where
    T: DeserializeOwned + Default,
{
    let octets = body::read_any(body, edge.limits.read).await?;
    if octets.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&octets).map_err(|err| Fault::json(&err))
}

/// A moment as RFC 3339 text.
fn moment(text: &str, key: &str) -> Result<UnixMillis, Fault> {
    from_rfc3339(text)
        .ok_or_else(|| Fault::order(format!("{key} is no moment such as 2027-01-31T12:00:00Z")))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let octet = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_a_run_is_named_by_its_kind_or_as_its_file_is() {
        let found = |text| ListOfRun::find(text).map(|it| (it.kind, it.key_index, it.partition));
        assert_eq!(found("base"), Some((CrlKind::Base, None, 0)));
        assert_eq!(found("1-3-delta"), Some((CrlKind::Delta, Some(1), 3)));
        assert_eq!(found("0-0-base"), Some((CrlKind::Base, Some(0), 0)));
        for none in ["", "full", "1-base", "01-0-base", "1-+3-base", "1-3-base-", "65536-0-base"] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    // Expected values: `date -u -d TEXT +%s`.
    #[test]
    fn a_moment_is_read_with_its_offset() {
        let check = |text, expected| {
            assert_eq!(moment(text, "next").ok(), Some(UnixMillis(expected)), "{text}");
        };
        check("2027-01-31T12:00:00Z", 1_801_396_800_000);
        check("2027-01-31T13:00:00+01:00", 1_801_396_800_000);
        check("1970-01-01T00:00:00.5Z", 500);
        for bad in ["", "now", "2027-01-31", "2027-01-31T12:00:00", "1801396800"] {
            assert!(moment(bad, "next").is_err(), "{bad}");
        }
    }

    #[test]
    fn octets_are_pairs_of_hexadecimal_digits() {
        assert_eq!(unhex("0c02FF").as_deref(), Some(&[0x0c, 2, 0xff][..]));
        for bad in ["0", "0g", "+1", "ää"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
