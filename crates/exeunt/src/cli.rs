//! The command line: what can be typed. What it does stands in `command`.

mod archive;
mod audit;
mod backup;
mod ca;
mod cert;
mod crl;
mod directory;
mod exit;
mod exit_check;
mod key;
mod local;
mod lookup;
mod policy;
mod principal;
mod request;
mod settings;
mod template;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use archive::{ImportKey, Key, Recover, Unwrap};
pub use audit::{
    Accept as AcceptAudit, Audit, Export as ExportAudit, ExportFormat, Show as ShowAudit,
    Verify as VerifyAudit,
};
pub use backup::{Backup, BackupPassphrase, Restore, VerifyBackup};
pub use ca::{Ca, RenewCa};
pub use cert::{
    BulkOptions, Cert, Import, OnOff, PublishExpired, Revoke, Unrevoke, WhichCertificate,
};
pub use crl::{Crl, Publish, Show as ShowCrl};
pub use directory::DirectoryOptions;
pub use exit::{
    Add, Exit, Install, Named, Parked, Reconcile, Remove, Replay, Settings, ShelfEvents, Tail,
};
pub use exit_check::Check;
pub use key::{KeyOptions, KeyPlace};
pub use local::command_line;
pub use lookup::{CertificateList, Format, RequestList, Rows};
pub use policy::{CheckPolicy, Failing, Policy, PolicySettings, SetPolicy};
pub use principal::{AddToken, Ending, Principal, Token};
pub use request::{Decide, Request, SetExtension};
pub use settings::ImportSettings;
pub use template::Template;

/// A certificate authority that never loses an event
///
/// Exeunt issues certificates and tells exit modules about it: programs in any language that
/// publish, mail, register. An event is committed together with its certificate and delivered until
/// the module has accepted it; after the last attempt it is parked for you.
#[derive(Debug, Parser)]
#[command(name = "exeunt", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  exeunt quickstart
  exeunt init --home ca --name 'Example Root'
  exeunt serve --home ca
  exeunt submit server.csr --home ca --out server.pem

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 pending.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a CA, start it and issue a first certificate
    ///
    /// Makes a CA in ./exeunt-home, or uses the one that is there; starts the server; makes a key
    /// and a request as a client would; submits it over HTTP; shows the certificate and the file
    /// that the exit module published; and serves until Ctrl-C.
    #[command(after_help = "Examples:\n  exeunt quickstart\n  exeunt quickstart --once")]
    Quickstart(Quickstart),

    /// Make a new CA: its key, certificate, store and configuration
    ///
    /// A root CA signs its own certificate. A subordinate CA gets a request, ca.csr.pem, for its
    /// parent to sign; `exeunt ca install` takes what the parent has signed.
    ///
    /// The private key is made in an encrypted file of the home or, with --key pkcs11, in a token that it
    /// never leaves.
    #[command(after_help = "Examples:
  exeunt init --home ca --name 'Example Root'
  exeunt init --home ca --name 'Example Root' --key-type rsa-4096 \\
    --subject 'CN=Example Root,O=Example,C=DE'
  exeunt init --home sub --name 'Example Issuing CA' --kind subordinate
  exeunt init --home ca --name 'Example Root' --key pkcs11 --token CA --pin-file pin \\
    --pkcs11-module /usr/lib/softhsm/libsofthsm2.so
  exeunt init --home ca --name 'Example Root' --key-type rsa-3072 --signature-scheme pss
  exeunt init --home ca --name 'Example Root' --directory ldaps://dc1.example.com \\
    --directory-user ca@example.com --directory-password-file password
  exeunt init --home ca --name 'Example Root' --directory ldaps://ldap.example.com \\
    --directory-user cn=ca,dc=example,dc=com --directory-password-file password \\
    --directory-container ou=pki,dc=example,dc=com")]
    Init(Init),

    /// Run the server
    ///
    /// Answers on the Unix socket in the home and, where the configuration or --listen says so, over
    /// HTTP. Prints `listening on ADDRESS` on standard output once it does. SIGTERM or Ctrl-C
    /// stops it in order.
    #[command(after_help = "Examples:
  exeunt serve --home ca
  exeunt serve --home ca --listen 127.0.0.1:0")]
    Serve(Serve),

    /// Submit a certificate request
    ///
    /// FILE is a request in PKCS#10, in a PKCS#7 message signed with the certificate that it renews, or
    /// in CMC, PEM or DER; `-` reads it from standard input. The certificate goes to --out or to
    /// standard output in PEM, or in another form that --response names. Exit status 3 says that the
    /// request waits for a decision.
    #[command(after_help = "Examples:
  exeunt submit server.csr --home ca --out server.pem
  exeunt submit renewal.p7m --home ca --response p7b --out server.p7b
  exeunt submit server.csr --home ca --dry-run
  exeunt submit alice.csr --archive-key alice.key --template mail --home ca
  exeunt submit server.csr --home ca --idempotency-key \"$(uuidgen)\"
  exeunt submit server.csr --server https://ca.example:8443 --token-file token --template tls-server
  openssl req -new -key k.pem -subj /CN=host.example | exeunt submit - --home ca")]
    Submit(Submit),

    /// Look at requests, and decide those that wait
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt request list --home ca
  exeunt request show 17 --home ca --json
  exeunt request approve 17 --home ca
  exeunt request deny 17 --reason 'no such host' --home ca"
    )]
    Request(Request),

    /// Look at certificates, and revoke them
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt cert list --home ca --limit 20
  exeunt cert show 5c0ffee1 --home ca
  exeunt cert revoke 5c0ffee1 --reason key-compromise --home ca"
    )]
    Cert(Cert),

    /// Look at the CA's own certificates, and renew them
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt ca show --home ca
  exeunt ca renew --home ca
  exeunt ca install signed.pem --home sub"
    )]
    Ca(Ca),

    /// Look at templates, and check them before they count
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt template list --home ca
  exeunt template show tls-server --home ca
  exeunt template check new-templates.toml"
    )]
    Template(Template),

    /// Show and change what decides about requests: the templates, or a policy module
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt policy show --home ca
  exeunt policy set --command 'python3 /opt/guard.py' --dry-run true --home ca
  exeunt policy explain host.csr.pem --home ca"
    )]
    Policy(Policy),

    /// Make revocation lists and look at them
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt crl publish --home ca
  exeunt crl list --home ca
  exeunt crl show --home ca"
    )]
    Crl(Crl),

    /// Look at exit modules and manage them
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt exit list --home ca
  exeunt exit add mail --command '/usr/local/bin/mail --quiet' --set to=ca@example.test --home ca
  exeunt exit status mail --home ca
  exeunt exit parked list mail --home ca"
    )]
    Exit(Box<Exit>),

    /// Look at the audit trail, and whether it is whole
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt audit verify --home ca
  exeunt audit show --since 7d --home ca
  exeunt audit export trail.jsonl --home ca"
    )]
    Audit(Audit),

    /// Take a backup of a CA, while its server runs
    ///
    /// One file: configuration, store, certificates, newest revocation lists and, unless --no-keys,
    /// keys and tokens, all of one moment. Issuing goes on meanwhile. With keys it is sealed with a
    /// passphrase of its own, in the format of the tool age. The passphrases of the keys are not in it.
    #[command(after_help = "Examples:
  exeunt backup ca.backup --home ca --passphrase-file backup.word
  exeunt backup /mnt/ca.backup --home ca --no-keys")]
    Backup(Backup),

    /// Check a backup from its first byte to its last, and say what is in it
    #[command(after_help = "Examples:
  exeunt verify-backup ca.backup --passphrase-file backup.word
  exeunt verify-backup ca.backup --json")]
    VerifyBackup(VerifyBackup),

    /// Make the home of a CA anew from a backup
    ///
    /// Into an empty folder, or one that is not there. The restored CA leaves out numbers of events,
    /// requests and revocation lists, so that it gives out none again that was given out after the
    /// backup. It must never run beside the CA that the backup was taken of.
    #[command(after_help = "Examples:
  exeunt restore ca.backup --home ca --passphrase-file backup.word")]
    Restore(Restore),

    /// Look at who may do what
    #[command(subcommand, after_help = "Examples:\n  exeunt principal list --home ca")]
    Principal(Principal),

    /// Give principals tokens, and take them away
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt token add alice --expires 90d --home ca
  exeunt token list --home ca
  exeunt token remove alice laptop --home ca"
    )]
    Token(Token),

    /// Recover archived private keys
    ///
    /// Private keys that came with requests are kept encrypted to recovery agents. One certificate
    /// manager asks for a key, another agrees, and a recovery agent opens it.
    #[command(
        subcommand,
        after_help = "Examples:
  exeunt key recover --request 17 --reason 'laptop of alice was lost' --home ca
  exeunt key approve-recovery 3 --home ca
  exeunt key fetch 3 --out alice.recovery --home ca"
    )]
    Key(Key),

    /// Have the server read its configuration again
    ///
    /// Takes up what is new about the exit modules, and says which other keys have changed: those
    /// count after a restart. A configuration that is not good is refused whole, and everything
    /// goes on as before. SIGHUP does the same.
    #[command(after_help = "Examples:\n  exeunt reload --home ca")]
    Reload(Reload),

    /// Check the configuration
    #[command(subcommand, after_help = "Examples:\n  exeunt config check --home ca")]
    Config(Config),

    /// Make a configuration of a Windows CA's settings
    ///
    /// Reads an export of the registry, made with `reg export
    /// HKLM\SYSTEM\CurrentControlSet\Services\CertSvc\Configuration settings.reg`: name, validity,
    /// revocation lists and their periods, publication URLs, what the default exit module publishes and
    /// mails, and what is audited. What has no counterpart is said on standard error and in comments of
    /// the configuration, each with its reason.
    #[command(after_help = "Examples:
  exeunt import-settings settings.reg
  exeunt import-settings settings.reg --out exeunt.toml")]
    ImportSettings(ImportSettings),

    /// Run a shipped exit module on standard input and output
    ///
    /// The server starts modules this way; by hand it is of use only to a host that speaks the
    /// contract (docs/contract.md).
    #[command(after_help = "Examples:\n  exeunt run-module file")]
    RunModule(RunModule),

    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  exeunt completions bash > /etc/bash_completion.d/exeunt")]
    Completions(Completions),

    /// Print the manual page, or write one for each command into a folder
    #[command(
        after_help = "Examples:\n  exeunt man | man -l -\n  exeunt man --out /usr/local/share/man/man1"
    )]
    Man(Man),
}

/// Options of `quickstart`.
#[derive(Debug, Args)]
pub struct Quickstart {
    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME", default_value = "exeunt-home")]
    pub home: PathBuf,

    /// Stop after the round trip instead of going on serving
    #[arg(long)]
    pub once: bool,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Home of the new CA; made if it is not there
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,

    /// Name of the CA
    #[arg(long)]
    pub name: String,

    /// Whether it signs its own certificate or a parent CA does
    #[arg(long, value_enum, default_value_t = Kind::Root)]
    pub kind: Kind,

    /// Its subject in RFC 4514 form; `CN=NAME` if not given
    #[arg(long, value_name = "DN")]
    pub subject: Option<String>,

    /// How long its certificate is valid: years (10y) or days (3650d); for a root only, whose
    /// certificate is valid for ten years if not given
    #[arg(long, value_name = "TIME", value_parser = validity_days)]
    pub validity: Option<ValidityDays>,

    /// Its private key
    #[command(flatten)]
    pub key: KeyOptions,

    /// The directory that it belongs to
    #[command(flatten)]
    pub directory: DirectoryOptions,
}

/// The number of a request.
fn request_id(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not the number of a request"))
}

/// A key for a submission that may be repeated.
fn idempotency_key(text: &str) -> Result<String, String> {
    if exeunt_api::is_idempotency_key(text) {
        Ok(text.to_owned())
    } else {
        let most = exeunt_api::IDEMPOTENCY_KEY_BYTES_MAX;
        Err(format!("a key is 1 to {most} printable characters of ASCII without blanks and quotes"))
    }
}

/// A moment, as the server reads it.
fn moment(text: &str) -> Result<String, String> {
    match exeunt_http::from_rfc3339(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a moment such as 2027-01-31T12:00:00Z".to_owned()),
    }
}

/// Kind of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Signs its own certificate.
    Root,
    /// Has its certificate from a parent CA.
    Subordinate,
}

/// A validity in whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidityDays(pub u32);

/// Longest validity of a CA certificate: a hundred years.
const VALIDITY_DAYS_MAX: u32 = 36_525;

fn validity_days(text: &str) -> Result<ValidityDays, String> {
    let (number, days_each) = match text.strip_suffix('y') {
        Some(years) => (years, 365),
        None => (text.strip_suffix('d').ok_or("write years as 10y or days as 3650d")?, 1),
    };
    let number: u32 = number.parse().map_err(|_| "write years as 10y or days as 3650d")?;
    match number.checked_mul(days_each) {
        Some(days @ 1..=VALIDITY_DAYS_MAX) => Ok(ValidityDays(days)),
        _ => Err(format!("at least a day and at most {VALIDITY_DAYS_MAX} days")),
    }
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,

    /// Where HTTP listens, instead of what the configuration says; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// How a command reaches its server.
#[derive(Clone, Debug, Args)]
pub struct Door {
    /// Home of the CA, for the Unix socket of its running server
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: Option<PathBuf>,

    /// Address of a server elsewhere, for example `https://ca.example:8443`; or `unix:PATH` for a socket
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,

    /// File with the bearer token for --server
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,

    /// CA certificates (PEM) that the server's certificate is checked against, instead of the system's
    #[arg(long, value_name = "FILE", requires = "server")]
    pub ca_file: Option<PathBuf>,

    /// Certificate (PEM, its chain after it) to show to --server, instead of a token or beside one
    #[arg(long, value_name = "FILE", requires = "server", requires = "client_key")]
    pub client_cert: Option<PathBuf>,

    /// Private key (PEM, not encrypted, readable by its owner only) of --client-cert
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// The request (PKCS #10, or in PKCS #7 or CMC), PEM or DER; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// A request attribute (can be repeated)
    #[arg(long, value_name = "NAME:VALUE")]
    pub attribute: Vec<String>,

    /// Template to issue from
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,

    /// Send the private key of the request along, for the CA to archive; PEM of a PKCS #8
    #[arg(long, value_name = "KEYFILE")]
    pub archive_key: Option<PathBuf>,

    /// File with the passphrase of that key, where it is encrypted
    #[arg(long, value_name = "FILE", requires = "archive_key")]
    pub key_passphrase_file: Option<PathBuf>,

    /// Only say what would become of the request, rule by rule; nothing is written
    #[arg(long, conflicts_with_all = ["response", "out"])]
    pub dry_run: bool,

    /// A key of your choice: submitted again with the same one within a day, the request is not made
    /// twice, and what became of it is the answer
    #[arg(long, value_name = "KEY", value_parser = idempotency_key,
        conflicts_with_all = ["archive_key", "dry_run"])]
    pub idempotency_key: Option<String>,

    /// Form of the answer
    #[arg(long, value_enum, value_name = "FORM", default_value_t = ResponseForm::Pem)]
    pub response: ResponseForm,

    /// Where the answer goes; standard output if not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Print the whole answer as JSON
    #[arg(long, conflicts_with = "response")]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Form of the answer to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResponseForm {
    /// The certificate in PEM.
    Pem,
    /// The certificate and the CA's in PKCS #7, DER.
    P7b,
    /// A full response of CMC, signed by the CA, DER.
    Cmc,
}

/// Options of `reload`.
#[derive(Debug, Args)]
pub struct Reload {
    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// `exeunt config …`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check exeunt.toml, the key and the certificate; changes nothing
    Check {
        /// Home of the CA
        #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
        home: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Options of `run-module`.
#[derive(Debug, Args)]
pub struct RunModule {
    /// Name of the module
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for one page per command; the main page on standard output if not given
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_moment_and_the_number_of_a_request_are_read_before_anything_is_sent() {
        assert_eq!(moment("2027-01-31T12:00:00Z").as_deref(), Ok("2027-01-31T12:00:00Z"));
        for bad in ["", "now", "tomorrow", "2027-01-31", "30d"] {
            assert!(moment(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(request_id("17"), Ok(17));
        assert!(request_id("x").is_err());
    }

    #[test]
    fn a_validity_is_whole_years_or_days() {
        assert_eq!(validity_days("10y"), Ok(ValidityDays(3650)));
        assert_eq!(validity_days("90d"), Ok(ValidityDays(90)));
        for bad in ["", "10", "y", "0d", "-1d", "101y", "99999999y", "1w", "ä"] {
            assert!(validity_days(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            check_example(command);
        }
    }

    #[test]
    fn every_command_below_another_shows_examples() {
        let cli = Cli::command();
        for group in ["audit", "exit", "request", "cert", "ca", "crl", "principal", "token", "key"]
        {
            for command in cli.find_subcommand(group).unwrap().get_subcommands() {
                check_example(command);
                command.get_subcommands().for_each(check_example);
            }
        }
    }

    #[track_caller]
    fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
        let words = std::iter::once("exeunt").chain(line.split(' '));
        Cli::try_parse_from(words).map(|it| it.command).map_err(|err| err.kind())
    }

    #[test]
    fn a_certificate_is_meant_in_one_way() {
        use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument, ValueValidation};
        for good in
            ["cert revoke 5c --home ca", "cert revoke --file c.pem", "cert unrevoke --request 7"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        assert_eq!(parse("cert revoke").unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse("cert revoke 5c --file c.pem").unwrap_err(), ArgumentConflict);
        assert_eq!(parse("cert unrevoke 5c --request 7").unwrap_err(), ArgumentConflict);
        assert_eq!(parse("cert revoke 5c --reason theft").unwrap_err(), ValueValidation);
        assert_eq!(parse("cert revoke 5c --effective soon").unwrap_err(), ValueValidation);
        assert!(parse("cert revoke 5c --effective now").is_ok());
    }

    #[test]
    fn a_reason_is_a_word_of_rfc_5280() {
        use exeunt_types::RevocationReason;
        for reason in RevocationReason::ALL {
            let line = format!("cert revoke 5c --reason {}", reason.word());
            let Ok(Command::Cert(Cert::Revoke(options))) = parse(&line) else { panic!("{line}") };
            assert_eq!((options.reason, options.effective.as_str()), (reason, "now"));
        }
    }

    #[test]
    fn an_extension_is_set_with_its_value() {
        assert!(parse("request set-extension 7 1.2.3 --value 0500 --critical").is_ok());
        assert!(parse("request set-extension 7 1.2.3").is_err());
        assert!(parse("request set-extension 7 1.2.3 --disable").is_ok());
        assert!(parse("request set-attribute 7 A:b C:d").is_ok());
        assert!(parse("request set-attribute 7").is_err());
    }

    #[track_caller]
    fn check_example(command: &clap::Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("exeunt "), "{} has no example", command.get_name());
        // A line that is broken is another command when it is copied.
        let long = help.lines().find(|it| 100 < it.len());
        assert_eq!(long, None, "an example of {} is broken", command.get_name());
    }
}
