//! Files of any length behind a passphrase, in the format of age, version 1 (C2SP, age.md), with its
//! recipient of type "scrypt" and no other. Whoever has the passphrase opens them with `age --decrypt` as
//! well, without this program.
//!
//! The primitives are the cryptographic module's, but for scrypt, which it shares with encrypted keys.
//! Enter at [`SealingWriter`] and [`OpeningReader`].

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::{KeyError, Passphrase, random_bytes};

/// First line of a sealed file.
pub const SEALED_MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// Cost of trying a passphrase, as the power of two of scrypt's N: 256 MiB and about a second, what the
/// tool `age` takes.
pub const SEALED_LOG_N: u8 = 18;
/// Largest cost of a file that is opened: 4 GiB, what the tool `age` takes at most. Whoever made the file
/// chose its cost.
pub const SEALED_LOG_N_MAX: u8 = 22;

/// Octets of a chunk of the content, each of which is sealed for itself (age.md, "Payload").
const CHUNK_OCTETS: usize = 64 * 1024;
const TAG_OCTETS: usize = 16;
const FILE_KEY_OCTETS: usize = 16;
/// Longest header that is read; one with a single recipient has 150 octets.
const HEADER_OCTETS_MAX: usize = 1024;
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";

/// Why a sealed file was not made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The random source gave nothing.
    #[error("no randomness to be had")]
    Random,
    /// It begins in another way than a file of this kind, or ends too early.
    #[error("it is not a file that was sealed with a passphrase")]
    Malformed,
    /// Opening it would cost more than [`SEALED_LOG_N_MAX`] allows.
    #[error("opening it costs 2^{log_n}, and 2^{SEALED_LOG_N_MAX} is allowed")]
    TooCostly {
        /// What its header asks for.
        log_n: u8,
    },
    /// The passphrase is another one, or the header was changed.
    #[error("the passphrase does not open it")]
    WrongPassphrase,
    /// The file could not be read or written.
    #[error("reading or writing it failed")]
    Io {
        /// What the system said.
        source: io::Error,
    },
}

impl SealedError {
    /// Stable code for logs and answers. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Random => "key-random",
            Self::Malformed => "sealed-malformed",
            Self::TooCostly { .. } => "sealed-too-costly",
            Self::WrongPassphrase => "sealed-wrong-passphrase",
            Self::Io { .. } => "sealed-io",
        }
    }
}

impl From<KeyError> for SealedError {
    fn from(_: KeyError) -> Self {
        Self::Random
    }
}

fn io_failed(source: io::Error) -> SealedError {
    SealedError::Io { source }
}

/// The key of a content, and the number of the next chunk.
struct Stream {
    key: LessSafeKey,
    counter: u64,
}

impl Stream {
    fn new(file_key: &[u8], nonce: &[u8]) -> Self {
        Self { key: aead_key(&derive(file_key, nonce, b"payload")), counter: 0 }
    }

    /// Eleven octets of counter and one that says whether it is the last chunk.
    fn nonce(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.counter += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals what is written through it. Nothing is whole before [`SealingWriter::finish`].
pub struct SealingWriter<W> {
    to: W,
    stream: Stream,
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealingWriter<W> {
    /// Writes the header. It takes about a second, which is the point of it.
    ///
    /// # Errors
    ///
    /// [`SealedError::Random`], [`SealedError::Io`].
    pub fn new(to: W, passphrase: &Passphrase) -> Result<Self, SealedError> {
        Self::with_cost(to, passphrase, SEALED_LOG_N)
    }

    fn with_cost(mut to: W, passphrase: &Passphrase, log_n: u8) -> Result<Self, SealedError> {
        let file_key = Zeroizing::new(random_bytes::<FILE_KEY_OCTETS>()?);
        let salt = random_bytes::<16>()?;
        let wrapping = aead_key(&stretch(passphrase, &salt, log_n));
        let mut body = file_key.to_vec();
        // The key is drawn for this one use (age.md, "The scrypt recipient type").
        wrapping
            .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut body)
            .map_err(|_unspecified| SealedError::Random)?;
        let [salt, body] = [&salt[..], &body].map(|it| BASE64_STANDARD_NO_PAD.encode(it));
        let mut header = SEALED_MAGIC.to_vec();
        header.extend_from_slice(format!("-> scrypt {salt} {log_n}\n{body}\n---").as_bytes());
        let mac = hmac::sign(&mac_key(&file_key[..]), &header);
        let mac = BASE64_STANDARD_NO_PAD.encode(mac.as_ref());
        header.extend_from_slice(format!(" {mac}\n").as_bytes());
        let nonce = random_bytes::<16>()?;
        header.extend_from_slice(&nonce);
        to.write_all(&header).map_err(io_failed)?;
        let stream = Stream::new(&file_key[..], &nonce);
        // Sized beforehand: a buffer that grows leaves its beginnings behind in freed memory.
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_OCTETS + TAG_OCTETS));
        Ok(Self { to, stream, chunk })
    }

    /// Writes the last chunk and gives back what was written to.
    ///
    /// # Errors
    ///
    /// What the writer said.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.to)
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = self.stream.nonce(is_last);
        self.stream
            .key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut *self.chunk)
            .map_err(|_unspecified| io::Error::other("sealing a chunk failed"))?;
        let written = self.to.write_all(&self.chunk);
        self.chunk.clear();
        written
    }
}

impl<W: Write> Write for SealingWriter<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        // A full chunk waits for what comes after it: it may be the last one.
        if self.chunk.len() == CHUNK_OCTETS && !octets.is_empty() {
            self.seal(false)?;
        }
        let room = CHUNK_OCTETS - self.chunk.len();
        let taken = &octets[..octets.len().min(room)];
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W> std::fmt::Debug for SealingWriter<W> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SealingWriter(..)")
    }
}

/// Opens what is read through it. Every octet that it gives is as it was sealed; an end that came too
/// early, and anything that was changed, is an error of kind [`io::ErrorKind::InvalidData`].
pub struct OpeningReader<R> {
    from: R,
    stream: Stream,
    /// What was opened, and how much of it was read.
    chunk: Zeroizing<Vec<u8>>,
    read: usize,
    /// The next chunk as it stands in the file; empty: there is none.
    ahead: Vec<u8>,
    ended: bool,
}

impl<R: Read> OpeningReader<R> {
    /// Reads the header and tries the passphrase.
    ///
    /// # Errors
    ///
    /// [`SealedError::Malformed`], [`SealedError::TooCostly`], [`SealedError::WrongPassphrase`],
    /// [`SealedError::Io`].
    pub fn new(mut from: R, passphrase: &Passphrase) -> Result<Self, SealedError> {
        let Header { log_n, salt, body, macced, mac } = Header::read(&mut from)?;
        if SEALED_LOG_N_MAX < log_n {
            return Err(SealedError::TooCostly { log_n });
        }
        let wrapping = aead_key(&stretch(passphrase, &salt, log_n));
        let mut body = Zeroizing::new(body);
        let file_key = wrapping
            .open_in_place(zero_nonce(), Aad::empty(), &mut body)
            .map_err(|_unspecified| SealedError::WrongPassphrase)?;
        hmac::verify(&mac_key(file_key), &macced, &mac)
            .map_err(|_unspecified| SealedError::WrongPassphrase)?;
        let mut nonce = [0; 16];
        from.read_exact(&mut nonce).map_err(short)?;
        let stream = Stream::new(file_key, &nonce);
        let ahead = next_chunk(&mut from).map_err(io_failed)?;
        let chunk = Zeroizing::new(Vec::new());
        Ok(Self { from, stream, chunk, read: 0, ahead, ended: false })
    }

    /// Opens the chunk that was read ahead.
    fn open_next(&mut self) -> io::Result<()> {
        let damaged = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let sealed = std::mem::take(&mut self.ahead);
        self.ahead = next_chunk(&mut self.from)?;
        let is_last = self.ahead.is_empty();
        let is_first = self.stream.counter == 0;
        *self.chunk = sealed;
        self.read = 0;
        let nonce = self.stream.nonce(is_last);
        let opened = self
            .stream
            .key
            .open_in_place(nonce, Aad::empty(), &mut self.chunk)
            .map_err(|_unspecified| damaged("the sealed file is damaged or cut off"))?
            .len();
        // Only a content without any octet has an empty chunk.
        if opened == 0 && !is_first {
            return Err(damaged("the sealed file has an empty end"));
        }
        self.chunk.truncate(opened);
        self.ended = is_last;
        Ok(())
    }
}

impl<R: Read> Read for OpeningReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() {
            if self.ended || into.is_empty() {
                return Ok(0);
            }
            if let Err(err) = self.open_next() {
                // Whoever asks again is told again, and never that this was the end.
                self.chunk.clear();
                self.read = 0;
                self.ahead.clear();
                return Err(err);
            }
        }
        let rest = &self.chunk[self.read..];
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

impl<R> std::fmt::Debug for OpeningReader<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("OpeningReader(..)")
    }
}

/// The header of a file with one recipient of type "scrypt".
struct Header {
    log_n: u8,
    salt: Vec<u8>,
    body: Vec<u8>,
    /// What the code of authenticity is made of.
    macced: Vec<u8>,
    mac: Vec<u8>,
}

impl Header {
    fn read(from: &mut impl Read) -> Result<Self, SealedError> {
        let mut octets = Vec::new();
        // One octet at a time, because nothing after the header may be taken; it is short.
        let mut line_at = 0;
        let mut lines = 0;
        while lines < 4 {
            let mut octet = [0];
            from.read_exact(&mut octet).map_err(short)?;
            octets.push(octet[0]);
            if HEADER_OCTETS_MAX < octets.len()
                || !SEALED_MAGIC.starts_with(&octets[..octets.len().min(SEALED_MAGIC.len())])
            {
                return Err(SealedError::Malformed);
            }
            if octet[0] == b'\n' {
                lines += 1;
                if lines < 4 {
                    line_at = octets.len();
                }
            }
        }
        Self::parse(&octets, line_at).ok_or(SealedError::Malformed)
    }

    /// `end_at` is where the last line begins.
    fn parse(octets: &[u8], end_at: usize) -> Option<Self> {
        let text = str::from_utf8(octets).ok()?;
        let mut lines = text.strip_suffix('\n')?.split('\n').skip(1);
        let mut words = lines.next()?.strip_prefix("-> scrypt ")?.split(' ');
        let (salt, log_n) = (words.next()?, words.next()?);
        let body = lines.next()?;
        let mac = lines.next()?.strip_prefix("--- ")?;
        if words.next().is_some() || log_n.starts_with(['0', '+']) {
            return None;
        }
        let decode = |text: &str, octets: usize| {
            BASE64_STANDARD_NO_PAD.decode(text).ok().filter(|it| it.len() == octets)
        };
        Some(Self {
            log_n: log_n.parse().ok()?,
            salt: decode(salt, 16)?,
            body: decode(body, FILE_KEY_OCTETS + TAG_OCTETS)?,
            macced: octets.get(..end_at + 3)?.to_vec(),
            mac: decode(mac, 32)?,
        })
    }
}

fn short(source: io::Error) -> SealedError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => SealedError::Malformed,
        _ => SealedError::Io { source },
    }
}

/// A sealed chunk, or what there is of it.
fn next_chunk(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let limit = CHUNK_OCTETS + TAG_OCTETS;
    let mut chunk = Vec::with_capacity(limit);
    from.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// The key that the passphrase stands for.
fn stretch(passphrase: &Passphrase, salt: &[u8], log_n: u8) -> Zeroizing<[u8; 32]> {
    let salt = [SALT_LABEL, salt].concat();
    let params = scrypt::Params::new(log_n, 8, 1).expect("BUG: the cost is limited");
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.expose().as_bytes(), &salt, &params, &mut key[..])
        .expect("BUG: 32 octets can be asked for");
    key
}

/// HKDF with SHA-256 (RFC 5869), 32 octets.
fn derive(file_key: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(file_key)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|it| it.fill(&mut key[..]))
        .expect("BUG: 32 octets can be derived");
    key
}

fn mac_key(file_key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, &[], b"header")[..])
}

fn aead_key(octets: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, octets);
    LessSafeKey::new(key.expect("BUG: the key has 32 octets"))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cheap: what is tested is not the cost.
    const LOG_N: u8 = 4;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut writer =
            SealingWriter::with_cost(Vec::new(), &passphrase("open sesame"), LOG_N).unwrap();
        // In pieces that fit no chunk.
        for piece in content.chunks(10_007) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn opened(sealed: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut reader = OpeningReader::new(sealed, &passphrase("open sesame")).unwrap();
        reader.read_to_end(&mut content).map(|_| content)
    }

    fn content(octets: usize) -> Vec<u8> {
        (0..octets).map(|it| u8::try_from(it % 251).unwrap()).collect()
    }

    #[test]
    fn what_was_sealed_is_opened_whatever_its_length() {
        for octets in [0, 1, CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 3 * CHUNK_OCTETS] {
            let content = content(octets);
            assert!(opened(&sealed(&content)).unwrap() == content, "{octets} octets");
        }
    }

    #[test]
    fn nothing_that_was_cut_off_or_changed_is_taken_for_whole() {
        let sealed = sealed(&content(2 * CHUNK_OCTETS));
        let chunk = CHUNK_OCTETS + TAG_OCTETS;
        for cut in [1, TAG_OCTETS, chunk - 1, chunk, chunk + 1] {
            let err = opened(&sealed[..sealed.len() - cut]).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidData, "{cut} octets are missing");
        }
        let longer = [&sealed[..], b"x"].concat();
        assert_eq!(opened(&longer).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // The chunks in another order.
        let head = sealed.len() - 2 * chunk;
        let swapped = [&sealed[..head], &sealed[head + chunk..], &sealed[head..head + chunk]];
        assert_eq!(opened(&swapped.concat()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for place in [head, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(opened(&changed).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[track_caller]
    fn check_refused(sealed: &[u8], word: &str, code: &str) {
        let err = OpeningReader::new(sealed, &passphrase(word)).unwrap_err();
        assert_eq!(err.code(), code);
    }

    #[test]
    fn another_passphrase_and_a_changed_header_open_nothing() {
        let sealed = sealed(b"content");
        check_refused(&sealed, "open sesam", "sealed-wrong-passphrase");
        let mac = sealed.windows(4).position(|it| it == b"--- ").unwrap() + 4;
        let mut changed = sealed.clone();
        changed[mac] = if changed[mac] == b'A' { b'B' } else { b'A' };
        check_refused(&changed, "open sesame", "sealed-wrong-passphrase");
    }

    #[test]
    fn what_is_no_sealed_file_is_named_so() {
        let sealed = sealed(b"content");
        for other in [&b""[..], b"manifest.json", b"age-encryption.org/v2\n", &sealed[..40]] {
            check_refused(other, "open sesame", "sealed-malformed");
        }
        let text = String::from_utf8_lossy(&sealed[..100]).into_owned();
        let costly = text.replacen(" 4\n", " 23\n", 1);
        let costly = [costly.as_bytes(), &sealed[text.len()..]].concat();
        check_refused(&costly, "open sesame", "sealed-too-costly");
    }

    /// Made by the tool `age` 1.1.1: `printf 'made by another\n' | age --encrypt --passphrase`, with the
    /// passphrase "open sesame".
    const OF_ANOTHER: &[u8] = include_bytes!("sealed/of-another.age");

    #[test]
    fn a_file_of_the_tool_age_is_opened() {
        assert_eq!(opened(OF_ANOTHER).unwrap(), b"made by another\n");
    }
}
