//! `exeunt completions` and `exeunt man`.

use crate::cli::{Completions, Man, command_line};
use crate::failure::Failure;

pub fn completions(options: &Completions) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command_line(), "exeunt", &mut script);
    crate::output::write_stdout(&script)?;
    Ok(0)
}

pub fn man(options: &Man) -> Result<u8, Failure> {
    let failed = |err: std::io::Error| Failure::from_error("man-not-written", &err);
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(command_line(), folder).map_err(failed)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command_line()).render(&mut page).map_err(failed)?;
        crate::output::write_stdout(&page)?;
    }
    Ok(0)
}
