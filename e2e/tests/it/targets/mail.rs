//! A mail server with TLS and a password.

use exeunt_e2e::ca::Ca;
use exeunt_testbed::smtp::{PASSWORD, Setup, Smtp, USER};
use exeunt_x509::encode_pem;

use super::{Target, Told, Truth, assert_told, secret, tell};

impl Target for Smtp {
    fn module(&self) -> &'static str {
        "mail"
    }

    fn count(&self) -> usize {
        700
    }

    fn port(&self) -> Option<u16> {
        Some(Smtp::port(self))
    }

    fn settings(&mut self, ca: &Ca, port: u16) -> String {
        format!(
            "server = \"localhost\"\nport = {port}\nca_file = \"{}\"\nuser = \"{USER}\"\n\
             password_file = \"{}\"\nfrom = \"ca@example.test\"\nto = [\"ops@example.test\"]\n\
             events = [\"issued\", \"revoked\"]\nattach = \"pem\"\ntimeout_s = 3\n\
             subject = \"{{{{ event.word }}}} {{{{ certificate.SerialNumber }}}}\"\n",
            self.ca_file().display(),
            secret(ca, "password", PASSWORD),
        )
    }

    fn kill(&mut self) {
        Smtp::kill(self);
    }

    fn restart(&mut self) {
        Smtp::restart(self);
    }

    fn others(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_compared(&self) -> bool {
        false
    }

    fn check(&self, truth: &Truth) {
        let mut told = Vec::new();
        for it in self.inbox() {
            assert!(it.tls.is_some() && it.user.as_deref() == Some(USER));
            assert_eq!(it.to, ["ops@example.test"]);
            let text = it.text.replace("\r\n", "\n");
            let header = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)).expect("a header").to_owned()
            };
            let subject = header("Subject: ");
            let (word, serial) = subject.split_once(' ').expect("a word and a number");
            let certificate = truth.certificates.iter().find(|it| it.serial == serial);
            let pem = encode_pem("CERTIFICATE", &certificate.expect("a certificate").der);
            assert!(text.contains(pem.trim_end()), "{text}");
            let (word, serial) = (word.to_owned(), serial.to_owned());
            told.push(Told { word, serial, id: header("Message-ID: ") });
        }
        assert_told(&told, truth);
    }
}

#[test]
fn a_mail_came_of_each_certificate_and_revocation_of_the_store() {
    tell(&mut Smtp::start(&Setup::default()));
}
