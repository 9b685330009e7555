//! The CA's own certificates: as relying parties fetch them, and as `GET /v1/ca` tells of them.

use aws_lc_rs::digest::{SHA256, digest};
use exeunt_api::{CERTIFICATE_MEDIA_TYPE, CaCertificate, CaDescription};
use exeunt_engine::{own_states, suffix};
use exeunt_types::UnixMillis;
use hyper::body::Bytes;
use hyper::header::HeaderMap;

use crate::answer::{Answer, json, pem, rfc3339};
use crate::fault::Fault;
use crate::handler::Edge;
use crate::relying::{Tags, tag};
use crate::reply::Reply;

/// How long a certificate of the CA may be kept, in seconds: a day. The newest one is another one when
/// the CA is renewed.
const CERTIFICATE_S: i64 = 86_400;

/// Which certificate a file's name means, as the original's `CertificateName` makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateName {
    /// `current.crt`: the newest one.
    Newest,
    /// `ca(1).crt`: the one with that index. The first one is `ca.crt`, for ever, as the token `%4` in
    /// addresses has it; and also `ca(0).crt`.
    Index(u16),
    /// `ca(0-1).crt`: by which the key of the first vouches for that of the second.
    Cross(u16, u16),
}

impl CertificateName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        // What clients may write in place of the characters of a path's segment (RFC 3986, 2.1).
        let name = name.replace("%28", "(").replace("%29", ")");
        if name == "current.crt" {
            return Some(Self::Newest);
        }
        let stem = name.strip_prefix("ca")?.strip_suffix(".crt")?;
        if stem.is_empty() {
            return Some(Self::Index(0));
        }
        let numbers = stem.strip_prefix('(')?.strip_suffix(')')?;
        match numbers.split_once('-') {
            Some((signer, subject)) => Some(Self::Cross(index(signer)?, index(subject)?)),
            None => index(numbers).map(Self::Index),
        }
    }
}

/// One name for each: no sign, no leading zero.
fn index(digits: &str) -> Option<u16> {
    let is_plain = digits.bytes().all(|it| it.is_ascii_digit());
    let is_plain = is_plain && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_plain)
}

/// `GET /ca/{name}`.
pub(crate) fn certificate(
    edge: &Edge,
    name: CertificateName,
    headers: &HeaderMap,
) -> Result<Answer, Fault> {
    let engine = &edge.engine;
    let der = match name {
        CertificateName::Newest => Some(engine.certificate_der().to_vec()),
        CertificateName::Index(index) => {
            engine.ca().by_index(index).map(|it| it.issuer().der().to_vec())
        }
        CertificateName::Cross(signer, subject) => engine
            .cross_certificates()
            .into_iter()
            .find(|it| (it.signer, it.subject) == (signer, subject))
            .map(|it| it.der.clone()),
    };
    let der = der.ok_or_else(|| {
        let detail = "the CA has no certificate of that name".to_owned();
        Fault::not_found("ca-certificate-not-found", detail)
    })?;
    let tags = Tags {
        tag: tag(digest(&SHA256, &der).as_ref()),
        modified: None,
        expires: None,
        cache_s: CERTIFICATE_S,
    };
    if tags.matches(headers) {
        return Ok(tags.not_modified());
    }
    Ok(tags.answer(CERTIFICATE_MEDIA_TYPE, Reply::whole(Bytes::from(der))))
}

/// `GET /v1/ca`.
pub(crate) fn describe(edge: &Edge) -> Answer {
    let engine = &edge.engine;
    let own = engine.ca().certificates();
    let lives: Vec<_> = own.iter().map(|it| (it.key_index(), it.issuer().not_after())).collect();
    let states = own_states(&lives, (edge.now)().unix_seconds());
    let certificates = own.iter().zip(states).map(|(it, (cert, crl))| {
        let time = |seconds| rfc3339(UnixMillis::from_unix_seconds(seconds));
        CaCertificate {
            index: it.index(),
            key_index: it.key_index(),
            suffix: suffix(it.index()),
            subject: it.issuer().name().to_string(),
            not_before: time(it.issuer().not_before()),
            not_after: time(it.issuer().not_after()),
            cert_state: cert.word().to_owned(),
            crl_state: crl.word().to_owned(),
            certificate: pem("CERTIFICATE", it.issuer().der()),
        }
    });
    let description = CaDescription {
        name: engine.name().to_owned(),
        certificate: pem("CERTIFICATE", engine.certificate_der()),
        certificates: certificates.collect(),
    };
    json(hyper::StatusCode::OK, &description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_a_name_for_ever_and_the_newest_one_another() {
        use CertificateName::{Cross, Index, Newest};
        for (name, expected) in [
            ("current.crt", Newest),
            ("ca.crt", Index(0)),
            ("ca(0).crt", Index(0)),
            ("ca%2812%29.crt", Index(12)),
            ("ca(0-1).crt", Cross(0, 1)),
            ("ca(10-4).crt", Cross(10, 4)),
        ] {
            assert_eq!(CertificateName::parse(name), Some(expected), "{name}");
        }
        for bad in [
            "",
            "ca",
            "ca.cer",
            "current(1).crt",
            "ca().crt",
            "ca(01).crt",
            "ca(+1).crt",
            "ca(-1).crt",
        ] {
            assert_eq!(CertificateName::parse(bad), None, "{bad}");
        }
        for bad in ["ca(65536).crt", "ca(1-).crt", "ca(1-2-3).crt", "CA.crt", "../ca.crt"] {
            assert_eq!(CertificateName::parse(bad), None, "{bad}");
        }
    }
}
