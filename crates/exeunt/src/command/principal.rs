//! `exeunt principal …` and `exeunt token …`.

use std::time::Duration;

use exeunt_api::{
    NewToken, PRINCIPALS_PATH, Principal, PrincipalList, PrincipalToken, TokenChanged,
};
use exeunt_http::rfc3339;
use exeunt_keys::{random_bytes, secret_file, sha256};
use exeunt_types::hexadecimal;
use reqwest::Method;
use zeroize::Zeroizing;

use crate::cli::{AddToken, Door, Ending, Principal as PrincipalCommand, Token as TokenCommand};
use crate::client::ApiClient;
use crate::clock::now;
use crate::failure::Failure;
use crate::output;

pub fn run(command: PrincipalCommand) -> Result<u8, Failure> {
    let PrincipalCommand::List { json, door } = command;
    let list = fetch(&door)?;
    if json {
        output::json(&list)?;
    } else {
        let rows = list.principals.iter().map(row).collect();
        output::table(&["PRINCIPAL", "ROLES", "RECOGNIZED BY", "LIMITS"], rows)?;
        for sentence in beside(&list) {
            output::line(&sentence)?;
        }
    }
    Ok(0)
}

pub fn token(command: TokenCommand) -> Result<u8, Failure> {
    match command {
        TokenCommand::Add(options) => add(&options)?,
        TokenCommand::List { principal, json, door } => show_tokens(principal, json, &door)?,
        TokenCommand::Remove { principal, name, json, door } => {
            let path = format!("{}/{}", tokens_path(&principal)?, segment(&name)?);
            let client = ApiClient::open(&door)?;
            let gone: TokenChanged = client.change(Method::DELETE, &path, &[], None::<&()>)?;
            if json {
                output::json(&gone)?;
            } else {
                output::line(&format!("token {name} of {principal} counts no more"))?;
            }
        }
    }
    Ok(0)
}

fn fetch(door: &Door) -> Result<PrincipalList, Failure> {
    ApiClient::open(door)?.get(PRINCIPALS_PATH, &[])
}

/// The token is made here: the server knows its digest only.
fn add(options: &AddToken) -> Result<(), Failure> {
    let AddToken { principal, name, expires, scope, from, out, door } = options;
    let client = ApiClient::open(door)?;
    let token = new_token()?;
    let name = if let Some(name) = name {
        name.clone()
    } else {
        format!("t-{}", hexadecimal(&random_bytes::<4>()?))
    };
    let expires = expires.as_ref().map(|it| match it {
        Ending::At(moment) => moment.clone(),
        Ending::After(seconds) => rfc3339(now().plus(Duration::from_secs(*seconds))),
    });
    let new = NewToken {
        name,
        sha256: hexadecimal(&sha256(token.as_bytes())),
        expires,
        scope: Some(scope.clone()).filter(|it| !it.is_empty()),
        from: from.clone(),
    };
    let path = tokens_path(principal)?;
    // Before the server knows of it: a token that cannot be kept is none.
    if let Some(file) = out {
        let line = Zeroizing::new(format!("{}\n", *token));
        secret_file::write_new(file, line.as_bytes())?;
    }
    let added: Result<TokenChanged, Failure> = client.change(Method::POST, &path, &[], Some(&new));
    if added.is_err()
        && let Some(file) = out
    {
        // It was made a moment ago, and opens nothing.
        let _ = std::fs::remove_file(file);
    }
    let TokenChanged { principal, token: known } = added?;
    let until = known.expires.map(|it| format!(", until {it}")).unwrap_or_default();
    eprintln!("Token {} of {principal} counts from now on{until}.", known.name);
    if let Some(file) = out {
        return output::line(&format!("It is in {}.", file.display()));
    }
    eprintln!("Keep it: nobody can show it again.");
    output::line(&token)
}

/// 256 random bits in hexadecimal.
fn new_token() -> Result<Zeroizing<String>, Failure> {
    let octets = Zeroizing::new(random_bytes::<32>()?);
    Ok(Zeroizing::new(hexadecimal(&*octets)))
}

fn show_tokens(principal: Option<String>, json: bool, door: &Door) -> Result<(), Failure> {
    let mut list = fetch(door)?.principals;
    if let Some(name) = principal {
        list.retain(|it| it.name == name);
        if list.is_empty() {
            let message = format!("no principal is called {name:?}");
            return Err(Failure::new("principal-not-found", message)
                .hint("see who there is: exeunt principal list"));
        }
    }
    if json {
        return output::json(&list);
    }
    let rows = list.iter().flat_map(|it| it.tokens.iter().map(|token| token_row(it, token)));
    output::table(&["PRINCIPAL", "TOKEN", "EXPIRES", "SCOPE", "FROM"], rows.collect())
}

fn token_row(principal: &Principal, token: &PrincipalToken) -> Vec<String> {
    let PrincipalToken { name, expires, expired, scope, from } = token;
    let expires = match (expires, expired) {
        (Some(moment), true) => format!("{moment} (over)"),
        (Some(moment), false) => moment.clone(),
        (None, _) => "never".to_owned(),
    };
    let scope = scope.as_ref().unwrap_or(&principal.roles).join(", ");
    let from = if from.is_empty() { "anywhere".to_owned() } else { from.join(", ") };
    vec![principal.name.clone(), name.clone(), expires, scope, from]
}

fn row(it: &Principal) -> Vec<String> {
    let mut means = Vec::new();
    means.extend(it.uid.map(|it| format!("uid {it}")));
    let hashes = it.certificate_sha256.iter().map(|it| format!("certificate {}", short(it)));
    means.extend(hashes);
    means.extend(it.certificate_subjects.iter().map(|it| format!("certificate {it}")));
    means.extend(it.tokens.iter().map(|it| format!("token {}", it.name)));
    let mut limits = Vec::new();
    if !it.enabled {
        limits.push("switched off".to_owned());
    }
    if !it.templates.is_empty() {
        limits.push(format!("templates {}", it.templates.join(", ")));
    }
    if !it.requesters.is_empty() {
        limits.push(format!("requesters {}", it.requesters.join(", ")));
    }
    vec![it.name.clone(), it.roles.join(", "), means.join("; "), limits.join("; ")]
}

/// The first digits of a digest, which are enough to tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// Who comes in beside the principals.
pub fn beside(list: &PrincipalList) -> Vec<String> {
    let mut sentences = Vec::new();
    if !list.token_files.is_empty() {
        let names = list.token_files.join(", ");
        sentences.push(format!("Tokens in files ({names}): reader, enrollee."));
    }
    let owner = list.owner_roles.join(", ");
    sentences.push(format!("The server's own user and root, where not named above: {owner}."));
    let word = if list.role_separation { "on" } else { "off" };
    sentences.push(format!("Role separation is {word}."));
    sentences
}

/// What config check says of one principal.
pub fn sentence(it: &Principal) -> String {
    let row = row(it);
    let [name, roles, means, limits] = [0, 1, 2, 3].map(|at| row[at].as_str());
    let means = if means.is_empty() { "nothing yet" } else { means };
    let limits = if limits.is_empty() { String::new() } else { format!(" ({limits})") };
    format!("{name}: {roles}{limits}, by {means}")
}

fn tokens_path(principal: &str) -> Result<String, Failure> {
    Ok(format!("{PRINCIPALS_PATH}/{}/tokens", segment(principal)?))
}

/// A name that can stand in a path. One that is none is not sent.
fn segment(name: &str) -> Result<&str, Failure> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.' | '@');
    if !name.is_empty() && !matches!(name, "." | "..") && name.chars().all(is_plain) {
        return Ok(name);
    }
    Err(Failure::usage("usage-principal", format!("{name:?} is no name of a principal or token"))
        .hint("see who there is: exeunt principal list"))
}
