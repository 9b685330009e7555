//! A new CA that belongs to a directory: the module `directory` is on, as in the original.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use exeunt_exit_directory::DirectoryExit;
use exeunt_keys::secret_file;
use exeunt_module_kit::ManageExitModule as _;
use serde_json::{Map, Value as Json, json};

use crate::cli::DirectoryOptions;
use crate::failure::Failure;
use crate::home::Home;

/// Name of the module, of its table and of its folder.
const NAME: &str = "directory";
/// Its password and whom it trusts, in its folder: nothing else of the home is open to it.
const PASSWORD: &str = "password";
const TRUSTED: &str = "trusted.pem";

/// What follows the settings in the configuration of a new CA.
const OBJECTS: &str = r"
# The CA's own objects, in Active Directory below CN=Public Key Services, each kind with a switch. Make them with
#   exeunt exit install directory        (or --print, for somebody else to apply)
# and look with `exeunt exit test directory` whether the account may write them.
[exit.settings.objects]
aia = true
crl = true
delta_crl = true
# Members of the domain come to trust what stands in these two: switch them on when that is meant.
certification_authorities = false
ntauth = false
# Windows looks for a CA there that speaks its own protocol of enrolment, which this one does not.
enrollment_services = false
";

/// The files and the table that a directory needs, checked and not written yet.
pub struct Joined {
    settings: Map<String, Json>,
    /// Where the CA's objects are to be, where the directory does not say.
    container: Option<String>,
    files: Vec<(PathBuf, zeroize::Zeroizing<Vec<u8>>)>,
}

impl Joined {
    /// Reads what was typed; nothing where no directory is meant.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the module refuses the settings.
    pub fn read(home: &Home, options: &DirectoryOptions) -> Result<Option<Self>, Failure> {
        let (Some(user), Some(password)) =
            (&options.directory_user, &options.directory_password_file)
        else {
            return Ok(None);
        };
        let folder = folder(home);
        let mut files = vec![(folder.join(PASSWORD), secret_file::read(password)?)];
        let mut settings = Map::new();
        settings.insert("servers".to_owned(), json!(options.directory));
        settings.insert("bind_dn".to_owned(), json!(user));
        settings.insert("password_file".to_owned(), json!(PASSWORD));
        if let Some(path) = &options.directory_ca_file {
            let content = fs::read(path).map_err(|err| {
                let message = format!("{} cannot be read: {err}", path.display());
                Failure::new("usage-directory", message)
            })?;
            settings.insert("ca_file".to_owned(), json!(TRUSTED));
            files.push((folder.join(TRUSTED), content.into()));
        }
        if options.directory_start_tls {
            settings.insert("start_tls".to_owned(), json!(true));
        }
        let container = options.directory_container.clone();
        let mut all = settings.clone();
        if let Some(container) = &container {
            all.insert("objects".to_owned(), json!({ "container": container }));
        }
        DirectoryExit::default().configure(&all, 0).map_err(|why| {
            let message = format!("the module directory refuses it: {why}");
            Failure::usage("usage-directory", message)
                .hint(
                    "of the module's settings init takes those that --directory… name, such as \
                     --directory-start-tls",
                )
                .hint(
                    "for all others make the CA without --directory, and then: exeunt exit add \
                     directory --use directory --set KEY=VALUE",
                )
        })?;
        Ok(Some(Self { settings, container, files }))
    }

    /// The files that [`Joined::write`] makes.
    pub fn made(home: &Home) -> [PathBuf; 2] {
        [PASSWORD, TRUSTED].map(|it| folder(home).join(it))
    }

    /// Writes the files into the folder that is the module's own.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn write(&self, home: &Home) -> Result<(), Failure> {
        let folder = folder(home);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|err| {
            let message = format!("{} cannot be made: {err}", folder.display());
            Failure::new("home-not-writable", message)
        })?;
        for (path, content) in &self.files {
            secret_file::write_new(path, content)?;
        }
        Ok(())
    }

    /// The module's table.
    pub fn toml(&self) -> String {
        // Texts and lists of texts.
        let settings = toml::to_string(&self.settings).expect("BUG: TOML can hold the settings");
        let container = self.container.as_ref().map(|it| {
            let it = Json::from(it.as_str());
            let it = toml::Value::try_from(it).expect("BUG: TOML can hold a text");
            format!(
                "container = {it}\n# The containers in it, CN=AIA and CN=CDP, are made as well.\n\
                 make = \"parents\"\n"
            )
        });
        let container = container.unwrap_or_default();
        format!(
            "\n# The directory that the CA belongs to: docs/manual/directory-module.md.\n\
             [[exit]]\nname = \"{NAME}\"\nmodule = \"{NAME}\"\nstart_at = \"first\"\n\n\
             [exit.settings]\n{settings}{OBJECTS}{container}"
        )
    }
}

fn folder(home: &Home) -> PathBuf {
    home.path().join("modules").join(NAME)
}
