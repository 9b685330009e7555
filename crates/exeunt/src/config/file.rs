//! `exeunt.toml`, verbatim. Serde lives here and stops here; unknown keys are refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use exeunt_engine::OcspSettings;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub ca: CaTable,
    pub key: KeyTable,
    #[serde(default)]
    pub renewal: Vec<RenewalTable>,
    #[serde(default)]
    pub server: ServerTable,
    #[serde(default)]
    pub principal: Vec<PrincipalTable>,
    #[serde(default)]
    pub tls: TlsTable,
    #[serde(default)]
    pub door: Vec<DoorTable>,
    #[serde(default)]
    pub publication: PublicationTable,
    #[serde(default)]
    pub crl: CrlTable,
    #[serde(default)]
    pub ocsp: OcspTable,
    #[serde(default)]
    pub expiry: ExpiryTable,
    #[serde(default)]
    pub audit: AuditTable,
    #[serde(default)]
    pub key_archival: KeyArchivalTable,
    #[serde(default)]
    pub recovery_agent: Vec<RecoveryAgentTable>,
    #[serde(default)]
    pub policy: PolicyTable,
    #[serde(default)]
    pub template: Vec<TemplateTable>,
    #[serde(default)]
    pub exit: Vec<ExitTable>,
}

/// `[ca]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaTable {
    pub name: String,
    pub certificate: PathBuf,
}

/// `[key]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTable {
    pub file: Option<PathBuf>,
    pub passphrase_file: Option<PathBuf>,
    pub passphrase_env: Option<String>,
    pub pkcs11_module: Option<PathBuf>,
    pub token: Option<String>,
    pub token_serial: Option<String>,
    pub key_label: Option<String>,
    pub key_id: Option<String>,
    pub pin_file: Option<PathBuf>,
    pub pin_env: Option<String>,
    pub scheme: Option<String>,
    #[serde(default)]
    pub check_signatures: bool,
}

/// `[[renewal]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalTable {
    pub certificate: PathBuf,
    pub key: Option<KeyTable>,
}

/// `[server]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTable {
    pub listen: Option<SocketAddr>,
    pub tls: Option<String>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    #[serde(default)]
    pub token_files: BTreeMap<String, PathBuf>,
    pub before_reply_s: Option<u64>,
    #[serde(default)]
    pub heartbeat_s: u64,
    #[serde(default)]
    pub role_separation: bool,
    pub peer_socket: Option<PathBuf>,
}

/// `[[principal]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalTable {
    pub name: String,
    pub roles: Vec<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default = "PrincipalTable::enabled_default")]
    pub enabled: bool,
    pub uid: Option<u32>,
    #[serde(default)]
    pub certificate_sha256: Vec<String>,
    #[serde(default)]
    pub certificate_subjects: Vec<String>,
    #[serde(default)]
    pub templates: Vec<String>,
    #[serde(default)]
    pub requesters: Vec<String>,
    #[serde(default)]
    pub token: Vec<TokenTable>,
}

impl PrincipalTable {
    fn enabled_default() -> bool {
        true
    }
}

/// `[[principal.token]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    pub name: String,
    pub sha256: String,
    pub expires: Option<String>,
    pub scope: Option<Vec<String>>,
    #[serde(default)]
    pub from: Vec<String>,
}

/// `[tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTable {
    pub names: Vec<String>,
    pub validity_days: u32,
    pub key: String,
}

impl Default for TlsTable {
    /// Ninety days, renewed after sixty: as those who issue server certificates by themselves do.
    fn default() -> Self {
        Self { names: Vec::new(), validity_days: 90, key: "ecdsa-p256".to_owned() }
    }
}

/// `[[door]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoorTable {
    pub listen: SocketAddr,
    pub tls: Option<String>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub client_certificates: Option<String>,
    pub client_ca: Option<PathBuf>,
    #[serde(default)]
    pub client_crl: Vec<PathBuf>,
}

/// `[publication]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublicationTable {
    pub crl_distribution_points: Vec<String>,
    pub ca_issuers: Vec<String>,
    pub ocsp: Vec<String>,
}

/// `[crl]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrlTable {
    pub publish: bool,
    pub period_s: u64,
    pub delta_period_s: Option<u64>,
    pub overlap_s: Option<u64>,
    pub delta_overlap_s: Option<u64>,
    pub clock_skew_s: u64,
    pub partitions: u32,
    pub freshest: Vec<String>,
    pub issuing_distribution_point: Vec<String>,
}

impl Default for CrlTable {
    /// A complete list each week, as the original; clocks may be wrong by its `ClockSkewMinutes`.
    fn default() -> Self {
        Self {
            publish: true,
            period_s: 604_800,
            delta_period_s: None,
            overlap_s: None,
            delta_overlap_s: None,
            clock_skew_s: 600,
            partitions: 1,
            freshest: Vec::new(),
            issuing_distribution_point: Vec::new(),
        }
    }
}

/// `[ocsp]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OcspTable {
    pub enabled: bool,
    pub validity_s: u64,
    pub responder_validity_s: u64,
}

impl Default for OcspTable {
    fn default() -> Self {
        let OcspSettings { enabled, validity, responder_validity } = OcspSettings::default();
        Self {
            enabled,
            validity_s: validity.as_secs(),
            responder_validity_s: responder_validity.as_secs(),
        }
    }
}

/// `[expiry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpiryTable {
    pub warn_days: Vec<u32>,
}

/// `[audit]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditTable {
    pub filter: Option<Vec<String>>,
    pub checkpoint_s: u64,
    pub checkpoint_rows: u64,
}

impl Default for AuditTable {
    /// Everything; whoever exchanges the end of the trail has a minute.
    fn default() -> Self {
        Self { filter: None, checkpoint_s: 60, checkpoint_rows: 10_000 }
    }
}

/// `[key_archival]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyArchivalTable {
    pub agents_used: Option<usize>,
}

/// `[[recovery_agent]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryAgentTable {
    pub certificate: PathBuf,
}

/// `[policy]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTable {
    pub default_template: Option<String>,
    pub module: Option<String>,
    pub command: Option<Vec<String>>,
    pub library: Option<PathBuf>,
    pub class: Option<String>,
    pub chain: Option<bool>,
    pub on_failure: Option<String>,
    pub audit: Option<bool>,
    pub deadline_s: Option<u64>,
    pub validity_days: Option<u32>,
    pub working_directory: Option<PathBuf>,
    #[serde(default)]
    pub writable: Vec<PathBuf>,
    pub sandbox: Option<bool>,
    pub memory_mib: Option<u64>,
    pub open_files: Option<u64>,
    pub cpu_s: Option<u64>,
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// `[[template]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "keys of a file, each on its own")]
pub struct TemplateTable {
    pub name: String,
    pub validity_days: u32,
    #[serde(default = "TemplateTable::backdate_s_default")]
    pub backdate_s: u64,
    pub valid_from: Option<String>,
    pub valid_until: Option<String>,
    pub key_usage: Vec<String>,
    #[serde(default)]
    pub extended_key_usage: Vec<String>,
    #[serde(default)]
    pub key_minimum: Vec<String>,
    #[serde(default)]
    pub subject_from_request: Vec<String>,
    #[serde(default = "TemplateTable::refuse")]
    pub subject_other: String,
    #[serde(default)]
    pub subject: Vec<String>,
    #[serde(default = "TemplateTable::subject_separator_default")]
    pub subject_separator: String,
    #[serde(default)]
    pub subject_original_lengths: bool,
    #[serde(default)]
    pub san_from_request: Vec<String>,
    #[serde(default = "TemplateTable::refuse")]
    pub san_other: String,
    #[serde(default)]
    pub san_add: Vec<String>,
    #[serde(default)]
    pub san_required: Vec<String>,
    #[serde(default)]
    pub dns_from_common_name: bool,
    #[serde(default)]
    pub sid_from_request: bool,
    #[serde(default)]
    pub sid_required: bool,
    #[serde(default)]
    pub sid: BTreeMap<String, String>,
    #[serde(default)]
    pub extensions_from_request: Vec<String>,
    pub issue: String,
    #[serde(default = "TemplateTable::refuse")]
    pub archive_key: String,
    #[serde(default = "TemplateTable::approvals_default")]
    pub approvals: usize,
    #[serde(default = "TemplateTable::allow")]
    pub own_approval: String,
    #[serde(default = "TemplateTable::callers_default")]
    pub callers: String,
    #[serde(default)]
    pub requesters: Vec<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub signatures: usize,
    #[serde(default)]
    pub signature_purposes: Vec<String>,
    #[serde(default)]
    pub signature_policies: Vec<String>,
    #[serde(default = "TemplateTable::renewal_default")]
    pub renewal: String,
    pub renewal_days: Option<u32>,
    #[serde(default = "TemplateTable::refuse")]
    pub on_behalf: String,
    #[serde(default)]
    pub ca: bool,
    pub path_length: Option<u8>,
    #[serde(default)]
    pub enrollment_flags: Vec<String>,
    #[serde(default)]
    pub general_flags: Vec<String>,
    #[serde(default)]
    pub private_key_flags: Vec<String>,
    #[serde(default)]
    pub rate: Vec<RateTable>,
    #[serde(default)]
    pub dangerous: DangerousTable,
}

impl TemplateTable {
    /// Ten minutes: the original's `ClockSkewMinutes`.
    fn backdate_s_default() -> u64 {
        600
    }

    /// The original's separator of values.
    fn subject_separator_default() -> String {
        "\n".to_owned()
    }

    fn approvals_default() -> usize {
        1
    }

    fn callers_default() -> String {
        "local".to_owned()
    }

    fn renewal_default() -> String {
        "same-names".to_owned()
    }

    fn refuse() -> String {
        "refuse".to_owned()
    }

    fn allow() -> String {
        "allow".to_owned()
    }
}

/// `[[template.rate]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateTable {
    pub certificates: u32,
    pub window_s: u64,
    pub per: String,
}

/// `[template.dangerous]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the original, each on its own")]
pub struct DangerousTable {
    pub san_from_attributes: bool,
    pub end_date_from_attributes: bool,
    pub eku_from_attributes: bool,
    pub all_request_extensions: bool,
    pub subject_from_attributes: bool,
}

/// `[[exit]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitTable {
    pub name: String,
    pub module: Option<String>,
    pub command: Option<Vec<String>>,
    pub library: Option<PathBuf>,
    pub class: Option<String>,
    #[serde(default = "ExitTable::enabled_default")]
    pub enabled: bool,
    pub events: Option<Vec<String>>,
    pub r#where: Option<String>,
    #[serde(default)]
    pub before_reply: bool,
    #[serde(default = "ExitTable::start_at_default")]
    pub start_at: StartWord,
    #[serde(default = "ExitTable::deadline_s_default")]
    pub deadline_s: u64,
    #[serde(default = "ExitTable::window_default")]
    pub window: u32,
    #[serde(default = "ExitTable::retry_first_s_default")]
    pub retry_first_s: u64,
    #[serde(default = "ExitTable::retry_longest_s_default")]
    pub retry_longest_s: u64,
    #[serde(default = "ExitTable::retry_attempts_max_default")]
    pub retry_attempts_max: u32,
    #[serde(default = "ExitTable::maintain_deadline_s_default")]
    pub maintain_deadline_s: u64,
    pub reconcile_every_s: Option<u64>,
    pub reconcile_mend: Option<bool>,
    pub working_directory: Option<PathBuf>,
    #[serde(default)]
    pub writable: Vec<PathBuf>,
    #[serde(default = "ExitTable::sandbox_default")]
    pub sandbox: bool,
    #[serde(default = "ExitTable::memory_mib_default")]
    pub memory_mib: u64,
    #[serde(default = "ExitTable::open_files_default")]
    pub open_files: u64,
    #[serde(default = "ExitTable::cpu_s_default")]
    pub cpu_s: u64,
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// `start_at`: a word, or the number of an event.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum StartWord {
    After(u64),
    Word(String),
}

impl ExitTable {
    /// A module that is run as exit modules are, with everything else as it is where nothing is said.
    pub fn of_policy(name: &str, table: &PolicyTable) -> Self {
        let PolicyTable {
            command,
            library,
            class,
            working_directory,
            writable,
            sandbox,
            memory_mib,
            open_files,
            cpu_s,
            settings,
            ..
        } = table.clone();
        Self {
            name: name.to_owned(),
            module: None,
            command,
            library,
            class,
            enabled: true,
            events: None,
            r#where: None,
            before_reply: false,
            start_at: Self::start_at_default(),
            deadline_s: Self::deadline_s_default(),
            window: 1,
            retry_first_s: Self::retry_first_s_default(),
            retry_longest_s: Self::retry_longest_s_default(),
            retry_attempts_max: Self::retry_attempts_max_default(),
            maintain_deadline_s: Self::maintain_deadline_s_default(),
            reconcile_every_s: None,
            reconcile_mend: None,
            working_directory,
            writable,
            sandbox: sandbox.unwrap_or_else(Self::sandbox_default),
            memory_mib: memory_mib.unwrap_or_else(Self::memory_mib_default),
            open_files: open_files.unwrap_or_else(Self::open_files_default),
            cpu_s: cpu_s.unwrap_or_else(Self::cpu_s_default),
            settings,
        }
    }

    fn enabled_default() -> bool {
        true
    }

    fn sandbox_default() -> bool {
        true
    }

    fn memory_mib_default() -> u64 {
        exeunt_host::confine::MEMORY_BYTES >> 20
    }

    fn open_files_default() -> u64 {
        exeunt_host::confine::OPEN_FILES
    }

    fn cpu_s_default() -> u64 {
        exeunt_host::confine::CPU_S
    }

    fn start_at_default() -> StartWord {
        StartWord::Word("first".to_owned())
    }

    fn deadline_s_default() -> u64 {
        30
    }

    fn window_default() -> u32 {
        256
    }

    fn retry_first_s_default() -> u64 {
        5
    }

    fn retry_longest_s_default() -> u64 {
        3600
    }

    fn retry_attempts_max_default() -> u32 {
        12
    }

    fn maintain_deadline_s_default() -> u64 {
        exeunt_host::MAINTAIN_LIMIT.as_secs()
    }
}
