//! Automation of this repository: `cargo xtask COMMAND`.
//!
//! It is no part of the product and no crate of the product depends on it. Enter at [`Command`].

mod fuzz;
mod openapi;
mod process;
mod schema;
mod steps;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Automation of the Exeunt repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need, then run every check and every test
    Test,
    /// Install what the tests need and stop there
    TestTools,
    /// Check what the compiler does not: directions, file sizes, headers, documents
    Tidy {
        /// Renew the table in docs/limits.md and docs/openapi.json first
        #[arg(long)]
        write: bool,
    },
    /// Check that the JSON schema of the modules' conversation is that of the types
    Schema {
        /// Renew contract/exeunt-module/schema/v1.json
        #[arg(long)]
        write: bool,
    },
    /// Check dependencies against the database of published vulnerabilities (needs the network)
    Advisories,
    /// Build the fuzz targets and run them for a while
    Fuzz {
        /// How long each target runs, in seconds
        #[arg(long, default_value_t = fuzz::SMOKE_SECONDS)]
        seconds: u32,
        /// The target to run; all of them when left out
        target: Option<String>,
    },
    /// Kill the server at random moments under load, restart it, and check that nothing was lost
    Crash {
        /// How many times the server is killed
        #[arg(long, default_value_t = steps::CRASH_TRIALS)]
        trials: u32,
        /// Seed of the random choices, as an earlier run printed it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Measure, in a release build
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Certificates per second, against the bound that cryptography sets on this machine
    Issue {
        /// Passed on to the benchmark as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Exit modules: events per second, what they cost issuance, backlogs, memory
    Exits {
        /// Passed on to the benchmark as they are, for example --long
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Answers by OCSP per second, against a server that answers everything with the same octets
    Ocsp {
        /// Passed on to the benchmark as they are, for example --seconds 5
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Issuance over TLS with a token and with a certificate, against plain HTTP with a token
    Tls {
        /// Passed on to the benchmark as they are, for example --rounds 3
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Issuance with a policy module, against the templates alone
    Policy {
        /// Passed on to the benchmark as they are, for example --rounds 3
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Issuance with the audit trail, against issuance without
    Audit {
        /// Passed on to the benchmark as they are, for example --rounds 21
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Issuance with many rows in the store, against issuance with none
    Rows {
        /// Passed on to the benchmark as they are, for example --rows 10000000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Certificates per second into each target, against the same writes by the target's own tool
    Publish {
        /// Passed on to the benchmark as they are, for example --only sql
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Issuance while what a module publishes to refuses, keeps silent or is slow
    Targets {
        /// Passed on to the benchmark as they are, for example --only mail
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A revocation list of a million entries: time against that of its octets alone, memory
    Crl {
        /// Passed on to the benchmark as they are, for example --entries 100000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

impl Bench {
    fn run(self, root: &Path) -> Result<(), String> {
        let bench = |program, arguments: Vec<String>| steps::bench(root, program, &arguments);
        match self {
            Self::Issue { arguments } => {
                bench("bench", [vec!["issue".to_owned()], arguments].concat())
            }
            Self::Exits { arguments } => bench("bench_exits", arguments),
            Self::Ocsp { arguments } => {
                // What it compares with.
                steps::build_example(root, "exeunt-http", "constant")?;
                bench("bench_ocsp", arguments)
            }
            Self::Tls { arguments } => bench("bench_tls", arguments),
            Self::Policy { arguments } => bench("bench_policy", arguments),
            Self::Audit { arguments } => bench("bench_audit", arguments),
            Self::Rows { arguments } => {
                // What fills the store.
                steps::build_example(root, "exeunt-store", "fill")?;
                bench("bench_rows", arguments)
            }
            Self::Publish { arguments } => bench("bench_publish", arguments),
            Self::Targets { arguments } => bench("bench_targets", arguments),
            Self::Crl { arguments } => bench("bench_crl", arguments),
        }
    }
}

fn main() -> ExitCode {
    let root = root();
    let outcome = match Cli::parse().command {
        Command::Test => steps::test(&root),
        Command::TestTools => tools::install(&root),
        Command::Tidy { write: true } => {
            tidy::write(&root).and_then(|()| openapi::write(&root)).and_then(|()| tidy::run(&root))
        }
        Command::Tidy { write: false } => tidy::run(&root).and_then(|()| openapi::check(&root)),
        Command::Schema { write } => schema::run(&root, write),
        Command::Advisories => steps::advisories(&root),
        Command::Fuzz { seconds, target } => fuzz::run(&root, seconds, target.as_deref()),
        Command::Crash { trials, seed } => steps::crash(&root, trials, seed),
        Command::Bench(bench) => bench.run(&root),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root: this crate sits one folder below it.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("BUG: xtask/ has a parent").to_owned()
}
