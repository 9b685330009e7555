//! Who comes in by what, and with which rights.

use std::time::Duration;

use crate::guess::{GUESS_WINDOW, GUESSES_MAX};
use crate::principal::Network;

use super::*;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn token(name: &str, text: &str) -> Token {
    let (expires, scope, from) = (None, None, Vec::new());
    Token { name: name.to_owned(), sha256: token_digest(text), expires, scope, from }
}

/// The server of user 1000, with two tokens in files and one principal.
fn gate(principal: Principal, separation: bool) -> Gate {
    let files =
        vec![("first".to_owned(), token_digest("one")), ("second".to_owned(), token_digest("two"))];
    let principals = Principals::new(vec![principal], files, separation).unwrap();
    Gate::new(Access::new(principals), 1000)
}

fn alice() -> Principal {
    let name = "alice".to_owned();
    let roles = Roles::CERTIFICATE_MANAGER | Roles::READER;
    let groups = vec!["staff".to_owned()];
    let tokens = vec![
        token("laptop", "three"),
        Token { expires: Some(NOW), ..token("old", "four") },
        Token { expires: Some(UnixMillis(NOW.0 + 1)), ..token("new", "five") },
        Token { scope: Some(Roles::READER), ..token("narrow", "six") },
        Token { from: vec![Network::parse("198.51.100.0/24").unwrap()], ..token("near", "seven") },
    ];
    Principal { name, roles, groups, tokens, uid: Some(7), ..Principal::default() }
}

fn far() -> Peer {
    Peer::tcp("192.0.2.1:1".parse().unwrap())
}

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, value.parse().unwrap());
    }
    headers
}

/// Who it is with which roles, or who is refused with which code.
fn ask(gate: &Gate, peer: &Peer, values: &[&str]) -> Result<String, String> {
    let caller = gate.caller(peer, &headers(values), (Instant::now(), NOW));
    match caller {
        Ok(it) => Ok(format!("{}: {}", it.actor(), it.roles)),
        Err(Closed { fault, who }) => {
            Err(format!("{} {} {}", fault.status.as_u16(), fault.code, who.unwrap_or_default()))
        }
    }
}

#[test]
fn only_a_known_token_has_a_name() {
    let check = |values: &[&str], expected: Option<&str>| {
        let gate = gate(alice(), false);
        let caller = ask(&gate, &far(), values);
        let expected = expected.map_or(Err("401 unauthorized ".to_owned()), |it| Ok(it.to_owned()));
        assert_eq!(caller, expected, "{values:?}");
    };
    check(&["Bearer one"], Some("token:first: reader,enrollee"));
    check(&["bearer  two"], Some("token:second: reader,enrollee"));
    check(&["Bearer three"], Some("principal:alice by token:laptop: certificate-manager,reader"));
    for bad in ["Bearer eight", "Bearer ", "Bearer", "one", "Basic one", "Bearer one two"] {
        check(&[bad], None);
    }
    check(&[], None);
    check(&["Bearer one", "Bearer one"], None);
    check(&[&format!("Bearer {}", "x".repeat(TOKEN_BYTES_MAX + 1))], None);
}

#[test]
fn a_token_counts_until_it_expires_from_where_it_may_and_gives_no_more_than_its_scope() {
    let gate = gate(alice(), false);
    let ask = |text: &str, address: &str| {
        let peer = Peer::tcp(format!("{address}:1").parse().unwrap());
        ask(&gate, &peer, &[&format!("Bearer {text}")])
    };
    let refused = "401 token-expired principal:alice by token:old";
    assert_eq!(ask("four", "192.0.2.1"), Err(refused.to_owned()));
    let expected = "principal:alice by token:new: certificate-manager,reader";
    assert_eq!(ask("five", "192.0.2.1"), Ok(expected.to_owned()));
    let expected = "principal:alice by token:narrow: reader";
    assert_eq!(ask("six", "192.0.2.1"), Ok(expected.to_owned()));
    let refused = "403 token-elsewhere principal:alice by token:near";
    assert_eq!(ask("seven", "192.0.2.1"), Err(refused.to_owned()));
    assert!(ask("seven", "198.51.100.7").is_ok());
}

#[test]
fn whoever_is_switched_off_does_not_come_in_by_any_means() {
    let gate = gate(Principal { disabled: true, ..alice() }, false);
    let refused = |by| Err(format!("403 principal-disabled principal:alice by {by}"));
    assert_eq!(ask(&gate, &far(), &["Bearer three"]), refused("token:laptop"));
    assert_eq!(ask(&gate, &Peer::Local(Some(7)), &[]), refused("uid:7"));
}

#[test]
fn at_the_socket_the_user_decides() {
    let open = gate(alice(), false);
    let check = |gate: &Gate, uid, expected: Result<&str, &str>| {
        let asked = ask(gate, &Peer::Local(uid), &["Bearer one"]);
        assert_eq!(asked, expected.map(str::to_owned).map_err(str::to_owned), "{uid:?}");
    };
    let all = Roles::ALL;
    check(&open, Some(1000), Ok(&format!("local:1000: {all}")));
    check(&open, Some(0), Ok(&format!("local:0: {all}")));
    check(&open, Some(7), Ok("principal:alice by uid:7: certificate-manager,reader"));
    check(&open, Some(8), Err("403 peer-not-allowed "));
    check(&open, None, Err("403 peer-not-allowed "));

    let separated = gate(Principal { roles: Roles::AUDITOR, uid: Some(0), ..alice_bare() }, true);
    check(&separated, Some(1000), Ok("local:1000: administrator,reader,enrollee"));
    check(&separated, Some(0), Ok("principal:alice by uid:0: auditor"));
}

fn alice_bare() -> Principal {
    Principal { name: "alice".to_owned(), ..Principal::default() }
}

#[test]
fn a_guesser_is_closed_out_with_any_token_and_nobody_else_is() {
    let gate = gate(alice(), false);
    let start = Instant::now();
    let ask = |address: &str, text: &str, later: Duration| {
        let peer = Peer::tcp(format!("{address}:1").parse().unwrap());
        let values = headers(&[&format!("Bearer {text}")]);
        let caller = gate.caller(&peer, &values, (start + later, NOW));
        caller.map(|_| ()).map_err(|it| it.fault.code)
    };
    let zero = Duration::ZERO;
    // What has expired was somebody's: it is no guess.
    for _ in 0..2 * GUESSES_MAX {
        assert_eq!(ask("192.0.2.1", "four", zero), Err("token-expired"));
    }
    for _ in 0..GUESSES_MAX {
        assert_eq!(ask("192.0.2.1", "guess", zero), Err("unauthorized"));
    }
    assert_eq!(ask("192.0.2.1", "guess", zero), Err("too-many-guesses"));
    assert_eq!(ask("192.0.2.1", "one", zero), Err("too-many-guesses"));
    assert_eq!(ask("192.0.2.2", "one", zero), Ok(()));
    assert!(gate.caller(&Peer::Local(Some(1000)), &headers(&[]), (start, NOW)).is_ok());
    assert_eq!(ask("192.0.2.1", "one", GUESS_WINDOW), Ok(()));
}

// The digest of "abc" is the example of FIPS 180-2, appendix B.1.
#[test]
fn a_token_is_known_by_its_sha_256() {
    assert_eq!(token_digest("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
}

#[test]
fn a_token_from_this_machine_comes_by_loopback() {
    let door = |text: &str| {
        let peer = Peer::tcp(text.parse().unwrap());
        let gate = gate(alice(), false);
        gate.caller(&peer, &headers(&["Bearer one"]), (Instant::now(), NOW)).unwrap().door
    };
    for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(door(near), Door::Loopback, "{near}");
    }
    for far in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
        assert_eq!(door(far), Door::Remote, "{far}");
    }
}

#[test]
fn a_certificate_is_somebodys_by_its_octets_or_by_a_subject_of_this_ca() {
    let name = "alice".to_owned();
    let principal = Principal {
        name,
        roles: Roles::AUDITOR,
        certificate_hashes: vec![[1; 32]],
        certificate_subjects: vec!["CN=alice".to_owned()],
        ..Principal::default()
    };
    let gate = gate(principal, true);
    let ask = |digest: u8, subject: &str, is_own: bool, values: &[&str]| {
        let subject = subject.to_owned();
        let shown = ShownCertificate { sha256: [digest; 32], subject, is_own };
        ask(&gate, &far().with_certificate(Some(Arc::new(shown))), values)
    };
    let alice = |digits: &str| Ok(format!("principal:alice by certificate:{digits}: auditor"));
    assert_eq!(ask(1, "CN=whoever", false, &[]), alice("0101010101010101"));
    assert_eq!(ask(2, "CN=alice", true, &[]), alice("0202020202020202"));
    let nobody = Err("401 certificate-of-nobody ".to_owned());
    assert_eq!(ask(2, "CN=alice", false, &[]), nobody);
    assert_eq!(ask(2, "CN=bob", true, &[]), nobody);
    // A token that is sent decides, also a wrong one.
    let expected = Ok("token:first: reader,enrollee".to_owned());
    assert_eq!(ask(1, "CN=alice", true, &["Bearer one"]), expected);
    assert_eq!(ask(1, "CN=alice", true, &["Bearer no"]), Err("401 unauthorized ".to_owned()));
}
