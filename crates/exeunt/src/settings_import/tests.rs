//! Made-up exports, and the configurations that they become.

use std::path::Path;

use expect_test::expect_file;

use super::convert::{ConvertError, convert};
use crate::config::Config;

const ENTERPRISE: &[u8] = include_bytes!("samples/enterprise.reg");
const STANDALONE: &[u8] = include_bytes!("samples/standalone.reg");

#[test]
fn an_export_becomes_a_configuration_that_is_read() {
    for (export, file) in
        [(ENTERPRISE, "samples/enterprise.toml"), (STANDALONE, "samples/standalone.toml")]
    {
        let converted = convert(export, None).unwrap();
        expect_file![file].assert_eq(&converted.toml);
        let config = Config::from_toml(&converted.toml, Path::new("/ca")).unwrap();
        assert!(!config.exits.is_empty());
        // What is said on standard error stands in the file too.
        for note in &converted.notes {
            assert!(converted.toml.contains(&format!("#     {note}\n")), "{note}");
            assert!(converted.toml.contains(&format!("#   {}:\n", note.reason)), "{note}");
        }
    }
}

/// Every value of the export is in the configuration or among what was not taken over.
#[test]
fn nothing_is_dropped_in_silence() {
    let registry = super::registry::Registry::parse(ENTERPRISE).unwrap();
    let notes: Vec<String> =
        convert(ENTERPRISE, None).unwrap().notes.into_iter().map(|it| it.place).collect();
    // Those that stand in the configuration as they are, or as another word.
    let taken = [
        "active",
        "commonname",
        "caservername",
        "useds",
        "dsconfigdn",
        "dsdomaindn",
        "crlperiod",
        "crlperiodunits",
        "crloverlapperiod",
        "crloverlapunits",
        "crldeltaperiod",
        "crldeltaperiodunits",
        "crldeltaoverlapperiod",
        "crldeltaoverlapunits",
        "validityperiod",
        "validityperiodunits",
        "clockskewminutes",
        "auditfilter",
        "requestdisposition",
        "publishcertflags",
        "ldapflags",
        "eventfilter",
        "smtpserver",
        "smtpauthenticate",
        "from",
        "to",
        "titleformat",
        "titlearg",
        "bodyformat",
        "bodyarg",
        "crlpublicationurls",
        "cacertpublicationurls",
    ];
    for key in registry.0.values() {
        for (name, (written, _)) in &key.values {
            let place = format!("\\{written}");
            let is_said = notes.iter().any(|it| it.ends_with(&place));
            assert!(is_said || taken.contains(&name.as_str()), "{}{place}", key.path);
        }
    }
    for entry in ["ftp://web1/%3.crl", "0:file://%1", "Acme.Exit"] {
        let converted = convert(ENTERPRISE, None).unwrap();
        assert!(converted.notes.iter().any(|it| it.value.contains(entry)), "{entry}");
    }
}

#[test]
fn an_export_of_something_else_is_refused() {
    let code = |export: &[u8], ca| convert(export, ca).unwrap_err().code();
    assert_eq!(code(b"hello", None), "settings-export-malformed");
    assert_eq!(code(b"REGEDIT4\n[A]\n\"x\"=\"y\"\n", None), "settings-export-no-ca");
    assert_eq!(code(ENTERPRISE, Some("nobody")), "settings-export-unknown-ca");
    let root = "[X\\Services\\CertSvc\\Configuration\\";
    let two = format!("REGEDIT4\n{root}A]\n{root}B]\n");
    assert!(matches!(convert(two.as_bytes(), None), Err(ConvertError::Several(_))));
    assert_eq!(convert(two.as_bytes(), Some("b")).unwrap().name, "B");
}

#[test]
fn whatever_an_export_says_the_configuration_can_be_read() {
    // Names and texts that mean something in TOML, in a comment, in an address or in a path.
    let hostile = [
        "a\"b",
        "a\\b",
        "a\nb",
        "#",
        "[x]",
        "'''",
        "\u{202e}x",
        "a]b",
        "é",
        "{serial}",
        "%1",
        "..",
        "/",
    ];
    let root = "X\\Services\\CertSvc\\Configuration";
    for text in hostile {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let export = format!(
            "REGEDIT4\n[{root}\\CA]\n\"CommonName\"=\"{quoted}\"\n\"CAServerName\"=\"{quoted}\"\n\
             \"{quoted}\"=\"{quoted}\"\n\"CRLPublicationURLs\"=\"7:http://%1/{quoted}/%3%8%9.crl\"\n\
             \"CACertPublicationURLs\"=\"3:C:\\\\{quoted}\\\\%3%4.crt\"\n\
             \"CRLPeriod\"=\"{quoted}\"\n\"CRLPeriodUnits\"=dword:ffffffff\n\
             [{root}\\CA\\ExitModules]\n\"Active\"=\"CertificateAuthority_MicrosoftDefault.Exit\"\n\
             [{root}\\CA\\ExitModules\\CertificateAuthority_MicrosoftDefault.Exit\\SMTP]\n\
             \"EventFilter\"=dword:ffffffff\n\"SMTPServer\"=\"{quoted}\"\n\
             [{root}\\CA\\ExitModules\\CertificateAuthority_MicrosoftDefault.Exit\\SMTP\\Issued]\n\
             \"From\"=\"{quoted}\"\n\"To\"=\"{quoted}\"\n\"TitleFormat\"=\"{quoted}\"\n"
        );
        let converted = convert(export.as_bytes(), None).unwrap();
        toml::from_str::<toml::Table>(&converted.toml)
            .unwrap_or_else(|err| panic!("{text:?}: {err}\n{}", converted.toml));
    }
}
