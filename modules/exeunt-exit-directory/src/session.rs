//! A connection in use: searching, reading, and changes that are all or nothing.

use std::{collections::HashSet, sync::Arc, time::Duration};

use exeunt_publication::outcome;
use ldap3::{
    Ldap, LdapError, LdapResult, Mod, Scope, SearchEntry, SearchOptions,
    controls::{Assertion, RawControl},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    error::{DirectoryError, refusal},
    facts::Facts,
    name::quoted,
    transport::Refused,
    written::{NEW_OBJECT, Written},
};

/// Most references to other servers that are passed over in the answer to a search.
pub const REFERENCES_MAX: usize = 100;

/// A connection in use: whoever has it may do several things at the same time.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) ldap: Ldap,
    /// What is known of the server.
    pub facts: Arc<Facts>,
    /// Its address, for people.
    pub server: String,
    /// Why the connection was ended by us, if it was.
    pub(crate) refused: Refused,
    pub(crate) timeout: Duration,
    pub(crate) until: Instant,
    pub(crate) written: Written,
}

/// An object as a search gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name, as the server writes it.
    pub name: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// An entry as the library gives it.
    pub fn new(found: ldap3::ResultEntry) -> Self {
        let SearchEntry { dn, attrs, bin_attrs } = SearchEntry::construct(found);
        let mut attributes: Vec<(String, Vec<Vec<u8>>)> = bin_attrs.into_iter().collect();
        for (name, values) in attrs {
            let values = values.into_iter().map(String::into_bytes);
            // The library puts what is no text aside, and so may tear one attribute apart.
            match attributes.iter_mut().find(|(it, _)| *it == name) {
                Some((_, there)) => there.extend(values),
                None => attributes.push((name, values.collect())),
            }
        }
        Self { name: dn, attributes }
    }

    /// The values of an attribute, with or without `;binary`.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = move |it: &str| {
            let bare = it.split_once(';').filter(|it| it.1.eq_ignore_ascii_case("binary"));
            bare.map_or(it, |it| it.0).eq_ignore_ascii_case(name)
        };
        self.attributes
            .iter()
            .filter(move |(it, _)| named(it))
            .flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The values of an attribute that are texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.values(name).filter_map(|it| String::from_utf8(it.to_vec()).ok()).collect()
    }

    /// Whether the server gave a part of an attribute's values only, as Active Directory does where
    /// there are more than 1,500 (MS-ADTS 3.1.1.3.1.3.3).
    pub fn is_partial(&self, name: &str) -> bool {
        self.attributes.iter().any(|(it, _)| {
            let (bare, options) = it.split_once(';').unwrap_or((it, ""));
            bare.eq_ignore_ascii_case(name) && options.to_ascii_lowercase().contains("range=")
        })
    }
}

/// A change of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These values come in, beside those that are there.
    Add(String, Vec<Vec<u8>>),
    /// These values leave; no values means all of them.
    Delete(String, Vec<Vec<u8>>),
    /// These values in the place of whatever is there. For attributes that are one's own.
    Replace(String, Vec<Vec<u8>>),
}

impl Change {
    /// The attribute, as the server wants it.
    fn attribute(&self) -> &str {
        let (Self::Add(name, _) | Self::Delete(name, _) | Self::Replace(name, _)) = self;
        name
    }
}

impl Session {
    /// The name of an attribute that holds certificates or revocation lists, as this server wants it
    /// in requests.
    pub fn attribute(&self, name: &str) -> String {
        format!("{name}{}", self.facts.binary)
    }

    /// What is below a place and fits a filter: at most `most` objects, and no error if there are
    /// more.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say; a place that is not there is one.
    pub async fn search(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        most: usize,
    ) -> Result<Vec<Entry>, DirectoryError> {
        let doing = || format!("searching {} for {}", quoted(base), quoted(filter));
        let mut ldap = self.ldap.clone();
        let seconds = i32::try_from(self.timeout.as_secs()).unwrap_or(i32::MAX);
        let options =
            SearchOptions::new().sizelimit(i32::try_from(most).unwrap_or(0)).timelimit(seconds);
        let (entries, result) = self
            .timed(doing, async {
                let mut found = ldap
                    .with_search_options(options)
                    .streaming_search(base, scope, filter, attributes)
                    .await?;
                let mut entries = Vec::new();
                let mut references = 0;
                while let Some(entry) = found.next().await? {
                    if entry.is_ref() || entry.is_intermediate() {
                        references += 1;
                    } else if entries.len() < most {
                        entries.push(Entry::new(entry));
                        continue;
                    }
                    // Samba gives more than it was asked for.
                    if entries.len() == most || REFERENCES_MAX < references {
                        found.finish().await;
                        return Ok((entries, None));
                    }
                }
                Ok((entries, Some(found.finish().await)))
            })
            .await?;
        match result {
            // 4 is sizeLimitExceeded: as many as were asked for have come.
            Some(result) if result.rc != 0 && result.rc != 4 => Err(refusal(&doing(), &result)),
            _ => Ok(entries),
        }
    }

    /// One object, or `None` where it is not there.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn read(
        &self,
        name: &str,
        attributes: &[&str],
    ) -> Result<Option<Entry>, DirectoryError> {
        match self.search(name, Scope::Base, "(objectClass=*)", attributes, 1).await {
            Ok(found) => Ok(found.into_iter().next()),
            // noSuchObject.
            Err(DirectoryError::Answer { code: 32, .. }) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Changes an object: all of it or nothing.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn modify(&self, name: &str, changes: Vec<Change>) -> Result<(), DirectoryError> {
        self.modify_with(name, Vec::new(), changes).await
    }

    /// Changes an object if a filter holds for it at that moment (RFC 4528).
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn modify_if(
        &self,
        name: &str,
        filter: &str,
        changes: Vec<Change>,
    ) -> Result<(), DirectoryError> {
        let mut assertion = Assertion::new(filter);
        assertion.crit = true;
        self.modify_with(name, vec![assertion], changes).await
    }

    async fn modify_with(
        &self,
        name: &str,
        controls: Vec<RawControl>,
        changes: Vec<Change>,
    ) -> Result<(), DirectoryError> {
        let doing = || format!("changing {}", quoted(name));
        let values = HashSet::<Vec<u8>>::from_iter;
        let kinds: Vec<String> = changes.iter().map(|it| it.attribute().to_owned()).collect();
        let changes = changes
            .into_iter()
            .map(|it| match it {
                Change::Add(name, it) => Mod::Add(name.into_bytes(), values(it)),
                Change::Delete(name, it) => Mod::Delete(name.into_bytes(), values(it)),
                Change::Replace(name, it) => Mod::Replace(name.into_bytes(), values(it)),
            })
            .collect();
        let mut ldap = self.ldap.clone();
        if !controls.is_empty() {
            ldap.with_controls(controls);
        }
        let result = self.timed(doing, ldap.modify(name, changes)).await?;
        self.written.judge(&kinds, done(&doing(), &result))
    }

    /// Makes an object.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn add(
        &self,
        name: &str,
        attributes: Vec<(String, Vec<Vec<u8>>)>,
    ) -> Result<(), DirectoryError> {
        let doing = || format!("making {}", quoted(name));
        let attributes = attributes
            .into_iter()
            .map(|(name, values)| (name.into_bytes(), values.into_iter().collect()))
            .collect();
        let mut ldap = self.ldap.clone();
        let result = self.timed(doing, ldap.add(name, attributes)).await?;
        self.written.judge(&[NEW_OBJECT], done(&doing(), &result))
    }

    /// Waits for an operation, and not beyond what is left.
    async fn timed<T>(
        &self,
        doing: impl Fn() -> String,
        operation: impl Future<Output = ldap3::result::Result<T>>,
    ) -> Result<T, DirectoryError> {
        let now = Instant::now();
        let end = self.until.min(now + self.timeout);
        if end <= now {
            return Err(DirectoryError::Deadline { doing: doing() });
        }
        match timeout_at(end, operation).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(LdapError::LdapResult { result })) => Err(refusal(&doing(), &result)),
            Ok(Err(err)) => {
                let reason = match self.refused.get() {
                    Some(why) => (*why).to_owned(),
                    None => outcome::chain(&err),
                };
                Err(DirectoryError::Lost { doing: doing(), reason })
            }
            Err(_) => Err(DirectoryError::Timeout { doing: doing(), within: end - now }),
        }
    }
}

fn done(doing: &str, result: &LdapResult) -> Result<(), DirectoryError> {
    if result.rc == 0 { Ok(()) } else { Err(refusal(doing, result)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_with_and_without_its_option() {
        let attributes =
            |it: &[&str]| it.iter().map(|&it| (it.to_owned(), vec![vec![7]])).collect();
        let entry = |it: &[&str]| Entry { name: "cn=a".to_owned(), attributes: attributes(it) };
        assert_eq!(entry(&["userCertificate;binary"]).values("usercertificate").count(), 1);
        assert_eq!(entry(&["userCertificate", "cn"]).values("userCertificate").count(), 1);
        let partial = entry(&["userCertificate;range=0-1499"]);
        assert_eq!(partial.values("userCertificate").count(), 0);
        assert!(partial.is_partial("userCertificate"));
        assert!(!entry(&["userCertificate;binary"]).is_partial("userCertificate"));
    }
}
