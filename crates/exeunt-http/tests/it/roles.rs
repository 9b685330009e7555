//! Who may do what: every endpoint by every role, by every means; and what becomes of those who may not.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;

use exeunt_api::{Problem, RequestPage, SubmitAnswer};
use exeunt_engine::ManagerScope;
use exeunt_http::{
    Access, ClientTrust, Clients, ENDPOINTS, Endpoint, EndpointDoor, GUESSES_MAX, Principal,
    Principals, REFUSALS_OF_ONE_MAX, Tls, Token, token_digest,
};
use exeunt_testkit::requests::openssl_key;
use exeunt_types::{Roles, UnixMillis};
use expect_test::expect_file;
use reqwest::blocking::Response;
use reqwest::{Certificate, Identity};

use crate::ca::{Ca, Http, PATIENCE, Wanted, client, eventually, problem};
use crate::tls::{port, serve_with};

/// The page that is made of the table. `UPDATE_EXPECT=1` writes it.
#[test]
fn the_page_of_roles_is_that_of_the_table() {
    expect_file!["../../../../docs/roles.md"].assert_eq(&page());
}

const PREFACE: &str = "# Who may do what

Made from the table of endpoints by `UPDATE_EXPECT=1 cargo test -p exeunt-http --test it roles::`, which also asks a
server for every cell: as a token, as a client's certificate and as a user at a Unix socket. What the roles mean
and how people get them is in [manual/roles.md](manual/roles.md).

- **yes**: whoever has the role may, also with no other one.
- **own**: only about requests that the caller has made, and their certificates.
- **–**: 403, `role-missing`.
- *Socket* instead of *anywhere*: by a Unix socket of the server only; elsewhere 403, `manage-local-only`.
- *Public*: anybody may, without saying who he is.

";

fn page() -> String {
    let mut page = PREFACE.to_owned();
    page += "| Method | Path | From where |";
    for (name, _) in Roles::NAMES {
        write!(page, " {name} |").unwrap();
    }
    page += "\n|---|---|---|";
    page += &"---|".repeat(Roles::NAMES.len());
    page += "\n";
    for it in ENDPOINTS {
        let door = match it.door {
            EndpointDoor::Public => "public",
            EndpointDoor::Authenticated => "anywhere",
            EndpointDoor::Local => "socket",
        };
        write!(page, "| {} | `{}` | {door} |", it.method, it.path).unwrap();
        for (_, role) in Roles::NAMES {
            let cell = match it.door {
                EndpointDoor::Public => "yes",
                _ if it.needs.intersects(role) => "yes",
                _ if it.own.intersects(role) => "own",
                _ => "–",
            };
            write!(page, " {cell} |").unwrap();
        }
        page += "\n";
    }
    page
}

/// A path of the endpoint, about things that are not there.
fn path_of(endpoint: &Endpoint) -> String {
    let path = endpoint.path.replace("{id}", "4000000000").replace("{number}", "4000000000");
    let path = path.replace("{serial}", "5c0ffee1").replace("{list}", "base");
    let file = if path.starts_with("/crl") { "ca.crl" } else { "ca.crt" };
    let name = if path.starts_with("/v1") { "nothing" } else { file };
    let path = path.replace("{name}", name).replace("{oid}", "1.2.3").replace("{token}", "none");
    path.replace("{+request}", "MEI=").replace(['{', '}'], "")
}

fn ask(http: &Http, endpoint: &Endpoint) -> Response {
    let url = format!("{}{}", http.base, path_of(endpoint));
    http.send(http.client.request(endpoint.method.parse().unwrap(), url))
}

/// Asserts that the answer to somebody with one role is that of the table.
#[track_caller]
fn check_cell(endpoint: &Endpoint, (name, role): (&str, Roles), at_socket: bool, told: Response) {
    let cell = format!("{} {} as {name}", endpoint.method, endpoint.path);
    let status = told.status().as_u16();
    let problem: Option<Problem> = serde_json::from_str(&told.text().unwrap()).ok();
    let refused = [401, 403, 429].contains(&status);
    let told = (status, problem.as_ref().map_or("", |it| it.code.as_str()));
    if endpoint.door == EndpointDoor::Public {
        assert!(!refused, "{cell}: {told:?}");
    } else if endpoint.door == EndpointDoor::Local && !at_socket {
        assert_eq!(told, (403, "manage-local-only"), "{cell}");
    } else if endpoint.needs.or(endpoint.own).intersects(role) {
        assert!(!refused, "{cell}: {told:?}");
    } else {
        assert_eq!(told, (403, "role-missing"), "{cell}");
        // It says what would help.
        let detail = problem.unwrap().detail;
        for (name, _) in endpoint.needs.or(endpoint.own).iter() {
            assert!(detail.contains(name), "{cell}: {detail}");
        }
    }
}

fn token_of(role: &str) -> String {
    format!("the-token-of-the-{role}")
}

fn token(name: &str, text: &str) -> Token {
    let (expires, scope, from) = (None, None, Vec::new());
    Token { name: name.to_owned(), sha256: token_digest(text), expires, scope, from }
}

/// One principal for each role, with a token and a certificate.
fn one_of_each() -> Vec<Principal> {
    let principal = |(name, roles): (&str, Roles)| Principal {
        name: name.to_owned(),
        roles,
        tokens: vec![token("t", &token_of(name))],
        certificate_subjects: vec![format!("CN={name}.example")],
        ..Principal::default()
    };
    Roles::NAMES.into_iter().map(principal).collect()
}

fn with_token(ca: &Ca, token: &str) -> Http {
    Http { token: Some(token.to_owned()), ..ca.remote() }
}

#[test]
fn every_cell_by_token() {
    let ca = Ca::start_as(Wanted { people: one_of_each(), ..Wanted::default() });
    for role in Roles::NAMES {
        let http = with_token(&ca, &token_of(role.0));
        for endpoint in ENDPOINTS {
            check_cell(endpoint, role, false, ask(&http, endpoint));
        }
    }
    let nobody = Http { token: None, ..ca.remote() };
    for endpoint in ENDPOINTS {
        let told = ask(&nobody, endpoint);
        if endpoint.door == EndpointDoor::Public {
            assert_ne!(told.status(), 401, "{}", endpoint.path);
        } else {
            problem(told, 401, "unauthorized");
        }
    }
}

#[test]
fn every_cell_by_the_user_at_the_socket() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    let mut access = None;
    serve_with(&mut ca, Vec::new(), |it| access = Some(Arc::clone(&it.access)));
    let (access, http) = (access.unwrap(), ca.local());
    let uid = Some(rustix::process::geteuid().as_raw());
    for role in Roles::NAMES {
        let who = Principal { name: role.0.to_owned(), roles: role.1, uid, ..Principal::default() };
        // On the same connection: what counts is who may at the moment of the request.
        access.replace(Principals::new(vec![who], Vec::new(), false).unwrap());
        for endpoint in ENDPOINTS {
            check_cell(endpoint, role, true, ask(&http, endpoint));
        }
    }
}

#[test]
fn every_cell_by_certificate() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    let doors = vec![(Some(Tls::Own), Clients::Ask(ClientTrust::default()))];
    serve_with(&mut ca, doors, |it| {
        it.access = Access::new(Principals::new(one_of_each(), Vec::new(), false).unwrap());
    });
    let root: exeunt_api::CaDescription = ca.local().get("/v1/ca").json().unwrap();
    let key = std::fs::read_to_string(openssl_key("ec:P-256")).unwrap();
    for role in Roles::NAMES {
        let request = ca.request(&format!("/CN={}.example", role.0), &[]);
        let answer: SubmitAnswer =
            ca.local().post("/v1/requests?template=tls-client", request).json().unwrap();
        let pem = format!("{}{key}", answer.certificate.unwrap());
        let root = Certificate::from_pem(root.certificate.as_bytes()).unwrap();
        let client = client()
            .tls_certs_only([root])
            .identity(Identity::from_pem(pem.as_bytes()).unwrap())
            .build()
            .unwrap();
        let base = format!("https://localhost:{}", port(&ca, 0));
        let http = Http { client, base, token: None };
        for endpoint in ENDPOINTS {
            check_cell(endpoint, role, false, ask(&http, endpoint));
        }
    }
}

#[test]
fn an_enrollee_reads_what_is_his_own_and_a_reader_everything() {
    let ca = Ca::start_as(Wanted { people: one_of_each(), ..Wanted::default() });
    let (own, reader) =
        (with_token(&ca, &token_of("enrollee")), with_token(&ca, &token_of("reader")));
    let submit = |http: &Http, path: &str| -> SubmitAnswer {
        http.post(path, ca.request("/CN=host.example", &[])).json().unwrap()
    };
    let others = submit(&ca.local(), "/v1/requests");
    let mine = submit(&own, "/v1/requests");
    let serial = |it: &SubmitAnswer| it.serial.clone().unwrap();
    for path in [
        format!("/v1/requests/{}", others.request_id),
        format!("/v1/certificates/{}", serial(&others)),
    ] {
        let told = problem(own.get(&path), 403, "role-missing");
        assert!(told.detail.contains("reader"), "{}", told.detail);
        assert_eq!(reader.get(&path).status(), 200);
    }
    let fetch = format!("/v1/requests/{}/retrieve", others.request_id);
    problem(own.post(&fetch, ""), 403, "role-missing");
    for path in
        [format!("/v1/requests/{}", mine.request_id), format!("/v1/certificates/{}", serial(&mine))]
    {
        assert_eq!(own.get(&path).status(), 200, "{path}");
    }
    assert_eq!(own.post(&format!("/v1/requests/{}/retrieve", mine.request_id), "").status(), 200);

    let ids = |told: Response| -> Vec<u64> {
        let page: RequestPage = told.json().unwrap();
        page.requests.iter().map(|it| it.id).collect()
    };
    assert_eq!(ids(own.get("/v1/requests")), [mine.request_id]);
    assert_eq!(ids(own.get("/v1/requests?caller_is=principal:enrollee")), [mine.request_id]);
    problem(own.get("/v1/requests?caller_is=principal:reader"), 403, "role-missing");
    let csv = own.get("/v1/requests?format=csv").text().unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let all = ids(reader.get("/v1/requests"));
    assert!([mine.request_id, others.request_id].iter().all(|it| all.contains(it)));
    problem(own.get("/v1/certificates"), 403, "role-missing");
}

#[test]
fn a_limited_manager_decides_within_his_limits_and_no_further() {
    let templates = vec!["held".to_owned()];
    let scope = ManagerScope { templates, requesters: vec!["token:te*".to_owned()] };
    let manager = Principal {
        name: "m".to_owned(),
        roles: Roles::CERTIFICATE_MANAGER,
        tokens: vec![token("t", "manager")],
        scope: Some(Arc::new(scope)),
        ..Principal::default()
    };
    let ca = Ca::start_as(Wanted { people: vec![manager], ..Wanted::default() });
    let http = with_token(&ca, "manager");
    let submit = |http: &Http, path: &str| -> SubmitAnswer {
        http.post(path, ca.request("/CN=host.example", &[])).json().unwrap()
    };
    let his = submit(&ca.remote(), "/v1/requests?template=held").request_id;
    let of_others = submit(&ca.local(), "/v1/requests?template=held").request_id;
    let other_template = submit(&ca.remote(), "/v1/requests").serial.unwrap();
    let approve = |id: u64| http.post(&format!("/v1/requests/{id}/approve"), "");
    problem(approve(of_others), 403, "manager-restricted");
    let revoke = format!("/v1/certificates/{other_template}/revoke");
    problem(http.post(&revoke, ""), 403, "manager-restricted");
    let body = format!(r#"{{"serials": ["{other_template}"]}}"#);
    let many: serde_json::Value = http.post("/v1/certificates/revoke", body).json().unwrap();
    assert_eq!(many["results"][0]["code"], "manager-restricted");
    let import = r#"{"certificates": ["x"]}"#;
    problem(http.post("/v1/certificates", import), 403, "manager-restricted");
    problem(http.post("/v1/crls", ""), 403, "manager-restricted");
    assert_eq!(approve(his).status(), 200);
    let refused = audited(&ca, "access-refused");
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(refused.iter().all(|it| it.starts_with("principal:m by token:t")), "{refused:?}");
}

/// The entries of one kind, each as `actor object detail`.
fn audited(ca: &Ca, action: &str) -> Vec<String> {
    let rows = ca.engine.store().audit_after(0, 1000).unwrap();
    let rows = rows.into_iter().map(|it| it.entry).filter(|it| it.action == action);
    rows.map(|it| format!("{} {} {}", it.actor, it.object, it.detail)).collect()
}

#[test]
fn every_refusal_says_who_what_and_from_where_and_no_secret() {
    let mut late = token("late", "a-token-that-is-late");
    late.expires = Some(UnixMillis(0));
    let roles = Roles::READER;
    let people = vec![
        Principal {
            name: "a".to_owned(),
            roles,
            tokens: vec![token("t", "a-token-of-a"), late],
            ..Principal::default()
        },
        Principal {
            name: "b".to_owned(),
            roles,
            disabled: true,
            tokens: vec![token("t", "a-token-of-b")],
            ..Principal::default()
        },
    ];
    let ca = Ca::start_as(Wanted { people, ..Wanted::default() });
    let get = |token: &str, path: &str| with_token(&ca, token).get(path);
    problem(get("a-wrong-token", "/v1/ca"), 401, "unauthorized");
    problem(get("a-token-that-is-late", "/v1/ca"), 401, "token-expired");
    problem(get("a-token-of-b", "/v1/ca"), 403, "principal-disabled");
    problem(get("a-token-of-a", "/v1/principals?x=secret"), 403, "role-missing");
    assert_eq!(get("a-token-of-a", "/v1/ca").status(), 200);
    // Each before its answer.
    assert_eq!(
        audited(&ca, "access-refused"),
        [
            "unknown at 127.0.0.1 GET /v1/ca unauthorized, from 127.0.0.1",
            "principal:a by token:late GET /v1/ca token-expired, from 127.0.0.1",
            "principal:b by token:t GET /v1/ca principal-disabled, from 127.0.0.1",
            "principal:a by token:t GET /v1/principals role-missing, from 127.0.0.1",
        ]
    );
}

#[test]
fn a_guesser_is_told_to_wait_and_the_socket_is_never_closed() {
    let mut ca = Ca::start();
    for _ in 0..GUESSES_MAX {
        problem(with_token(&ca, "guess").get("/v1/ca"), 401, "unauthorized");
    }
    for token in ["guess", crate::ca::TOKEN] {
        let told = with_token(&ca, token).get("/v1/ca");
        let wait: u64 = told.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        problem(told, 429, "too-many-guesses");
    }
    assert_eq!(ca.local().get("/v1/ca").status(), 200);
    assert_eq!(
        ca.remote().get("/v1/health").status(),
        200,
        "what is public is so for guessers, too"
    );
    for _ in 0..2 * REFUSALS_OF_ONE_MAX {
        problem(with_token(&ca, "guess").get("/v1/ca"), 429, "too-many-guesses");
    }
    let written = audited(&ca, "access-refused").len();
    assert_eq!(u64::try_from(written).unwrap(), REFUSALS_OF_ONE_MAX);
    // What is counted comes at the end of the minute, or of the server.
    ca.server.take().unwrap().stop(PATIENCE);
    let refused = audited(&ca, "access-refused");
    let more = u64::from(GUESSES_MAX) + 2 + REFUSALS_OF_ONE_MAX;
    let expected = format!("unknown at 127.0.0.1 more and {more} more in this minute");
    assert_eq!(refused.last(), Some(&expected));
}

#[test]
fn whoever_is_taken_away_is_out_with_the_next_request() {
    let people = one_of_each();
    let (mut ca, gate) = Ca::closed();
    gate.open();
    let mut access = None;
    serve_with(&mut ca, vec![(None, Clients::Refuse)], |it| {
        it.access = Access::new(Principals::new(people, Vec::new(), false).unwrap());
        access = Some(Arc::clone(&it.access));
    });
    let base = format!("http://127.0.0.1:{}", port(&ca, 0));
    let http = Http { client: client().build().unwrap(), base, token: Some(token_of("reader")) };
    assert_eq!(http.get("/v1/requests").status(), 200);
    access.unwrap().replace(Principals::default());
    problem(http.get("/v1/requests"), 401, "unauthorized");
}

#[test]
fn a_user_of_a_principal_comes_by_the_socket_for_users_and_nobody_else_does() {
    // Only root can become somebody else; elsewhere the rule is tested as a function.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let path = folder.path().join("users.sock");
    let (mut ca, gate) = Ca::closed();
    gate.open();
    let uid = Some(65_533);
    let auditor =
        Principal { name: "a".to_owned(), roles: Roles::AUDITOR, uid, ..Principal::default() };
    serve_with(&mut ca, Vec::new(), |it| {
        it.peer_socket = Some(path.clone());
        // However it is confined: modules are the server's own user.
        it.refused_process = Some(Arc::new(|_| true));
        it.access = Access::new(Principals::new(vec![auditor], Vec::new(), true).unwrap());
    });
    let curl = |uid: u32, path_of_api: &str| {
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--max-time", "20", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code}", "--unix-socket"]).arg(&path);
        let output = command.arg(format!("http://exeunt{path_of_api}")).uid(uid).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(65_533, "/v1/requests"), "200");
    assert_eq!(curl(65_533, "/v1/exits/x/settings"), "403");
    assert_eq!(curl(65_534, "/v1/requests"), "403");
    assert_eq!(curl(0, "/v1/requests"), "000", "a module came in");
    // A crowd of users who are nobody's takes no room from those who are somebody's.
    let hold = "import os, socket, sys\n\
                os.setuid(65534)\n\
                all = [socket.socket(socket.AF_UNIX) for _ in range(300)]\n\
                for it in all: it.connect(sys.argv[1])\n\
                print('in', flush=True)\n\
                sys.stdin.read()";
    let mut crowd = std::process::Command::new("python3")
        .args(["-c", hold])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 2];
    std::io::Read::read_exact(crowd.stdout.as_mut().unwrap(), &mut said).unwrap();
    let told = curl(65_533, "/v1/requests");
    drop(crowd.stdin.take());
    crowd.wait().unwrap();
    assert_eq!(told, "200");
    let turned_away = |it: &String| it.starts_with("exit-module the socket peer-not-allowed");
    eventually("the entry about it", || {
        audited(&ca, "access-refused").iter().any(turned_away).then_some(())
    });
    let of_crowd = |it: &String| it.contains("65534 the socket peer-not-allowed");
    let refused = audited(&ca, "access-refused").into_iter();
    let refused: Vec<String> = refused.filter(|it| !turned_away(it) && !of_crowd(it)).collect();
    assert_eq!(
        refused,
        [
            "principal:a by uid:65533 GET /v1/exits/x/settings role-missing, from the socket, user \
             65533",
            "unknown at the socket, user 65534 GET /v1/requests peer-not-allowed, from the socket, \
             user 65534",
        ]
    );
    ca.server.take().unwrap().stop(PATIENCE);
    eventually("the end of the socket", || (!path.exists()).then_some(()));
}
