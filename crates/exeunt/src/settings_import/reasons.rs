//! Why a value of the original has no counterpart.

/// Reasons by the name of a value, in lower case.
const BY_NAME: &[(&str, &str)] = &[
    ("dbdirectory", "the store is exeunt.db in the home"),
    ("dblogdirectory", "the store is exeunt.db in the home"),
    ("dbsystemdirectory", "the store is exeunt.db in the home"),
    ("dbtempdirectory", "the store is exeunt.db in the home"),
    ("dbsessioncount", "the store has no sessions"),
    ("dbflags", "the store is durable always"),
    ("dblasttimestamp", "it is a state, and no setting"),
    ("dblastfullbackup", "it is a state, and no setting"),
    ("dblastincrementalbackup", "it is a state, and no setting"),
    ("version", "it is the original's version"),
    ("webclientcamachine", "there are no web enrolment pages"),
    ("webclientcaname", "there are no web enrolment pages"),
    ("webclientcatype", "there are no web enrolment pages"),
    ("configurationdirectory", "the home holds everything"),
    ("cacerthash", "certificates come with `exeunt ca install` or `exeunt cert import`"),
    ("caxchgcerthash", "the exchange certificate is made anew"),
    ("kracerthash", "recovery agents are [[recovery_agent]], with their certificates"),
    ("kracertcount", "recovery agents are [[recovery_agent]], with their certificates"),
    ("kraflags", "recovery agents are [[recovery_agent]], with their certificates"),
    ("crlnextpublish", "it is a state: exeunt crl publish --next says when"),
    ("crldeltanextpublish", "it is a state: exeunt crl publish --next says when"),
    ("crlattemptrepublish", "it is a state: modules try again by their own schedule"),
    ("crlflags", "what these bits choose is done as RFC 5280 says"),
    ("crleditflags", "what these bits choose is done as RFC 5280 says"),
    ("crlpathlength", "lists have no paths"),
    ("highserial", "serial numbers are random"),
    ("interfaceflags", "what callers may do is said by [[principal]] and [[template]]"),
    ("security", "who may do what is said by [[principal]]: docs/manual/roles.md"),
    ("officerrights", "limits of certificate managers stand in [[principal]]"),
    ("enrollmentagentrights", "limits of enrolment agents stand in [[template]]"),
    ("roleseparationenabled", "it is role_separation in [server], once there are principals"),
    ("loglevel", "the log is chosen with EXEUNT_LOG"),
    ("logmessages", "the log is chosen with EXEUNT_LOG"),
    ("subjecttemplate", "a subject is made by `subject` of a [[template]]"),
    ("subjectnameseparator", "it is subject_separator of a [[template]]"),
    ("enforcex500namelengths", "it is subject_original_lengths of a [[template]]"),
    ("forceteletex", "names are written as RFC 5280 says"),
    ("signedattributes", "attributes of requests are kept, all of them"),
    ("viewageminutes", "lookups have no open views"),
    ("viewidleminutes", "lookups have no open views"),
    ("maxincomingmessagesize", "limits have names: docs/limits.md"),
    ("maxincomingallocsize", "limits have names: docs/limits.md"),
    ("catype", "`exeunt init --kind` chooses it"),
    ("setupstatus", "it is a state of the original's set-up"),
    ("parentcamachine", "`exeunt ca install` takes what the parent has signed"),
    ("parentcaname", "`exeunt ca install` takes what the parent has signed"),
    ("capathlength", "the CA's certificate says it"),
    ("requestfilename", "the request is ca.csr.pem in the home"),
    ("caserialnumber", "the CA's certificate says it"),
    ("policyflags", "what requests may ask for is said by [[template]]"),
    ("provider", "the key is chosen with exeunt init: docs/manual/tokens.md"),
    ("providertype", "the key is chosen with exeunt init: docs/manual/tokens.md"),
    ("machinekeyset", "the key is chosen with exeunt init: docs/manual/tokens.md"),
    ("hashalgorithm", "the key chooses the hash; `scheme` in [key] chooses RSA-PSS"),
    ("cnghashalgorithm", "the key chooses the hash; `scheme` in [key] chooses RSA-PSS"),
    ("cngpublickeyalgorithm", "the key is chosen with exeunt init: docs/manual/tokens.md"),
    ("alternatesignaturealgorithm", "it is scheme = \"pss\" in [key]"),
    ("encryptionalgorithm", "private keys that come along are encrypted with AES"),
    ("cngencryptionalgorithm", "private keys that come along are encrypted with AES"),
    ("symmetrickeysize", "private keys that come along are encrypted with AES"),
    ("keysize", "the key is chosen with exeunt init: docs/manual/tokens.md"),
    ("crlpublishretrycount", "modules try again by their own schedule"),
    ("ldaprevocationdn", "it is of Windows 2000; CRLPublicationURLs took its place"),
    ("ldaprevocationdntemplate", "it is of Windows 2000; CRLPublicationURLs took its place"),
    ("editflags", "what requests may ask for is said by [[template]], each bit by its own key"),
    ("capathlengthdefault", "the CA's certificate says it"),
    ("defaultsmime", "capabilities for S/MIME are not put into certificates"),
    ("enablerequestextensionlist", "it is extensions_from_request of a [[template]]"),
    ("enableenrolleerequestextensionlist", "it is extensions_from_request of a [[template]]"),
    ("disableextensionlist", "it is extensions_from_request of a [[template]]"),
    ("subjectaltname", "it is san_from_request of a [[template]]"),
    ("subjectaltname2", "it is san_from_request of a [[template]]"),
    ("certfile", "certificates on request are a setting of the module file"),
    ("revocationtype", "it is of Windows 2000"),
    ("revocationurl", "it is of Windows 2000"),
    ("ldapsessionoptions", "the module directory has settings of its own"),
    ("dsconfigdn", "without UseDS nothing is published in the directory"),
    ("dsdomaindn", "without UseDS nothing is published in the directory"),
];

/// The reason for a value, where `path` is its key below the configuration.
pub fn reason(path: &str, name: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let known = BY_NAME.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|it| it.1);
    match known {
        Some(reason) => reason.to_owned(),
        None if lower.contains("\\policymodules") => {
            "policy is said by [[template]]; a policy module of the original's kind can run: \
             docs/manual/library-policies.md"
                .to_owned()
        }
        None if lower.contains("\\exitmodules") => {
            "it is a setting of another exit module: docs/manual/library-modules.md".to_owned()
        }
        None => "there is nothing like it here".to_owned(),
    }
}
