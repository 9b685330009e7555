//! The receiver that most machines have: rsyslog, over each of the ways.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exeunt_module_kit::Value;
use exeunt_testbed::{
    authority::{Authority, Flaw},
    process::{Process, free_port},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::fixture::{assert_has, deliver, events, host, lines};

struct Rsyslog {
    folder: TempDir,
    authority: Authority,
    tls: u16,
    tcp: u16,
    udp: u16,
    _process: Process,
}

impl Rsyslog {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = Authority::new(&folder.path().join("tls"));
        let identity = authority.server(Flaw::Nothing);
        let (tls, tcp, udp) = (free_port(), free_port(), free_port());
        let field = |name: &str, property: &str| {
            format!("property(outname=\"{name}\" name=\"{property}\" format=\"jsonf\")")
        };
        let fields = [
            field("pri", "pri"),
            field("host", "hostname"),
            field("app", "app-name"),
            field("kind", "msgid"),
            field("text", "msg"),
        ]
        .join(" constant(value=\", \") ");
        let settings = format!(
            "global(workDirectory=\"{work}\" maxMessageSize=\"64k\"
                defaultNetstreamDriverCAFile=\"{ca}\" defaultNetstreamDriverCertFile=\"{certificate}\"
                defaultNetstreamDriverKeyFile=\"{key}\")
             module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\"
                streamDriver.authMode=\"anon\")
             module(load=\"imptcp\")
             module(load=\"imudp\")
             module(load=\"imuxsock\" sysSock.use=\"off\")
             module(load=\"mmpstrucdata\")
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tls}\")
             input(type=\"imptcp\" address=\"127.0.0.1\" port=\"{tcp}\")
             input(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\" rcvbufSize=\"1m\")
             input(type=\"imuxsock\" socket=\"{socket}\" useSpecialParser=\"off\" parseHostname=\"on\"
                rateLimit.interval=\"0\" useSysTimeStamp=\"off\")
             template(name=\"json\" type=\"list\") {{
                constant(value=\"{{\") {fields} constant(value=\", \\\"data\\\":\")
                property(name=\"$!rfc5424-sd\") constant(value=\"}}\\n\") }}
             action(type=\"mmpstrucdata\")
             action(type=\"omfile\" file=\"{log}\" template=\"json\")\n",
            work = folder.path().display(),
            ca = authority.certificate().display(),
            certificate = identity.certificate.display(),
            key = identity.key.display(),
            socket = path("socket"),
            log = path("received"),
        );
        fs::write(path("rsyslog.conf"), settings).unwrap();
        // The PATH of users leaves it out.
        let program = "/usr/sbin/rsyslogd";
        let installed = Path::new(program).exists();
        let mut command = Command::new(if installed { program } else { "rsyslogd" });
        command.args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("pid")]);
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        process.wait_for_port(tls);
        process.wait_for_port(tcp);
        let socket = folder.path().join("socket");
        process.wait_until(|| socket.exists());
        Self { folder, authority, tls, tcp, udp, _process: process }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it wrote, with the values of the one element under the name that tests look for.
    fn received(&self) -> Vec<Json> {
        let mut received = lines(&self.path("received"));
        for line in &mut received {
            line["values"] = line["data"]["exeunt@64512"].clone();
        }
        received
    }
}

#[test]
fn rsyslog_reads_what_comes_on_each_way() {
    let server = Rsyslog::start();
    let mut all = Vec::new();
    let ways = [
        json!({"transport": "tls", "server": format!("localhost:{}", server.tls),
            "ca_file": server.authority.certificate()}),
        json!({"transport": "tcp", "server": format!("127.0.0.1:{}", server.tcp)}),
        json!({"transport": "tcp", "server": format!("127.0.0.1:{}", server.tcp),
            "confirm": "written"}),
        json!({"transport": "udp", "server": format!("127.0.0.1:{}", server.udp)}),
        json!({"transport": "unix", "path": server.path("socket")}),
    ];
    for (index, way) in ways.iter().enumerate() {
        let mut settings = way.clone();
        settings["hostname"] = json!("ca.example.test");
        settings["enterprise_number"] = json!(64512);
        let mut host = host(&settings);
        // A different number of events for each way, so that none stands for another.
        let mut events = events(100);
        for event in &mut events {
            event.id = format!("{index}-{}", event.seq);
            let evil = "a\"]\\b\n<0>1 é".to_owned();
            event.request.set("RequesterName", Some(Value::String(evil)));
        }
        assert_eq!(deliver(&mut host, &events), 0, "{way}");
        all.extend(events);
        assert_has(&all, || server.received());
        host.shutdown().unwrap();
    }
    for line in server.received() {
        // rsyslog's parser of structured data has its own view of octets beyond ASCII; the escapes
        // are the same.
        let requester = line["values"]["requester"].as_str().unwrap();
        assert!(requester.starts_with("a\"]\\b␊<0>1 "), "{requester}");
        assert_eq!(line["host"], "ca.example.test");
        assert_eq!((&line["app"], &line["kind"]), (&json!("exeunt"), &json!("issued")));
        assert_eq!(line["pri"], "86");
    }
}
