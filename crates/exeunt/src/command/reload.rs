//! `exeunt reload`: has the server read its configuration again.

use exeunt_api::{RELOAD_PATH, Reloaded};
use reqwest::Method;

use crate::cli::Reload;
use crate::client::ApiClient;
use crate::failure::{Failure, STATUS_FAILED, plain};
use crate::output;

pub fn run(options: &Reload) -> Result<u8, Failure> {
    let client = ApiClient::open(&options.door)?;
    let told: Reloaded = client.change(Method::POST, RELOAD_PATH, &[], None::<&()>)?;
    if options.json {
        output::json(&told)?;
    } else {
        show(&told)?;
    }
    Ok(if told.failed.is_empty() { 0 } else { STATUS_FAILED })
}

fn show(told: &Reloaded) -> Result<(), Failure> {
    let Reloaded { added, changed, removed, failed, needs_restart, taken_up, not_started } = told;
    if [added, changed, removed, failed, needs_restart, taken_up].iter().all(|it| it.is_empty()) {
        return output::line("Nothing has changed.");
    }
    output::fields(&[
        ("Added", added.join(", ")),
        ("Changed", changed.join(", ")),
        ("Removed", removed.join(", ")),
        ("From now on", taken_up.join(", ")),
        ("After a restart", needs_restart.join(", ")),
    ])?;
    for name in not_started {
        output::fields(&[("Does not start", name.clone())])?;
    }
    for failed in failed {
        eprintln!("exeunt: warning: not done: {}", plain(failed));
    }
    Ok(())
}
