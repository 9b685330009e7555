//! NATS with `JetStream` and `RabbitMQ`, read by their Python clients.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_e2e::ca::Ca;
use exeunt_testbed::authority::Flaw;
use exeunt_testbed::nats::{Message, Nats, PASSWORD, Setup, USER};
use exeunt_testbed::rabbitmq::{self, RabbitMq};
use serde_json::Value;

use super::{Target, Told, Truth, assert_told, secret, tell};

/// The subject of another writer in the same stream.
const OTHERS: &str = "exeunt.other.note";

impl Target for Nats {
    fn module(&self) -> &'static str {
        "bus"
    }

    fn count(&self) -> usize {
        2100
    }

    fn port(&self) -> Option<u16> {
        Some(Nats::port(self))
    }

    fn settings(&mut self, ca: &Ca, port: u16) -> String {
        format!(
            "servers = [\"tls://localhost:{port}\"]\nca_file = \"{}\"\nuser = \"{USER}\"\n\
             password_file = \"{}\"\ntimeout_s = 3\n",
            self.ca_file().display(),
            secret(ca, "password", PASSWORD),
        )
    }

    fn is_installed(&self) -> bool {
        true
    }

    fn prepare(&mut self, _ca: &Ca) {
        self.publish(OTHERS, &[("Nats-Msg-Id", "another's")], b"somebody's");
    }

    fn kill(&mut self) {
        Nats::kill(self);
    }

    fn restart(&mut self) {
        Nats::restart(self);
    }

    fn others(&self) -> Vec<String> {
        let messages = self.messages("EXEUNT").into_iter();
        messages.filter(|it| it.subject == OTHERS).map(|it| format!("{it:?}")).collect()
    }

    fn is_compared(&self) -> bool {
        false
    }

    fn check(&self, truth: &Truth) {
        let messages = self.messages("EXEUNT");
        let told: Vec<Told> = messages.iter().filter_map(|it| told(it, truth)).collect();
        assert_told(&told, truth);
        // The server has recognised what came again.
        assert_eq!(told.len(), truth.certificates.len() + truth.revoked().len());
    }
}

/// A virtual host of a broker.
struct Queue {
    server: RabbitMq,
    vhost: String,
}

impl Target for Queue {
    fn module(&self) -> &'static str {
        "bus"
    }

    fn count(&self) -> usize {
        1400
    }

    fn port(&self) -> Option<u16> {
        self.server.url().rsplit(':').next()?.parse().ok()
    }

    fn settings(&mut self, ca: &Ca, port: u16) -> String {
        format!(
            "protocol = \"amqp\"\nservers = [\"amqps://localhost:{port}\"]\nca_file = \"{}\"\n\
             user = \"{}\"\npassword_file = \"{}\"\nvhost = \"{}\"\nqueue = \"exeunt\"\n\
             timeout_s = 3\n",
            self.server.ca_file().display(),
            rabbitmq::USER,
            secret(ca, "password", rabbitmq::PASSWORD),
            self.vhost,
        )
    }

    fn is_installed(&self) -> bool {
        true
    }

    fn prepare(&mut self, _ca: &Ca) {
        self.server.publish(&self.vhost, OTHERS, b"somebody's", 1);
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    /// Who reads a queue empties it: see `check`.
    fn others(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_compared(&self) -> bool {
        false
    }

    fn check(&self, truth: &Truth) {
        let messages = self.server.take(&self.vhost);
        let others = messages.iter().filter(|it| it.routing_key == OTHERS);
        assert_eq!(others.map(|it| it.body.as_slice()).collect::<Vec<_>>(), [b"somebody's"]);
        // What came again has the same id.
        let own = messages.iter().filter(|it| it.routing_key != OTHERS);
        let told = own.filter_map(|it| read(&it.routing_key, &it.body, &it.id(), truth));
        assert_told(&told.collect::<Vec<_>>(), truth);
    }
}

fn told(message: &Message, truth: &Truth) -> Option<Told> {
    if message.subject == OTHERS {
        return None;
    }
    let id = message.header("Nats-Msg-Id").unwrap().strip_suffix(".target").unwrap();
    read(&message.subject, &message.data, id, truth)
}

/// What a message says of a certificate or a revocation.
fn read(subject: &str, body: &[u8], known_by: &str, truth: &Truth) -> Option<Told> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let word = body["type"].as_str().unwrap().strip_prefix("exeunt.").unwrap();
    assert_eq!(subject, format!("exeunt.Test!0020Root.{word}"));
    assert_eq!(body["id"], known_by);
    if !["issued", "revoked"].contains(&word) {
        return None;
    }
    let certificate = &body["data"]["certificate"];
    let serial = certificate["SerialNumber"].as_str().unwrap().to_owned();
    let der = STANDARD.decode(certificate["RawCertificate"].as_str().unwrap()).unwrap();
    assert!(truth.certificates.iter().any(|it| it.serial == serial && it.der == der), "{serial}");
    let id = body["id"].as_str().unwrap().to_owned();
    Some(Told { word: word.to_owned(), serial, id })
}

#[test]
fn a_stream_of_nats_holds_each_event_of_the_store_once() {
    tell(&mut Nats::start(&Setup::default()));
}

#[test]
fn a_queue_of_rabbitmq_holds_each_event_of_the_store() {
    let server = RabbitMq::start(Flaw::Nothing, 1);
    let vhost = server.vhost();
    tell(&mut Queue { server, vhost });
}
