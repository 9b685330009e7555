//! Keys in a PKCS #11 token: a smart card, a hardware security module, or `SoftHSM`.
//!
//! Enter at [`Pkcs11Key`]. The hash is made here; the token sees only what it has to do arithmetic
//! with, so that a token needs no more than its raw mechanisms. A token that went away is looked
//! for again at the next signature, but not more often than every [`RESTART_PAUSE`]; a PIN that it
//! refused is never tried again.

mod encode;
mod error;
mod module;
mod object;
mod settings;
mod token;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest;
use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::ObjectHandle,
    session::Session,
    types::Ulong,
};
use exeunt_types::{KeyAlgorithm, SignatureScheme};

pub use error::{TokenError, TriesLeft};
pub use module::RESTART_PAUSE;
pub use settings::{KeyName, PIN_BYTES_MAX, PinSource, TokenName, TokenSettings};

use crate::{
    SignError, SigningKey,
    message::{Message, Taken},
    random_bytes,
    software::check_scheme,
    stream, verify,
};
use module::Module;
use settings::Pin;

/// Most sessions that a key keeps open while nobody signs. Each signature that is made at the same
/// time as another has a session of its own; more than these are closed again.
pub const SESSIONS_IDLE_MAX: usize = 16;

/// What is signed when a key is opened, to see that it signs and whose public key is beside it. No
/// DER begins with these octets, so it can never pass for a certificate.
const PROBE: &[u8] = b"exeunt: which key is this?";

/// A private key in a PKCS #11 token.
///
/// RSA (PKCS #1 v1.5 and PSS), ECDSA and Ed25519, as far as the token knows them. Signatures can
/// be made at the same time, each in a session of its own.
pub struct Pkcs11Key {
    module: Arc<Module>,
    token: TokenName,
    name: KeyName,
    pin: Pin,
    algorithm: KeyAlgorithm,
    scheme: SignatureScheme,
    public_key_der: Vec<u8>,
    idle: Mutex<Idle>,
    login: Mutex<Login>,
}

/// Sessions that wait for a signature to be made.
#[derive(Default)]
struct Idle {
    /// The module's generation in which they were opened.
    generation: u64,
    ready: Vec<Ready>,
}

/// A session that is logged in, and the key in it.
struct Ready {
    session: Session,
    key: ObjectHandle,
}

/// Whether the PIN may be tried.
#[derive(Default)]
struct Login {
    refused: bool,
}

impl Pkcs11Key {
    /// Opens the one private key in a token that the settings name, and makes a signature to see
    /// that it can.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; the PIN was tried once at most.
    pub fn open(settings: &TokenSettings) -> Result<Self, TokenError> {
        let pin = settings.pin.read()?;
        let (module, is_new) = Module::load(&settings.module)?;
        let generation = *module.enter();
        match Self::begin(settings, Arc::clone(&module), pin) {
            // A module looks for its tokens when it starts, which may have been before they came.
            Err(err) if !is_new && err.may_come_back() => {
                if !module.restart(generation)? {
                    return Err(err);
                }
                Self::begin(settings, module, settings.pin.read()?)
            }
            begun => begun,
        }
    }

    /// Makes a key pair in the token, which it never leaves, and opens it.
    ///
    /// Where the settings name the key by label, its id is drawn, and the other way round.
    ///
    /// # Errors
    ///
    /// [`TokenError::KeyExists`] if a private key has that name, [`TokenError::Mechanism`] if the
    /// token cannot make such keys, [`TokenError::Unsupported`] for ML-DSA, and as
    /// [`Self::open`].
    pub fn generate(settings: &TokenSettings, algorithm: KeyAlgorithm) -> Result<Self, TokenError> {
        let TokenSettings { module, token, key, pin } = settings;
        let making = object::generation(algorithm)?;
        let signing = object::signing(algorithm.default_scheme())?;
        let random_id = random_bytes().map_err(|err| TokenError::Failed {
            action: "making a key pair",
            token: token.clone(),
            source: err.into(),
        })?;
        let pin = pin.read()?;
        let (module, _) = Module::load(module)?;
        {
            let _generation = module.enter();
            let functions = module.functions();
            let (slot, session) = token::log_in(functions, token, &pin, true)?;
            let made = token::check_mechanism(functions, slot, token, making)
                .and_then(|()| token::check_mechanism(functions, slot, token, signing))
                .and_then(|()| match token::find_key(&session, token, key) {
                    Err(TokenError::KeyMissing { .. }) => Ok(()),
                    Ok(_) | Err(TokenError::KeyAmbiguous { .. }) => {
                        Err(TokenError::KeyExists { token: token.clone(), key: key.clone() })
                    }
                    Err(err) => Err(err),
                })
                .and_then(|()| object::generate(&session, token, key, random_id, algorithm));
            // Nothing hangs on this session any more.
            let _ = session.close();
            made?;
        }
        Self::begin(settings, module, pin)
    }

    /// Makes the key sign with another scheme than [`KeyAlgorithm::default_scheme`], as
    /// [`SoftwareKey::with_scheme`](crate::SoftwareKey::with_scheme) does, and makes a signature to
    /// see that it can: a token that lists a mechanism may still know it with SHA-1 alone.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unsupported`] if keys of that algorithm do not sign so,
    /// [`TokenError::Mechanism`] if the token does not, and as [`Self::open`].
    pub fn with_scheme(mut self, scheme: SignatureScheme) -> Result<Self, TokenError> {
        check_scheme(self.algorithm, scheme).map_err(|what| TokenError::Unsupported { what })?;
        let signing = object::signing(scheme)?;
        {
            let _generation = self.module.enter();
            let (slot, _) = token::find(self.module.functions(), &self.token)?;
            token::check_mechanism(self.module.functions(), slot, &self.token, signing)?;
        }
        self.scheme = scheme;
        self.probe(|it| TokenError::Mechanism { token: it.token.clone(), mechanism: signing.1 })?;
        Ok(self)
    }

    fn begin(settings: &TokenSettings, module: Arc<Module>, pin: Pin) -> Result<Self, TokenError> {
        let (token, name) = (settings.token.clone(), settings.key.clone());
        let generation = module.enter();
        let (slot, session) = token::log_in(module.functions(), &token, &pin, false)?;
        let found = token::find_key(&session, &token, &name).and_then(|key| {
            let public = object::public_key(&session, &token, &name, key)?;
            let signing = object::signing(public.0.default_scheme())?;
            token::check_mechanism(module.functions(), slot, &token, signing)?;
            Ok((key, public))
        });
        let (key, (algorithm, public_key_der)) = match found {
            Ok(found) => found,
            Err(err) => {
                // The first failure is the one to tell.
                let _ = session.close();
                return Err(err);
            }
        };
        let idle = Idle { generation: *generation, ready: vec![Ready { session, key }] };
        drop(generation);
        let scheme = algorithm.default_scheme();
        let key = Self {
            module,
            token,
            name,
            pin,
            algorithm,
            scheme,
            public_key_der,
            idle: Mutex::new(idle),
            login: Mutex::default(),
        };
        key.probe(|it| TokenError::PublicKey { token: it.token.clone(), key: it.name.clone() })?;
        Ok(key)
    }

    /// Makes a signature to see that the key signs by its scheme; `otherwise` says what it means if
    /// the signature is not one of the public key's.
    fn probe(&self, otherwise: impl FnOnce(&Self) -> TokenError) -> Result<(), TokenError> {
        let signature = self.sign_in_token(&self.input(PROBE))?;
        verify(&self.public_key_der, self.algorithm, self.scheme, PROBE, &signature)
            .map_err(|_| otherwise(self))
    }

    /// What the token has to work on.
    fn input(&self, message: &[u8]) -> Vec<u8> {
        match stream::hash_of(self.scheme) {
            Some(hash) => self.input_of(&digest::digest(hash, message)),
            None => message.to_vec(),
        }
    }

    fn input_of(&self, digest: &digest::Digest) -> Vec<u8> {
        match self.scheme {
            SignatureScheme::RsaPkcs1Sha256
            | SignatureScheme::RsaPkcs1Sha384
            | SignatureScheme::RsaPkcs1Sha512 => encode::digest_info(self.scheme, digest),
            _ => digest.as_ref().to_vec(),
        }
    }

    /// Signs; if session or token are gone, once more in a new session, and at last once more
    /// after the module was started anew. Soon after a restart, only a session that is gone is
    /// replaced: what else is wrong has outlived worse.
    fn sign_in_token(&self, input: &[u8]) -> Result<Vec<u8>, TokenError> {
        let (generation, mut signed) = self.sign_once(input);
        let again = signed.as_ref().is_err_and(|err| match err {
            TokenError::Lost { .. } => err.is_of_session() || !self.module.is_pausing(),
            _ => false,
        });
        if again {
            signed = self.sign_once(input).1;
        }
        if signed.as_ref().is_err_and(TokenError::may_come_back)
            && self.module.restart(generation)?
        {
            signed = self.sign_once(input).1;
        }
        signed
    }

    /// Signs in an open session, or in a new one. Also gives the module's generation then.
    fn sign_once(&self, input: &[u8]) -> (u64, Result<Vec<u8>, TokenError>) {
        let generation = self.module.enter();
        let signed = self.take(*generation).and_then(|ready| {
            match ready.session.sign(&mechanism(self.scheme), ready.key, input) {
                Ok(raw) => {
                    self.give_back(*generation, ready);
                    Ok(raw)
                }
                Err(err) => {
                    let err = TokenError::of(&self.token, "signing", err);
                    if matches!(err, TokenError::Lost { .. }) {
                        self.close_idle(*generation);
                    }
                    // A login ends with the last session. Another one keeps it, so that the PIN is
                    // not presented again for each signature that fails; if there can be none, the
                    // first failure is the one to tell.
                    if let Ok(next) = self.take(*generation) {
                        self.give_back(*generation, next);
                    }
                    // What the session has begun is not ended, and nobody knows its state.
                    let _ = ready.session.close();
                    Err(err)
                }
            }
        });
        let signature = signed.and_then(|raw| match self.scheme {
            SignatureScheme::EcdsaSha256
            | SignatureScheme::EcdsaSha384
            | SignatureScheme::EcdsaSha512 => {
                encode::ecdsa_signature(&raw).map_err(|err| TokenError::Failed {
                    action: "signing",
                    token: self.token.clone(),
                    source: err.into(),
                })
            }
            _ => Ok(raw),
        });
        (*generation, signature)
    }

    /// An open session with the key, or a new one.
    fn take(&self, generation: u64) -> Result<Ready, TokenError> {
        if let Some(ready) = self.idle(generation).ready.pop() {
            return Ok(ready);
        }
        // One thread at a time, so that a PIN that has become wrong is not tried by each.
        let mut login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if login.refused {
            let (token, tries) = (self.token.clone(), TriesLeft::Untold);
            return Err(TokenError::PinWrong { token, tries });
        }
        let logged_in = token::log_in(self.module.functions(), &self.token, &self.pin, false);
        login.refused = matches!(logged_in, Err(TokenError::PinWrong { .. }));
        let (_, session) = logged_in?;
        match token::find_key(&session, &self.token, &self.name) {
            Ok(key) => Ok(Ready { session, key }),
            Err(err) => {
                let _ = session.close();
                Err(err)
            }
        }
    }

    fn give_back(&self, generation: u64, ready: Ready) {
        let mut idle = self.idle(generation);
        if idle.ready.len() < SESSIONS_IDLE_MAX {
            idle.ready.push(ready);
        } else {
            let _ = ready.session.close();
        }
    }

    /// Closes what waits, so that the next session is a new one.
    fn close_idle(&self, generation: u64) {
        for ready in self.idle(generation).ready.drain(..) {
            let _ = ready.session.close();
        }
    }

    /// The waiting sessions. Those from before a restart are forgotten and not closed: the module
    /// has closed them, and may have given their numbers to others.
    fn idle(&self, generation: u64) -> MutexGuard<'_, Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.generation != generation {
            idle.generation = generation;
            idle.ready.clear();
        }
        idle
    }

    fn failed(&self, err: TokenError) -> SignError {
        let token = self.token.to_string();
        match err {
            // The module fails here only when it is restarted for the sake of a lost token.
            TokenError::Missing { .. } | TokenError::Lost { .. } | TokenError::Module { .. } => {
                SignError::TokenMissing { token, source: err.into() }
            }
            TokenError::PinWrong { .. }
            | TokenError::PinLocked { .. }
            | TokenError::PinLastTry { .. } => SignError::TokenPin { token, source: err.into() },
            err => SignError::Module { algorithm: self.algorithm, source: err.into() },
        }
    }
}

impl SigningKey for Pkcs11Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign_in_token(&self.input(tbs)).map_err(|err| self.failed(err))
    }

    fn sign_message(&self, message: &Message) -> Result<Vec<u8>, SignError> {
        if message.scheme != self.scheme {
            let source = "the message was read for another scheme".into();
            return Err(SignError::Module { algorithm: self.algorithm, source });
        }
        match &message.taken {
            Taken::Hash(digest) => self.sign_in_token(&self.input_of(digest)),
            Taken::Whole(octets) => self.sign_in_token(octets),
        }
        .map_err(|err| self.failed(err))
    }
}

impl Drop for Pkcs11Key {
    fn drop(&mut self) {
        let generation = self.module.enter();
        self.close_idle(*generation);
    }
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Key")
            .field("token", &self.token)
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// PKCS #11's name for a scheme, without its hash. Those of ML-DSA never come here.
fn mechanism(scheme: SignatureScheme) -> Mechanism<'static> {
    use SignatureScheme as Scheme;
    let pss = |hash_alg, mgf, salt_octets: u64| {
        Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len: Ulong::from(salt_octets) })
    };
    match scheme {
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPkcs1Sha512 => {
            Mechanism::RsaPkcs
        }
        Scheme::RsaPssSha256 => pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        Scheme::RsaPssSha384 => pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Scheme::RsaPssSha512 => pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        Scheme::EcdsaSha256 | Scheme::EcdsaSha384 | Scheme::EcdsaSha512 => Mechanism::Ecdsa,
        Scheme::Ed25519 | Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => {
            Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519))
        }
    }
}
