//! What the CA publishes of itself: its certificates, and its revocation lists.
//!
//! Each is verified before it is written and read back afterwards. The number of a list never goes
//! backwards, and what is not this CA's is left alone.

use exeunt_module_kit::{Event, Outcome};
use exeunt_publication::{
    authority::{Authority, NoList, authorities, lists},
    certificate::Certificate,
    list::{LIST_BYTES_MAX, RevocationList, Standing, compare},
    outcome::{chain, park, retry, target_retry},
    url::{Names, Target, Template},
};

use crate::{
    fault::{is_folders_fault, keeps_all_from_being_read},
    folder::{Folder, Found},
    publish::State,
};

/// How often a name is looked at anew because somebody else has just changed it.
const TRIES_MAX: u32 = 3;

/// One thing that the CA publishes of itself.
#[derive(Debug)]
pub struct Item {
    /// Name of its file.
    pub name: String,
    /// What is to stand there.
    pub thing: Thing,
    /// What it is, for the operator.
    pub text: String,
}

/// What an item is.
#[derive(Debug)]
pub enum Thing {
    /// A certificate of the CA.
    Certificate(Certificate),
    /// A revocation list, and the certificate that it was verified with.
    List(RevocationList, Certificate),
}

impl Thing {
    /// What is written into the file.
    pub fn content(&self) -> &[u8] {
        match self {
            Self::Certificate(certificate) => certificate.der(),
            Self::List(list, _) => list.der(),
        }
    }

    /// How it stands to what is there.
    pub fn standing(&self, present: &Found, now: i64) -> Standing {
        let foreign = |why: &str| Standing::Foreign { why: why.to_owned() };
        let content = match present {
            Found::Nothing => None,
            Found::File(content) => Some(&content[..]),
            Found::Foreign => return foreign("what is there is no file of ours"),
        };
        match (self, content) {
            // An empty file is somebody's, unlike an empty attribute of a directory.
            (_, Some([] | [0])) => foreign("an empty file is there"),
            (Self::List(list, ca), content) => compare(content, list, ca, now),
            (Self::Certificate(_), None) => Standing::Missing,
            (Self::Certificate(ours), Some(content)) if content == ours.der() => Standing::Same,
            (Self::Certificate(ours), Some(content)) => match Certificate::from_der(content) {
                Ok(theirs)
                    if theirs.subject() == ours.subject()
                        && theirs.public_key() == ours.public_key() =>
                {
                    // The same key with another certificate: the younger one stays.
                    let (number, present) = (ours.not_before(), theirs.not_before());
                    if (number, ours.der()) > (present, theirs.der()) {
                        Standing::Newer { present: 0.into() }
                    } else {
                        Standing::Superseded { present: 0.into() }
                    }
                }
                Ok(_) => foreign("the certificate of another CA, or of another key, is there"),
                Err(_) => foreign("what is there is no certificate"),
            },
        }
    }
}

/// What an event says of the CA, as files.
#[derive(Debug)]
pub struct Items {
    /// What is to be published.
    pub all: Vec<Item>,
    /// What cannot be, in lines for the operator.
    pub never: Vec<String>,
    /// What cannot be just now.
    pub later: Vec<String>,
}

/// What became of an item.
enum Done {
    Written,
    There,
    Passed,
    Later(String),
    /// Not now, and nothing else either.
    Down(String),
    Never(String),
}

impl State {
    /// Everything that the CA publishes of itself and that the settings ask for.
    pub fn items(&self, event: &Event) -> Result<Items, String> {
        let settings = &self.settings;
        let mut items = Vec::new();
        let (mut never, mut later) = (Vec::new(), Vec::new());
        let authorities = authorities(&event.system)?;
        if let Some(template) = &settings.ca_certificates {
            for Authority { index, certificate, names, .. } in &authorities {
                items.push(Item {
                    name: file_name(template, names)?,
                    thing: Thing::Certificate(certificate.clone()),
                    text: format!("certificate {index} of the CA"),
                });
            }
        }
        if let Some(template) = &settings.lists {
            for found in lists(&event.system, &authorities) {
                let found = match found {
                    Ok(found) if found.names.delta && !settings.delta_lists => continue,
                    Ok(found) => found,
                    Err(NoList::NotNow(why)) => {
                        later.push(why);
                        continue;
                    }
                    Err(NoList::Never(why)) => {
                        never.push(why);
                        continue;
                    }
                };
                let kind = if found.names.delta { "delta" } else { "base" };
                let ca = &authorities[found.index].certificate;
                items.push(Item {
                    name: file_name(template, &found.names)?,
                    text: format!("{kind} revocation list {}", found.list.number()),
                    thing: Thing::List(found.list, ca.clone()),
                });
            }
        }
        // A name is one thing's: a template without the token that tells two apart would have them
        // take each other's place for ever.
        items.sort_by(|a, b| a.name.cmp(&b.name));
        let twice = items.iter().zip(items.iter().skip(1)).find(|(a, b)| a.name == b.name);
        if let Some((one, other)) = twice {
            return Err(format!(
                "{} would be {} and {}: the setting of its name lacks a token that tells them apart",
                one.name, one.text, other.text
            ));
        }
        Ok(Items { all: items, never, later })
    }

    /// Publishes what the CA publishes of itself.
    pub fn enroll(&self, folder: &Folder, event: &Event, now: i64) -> Outcome {
        let Items { all: items, mut never, mut later } = match self.items(event) {
            Ok(found) => found,
            Err(why) => return park(why),
        };
        let (mut any, mut written) = (false, Vec::new());
        let mut down = Vec::new();
        for item in &items {
            match self.put(folder, event, item, now) {
                Done::Written => written.push(item),
                Done::There => any = true,
                Done::Passed => (),
                Done::Later(why) => later.push(why),
                Done::Down(why) => down.push(why),
                Done::Never(why) => never.push(why),
            }
        }
        // Also for files that were there: the attempt that put them there may have broken off just
        // before this.
        if (any || !written.is_empty())
            && let Err(err) = folder.sync()
        {
            down.push(format!("writing {}: {err}", self.settings.directory.display()));
        }
        for item in &written {
            let seen = folder.find_up_to(&item.name, bytes_max());
            if !seen.is_ok_and(|it| matches!(item.thing.standing(&it, now), Standing::Same)) {
                later.push(format!("{} is not what was written: somebody changed it", item.name));
            }
        }
        if !down.is_empty() {
            down.append(&mut later);
            return target_retry(down.join("; "));
        }
        if !later.is_empty() {
            return retry(later.join("; "));
        }
        if !never.is_empty() {
            return park(never.join("; "));
        }
        if any || !written.is_empty() { Outcome::Accept } else { Outcome::Skip }
    }

    /// Writes one item, where it is to be written.
    pub fn write_item(
        &self,
        folder: &Folder,
        event: &Event,
        item: &Item,
        now: i64,
    ) -> Result<(), String> {
        match self.put(folder, event, item, now) {
            Done::Written | Done::There | Done::Passed => {
                folder.sync().map_err(|err| format!("writing {}: {err}", item.name))
            }
            Done::Later(why) | Done::Down(why) | Done::Never(why) => Err(why),
        }
    }

    fn put(&self, folder: &Folder, event: &Event, item: &Item, now: i64) -> Done {
        let Item { name, thing, text } = item;
        for _ in 0..TRIES_MAX {
            let seen = match folder.find_up_to(name, bytes_max()) {
                Ok(seen) => seen,
                Err(err) => {
                    let why = format!("reading {name}: {err}");
                    let is_down = keeps_all_from_being_read(&err);
                    return if is_down { Done::Down(why) } else { Done::Later(why) };
                }
            };
            match thing.standing(&seen, now) {
                Standing::Same => return Done::There,
                Standing::Superseded { .. } => return Done::Passed,
                Standing::Expired => {
                    eprintln!("{name} is not written: the time of {text} is over");
                    return Done::Passed;
                }
                Standing::Foreign { why } => {
                    return Done::Never(format!("{name} is left alone: {why}"));
                }
                Standing::Missing | Standing::Newer { .. } => (),
            }
            let temporary = self.temporary(event, name);
            let written =
                folder.stage(&temporary, thing.content(), self.access()).and_then(|file| {
                    file.sync_all()?;
                    self.replace(folder, &temporary, name, &seen)
                });
            match written {
                Ok(true) => return Done::Written,
                Ok(false) => self.discard(folder, &temporary),
                Err(err) => {
                    self.discard(folder, &temporary);
                    let why = format!("writing {name}: {err}");
                    return if is_folders_fault(&err) { Done::Down(why) } else { Done::Later(why) };
                }
            }
        }
        Done::Later(format!("{name} is being changed by somebody else"))
    }
}

fn bytes_max() -> u64 {
    u64::try_from(LIST_BYTES_MAX).unwrap_or(u64::MAX)
}

/// The file's name; the template is known to name a file.
fn file_name(template: &Template, names: &Names) -> Result<String, String> {
    match template.expand(names) {
        Ok(Target::File(name)) if !name.contains(['/', '\0']) && !name.starts_with('.') => Ok(name),
        Ok(other) => Err(format!("{:?} is no name of a file: {other:?}", template.text())),
        Err(err) => Err(chain(&err)),
    }
}
