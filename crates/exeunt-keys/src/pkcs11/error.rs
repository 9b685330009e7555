//! What can go wrong with a token and the key in it.

use std::path::PathBuf;

use super::{KeyName, TokenName};
use crate::{KeyError, error::Source};

/// Why a key in a token could not be opened, made or used.
///
/// No variant carries the PIN, and no source does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The library could not be loaded, or does not work.
    #[error("the PKCS #11 module {} cannot be used", path.display())]
    Module {
        /// The library.
        path: PathBuf,
        /// What the system or the library said.
        source: Source,
    },

    /// No such token is plugged in.
    #[error("there is no {token}")]
    Missing {
        /// The token asked for.
        token: TokenName,
    },

    /// Several tokens have that name; a serial number tells them apart.
    #[error("there are {count} tokens: {token}")]
    Ambiguous {
        /// The token asked for.
        token: TokenName,
        /// How many there are.
        count: usize,
    },

    /// The token has no such private key.
    #[error("there is no {key} in the {token}")]
    KeyMissing {
        /// The token.
        token: TokenName,
        /// The key asked for.
        key: KeyName,
    },

    /// The token has several private keys of that name; the other name may tell them apart.
    #[error("there are {count} private keys in the {token}: {key}")]
    KeyAmbiguous {
        /// The token.
        token: TokenName,
        /// The key asked for.
        key: KeyName,
        /// How many there are.
        count: usize,
    },

    /// A key was to be made, and one of that name is there.
    #[error("there is a {key} in the {token} already")]
    KeyExists {
        /// The token.
        token: TokenName,
        /// The name that is taken.
        key: KeyName,
    },

    /// The variable that should hold the PIN is not set.
    #[error("the variable {variable} for the PIN is not set")]
    PinMissing {
        /// Its name.
        variable: String,
    },

    /// The PIN is empty, too long, not text, or of more than one line.
    #[error("the PIN is not usable: {reason}")]
    PinUnusable {
        /// The broken rule, as a clause.
        reason: &'static str,
    },

    /// The file that should hold the PIN could not be read.
    #[error("the PIN could not be read")]
    PinFile {
        /// Why not.
        source: KeyError,
    },

    /// The token refused the PIN. It was tried once, and is not tried again.
    #[error("the PIN of the {token} is wrong")]
    PinWrong {
        /// The token.
        token: TokenName,
        /// What the token says of the tries that are left.
        tries: TriesLeft,
    },

    /// The token takes no PIN at all: locked, expired, or never set.
    #[error("the {token} takes no PIN: {reason}")]
    PinLocked {
        /// The token.
        token: TokenName,
        /// Why, as a clause.
        reason: &'static str,
    },

    /// One more wrong PIN would lock the token. That try is left to a person.
    #[error("the {token} would be locked by one more wrong PIN, so none was tried")]
    PinLastTry {
        /// The token.
        token: TokenName,
    },

    /// The token cannot do what keys of that type need.
    #[error("the {token} does not know {mechanism}")]
    Mechanism {
        /// The token.
        token: TokenName,
        /// The mechanism's name in PKCS #11.
        mechanism: &'static str,
    },

    /// A kind of key, or a use of one, that is not handled in tokens.
    #[error("{what} is not supported")]
    Unsupported {
        /// The unsupported thing, as a noun phrase.
        what: String,
    },

    /// The token does not tell the public key, or tells one that is not the private key's.
    #[error("the public key to the {key} in the {token} is missing, broken or of another key")]
    PublicKey {
        /// The token.
        token: TokenName,
        /// The key.
        key: KeyName,
    },

    /// The session is gone, and perhaps the token too; it may come back.
    #[error("the {token} does not answer")]
    Lost {
        /// The token.
        token: TokenName,
        /// What the module said.
        source: Source,
    },

    /// The module refused or failed.
    #[error("{action} in the {token} failed")]
    Failed {
        /// What was being done, as a gerund.
        action: &'static str,
        /// The token.
        token: TokenName,
        /// What the module said.
        source: Source,
    },
}

impl TokenError {
    /// Stable code for logs and answers. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Module { .. } => "token-module",
            Self::Missing { .. } => "token-missing",
            Self::Ambiguous { .. } => "token-ambiguous",
            Self::KeyMissing { .. } => "token-key-missing",
            Self::KeyAmbiguous { .. } => "token-key-ambiguous",
            Self::KeyExists { .. } => "token-key-exists",
            Self::PinMissing { .. } => "token-pin-missing",
            Self::PinUnusable { .. } => "token-pin-unusable",
            Self::PinFile { .. } => "token-pin-file",
            Self::PinWrong { .. } => "token-pin-wrong",
            Self::PinLocked { .. } => "token-pin-locked",
            Self::PinLastTry { .. } => "token-pin-last-try",
            Self::Mechanism { .. } => "token-mechanism",
            Self::Unsupported { .. } => "token-unsupported",
            Self::PublicKey { .. } => "token-public-key",
            Self::Lost { .. } => "token-lost",
            Self::Failed { .. } => "token-failed",
        }
    }

    /// A command that would help the operator, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PinFile { source } => source.hint(),
            Self::PinWrong { tries, .. } => Some(tries.words().to_owned()),
            _ => None,
        }
    }

    /// Sorts what the module said: is the session or the token gone, or is it something else?
    pub(super) fn of(token: &TokenName, action: &'static str, err: cryptoki::error::Error) -> Self {
        let token = token.clone();
        if is_loss(&err) {
            Self::Lost { token, source: err.into() }
        } else {
            Self::Failed { action, token, source: err.into() }
        }
    }

    /// Whether no more than the session is lost, which a new one makes good.
    pub(super) fn is_of_session(&self) -> bool {
        use cryptoki::error::{Error, RvError as Rv};
        let Self::Lost { source, .. } = self else { return false };
        matches!(
            source.downcast_ref(),
            Some(Error::Pkcs11(
                Rv::SessionClosed
                    | Rv::SessionHandleInvalid
                    | Rv::UserNotLoggedIn
                    | Rv::KeyHandleInvalid
                    | Rv::ObjectHandleInvalid,
                _
            ))
        )
    }

    /// Whether starting the module anew may help.
    pub(super) fn may_come_back(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::Missing { .. }
                | Self::KeyMissing { .. }
                | Self::Module { .. }
        )
    }
}

/// What a token says of the PINs that may still be tried. PKCS #11 knows no number, only flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriesLeft {
    /// The token does not tell.
    Untold,
    /// One: another wrong PIN locks the token (`CKF_USER_PIN_FINAL_TRY`).
    One,
    /// None: the token is locked (`CKF_USER_PIN_LOCKED`).
    None,
}

impl TriesLeft {
    /// For a person who has the right PIN somewhere.
    fn words(self) -> &'static str {
        match self {
            Self::Untold => {
                "the token does not tell how many tries are left; each wrong PIN may be one of few"
            }
            Self::One => "one more wrong PIN locks the token",
            Self::None => "the token is locked now; its maker's tool unlocks it",
        }
    }
}

/// Whether the session, the login, the token or the way to it is lost.
fn is_loss(err: &cryptoki::error::Error) -> bool {
    use cryptoki::error::{Error, RvError as Rv};
    let Error::Pkcs11(said, _) = err else { return false };
    matches!(
        said,
        Rv::CryptokiNotInitialized
            | Rv::DeviceError
            | Rv::DeviceRemoved
            | Rv::TokenNotPresent
            | Rv::TokenNotRecognized
            | Rv::SlotIdInvalid
            | Rv::SessionClosed
            | Rv::SessionHandleInvalid
            | Rv::UserNotLoggedIn
            | Rv::KeyHandleInvalid
            | Rv::ObjectHandleInvalid
            // What modules say of everything that they did not foresee, a token that went away among
            // it.
            | Rv::GeneralError
            | Rv::FunctionFailed
    )
}
