//! Principals: people and programs whom the configuration knows, and by what they are recognized.
//!
//! Pure: who is behind a token, a certificate or a user number, and which rights that one has. Where
//! these come from is in `auth.rs`; who is refused what, in the table of endpoints.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use exeunt_engine::ManagerScope;
use exeunt_types::{Roles, UnixMillis};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Most principals.
pub const PRINCIPAL_COUNT_MAX: usize = 1024;
/// Most tokens of all principals together. Each request by token is compared with all of them.
pub const TOKEN_COUNT_MAX: usize = 4096;

/// What those who have a token in a file of `[server] token_files` may do.
pub const TOKEN_FILE_ROLES: Roles = Roles::READER.or(Roles::ENROLLEE);

/// What the server's own user and root may do under role separation, where no principal says otherwise:
/// one role of the administration.
pub const SEPARATED_OWNER_ROLES: Roles = Roles::ADMINISTRATOR.or(Roles::READER).or(Roles::ENROLLEE);

/// Somebody whom the configuration knows: a person, or a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The name: `principal:NAME` in rows and in the audit trail.
    pub name: String,
    /// What the principal may do.
    pub roles: Roles,
    /// Groups that templates may ask for.
    pub groups: Vec<String>,
    /// Whether the principal may do anything at all.
    pub disabled: bool,
    /// User behind a Unix socket.
    pub uid: Option<u32>,
    /// SHA-256 of client certificates, of whatever CA the door takes them.
    pub certificate_hashes: Vec<[u8; 32]>,
    /// Subjects of client certificates of this CA, as RFC 4514 text.
    pub certificate_subjects: Vec<String>,
    /// Bearer tokens.
    pub tokens: Vec<Token>,
    /// About whom the principal decides as a certificate manager; none for everybody.
    pub scope: Option<Arc<ManagerScope>>,
}

/// A bearer token of a principal. The token itself is not known.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name among those of its principal.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// From when on it counts no more; none for never.
    pub expires: Option<UnixMillis>,
    /// Those of the principal's roles that it gives; none for all.
    pub scope: Option<Roles>,
    /// From where it is taken; empty for anywhere.
    pub from: Vec<Network>,
}

/// Without the digest: whoever has it can look for the token.
impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, sha256: _, expires, scope, from } = self;
        out.debug_struct("Token")
            .field("name", name)
            .field("expires", expires)
            .field("scope", scope)
            .field("from", from)
            .finish_non_exhaustive()
    }
}

/// Addresses with the same first bits: `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `ADDRESS/BITS`, or an address alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = match bits {
            Some(bits) if bits.bytes().all(|it| it.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        if most < bits {
            return None;
        }
        // Peers are never shown as mapped addresses, of which 96 bits are the same.
        let canonical = address.to_canonical();
        let mapped = (canonical != address).then(|| bits.checked_sub(96)).flatten();
        Some(match mapped {
            Some(bits) => Self { address: canonical, bits },
            None => Self { address, bits },
        })
    }

    /// Whether an address is one of them. An IPv4 address is the same where IPv6 shows it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |it: IpAddr| match it {
            IpAddr::V4(it) => (32, u128::from(it.to_bits()) << 96),
            IpAddr::V6(it) => (128, it.to_bits()),
        };
        let (own_size, own) = bits(self.address);
        let (size, other) = bits(address.to_canonical());
        let differ = own ^ other;
        own_size == size && (self.bits == 0 || differ >> (128 - u32::from(self.bits)) == 0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.bits)
    }
}

/// Why principals are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrincipalError {
    /// More than [`PRINCIPAL_COUNT_MAX`] principals, or [`TOKEN_COUNT_MAX`] tokens.
    #[error("there are more than {PRINCIPAL_COUNT_MAX} principals or {TOKEN_COUNT_MAX} tokens")]
    TooMany,
    /// Two have one name.
    #[error("there are two principals called {0:?}")]
    Twice(String),
    /// A token gives what its principal does not have.
    #[error("token {token:?} of principal {principal:?} has roles that the principal has not")]
    Scope {
        /// The principal.
        principal: String,
        /// The token.
        token: String,
    },
    /// A principal has two tokens of one name.
    #[error("principal {principal:?} has two tokens called {token:?}")]
    TokenTwice {
        /// The principal.
        principal: String,
        /// The token.
        token: String,
    },
    /// One thing stands for two.
    #[error("{means} stands for {first} and for {second}")]
    Shared {
        /// What it is.
        means: String,
        /// Whom it is of.
        first: String,
        /// Whom it is of as well.
        second: String,
    },
    /// Role separation lets nobody have two roles of the administration.
    #[error("role separation: principal {principal:?} has the roles {roles}")]
    Separation {
        /// The principal.
        principal: String,
        /// The roles of the administration.
        roles: Roles,
    },
}

impl PrincipalError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Separation { .. } => "role-separation",
            Self::Shared { .. } => "principal-shared",
            _ => "principal-invalid",
        }
    }
}

/// Everybody whom the configuration knows, checked as a whole.
#[derive(Clone, Default)]
pub struct Principals {
    people: Vec<Principal>,
    /// Tokens in files, by name.
    token_files: Vec<(String, [u8; 32])>,
    separation: bool,
}

impl fmt::Debug for Principals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, token_files: _, separation } = self;
        let names: Vec<&str> = self.token_files().collect();
        out.debug_struct("Principals")
            .field("people", people)
            .field("token_files", &names)
            .field("separation", separation)
            .finish()
    }
}

/// Somebody who was recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    pub(crate) principal: &'a Principal,
    /// What of the principal's roles the means gives.
    pub(crate) roles: Roles,
    /// By what.
    pub(crate) means: String,
}

/// Who is behind a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bearer<'a> {
    /// Nobody.
    Unknown,
    /// The name of a token in a file.
    File(&'a str),
    /// A principal with a token.
    Principal(&'a Principal, &'a Token),
}

impl Principals {
    /// Checks them all together. `token_files` are names and SHA-256 of the tokens in files.
    ///
    /// # Errors
    ///
    /// [`PrincipalError`]: the first thing wrong.
    pub fn new(
        people: Vec<Principal>,
        token_files: Vec<(String, [u8; 32])>,
        role_separation: bool,
    ) -> Result<Self, PrincipalError> {
        let token_count =
            people.iter().map(|it| it.tokens.len()).sum::<usize>() + token_files.len();
        if PRINCIPAL_COUNT_MAX < people.len() || TOKEN_COUNT_MAX < token_count {
            return Err(PrincipalError::TooMany);
        }
        let mut names = BTreeSet::new();
        for it in &people {
            if !names.insert(it.name.as_str()) {
                return Err(PrincipalError::Twice(it.name.clone()));
            }
            it.check(role_separation)?;
        }
        let principals = Self { people, token_files, separation: role_separation };
        principals.check_shared()?;
        Ok(principals)
    }

    /// Refuses what stands for two. With or without separation, it could not be told who it was.
    fn check_shared(&self) -> Result<(), PrincipalError> {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        let mut claim = |key: String, means: String, owner: String| match owners.entry(key) {
            Entry::Occupied(first) => {
                let first = first.get().clone();
                Err(PrincipalError::Shared { means, first, second: owner })
            }
            Entry::Vacant(place) => {
                place.insert(owner);
                Ok(())
            }
        };
        for (name, sha256) in &self.token_files {
            claim(
                format!("token {sha256:?}"),
                "a token".to_owned(),
                format!("token file {name:?}"),
            )?;
        }
        for it in &self.people {
            let owner = || format!("principal {:?}", it.name);
            for token in &it.tokens {
                claim(format!("token {:?}", token.sha256), "a token".to_owned(), owner())?;
            }
            if let Some(uid) = it.uid {
                claim(format!("uid {uid}"), format!("uid {uid}"), owner())?;
            }
            for hash in &it.certificate_hashes {
                claim(format!("hash {hash:?}"), "a certificate".to_owned(), owner())?;
            }
            for subject in &it.certificate_subjects {
                claim(format!("subject {subject}"), format!("the subject {subject:?}"), owner())?;
            }
        }
        Ok(())
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn people(&self) -> &[Principal] {
        &self.people
    }

    /// The names of the tokens in files.
    pub fn token_files(&self) -> impl Iterator<Item = &str> {
        self.token_files.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the tokens in files are those of the others, and not only called so.
    #[must_use]
    pub fn has_same_token_files(&self, other: &Self) -> bool {
        self.token_files == other.token_files
    }

    /// Whether nobody may have two roles of the administration.
    #[must_use]
    pub fn role_separation(&self) -> bool {
        self.separation
    }

    /// Whether anybody can come in by token or certificate.
    pub(crate) fn has_remote(&self) -> bool {
        let is_remote = |it: &Principal| {
            !(it.tokens.is_empty()
                && it.certificate_hashes.is_empty()
                && it.certificate_subjects.is_empty())
        };
        !self.token_files.is_empty() || self.people.iter().any(is_remote)
    }

    /// What the server's own user and root may do whom no principal names.
    #[must_use]
    pub fn owner_roles(&self) -> Roles {
        if self.separation { SEPARATED_OWNER_ROLES } else { Roles::ALL }
    }

    /// The principal of a user behind a Unix socket.
    pub(crate) fn by_uid(&self, uid: u32) -> Option<Known<'_>> {
        let principal = self.people.iter().find(|it| it.uid == Some(uid))?;
        Some(Known { principal, roles: principal.roles, means: format!("uid:{uid}") })
    }

    /// The principal of a client certificate: by its octets, or by its subject where it is of this CA.
    pub(crate) fn by_certificate(
        &self,
        sha256: &[u8; 32],
        own_subject: Option<&str>,
    ) -> Option<Known<'_>> {
        let has_subject = |it: &&Principal| {
            own_subject.is_some_and(|own| it.certificate_subjects.iter().any(|it| it == own))
        };
        let principal = self
            .people
            .iter()
            .find(|it| it.certificate_hashes.contains(sha256))
            .or_else(|| self.people.iter().find(has_subject))?;
        let digits = exeunt_types::hexadecimal(&sha256[..8]);
        let means = format!("certificate:{digits}");
        Some(Known { principal, roles: principal.roles, means })
    }

    /// Compares with every digest, so that the time taken tells nothing about any of them.
    pub(crate) fn by_token(&self, presented: &[u8; 32]) -> Bearer<'_> {
        let files = self.token_files.iter().map(|(_, known)| known);
        let tokens =
            || self.people.iter().flat_map(|it| it.tokens.iter().map(move |token| (it, token)));
        let mut found = u64::MAX;
        for (place, known) in (0_u64..).zip(files.chain(tokens().map(|(_, it)| &it.sha256))) {
            let same: Choice = known.as_slice().ct_eq(presented.as_slice());
            found.conditional_assign(&place, same);
        }
        let Ok(place) = usize::try_from(found) else { return Bearer::Unknown };
        if let Some((name, _)) = self.token_files.get(place) {
            return Bearer::File(name);
        }
        let place = place.saturating_sub(self.token_files.len());
        tokens().nth(place).map_or(Bearer::Unknown, |(it, token)| Bearer::Principal(it, token))
    }
}

impl Principal {
    fn check(&self, separation: bool) -> Result<(), PrincipalError> {
        let administration = self.roles.and(Roles::ADMINISTRATION);
        if separation && 1 < administration.bits().count_ones() {
            let (principal, roles) = (self.name.clone(), administration);
            return Err(PrincipalError::Separation { principal, roles });
        }
        let mut names = BTreeSet::new();
        for it in &self.tokens {
            let (principal, token) = (self.name.clone(), it.name.clone());
            if !names.insert(it.name.as_str()) {
                return Err(PrincipalError::TokenTwice { principal, token });
            }
            if it.scope.is_some_and(|scope| !self.roles.contains(scope)) {
                return Err(PrincipalError::Scope { principal, token });
            }
        }
        Ok(())
    }
}

/// The principals of a server that runs: those of now, and in a moment perhaps others.
#[derive(Debug, Default)]
pub struct Access(RwLock<Arc<Principals>>);

impl Access {
    /// These, until they are replaced.
    #[must_use]
    pub fn new(principals: Principals) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(principals))))
    }

    /// Puts others in their place. What is under way goes on as it was let in; the next request of the
    /// same connection is judged anew.
    pub fn replace(&self, principals: Principals) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(principals);
    }

    /// Those of now.
    #[must_use]
    pub fn current(&self) -> Arc<Principals> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, digest: u8) -> Token {
        let (expires, scope, from) = (None, None, Vec::new());
        Token { name: name.to_owned(), sha256: [digest; 32], expires, scope, from }
    }

    fn principal(name: &str, roles: Roles) -> Principal {
        Principal { name: name.to_owned(), roles, ..Principal::default() }
    }

    #[track_caller]
    fn check(people: Vec<Principal>, separation: bool, expected: Result<(), &str>) {
        let files = vec![("admin".to_owned(), [9; 32])];
        let checked = Principals::new(people, files, separation);
        assert_eq!(
            checked.map(|_| ()).map_err(|it| it.to_string()),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn role_separation_refuses_one_principal_two_roles_of_the_administration() {
        for (first, one) in Roles::NAMES {
            for (second, other) in Roles::NAMES {
                let roles = one | other;
                let both = first != second && Roles::ADMINISTRATION.contains(roles);
                check(vec![principal("a", roles)], false, Ok(()));
                let refused = format!("role separation: principal \"a\" has the roles {roles}");
                let expected = if both { Err(refused.as_str()) } else { Ok(()) };
                check(vec![principal("a", roles)], true, expected);
            }
        }
        assert_eq!(SEPARATED_OWNER_ROLES.and(Roles::ADMINISTRATION), Roles::ADMINISTRATOR);
        assert_eq!(TOKEN_FILE_ROLES.and(Roles::ADMINISTRATION), Roles::NONE);
    }

    #[test]
    fn nothing_stands_for_two() {
        let two = |change: fn(&mut Principal)| {
            let mut both = ["a", "b"].map(|it| principal(it, Roles::READER));
            both.iter_mut().for_each(change);
            both.to_vec()
        };
        let shared = |means| format!("{means} stands for principal \"a\" and for principal \"b\"");
        for separation in [false, true] {
            let check = |people, means| check(people, separation, Err(&shared(means)));
            check(two(|it| it.uid = Some(7)), "uid 7");
            check(two(|it| it.tokens.push(token("t", 1))), "a token");
            check(two(|it| it.certificate_hashes.push([1; 32])), "a certificate");
            let subject = "the subject \"CN=x\"";
            check(two(|it| it.certificate_subjects.push("CN=x".to_owned())), subject);
        }
        let mut thief = principal("a", Roles::READER);
        thief.tokens.push(token("t", 9));
        let refused = "a token stands for token file \"admin\" and for principal \"a\"";
        check(vec![thief], false, Err(refused));
    }

    #[test]
    fn names_and_scopes_are_checked() {
        let a = || principal("a", Roles::READER);
        check(vec![a(), a()], false, Err("there are two principals called \"a\""));
        let mut twice = a();
        twice.tokens = vec![token("t", 1), token("t", 2)];
        check(vec![twice], false, Err("principal \"a\" has two tokens called \"t\""));
        let mut wide = a();
        let scope = Some(Roles::READER | Roles::ENROLLEE);
        wide.tokens = vec![Token { scope, ..token("t", 1) }];
        let refused = "token \"t\" of principal \"a\" has roles that the principal has not";
        check(vec![wide], false, Err(refused));
        let crowd = (0..=PRINCIPAL_COUNT_MAX).map(|it| principal(&it.to_string(), Roles::READER));
        let refused = "there are more than 1024 principals or 4096 tokens";
        check(crowd.collect(), false, Err(refused));
    }

    #[test]
    fn whoever_is_recognized_is_the_right_one() {
        let mut a = principal("a", Roles::READER);
        a.tokens = vec![token("one", 1), token("two", 2)];
        a.uid = Some(7);
        let mut b = principal("b", Roles::AUDITOR);
        b.tokens = vec![token("three", 3)];
        b.certificate_hashes = vec![[5; 32]];
        b.certificate_subjects = vec!["CN=b".to_owned()];
        let files = vec![("admin".to_owned(), [9; 32]), ("other".to_owned(), [8; 32])];
        let all = Principals::new(vec![a, b], files, false).unwrap();
        let bearer = |digest: u8| match all.by_token(&[digest; 32]) {
            Bearer::Unknown => "nobody".to_owned(),
            Bearer::File(name) => format!("file {name}"),
            Bearer::Principal(it, token) => format!("{} {}", it.name, token.name),
        };
        let found = [9, 8, 1, 2, 3, 4].map(bearer);
        assert_eq!(found, ["file admin", "file other", "a one", "a two", "b three", "nobody"]);
        assert_eq!(all.by_uid(7).unwrap().principal.name, "a");
        assert!(all.by_uid(8).is_none());
        let shown = |hash: u8, subject| {
            all.by_certificate(&[hash; 32], subject).map(|it| it.principal.name.clone())
        };
        assert_eq!(shown(5, None).as_deref(), Some("b"));
        assert_eq!(shown(6, Some("CN=b")).as_deref(), Some("b"));
        assert_eq!(shown(6, Some("CN=c")), None);
        assert_eq!(shown(6, None), None);
    }

    #[test]
    fn a_network_is_the_addresses_with_the_same_first_bits() {
        let check = |network: &str, address: &str, expected| {
            let contains = Network::parse(network).unwrap().contains(address.parse().unwrap());
            assert_eq!(contains, expected, "{network} {address}");
        };
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("::ffff:192.0.2.0/120", "192.0.2.255", true);
        check("::ffff:192.0.2.0/120", "192.0.3.0", false);
        check("0.0.0.0/0", "203.0.113.7", true);
        check("0.0.0.0/0", "::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("::/0", "192.0.2.1", false);
        for bad in ["", "/", "192.0.2.0/33", "192.0.2.0/", "::/129", "host/8", "192.0.2.0/+8"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_digest_is_shown() {
        let mut a = principal("a", Roles::READER);
        a.tokens = vec![token("t", 77)];
        let all = Principals::new(vec![a], Vec::new(), false).unwrap();
        assert!(!format!("{:?}", all.people()).contains("77"));
    }
}
