//! Trying the directory: whether it can be reached, has the schema, and lets the account do what it
//! will have to do. Nothing is written.

use std::collections::HashSet;

use exeunt_module_kit::{
    Event, exit_event,
    maintain::{Check, Difference, TestReport},
};
use ldap3::Scope;

use crate::{
    ca::Ca,
    ca_objects::{self, Object, ObjectError},
    ca_settings::Make,
    connection::Directory,
    error::DirectoryError,
    maintain::{WITHIN, about, said},
    name::quoted,
    publish::State,
    revocation_list::now,
    session::{Entry, Session},
    settings::PublishUsers,
    user::{self, Batch},
};

/// The rights that Active Directory says the account has on an object (MS-ADTS 3.1.1.4.5.24).
const MAY_WRITE: &str = "allowedAttributesEffective";

/// The classes of which Active Directory lets the account make objects below one (MS-ADTS
/// 3.1.1.4.5.22).
const MAY_MAKE: &str = "allowedChildClassesEffective";

/// How many people below a base are looked at for rights.
const PEOPLE_LOOKED_AT: usize = 10;

/// People, and no computers or groups.
const PEOPLE: &str = "(&(objectCategory=person)(objectClass=user))";

impl State {
    pub(crate) fn test(&mut self, ca: Result<Ca, String>, samples: &[Event]) -> TestReport {
        let mut report = TestReport::default();
        let session = match self.directory.session(Directory::until(WITHIN)) {
            Ok(session) => session,
            Err(err) => {
                report.checks.push(Check::failed("connect and log in", err.to_string()));
                return report;
            }
        };
        let kind = if session.facts.is_active_directory { "Active Directory" } else { "LDAP" };
        report
            .checks
            .push(Check::passed(format!("connect to {} and log in", session.server), kind));
        let mut objects = Vec::new();
        if self.settings.objects.events().0 != 0 {
            match ca.map(|ca| self.planned(&ca, &session.facts)) {
                Ok(Ok(planned)) => objects = planned,
                Ok(Err(err)) => report
                    .checks
                    .push(Check::failed("say where the CA's objects are", err.to_string())),
                Err(err) => report.checks.push(Check::failed("ask about the CA", err)),
            }
        }
        report.checks.push(self.test_schema(&session, &objects));
        for object in &objects {
            let check = self.test_object(&session, object, &mut report.would_write);
            report.checks.push(check);
        }
        self.test_bases(&session, &mut report);
        self.test_samples(&session, samples, &mut report);
        if !session.facts.is_active_directory {
            report.checks.push(Check::warning(
                "rights to write",
                "this server does not say them, and they cannot be known without writing",
            ));
        }
        report
    }

    /// Whether the server knows the attributes and classes that will be written.
    fn test_schema(&self, session: &Session, objects: &[Object]) -> Check {
        let mut attributes: Vec<&str> =
            objects.iter().flat_map(|it| &it.values).map(|it| it.0.as_str()).collect();
        if self.settings.users.is_on() {
            attributes.push(user::ATTRIBUTE);
        }
        let classes = objects.iter().flat_map(classes).collect();
        let asked = ["attributeTypes", "objectClasses"];
        let schema = session.facts.schema.as_ref().map(|it| session.read(it, &asked));
        let schema = match schema.map(|it| self.directory.wait(it)) {
            Some(Ok(Some(schema))) => schema,
            Some(Err(err)) => return Check::failed("schema", err.to_string()),
            _ => return Check::warning("schema", "the server does not show it to the account"),
        };
        let mut lacking = Vec::new();
        for (kind, defined, wanted) in
            [("attribute", asked[0], attributes), ("class", asked[1], classes)]
        {
            let known: HashSet<String> =
                schema.texts(defined).iter().flat_map(|it| names(it)).collect();
            for name in wanted {
                let text = format!("no {kind} {name}");
                if !known.contains(&name.to_lowercase()) && !lacking.contains(&text) {
                    lacking.push(text);
                }
            }
        }
        match lacking[..] {
            [] => Check::passed("schema", "it has what will be written"),
            _ => Check::failed("schema", format!("it has {}", lacking.join(", "))),
        }
    }

    /// Whether an object of the CA is there, what would be written, and whether the account may.
    fn test_object(&self, session: &Session, object: &Object, would: &mut Vec<String>) -> Check {
        let name = format!("{} {}", object.what, quoted(&object.dn));
        match self.directory.wait(ca_objects::read(session, object)) {
            Err(err) => Check::failed(name, err.to_string()),
            Ok(Some(entry)) => {
                let changes = ca_objects::missing(session, object, &entry);
                would.extend(changes.iter().map(|it| said(&object.dn, it)));
                self.may_write(session, object, name)
            }
            Ok(None) if self.settings.objects.make == Make::Nothing => {
                let text = format!(
                    "it is not there, and objects.make is \"nothing\": exeunt exit install {}",
                    self.name
                );
                Check::failed(name, text)
            }
            Ok(None) => {
                would.push(format!("the object {}", quoted(&object.dn)));
                self.may_make(session, object, name)
            }
        }
    }

    /// Whether the account may write what it has to, as far as the server says.
    fn may_write(&self, session: &Session, object: &Object, name: String) -> Check {
        if !session.facts.is_active_directory {
            return Check::passed(name, "it is there");
        }
        match self.directory.wait(session.read(&object.dn, &[MAY_WRITE])) {
            Ok(Some(entry)) => {
                let wanted = object.values.iter().map(|it| it.0.as_str());
                let lacking: Vec<&str> = wanted.filter(|it| !may(&entry, it)).collect();
                if lacking.is_empty() {
                    return Check::passed(name, "it is there, and may be written");
                }
                Check::failed(name, format!("the account may not write {}", lacking.join(", ")))
            }
            Ok(None) => Check::failed(name, "it was there a moment ago"),
            Err(err) => Check::failed(name, err.to_string()),
        }
    }

    /// Whether the account may make an object, as far as the server says.
    fn may_make(&self, session: &Session, object: &Object, name: String) -> Check {
        let mut above = ca_objects::parent(&object.dn);
        let mut missing = 0;
        let mut lowest_missing = None;
        loop {
            let Some(dn) = above else {
                return Check::failed(name, "nothing above it is there");
            };
            let entry = match self.directory.wait(session.read(dn, &[MAY_MAKE])) {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    missing += 1;
                    lowest_missing = lowest_missing.or(Some(dn));
                    above = ca_objects::parent(dn);
                    continue;
                }
                Err(err) => return Check::failed(name, err.to_string()),
            };
            let most = match self.settings.objects.make {
                Make::Parents => ca_objects::PARENTS_MAX,
                _ => object.own_parents,
            };
            if most < missing {
                let text = format!(
                    "it would be made below {}, but {} is not there: set objects.make to \
                     \"parents\" and run exeunt exit install {}, or have applied what its --print \
                     prints",
                    quoted(dn),
                    quoted(lowest_missing.unwrap_or(dn)),
                    self.name,
                );
                return Check::failed(name, text);
            }
            if !session.facts.is_active_directory {
                return Check::passed(name, "it is not there and would be made");
            }
            let class = match missing {
                0 => classes(object).last().unwrap_or("container"),
                _ => "container",
            };
            let makes = entry.texts(MAY_MAKE);
            return if makes.iter().any(|it| it.eq_ignore_ascii_case(class)) {
                Check::passed(name, "it is not there; it would be made, and may be")
            } else {
                let text = format!("the account may not make a {class} below {}", quoted(dn));
                Check::failed(name, text)
            };
        }
    }

    /// Whether the places are there that people are looked for in, and what may be written on some
    /// of them.
    fn test_bases(&self, session: &Session, report: &mut TestReport) {
        let users = &self.settings.users;
        let holders = users.templates.values().chain([&users.default]);
        let mut bases: Vec<&String> = Vec::new();
        for holder in holders.filter(|it| it.publish != PublishUsers::Never) {
            let some = if holder.bases.is_empty() {
                session.facts.default_base.as_slice()
            } else {
                &holder.bases
            };
            if some.is_empty() {
                let err = user::HolderError::NoBase.to_string();
                report.checks.push(Check::failed("people", err));
            }
            bases.extend(some);
        }
        bases.sort();
        bases.dedup();
        for base in bases {
            let name = format!("people below {}", quoted(base));
            report.checks.push(match self.directory.wait(people(session, base)) {
                Err(err) => Check::failed(name, err.to_string()),
                Ok(None) => Check::failed(name, "it is not there, or the account may not see it"),
                Ok(Some(all)) if !session.facts.is_active_directory || all.is_empty() => {
                    Check::passed(name, "it is there")
                }
                Ok(Some(all)) => {
                    let writable = all.iter().filter(|it| may(it, user::ATTRIBUTE)).count();
                    let text = format!(
                        "the account may write userCertificate on {writable} of {} looked at",
                        all.len()
                    );
                    // Everybody may write on their own object, as a rule.
                    match writable {
                        0 => Check::failed(name, text),
                        it if it < all.len() => Check::warning(name, text),
                        _ => Check::passed(name, text),
                    }
                }
            });
        }
    }

    /// What would be done about the samples, and whether the account may.
    fn test_samples(&self, session: &Session, samples: &[Event], report: &mut TestReport) {
        let events: Vec<&Event> = samples.iter().collect();
        let batch = Batch::new(&self.settings.users, &events, now());
        let of_users = self.directory.wait(batch.compare(session, &events));
        for (event, compared) in samples.iter().zip(of_users) {
            match event.event {
                exit_event::CRL_ISSUED => {
                    self.test_lists(session, event, report);
                    continue;
                }
                // They are among the CA's objects, which were looked at above.
                exit_event::CA_CERT_ISSUED => continue,
                _ => {}
            }
            let (place, what) = about(event);
            match compared {
                Ok(all) if all.is_empty() => report.would_write.push(format!("{what}: nothing")),
                Ok(all) => report.would_write.extend(all.into_iter().map(|it| {
                    let done = if it.difference == Difference::Surplus { "without " } else { "" };
                    format!("{done}{} in {}", it.text, it.place)
                })),
                // That it would not be published is what somebody wants to know now.
                Err(why) => report.checks.push(Check::warning(format!("{what}, {place}"), why)),
            }
        }
        if !session.facts.is_active_directory {
            return;
        }
        for dn in self.directory.wait(batch.holders(session, &events)) {
            let name = format!("holder {}", quoted(&dn));
            report.checks.push(match self.directory.wait(session.read(&dn, &[MAY_WRITE])) {
                Ok(Some(entry)) if may(&entry, user::ATTRIBUTE) => {
                    Check::passed(name, "userCertificate may be written")
                }
                Ok(_) => Check::failed(name, "the account may not write userCertificate"),
                Err(err) => Check::failed(name, err.to_string()),
            });
        }
    }

    /// Which revocation lists would be published.
    fn test_lists(&self, session: &Session, event: &Event, report: &mut TestReport) {
        let found = match self.compare_lists(session, event, false) {
            Ok(found) => found.findings,
            // That there is no place for them was said above.
            Err(ObjectError::NoContainer) => return,
            Err(err) => {
                report.checks.push(Check::failed("revocation lists", err.to_string()));
                return;
            }
        };
        for it in found {
            match (it.difference, it.error) {
                (Difference::Missing | Difference::Stale, None) => {
                    report.would_write.push(format!("{} in {}", it.text, it.place));
                }
                (_, why) => {
                    let why = why.unwrap_or_else(|| "what is there is not this CA's".to_owned());
                    report.checks.push(Check::warning(format!("{}, {}", it.text, it.place), why));
                }
            }
        }
    }
}

/// Whether Active Directory lets the account write an attribute of an object.
fn may(entry: &Entry, attribute: &str) -> bool {
    entry.texts(MAY_WRITE).iter().any(|it| it.eq_ignore_ascii_case(attribute))
}

/// Some people below a base, with what may be written on them; none of them elsewhere than in Active
/// Directory. Nothing where the base is not there.
async fn people(session: &Session, base: &str) -> Result<Option<Vec<Entry>>, DirectoryError> {
    if session.read(base, &["objectClass"]).await?.is_none() {
        return Ok(None);
    }
    if !session.facts.is_active_directory {
        return Ok(Some(Vec::new()));
    }
    let found = session.search(base, Scope::Subtree, PEOPLE, &[MAY_WRITE], PEOPLE_LOOKED_AT);
    found.await.map(Some)
}

/// The classes of an object that is made.
fn classes(object: &Object) -> impl Iterator<Item = &str> {
    let classes = object.made_with.iter().filter(|it| it.0 == "objectClass");
    classes.flat_map(|it| &it.1).filter_map(|it| std::str::from_utf8(it).ok())
}

/// The names in a definition of the schema (RFC 4512, section 4.1), in lower case.
fn names(definition: &str) -> Vec<String> {
    let Some((_, rest)) = definition.split_once("NAME ") else { return Vec::new() };
    let rest = rest.trim_start();
    let quoted = |it: &str| it.split('\'').skip(1).step_by(2).map(str::to_lowercase).collect();
    match rest.strip_prefix('(') {
        Some(several) => quoted(several.split(')').next().unwrap_or_default()),
        None => quoted(rest).into_iter().take(1).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_definition_are_all_found_and_nothing_else() {
        for (definition, expected) in [
            ("( 2.5.4.36 NAME 'userCertificate' DESC 'use ;binary' )", vec!["usercertificate"]),
            ("( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name DESC 'x' )", vec!["cn", "commonname"]),
            ("( 2.5.6.22 NAME 'pkiCA' SUP top AUXILIARY )", vec!["pkica"]),
            ("( 1.2.3 DESC 'none' )", vec![]),
        ] {
            assert_eq!(names(definition), expected);
        }
    }
}
