//! The texts where nothing is said: a subject and a body for every event, as templates.

use exeunt_module_kit::exit_event;

/// What is known, a line each. It ends every body.
const FACTS: &str = "\
{% if certificate.DistinguishedName or request.DistinguishedName %}
Subject:        {{ certificate.DistinguishedName or request.DistinguishedName }}
{% endif %}
{% if certificate.SerialNumber %}
Serial number:  {{ certificate.SerialNumber }}
{% endif %}
{% if certificate.NotAfter %}
Valid:          {{ certificate.NotBefore }} to {{ certificate.NotAfter }}
{% endif %}
{% if certificate.CertificateTemplate %}
Template:       {{ certificate.CertificateTemplate }}
{% endif %}
{% if request.RequesterName %}
Requester:      {{ request.RequesterName }}
{% endif %}
{% if request.RequestID %}
Request:        {{ request.RequestID }}
{% endif %}
CA:             {{ ca_name }}{% if ca.MachineDNSName %} on {{ ca.MachineDNSName }}{% endif +%}
Event:          {{ event.word }}, {{ event.time }}, {{ event.id }}
";

/// Subject and body of an event.
pub struct Wording {
    /// Template of the subject.
    pub subject: String,
    /// Template of the body, plain text.
    pub body: String,
}

/// What is said of an event where the settings say nothing.
pub fn of(event: u32) -> Wording {
    let (subject, first) = words(event);
    Wording {
        subject: format!("[{{{{ ca_name }}}}] {subject}"),
        body: format!("{first}\n\n{FACTS}"),
    }
}

fn words(event: u32) -> (&'static str, &'static str) {
    match event {
        exit_event::CERT_ISSUED => {
            ("Certificate issued: {{ who }}", "A certificate was issued to {{ who }}.")
        }
        exit_event::CERT_PENDING => (
            "Request waits for approval: {{ who }}",
            "A request for {{ who }} waits for the decision of a certificate manager.",
        ),
        exit_event::CERT_DENIED => (
            "Request denied: {{ who }}",
            "A request for {{ who }} was denied{% if request.DispositionMessage %}: \
             {{ request.DispositionMessage }}{% endif %}.",
        ),
        exit_event::CERT_REVOKED => (
            "Certificate revoked: {{ who }}",
            "The certificate of {{ who }} was revoked\
             {% if request.RevokedEffectiveWhen %} as of {{ request.RevokedEffectiveWhen }}{% endif %}, \
             reason {{ request.RevokedReason or 0 }} (RFC 5280).",
        ),
        exit_event::CERT_RETRIEVE_PENDING => (
            "Certificate fetched: {{ who }}",
            "The certificate of {{ who }}, whose request had waited for approval, was fetched.",
        ),
        exit_event::CRL_ISSUED => {
            ("Revocation lists issued", "{{ ca_name }} has issued new revocation lists.")
        }
        exit_event::SHUTDOWN => ("Stopping", "{{ ca_name }} is stopping."),
        exit_event::STARTUP => ("Started", "{{ ca_name }} has started."),
        exit_event::CERT_IMPORTED => {
            ("Certificate imported: {{ who }}", "A certificate of {{ who }} was imported.")
        }
        exit_event::CERT_UNREVOKED => (
            "Certificate released from hold: {{ who }}",
            "The certificate of {{ who }} was on hold and is valid again.",
        ),
        exit_event::REQUEST_FAILED => (
            "Request failed: {{ who }}",
            "The processing of a request for {{ who }} failed with status \
             {{ request.StatusCode }}{% if request.DispositionMessage %}: \
             {{ request.DispositionMessage }}{% endif %}.",
        ),
        exit_event::CERT_EXPIRING => (
            "Certificate expires within {{ detail.ExpiresWithinDays }} days: {{ who }}",
            "The certificate of {{ who }} expires on {{ certificate.NotAfter }}, within \
             {{ detail.ExpiresWithinDays }} days. Please renew it in time.",
        ),
        exit_event::CA_CERT_ISSUED => (
            "New CA certificate",
            "{{ ca_name }} has a new certificate of its own, number {{ detail.CertIndex }}\
             {% if detail.SHA256 %}, SHA-256 {{ detail.SHA256 }}{% endif %}. Whoever trusts the CA \
             may have to be given it.",
        ),
        exit_event::CRL_PUBLICATION_FAILED => (
            "Revocation list NOT published",
            "A revocation list of {{ ca_name }} could not be published\
             {% if detail.Reason %}: {{ detail.Reason }}{% endif %}. Relying parties will refuse \
             certificates when the last list expires.",
        ),
        exit_event::DELIVERY_PARKED => (
            "Event parked for an operator: module {{ detail.Module }}",
            "The exit module {{ detail.Module }} could not take event {{ detail.Event }}\
             {% if detail.Reason %}: {{ detail.Reason }}{% endif %}. It waits for an operator: \
             exeunt exit parked list {{ detail.Module }}",
        ),
        exit_event::HEARTBEAT => {
            ("Alive", "{{ ca_name }} is alive. Nothing else has happened for a while.")
        }
        exit_event::RESTORED => (
            "Restored from a backup",
            "{{ ca_name }} was restored from a backup of {{ detail.Taken }}, whose last event was \
             {{ detail.LastEvent }}. What happened after it is lost and may have been told.",
        ),
        // A later server's, which the settings cannot ask for.
        _ => ("Event", "Something happened at {{ ca_name }}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{About, Templates};
    use exeunt_module_kit::{Event, Value};
    use std::sync::Arc;

    fn texts(event: Event) -> (String, String) {
        let wording = of(event.event);
        let mut templates = Templates::new();
        let subject = templates.add(&wording.subject, false).unwrap();
        let body = templates.add(&wording.body, false).unwrap();
        let about = About { event: Arc::new(event), ca_name: "Example CA".into() };
        (templates.text(&subject, &about).unwrap(), templates.text(&body, &about).unwrap())
    }

    #[test]
    fn every_event_has_words_even_where_nothing_is_known() {
        for (bit, word) in exit_event::WORDS {
            let (subject, body) = texts(Event { event: bit, context: 1, ..Event::default() });
            assert!(subject.starts_with("[Example CA] ") && !subject.contains('\n'), "{subject}");
            assert!(subject != "[Example CA] Event", "{word} has no words of its own");
            assert!(body.contains(&format!("Event:          {word}, ")), "{body}");
        }
    }

    #[test]
    fn the_facts_stand_a_line_each() {
        let mut event = Event { event: exit_event::CERT_ISSUED, context: 9, ..Event::default() };
        event.id = "5f0c-17".to_owned();
        event.time = "2026-11-21T07:00:00.123Z".to_owned();
        event.request.push("RequesterName", Value::String("alice".to_owned()));
        event.request.push("RequestID", Value::Long(9));
        event.certificate.push("CommonName", Value::String("www.example.com".to_owned()));
        event.certificate.push("DistinguishedName", Value::String("CN=www.example.com".to_owned()));
        event.certificate.push("SerialNumber", Value::String("4a1f".to_owned()));
        let (subject, body) = texts(event);
        assert_eq!(subject, "[Example CA] Certificate issued: www.example.com");
        let expected = "\
A certificate was issued to www.example.com.

Subject:        CN=www.example.com
Serial number:  4a1f
Requester:      alice
Request:        9
CA:             Example CA
Event:          issued, 2026-11-21 07:00:00 UTC, 5f0c-17
";
        assert_eq!(body.trim_end(), expected.trim_end());
    }
}
