//! Templates of the original and of those who try it, and what they become.

use super::*;
use expect_test::{Expect, expect};

fn names() -> Names {
    Names {
        machine_dns_name: "ca1.corp.example".to_owned(),
        sanitized_ca_name: "Roof, CA!0023".to_owned(),
        sanitized_short_name: "Roof, CA!0023".to_owned(),
        cert_suffix: "(2)".to_owned(),
        crl_suffix: "(1)".to_owned(),
        configuration_dn: "CN=Configuration,DC=corp,DC=example".to_owned(),
        ..Names::default()
    }
}

#[track_caller]
fn check(template: &str, names: &Names, expect: &Expect) {
    let target = Template::parse(template).and_then(|it| it.expand(names));
    let text = match target {
        Ok(Target::File(path)) => format!("file {path}"),
        Ok(Target::Http(url)) => format!("http {url}"),
        Ok(Target::Other(url)) => format!("other {url}"),
        Ok(Target::Ldap(LdapTarget { tls, host, dn, attributes, scope, filter })) => format!(
            "ldap tls={tls} {host:?} {dn} {attributes:?} {scope:?} {}",
            filter.unwrap_or_default()
        ),
        Err(err) => format!("error: {err}"),
    };
    expect.assert_eq(&text);
}

#[test]
fn the_originals_defaults_become_their_targets() {
    let delta = Names { delta: true, part: 42, ..names() };
    let path = r"C:\Windows\system32\CertSrv\CertEnroll\%3%8%9.crl";
    check(
        path,
        &names(),
        &expect![[r"file C:\Windows\system32\CertSrv\CertEnroll\Roof, CA!0023(1).crl"]],
    );
    check(
        path,
        &delta,
        &expect![[r"file C:\Windows\system32\CertSrv\CertEnroll\Roof, CA!0023(1)+.crl"]],
    );
    let cdp = "ldap:///CN=%7%8,CN=%2,CN=CDP,CN=Public Key Services,CN=Services,%6%10";
    check(
        cdp,
        &names(),
        &expect![[
            r#"ldap tls=false None CN=Roof\, CA!0023(1),CN=ca1,CN=CDP,CN=Public Key Services,CN=Services,CN=Configuration,DC=corp,DC=example ["certificateRevocationList"] Base objectclass=cRLDistributionPoint"#
        ]],
    );
    check(
        cdp,
        &delta,
        &expect![[
            r#"ldap tls=false None CN=Roof\, CA!0023(1),CN=ca1,CN=CDP,CN=Public Key Services,CN=Services,CN=Configuration,DC=corp,DC=example ["deltaRevocationList"] Base objectclass=cRLDistributionPoint"#
        ]],
    );
    let aia = "ldap:///CN=%7,CN=AIA,CN=Public Key Services,CN=Services,%6%11";
    check(
        aia,
        &names(),
        &expect![[
            r#"ldap tls=false None CN=Roof\, CA!0023,CN=AIA,CN=Public Key Services,CN=Services,CN=Configuration,DC=corp,DC=example ["cACertificate"] Base objectclass=certificationAuthority"#
        ]],
    );
    check(
        "http://%1/CertEnroll/%1_%3%4.crt",
        &names(),
        &expect![
            "http http://ca1.corp.example/CertEnroll/ca1.corp.example_Roof%2C%20CA!0023(2).crt"
        ],
    );
    check(
        "file://%1/CertEnroll/%3%8%9.crl",
        &names(),
        &expect!["file ca1.corp.example/CertEnroll/Roof, CA!0023(1).crl"],
    );
    check(
        r"file://\\%1\CertEnroll\%3%8%9.crl",
        &names(),
        &expect![[r"file \\ca1.corp.example\CertEnroll\Roof, CA!0023(1).crl"]],
    );
}

#[test]
fn certutils_names_are_tokens_too() {
    let delta = Names { delta: true, part: 42, ..names() };
    check(
        "http://<ServerDNSName>/<CaName><CRLNameSuffix><CRLPartitionIndex><DeltaCRLAllowed>.crl",
        &delta,
        &expect!["http http://ca1.corp.example/Roof%2C%20CA!0023(1)_Partition00042+.crl"],
    );
    check(
        "ldap:///CN=<CATruncatedName><CRLNameSuffix>,CN=<ServerShortName>,<ConfigurationContainer><CDPObjectClass>",
        &names(),
        &expect![[
            r#"ldap tls=false None CN=Roof\, CA!0023(1),CN=ca1,CN=Configuration,DC=corp,DC=example ["certificateRevocationList"] Base objectclass=cRLDistributionPoint"#
        ]],
    );
    // Only the first mark of a part is replaced, as in the original.
    check(
        "/a<CRLPartitionIndex>/b<crlpartitionindex>",
        &delta,
        &expect!["file /a_Partition00042/b<crlpartitionindex>"],
    );
    check("/a<CRLPartitionIndex>", &names(), &expect!["file /a"]);
}

#[test]
fn what_is_filled_in_stays_a_value() {
    let hostile = Names {
        machine_dns_name: "h".to_owned(),
        sanitized_short_name: "a,b+c=d?e%2c#f\\g ".to_owned(),
        ..Names::default()
    };
    check(
        "ldaps://%1:636/CN=%7,DC=x?cn",
        &hostile,
        &expect![[r#"ldap tls=true Some("h:636") CN=a\,b\+c\=d?e%2c\#f\\g\ ,DC=x ["cn"] Base "#]],
    );
    check(
        "ldap:///DC=x??sub?(cn=%7*)",
        &Names { sanitized_short_name: "*)(a".to_owned(), ..hostile.clone() },
        &expect![[r"ldap tls=false None DC=x [] Sub (cn=\2a\29\28a*)"]],
    );
    check("http://h/%7", &hostile, &expect!["http http://h/a%2Cb+c%3Dd%3Fe%252c%23f%5Cg%20"]);
    let path = Names { sanitized_ca_name: "../x".to_owned(), ..Names::default() };
    check(
        "/srv/%3.crl",
        &path,
        &expect![[
            r#"error: the publication URL becomes "../x", which is no target: a name would lead out of its folder"#
        ]],
    );
}

#[test]
fn an_encoded_octet_is_no_token_in_an_address() {
    check("http://h/a%20b%2fc%8.crl", &names(), &expect!["http http://h/a%20b%2fc(1).crl"]);
    check(
        "ldap:///CN=%7,CN=Public%20Key%20Services,DC=x",
        &names(),
        &expect![[r"ldap tls=false None CN=Roof\, CA!0023,CN=Public Key Services,DC=x [] Base "]],
    );
    check("/srv/%%3%4", &names(), &expect!["file /srv/%3(2)"]);
    check("/srv/%20", &names(), &expect!["file /srv/ca10"]);
}

#[test]
fn what_is_no_template_or_target_is_refused() {
    check(
        "",
        &names(),
        &expect![[
            r#"error: the publication URL "" is no template: it has to have 1 to 2048 bytes"#
        ]],
    );
    check(
        "/srv/%0",
        &names(),
        &expect![[
            r#"error: the publication URL "/srv/%0" is no template: a percent sign starts a token from %1 to %14, or is doubled"#
        ]],
    );
    check(
        "/srv/%",
        &names(),
        &expect![[
            r#"error: the publication URL "/srv/%" is no template: a percent sign starts a token from %1 to %14, or is doubled"#
        ]],
    );
    check(
        "/srv/\n",
        &names(),
        &expect![[
            r#"error: the publication URL "/srv/\n" is no template: it holds a control character"#
        ]],
    );
    check(
        "/srv/",
        &names(),
        &expect![[
            r#"error: the publication URL becomes "/srv/", which is no target: it ends in no file name"#
        ]],
    );
    check(
        "ldap:///CN=x,%5",
        &names(),
        &expect![
            "error: the publication URL needs %5, the domain's name in the directory, which is not known"
        ],
    );
    check(
        "ldap:///",
        &names(),
        &expect![[
            r#"error: the publication URL becomes "ldap:///", which is no target: it names no object"#
        ]],
    );
    check(
        "ldap:///DC=x??tree",
        &names(),
        &expect![[
            r#"error: the publication URL becomes "tree", which is no target: there is no such scope"#
        ]],
    );
    check("ftp://h/%3%9.crl", &names(), &expect!["other ftp://h/Roof%2C%20CA!0023.crl"]);
}

#[test]
fn flags_stand_before_the_template() {
    let it = Location::parse("79:ldap:///CN=%7,%6%10").unwrap();
    assert!(it.has(SERVER_PUBLISH | SERVER_PUBLISH_DELTA) && !it.has(ADD_TO_IDP));
    assert_eq!((it.flags, it.template.text()), (79, "ldap:///CN=%7,%6%10"));
    let all = ["CSURL_SERVERPUBLISH", "CSURL_SERVERPUBLISHDELTA", "0x100"];
    assert_eq!(flag_names(0x141), all);
    for bad in ["", "http://h/x", ":x", "0x41:x", "-1:x", "99999999999:x"] {
        assert!(matches!(Location::parse(bad), Err(UrlError::NoFlags(_))), "{bad}");
    }
}

#[test]
fn an_address_for_a_configuration_keeps_the_tokens_that_differ() {
    let address = |template: &str| {
        Template::parse(template).and_then(|it| it.address_with_tokens(&names())).unwrap()
    };
    assert_eq!(
        address("http://%1/CertEnroll/%3%8%9.crl"),
        "http://ca1.corp.example/CertEnroll/Roof%2C%20CA!0023%8%9.crl"
    );
    assert_eq!(
        address("ldap:///CN=%7%8,CN=%2,CN=CDP,CN=Public Key Services,CN=Services,%6%10"),
        "ldap:///CN=Roof%5C%2C%20CA!0023%8,CN=ca1,CN=CDP,CN=Public%20Key%20Services,CN=Services,\
         CN=Configuration,DC=corp,DC=example?certificateRevocationList?base?objectclass=cRLDistributionPoint"
    );
    let octet = Template::parse("http://h/<CRLNameSuffix>ab.crl").unwrap();
    assert!(octet.address_with_tokens(&names()).is_err());
}
