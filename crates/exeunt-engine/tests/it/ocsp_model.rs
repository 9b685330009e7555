//! Random lives of certificates, asked about by OCSP all the time, against a model of a few lines. An
//! answer must hold at the moment when it is given, and for as long as it says unless an officer steps
//! in.

use exeunt_engine::{OcspAnswer, RevokeOrder, Which};
use exeunt_types::{RevocationReason as Reason, UnixMillis};
use exeunt_x509::parse_ocsp_request;
use fastrand::Rng;

use crate::ocsp::{Client, house};
use crate::support::{Issued, officer, plain_request};

const SEEDS: u64 = 6;
const STEPS: usize = 400;
const CERTIFICATES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Good,
    Revoked,
}

/// One certificate and all ways to ask about it.
struct Life {
    issued: Issued,
    /// Without nonce, also by SHA-256, and with one.
    requests: [Vec<u8>; 3],
    /// Why it is revoked, from which second on, and when that was ordered.
    revocation: Option<(Reason, i64, i64)>,
}

impl Life {
    fn status(&self, at: i64) -> Status {
        match self.revocation {
            // What counted at once does so for ever, whatever becomes of the clock.
            Some((_, effective, ran)) if effective <= at.max(ran) => Status::Revoked,
            _ => Status::Good,
        }
    }

    /// What counts is not put off.
    fn revoke(&mut self, reason: Reason, effective: i64, now: i64) {
        let counts = self.status(now) == Status::Revoked;
        let since = self.revocation.filter(|_| counts).map(|(_, since, _)| since);
        let effective = since.map_or(effective, |it| it.min(effective));
        self.revocation = Some((reason, effective, now));
    }
}

/// The choice that follows the `CertID` in the only `SingleResponse` (RFC 6960, section 4.2.1).
fn said(request: &[u8], answer: &OcspAnswer) -> Status {
    let request = parse_ocsp_request(request).unwrap();
    let cert_id = request.certificates[0].der();
    let at = answer.der.windows(cert_id.len()).position(|it| it == cert_id).unwrap();
    match answer.der[at + cert_id.len()] {
        0x80 => Status::Good,
        0xa1 => Status::Revoked,
        tag => panic!("status {tag:#x}"),
    }
}

fn live(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let ca = house().open();
    let client = Client::new(&ca);
    let mut lives: Vec<Life> = Vec::new();
    for _ in 0..CERTIFICATES {
        let issued = ca.issue(plain_request());
        let requests =
            ["-no_nonce", "-no_nonce -sha256", ""].map(|it| client.ask(&[issued.serial], it));
        lives.push(Life { issued, requests, revocation: None });
    }
    let (mut given_again, mut statuses) = (0, [0, 0]);
    for step in 0..STEPS {
        let now = ca.clock.seconds();
        let life = rng.choice(&mut lives).unwrap();
        let change = |order| ca.engine.revoke(Which::Serial(life.issued.serial), order, &officer());
        match rng.u8(0..10) {
            // Seldom: it is for good.
            0 if rng.u8(0..4) == 0 => {
                let reason = rng.choice([Reason::KeyCompromise, Reason::Superseded]).unwrap();
                let effective = now + rng.choice([-3600, 0, 1, 60, 7200, 20_000]).unwrap();
                let date = UnixMillis::from_unix_seconds(effective);
                change(RevokeOrder::Revoke { reason, effective: Some(date) }).unwrap();
                life.revoke(reason, effective, now);
            }
            1 => {
                let reason = Reason::CertificateHold;
                let order = RevokeOrder::Revoke { reason, effective: None };
                let allowed = life.revocation.is_none_or(|(it, ..)| it == reason);
                assert_eq!(change(order).is_ok(), allowed);
                if allowed {
                    life.revoke(reason, now, now);
                }
            }
            2 => {
                let is_held = life.revocation.is_some_and(|(it, ..)| it == Reason::CertificateHold);
                assert_eq!(change(RevokeOrder::Release).is_ok(), is_held);
                if is_held {
                    life.revocation = None;
                }
            }
            3 => ca.clock.set(now + rng.i64(0..9000)),
            // Once in a while a clock is put right.
            4 if rng.u8(0..8) == 0 => ca.clock.set(now - rng.i64(0..600)),
            _ => {
                let request = rng.choice(&life.requests).unwrap();
                let answer = ca.engine.answer_ocsp(request);
                let [from, to] = [Some(answer.this_update), answer.next_update]
                    .map(|it| it.unwrap().unix_seconds());
                let context = format!("seed {seed}, step {step}, {from} to {to} at {now}");
                assert!(from <= now && now < to && to <= from + 4 * 3600, "{context}");
                for at in [now, to - 1] {
                    // What begins to count before the answer ends would make it a lie.
                    assert_eq!(said(request, &answer), life.status(at), "{context}");
                }
                given_again += usize::from(from != now);
                statuses[usize::from(life.status(now) == Status::Good)] += 1;
            }
        }
    }
    // The test is awake: each kind of answer was given, old ones too.
    assert!(given_again > 5 && statuses.iter().all(|it| *it > 20), "{given_again} {statuses:?}");
}

#[test]
fn whatever_officers_and_clocks_do_an_answer_holds_for_as_long_as_it_says() {
    (0..SEEDS).for_each(live);
}
