//! A policy module: names of one domain alone, short certificates, an officer for mail servers.

use std::io;

use exeunt_module_kit::{
    Initialize, PolicyFailure, PolicyModule, PropType, ServerPolicy, Value, Verdict, VerifyRequest,
    serve_policy,
};

/// Subject alternative names (RFC 5280, section 4.2.1.6).
const ALTERNATIVE_NAMES: &str = "2.5.29.17";
/// `CERTSRV_E_BAD_REQUESTSUBJECT` (winerror.h).
const BAD_REQUEST_SUBJECT: u32 = 0x8009_4001;

#[derive(Default)]
struct Guard {
    /// With the dot before it.
    domain: String,
    /// No certificate holds longer than to that moment.
    until: Option<String>,
}

impl PolicyModule for Guard {
    fn initialize(&mut self, hello: &Initialize) -> Result<(), String> {
        for (name, value) in &hello.settings {
            let text = value.as_str().ok_or_else(|| format!("setting {name:?} is a string"))?;
            match name.as_str() {
                "domain" => self.domain = format!(".{text}"),
                "until" => self.until = Some(text.to_owned()),
                _ => return Err(format!("there is no setting {name:?}")),
            }
        }
        if self.domain.is_empty() {
            return Err("setting \"domain\" is missing".to_owned());
        }
        Ok(())
    }

    fn description(&self) -> String {
        "names of one domain alone".to_owned()
    }

    fn verify_request(
        &mut self,
        asked: &VerifyRequest,
        server: &mut ServerPolicy,
    ) -> Result<Verdict, PolicyFailure> {
        let name = asked.event.request.string("CommonName").unwrap_or_default();
        if !name.ends_with(&self.domain) {
            let message = format!("{name} is not ours");
            return Ok(Verdict::DenyWith { hresult: BAD_REQUEST_SUBJECT, message });
        }
        if name.starts_with("mail.") && asked.new_request {
            return Ok(Verdict::Pend("an officer looks at mail servers".to_owned()));
        }
        let planned = asked.event.certificate.date("NotAfter").unwrap_or_default();
        if let Some(until) = self.until.as_ref().filter(|it| it.as_str() < planned) {
            let until = Some(Value::Date(until.clone()));
            server.set_certificate_property("NotAfter", PropType::Date, until)?;
        }
        // What the default policy has planned is enabled already, where the module is chained to it.
        if asked.default.is_none() && asked.event.extensions.extension(ALTERNATIVE_NAMES).is_some()
        {
            server.enable_extension(ALTERNATIVE_NAMES)?;
        }
        Ok(Verdict::Issue)
    }
}

fn main() -> io::Result<()> {
    serve_policy(Guard::default())
}
