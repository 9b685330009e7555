//! Revoking certificates, with the real store. What is allowed when is tested in `revoke.rs`, row by
//! row; here is what comes of it.

use std::thread;

use exeunt_engine::{OfficerError, RevokeOrder, Revoked, Which};
use exeunt_types::{
    Disposition, EventKind, RequestId, Revocation, RevocationReason as Reason, Serial, StatusCode,
    UnixMillis,
};

use crate::support::{Ca, House, Issued, officer, plain_request};

const INVALID_DATA: Option<StatusCode> = Some(StatusCode(0x8007_000d));
const INVALID_ARGUMENT: Option<StatusCode> = Some(StatusCode(0x8007_0057));

fn ask(ca: &Ca, request: RequestId, order: RevokeOrder) -> Result<Revoked, OfficerError> {
    ca.engine.revoke(Which::Request(request), order, &officer())
}

fn reason(reason: Reason) -> RevokeOrder {
    RevokeOrder::Revoke { reason, effective: None }
}

fn now(ca: &Ca) -> UnixMillis {
    UnixMillis::from_unix_seconds(ca.clock.seconds())
}

/// Carries an order out and checks what is said of it everywhere.
#[track_caller]
fn change(ca: &Ca, issued: &Issued, order: RevokeOrder, expected: (Disposition, EventKind)) {
    let Revoked { request, serial, disposition, revocation, event } =
        ask(ca, issued.request, order).unwrap();
    assert_eq!((request, serial), (issued.request, issued.serial));
    let row = ca.row(request);
    assert_eq!((disposition, revocation), (row.disposition, row.revocation));
    assert_eq!(row.message, "Revoked by local:0");
    assert_eq!(row.status, StatusCode::OK);
    let told = ca.last_event();
    assert_eq!(Some(told.seq), event);
    assert_eq!((disposition, told.kind), expected);
    let state = told.state.unwrap();
    assert_eq!((state.disposition, state.revocation), (disposition, revocation));
    assert_eq!(told.certificate.unwrap().certificate.serial, serial);
}

#[test]
fn a_certificate_goes_on_hold_comes_back_and_goes_for_good() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    let revoked = (Disposition::Revoked, EventKind::CERT_REVOKED);
    let at = |reason| Some(Revocation { reason, ran: now(&ca), effective: now(&ca) });
    change(&ca, &issued, reason(Reason::CertificateHold), revoked);
    assert_eq!(ca.row(issued.request).revocation, at(Some(Reason::CertificateHold)));

    ca.clock.set(ca.clock.seconds() + 60);
    let released = (Disposition::Issued, EventKind::CERT_UNREVOKED);
    change(&ca, &issued, RevokeOrder::Release, released);
    // An issued certificate with a revocation: the disposition says that it does not count.
    assert_eq!(ca.row(issued.request).revocation, at(None));
    assert_eq!(ca.row(issued.request).revocation.unwrap().reason_code(), 0xffff_ffff);
    let err = ask(&ca, issued.request, RevokeOrder::Release).unwrap_err();
    assert_eq!((err.code(), err.hresult()), ("not-on-hold", INVALID_DATA));

    ca.clock.set(ca.clock.seconds() + 60);
    change(&ca, &issued, reason(Reason::Superseded), revoked);
    // Once more, for another reason: told again.
    change(&ca, &issued, reason(Reason::KeyCompromise), revoked);
    assert_eq!(ca.row(issued.request).revocation, at(Some(Reason::KeyCompromise)));
    let err = ask(&ca, issued.request, reason(Reason::CertificateHold)).unwrap_err();
    assert_eq!((err.code(), err.hresult()), ("hold-of-revoked", INVALID_DATA));

    assert_eq!(ca.kinds(), ["issued", "revoked", "unrevoked", "revoked", "revoked"]);
    let words: Vec<_> =
        ca.audited().iter().map(|it| it.split(' ').nth(1).unwrap().to_owned()).collect();
    let revoke = "certificate-revoke";
    assert_eq!(words, [revoke, "certificate-release", revoke, revoke]);
    let counts = ca.engine.store().counts().unwrap();
    assert_eq!((counts.issued, counts.revoked, counts.certificates), (0, 1, 1));
}

#[test]
fn a_revocation_may_be_dated_otherwise() {
    let ca = House::new().open();
    for seconds in [-86_400, 86_400] {
        let issued = ca.issue(plain_request());
        let effective = UnixMillis::from_unix_seconds(ca.clock.seconds() + seconds);
        let order = RevokeOrder::Revoke { reason: Reason::Unspecified, effective: Some(effective) };
        change(&ca, &issued, order, (Disposition::Revoked, EventKind::CERT_REVOKED));
        let revocation = ca.row(issued.request).revocation.unwrap();
        assert_eq!((revocation.ran, revocation.effective), (now(&ca), effective));
    }
}

#[test]
fn a_certificate_is_found_by_its_serial_number() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    let by =
        |serial| ca.engine.revoke(Which::Serial(serial), reason(Reason::CaCompromise), &officer());
    assert_eq!(by(issued.serial).unwrap().request, issued.request);
    let err = by(Serial::from_random([1; 16])).unwrap_err();
    assert_eq!((err.code(), err.hresult()), ("certificate-unknown", INVALID_ARGUMENT));
    let words = "there is no certificate with serial number 41010101010101010101010101010101";
    assert_eq!(err.to_string(), words);
    let err = ask(&ca, RequestId(99), RevokeOrder::Release).unwrap_err();
    assert_eq!(err.code(), "request-unknown");
}

#[test]
fn what_was_never_issued_is_not_revoked() {
    let ca = House::new().open();
    let mut asked = crate::support::submission(plain_request());
    asked.template = Some("nothing".to_owned());
    let denied = ca.engine.submit(asked).unwrap().request;
    for order in
        [reason(Reason::Unspecified), RevokeOrder::Release, RevokeOrder::PublishExpired(true)]
    {
        let err = ask(&ca, denied, order).unwrap_err();
        assert_eq!((err.code(), err.hresult()), ("wrong-state", INVALID_DATA));
        let words = "request 1 is denied; this is possible while it is issued or revoked";
        assert_eq!(err.to_string(), words);
    }
    assert_eq!(ca.kinds(), ["denied"]);
}

#[test]
fn staying_in_lists_tells_nobody() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    for stays in [true, false] {
        let revoked = ask(&ca, issued.request, RevokeOrder::PublishExpired(stays)).unwrap();
        assert_eq!((revoked.disposition, revoked.revocation), (Disposition::Issued, None));
        assert_eq!(revoked.event, None);
        let row = ca.row(issued.request);
        assert_eq!((row.publish_expired, row.message.as_str()), (stays, "Issued"));
    }
    assert_eq!(ca.kinds(), ["issued"]);
    assert_eq!(ca.audited().len(), 2);
}

/// Each order is carried out as if it were alone, or refused; nothing is lost.
#[test]
fn officers_who_change_the_same_certificate_at_once_do_not_get_in_between() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    let carried_out: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|turn| {
                let (ca, issued) = (&ca, &issued);
                scope.spawn(move || {
                    let orders = [reason(Reason::CertificateHold), RevokeOrder::Release];
                    let answers =
                        (0..20).map(|it| ask(ca, issued.request, orders[(it + turn) % 2]));
                    let done = answers.filter(|it| match it {
                        Ok(_) => true,
                        Err(err) => {
                            assert!(["not-on-hold", "changed-meanwhile"].contains(&err.code()));
                            false
                        }
                    });
                    done.count()
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    // Every change is an event, and a release follows a hold.
    let kinds = ca.kinds();
    assert_eq!(kinds.len(), 1 + carried_out);
    assert!(kinds.windows(2).all(|it| it[1] != "unrevoked" || it[0] == "revoked"), "{kinds:?}");
    let is_revoked = ca.row(issued.request).disposition == Disposition::Revoked;
    assert_eq!(is_revoked, kinds.last() == Some(&"revoked"));
}
