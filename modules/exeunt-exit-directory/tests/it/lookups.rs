//! Whose object it is, by what stands in a certificate: by principal name, by mail address, by name;
//! and nobody's words become more than words.

use exeunt_module_kit::{Event, Outcome};
use serde_json::{Value as Json, json};

use crate::{
    bed::{Bed, all_accept},
    fixture::{Holdings, issued, now, reason, started, tell, with},
    minted::{DAY, Leaf},
    target::{Domain, Open, Target},
};

suite!([
    holders_are_found_by_what_their_certificate_says,
    special_characters_in_a_certificate_are_looked_for_and_mean_nothing,
    of_several_that_fit_none_is_written,
]);

/// A certificate whose mail address and principal name begin with a name, for a subject.
fn of(bed: &Bed<impl Target>, name: &str, subject: &str, serial: u32) -> (Event, Vec<u8>) {
    let leaf = Leaf { name, serial, not_before: now() - DAY, not_after: now() + DAY };
    let der = bed.ca.issue_to(&leaf, subject);
    // The requester is somebody else: a machine that asks for a person.
    (issued(u64::from(serial), "EXAMPLE\\nobody", &der, &bed.ca), der)
}

/// What becomes of it with these settings for users.
fn tell_with(bed: &Bed<impl Target>, users: &Json, event: &Event) -> Outcome {
    let settings = with(bed.settings(), &json!({ "users": users }));
    tell(&mut started(&settings), std::slice::from_ref(event)).remove(0)
}

fn holders_are_found_by_what_their_certificate_says(bed: &mut Bed<impl Target>) {
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|it| bed.names[it].clone());
    let mut expected = Holdings::new();
    let mut found = |users: &Json, name: &str, subject: &str, holder: &str, serial: u32| {
        let (event, der) = of(bed, name, subject, serial);
        all_accept(&[tell_with(bed, users, &event)]);
        expected.entry(holder.to_owned()).or_default().insert(der);
        assert_eq!(bed.target.holdings(&bed.names), expected, "{users}");
    };
    found(&json!({"filters": ["(mail={mail})"]}), &first, "x", &first, 2);
    let attribute = bed.target.principal_name();
    bed.target.set(&second, attribute, "renamed@upn.example.test");
    let by_upn = json!({"filters": [format!("({attribute}={{upn}})")]});
    found(&by_upn, "renamed", "x", &second, 3);
    found(&json!({"dn": "{subject}"}), "x", &bed.target.dn(&third), &third, 4);
    // The second filter, where the certificate has nothing for the first.
    let both = json!({"filters": ["(cn={dns})", "(&(objectClass=person)(cn={cn}))"]});
    found(&both, "x", &fourth, &fourth, 5);
}

fn special_characters_in_a_certificate_are_looked_for_and_mean_nothing(bed: &mut Bed<impl Target>) {
    let [exact, similar] = [0, 1].map(|it| bed.names[it].clone());
    bed.target.set(&exact, "description", "w*ld(c)\\x&|!");
    bed.target.set(&similar, "description", "wild(c)\\x&|!");
    let by_cn = json!({"filters": ["(description={cn})"]});
    let (event, der) = of(bed, "x", "w*ld(c)\\x&|!", 2);
    all_accept(&[tell_with(bed, &by_cn, &event)]);
    let expected = Holdings::from([(exact, [der].into())]);
    assert_eq!(bed.target.holdings(&bed.names), expected);
    // Each of these would fit somebody if it were taken for a piece of a filter.
    for (name, users) in [
        ("*", json!({"filters": ["(mail={mail})"]})),
        ("x)(objectClass=*", json!({"filters": ["(&(description={cn}))"]})),
        ("*", json!({"filters": ["(description={cn})"]})),
        ("w*", json!({"filters": ["(description={cn})"]})),
        ("\\2a", json!({"filters": ["(description={cn})"]})),
    ] {
        let (event, _) = of(bed, name, name, 3);
        let outcome = tell_with(bed, &users, &event);
        assert!(matches!(outcome, Outcome::Park { .. }), "{name}: {outcome:?}");
        assert!(reason(&outcome).starts_with("directory-holder-missing: "), "{name}: {outcome:?}");
    }
    // What is no line is no value at all.
    let (event, _) = of(bed, "x", "wild(c)\0", 4);
    let outcome = tell_with(bed, &by_cn, &event);
    assert!(matches!(outcome, Outcome::Park { .. }), "{outcome:?}");
    assert!(reason(&outcome).starts_with("directory-word: "), "{outcome:?}");
    assert_eq!(bed.target.holdings(&bed.names), expected);
}

fn of_several_that_fit_none_is_written(bed: &mut Bed<impl Target>) {
    for name in &bed.names[..2] {
        bed.target.set(name, "mail", "shared@example.test");
    }
    let (event, _) = of(bed, "shared", "x", 2);
    let by_mail = json!({"filters": ["(mail={mail})"]});
    let outcome = tell_with(bed, &by_mail, &event);
    assert!(matches!(outcome, Outcome::Park { .. }), "{outcome:?}");
    assert!(reason(&outcome).starts_with("directory-holder-ambiguous: "), "{outcome:?}");
    assert_eq!(bed.held(), 0);
}
