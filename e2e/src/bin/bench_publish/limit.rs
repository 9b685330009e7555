//! The same writes by somebody who does nothing else: the octets that a module has written, as many
//! times, over as many connections.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exeunt_e2e::ca::wait_for;
use exeunt_e2e::targets::{BUCKET, STREAM, Target, amqp_port};
use exeunt_testbed::openldap::{PEOPLE, PUBLISHER};
use exeunt_testbed::process::run;
use exeunt_testbed::samba::USERS;
use exeunt_testbed::{nats, postgres, rabbitmq, s3, smtp};
use exeunt_testkit::tools;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

/// Files that the module `file` stages before it forces the first one to the disk.
const STAGED: usize = 128;

/// Events that are under way to a module at once.
const WINDOW: usize = 256;

/// What a module has written, ready to be written again.
#[derive(Debug)]
pub struct Limit {
    /// How many writes.
    pub count: usize,
    /// Octets of one, in the middle.
    pub octets: usize,
    /// Connections that they go over; none where there is no server.
    pub connections: usize,
    /// By whom, and what that leaves out.
    pub by: &'static str,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// The loop of that name in `limit.py`.
    Python { name: &'static str, about: Value, writes: NamedTempFile },
    /// `ldapmodify` with these changes; and what takes the values away again.
    Ldif { changes: NamedTempFile, away: NamedTempFile },
    /// `pgbench` with these statements of the CA of that name.
    Statements { text: String, ca: String },
    /// `logger` with these lines.
    Lines(NamedTempFile),
}

/// Something that was written.
struct Write {
    name: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Limit {
    /// Reads from a target what a module has written there.
    pub fn of(target: &Target) -> Self {
        match target {
            Target::OpenLdap(server) => {
                let words = ["(userCertificate=*)", "userCertificate;binary"];
                ldif(&server.search(PEOPLE, "one", &words), "userCertificate;binary")
            }
            Target::Samba(server) => {
                let words = ["(userCertificate=*)", "userCertificate"];
                ldif(&server.search(USERS, "one", &words), "userCertificate")
            }
            Target::File(folder) => {
                let files = fs::read_dir(folder.path().join("published")).expect("the folder");
                let writes = files.map(|it| {
                    let it = it.expect("a file");
                    let name = it.file_name().into_string().expect("a name");
                    write(name, &[], fs::read(it.path()).expect("a file"))
                });
                let about = json!({"at_once": STAGED});
                let by = "Python: as many staged, each forced to the disk, renamed, folder forced";
                python("file", 0, by, &about, writes)
            }
            Target::Mail(server) => {
                let writes =
                    server.inbox().into_iter().map(|it| write("", &[], it.text.into_bytes()));
                let about = json!({
                    "port": server.port(), "ca_file": server.ca_file(), "user": smtp::USER,
                    "password": smtp::PASSWORD,
                });
                python("mail", 2, "smtplib of Python", &about, writes)
            }
            Target::Webhook(server) => {
                let received = server.received().into_iter();
                let writes = received.map(|it| write("", &it.headers, it.body));
                let about = json!({"port": server.port(), "ca_file": server.ca_file()});
                let by = "http.client of Python, with the signatures that were made already";
                python("webhook", 8, by, &about, writes)
            }
            Target::Nats(server) => {
                let messages = server.messages(STREAM).into_iter();
                let writes = messages.map(|it| write(it.subject, &it.headers, it.data));
                let about = json!({
                    "url": server.url(), "ca_file": server.ca_file(), "user": nats::USER,
                    "password": nats::PASSWORD, "at_once": WINDOW,
                });
                python("nats", 1, "nats-py, as many in flight", &about, writes)
            }
            Target::Amqp(server, vhost) => {
                let messages = server.take(vhost).into_iter().map(|it| {
                    let properties = it.properties.as_object().into_iter().flatten();
                    let headers: Vec<(String, String)> = properties
                        .filter_map(|(name, value)| {
                            Some((name.clone(), value.as_str()?.to_owned()))
                        })
                        .collect();
                    write(it.routing_key, &headers, it.body)
                });
                let about = json!({
                    "port": amqp_port(server), "vhost": vhost, "ca_file": server.ca_file(),
                    "user": rabbitmq::USER, "password": rabbitmq::PASSWORD, "exchange": "exeunt",
                    "at_once": WINDOW,
                });
                python("amqp", 1, "pika with confirms, as many in flight", &about, messages)
            }
            Target::Sql(server) => statements(server),
            Target::Object(server) => {
                let keys = server.list(BUCKET).into_keys();
                let keys: Vec<String> = keys.filter(|it| it.starts_with("certificates/")).collect();
                let octets = keys.first().and_then(|it| server.get(BUCKET, it));
                // The loop reads them itself, before it begins.
                let writes = keys.into_iter().map(|it| write(it, &[], Vec::new()));
                let about = json!({
                    "url": server.url(), "ca_file": server.ca_file(), "bucket": BUCKET,
                    "access_key": s3::ACCESS_KEY, "secret_key": s3::SECRET_KEY,
                    "region": s3::REGION,
                });
                let by = "boto3, with the same condition and checksum";
                let limit = python("object", 16, by, &about, writes);
                Self { octets: octets.map_or(0, |it| it.body.len()), ..limit }
            }
            Target::Syslog(server) => {
                let lines = server.received();
                let count = lines.lines().count();
                Self {
                    count,
                    octets: lines.len() / count,
                    connections: 1,
                    by: "logger, a header of its own before each; until all of it is in the file",
                    way: Way::Lines(kept(lines.as_bytes())),
                }
            }
            Target::Command(_) => unreachable!("BUG: a program has no load tool"),
        }
    }

    /// Writes all of it once more; how long that took, without the start of the tool. `round` keeps
    /// it apart from what was written before.
    pub fn run(&self, target: &Target, round: usize) -> Duration {
        match &self.way {
            Way::Python { name, about, writes } => {
                let folder = TempDir::new().expect("a folder");
                let mut about = about.clone();
                about["writes"] = json!(writes.path());
                about["connections"] = json!(self.connections);
                about["mark"] = json!(format!("limit-{round}"));
                if let Target::File(beside) = target {
                    about["folder"] = json!(beside.path().join(format!("limit-{round}")));
                }
                let took = in_python(name, &about);
                drop(folder);
                took
            }
            Way::Ldif { changes, .. } => {
                let timed = |mut command: Command| {
                    let begun = Instant::now();
                    run(&mut command);
                    begun.elapsed()
                };
                let modify = |file: &Path| {
                    let mut command = ldap_tool(target, "ldapmodify");
                    command.arg("-f").arg(file);
                    timed(command)
                };
                let start = modify(Path::new("/dev/null"));
                modify(changes.path()).saturating_sub(start)
            }
            Way::Statements { text, ca } => {
                let Target::Sql(server) = target else { unreachable!("BUG: statements of others") };
                let text = text.replace(&format!("\t('{ca}', "), &format!("\t('limit-{round}', "));
                let took = pgbench(server, &kept(text.as_bytes()));
                let there =
                    format!("SELECT count(*) FROM exeunt.request WHERE ca = 'limit-{round}'");
                assert_eq!(server.sql(&there).trim(), self.count.to_string());
                took
            }
            Way::Lines(lines) => {
                let Target::Syslog(server) = target else { unreachable!("BUG: lines of others") };
                let wanted = server.received().lines().count() + self.count;
                let port = server.port().to_string();
                let mut logger = Command::new("logger");
                logger.args(["--tcp", "--octet-count", "--server", "127.0.0.1", "--port", &port]);
                logger.args(["--rfc5424", "--size", "64KiB", "--file"]).arg(lines.path());
                let begun = Instant::now();
                run(&mut logger);
                wait_for("every line", || {
                    (wanted <= server.received().lines().count()).then_some(())
                });
                begun.elapsed()
            }
        }
    }

    /// Takes away what stands in the way of the same writes.
    pub fn clear(&self, target: &Target) {
        if let Way::Ldif { away, .. } = &self.way {
            run(ldap_tool(target, "ldapmodify").arg("-f").arg(away.path()));
        }
    }
}

fn write(name: impl Into<String>, headers: &[(String, String)], body: Vec<u8>) -> Write {
    Write { name: name.into(), headers: headers.to_vec(), body }
}

fn kept(content: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    fs::write(file.path(), content).expect("its content");
    file
}

fn python(
    name: &'static str,
    connections: usize,
    by: &'static str,
    about: &Value,
    writes: impl Iterator<Item = Write>,
) -> Limit {
    let file = NamedTempFile::new().expect("a file");
    let mut out = BufWriter::new(file.as_file());
    let mut octets: Vec<usize> = Vec::new();
    for Write { name, headers, body } in writes {
        octets.push(body.len());
        let line = json!({"name": name, "headers": headers, "body": STANDARD.encode(body)});
        writeln!(out, "{line}").expect("a line");
    }
    out.flush().expect("the file");
    drop(out);
    octets.sort_unstable();
    let (count, middle) = (octets.len(), octets.get(octets.len() / 2).copied().unwrap_or(0));
    let way = Way::Python { name, about: about.clone(), writes: file };
    Limit { count, octets: middle, connections, by, way }
}

/// How long the loop of that name took by its own clock.
fn in_python(name: &str, about: &Value) -> Duration {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bench_publish/limit.py");
    let mut command = Command::new(tools::test_tools().join("venv/bin/python3"));
    let said = run(command.arg("-B").arg(script).args([name, &about.to_string()]));
    let said = String::from_utf8(said).expect("text");
    Duration::from_secs_f64(said.trim().parse().expect("seconds"))
}

/// Makes changes of what a search has found.
fn ldif(found: &str, attribute: &str) -> Limit {
    let (mut changes, mut away) = (Vec::new(), Vec::new());
    let (mut count, mut octets) = (0, 0);
    for entry in found.split("\n\n") {
        let Some(name) = entry.lines().find(|it| it.starts_with("dn:")) else { continue };
        let values: Vec<&str> = entry.lines().filter(|it| it.starts_with("userCert")).collect();
        if values.is_empty() {
            continue;
        }
        count += values.len();
        octets += values.iter().map(|it| it.len() * 3 / 4).sum::<usize>();
        let values = values.join("\n");
        changes.push(format!("{name}\nchangetype: modify\nadd: {attribute}\n{values}\n\n"));
        away.push(format!("{name}\nchangetype: modify\ndelete: {attribute}\n\n"));
    }
    let kept = |it: Vec<String>| kept(it.concat().as_bytes());
    let way = Way::Ldif { changes: kept(changes), away: kept(away) };
    let by = "ldapmodify less its start; it neither looks for the object nor reads back";
    Limit { count, octets: octets / count.max(1), connections: 1, by, way }
}

fn ldap_tool(target: &Target, name: &str) -> Command {
    match target {
        Target::OpenLdap(server) => server.tool(name, PUBLISHER),
        Target::Samba(server) => server.tool(name),
        _ => unreachable!("BUG: no directory"),
    }
}

/// The rows of both tables as transactions of as many rows as the module's.
fn statements(server: &postgres::Postgres) -> Limit {
    let tables = [("certificate", "sha256"), ("request", "request_id")];
    let [certificates, requests] = tables.map(|(table, key)| upserts(server, table, key));
    let ca = server.sql("SELECT DISTINCT ca FROM exeunt.certificate");
    let count = server.sql("SELECT count(*) FROM exeunt.certificate");
    let pairs = certificates.iter().zip(&requests);
    let text: Vec<String> = pairs.map(|(a, b)| format!("BEGIN;\n{a}\n{b}\nCOMMIT;\n")).collect();
    let text = text.concat();
    let count = count.trim().parse().expect("a number");
    Limit {
        count,
        octets: text.len() / count,
        connections: 1,
        by: "pgbench: the same upserts of both tables, as many rows in a transaction",
        way: Way::Statements { text, ca: ca.trim().to_owned() },
    }
}

/// The rows of a table as statements that write over what is there, as the module's.
fn upserts(server: &postgres::Postgres, table: &str, key: &str) -> Vec<String> {
    let columns = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'exeunt' \
         AND table_name = '{table}' ORDER BY ordinal_position"
    );
    let columns = server.sql(&columns);
    let set: Vec<String> = columns
        .lines()
        .filter(|it| *it != "ca" && *it != key)
        .map(|it| format!("{it} = excluded.{it}"))
        .collect();
    let on_conflict = format!(
        ")\nON CONFLICT (ca, {key}) DO UPDATE SET {} WHERE excluded.event_seq >= t.event_seq;",
        set.join(", ")
    );
    let start = format!("INSERT INTO exeunt.{table} VALUES");
    server
        .dump(&format!("exeunt.{table}"), WINDOW)
        .split(&start)
        .skip(1)
        .map(|it| {
            let rows = it.split_once(");\n").expect("the end of a statement").0;
            format!("INSERT INTO exeunt.{table} AS t VALUES{rows}{on_conflict}")
        })
        .collect()
}

/// How long a script took, without connecting.
fn pgbench(server: &postgres::Postgres, script: &NamedTempFile) -> Duration {
    let mut command = Command::new("pgbench");
    command.args(["--no-vacuum", "--client", "1", "--transactions", "1", "--file"]);
    command.arg(script.path());
    command.env("PGHOST", "localhost").env("PGPORT", server.port().to_string());
    command.env("PGUSER", postgres::USER).env("PGPASSWORD", postgres::PASSWORD);
    command.env("PGDATABASE", postgres::DATABASE).env("PGSSLMODE", "verify-full");
    command.env("PGSSLROOTCERT", server.ca_file());
    let said = String::from_utf8(run(&mut command)).expect("text");
    let words = "latency average = ";
    let took = said.lines().find_map(|it| it.strip_prefix(words)?.strip_suffix(" ms"));
    let took = took.unwrap_or_else(|| panic!("pgbench says no {words:?}: {said}"));
    Duration::from_secs_f64(took.parse::<f64>().expect("milliseconds") / 1000.0)
}
