//! Numbers of the certificate interfaces: events, property types, dispositions, flags, members.
//! Sources: the published `certsrv.h`, `certexit.h`, `certif.h` and `certmod.h` constants; members for
//! late binding as the original's type libraries number them.

use super::types::{DISPID, LONG};

macro_rules! longs {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:expr;)+) => {
        $($(#[doc = $doc])+ pub const $name: LONG = $value;)+
    };
}

longs! {
    /// As a mask: tell me nothing.
    EXITEVENT_INVALID = 0x0;
    /// A certificate was issued.
    EXITEVENT_CERTISSUED = 0x1;
    /// A request waits for a decision.
    EXITEVENT_CERTPENDING = 0x2;
    /// A request was refused.
    EXITEVENT_CERTDENIED = 0x4;
    /// A certificate was revoked.
    EXITEVENT_CERTREVOKED = 0x8;
    /// A formerly pending certificate was fetched.
    EXITEVENT_CERTRETRIEVEPENDING = 0x10;
    /// Revocation lists were issued.
    EXITEVENT_CRLISSUED = 0x20;
    /// The server stops.
    EXITEVENT_SHUTDOWN = 0x40;
    /// The server has started.
    EXITEVENT_STARTUP = 0x80;
    /// A certificate was imported.
    EXITEVENT_CERTIMPORTED = 0x200;
    /// Exeunt's own: a certificate on hold was released.
    EXITEVENT_CERTUNREVOKED = 0x0001_0000;
    /// Exeunt's own: the processing of a request failed.
    EXITEVENT_REQUESTFAILED = 0x0002_0000;
    /// Exeunt's own: a certificate expires soon.
    EXITEVENT_CERTEXPIRING = 0x0004_0000;
    /// Exeunt's own: the CA has a new certificate of its own.
    EXITEVENT_CACERTISSUED = 0x0008_0000;
    /// Exeunt's own: a revocation list could not be published.
    EXITEVENT_CRLPUBLICATIONFAILED = 0x0010_0000;
    /// Exeunt's own: an event was parked for an operator.
    EXITEVENT_DELIVERYPARKED = 0x0020_0000;
    /// Exeunt's own: nothing has happened for a while, and the CA lives.
    EXITEVENT_HEARTBEAT = 0x0040_0000;
    /// Exeunt's own: the CA was restored from a backup, and events before this one may be lost.
    EXITEVENT_RESTORED = 0x0080_0000;

    /// An integer; comes as `VT_I4`.
    PROPTYPE_LONG = 0x1;
    /// A moment in UTC; comes as `VT_DATE`.
    PROPTYPE_DATE = 0x2;
    /// Bytes; they come as `VT_BSTR` whose *byte* length counts.
    PROPTYPE_BINARY = 0x3;
    /// Text; comes as `VT_BSTR`.
    PROPTYPE_STRING = 0x4;
    /// The bits that hold the type.
    PROPTYPE_MASK = 0xFF;
    /// Who asks: the server itself.
    PROPCALLER_SERVER = 0x100;
    /// Who asks: the policy module.
    PROPCALLER_POLICY = 0x200;
    /// Who asks: an exit module.
    PROPCALLER_EXIT = 0x300;
    /// Who asks: an administrator.
    PROPCALLER_ADMIN = 0x400;
    /// Who asks: the request.
    PROPCALLER_REQUEST = 0x500;
    /// The bits that hold the caller.
    PROPCALLER_MASK = 0xF00;
    /// A column that the database keeps in order.
    PROPFLAGS_INDEXED = 0x0001_0000;

    /// The extension is critical.
    EXTENSION_CRITICAL_FLAG = 0x1;
    /// The extension is kept, and left out of the certificate.
    EXTENSION_DISABLE_FLAG = 0x2;
    /// The extension is to be deleted.
    EXTENSION_DELETE_FLAG = 0x4;
    /// The bits that a policy may set.
    EXTENSION_POLICY_MASK = 0xFFFF;
    /// The extension came with the request.
    EXTENSION_ORIGIN_REQUEST = 0x0001_0000;
    /// The policy wrote the extension.
    EXTENSION_ORIGIN_POLICY = 0x0002_0000;
    /// An officer wrote the extension.
    EXTENSION_ORIGIN_ADMIN = 0x0003_0000;
    /// The engine wrote the extension.
    EXTENSION_ORIGIN_SERVER = 0x0004_0000;
    /// The extension was in the certificate that is renewed.
    EXTENSION_ORIGIN_RENEWALCERT = 0x0005_0000;
    /// The extension was in an imported certificate.
    EXTENSION_ORIGIN_IMPORTEDCERT = 0x0006_0000;
    /// The extension came in a PKCS#7 envelope.
    EXTENSION_ORIGIN_PKCS7 = 0x0007_0000;
    /// The extension came in a CMC envelope.
    EXTENSION_ORIGIN_CMC = 0x0008_0000;
    /// The extension was in the CA's certificate.
    EXTENSION_ORIGIN_CACERT = 0x0009_0000;
    /// The bits that hold the origin.
    EXTENSION_ORIGIN_MASK = 0x000F_0000;

    /// Enumerate by object identifier; the flags of an enumeration are reserved, and 0 is usual.
    ENUMEXT_OBJECTID = 0x1;

    /// Read the settings again, without showing anything.
    CMM_REFRESHONLY = 0x1;
    /// Show or check the settings, and change nothing.
    CMM_READONLY = 0x2;

    /// Database: being processed.
    DB_DISP_ACTIVE = 8;
    /// Database: waits for a decision.
    DB_DISP_PENDING = 9;
    /// Database: highest disposition of the queue.
    DB_DISP_QUEUE_MAX = 9;
    /// Database: a foreign certificate.
    DB_DISP_FOREIGN = 12;
    /// Database: a certificate of the CA.
    DB_DISP_CA_CERT = 15;
    /// Database: a certificate above the CA.
    DB_DISP_CA_CERT_CHAIN = 16;
    /// Database: a certificate of a key recovery agent.
    DB_DISP_KRA_CERT = 17;
    /// Database: issued.
    DB_DISP_ISSUED = 20;
    /// Database: lowest disposition of the log.
    DB_DISP_LOG_MIN = 20;
    /// Database: revoked.
    DB_DISP_REVOKED = 21;
    /// Database: lowest disposition of what failed.
    DB_DISP_LOG_FAILED_MIN = 30;
    /// Database: processing failed.
    DB_DISP_ERROR = 30;
    /// Database: refused.
    DB_DISP_DENIED = 31;

    /// Disposition by a policy: wait for an officer.
    VR_PENDING = 0;
    /// Disposition by a policy: issue.
    VR_INSTANT_OK = 1;
    /// Disposition by a policy: refuse.
    VR_INSTANT_BAD = 2;

    /// The original's default policy: wait for an officer.
    REQDISP_PENDING = 0x0;
    /// The original's default policy: issue.
    REQDISP_ISSUE = 0x1;
    /// The original's default policy: refuse.
    REQDISP_DENY = 0x2;
    /// The original's default policy: as the request's attribute `Disposition` says.
    REQDISP_USEREQUESTATTRIBUTE = 0x3;
    /// The bits that hold one of these.
    REQDISP_MASK = 0xFF;
    /// The original's default policy: wait for an officer the first time.
    REQDISP_PENDINGFIRST = 0x100;

    /// Answer to a client: not finished.
    CR_DISP_INCOMPLETE = 0;
    /// Answer to a client: failed.
    CR_DISP_ERROR = 1;
    /// Answer to a client: refused.
    CR_DISP_DENIED = 2;
    /// Answer to a client: issued.
    CR_DISP_ISSUED = 3;
    /// Answer to a client: issued, and handed out elsewhere.
    CR_DISP_ISSUED_OUT_OF_BAND = 4;
    /// Answer to a client: waits for a decision.
    CR_DISP_UNDER_SUBMISSION = 5;
    /// Answer to a client: revoked.
    CR_DISP_REVOKED = 6;

    /// State of a CA certificate or its list: not finished.
    CA_DISP_INCOMPLETE = 0;
    /// State of a CA certificate or its list: not available, or kept by another certificate.
    CA_DISP_ERROR = 1;
    /// State of a CA certificate or its list: revoked.
    CA_DISP_REVOKED = 2;
    /// State of a CA certificate or its list: in use.
    CA_DISP_VALID = 3;
    /// State of a CA certificate or its list: expired.
    CA_DISP_INVALID = 4;
    /// State of a CA certificate or its list: requested.
    CA_DISP_UNDER_SUBMISSION = 5;
}

macro_rules! members {
    ($($name:ident = $value:literal;)+) => {
        $(
            #[doc = concat!("Number of the member `", stringify!($name), "` in the original's type library.")]
            pub const $name: DISPID = $value;
        )+
    };
}

members! {
    DISPID_ICertExit_Initialize = 0x6002_0000;
    DISPID_ICertExit_Notify = 0x6002_0001;
    DISPID_ICertExit_GetDescription = 0x6002_0002;
    DISPID_ICertExit2_GetManageModule = 0x6003_0000;
    DISPID_ICertPolicy_Initialize = 0x6002_0000;
    DISPID_ICertPolicy_VerifyRequest = 0x6002_0001;
    DISPID_ICertPolicy_GetDescription = 0x6002_0002;
    DISPID_ICertPolicy_ShutDown = 0x6002_0003;
    DISPID_ICertPolicy2_GetManageModule = 0x6003_0000;
    DISPID_ICertManageModule_GetProperty = 0x6002_0000;
    DISPID_ICertManageModule_SetProperty = 0x6002_0001;
    DISPID_ICertManageModule_Configure = 0x6002_0002;
    DISPID_ICertServerExit_SetContext = 0x6002_0000;
    DISPID_ICertServerExit_GetRequestProperty = 0x6002_0001;
    DISPID_ICertServerExit_GetRequestAttribute = 0x6002_0002;
    DISPID_ICertServerExit_GetCertificateProperty = 0x6002_0003;
    DISPID_ICertServerExit_GetCertificateExtension = 0x6002_0004;
    DISPID_ICertServerExit_GetCertificateExtensionFlags = 0x6002_0005;
    DISPID_ICertServerExit_EnumerateExtensionsSetup = 0x6002_0006;
    DISPID_ICertServerExit_EnumerateExtensions = 0x6002_0007;
    DISPID_ICertServerExit_EnumerateExtensionsClose = 0x6002_0008;
    DISPID_ICertServerExit_EnumerateAttributesSetup = 0x6002_0009;
    DISPID_ICertServerExit_EnumerateAttributes = 0x6002_000A;
    DISPID_ICertServerExit_EnumerateAttributesClose = 0x6002_000B;
    DISPID_ICertServerPolicy_SetContext = 0x6002_0000;
    DISPID_ICertServerPolicy_GetRequestProperty = 0x6002_0001;
    DISPID_ICertServerPolicy_GetRequestAttribute = 0x6002_0002;
    DISPID_ICertServerPolicy_GetCertificateProperty = 0x6002_0003;
    DISPID_ICertServerPolicy_SetCertificateProperty = 0x6002_0004;
    DISPID_ICertServerPolicy_GetCertificateExtension = 0x6002_0005;
    DISPID_ICertServerPolicy_GetCertificateExtensionFlags = 0x6002_0006;
    DISPID_ICertServerPolicy_SetCertificateExtension = 0x6002_0007;
    DISPID_ICertServerPolicy_EnumerateExtensionsSetup = 0x6002_0008;
    DISPID_ICertServerPolicy_EnumerateExtensions = 0x6002_0009;
    DISPID_ICertServerPolicy_EnumerateExtensionsClose = 0x6002_000A;
    DISPID_ICertServerPolicy_EnumerateAttributesSetup = 0x6002_000B;
    DISPID_ICertServerPolicy_EnumerateAttributes = 0x6002_000C;
    DISPID_ICertServerPolicy_EnumerateAttributesClose = 0x6002_000D;
}
