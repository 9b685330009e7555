//! The configuration as a text, with what is to be known about it at its head.

use std::fmt::Write as _;

use super::convert::{Note, TemplateSettings, by_reason, quoted};
use super::places::Places;

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|it| quoted(it)).collect();
    format!("[{}]", texts.join(", "))
}

/// What stands at the head of the file.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// What a person still has to give.
    pub needs: &'a [String],
    /// What was not taken over as it was.
    pub notes: &'a [Note],
}

/// The whole file.
pub fn compose(
    name: &str,
    heading: Heading<'_>,
    places: &Places,
    crl: &[String],
    template: &TemplateSettings,
    audit: Option<&str>,
    exits: &str,
) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        writeln!(out, "{text}").expect("BUG: writing to a String cannot fail");
    };
    line("# Configuration of this certificate authority, made from the settings of a Windows CA.");
    line("# Check it with: exeunt config check --home HOME");
    line("# Every key is explained in docs/manual/configuration.md.");
    if !heading.needs.is_empty() {
        line("#");
        line("# What a person still has to give:");
        for need in heading.needs {
            line(&format!("#   {need}"));
        }
    }
    if !heading.notes.is_empty() {
        line("#");
        line("# What the export holds and this file does not, or not in the same way:");
        for (reason, notes) in by_reason(heading.notes) {
            line(&format!("#   {reason}:"));
            for note in notes {
                line(&format!("#     {note}"));
            }
        }
    }
    line("");
    line("[ca]");
    line(&format!("name = {}", quoted(name)));
    line("certificate = \"ca.cert.pem\"");
    line("");
    line("[key]");
    line("file = \"secrets/ca.key.pem\"");
    line("passphrase_file = \"secrets/passphrase\"");
    line("");
    line("[server]");
    line("listen = \"127.0.0.1:8780\"");
    line("token_files = { admin = \"secrets/admin.token\" }");
    line("");
    line("[publication]");
    line(&format!("crl_distribution_points = {}", list(&places.crl_distribution_points)));
    line(&format!("ca_issuers = {}", list(&places.ca_issuers)));
    line(&format!("ocsp = {}", list(&places.ocsp)));
    line("");
    line("[crl]");
    for it in crl {
        line(it);
    }
    if !places.freshest.is_empty() {
        line(&format!("freshest = {}", list(&places.freshest)));
    }
    if !places.issuing_distribution_point.is_empty() {
        let points = list(&places.issuing_distribution_point);
        line(&format!("issuing_distribution_point = {points}"));
    }
    if let Some(filter) = audit {
        line("");
        line("[audit]");
        line(filter);
    }
    line("");
    line("[policy]");
    line("default_template = \"tls-server\"");
    line("");
    line("# Templates are not in the export; this one has the CA's validity and disposition.");
    line("[[template]]");
    line("name = \"tls-server\"");
    line(&format!("validity_days = {}", template.validity_days));
    line(&format!("backdate_s = {}", template.backdate_s));
    line("key_usage = [\"digitalSignature\", \"keyEncipherment\"]");
    line("extended_key_usage = [\"serverAuth\"]");
    line("subject_from_request = [\"CN\", \"O\", \"OU\", \"L\", \"ST\", \"C\"]");
    line("san_from_request = [\"dns\", \"ip\"]");
    line("dns_from_common_name = true");
    line(&format!("issue = \"{}\"", if template.hold { "hold" } else { "at-once" }));
    line("callers = \"local\"");
    out.push_str(exits);
    out
}
