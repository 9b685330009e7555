//! What the operator says about the CA's own objects: which kinds there are, where they are, and what
//! may be made.

use exeunt_module_kit::{
    EventMask, exit_event,
    manage::{SettingInfo, SettingType},
};
use exeunt_publication::{
    settings::Reader,
    url::{Location, SERVER_PUBLISH, SERVER_PUBLISH_DELTA},
};

/// Most publication URLs of one kind.
pub const URLS_MAX: usize = 32;

/// Most templates that an enrollment service is said to have.
pub const TEMPLATES_MAX: usize = 1000;

/// What may be made where it is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Make {
    /// Nothing: somebody else makes the objects.
    Nothing,
    /// The CA's own objects.
    #[default]
    Objects,
    /// Those, and the containers above them.
    Parents,
}

/// The CA's own objects. The default has none of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the operator's")]
pub struct ObjectSettings {
    /// `CN=AIA`: where verifiers find the CA's certificates.
    pub aia: bool,
    /// `CN=Certification Authorities`: the roots that members of the domain trust.
    pub certification_authorities: bool,
    /// `CN=Enrollment Services`: where clients find the CA.
    pub enrollment_services: bool,
    /// `CN=NTAuthCertificates`: the CAs whose certificates log on.
    pub ntauth: bool,
    /// Base lists.
    pub lists: bool,
    /// Delta lists.
    pub delta_lists: bool,
    /// Cross certificates, on the object in `CN=AIA`.
    pub cross_certificates: bool,
    /// What may be made.
    pub make: Make,
    /// The container of all these, where it is not Active Directory's.
    pub container: Option<String>,
    /// `%2`, the short name of the server; none means the first label of its name.
    pub machine_short_name: Option<String>,
    /// `%5`; none means the domain at the root of the forest.
    pub domain: Option<String>,
    /// `%6`; none means what the directory says.
    pub configuration: Option<String>,
    /// Where lists go; none means the original's place.
    pub list_urls: Vec<Location>,
    /// Where the CA's certificates go; none means the original's place.
    pub certificate_urls: Vec<Location>,
    /// Templates that the enrollment service is said to have when it is made.
    pub templates: Vec<String>,
}

impl ObjectSettings {
    /// Reads the table `objects`.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let Some(mut table) = reader.table("objects")? else { return Ok(Self::default()) };
        let words =
            [("nothing", Make::Nothing), ("objects", Make::Objects), ("parents", Make::Parents)];
        let text =
            |table: &mut Reader<'_>, name: &str| table.text(name).map(|it| it.map(str::to_owned));
        let settings = Self {
            aia: table.boolean("aia")?.unwrap_or(true),
            certification_authorities: table.boolean("certification_authorities")?.unwrap_or(false),
            enrollment_services: table.boolean("enrollment_services")?.unwrap_or(false),
            ntauth: table.boolean("ntauth")?.unwrap_or(false),
            lists: table.boolean("crl")?.unwrap_or(true),
            delta_lists: table.boolean("delta_crl")?.unwrap_or(true),
            cross_certificates: table.boolean("cross_certificates")?.unwrap_or(false),
            make: table.choice("make", &words)?.unwrap_or_default(),
            container: text(&mut table, "container")?,
            machine_short_name: text(&mut table, "machine_short_name")?,
            domain: text(&mut table, "domain")?,
            configuration: text(&mut table, "configuration")?,
            list_urls: locations(&mut table, "crl_urls")?,
            certificate_urls: locations(&mut table, "ca_certificate_urls")?,
            templates: table
                .texts("certificate_templates")?
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        for (name, dn) in [
            ("container", &settings.container),
            ("configuration", &settings.configuration),
            ("domain", &settings.domain),
        ] {
            if let Some(dn) = dn
                && crate::name::parts(dn).is_none()
            {
                return Err(format!("{} is no distinguished name", table.named(name)));
            }
        }
        if TEMPLATES_MAX < settings.templates.len() {
            return Err(format!(
                "{} has more than {TEMPLATES_MAX} entries",
                table.named("certificate_templates")
            ));
        }
        table.finish()?;
        Ok(settings)
    }

    /// What can be set.
    pub fn known() -> Vec<SettingInfo> {
        vec![SettingInfo {
            name: "objects".to_owned(),
            kind: SettingType::Object,
            description: "the CA's own objects: certificates and revocation lists".to_owned(),
            default: None,
            required: false,
        }]
    }

    /// The events that are wanted.
    pub fn events(&self) -> EventMask {
        let mut mask = 0;
        if self.lists || self.delta_lists {
            mask |= exit_event::CRL_ISSUED;
        }
        if self.has_certificates() {
            mask |= exit_event::CA_CERT_ISSUED;
        }
        if self.cross_certificates {
            mask |= exit_event::CERT_ISSUED | exit_event::CERT_REVOKED;
        }
        EventMask(mask)
    }

    /// Whether certificates of the CA go anywhere.
    pub fn has_certificates(&self) -> bool {
        self.aia || self.certification_authorities || self.enrollment_services || self.ntauth
    }
}

/// Publication URLs. Those that are not about a directory, and those that nothing is written to, may
/// stand there: a Windows CA has both kinds in one list.
fn locations(table: &mut Reader<'_>, name: &str) -> Result<Vec<Location>, String> {
    let texts = table.texts(name)?.unwrap_or_default();
    if URLS_MAX < texts.len() {
        return Err(format!("{} has more than {URLS_MAX} entries", table.named(name)));
    }
    let mut locations = Vec::with_capacity(texts.len());
    for text in texts {
        let location =
            Location::parse(text).map_err(|err| format!("{}: {err}", table.named(name)))?;
        let written = location.has(SERVER_PUBLISH) || location.has(SERVER_PUBLISH_DELTA);
        if written && location.template.is_ldap() && !text.contains("ldap:///") {
            return Err(format!(
                "{}: {text:?} names a server, and \"servers\" does that: write ldap:///",
                table.named(name)
            ));
        }
        locations.push(location);
    }
    Ok(locations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(objects: &serde_json::Value) -> Result<ObjectSettings, String> {
        let written = json!({ "objects": objects });
        ObjectSettings::read(&mut Reader::new(written.as_object().unwrap()))
    }

    #[test]
    fn each_kind_of_object_has_a_switch() {
        let none = ObjectSettings::read(&mut Reader::new(&serde_json::Map::new())).unwrap();
        assert_eq!(none.events(), EventMask(0));
        let usual = read(&json!({})).unwrap();
        let wanted = exit_event::CRL_ISSUED | exit_event::CA_CERT_ISSUED;
        assert_eq!(usual.events(), EventMask(wanted));
        let lists = read(&json!({"aia": false, "delta_crl": false})).unwrap();
        assert_eq!(lists.events(), EventMask(exit_event::CRL_ISSUED));
        let off = read(&json!({"aia": false, "crl": false, "delta_crl": false})).unwrap();
        assert_eq!(off.events(), EventMask(0));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (settings, said) in [
            (json!({"ntauht": true}), "ntauht"),
            (json!({"make": "all"}), "objects.make has to be"),
            (json!({"container": "pki"}), "objects.container is no distinguished name"),
            (json!({"crl_urls": ["ldap:///CN=%7"]}), "objects.crl_urls: the publication URL"),
            (json!({"crl_urls": ["65:ldap://dc1/CN=%7"]}), "names a server"),
        ] {
            let err = read(&settings).unwrap_err();
            assert!(err.contains(said), "{err}");
        }
        // As exported from the original: the file and the web address are for others.
        read(&json!({"crl_urls": [
            "65:C:\\Windows\\system32\\CertSrv\\CertEnroll\\%3%8%9.crl",
            "79:ldap:///CN=%7%8,CN=%2,CN=CDP,CN=Public Key Services,CN=Services,%6%10",
            "6:http://%1/CertEnroll/%3%8%9.crl",
        ]}))
        .unwrap();
    }
}
