//! What can be typed about settings of another system.

use std::path::PathBuf;

use clap::Args;

/// Options of `import-settings`.
#[derive(Debug, Args)]
pub struct ImportSettings {
    /// The export, a .reg file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where the configuration goes; standard output where nothing is said. A file that is there is not
    /// replaced
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Which CA is meant, where the export holds several; the active one otherwise
    #[arg(long, value_name = "NAME")]
    pub ca: Option<String>,
}
