//! The original's numbers for states and results, as modules see them.

/// What became of a request: the original's `DB_DISP_*` numbers (reference of the CA database).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Being processed (8). After a crash, recovery turns such rows into [`Self::Error`].
    Active,
    /// Waits for an officer's decision (9).
    Pending,
    /// Another CA's certificate that was imported (12).
    Foreign,
    /// Issued (20).
    Issued,
    /// Issued and revoked since (21).
    Revoked,
    /// Processing failed (30).
    Error,
    /// Refused by the policy or by an officer (31).
    Denied,
}

impl Disposition {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Pending,
        Self::Foreign,
        Self::Issued,
        Self::Revoked,
        Self::Error,
        Self::Denied,
    ];

    /// The number that the store and the modules use.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Active => 8,
            Self::Pending => 9,
            Self::Foreign => 12,
            Self::Issued => 20,
            Self::Revoked => 21,
            Self::Error => 30,
            Self::Denied => 31,
        }
    }

    /// The disposition with that number, if we know it.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }

    /// The disposition with that [`Self::word`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }

    /// One lower-case word for people and for JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Foreign => "foreign",
            Self::Issued => "issued",
            Self::Revoked => "revoked",
            Self::Error => "failed",
            Self::Denied => "denied",
        }
    }
}

/// Format of the request that came in: the original's `CR_IN_*` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// PKCS#10, RFC 2986 (0x100).
    Pkcs10,
    /// PKCS#7 around a PKCS#10, signed with the certificate that is renewed (0x300).
    Pkcs7,
    /// CMC, RFC 5272 (0x400).
    Cmc,
}

impl RequestType {
    /// The number that the store and the modules use.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Pkcs10 => 0x100,
            Self::Pkcs7 => 0x300,
            Self::Cmc => 0x400,
        }
    }

    /// The type with that number, if we know it.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        [Self::Pkcs10, Self::Pkcs7, Self::Cmc].into_iter().find(|it| it.code() == code)
    }
}

/// What is special about a request: the original's `CR_FLG_*` bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestFlags(pub u32);

impl RequestFlags {
    /// `CR_FLG_RENEWAL`: signed with the certificate that is renewed.
    pub const RENEWAL: Self = Self(0x2);
    /// `CR_FLG_CAXCHGCERT`: for the CA's own exchange certificate.
    pub const CA_EXCHANGE_CERT: Self = Self(0x8);
    /// `CR_FLG_ENROLLONBEHALFOF`: made by one for another.
    pub const ENROLL_ON_BEHALF_OF: Self = Self(0x10);

    /// `CR_FLG_VALIDENCRYPTEDKEYHASH`: a private key came with it, which is archived.
    pub const VALID_ENCRYPTED_KEY_HASH: Self = Self(0x40);
    /// `CR_FLG_CACROSSCERT`: by which one key of the CA vouches for another.
    pub const CA_CROSS_CERT: Self = Self(0x80);

    /// Both sets of bits.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether all of these bits are set.
    #[must_use]
    pub fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

/// An HRESULT, as the original keeps it in a request's `StatusCode`: 0 is success, the top bit
/// marks a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatusCode(pub u32);

impl StatusCode {
    /// Success.
    pub const OK: Self = Self(0);
    /// `CERTSRV_E_BAD_REQUESTSUBJECT`: no subject and no subject alternative name.
    pub const BAD_REQUEST_SUBJECT: Self = Self(0x8009_4001);
    /// `CERTSRV_E_BAD_REQUESTSTATUS`: the request is not in a state that allows it.
    pub const BAD_REQUEST_STATUS: Self = Self(0x8009_4003);
    /// `CERTSRV_E_NO_VALID_KRA`: there are too few recovery agents whose certificates hold.
    pub const NO_VALID_KRA: Self = Self(0x8009_400b);
    /// `CERTSRV_E_BAD_REQUEST_KEY_ARCHIVAL`: the private key did not come as it has to.
    pub const BAD_REQUEST_KEY_ARCHIVAL: Self = Self(0x8009_400c);
    /// `CERTSRV_E_ARCHIVED_KEY_REQUIRED`: the template wants the private key, and it did not come.
    pub const ARCHIVED_KEY_REQUIRED: Self = Self(0x8009_4804);
    /// `CERTSRV_E_ARCHIVED_KEY_UNEXPECTED`: a private key came that the template does not archive.
    pub const ARCHIVED_KEY_UNEXPECTED: Self = Self(0x8009_4810);
    /// `CERTSRV_E_ADMIN_DENIED_REQUEST`: an officer refused it.
    pub const ADMIN_DENIED: Self = Self(0x8009_4014);
    /// `CERTSRV_E_ENROLL_DENIED`: the caller may not ask for this.
    pub const ENROLL_DENIED: Self = Self(0x8009_4011);
    /// `CERTSRV_E_UNSUPPORTED_CERT_TYPE`: no such template.
    pub const UNSUPPORTED_CERT_TYPE: Self = Self(0x8009_4800);
    /// `CERTSRV_E_KEY_LENGTH`: the public key is too small, or otherwise not what the template demands.
    pub const KEY_LENGTH: Self = Self(0x8009_4811);
    /// `NTE_BAD_SIGNATURE`: the signature of the request does not verify.
    pub const BAD_SIGNATURE: Self = Self(0x8009_0006);
    /// `CERTSRV_E_BAD_RENEWAL_CERT_ATTRIBUTE`: the certificate that is to be renewed does not stand for
    /// the request.
    pub const BAD_RENEWAL: Self = Self(0x8009_400e);
    /// `CERTSRV_E_SIGNATURE_REJECTED`: somebody signed who may not.
    pub const SIGNATURE_REJECTED: Self = Self(0x8009_480b);
    /// `CERTSRV_E_SIGNATURE_COUNT`: signatures are missing.
    pub const SIGNATURE_COUNT: Self = Self(0x8009_480a);
    /// `CERT_E_UNTRUSTEDROOT`: the signer's certificate is not one of this CA.
    pub const UNTRUSTED_ROOT: Self = Self(0x800b_0109);
    /// `CERT_E_EXPIRED`: the signer's certificate is not valid now.
    pub const SIGNER_EXPIRED: Self = Self(0x800b_0101);
    /// `CRYPT_E_REVOKED`: the signer's certificate is revoked.
    pub const SIGNER_REVOKED: Self = Self(0x8009_2010);
    /// `CERTSRV_E_SERVER_SUSPENDED`: the server stopped in the middle; nothing was handed out.
    pub const SERVER_SUSPENDED: Self = Self(0x8009_4006);
    /// `E_FAIL`: processing failed on our side.
    pub const FAIL: Self = Self(0x8000_4005);
}
