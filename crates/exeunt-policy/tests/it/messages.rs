//! Renewals, and requests on behalf of another.

use exeunt_engine::{Asked, Caller, Decision, Door, Policy as _};
use exeunt_policy::{OnBehalf, Renewal, Template, TemplatePolicy};
use exeunt_testkit::requests::openssl_key;
use exeunt_testkit::tools;
use exeunt_types::{Roles, StatusCode, UnixMillis};
use exeunt_x509::{Certificate, CertificationRequest, parse_certificate};

use crate::support::{check_refused, plan, request, template};

/// A certificate that somebody could want to renew.
pub fn certificate(subject: &str, names: &str) -> Certificate {
    let key = openssl_key("ec:P-256");
    let mut args: Vec<_> = ["req", "-x509", "-new", "-key"].map(str::to_owned).into();
    args.extend([key.to_str().unwrap(), "-subj", subject].map(str::to_owned));
    args.extend(["-addext".to_owned(), format!("subjectAltName={names}")]);
    parse_certificate(&tools::run_ok(tools::openssl(), args, b"")).unwrap()
}

fn ask(
    template: &Template,
    request: &CertificationRequest,
    (on_behalf_of, renewed): (Option<&str>, Option<&Certificate>),
) -> Decision {
    let policy = TemplatePolicy::new(vec![template.clone()], None).unwrap();
    policy.decide(&Asked {
        request,
        attributes: &[],
        template: None,
        caller: &Caller::new("somebody", Door::Local, Roles::ENROLLEE),
        on_behalf_of,
        renewed,
        signatures: &[],
        approvals: &[],
        officers: &[],
        new_request: true,
        now: UnixMillis(0),
    })
}

#[test]
fn a_template_says_whether_agents_may_ask_for_others() {
    let asked = request("ec:P-256", "/CN=bob.example", &["bob.example"]);
    let code = "on-behalf-not-allowed";
    let refused = ask(&template("tls"), &asked, (Some("bob"), None));
    check_refused(refused, "tls", code, StatusCode::ENROLL_DENIED, "on behalf");
    let open = Template { on_behalf: OnBehalf::Allow, ..template("tls") };
    plan(ask(&open, &asked, (Some("bob"), None)));
    plan(ask(&open, &asked, (None, None)));
}

#[test]
fn a_template_says_which_names_a_renewal_may_have() {
    let old = certificate("/CN=a.example", "DNS:a.example,DNS:b.example");
    let any = Template { renewal: Renewal::AnyNames, ..template("tls") };
    let never = Template { renewal: Renewal::Refuse, ..template("tls") };
    for (subject, names, same) in [
        ("/CN=a.example", &["a.example", "b.example"][..], true),
        // A name is a name whatever its case (RFC 5280, section 7.1).
        ("/CN=A.example", &["b.example"], true),
        ("/CN=a.example", &[], true),
        ("/CN=a.example", &["c.example"], false),
        ("/CN=b.example", &["b.example"], false),
        ("/CN=a.example/O=Acme", &["a.example"], false),
    ] {
        let asked = request("ec:P-256", subject, names);
        let decided = ask(&template("tls"), &asked, (None, Some(&old)));
        if same {
            plan(decided);
        } else {
            let (code, status) = ("renewal-names-differ", StatusCode::BAD_REQUEST_SUBJECT);
            check_refused(decided, "tls", code, status, "asks for others");
        }
        plan(ask(&any, &asked, (None, Some(&old))));
        let refused = ask(&never, &asked, (None, Some(&old)));
        let (code, status) = ("renewal-not-allowed", StatusCode::ENROLL_DENIED);
        check_refused(refused, "tls", code, status, "does not renew");
        plan(ask(&never, &asked, (None, None)));
    }
}

#[test]
fn a_name_that_the_template_makes_is_one_that_the_old_certificate_must_have() {
    // The common name becomes a DNS name, which the old certificate has not.
    let old = certificate("/CN=a.example", "email:a@a.example");
    let asked = request("ec:P-256", "/CN=a.example", &[]);
    let (code, status) = ("renewal-names-differ", StatusCode::BAD_REQUEST_SUBJECT);
    let refused = ask(&template("tls"), &asked, (None, Some(&old)));
    check_refused(refused, "tls", code, status, "asks for others");
}
