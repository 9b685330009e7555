//! A private key that nobody has any more.

use exeunt_types::{KeyAlgorithm, SignatureScheme};

use crate::{Message, SignError, SigningKey};

/// Stands in the place of a private key that is gone, of which nothing is left but its public half. It
/// signs nothing.
#[derive(Clone, Debug)]
pub struct AbsentKey {
    algorithm: KeyAlgorithm,
    public_key_der: Vec<u8>,
}

impl AbsentKey {
    /// The one to that public key, a DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn new(algorithm: KeyAlgorithm, public_key_der: Vec<u8>) -> Self {
        Self { algorithm, public_key_der }
    }
}

impl SigningKey for AbsentKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn scheme(&self) -> SignatureScheme {
        self.algorithm.default_scheme()
    }

    fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    fn sign(&self, _tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.refuse()
    }

    fn sign_message(&self, _message: &Message) -> Result<Vec<u8>, SignError> {
        self.refuse()
    }
}

impl AbsentKey {
    fn refuse(&self) -> Result<Vec<u8>, SignError> {
        let source = "the key could not be opened at the start".into();
        Err(SignError::Module { algorithm: self.algorithm, source })
    }
}
