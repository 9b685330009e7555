//! What can be typed about the directory that a new CA belongs to.

use std::path::PathBuf;

use clap::Args;

/// Options of `init` about a directory.
#[derive(Debug, Default, Args)]
pub struct DirectoryOptions {
    /// Directory that the CA belongs to, such as `ldaps://dc1.example.com`; several times for several
    /// servers. The module `directory` is on then, and `file` is off
    #[arg(long = "directory", value_name = "URL", requires_all = ["directory_user", "directory_password_file"])]
    pub directory: Vec<String>,

    /// Who the CA logs in as there: a distinguished name, or user@domain
    #[arg(long, value_name = "NAME", requires = "directory")]
    pub directory_user: Option<String>,

    /// File with the password, which its owner alone may read; copied into the home
    #[arg(long, value_name = "FILE", requires = "directory")]
    pub directory_password_file: Option<PathBuf>,

    /// CA certificates (PEM) that the directory's is checked against, instead of the system's; copied
    /// into the home
    #[arg(long, value_name = "FILE", requires = "directory")]
    pub directory_ca_file: Option<PathBuf>,

    /// Container of the CA's objects there, a distinguished name. Active Directory has one of its own,
    /// and no other server does
    #[arg(long, value_name = "DN", requires = "directory")]
    pub directory_container: Option<String>,

    /// Turn to TLS before anything else is said, for `ldap://`
    #[arg(long, requires = "directory")]
    pub directory_start_tls: bool,
}
