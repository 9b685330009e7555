//! Looking after the directory: whether it can be worked with, what has to be made in it, and whether
//! it holds what the CA holds.

use std::time::Duration;

use exeunt_module::call_back::{Asked, Found, Query};
use exeunt_module_kit::{
    Event, Initialize, MaintainExitModule, Properties, exit_event,
    maintain::{Check, Compared, Difference, Finding, InstallReport, TestReport},
};
use exeunt_publication::{certificate::Certificate, list::Standing};

use crate::{
    ca::{self, Ca, List},
    ca_objects::{self, Attribute, ListPlace, Object, ObjectError},
    ca_settings::Make,
    connection::Directory,
    error::DirectoryError,
    facts::Facts,
    ldif::Ldif,
    name::quoted,
    publish::{DirectoryExit, State},
    revocation_list::{self, Look, now},
    session::{Change, Entry, Session},
    user::Batch,
};

/// How long one question of the host's may take.
pub(crate) const WITHIN: Duration = Duration::from_mins(2);

/// Most surplus values that a comparison remembers, so as to list each once: some 20 MB of names.
const LISTED_MAX: usize = 100_000;

impl MaintainExitModule for DirectoryExit {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        let state = State::new(hello)?;
        // Now is the time to ask: the module uses no call-backs when it is told of events.
        let asked = match &self.call_backs {
            Some(call_backs) => ca::ask(|name| {
                let asked = Asked { seq: 0, name: name.to_owned(), value_type: None };
                match call_backs.ask(Query::GetCertificateProperty(asked)) {
                    Ok(Found::Value(value)) => Ok(value),
                    Ok(Found::Extension(_)) => Err(format!("{name} is no property")),
                    Err(err) => Err(format!("{name}: {err}")),
                }
            }),
            None => Err("the host answers no questions about the CA".to_owned()),
        };
        self.ca = Some(asked);
        self.state.set(state);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let (state, ca) = self.begun()?;
        Ok(state.test(ca, samples))
    }

    fn install(&mut self, apply: bool) -> Result<InstallReport, String> {
        let (state, ca) = self.begun()?;
        state.install(&ca?, apply)
    }

    fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, String> {
        let (state, _) = self.begun()?;
        state.reconcile(events, mend)
    }

    fn reconcile_end(&mut self, _mend: bool) -> Result<Compared, String> {
        let (state, _) = self.begun()?;
        state.listed.clear();
        Ok(Compared::default())
    }
}

impl DirectoryExit {
    /// What was begun, and what the host says of the CA.
    fn begun(&mut self) -> Result<(&mut State, Result<Ca, String>), String> {
        let state = self.state.get_mut()?;
        let ca = match &self.ca {
            Some(Ok(system)) => read(system),
            Some(Err(err)) => Err(err.clone()),
            None => Err("nobody has asked about the CA".to_owned()),
        };
        Ok((state, ca))
    }
}

fn read(system: &Properties) -> Result<Ca, String> {
    Ca::read(system).map_err(|err| err.to_string())
}

impl State {
    /// All objects of the CA, those for lists included.
    pub(crate) fn planned(&self, ca: &Ca, facts: &Facts) -> Result<Vec<Object>, ObjectError> {
        let settings = &self.settings.objects;
        let mut objects = ca_objects::objects(settings, ca, facts, now())?;
        let kinds = [(settings.lists, false), (settings.delta_lists, true)];
        for (_, delta) in kinds.into_iter().filter(|it| it.0) {
            for certificate in &ca.certificates {
                let names = certificate.names(settings, facts);
                let names = exeunt_publication::url::Names { delta, ..names };
                for place in ca_objects::list_places_of(settings, &names, facts)? {
                    let object = ca_objects::list_object(&place, facts, None);
                    match objects.iter_mut().find(|it| it.dn.eq_ignore_ascii_case(&place.dn)) {
                        Some(there) => there.values.extend(object.values),
                        None => objects.push(object),
                    }
                }
            }
        }
        if settings.cross_certificates {
            let dn = ca_objects::cross_place(settings, ca, facts)?;
            if let Some(object) = objects.iter_mut().find(|it| it.dn.eq_ignore_ascii_case(&dn)) {
                object.values.push((revocation_list::CROSS.to_owned(), Vec::new()));
            }
        }
        Ok(objects)
    }

    fn install(&mut self, ca: &Ca, apply: bool) -> Result<InstallReport, String> {
        let mut report = InstallReport::default();
        let session =
            self.directory.session(Directory::until(WITHIN)).map_err(|err| err.to_string())?;
        let planned = self.planned(ca, &session.facts).map_err(|err| err.to_string())?;
        if planned.is_empty() {
            return Err("all kinds of objects are switched off".to_owned());
        }
        let mut ldif = Ldif::default();
        // Containers that a record of the script makes already.
        let mut in_script: Vec<String> = Vec::new();
        // The operator orders it, but containers are made only where the settings allow it.
        let make = self.settings.objects.make.max(Make::Objects);
        for object in planned {
            let name = format!("{} {}", object.what, quoted(&object.dn));
            if apply {
                let done = self.directory.wait(ca_objects::ensure(&session, &object, make));
                report.steps.push(match done {
                    Ok(ca_objects::Done::There) => Check::passed(name, "was there already"),
                    Ok(ca_objects::Done::Changed) => Check::passed(name, "brought up to date"),
                    Ok(ca_objects::Done::Made) => Check::passed(name, "made"),
                    Err(err) => Check::failed(name, err.to_string()),
                });
                continue;
            }
            let planned = self.directory.wait(script(&session, &object, &mut ldif, &mut in_script));
            report.steps.push(match planned {
                Ok(text) => Check::passed(name, text),
                Err(err) => Check::failed(name, err.to_string()),
            });
        }
        report.script = ldif.into_text();
        Ok(report)
    }

    fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, String> {
        let mut compared = Compared::default();
        let session =
            self.directory.session(Directory::until(WITHIN)).map_err(|err| err.to_string())?;
        let all: Vec<&Event> = events.iter().collect();
        // What was mended is not found a second time.
        if mend || LISTED_MAX < self.listed.len() {
            self.listed.clear();
        }
        let batch = Batch::of_state(&self.settings.users, &all, now());
        let of_users = self.directory.wait(batch.compare(&session, &all));
        let mut to_mend: Vec<(&Event, Vec<Finding>)> = Vec::new();
        for (event, found) in events.iter().zip(of_users) {
            match found {
                Ok(all) if all.is_empty() => compared.good += 1,
                Ok(mut all) => {
                    // What is over on an object is found with every event that is about the object.
                    all.retain(|it| {
                        it.difference != Difference::Surplus
                            || self.listed.insert((it.place.clone(), certificate(it)))
                    });
                    to_mend.push((event, all));
                }
                Err(why) => {
                    let (place, text) = about(event);
                    let finding = Finding::new(Difference::Unknown, place, text);
                    compared.findings.push(finding.mended(Err(why)));
                }
            }
        }
        if mend {
            let wanted: Vec<&Event> = to_mend.iter().map(|it| it.0).collect();
            let told = self.directory.wait(batch.carry_out(&session, &wanted));
            for ((_, all), told) in to_mend.into_iter().zip(told) {
                let result = told.into_result();
                compared.findings.extend(all.into_iter().map(|it| it.mended(result.clone())));
            }
        } else {
            compared.findings.extend(to_mend.into_iter().flat_map(|it| it.1));
        }
        for event in events {
            let found = match event.event {
                exit_event::CRL_ISSUED => self.compare_lists(&session, event, mend),
                exit_event::CA_CERT_ISSUED => self.compare_certificates(&session, event, mend),
                _ => continue,
            };
            // Counted as one good thing above, because it is about no holder.
            compared.good -= 1;
            let found = found.map_err(|err| err.to_string())?;
            compared.good += found.good;
            compared.findings.extend(found.findings);
        }
        Ok(compared)
    }

    /// Compares the lists of an event with their places, and publishes them where they are to be mended.
    pub(crate) fn compare_lists(
        &self,
        session: &Session,
        event: &Event,
        mend: bool,
    ) -> Result<Compared, ObjectError> {
        let settings = &self.settings.objects;
        let mut compared = Compared::default();
        let ca = Ca::read(&event.system)?;
        for list in ca.lists(&event.system, settings) {
            let list = match list {
                Ok(list) => list,
                Err(err) => {
                    let (place, text) = about(event);
                    let finding = Finding::new(Difference::Unknown, place, text);
                    compared.findings.push(finding.mended(Err(err.to_string())));
                    continue;
                }
            };
            for place in ca_objects::list_places(settings, &list, &session.facts)? {
                let look = self.directory.wait(revocation_list::look(
                    session,
                    &place,
                    &list.list,
                    &list.ca.certificate,
                    now(),
                ))?;
                let Some(finding) = finding(&place, &list, &look) else {
                    compared.good += 1;
                    continue;
                };
                let can = look.standing.is_write() && mend;
                compared.findings.push(if can {
                    let make = settings.make;
                    let told = revocation_list::publish_list(session, make, &place, &list, now());
                    let told = self.directory.wait(told);
                    finding.mended(told.map(drop).map_err(|err| err.to_string()))
                } else {
                    finding
                });
            }
        }
        Ok(compared)
    }

    fn compare_certificates(
        &self,
        session: &Session,
        event: &Event,
        mend: bool,
    ) -> Result<Compared, ObjectError> {
        let settings = &self.settings.objects;
        let mut compared = Compared::default();
        let ca = Ca::read(&event.system)?;
        for object in ca_objects::objects(settings, &ca, &session.facts, now())? {
            let entry: Option<Entry> = self.directory.wait(ca_objects::read(session, &object))?;
            let text = match &entry {
                None => "the object".to_owned(),
                Some(entry) => match ca_objects::missing(session, &object, entry).len() {
                    0 => {
                        compared.good += 1;
                        continue;
                    }
                    _ => "certificates of the CA".to_owned(),
                },
            };
            let finding = Finding::new(Difference::Missing, &object.dn, text);
            compared.findings.push(if mend {
                let done = self.directory.wait(ca_objects::ensure(session, &object, settings.make));
                finding.mended(done.map(drop).map_err(|err| err.to_string()))
            } else {
                finding
            });
        }
        Ok(compared)
    }
}

/// What an event is about, where no object of it is known: whose object it would be, and what.
pub(crate) fn about(event: &Event) -> (String, String) {
    let text = |it: &Properties, name: &str| it.string(name).unwrap_or_default().to_owned();
    let ca = || text(&event.system, "SanitizedCAName");
    match event.event {
        exit_event::CRL_ISSUED => (format!("objects of {}", ca()), "revocation lists".to_owned()),
        exit_event::CA_CERT_ISSUED => {
            (format!("objects of {}", ca()), "certificates of the CA".to_owned())
        }
        _ => {
            let der = event.certificate.binary("RawCertificate").unwrap_or_default();
            if let Ok(certificate) = Certificate::from_der(der) {
                let place = format!("object of {}", quoted(certificate.subject_text()));
                return (place, named(&certificate, event));
            }
            let serial = text(&event.certificate, "SerialNumber");
            ("object of a holder".to_owned(), format!("certificate {serial}"))
        }
    }
}

/// What a finding says of its certificate in any case: its serial number.
fn certificate(finding: &Finding) -> String {
    finding.text.split(',').next().unwrap_or_default().to_owned()
}

/// A certificate by its serial number, and the request that it is of.
pub(crate) fn named(certificate: &Certificate, event: &Event) -> String {
    let serial = certificate.serial();
    match event.request.long("RequestID") {
        Ok(request) => format!("certificate {serial}, request {request}"),
        Err(_) => format!("certificate {serial}"),
    }
}

/// What is wrong with a list's place; nothing where the list, or a newer one, is there.
fn finding(place: &ListPlace, list: &List<'_>, look: &Look) -> Option<Finding> {
    let at = format!("{} of {}", place.attribute, place.dn);
    let text = format!("list {}", list.list.number());
    match &look.standing {
        Standing::Same | Standing::Superseded { .. } | Standing::Expired => None,
        Standing::Missing => Some(Finding::new(Difference::Missing, at, text)),
        Standing::Newer { present } => {
            Some(Finding::new(Difference::Stale, at, format!("{text}; {present} is there")))
        }
        Standing::Foreign { why } => {
            let finding = Finding::new(Difference::Foreign, at, text);
            Some(finding.mended(Err(why.clone())))
        }
    }
}

/// A change, in a line for people.
pub(crate) fn said(dn: &str, change: &Change) -> String {
    match change {
        Change::Add(name, values) => {
            format!("{} values more in {name} of {}", values.len(), quoted(dn))
        }
        Change::Delete(name, values) => {
            format!("{} values less in {name} of {}", values.len(), quoted(dn))
        }
        Change::Replace(name, values) => {
            format!("{} values in {name} of {}", values.len(), quoted(dn))
        }
    }
}

/// What would be done about an object, as LDIF and in words.
async fn script(
    session: &Session,
    object: &Object,
    ldif: &mut Ldif,
    made: &mut Vec<String>,
) -> Result<&'static str, DirectoryError> {
    if let Some(entry) = ca_objects::read(session, object).await? {
        let changes = ca_objects::missing(session, object, &entry);
        if changes.is_empty() {
            return Ok("is there already");
        }
        let changes: Vec<(&str, Attribute)> = changes
            .into_iter()
            .map(|it| match it {
                Change::Add(name, values) => ("add", (name, values)),
                Change::Delete(name, values) => ("delete", (name, values)),
                Change::Replace(name, values) => ("replace", (name, values)),
            })
            .collect();
        let changes: Vec<(&str, &Attribute)> = changes.iter().map(|it| (it.0, &it.1)).collect();
        ldif.modify(&object.dn, &changes);
        return Ok("would be brought up to date");
    }
    let mut above: Vec<&str> = Vec::new();
    let mut dn = object.dn.as_str();
    while let Some(next) = ca_objects::parent(dn) {
        if above.len() == ca_objects::PARENTS_MAX
            || made.iter().any(|it| it == next)
            || session.read(next, &["objectClass"]).await?.is_some()
        {
            break;
        }
        above.push(next);
        dn = next;
    }
    for dn in above.into_iter().rev() {
        ldif.add(dn, &ca_objects::container_attributes(dn, &session.facts));
        made.push(dn.to_owned());
    }
    ldif.add(&object.dn, &object.attributes(&session.facts));
    made.push(object.dn.clone());
    Ok("would be made")
}
