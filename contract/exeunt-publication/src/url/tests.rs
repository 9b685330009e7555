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
fn each_number_stands_for_what_the_original_says() {
    let names = Names {
        machine_dns_name: "one.two".to_owned(),
        machine_short_name: "second".to_owned(),
        sanitized_ca_name: "third".to_owned(),
        cert_suffix: "(4)".to_owned(),
        domain_dn: "DC=five".to_owned(),
        configuration_dn: "CN=six".to_owned(),
        sanitized_short_name: "seventh".to_owned(),
        crl_suffix: "(8)".to_owned(),
        ..Names::default()
    };
    let delta = Names { delta: true, ..names.clone() };
    // %9 and %10 differ between base lists and deltas.
    let plain: [(u8, &Names, &str); 10] = [
        (1, &names, "one.two"),
        (2, &names, "second"),
        (3, &names, "third"),
        (4, &names, "(4)"),
        (5, &names, "DC=five"),
        (6, &names, "CN=six"),
        (7, &names, "seventh"),
        (8, &names, "(8)"),
        (9, &names, ""),
        (9, &delta, "+"),
    ];
    for (number, names, wanted) in plain {
        let target = Template::parse(&format!("/srv/x%{number}y")).unwrap().expand(names);
        assert_eq!(target, Ok(Target::File(format!("/srv/x{wanted}y"))), "%{number}");
    }
    let searches: [(u8, &Names, &str, Scope, &str); 6] = [
        (10, &names, "certificateRevocationList", Scope::Base, "objectclass=cRLDistributionPoint"),
        (10, &delta, "deltaRevocationList", Scope::Base, "objectclass=cRLDistributionPoint"),
        (11, &names, "cACertificate", Scope::Base, "objectclass=certificationAuthority"),
        (12, &names, "userCertificate", Scope::Base, "objectClass=*"),
        (13, &names, "userCertificate", Scope::One, "objectClass=msPKI-PrivateKeyRecoveryAgent"),
        (14, &names, "crossCertificatePair", Scope::One, "objectClass=certificationAuthority"),
    ];
    for (number, names, attribute, scope, filter) in searches {
        let target = Template::parse(&format!("ldap:///CN=x,%6%{number}")).unwrap().expand(names);
        let wanted = LdapTarget {
            tls: false,
            host: None,
            dn: "CN=x,CN=six".to_owned(),
            attributes: vec![attribute.to_owned()],
            scope,
            filter: Some(filter.to_owned()),
        };
        assert_eq!(target, Ok(Target::Ldap(wanted)), "%{number}");
    }
    assert!(
        Template::parse("/srv/%15")
            .is_ok_and(|it| it.expand(&names) == Ok(Target::File("/srv/one.two5".to_owned())))
    );
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

#[test]
fn the_name_of_a_server_that_has_gone_is_filled_in_and_nothing_else() {
    let filled = |template: &str| Template::parse(template).unwrap().with_server(&names());
    for (template, text) in [
        (r"C:\CertEnroll\%1_%3%4.crt", r"C:\CertEnroll\ca1.corp.example_%3%4.crt"),
        ("<ServerDNSName>_<CaName>%%1.crt", "ca1.corp.example_<CaName>%%1.crt"),
        ("ldap:///CN=%7%8,CN=%2,CN=CDP,%6%10", "ldap:///CN=%7%8,CN=ca1,CN=CDP,%6%10"),
    ] {
        assert_eq!(filled(template).unwrap(), text);
    }
    let other = Names { machine_dns_name: "ca1/%3".to_owned(), ..Names::default() };
    assert!(Template::parse("%1.crl").unwrap().with_server(&other).is_err());
    let unknown = Template::parse("%1.crl").unwrap().with_server(&Names::default());
    assert!(matches!(unknown, Err(UrlError::Missing { .. })));
}
