//! Principals of a running server: who is known, tokens that come and go, and what a new configuration
//! changes about them.

use exeunt_api::{NewToken, Principal, PrincipalList, PrincipalToken, TokenChanged};
use exeunt_http::{People, Principals, Refusal, Token, rfc3339};
use exeunt_store::{AUDIT_STATE_OCTETS_MAX, AuditEntry};
use exeunt_types::{Roles, UnixMillis, hexadecimal};

use super::error::ManageError;
use super::file::ConfigFile;
use super::{Manager, edit};
use crate::clock::now;
use crate::config::Config;
use crate::server::principals_of;

impl Manager {
    /// Has others be known from now on, and says whether they are. What that changes is in the audit trail
    /// before.
    pub(super) fn take_up_principals(
        &self,
        actor: &str,
        principals: Principals,
    ) -> Result<bool, ManageError> {
        let found = differences(&self.access.current(), &principals);
        let is_other = !found.is_empty();
        self.note_differences(actor, found)?;
        self.access.replace(principals);
        Ok(is_other)
    }

    fn note_differences(&self, actor: &str, found: Vec<Difference>) -> Result<(), ManageError> {
        for (action, object, before, after) in found {
            let entry = AuditEntry::new(now(), actor, action, object);
            self.store.audit(entry.change(before, after))?;
        }
        Ok(())
    }

    fn new_token(
        &self,
        actor: &str,
        principal: &str,
        new: &NewToken,
    ) -> Result<TokenChanged, ManageError> {
        let _change = self.lock_changes();
        let file = ConfigFile::read(&self.home)?;
        let text = edit::add_token(&file.text, principal, new)?;
        let config = file.check(&text)?;
        let token = found(&config, principal, &new.name)?;
        if token.expires.is_some_and(|it| it <= now()) {
            let what = "the token would have expired already".to_owned();
            return Err(ManageError::Order { what, hint: "give a moment that is to come" });
        }
        let changed = shown(&token, now());
        self.change_tokens(actor, "token-add", principal, &changed, (&file, &text, &config))?;
        Ok(TokenChanged { principal: principal.to_owned(), token: changed })
    }

    fn take_token(
        &self,
        actor: &str,
        principal: &str,
        token: &str,
    ) -> Result<TokenChanged, ManageError> {
        let _change = self.lock_changes();
        let file = ConfigFile::read(&self.home)?;
        let gone = shown(&found(&file.config, principal, token)?, now());
        let text = edit::remove_token(&file.text, principal, token)?;
        let config = file.check(&text)?;
        self.change_tokens(actor, "token-remove", principal, &gone, (&file, &text, &config))?;
        Ok(TokenChanged { principal: principal.to_owned(), token: gone })
    }

    /// The steps of every change: the audit trail, the file, what runs.
    fn change_tokens(
        &self,
        actor: &str,
        action: &'static str,
        principal: &str,
        token: &PrincipalToken,
        (file, text, config): (&ConfigFile, &str, &Config),
    ) -> Result<(), ManageError> {
        let object = format!("principal:{principal}");
        // Before anything is changed: a token in a file may have become unreadable.
        let principals = read_principals(config)?;
        // The file is taken up as it is, and may say more by now than when it was read last.
        let others = differences_beside(&self.access.current(), &principals, (principal, token));
        self.note_differences(actor, others)?;
        let mut detail = format!("token {:?}", token.name);
        if let Some(expires) = &token.expires {
            detail.extend([", expires ", expires]);
        }
        if let Some(scope) = &token.scope {
            detail.extend([", scope ", &scope.join(", ")]);
        }
        self.audit(actor, action, &object, detail)?;
        self.replace(file, text, actor, (action, &object))?;
        self.access.replace(principals);
        Ok(())
    }
}

/// Who is known by a configuration.
pub(super) fn read_principals(config: &Config) -> Result<Principals, ManageError> {
    principals_of(config).map_err(|failure| ManageError::Principals(failure.message))
}

impl People for Manager {
    fn list(&self) -> Result<PrincipalList, Refusal> {
        Ok(list(&self.access.current(), now()))
    }

    fn add_token(
        &self,
        actor: &str,
        principal: &str,
        new: &NewToken,
    ) -> Result<TokenChanged, Refusal> {
        self.new_token(actor, principal, new).map_err(|it| it.refusal(principal))
    }

    fn remove_token(
        &self,
        actor: &str,
        principal: &str,
        token: &str,
    ) -> Result<TokenChanged, Refusal> {
        self.take_token(actor, principal, token).map_err(|it| it.refusal(principal))
    }
}

/// The token of a configuration.
fn found(config: &Config, principal: &str, token: &str) -> Result<Token, ManageError> {
    let missing = || ManageError::UnknownPrincipal(principal.to_owned());
    let owner = config.principals.iter().find(|it| it.name == principal).ok_or_else(missing)?;
    let found = owner.tokens.iter().find(|it| it.name == token).cloned();
    found.ok_or_else(|| ManageError::UnknownToken {
        principal: principal.to_owned(),
        token: token.to_owned(),
    })
}

/// Who is known, in the API's words.
pub fn list(principals: &Principals, now: UnixMillis) -> PrincipalList {
    let principal = |it: &exeunt_http::Principal| {
        let exeunt_http::Principal {
            name,
            roles,
            groups,
            disabled,
            uid,
            certificate_hashes,
            certificate_subjects,
            tokens,
            scope,
        } = it;
        let scope = scope.as_deref().cloned().unwrap_or_default();
        Principal {
            name: name.clone(),
            roles: words(*roles),
            groups: groups.clone(),
            enabled: !disabled,
            uid: *uid,
            certificate_sha256: certificate_hashes.iter().map(|it| hexadecimal(it)).collect(),
            certificate_subjects: certificate_subjects.clone(),
            templates: scope.templates,
            requesters: scope.requesters,
            tokens: tokens.iter().map(|it| shown(it, now)).collect(),
        }
    };
    PrincipalList {
        principals: principals.people().iter().map(principal).collect(),
        token_files: principals.token_files().map(str::to_owned).collect(),
        role_separation: principals.role_separation(),
        owner_roles: words(principals.owner_roles()),
    }
}

fn shown(token: &Token, now: UnixMillis) -> PrincipalToken {
    let Token { name, sha256: _, expires, scope, from } = token;
    PrincipalToken {
        name: name.clone(),
        expires: expires.map(rfc3339),
        expired: expires.is_some_and(|it| it <= now),
        scope: scope.map(words),
        from: from.iter().map(ToString::to_string).collect(),
    }
}

fn words(roles: Roles) -> Vec<String> {
    roles.iter().map(|(name, _)| name.to_owned()).collect()
}

/// Who is known when the server starts, for the audit trail: what was changed while it did not run, nobody
/// else would say. As many entries as it takes; none where everything is as it is without principals.
pub fn at_start(principals: &Principals) -> Vec<AuditEntry> {
    if principals.people().is_empty() && !principals.role_separation() {
        return Vec::new();
    }
    let mut texts = vec![format!("role separation {}", principals.role_separation())];
    for it in principals.people() {
        let line = format!("{}: {}", it.name, in_words(it));
        match texts.last_mut() {
            Some(text) if text.len() + 1 + line.len() <= AUDIT_STATE_OCTETS_MAX => {
                text.extend(["\n", &line]);
            }
            _ => texts.push(line),
        }
    }
    let entry = |text: String| {
        let entry = AuditEntry::new(now(), crate::audit::SERVER, "access-known", "principals");
        entry.change(None, Some(text))
    };
    texts.into_iter().map(entry).collect()
}

type Difference = (&'static str, String, Option<String>, Option<String>);

/// What differs between who was known and who is: action, object, before and after.
fn differences(old: &Principals, new: &Principals) -> Vec<Difference> {
    let mut found = Vec::new();
    if old.role_separation() != new.role_separation() {
        let word = |it: &Principals| Some(it.role_separation().to_string());
        found.push(("role-separation", "server".to_owned(), word(old), word(new)));
    }
    let names = |it: &Principals| it.token_files().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (names(old), names(new));
    if before != after || !old.has_same_token_files(new) {
        let (before, after) = (Some(before.join(", ")), Some(after.join(", ")));
        found.push(("security-change", "token_files".to_owned(), before, after));
    }
    let of = |all: &Principals, name: &str| all.people().iter().find(|it| it.name == name).cloned();
    let added = new.people().iter().filter(|it| of(old, &it.name).is_none());
    for name in old.people().iter().chain(added).map(|it| it.name.as_str()) {
        let (before, after) = (of(old, name), of(new, name));
        if before == after {
            continue;
        }
        let object = format!("principal:{name}");
        let scope =
            |it: &Option<exeunt_http::Principal>| it.as_ref().and_then(|it| it.scope.clone());
        let are_limits = scope(&before) != scope(&after);
        let action = if are_limits { "manager-limits" } else { "security-change" };
        let told = |it: Option<exeunt_http::Principal>| it.as_ref().map(in_words);
        found.push((action, object, told(before), told(after)));
    }
    found
}

/// What differs beside a token of a principal, which came or went.
fn differences_beside(
    old: &Principals,
    new: &Principals,
    (principal, token): (&str, &PrincipalToken),
) -> Vec<Difference> {
    let rest = |all: &Principals| {
        let mut rest = all.people().iter().find(|it| it.name == principal).cloned()?;
        rest.tokens.retain(|it| it.name != token.name);
        Some(rest)
    };
    let is_token_alone = rest(old) == rest(new);
    let object = format!("principal:{principal}");
    let mut found = differences(old, new);
    found.retain(|(_, it, _, _)| !is_token_alone || *it != object);
    found
}

/// Everything about a principal but the digests of the tokens.
fn in_words(it: &exeunt_http::Principal) -> String {
    let mut words = vec![format!("roles {}", it.roles)];
    if it.disabled {
        words.push("disabled".to_owned());
    }
    if let Some(uid) = it.uid {
        words.push(format!("uid {uid}"));
    }
    if !it.groups.is_empty() {
        words.push(format!("groups {}", it.groups.join(", ")));
    }
    words.extend(it.certificate_hashes.iter().map(|it| format!("certificate {}", hexadecimal(it))));
    words.extend(it.certificate_subjects.iter().map(|it| format!("certificate {it:?}")));
    for Token { name, sha256: _, expires, scope, from } in &it.tokens {
        let mut token = format!("token {name:?}");
        if let Some(expires) = expires {
            token.extend([" until ", &rfc3339(*expires)]);
        }
        if let Some(scope) = scope {
            token.extend([" for ", &scope.to_string()]);
        }
        if !from.is_empty() {
            let from: Vec<String> = from.iter().map(ToString::to_string).collect();
            token.extend([" from ", &from.join(", ")]);
        }
        words.push(token);
    }
    if let Some(scope) = &it.scope {
        words.push(format!("templates {:?}, requesters {:?}", scope.templates, scope.requesters));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use exeunt_engine::ManagerScope;

    use super::*;

    fn principal(name: &str) -> exeunt_http::Principal {
        let roles = Roles::CERTIFICATE_MANAGER;
        exeunt_http::Principal { name: name.to_owned(), roles, ..Default::default() }
    }

    fn shown_token(name: &str) -> PrincipalToken {
        let (expires, scope, from) = (None, None, Vec::new());
        PrincipalToken { name: name.to_owned(), expires, expired: false, scope, from }
    }

    #[test]
    fn a_start_tells_of_everybody_however_many_they_are() {
        let people = (0..500).map(|it| principal(&format!("somebody-{it}"))).collect();
        let told = at_start(&Principals::new(people, Vec::new(), false).unwrap());
        let texts: Vec<String> = told.iter().map(|it| it.after.clone().unwrap()).collect();
        assert!(1 < texts.len() && texts.iter().all(|it| it.len() <= AUDIT_STATE_OCTETS_MAX));
        let lines: Vec<&str> = texts.iter().flat_map(|it| it.lines()).collect();
        assert_eq!((lines[0], lines.len()), ("role separation false", 501));
        assert_eq!(lines[500], "somebody-499: roles certificate-manager");
        assert!(at_start(&Principals::default()).is_empty());
    }

    #[test]
    fn the_audit_trail_is_told_of_every_difference_and_of_no_digest() {
        let token = |digest| Token {
            name: "t".to_owned(),
            sha256: [digest; 32],
            expires: Some(UnixMillis(0)),
            scope: None,
            from: Vec::new(),
        };
        let of = |people, separation| Principals::new(people, Vec::new(), separation).unwrap();
        let mut changed = principal("b");
        changed.tokens = vec![token(7)];
        let mut limited = principal("c");
        let templates = vec!["web".to_owned()];
        limited.scope = Some(Arc::new(ManagerScope { templates, requesters: Vec::new() }));
        let old = of(vec![principal("a"), principal("b"), principal("c")], false);
        let new = of(vec![changed.clone(), limited, principal("d")], true);
        let found = differences(&old, &new);
        let told: Vec<(&str, &str)> = found.iter().map(|it| (it.0, it.1.as_str())).collect();
        assert_eq!(
            told,
            [
                ("role-separation", "server"),
                ("security-change", "principal:a"),
                ("security-change", "principal:b"),
                ("manager-limits", "principal:c"),
                ("security-change", "principal:d"),
            ]
        );
        let after = "roles certificate-manager; token \"t\" until 1970-01-01T00:00:00Z";
        assert_eq!(found[2].3.as_deref(), Some(after));
        assert_eq!((found[1].3.as_ref(), found[4].2.as_ref()), (None, None));
        assert_eq!(differences(&new, &new), []);
        // A token that comes or goes has an entry of its own; whatever else is new has one as well.
        let beside = |old: &Principals, new: &Principals, name: &str| {
            let found = differences_beside(old, new, ("b", &shown_token(name)));
            found.into_iter().map(|it| it.1).collect::<Vec<_>>()
        };
        let with = |roles| {
            let changed = exeunt_http::Principal { roles, ..changed.clone() };
            of(vec![changed], false)
        };
        let without = of(vec![principal("b")], false);
        assert_eq!(beside(&without, &with(Roles::CERTIFICATE_MANAGER), "t"), [] as [&str; 0]);
        assert_eq!(beside(&with(Roles::CERTIFICATE_MANAGER), &without, "t"), [] as [&str; 0]);
        assert_eq!(beside(&without, &with(Roles::ADMINISTRATOR), "t"), ["principal:b"]);
        assert_eq!(beside(&without, &with(Roles::CERTIFICATE_MANAGER), "u"), ["principal:b"]);
        assert_eq!(beside(&of(Vec::new(), false), &without, "t"), ["principal:b"]);
        let two = of(vec![principal("a"), principal("b")], true);
        assert_eq!(beside(&without, &two, "t"), ["server", "principal:a"]);
        // So is a token in a file that is another one under its name.
        let files = |digest| {
            Principals::new(Vec::new(), vec![("f".to_owned(), [digest; 32])], false).unwrap()
        };
        assert_eq!(differences(&files(1), &files(2)).len(), 1);
        assert_eq!(differences(&files(1), &files(1)), []);
        // Another token under the same name is a change, though the words are the same.
        let other = of(vec![exeunt_http::Principal { tokens: vec![token(8)], ..changed }], true);
        assert!(differences(&new, &other).iter().any(|it| it.1 == "principal:b"));
    }
}
