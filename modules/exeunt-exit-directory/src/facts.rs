//! What a server says of itself: its kind, where its objects are, how it takes certificates.

use exeunt_publication::outcome;
use ldap3::{Ldap, Scope};

use crate::session::Entry;

/// The capability by which a server says that it is Active Directory
/// (`LDAP_CAP_ACTIVE_DIRECTORY_OID`, MS-ADTS 3.1.1.3.4.3.1).
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

/// Syntaxes that are transferred with `;binary` only: certificate, certificate list and certificate
/// pair (RFC 4523, section 2).
const BINARY_SYNTAXES: [&str; 3] = [
    "1.3.6.1.4.1.1466.115.121.1.8",
    "1.3.6.1.4.1.1466.115.121.1.9",
    "1.3.6.1.4.1.1466.115.121.1.10",
];

/// What is known of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is Active Directory.
    pub is_active_directory: bool,
    /// `;binary` behind the names of attributes that hold certificates, or nothing.
    pub binary: &'static str,
    /// Where its objects are: the default naming context of Active Directory, or the only one.
    pub default_base: Option<String>,
    /// Where Active Directory has its configuration.
    pub configuration: Option<String>,
    /// The domain at the root of Active Directory's forest.
    pub root_domain: Option<String>,
    /// All naming contexts.
    pub naming_contexts: Vec<String>,
    /// Where its schema is.
    pub schema: Option<String>,
    /// Controls that it knows, by OID.
    pub controls: Vec<String>,
}

/// Reads the root DSE (RFC 4512, section 5.1), and the schema where it is asked for.
///
/// # Errors
///
/// One line: what the server does not say.
pub async fn ask(ldap: &mut Ldap, binary: Option<bool>) -> Result<Facts, String> {
    let asked = [
        "namingContexts",
        "defaultNamingContext",
        "configurationNamingContext",
        "rootDomainNamingContext",
        "subschemaSubentry",
        "supportedCapabilities",
        "supportedControl",
    ];
    let all = "(objectClass=*)";
    let root = read_one(ldap, "", all, &asked).await?;
    let texts = |name: &str| root.as_ref().map(|it| it.texts(name)).unwrap_or_default();
    let first = |name: &str| texts(name).into_iter().next();
    let is_active_directory =
        texts("supportedCapabilities").iter().any(|it| it == ACTIVE_DIRECTORY);
    let naming_contexts = texts("namingContexts");
    let only = match &naming_contexts[..] {
        [one] => Some(one.clone()),
        _ => None,
    };
    let binary = match (binary, first("subschemaSubentry")) {
        (Some(binary), _) => binary,
        (None, _) if is_active_directory => false,
        // RFC 4523, section 2.1: values of these syntaxes are transferred with it.
        (None, None) => true,
        (None, Some(schema)) => {
            match read_one(ldap, &schema, "(objectClass=subschema)", &["attributeTypes"]).await? {
                Some(schema) => wants_binary(&schema.texts("attributeTypes")),
                None => true,
            }
        }
    };
    Ok(Facts {
        is_active_directory,
        binary: if binary { ";binary" } else { "" },
        default_base: first("defaultNamingContext").or(only),
        configuration: first("configurationNamingContext"),
        root_domain: first("rootDomainNamingContext"),
        naming_contexts,
        schema: first("subschemaSubentry"),
        controls: texts("supportedControl"),
    })
}

/// An object, or `None` where the server does not show it.
async fn read_one(
    ldap: &mut Ldap,
    name: &str,
    filter: &str,
    attributes: &[&str],
) -> Result<Option<Entry>, String> {
    let found = ldap.search(name, Scope::Base, filter, attributes).await;
    let found = found.map_err(|err| format!("asking for its kind: {}", outcome::chain(&err)))?;
    // A server that hides it answers with an error, which says nothing about what it can do.
    let entry = found.0.into_iter().find(|it| !it.is_ref() && !it.is_intermediate());
    Ok(entry.map(Entry::new))
}

/// Whether the schema has `userCertificate` in a syntax of its own and not as plain octets.
fn wants_binary(types: &[String]) -> bool {
    let of_users = |it: &&String| {
        it.split(|it: char| it.is_whitespace() || "()'".contains(it))
            .any(|it| it.eq_ignore_ascii_case("userCertificate"))
    };
    let Some(definition) = types.iter().find(of_users) else { return true };
    let mut words = definition.split_whitespace().skip_while(|it| *it != "SYNTAX").skip(1);
    // A length in braces may follow the syntax.
    let syntax = words.next().unwrap_or_default().split('{').next().unwrap_or_default();
    BINARY_SYNTAXES.contains(&syntax.trim_matches('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_whether_values_are_transferred_as_binary() {
        let of_openldap = "( 2.5.4.36 NAME 'userCertificate' DESC 'RFC2256: X.509 user certificate, \
                           use ;binary' EQUALITY certificateExactMatch SYNTAX \
                           1.3.6.1.4.1.1466.115.121.1.8 )";
        let of_octets = "( 2.5.4.36 NAME ( 'userCertificate' 'uc' ) SYNTAX \
                         '1.3.6.1.4.1.1466.115.121.1.40{32768}' )";
        let other = "( 2.16.840.1.113730.3.1.40 NAME 'userSMIMECertificate' SYNTAX \
                     1.3.6.1.4.1.1466.115.121.1.5 )";
        let types = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        assert!(wants_binary(&types(&[other, of_openldap])));
        assert!(!wants_binary(&types(&[other, of_octets])));
        assert!(wants_binary(&types(&[other])));
    }
}
