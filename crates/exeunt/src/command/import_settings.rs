//! `exeunt import-settings`: a configuration out of a Windows CA's settings.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};

use crate::cli::ImportSettings;
use crate::failure::{Failure, plain};
use crate::output;
use crate::settings_import::{
    ConvertError, Converted, by_reason, convert, registry::EXPORT_BYTES_MAX,
};

pub fn run(options: &ImportSettings) -> Result<u8, Failure> {
    let shown = options.file.display();
    let mut export = Vec::new();
    let most = u64::try_from(EXPORT_BYTES_MAX).unwrap_or(u64::MAX);
    fs::File::open(&options.file)
        .and_then(|it| it.take(most + 1).read_to_end(&mut export))
        .map_err(|err| {
            Failure::new("settings-export-unreadable", format!("{shown} cannot be read: {err}"))
        })?;
    let converted = convert(&export, options.ca.as_deref()).map_err(|err| {
        let hint = match err {
            ConvertError::Unknown { .. } | ConvertError::Several(_) => {
                "name one of them: --ca NAME"
            }
            _ => {
                "export it with: reg export \
                 HKLM\\SYSTEM\\CurrentControlSet\\Services\\CertSvc\\Configuration settings.reg"
            }
        };
        Failure::from_error(err.code(), &err).hint(hint)
    })?;
    tell(&converted);
    let Some(out) = &options.out else {
        output::write_stdout(converted.toml.as_bytes())?;
        return Ok(0);
    };
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out)
        .and_then(|mut file| file.write_all(converted.toml.as_bytes()));
    match written {
        Ok(()) => (),
        Err(err) if err.kind() == ErrorKind::AlreadyExists => {
            let message = format!("{} is there already", out.display());
            return Err(Failure::new("settings-out-exists", message)
                .hint("give another file, and put it in its place when you have looked at it"));
        }
        Err(err) => {
            let message = format!("{} cannot be written: {err}", out.display());
            return Err(Failure::new("settings-out-unwritable", message));
        }
    }
    output::line(&format!("The settings of {:?} are in {}.", converted.name, out.display()))?;
    output::line(
        "Make the CA (exeunt init), put the file in the place of its exeunt.toml, and check it:",
    )?;
    output::line("  exeunt config check --home DIR")?;
    Ok(0)
}

/// Says on standard error what a person has to do, and what is not taken over: each reason once, with
/// the names of what it is about. The file has the values too.
fn tell(converted: &Converted) {
    if !converted.notes.is_empty() {
        eprintln!(
            "Not taken over, or not as it was; the configuration says so too, with the values:"
        );
        for (reason, notes) in by_reason(&converted.notes) {
            eprintln!("  {}:", plain(reason));
            let name = |place: &str| place.rsplit('\\').next().unwrap_or(place).to_owned();
            let told: Vec<String> = notes
                .iter()
                .map(|it| {
                    let is_told = it.is_part && !it.value.is_empty();
                    if is_told { it.value.clone() } else { name(&it.place) }
                })
                .collect();
            eprintln!("    {}", plain(&told.join(", ")));
        }
    }
    if !converted.needs.is_empty() {
        eprintln!("Still to be given by a person:");
        for need in &converted.needs {
            eprintln!("  {}", plain(need));
        }
    }
}
