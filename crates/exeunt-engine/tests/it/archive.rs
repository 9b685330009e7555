//! Private keys that come with requests: archived for recovery agents, and recovered by two people.
//! openssl is the agent, and makes what a stranger's client sends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use exeunt_engine::{
    ArchiveRule, Caller, Door, Engine, EngineError, KeyArchivalSettings, Outcome, SubmitError,
    Submitted, Verdict, Which, seal_key,
};
use exeunt_keys::{SigningKey as _, SoftwareKey};
use exeunt_policy::Issuance;
use exeunt_store::Store;
use exeunt_testkit::{messages, tools};
use exeunt_types::{
    Disposition, EventKind, KeyAlgorithm, RequestFlags, RequestId, Roles, StatusCode,
};
use exeunt_x509::{
    CA_EXCHANGE, Certificate, Name, SignerIdentifier, assemble_request, build_archival_request,
    build_request_info, encode_pem, key_identifier, parse_certificate, parse_envelope,
};
use tempfile::TempDir;

use crate::support::{Ca, DAY_S, House, officer, submission};

/// Recovery agents that openssl made, with their keys in files.
struct Agents {
    folder: TempDir,
    count: usize,
}

impl Agents {
    /// Valid from now on for so many days.
    fn new(count: usize, days: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..count {
            make_agent(folder.path(), number, days, "1.3.6.1.4.1.311.21.6", "rsa:2048");
        }
        Self { folder, count }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn settings(&self, agents_used: usize, rule: ArchiveRule) -> KeyArchivalSettings {
        let read = |number| fs::read(self.path(&format!("kra{number}.pem"))).unwrap();
        KeyArchivalSettings {
            agents: (0..self.count).map(read).collect(),
            agents_used,
            templates: BTreeMap::from([("tls".to_owned(), rule)]),
        }
    }

    /// What an agent reads in an encrypted message, if it is one of theirs: openssl says.
    fn open(&self, number: usize, blob: &[u8]) -> Option<Vec<u8>> {
        let (blob_path, out) = (self.path("blob.der"), self.path("out"));
        fs::write(&blob_path, blob).unwrap();
        let _ = fs::remove_file(&out);
        let key = self.path(&format!("kra{number}.key"));
        let certificate = self.path(&format!("kra{number}.pem"));
        let opened = std::process::Command::new(tools::openssl())
            .args(["cms", "-decrypt", "-binary", "-inform", "DER", "-in", &blob_path])
            .args(["-inkey", &key, "-recip", &certificate, "-out", &out])
            .output()
            .unwrap();
        opened.status.success().then(|| fs::read(&out).unwrap())
    }
}

fn openssl(args: &[&str]) {
    tools::run_ok(tools::openssl(), args, b"");
}

fn make_agent(folder: &Path, number: usize, days: u32, purpose: &str, key_type: &str) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, out) = (path(&format!("kra{number}.key")), path(&format!("kra{number}.pem")));
    let (subject, days) = (format!("/CN=Agent {number}"), days.to_string());
    let purpose = format!("extendedKeyUsage={purpose}");
    let args = ["req", "-x509", "-newkey", key_type, "-nodes", "-subj", &subject, "-days", &days];
    let more = ["-keyout", &key, "-out", &out, "-addext", &purpose];
    openssl(&[&args[..], &more[..]].concat());
}

/// A CA of which the template "tls" archives keys by a rule.
fn open(house: &House, settings: KeyArchivalSettings) -> Ca {
    house.open().with_engine(|it| it.with_key_archival(settings).unwrap())
}

/// A subscriber with a key and a request for it.
struct Subscriber {
    key: SoftwareKey,
    request: Vec<u8>,
}

impl Subscriber {
    fn new(algorithm: KeyAlgorithm) -> Self {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let subject = Name::parse("CN=alice.example").unwrap();
        let info = build_request_info(&subject, key.public_key_der(), &[]).unwrap();
        let signature = key.sign(&info).unwrap();
        let request = assemble_request(&info, key.scheme(), &signature);
        Self { key, request }
    }

    /// The request with that encrypted message in the place of the private key.
    fn with(&self, envelope: &[u8]) -> Vec<u8> {
        let identifier = key_identifier(self.key.public_key_der()).unwrap().to_vec();
        let signer = SignerIdentifier::KeyIdentifier(identifier);
        let unsigned = build_archival_request(&self.request, envelope, signer, self.key.scheme());
        let signature = self.key.sign(unsigned.bytes_to_sign()).unwrap();
        unsigned.assemble(&signature)
    }

    /// The request with its private key.
    fn with_key(&self, engine: &Engine) -> Vec<u8> {
        self.with(&seal_key(&self.key, [&exchange(engine)]).unwrap())
    }

    fn pkcs8(&self) -> Vec<u8> {
        let pem = self.key.to_pem().unwrap();
        exeunt_x509::decode_pem_or_der(pem.as_bytes(), &["PRIVATE KEY"]).unwrap().into_owned()
    }
}

fn exchange(engine: &Engine) -> Certificate {
    parse_certificate(&engine.exchange_certificate().unwrap().der).unwrap()
}

fn manager(name: &str) -> Caller {
    Caller::new(name, Door::Local, Roles::CERTIFICATE_MANAGER)
}

/// Submits what must fail, with nothing archived, and says why.
#[track_caller]
fn refused(ca: &Ca, request: &[u8]) -> &'static str {
    let (request, code) = match ca.submit(request) {
        Err(err) => (err.request(), err.code()),
        Ok(Submitted { request, outcome: Outcome::Denied { code, .. } }) => (Some(request), code),
        Ok(it) => panic!("{it:?}"),
    };
    if let Some(request) = request {
        assert_eq!(ca.engine.store().archived_key(request).unwrap(), None);
    }
    code
}

#[test]
fn an_agent_opens_with_openssl_what_the_ca_archived_of_every_kind_of_key() {
    let agents = Agents::new(2, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(2, ArchiveRule::Require));
    let exchange = exchange(&ca.engine);
    assert_eq!(exchange.extended_key_usages(), [CA_EXCHANGE]);
    let row = ca.engine.store().certificate(&exchange.serial()).unwrap().unwrap().request;
    assert_eq!(ca.row(row).request.flags, RequestFlags::CA_EXCHANGE_CERT);
    for algorithm in [
        KeyAlgorithm::Rsa { bits: 2048 },
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
    ] {
        let subscriber = Subscriber::new(algorithm);
        let issued = ca.issue(&subscriber.with_key(&ca.engine));
        let found = ca.engine.store().archived_key(issued.request).unwrap().unwrap();
        assert_eq!(found.key.agents.len(), 2);
        for agent in 0..2 {
            assert_eq!(
                agents.open(agent, &found.key.blob),
                Some(subscriber.pkcs8()),
                "{algorithm:?}"
            );
        }
        let row = ca.row(issued.request);
        assert!(row.request.flags.contains(RequestFlags::VALID_ENCRYPTED_KEY_HASH));
        let audited = ca.audited();
        let archived = format!("key-archive request:{}", issued.request);
        assert!(audited.iter().any(|it| it.contains(&archived)), "{audited:?}");
    }
}

#[test]
fn neither_the_private_key_nor_what_the_ca_could_open_is_in_the_store() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Allow));
    let subscriber = Subscriber::new(KeyAlgorithm::Rsa { bits: 2048 });
    let sent = seal_key(&subscriber.key, [&exchange(&ca.engine)]).unwrap();
    let issued = ca.issue(&subscriber.with(&sent));
    let kept = ca.row(issued.request).request.raw;
    let held = |wanted: &[u8], octets: &[u8]| octets.windows(wanted.len()).any(|it| it == wanted);
    // What was kept of the request is still well signed, and no key came with it.
    let again = exeunt_x509::parse_submission(&kept).unwrap();
    assert_eq!(again.brought_key(), None);
    assert_eq!(again.request().der(), subscriber.request);
    assert!(!held(&sent[sent.len() - 64..], &kept));
    drop(ca);
    let pkcs8 = subscriber.pkcs8();
    for entry in fs::read_dir(house.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let octets = fs::read(&path).unwrap();
        // Whatever 24 octets of the private numbers.
        for start in (64..pkcs8.len() - 24).step_by(24) {
            let piece = &pkcs8[start..start + 24];
            let is_public = held(piece, &subscriber.request);
            assert!(is_public || !held(piece, &octets), "{} at {start}", path.display());
        }
        assert!(!held(&sent[sent.len() - 64..], &octets), "{}", path.display());
    }
}

#[test]
fn a_request_of_openssl_with_a_key_of_openssl_is_archived() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let path = |name: &str| agents.path(name);
    let subscriber = Subscriber::new(KeyAlgorithm::Rsa { bits: 2048 });
    fs::write(path("key.der"), subscriber.pkcs8()).unwrap();
    fs::write(
        path("exchange.pem"),
        exeunt_x509::encode_pem("CERTIFICATE", exchange(&ca.engine).der()),
    )
    .unwrap();
    // The original's own format of keys, too.
    let pem = path("key.pem");
    fs::write(&pem, subscriber.key.to_pem().unwrap().as_bytes()).unwrap();
    openssl(&["rsa", "-in", &pem, "-outform", "MSBLOB", "-out", &path("key.blob")]);
    let oaep = ["-keyopt", "rsa_padding_mode:oaep"];
    let oaep_sha256 = ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"];
    for (content, cipher, options) in [
        ("key.der", "-aes-256-cbc", &[][..]),
        ("key.der", "-aes-128-cbc", &oaep[..]),
        ("key.der", "-aes-192-cbc", &oaep_sha256[..]),
        ("key.blob", "-aes-256-cbc", &[][..]),
    ] {
        let (content, out) = (path(content), path("envelope.der"));
        let args = ["cms", "-encrypt", "-binary", "-outform", "DER", cipher, "-in", &content];
        let to = ["-out", &out, "-recip", &path("exchange.pem")];
        openssl(&[&args[..], &to[..], options].concat());
        let envelope = fs::read(&out).unwrap();
        let issued = ca.issue(&subscriber.with(&envelope));
        let found = ca.engine.store().archived_key(issued.request).unwrap().unwrap();
        // Whatever it came in, it is kept as PKCS #8.
        assert_eq!(agents.open(0, &found.key.blob), Some(subscriber.pkcs8()), "{content}");
    }
    let (content, out) = (path("key.der"), path("envelope.der"));
    let args = ["cms", "-encrypt", "-binary", "-outform", "DER", "-des3", "-in", &content];
    openssl(&[&args[..], &["-out", &out, &path("exchange.pem")][..]].concat());
    let weak = subscriber.with(&fs::read(&out).unwrap());
    assert_eq!(refused(&ca, &weak), "envelope-unsupported");
    let err = ca.submit(&weak).unwrap_err();
    assert!(err.public_message().contains("Triple DES"), "{err}");
}

/// The request as the original's clients make it, by openssl and pyasn1: RSA PKCS #1 v1.5 around a
/// `PRIVATEKEYBLOB`, and SHA-1 of it among the attributes that a control adds.
#[test]
fn a_message_that_strangers_made_as_the_originals_clients_do_is_archived() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let path = |name: &str| agents.path(name);
    let subscriber = Subscriber::new(KeyAlgorithm::Rsa { bits: 2048 });
    fs::write(path("request.der"), &subscriber.request).unwrap();
    let exchange = exchange(&ca.engine);
    fs::write(path("exchange.pem"), encode_pem("CERTIFICATE", exchange.der())).unwrap();
    let (key, own) = (path("key.pem"), path("own.pem"));
    fs::write(&key, subscriber.key.to_pem().unwrap().as_bytes()).unwrap();
    openssl(&["rsa", "-in", &key, "-outform", "MSBLOB", "-out", &path("key.blob")]);
    let args = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-cbc"];
    let files = ["-in", &path("key.blob"), "-out", &path("envelope.der"), &path("exchange.pem")];
    openssl(&[&args[..], &files[..]].concat());
    let content = messages::cmc(&format!(
        "pki_data([control(2, '1.3.6.1.4.1.311.10.10.1', add_attributes(0, [1], attribute(\
         '1.3.6.1.4.1.311.21.21', octets(hashlib.sha1(read({:?})).digest()))))], \
         [tcr(1, read({:?}))])",
        path("envelope.der"),
        path("request.der"),
    ));
    fs::write(path("content.der"), content).unwrap();
    // By the key of the request, which its identifier names.
    openssl(&["req", "-x509", "-key", &key, "-subj", "/CN=own", "-out", &own]);
    let args = ["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", "sha256"];
    let how = ["-keyid", "-nocerts", "-econtent_type", messages::PKI_DATA, "-signer", &own];
    let files = ["-inkey", &key, "-in", &path("content.der"), "-out", &path("signed.der")];
    openssl(&[&args[..], &how[..], &files[..]].concat());
    let sent = messages::cmc(&format!(
        "with_unsigned(read({:?}), '1.3.6.1.4.1.311.21.13', read({:?}))",
        path("signed.der"),
        path("envelope.der"),
    ));
    let issued = ca.issue(&sent);
    let found = ca.engine.store().archived_key(issued.request).unwrap().unwrap();
    assert_eq!(agents.open(0, &found.key.blob), Some(subscriber.pkcs8()));
    // Without a hash that somebody signed, the key could be anybody's.
    let content =
        messages::cmc(&format!("pki_data([], [tcr(1, read({:?}))])", path("request.der")));
    fs::write(path("content.der"), content).unwrap();
    openssl(&[&args[..], &how[..], &files[..]].concat());
    let sent = messages::cmc(&format!(
        "with_unsigned(read({:?}), '1.3.6.1.4.1.311.21.13', read({:?}))",
        path("signed.der"),
        path("envelope.der"),
    ));
    assert_eq!(refused(&ca, &sent), "archived-key-hash-missing");
}

#[test]
fn what_is_wrong_with_a_key_fails_the_request_and_says_no_more_than_it_must() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let exchange = exchange(&ca.engine);
    let good = seal_key(&subscriber.key, [&exchange]).unwrap();
    // Another one's key.
    let other = seal_key(&Subscriber::new(KeyAlgorithm::EcdsaP256).key, [&exchange]).unwrap();
    assert_eq!(refused(&ca, &subscriber.with(&other)), "archived-key-unusable");
    // Whatever is changed inside.
    let envelope = parse_envelope(&good).unwrap();
    let mut padding = envelope.clone();
    *padding.content.last_mut().unwrap() ^= 1;
    let mut garbage = envelope.clone();
    garbage.content = vec![7; 160];
    let mut key = envelope.clone();
    key.recipients[0].encrypted_key = vec![0; 384];
    for bad in [padding, garbage, key] {
        assert_eq!(refused(&ca, &subscriber.with(&bad.to_der())), "archived-key-unusable");
    }
    // For somebody else.
    let stranger = parse_certificate(&fs::read(agents.path("kra0.pem")).unwrap()).unwrap();
    let foreign = seal_key(&subscriber.key, [&stranger]).unwrap();
    assert_eq!(refused(&ca, &subscriber.with(&foreign)), "exchange-certificate-not-current");
    // No message at all, or a piece of one.
    assert_eq!(refused(&ca, &subscriber.with(&[0x30, 0])), "envelope-malformed");
    let sent = subscriber.with(&good);
    // The key was taken out on its way; what was kept of another request is the same.
    let parsed = exeunt_x509::parse_submission(&sent).unwrap();
    assert_eq!(refused(&ca, parsed.der()), "archived-key-lost");
    // The hash is another one's: the message was changed on its way.
    let at = sent.windows(32).position(|it| it == &good[good.len() - 32..]).unwrap();
    let mut changed = sent.clone();
    changed[at + 31] ^= 1;
    assert_eq!(refused(&ca, &changed), "archived-key-hash");
    let (_, issued, _) = ca.counts();
    assert_eq!(issued, 1, "the exchange certificate and nothing else");
    ca.issue(&sent);
}

#[test]
fn a_template_says_whether_a_key_comes() {
    let agents = Agents::new(1, 400);
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let denied = ca.submit(&subscriber.request).unwrap();
    let Outcome::Denied { code, status, .. } = denied.outcome else { panic!("{denied:?}") };
    assert_eq!((code, status), ("archived-key-required", StatusCode::ARCHIVED_KEY_REQUIRED));
    ca.check_end(denied.request, (Disposition::Denied, status, EventKind::CERT_DENIED));
    drop(ca);

    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Refuse));
    let denied = ca.submit(&subscriber.with_key(&ca.engine)).unwrap();
    let Outcome::Denied { code, status, .. } = denied.outcome else { panic!("{denied:?}") };
    assert_eq!((code, status), ("archived-key-unexpected", StatusCode::ARCHIVED_KEY_UNEXPECTED));
    ca.issue(&subscriber.request);
    drop(ca);

    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Allow));
    let without = ca.issue(&subscriber.request).request;
    let with = ca.issue(&subscriber.with_key(&ca.engine)).request;
    assert_eq!(ca.engine.store().archived_key(without).unwrap(), None);
    assert!(ca.engine.store().archived_key(with).unwrap().is_some());
}

#[test]
fn a_trial_says_what_the_template_wants_and_opens_nothing() {
    let agents = Agents::new(1, 400);
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let house = House::new();
    let check = |ca: &Ca, request: &[u8], expected: (Verdict, Option<&str>)| {
        let before = ca.counts();
        let trial = ca.engine.try_out(submission(request)).unwrap();
        let of_key = trial.verdicts.iter().find(|it| it.rule == "archive-key").unwrap();
        assert_eq!((of_key.verdict, trial.code), expected);
        assert_eq!(ca.counts(), before);
    };
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let shown = ca.engine.templates().remove(0);
    assert!(shown.settings.contains(&("archive_key", "require".to_owned())), "{shown:?}");
    let with_key = subscriber.with_key(&ca.engine);
    check(&ca, &with_key, (Verdict::Pass, None));
    check(&ca, &subscriber.with(&[0x30, 0]), (Verdict::Pass, None));
    let lost = exeunt_x509::parse_submission(&with_key).unwrap();
    check(&ca, lost.der(), (Verdict::Refuse, Some("archived-key-lost")));
    check(&ca, &subscriber.request, (Verdict::Refuse, Some("archived-key-required")));
    drop(ca);
    let ca = open(&house, agents.settings(1, ArchiveRule::Refuse));
    check(&ca, &with_key, (Verdict::Refuse, Some("archived-key-unexpected")));
    check(&ca, &subscriber.request, (Verdict::NotApplied, None));
}

#[test]
fn a_ca_without_agents_has_no_exchange_certificate_and_takes_no_key() {
    let house = House::new();
    let ca = house.open();
    assert_eq!(ca.engine.exchange_certificate().unwrap_err().code(), "key-archival-off");
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let agents = Agents::new(1, 400);
    let stranger = parse_certificate(&fs::read(agents.path("kra0.pem")).unwrap()).unwrap();
    let sent = subscriber.with(&seal_key(&subscriber.key, [&stranger]).unwrap());
    assert_eq!(refused(&ca, &sent), "archived-key-unexpected");
}

#[test]
fn a_key_waits_with_its_request_and_is_there_when_it_is_approved() {
    let agents = Agents::new(1, 400);
    let mut house = House::new();
    house.templates[0].issuance = Issuance::Hold;
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let waiting = ca.submit(&subscriber.with_key(&ca.engine)).unwrap();
    assert!(matches!(waiting.outcome, Outcome::Pending { .. }));
    let found = ca.engine.store().archived_key(waiting.request).unwrap().unwrap();
    // No certificate, no recovery.
    let err = ca.engine.ask_recovery(Which::Request(waiting.request), "why not", &officer());
    assert_eq!(err.unwrap_err().code(), "wrong-state");
    drop(ca);
    // Also after a restart, when the exchange key of before is gone.
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    ca.issued(Ok(ca.engine.approve(waiting.request, &officer()).unwrap()));
    assert_eq!(agents.open(0, &found.key.blob), Some(subscriber.pkcs8()));
}

#[test]
fn an_exchange_certificate_ends_with_the_server_or_after_a_week() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let first = subscriber.with_key(&ca.engine);
    let old = exchange(&ca.engine);
    assert_eq!(exchange(&ca.engine), old, "it is made once");
    // A day before its end there is another one, and this one still opens.
    let start = ca.clock.seconds();
    ca.clock.set(start + 6 * DAY_S + 1);
    let new = exchange(&ca.engine);
    assert_ne!(new, old);
    ca.issue(&first);
    ca.clock.set(start + 7 * DAY_S + 1);
    assert_eq!(refused(&ca, &first), "exchange-certificate-not-current");
    ca.issue(&subscriber.with_key(&ca.engine));
    // One that was revoked opens nothing, and another one is made.
    let sent = subscriber.with_key(&ca.engine);
    let order = exeunt_engine::RevokeOrder::Revoke {
        reason: exeunt_types::RevocationReason::KeyCompromise,
        effective: None,
    };
    ca.engine.revoke(Which::Serial(new.serial()), order, &officer()).unwrap();
    assert_eq!(refused(&ca, &sent), "exchange-certificate-not-current");
    assert_ne!(exchange(&ca.engine), new);
    drop(ca);
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    assert_eq!(refused(&ca, &sent), "exchange-certificate-not-current");
}

#[test]
fn agents_take_turns_and_one_whose_certificate_has_ended_is_left_out() {
    let agents = Agents::new(3, 20);
    let house = House::new();
    let ca = open(&house, agents.settings(2, ArchiveRule::Require));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let mut seen = BTreeMap::new();
    for _ in 0..3 {
        let issued = ca.issue(&subscriber.with_key(&ca.engine));
        let found = ca.engine.store().archived_key(issued.request).unwrap().unwrap();
        assert_eq!(found.key.agents.len(), 2);
        for agent in 0..3 {
            let opens = agents.open(agent, &found.key.blob).is_some();
            *seen.entry(agent).or_insert(0) += usize::from(opens);
        }
    }
    assert_eq!(seen, BTreeMap::from([(0, 2), (1, 2), (2, 2)]));
    ca.clock.set(ca.clock.seconds() + 21 * DAY_S);
    assert!(!ca.engine.is_agent_usable(
        &ca.engine.recovery_agents()[0],
        exeunt_types::UnixMillis::from_unix_seconds(ca.clock.seconds())
    ));
    let sent = subscriber.with_key(&ca.engine);
    let err = ca.submit(&sent).unwrap_err();
    assert_eq!(err.code(), "recovery-agents-not-valid");
    assert_eq!(err.blame(), exeunt_engine::Blame::Operator);
    let SubmitError::Key { request, .. } = err else { panic!("{err:?}") };
    assert_eq!(ca.row(request).status, StatusCode::NO_VALID_KRA);
}

#[test]
fn agents_that_do_not_do_are_refused_at_the_start() {
    let agents = Agents::new(2, 400);
    make_agent(agents.folder.path(), 7, 400, "serverAuth", "rsa:2048");
    make_agent(agents.folder.path(), 8, 400, "1.3.6.1.4.1.311.21.6", "ed25519");
    make_agent(agents.folder.path(), 9, 400, "1.3.6.1.4.1.311.21.6", "rsa:1024");
    let read = |number: usize| fs::read(agents.path(&format!("kra{number}.pem"))).unwrap();
    let tls = |rule| BTreeMap::from([("tls".to_owned(), rule)]);
    let check = |numbers: &[usize], agents_used, rule: ArchiveRule, word: &str| {
        let agents = numbers.iter().map(|it| read(*it)).collect();
        let settings = KeyArchivalSettings { agents, agents_used, templates: tls(rule) };
        let err = House::new().open().engine.with_key_archival(settings).unwrap_err();
        assert_eq!(err.code(), "ca-key-archival-invalid");
        let EngineError::KeyArchival { rule } = err else { panic!("{err:?}") };
        assert!(rule.contains(word), "{rule}");
    };
    check(&[7], 1, ArchiveRule::Allow, "extended key usage");
    check(&[8], 1, ArchiveRule::Allow, "ed25519");
    check(&[9], 1, ArchiveRule::Allow, "cannot be used");
    check(&[0, 0], 1, ArchiveRule::Allow, "twice");
    check(&[0, 1], 3, ArchiveRule::Allow, "3 of 2");
    check(&[0, 1], 0, ArchiveRule::Allow, "0 of 2");
    check(&[], 0, ArchiveRule::Require, "no recovery agent");
}

#[test]
fn two_people_recover_a_key_and_every_step_is_in_the_audit_trail() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Require));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let issued = ca.issue(&subscriber.with_key(&ca.engine));
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(manager);
    let engine = &ca.engine;
    let which = Which::Serial(issued.serial);
    // Who may not.
    let enrollee =
        Caller::new("dave", Door::Local, Roles::ENROLLEE | Roles::READER | Roles::AUDITOR);
    assert_eq!(
        engine.ask_recovery(which, "mine", &enrollee).unwrap_err().code(),
        "recovery-not-allowed"
    );
    assert_eq!(engine.ask_recovery(which, " ", &alice).unwrap_err().code(), "recovery-reason");
    assert_eq!(engine.ask_recovery(which, "a\nb", &alice).unwrap_err().code(), "recovery-reason");
    let nobody = Which::Request(RequestId(999));
    assert_eq!(engine.ask_recovery(nobody, "x", &alice).unwrap_err().code(), "request-unknown");

    let recovery = engine.ask_recovery(which, "laptop lost", &alice).unwrap();
    let id = recovery.id;
    assert_eq!((recovery.request, recovery.approved), (issued.request, None));
    assert_eq!(engine.fetch_recovered(id, &alice).unwrap_err().code(), "recovery-not-approved");
    assert_eq!(engine.approve_recovery(id, &alice).unwrap_err().code(), "recovery-same-person");
    assert_eq!(engine.approve_recovery(id, &enrollee).unwrap_err().code(), "recovery-not-allowed");
    assert_eq!(engine.approve_recovery(99, &bob).unwrap_err().code(), "recovery-not-found");
    engine.approve_recovery(id, &bob).unwrap();
    assert_eq!(
        engine.approve_recovery(id, &carol).unwrap_err().code(),
        "recovery-approved-already"
    );
    assert_eq!(engine.fetch_recovered(id, &carol).unwrap_err().code(), "recovery-stranger");
    for person in [&alice, &bob] {
        let fetched = engine.fetch_recovered(id, person).unwrap();
        assert_eq!(agents.open(0, &fetched.key.blob), Some(subscriber.pkcs8()));
        assert_eq!(fetched.certificate, issued.der);
    }
    let object = format!("request:{}", issued.request);
    let steps: Vec<String> = ca
        .audited()
        .into_iter()
        .filter(|it| it.contains("key-rec"))
        .map(|it| it.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        format!("alice key-recovery-ask {object}"),
        format!("bob key-recovery-approve {object}"),
        format!("alice key-recover {object}"),
        format!("bob key-recover {object}"),
    ];
    assert_eq!(steps, expected);

    // What nobody approved in time, or fetched in time, is over.
    let late = engine.ask_recovery(which, "later", &alice).unwrap().id;
    ca.clock.set(ca.clock.seconds() + DAY_S + 1);
    assert_eq!(engine.approve_recovery(late, &bob).unwrap_err().code(), "recovery-expired");
    assert_eq!(engine.fetch_recovered(id, &alice).unwrap_err().code(), "recovery-expired");
    assert_eq!(engine.recoveries(10).unwrap().len(), 2);
}

#[test]
fn a_certificate_without_a_key_has_none_to_recover_until_one_is_imported() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Allow));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let issued = ca.issue(&subscriber.request);
    let which = Which::Request(issued.request);
    let alice = manager("alice");
    let engine = &ca.engine;
    assert_eq!(engine.ask_recovery(which, "x", &alice).unwrap_err().code(), "archived-key-none");
    let other = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let wrong = seal_key(&other.key, [&exchange(engine)]).unwrap();
    assert_eq!(
        engine.import_key(which, &wrong, &alice).unwrap_err().code(),
        "archived-key-unusable"
    );
    let key = seal_key(&subscriber.key, [&exchange(engine)]).unwrap();
    engine.import_key(which, &key, &alice).unwrap();
    assert_eq!(engine.import_key(which, &key, &alice).unwrap_err().code(), "archived-key-there");
    let found = engine.store().archived_key(issued.request).unwrap().unwrap();
    assert_eq!(agents.open(0, &found.key.blob), Some(subscriber.pkcs8()));
    assert!(ca.audited().iter().any(|it| it.starts_with("alice key-import")));
    engine.ask_recovery(which, "x", &alice).unwrap();
}

#[test]
fn an_archived_key_is_in_a_backup_and_only_for_its_agents() {
    let agents = Agents::new(1, 400);
    let house = House::new();
    let ca = open(&house, agents.settings(1, ArchiveRule::Allow));
    let subscriber = Subscriber::new(KeyAlgorithm::EcdsaP256);
    let issued = ca.issue(&subscriber.with_key(&ca.engine));
    drop(ca);
    let store = Store::open(&house.folder.path().join("store.db")).unwrap();
    let found = store.archived_key(issued.request).unwrap().unwrap();
    assert_eq!(agents.open(0, &found.key.blob), Some(subscriber.pkcs8()));
}
