//! A thousand requests that are not as they should be. Whatever comes in: no panic, an error that
//! is the requester's and has a code, a row where there was something to read, bounded memory.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use exeunt_engine::{Blame, Outcome, SubmitError, Submitted, parse_attributes};
use exeunt_testkit::foreign::pkilint_many;
use exeunt_types::{Disposition, EventSeq};
use exeunt_x509::{encode_pem, parse_request};
use fastrand::Rng;

use crate::support::requests::{Requester, Text, Wanted, der};
use crate::support::{Ca, House, der_of, plain_request, request, submission};

const MUTANTS: usize = 1_000;
const SEED: u64 = 0x0e0e_1977;
/// By how much all of them together may raise the largest amount of memory the process ever had.
/// One may be a mebibyte large, and is copied a few times.
const MEMORY_GROWTH_KIB_MAX: u64 = 64 * 1024;
/// Longest text that an outsider or a row gets, in octets.
const MESSAGE_BYTES_MAX: usize = 1_000;
const CHILD: &str = "EXEUNT_TEST_MUTANTS";

/// In a process of its own, because memory is measured per process.
#[test]
fn a_thousand_mutated_requests_never_panic_never_pass_unrecorded_and_never_fill_the_memory() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mutants::mutants_child", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

/// Not a test by itself: see above.
#[test]
fn mutants_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let ca = House::new().open();
    let mut maker = Maker::new();
    for _ in 0..10 {
        ca.issue(plain_request());
    }
    let memory_before = largest_memory_kib();
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut certificates = Vec::new();
    for number in 0..MUTANTS {
        let (kind, bytes) = maker.mutant(number);
        let name = format!("mutant {number}, {kind}, {} octets", bytes.len());
        let outcome = check_mutant(&ca, &mut maker.random, &bytes, &name);
        if let Ok(Submitted { outcome: Outcome::Issued { certificate, .. }, .. }) = &outcome {
            certificates.push((name, encode_pem("CERTIFICATE", certificate)));
        }
        *tally.entry(code(&outcome)).or_default() += 1;
    }
    let growth = largest_memory_kib() - memory_before;
    println!("{growth} KiB, {tally:?}");
    assert!(growth < MEMORY_GROWTH_KIB_MAX, "{growth} KiB");
    // They reach every room of the house.
    assert!(15 <= tally.len(), "{tally:?}");
    for reached in ["issued", "request-bad-signature", "request-too-large", "request-not-der"] {
        assert!(tally.contains_key(reached), "{reached} is not in {tally:?}");
    }

    // It still works, and what it issued in between is good.
    ca.issue(plain_request());
    let events = ca.engine.store().head();
    assert_eq!(events, EventSeq(ca.counts().0), "an event per request, without gaps");
    assert!(ca.engine.recover().unwrap().abandoned.is_empty());
    let judged = pkilint_many(certificates.iter().map(|(name, pem)| (name.as_str(), pem.as_str())));
    let said = judged.err().unwrap_or_default();
    // To pkilint a host name without a dot is none.
    let mut findings = said.lines().filter(|it| !it.contains("pkix.invalid_domain_name_syntax"));
    assert_eq!(findings.next(), None, "{said}");
}

fn code(outcome: &Result<Submitted, SubmitError>) -> String {
    match outcome {
        Ok(Submitted { outcome: Outcome::Issued { .. }, .. }) => "issued".to_owned(),
        Ok(Submitted { outcome: Outcome::Denied { code, .. }, .. }) => (*code).to_owned(),
        Ok(Submitted { outcome: Outcome::Pending { .. }, .. }) => "pending".to_owned(),
        Err(err) => err.code().to_owned(),
    }
}

#[track_caller]
fn check_mutant(
    ca: &Ca,
    random: &mut Rng,
    bytes: &[u8],
    name: &str,
) -> Result<Submitted, SubmitError> {
    let mut submission = submission(bytes);
    if random.u8(..) < 32 {
        let text: String = (0..random.usize(..60)).map(|_| random.char(..)).collect();
        submission.attributes =
            parse_attributes(&format!("a:{text}\nb:c\n{text}")).unwrap_or_default();
    }
    let (rows, ..) = ca.counts();
    let readable = parse_request(bytes).is_ok();
    let outcome = catch_unwind(AssertUnwindSafe(|| ca.engine.submit(submission)))
        .unwrap_or_else(|_| panic!("{name} made the engine panic"));
    let recorded = ca.counts().0 - rows;
    let messages = match &outcome {
        Ok(Submitted { request, outcome }) => {
            assert_eq!(recorded, 1, "{name}");
            let row = ca.row(*request);
            let expected = match outcome {
                Outcome::Issued { certificate, .. } => {
                    ca.check_certificate(certificate);
                    Disposition::Issued
                }
                Outcome::Denied { .. } => Disposition::Denied,
                Outcome::Pending { .. } => panic!("{name} is pending"),
            };
            assert_eq!(row.disposition, expected, "{name}");
            vec![row.message, ca.last_event().state.unwrap().message]
        }
        Err(err) => {
            // Nothing that a requester sends is the fault of the house.
            assert_eq!(err.blame(), Blame::Requester, "{name}: {err:?}");
            let before_reading = matches!(
                err,
                SubmitError::Attributes { .. } | SubmitError::TemplateConflict { .. }
            );
            assert_eq!(recorded == 1, readable && !before_reading, "{name}: {err:?}");
            assert_eq!(err.request().is_some(), recorded == 1, "{name}: {err:?}");
            vec![err.public_message()]
        }
    };
    let code = code(&outcome);
    let is_stable = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    assert!(!code.is_empty() && code.chars().all(is_stable), "{name}: {code:?}");
    for message in messages {
        assert!(!message.is_empty() && message.len() < MESSAGE_BYTES_MAX, "{name}: {message:?}");
        assert!(!message.contains(char::is_control), "{name}: {message:?}");
        assert!(!message.contains(['\u{202e}', '\u{2066}', '\u{200f}']), "{name}: {message:?}");
    }
    outcome
}

fn largest_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Makes mutants; the same ones every time, but for the keys.
struct Maker {
    random: Rng,
    requester: Requester,
    /// Good requests, DER.
    good: Vec<Vec<u8>>,
}

impl Maker {
    fn new() -> Self {
        let san = ["host.example", "IP:192.0.2.1", "email:a@host.example"];
        let mut good: Vec<Vec<u8>> = ["ec:P-256", "rsa:2048", "ed25519", "ml-dsa:65"]
            .map(|key| der_of(&request(key, "/C=DE/O=Exeunt/CN=host.example", &san)))
            .into();
        let requester = Requester::new();
        let mut wanted = Wanted::subject("CN=host.example,O=Exeunt");
        wanted.names = vec![(0x82, b"host.example".to_vec())];
        wanted.pairs = vec![("note".into(), "x".into()), ("CertFile".into(), "true".into())];
        good.push(requester.signed(&wanted));
        Self { random: Rng::with_seed(SEED), requester, good }
    }

    fn mutant(&mut self, number: usize) -> (&'static str, Vec<u8>) {
        match number % 12 {
            0 => ("cut off", self.cut_off()),
            1 => ("extended", self.extended()),
            2 => ("bits flipped", self.flipped()),
            3 => ("wrong tag", self.wrong_tag()),
            4 => ("wrong signature", self.wrong_signature()),
            5 => ("oversized", self.oversized()),
            6 => ("nested", self.nested()),
            7 => ("huge attributes", self.huge_attributes()),
            8 => ("evil subject", self.evil_subject()),
            9 => ("evil alternative names", self.evil_names()),
            10 => ("flipped before signing", self.flipped_before_signing()),
            _ => ("PEM flipped", self.flipped_pem()),
        }
    }

    fn any_good(&mut self) -> Vec<u8> {
        let at = self.random.usize(..self.good.len());
        self.good[at].clone()
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = vec![0; count];
        self.random.fill(&mut octets);
        octets
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        for _ in 0..self.random.usize(1..=8) {
            let at = self.random.usize(..bytes.len());
            bytes[at] ^= 1 << self.random.u8(..8);
        }
    }

    fn cut_off(&mut self) -> Vec<u8> {
        let mut bytes = self.any_good();
        bytes.truncate(self.random.usize(..bytes.len()));
        bytes
    }

    fn extended(&mut self) -> Vec<u8> {
        let mut bytes = self.any_good();
        let count = self.random.usize(1..100);
        let more = self.octets(count);
        let at = if self.random.bool() { bytes.len() } else { self.random.usize(..bytes.len()) };
        bytes.splice(at..at, more);
        bytes
    }

    fn flipped(&mut self) -> Vec<u8> {
        let mut bytes = self.any_good();
        self.flip(&mut bytes);
        bytes
    }

    fn wrong_tag(&mut self) -> Vec<u8> {
        let mut bytes = self.any_good();
        let mut tags = Vec::new();
        tag_positions(&bytes, 0, &mut tags);
        let at = tags[self.random.usize(..tags.len())];
        bytes[at] = self.random.u8(..);
        bytes
    }

    fn wrong_signature(&mut self) -> Vec<u8> {
        let mut bytes = self.any_good();
        let end = bytes.len();
        // The signature of the shortest takes more than 60 octets.
        let count = self.random.usize(1..60);
        let noise = self.octets(count);
        bytes[end - count..].copy_from_slice(&noise);
        bytes
    }

    /// Up to a mebibyte: of noise, of PEM, of one attribute, well formed and signed.
    fn oversized(&mut self) -> Vec<u8> {
        let count = 1 << self.random.usize(15..=20);
        match self.random.u8(..5) {
            0 => self.octets(count),
            1 => [self.any_good(), self.octets(count)].concat(),
            2 => encode_pem("CERTIFICATE REQUEST", &self.octets(count)).into_bytes(),
            3 => der(0x30, &self.octets(count)),
            _ => {
                let mut wanted = self.wanted();
                let value = self.octets(count);
                wanted.attributes.push(attribute(&der(0x04, &value)));
                self.requester.signed(&wanted)
            }
        }
    }

    /// A thousand deep: alone, and in the places where requests hold other things.
    fn nested(&mut self) -> Vec<u8> {
        let depth = [1_000, 33, 32, 31, 20][self.random.usize(..5)];
        let tag = [0x30, 0x31, 0xa0][self.random.usize(..3)];
        let nest = (0..depth).fold(vec![0x05, 0x00], |inner, _| der(tag, &inner));
        let mut wanted = self.wanted();
        match self.random.u8(..5) {
            0 => return nest,
            1 => return self.requester.sign_info(&nest),
            2 => wanted.attributes.push(attribute(&nest)),
            3 => wanted.names.push((0xa0, nest)),
            _ => wanted.subject = nest,
        }
        self.requester.signed(&wanted)
    }

    fn huge_attributes(&mut self) -> Vec<u8> {
        let mut wanted = self.wanted();
        let len = [0, 1, 8_191, 8_192, 8_193, 30_000][self.random.usize(..6)];
        let count = [1, 63, 64, 65, 128, 129, 1_000][self.random.usize(..7)];
        match self.random.u8(..5) {
            0 => wanted.pairs = vec![("n".into(), Text(0x0c, vec![b'v'; len]))],
            1 => wanted.pairs = vec![(Text(0x0c, vec![b'n'; len]), "v".into())],
            2 => {
                wanted.pairs = (0..count).map(|it| (format!("n{it}").into(), "v".into())).collect();
                wanted.pairs_together = self.random.bool();
            }
            3 => wanted.attributes = vec![attribute(&der(0x0c, &vec![b'v'; len])); count.min(65)],
            _ => wanted.names = vec![(0x82, b"host.example".to_vec()); count],
        }
        self.requester.signed(&wanted)
    }

    fn evil_text(&mut self) -> Text {
        let texts = [
            "host.example\0.evil.example",
            "host\u{202e}elpmaxe.live",
            "a\nb",
            "\u{feff}",
            "",
            " ",
            "\u{0}",
            "<script>",
            "a,b+c=d;e\\\"#",
            "𝕏",
            "e\u{301}",
            "\u{2066}x",
            "192.0.2.1",
            "xn--host.example",
        ];
        let tags = [0x0c, 0x13, 0x14, 0x16, 0x1e, 0x1c, 0x1a, 0x04];
        let tag = tags[self.random.usize(..tags.len())];
        let text = match self.random.usize(..texts.len() + 2) {
            at if at < texts.len() => texts[at].to_owned(),
            _ => "x".repeat([63, 64, 65, 8_000, 9_000][self.random.usize(..5)]),
        };
        if tag == 0x1e && self.random.bool() { Text::from(text) } else { Text(tag, text.into()) }
    }

    fn evil_subject(&mut self) -> Vec<u8> {
        // CN, C, O, OU, L, and one that nobody knows.
        let types: [&[u8]; 6] = [
            &[0x55, 4, 3],
            &[0x55, 4, 6],
            &[0x55, 4, 10],
            &[0x55, 4, 11],
            &[0x55, 4, 7],
            &[0x2a, 3],
        ];
        let rdns: Vec<Vec<u8>> = (0..self.random.usize(1..=40).min(self.random.usize(1..=40)))
            .map(|_| {
                let Text(tag, value) = self.evil_text();
                let oid = der(0x06, types[self.random.usize(..types.len())]);
                der(0x31, &der(0x30, &[oid, der(tag, &value)].concat()))
            })
            .collect();
        let mut wanted = self.wanted();
        wanted.subject = der(0x30, &rdns.concat());
        self.requester.signed(&wanted)
    }

    fn evil_names(&mut self) -> Vec<u8> {
        let mut wanted = self.wanted();
        wanted.names = (0..self.random.usize(1..4))
            .map(|_| {
                let tags = [0x81, 0x82, 0x82, 0x86, 0x87, 0x88, 0xa0, 0xa4, 0x82];
                let tag = tags[self.random.usize(..tags.len())];
                let contents = match (tag, self.random.u8(..3)) {
                    (0x87, _) => {
                        let count = [4, 16, 4, 16, 0, 3, 5, 8, 32][self.random.usize(..9)];
                        self.octets(count)
                    }
                    (0x81, 0) => b"a@host.example".to_vec(),
                    (0x82, 0) => b"other.example".to_vec(),
                    (0x86, 0) => b"https://host.example/\"<>".to_vec(),
                    (_, 1) => self.octets(20),
                    _ => self.evil_text().1,
                };
                (tag, contents)
            })
            .collect();
        self.requester.signed(&wanted)
    }

    /// What is changed is signed as it is: it gets past the signature and into the last rooms.
    fn flipped_before_signing(&mut self) -> Vec<u8> {
        let mut wanted = self.wanted();
        wanted.names.push((0x82, b"host.example".to_vec()));
        let mut info = self.requester.info(&wanted);
        if self.random.bool() {
            self.flip(&mut info);
        } else {
            let mut tags = Vec::new();
            tag_positions(&info, 0, &mut tags);
            let at = tags[self.random.usize(..tags.len())];
            info[at] = self.random.u8(..);
        }
        self.requester.sign_info(&info)
    }

    fn flipped_pem(&mut self) -> Vec<u8> {
        let mut pem = encode_pem("CERTIFICATE REQUEST", &self.any_good()).into_bytes();
        match self.random.u8(..3) {
            0 => self.flip(&mut pem),
            1 => pem.truncate(self.random.usize(..pem.len())),
            _ => pem.extend(pem.clone()),
        }
        pem
    }

    fn wanted(&mut self) -> Wanted {
        let mut wanted = Wanted::subject("CN=host.example,C=DE");
        if self.random.bool() {
            wanted.pairs.push(("note".into(), "x".into()));
        }
        wanted
    }
}

/// An attribute of a type that nobody knows.
fn attribute(value: &[u8]) -> Vec<u8> {
    der(0x30, &[der(0x06, &[0x2a, 3, 4]), der(0x31, value)].concat())
}

/// Where the tags of all elements stand.
fn tag_positions(bytes: &[u8], offset: usize, found: &mut Vec<usize>) {
    let mut at = 0;
    while at + 2 <= bytes.len() {
        let (tag, first) = (bytes[at], usize::from(bytes[at + 1]));
        let (header, len) = if first < 0x80 {
            (2, first)
        } else {
            let count = first - 0x80;
            let octets = &bytes[at + 2..at + 2 + count];
            (2 + count, octets.iter().fold(0, |len, it| len << 8 | usize::from(*it)))
        };
        found.push(offset + at);
        let contents = &bytes[at + header..at + header + len];
        if tag & 0x20 != 0 {
            tag_positions(contents, offset + at + header, found);
        }
        at += header + len;
    }
}
