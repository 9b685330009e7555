//! Certificate managers who are limited to some templates and requesters.

use std::sync::Arc;

use exeunt_engine::{
    BulkOutcome, Caller, Door, ManagerScope, OfficerError, RevokeOrder, Submission, Which,
};
use exeunt_policy::Issuance;
use exeunt_types::{Disposition, OfficerExtension, RequestId, RevocationReason, Roles};

use crate::support::{Ca, House, officer, plain_request, submission, template};

fn open() -> Ca {
    let mut house = House::new();
    let held = |name: &str| exeunt_policy::Template { issuance: Issuance::Hold, ..template(name) };
    house.templates = vec![template("tls"), held("web"), held("mail")];
    house.open()
}

/// The number of a request by somebody for a template.
fn ask(ca: &Ca, requester: &str, template: &str) -> RequestId {
    let caller = Caller::new(requester, Door::Local, Roles::ENROLLEE);
    let template = Some(template.to_owned());
    let asked = Submission { template, caller, ..submission(plain_request()) };
    ca.engine.submit(asked).unwrap().request
}

fn manager(templates: &[&str], requesters: &[&str]) -> Caller {
    let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
    let scope = ManagerScope { templates: owned(templates), requesters: owned(requesters) };
    let scope = Some(Arc::new(scope));
    Caller { scope, ..Caller::new("principal:m", Door::Remote, Roles::CERTIFICATE_MANAGER) }
}

#[track_caller]
fn check_restricted<T: std::fmt::Debug>(result: Result<T, OfficerError>) {
    let err = result.unwrap_err();
    // CERTSRV_E_RESTRICTEDOFFICER.
    let answer = (err.code(), err.hresult().map(|it| it.0));
    assert_eq!(answer, ("manager-restricted", Some(0x8009_4009)));
}

const REVOKE: RevokeOrder =
    RevokeOrder::Revoke { reason: RevocationReason::Superseded, effective: None };

#[test]
fn a_limited_manager_changes_nothing_outside_of_the_limits() {
    let ca = open();
    let waits = ask(&ca, "token:web-1", "web");
    let issued = ask(&ca, "token:web-1", "tls");
    for other in [
        manager(&["mail"], &[]),
        manager(&["mail"], &["*"]),
        manager(&[], &["token:mail-*"]),
        manager(&["web", "tls"], &["token:web"]),
    ] {
        let engine = &ca.engine;
        check_restricted(engine.approve(waits, &other));
        check_restricted(engine.resubmit(waits, &other));
        check_restricted(engine.deny(waits, &other, None));
        check_restricted(engine.set_attributes(waits, "a:b", &other));
        let oid = "1.2.3.4".to_owned();
        let extension = OfficerExtension { oid, flags: 0, value: vec![5, 0] };
        check_restricted(engine.set_extension(waits, extension, &other));
        for order in [REVOKE, RevokeOrder::Release, RevokeOrder::PublishExpired(true)] {
            check_restricted(engine.revoke(Which::Request(issued), order, &other));
        }
        let many = engine.revoke_all(&[Which::Request(issued)], REVOKE, &other);
        many.into_iter().for_each(check_restricted);
    }
    assert_eq!(ca.row(waits).disposition, Disposition::Pending);
    assert_eq!(ca.row(issued).disposition, Disposition::Issued);
    assert_eq!(ca.audited(), Vec::<String>::new());
}

#[test]
fn a_limited_manager_decides_inside_of_the_limits() {
    let ca = open();
    let issued = ask(&ca, "token:web-1", "tls");
    for manager in
        [manager(&["web", "tls"], &[]), manager(&[], &["token:web-*"]), manager(&["*"], &["*-1"])]
    {
        let waits = ask(&ca, "token:web-1", "web");
        ca.engine.approve(waits, &manager).unwrap();
        assert_eq!(ca.row(waits).disposition, Disposition::Issued);
        let waits = ask(&ca, "token:web-1", "web");
        ca.engine.deny(waits, &manager, None).unwrap();
        let hold = RevocationReason::CertificateHold;
        let order = RevokeOrder::Revoke { reason: hold, effective: None };
        ca.engine.revoke(Which::Request(issued), order, &manager).unwrap();
        let released =
            ca.engine.revoke_all(&[Which::Request(issued)], RevokeOrder::Release, &manager);
        assert!(matches!(released[..], [Ok(BulkOutcome::Changed(_))]));
    }
}

// The attribute decides about the template when the request is taken up again.
#[test]
fn a_limited_manager_does_not_move_a_request_to_another_template() {
    let ca = open();
    let waits = ask(&ca, "token:web-1", "web");
    let limited = manager(&["web"], &[]);
    check_restricted(ca.engine.set_attributes(waits, "CertificateTemplate:mail", &limited));
    ca.engine.set_attributes(waits, "CertificateTemplate:web", &limited).unwrap();
    // Nor takes up what another officer has moved.
    ca.engine.set_attributes(waits, "CertificateTemplate:mail", &officer()).unwrap();
    check_restricted(ca.engine.approve(waits, &limited));
    check_restricted(ca.engine.approve(waits, &manager(&["mail"], &[])));
    ca.engine.approve(waits, &manager(&["web", "mail"], &[])).unwrap();
}
