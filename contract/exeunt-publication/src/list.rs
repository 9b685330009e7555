//! A revocation list as a publisher needs it, and whether it may take the place of another.
//!
//! Only the head and the end of a list are decoded: its entries may be millions, and the signature
//! is over all of them. Nothing is known here of a target; [`compare`] gets what stands there.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
};

use der::{
    Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
    asn1::{AnyRef, ObjectIdentifier, UintRef},
    oid::db::rfc5280,
};
use x509_cert::{
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier,
            name::{DistributionPointName, GeneralName},
        },
    },
    time::Time,
};

use crate::{
    certificate::{Certificate, IssuerError, seconds},
    signed::Signed,
};

/// Largest revocation list, in bytes: 1 GiB, what the server makes at most.
pub const LIST_BYTES_MAX: usize = 1 << 30;

/// Longest number of a list, in octets (RFC 5280, section 5.2.3).
pub const NUMBER_OCTETS_MAX: usize = 20;

/// What stands before the number of a part in the file's name and in addresses.
const PART_MARK: &str = "_Partition";

/// `id-ce-issuingDistributionPoint` (RFC 5280, section 5.2.5).
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");

/// Why bytes are not a revocation list that can be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// More than [`LIST_BYTES_MAX`].
    #[error("the revocation list is larger than 1 GiB")]
    TooLarge,
    /// Not DER, or not the structure of RFC 5280.
    #[error("the revocation list cannot be decoded")]
    Malformed(#[source] der::Error),
    /// It has no number, so that nobody can say which of two is the newer.
    #[error("the revocation list has no number")]
    NoNumber,
}

impl ListError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "publication-list-too-large",
            Self::Malformed(_) => "publication-list-malformed",
            Self::NoNumber => "publication-list-no-number",
        }
    }
}

impl From<der::Error> for ListError {
    fn from(err: der::Error) -> Self {
        Self::Malformed(err)
    }
}

/// Number of a list: up to 20 octets, big-endian, zeros in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListNumber([u8; NUMBER_OCTETS_MAX]);

impl ListNumber {
    fn from_der(value: &[u8]) -> der::Result<Self> {
        let number = UintRef::from_der(value)?;
        let octets = number.as_bytes();
        let mut it = [0; NUMBER_OCTETS_MAX];
        let start = NUMBER_OCTETS_MAX
            .checked_sub(octets.len())
            .ok_or_else(|| der::Error::from(Tag::Integer.length_error()))?;
        it[start..].copy_from_slice(octets);
        Ok(Self(it))
    }

    /// The number where it fits into 64 bits, as every one of the server does.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        let (high, low) = self.0.split_at(NUMBER_OCTETS_MAX - 8);
        let low = low.try_into().expect("BUG: eight octets were split off");
        high.iter().all(|it| *it == 0).then_some(u64::from_be_bytes(low))
    }
}

impl From<u64> for ListNumber {
    fn from(number: u64) -> Self {
        let mut it = [0; NUMBER_OCTETS_MAX];
        it[NUMBER_OCTETS_MAX - 8..].copy_from_slice(&number.to_be_bytes());
        Self(it)
    }
}

impl fmt::Display for ListNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_u64() {
            Some(number) => write!(out, "{number}"),
            None => write!(out, "0x{}", crate::certificate::hex(&self.0)),
        }
    }
}

/// A decoded revocation list with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    issuer: Vec<u8>,
    number: ListNumber,
    base: Option<ListNumber>,
    this_update: i64,
    next_update: Option<i64>,
    authority_key_identifier: Option<Vec<u8>>,
    addresses: Vec<String>,
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the bytes, which are many.
        out.debug_struct("RevocationList")
            .field("bytes", &self.der.len())
            .field("number", &self.number)
            .field("base", &self.base)
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl RevocationList {
    /// Decodes a list in DER. Its entries are not looked at.
    ///
    /// # Errors
    ///
    /// [`ListError`]: too large, no list, or one that cannot be ordered.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Result<Self, ListError> {
        let der = der.into();
        if LIST_BYTES_MAX < der.len() {
            return Err(ListError::TooLarge);
        }
        let head = Head::read(&der)?;
        let number = head.number.ok_or(ListError::NoNumber)?;
        let Head {
            issuer,
            number: _,
            base,
            this_update,
            next_update,
            authority_key_identifier,
            addresses,
        } = head;
        let issuer = issuer.to_vec();
        Ok(Self {
            der,
            issuer,
            number,
            base,
            this_update,
            next_update,
            authority_key_identifier,
            addresses,
        })
    }

    /// The list itself, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the whole list.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        digest.as_ref().try_into().expect("BUG: SHA-256 has 32 octets")
    }

    /// The list itself, in DER, without a copy.
    #[must_use]
    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    /// Issuer's name, in DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// Its number. Bases and deltas of a CA count together.
    #[must_use]
    pub fn number(&self) -> ListNumber {
        self.number
    }

    /// Number of the base that a delta goes with; a base has none.
    #[must_use]
    pub fn base(&self) -> Option<ListNumber> {
        self.base
    }

    /// Whether it is a delta.
    #[must_use]
    pub fn is_delta(&self) -> bool {
        self.base.is_some()
    }

    /// When it was made, in Unix seconds.
    #[must_use]
    pub fn this_update(&self) -> i64 {
        self.this_update
    }

    /// Until when the next one will have been made, in Unix seconds.
    #[must_use]
    pub fn next_update(&self) -> Option<i64> {
        self.next_update
    }

    /// Whether its time is over at `now`, in Unix seconds.
    #[must_use]
    pub fn expired_at(&self, now: i64) -> bool {
        self.next_update.is_some_and(|it| it < now)
    }

    /// Key identifier of the issuer.
    #[must_use]
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.authority_key_identifier.as_deref()
    }

    /// Addresses of its issuing distribution point.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Which part of the CA's certificates it is about, as the addresses of its issuing distribution
    /// point say (`…_Partition00003.crl`); 0 for the whole.
    #[must_use]
    pub fn part(&self) -> u32 {
        self.addresses.iter().find_map(|it| part_in(it)).unwrap_or(0)
    }

    /// Whether `ca` signed this: by name, by key identifier where both have one, and by signature.
    ///
    /// # Errors
    ///
    /// [`IssuerError::Other`] is the ordinary "no"; the others look like this CA's and are not
    /// proven to be.
    pub fn verify(&self, ca: &Certificate) -> Result<(), IssuerError> {
        ca.check_identity(&self.issuer, self.authority_key_identifier())?;
        let signed = Signed::split(&self.der).map_err(|_| IssuerError::Signature)?;
        Ok(signed.verify(ca.public_key())?)
    }
}

/// Which part a name ends in: `_Partition` and five digits.
fn part_in(address: &str) -> Option<u32> {
    let (_, after) = address.rsplit_once(PART_MARK)?;
    let digits = after.get(..5)?;
    digits.bytes().all(|it| it.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What a list says before and after its entries.
struct Head<'a> {
    issuer: &'a [u8],
    number: Option<ListNumber>,
    base: Option<ListNumber>,
    this_update: i64,
    next_update: Option<i64>,
    authority_key_identifier: Option<Vec<u8>>,
    addresses: Vec<String>,
}

impl<'a> Head<'a> {
    fn read(der: &'a [u8]) -> der::Result<Self> {
        let Signed { tbs, algorithm, signature: _ } = Signed::split(der)?;
        let mut outer = SliceReader::new(tbs)?;
        outer.sequence(|it| {
            let at = |it: &SliceReader<'_>, tag: Tag| {
                !it.is_finished() && Tag::peek(it).is_ok_and(|found| found == tag)
            };
            let is_time =
                |it: &SliceReader<'_>| at(it, Tag::UtcTime) || at(it, Tag::GeneralizedTime);
            if at(it, Tag::Integer) {
                it.tlv_bytes()?;
            }
            // RFC 5280, section 5.1.1.2: the same as outside.
            if it.tlv_bytes()? != algorithm {
                return Err(Tag::Sequence.value_error().into());
            }
            Tag::peek(it)?.assert_eq(Tag::Sequence)?;
            let issuer = it.tlv_bytes()?;
            let this_update = seconds(Time::decode(it)?);
            let next_update = if is_time(it) { Some(seconds(Time::decode(it)?)) } else { None };
            if at(it, Tag::Sequence) {
                it.tlv_bytes()?;
            }
            let mut head = Self {
                issuer,
                number: None,
                base: None,
                this_update,
                next_update,
                authority_key_identifier: None,
                addresses: Vec::new(),
            };
            if !it.is_finished() {
                let extensions = AnyRef::decode(it)?;
                let tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
                extensions.tag().assert_eq(tag)?;
                for extension in Vec::<Extension>::from_der(extensions.value())? {
                    head.take(&extension)?;
                }
            }
            Ok(head)
        })
    }

    fn take(&mut self, extension: &Extension) -> der::Result<()> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            rfc5280::ID_CE_CRL_NUMBER => self.number = Some(ListNumber::from_der(value)?),
            rfc5280::ID_CE_DELTA_CRL_INDICATOR => self.base = Some(ListNumber::from_der(value)?),
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                let identifier = AuthorityKeyIdentifier::from_der(value)?.key_identifier;
                self.authority_key_identifier = identifier.map(|it| it.as_bytes().to_vec());
            }
            ISSUING_DISTRIBUTION_POINT => {
                let point =
                    x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint::from_der(value)?;
                if let Some(DistributionPointName::FullName(names)) = point.distribution_point {
                    self.addresses.extend(names.into_iter().filter_map(|it| match it {
                        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
                        _ => None,
                    }));
                }
            }
            _ => (),
        }
        Ok(())
    }
}

/// How a list stands to what its target holds, and so what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is there: write it.
    Missing,
    /// An older list of the same kind is there: write over it.
    Newer {
        /// Number of what is there.
        present: ListNumber,
    },
    /// The very same is there.
    Same,
    /// A newer list of the same kind is there: do not write.
    Superseded {
        /// Number of what is there.
        present: ListNumber,
    },
    /// The list's own time is over, so that it serves nobody: do not write.
    Expired,
    /// Something is there that this CA's key has not signed, or a list of another kind: do not
    /// touch it.
    Foreign {
        /// What it is, in one clause.
        why: String,
    },
}

impl Standing {
    /// Whether the list is to be written.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Missing | Self::Newer { .. })
    }
}

/// Reads the file that the server names for a list, because it is too large for an event.
///
/// # Errors
///
/// As the system says; [`io::ErrorKind::FileTooLarge`] where it has more than [`LIST_BYTES_MAX`], and
/// [`io::ErrorKind::OutOfMemory`] where this process gets no memory for it.
pub fn read_list(path: &str) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let most = u64::try_from(LIST_BYTES_MAX).unwrap_or(u64::MAX);
    let length = file.metadata()?.len();
    if most < length {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, ListError::TooLarge));
    }
    let mut der = Vec::new();
    // At once, and refused in words: a module has a limit (`memory_mib`), and would end at it.
    der.try_reserve_exact(usize::try_from(length).unwrap_or(LIST_BYTES_MAX)).map_err(|_| {
        let why = format!("no memory for {length} bytes: raise memory_mib of the [[exit]]");
        io::Error::new(io::ErrorKind::OutOfMemory, why)
    })?;
    file.take(length).read_to_end(&mut der)?;
    Ok(der)
}

/// Decides whether a list may take the place of what stands at a target.
///
/// `present` is what the target holds, nothing or no bytes where it holds nothing; `ca` is the
/// certificate that the candidate was verified with; `now` is in Unix seconds. The number of what
/// stands there never goes backwards. Two lists with one number, as after a restored backup, are
/// ordered by when they were made and then by their bytes, so that every order of delivery ends the
/// same. A single zero byte is nothing: directories hold it where an attribute may not be empty.
#[must_use]
pub fn compare(
    present: Option<&[u8]>,
    candidate: &RevocationList,
    ca: &Certificate,
    now: i64,
) -> Standing {
    let foreign = |why: &str| Standing::Foreign { why: why.to_owned() };
    let present = match present {
        None | Some([] | [0]) => None,
        Some(bytes) if bytes == candidate.der() => return Standing::Same,
        Some(bytes) => match RevocationList::from_der(bytes) {
            Ok(list) => Some(list),
            Err(_) => return foreign("what is there is no revocation list"),
        },
    };
    if let Some(present) = &present {
        match present.verify(ca) {
            Ok(()) => (),
            Err(IssuerError::Other) => return foreign("a revocation list of another CA is there"),
            Err(_) => return foreign("the signature of what is there is not this CA's"),
        }
        if present.is_delta() != candidate.is_delta() {
            return foreign("what is there is a base and a delta is to be written, or the reverse");
        }
        if present.part() != candidate.part() {
            return foreign("the list of another part is there");
        }
        let order = |it: &RevocationList| (it.number, it.this_update);
        let newer = (order(candidate), candidate.der()) > (order(present), present.der());
        if !newer {
            return Standing::Superseded { present: present.number };
        }
    }
    if candidate.expired_at(now) {
        return Standing::Expired;
    }
    match present {
        None => Standing::Missing,
        Some(present) => Standing::Newer { present: present.number },
    }
}
