//! Where the original publishes: its URLs with their flags.

use exeunt_publication::url::{
    ADD_TO_CERT_CDP, ADD_TO_CERT_OCSP, ADD_TO_CRL_CDP, ADD_TO_FRESHEST_CRL, ADD_TO_IDP, Location,
    Names, SERVER_PUBLISH, SERVER_PUBLISH_DELTA, UrlError, flag_names,
};

use super::convert::Settings;

/// Longest name that the original does not shorten, in characters.
const SHORT_NAME_CHARS_MAX: usize = 51;

/// A folder of the original's that files are written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderPlace {
    /// As the original names it.
    pub path: String,
    /// Names of base lists.
    pub list_name: Option<String>,
    /// Whether delta lists are written there too.
    pub deltas: bool,
    /// Names of CA certificates.
    pub ca_certificate_name: Option<String>,
}

/// Everything that the URLs say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// For certificates.
    pub crl_distribution_points: Vec<String>,
    /// For certificates.
    pub ca_issuers: Vec<String>,
    /// For certificates.
    pub ocsp: Vec<String>,
    /// For base lists.
    pub freshest: Vec<String>,
    /// For lists.
    pub issuing_distribution_point: Vec<String>,
    /// Where files go.
    pub folders: Vec<FolderPlace>,
    /// Entries about a directory that are written to, as they are: lists.
    pub directory_lists: Vec<String>,
    /// The same: CA certificates.
    pub directory_certificates: Vec<String>,
    /// Configuration container, where the directory is used.
    pub configuration_dn: String,
    /// Domain, where the directory is used.
    pub domain_dn: String,
    /// Short name of the machine that the CA was on, which stays in its addresses; may be empty.
    pub machine_short_name: String,
    /// Whether the CA publishes in a directory at all.
    pub uses_directory: bool,
}

const LISTS: &str = "CRLPublicationURLs";
const CERTIFICATES: &str = "CACertPublicationURLs";

/// Reads both lists of URLs. `sanitized` is the name of the CA's key, which is its sanitised name.
pub fn places(settings: &mut Settings<'_>, sanitized: &str) -> Places {
    let mut places =
        Places { uses_directory: settings.number("", "UseDS") == Some(1), ..Places::default() };
    if places.uses_directory {
        settings
            .text("", "DSConfigDN")
            .unwrap_or_default()
            .clone_into(&mut places.configuration_dn);
        settings.text("", "DSDomainDN").unwrap_or_default().clone_into(&mut places.domain_dn);
    }
    let server = settings.text("", "CAServerName").unwrap_or_default().to_owned();
    server.split('.').next().unwrap_or_default().clone_into(&mut places.machine_short_name);
    let names = Names {
        machine_dns_name: server,
        sanitized_ca_name: sanitized.to_owned(),
        sanitized_short_name: if sanitized.chars().count() <= SHORT_NAME_CHARS_MAX {
            sanitized.to_owned()
        } else {
            String::new()
        },
        configuration_dn: places.configuration_dn.clone(),
        domain_dn: places.domain_dn.clone(),
        ..Names::default()
    };
    for (name, of_lists) in [(LISTS, true), (CERTIFICATES, false)] {
        for entry in settings.texts("", name) {
            match Location::parse(entry) {
                Ok(location) if location.flags == 0 => settings.note_of(
                    "",
                    name,
                    entry,
                    "its flags are 0, so that the original does nothing with it",
                ),
                Ok(location) => {
                    take(settings, &mut places, name, entry, &location, &names, of_lists);
                }
                Err(err) => settings.note_of("", name, entry, crate::failure::chain(&err)),
            }
        }
    }
    places
}

fn take(
    settings: &mut Settings<'_>,
    places: &mut Places,
    name: &str,
    entry: &str,
    location: &Location,
    names: &Names,
    of_lists: bool,
) {
    let has = |flag| location.has(flag);
    let template = &location.template;
    // 1. What is put into certificates and lists.
    let put = |settings: &mut Settings<'_>, target: &mut Vec<String>, delta: bool| {
        if !template.is_http() && !template.is_ldap() || template.text().starts_with("https:") {
            let why = "only http:// and ldap:// addresses are put into certificates and lists";
            return settings.note_of("", name, entry, why);
        }
        let names = Names { delta, ..names.clone() };
        match template.address_with_tokens(&names) {
            Ok(address) if target.contains(&address) => (),
            Ok(address) => target.push(address),
            Err(err) => settings.note_of("", name, entry, crate::failure::chain(&err)),
        }
    };
    if of_lists {
        if has(ADD_TO_CERT_CDP) {
            put(settings, &mut places.crl_distribution_points, false);
        }
        if has(ADD_TO_FRESHEST_CRL) {
            put(settings, &mut places.freshest, true);
        }
        if has(ADD_TO_IDP) {
            put(settings, &mut places.issuing_distribution_point, false);
        }
        if has(ADD_TO_CRL_CDP) {
            let why = "CSURL_ADDTOCRLCDP: where a list was published is not written into it";
            settings.note_of("", name, entry, why);
        }
    } else {
        if has(ADD_TO_CERT_CDP) {
            put(settings, &mut places.ca_issuers, false);
        }
        if has(ADD_TO_CERT_OCSP) {
            put(settings, &mut places.ocsp, false);
        }
    }
    let known = if of_lists { 0xdf } else { SERVER_PUBLISH | ADD_TO_CERT_CDP | ADD_TO_CERT_OCSP };
    if location.flags & !known != 0 {
        let names = flag_names(location.flags & !known).join(", ");
        settings.note_of("", name, entry, format!("{names}: it means nothing here"));
    }
    // 2. What is written: under the name of the server that is in the addresses, wherever this runs.
    let is_written = has(SERVER_PUBLISH) || (of_lists && has(SERVER_PUBLISH_DELTA));
    if !is_written {
        return;
    }
    let text = match template.with_server(names) {
        Ok(text) => text,
        Err(UrlError::Missing { .. }) => {
            let why =
                "CAServerName is missing; %1 and %2 are the name of the machine that this runs on";
            settings.note_of("", name, entry, why);
            template.text().to_owned()
        }
        Err(err) => return settings.note_of("", name, entry, crate::failure::chain(&err)),
    };
    if template.is_file() {
        write_file(settings, places, name, entry, &text, location, of_lists);
    } else if template.is_ldap() && !places.uses_directory {
        settings.note_of("", name, entry, "UseDS is off, so that nothing is written there");
    } else if template.is_ldap() && !template.text().to_ascii_lowercase().starts_with("ldap:///") {
        let why = "it names a server; the module directory has servers of its own";
        settings.note_of("", name, entry, why);
    } else if template.is_ldap() && of_lists {
        places.directory_lists.push(format!("{}:{text}", location.flags));
    } else if template.is_ldap() {
        places.directory_certificates.push(format!("{}:{text}", location.flags));
    } else {
        settings.note_of("", name, entry, "nothing can be written there, in the original either");
    }
}

/// A file's folder is ours from now on; its name stays.
fn write_file(
    settings: &mut Settings<'_>,
    places: &mut Places,
    name: &str,
    entry: &str,
    text: &str,
    location: &Location,
    of_lists: bool,
) {
    let cut = text.rfind(['\\', '/']).map_or(0, |at| at + 1);
    let (path, file) = text.split_at(cut);
    if file.is_empty() {
        return settings.note_of("", name, entry, "it ends in no file name");
    }
    let at = places.folders.iter().position(|it| it.path.eq_ignore_ascii_case(path));
    let at = at.unwrap_or_else(|| {
        places.folders.push(FolderPlace { path: path.to_owned(), ..FolderPlace::default() });
        places.folders.len() - 1
    });
    let folder = &mut places.folders[at];
    let slot = if of_lists { &mut folder.list_name } else { &mut folder.ca_certificate_name };
    if slot.as_deref().is_some_and(|it| it != file) {
        return settings.note_of("", name, entry, "one folder has one kind of names");
    }
    *slot = Some(file.to_owned());
    if of_lists {
        folder.deltas |= location.has(SERVER_PUBLISH_DELTA);
        if !location.has(SERVER_PUBLISH) {
            let why = "deltas alone are of no use; complete lists are written there too";
            settings.note_of("", name, entry, why);
        }
    }
}
