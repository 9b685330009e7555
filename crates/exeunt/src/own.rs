//! The CA's own certificates as files: where they lie, reading those that the configuration declares,
//! and opening their keys.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use exeunt_engine::{
    CaEntry, Engine, key_indexes, suffix, tells_certificates_apart, tells_keys_apart,
};
use exeunt_keys::{AbsentKey, SigningKey};
use exeunt_x509::{Issuer, decode_pem_or_der, encode_pem};

use crate::clock::now;
use crate::config::{Config, KeyConfig};
use crate::failure::{Failure, chain};
use crate::home::{Home, open_key};

/// Names of the files of a certificate of the CA, relative to the home: those of the first one are
/// `ca.cert.pem` and so on, those of the next one `ca(1).cert.pem`, as the original numbers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate.
    pub certificate: String,
    /// The certificates above it, its issuer's first.
    pub chain: String,
    /// The request for it.
    pub request: String,
    /// What `[renewal.key]` will say of a key that waits for its certificate.
    pub waiting_key: String,
    /// Its private key, where that is a new one in a file.
    pub key: String,
    /// The passphrase of that key.
    pub passphrase: String,
}

impl Files {
    /// Those of the certificate with that index.
    pub fn of(index: u16) -> Self {
        let ca = format!("ca{}", suffix(index));
        Self {
            certificate: format!("{ca}.cert.pem"),
            chain: format!("{ca}.chain.pem"),
            request: format!("{ca}.csr.pem"),
            waiting_key: format!("{ca}.key.toml"),
            key: format!("secrets/{ca}.key.pem"),
            passphrase: format!("secrets/{ca}.passphrase"),
        }
    }
}

/// A certificate of the CA as it is declared and read.
#[derive(Debug)]
pub struct OwnCertificate {
    /// Its place, from 0 on.
    pub index: u16,
    /// Place of the first one with the same key.
    pub key_index: u16,
    /// Its file.
    pub path: PathBuf,
    /// What it says.
    pub issuer: Issuer,
}

/// File with the certificates above that one: `ca.chain.pem` for `ca.cert.pem`.
pub fn chain_path(certificate: &Path) -> PathBuf {
    let name = certificate.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".cert.pem").unwrap_or(&name);
    certificate.with_file_name(format!("{stem}.chain.pem"))
}

/// Reads the CA's own certificates.
///
/// # Errors
///
/// The first one that is missing, or is not one of a CA.
pub fn read_certificates(home: &Home, config: &Config) -> Result<Vec<OwnCertificate>, Failure> {
    let later = config.renewals.iter().map(|it| &it.certificate);
    let paths = [&config.certificate].into_iter().chain(later);
    let read = paths.map(|path| Ok((path.clone(), read_certificate(home, path)?)));
    let read: Vec<(PathBuf, Issuer)> = read.collect::<Result<_, Failure>>()?;
    let keys: Vec<&[u8]> = read.iter().map(|(_, issuer)| issuer.spki_der()).collect();
    let indexes: Vec<u16> = key_indexes(&keys).into_iter().map(to_index).collect();
    let each = (0..).zip(indexes).zip(read);
    let own = each.map(|((index, key_index), (path, issuer))| OwnCertificate {
        index,
        key_index,
        path,
        issuer,
    });
    Ok(own.collect())
}

/// A place among the CA's certificates, of which a configuration cannot declare more.
pub fn to_index(place: usize) -> u16 {
    u16::try_from(place).expect("BUG: there are at most RENEWAL_COUNT_MAX renewals")
}

/// Reads a certificate of the CA. Whatever its parent wrote into parts that signing needs not, such as
/// serial numbers of its fashion, is no hindrance.
///
/// # Errors
///
/// When it is missing, or is not one of a CA.
pub fn read_certificate(home: &Home, path: &Path) -> Result<Issuer, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound && home.request_path().exists() => {
            let message = format!(
                "this subordinate CA has no certificate yet: {} is missing",
                path.display()
            );
            return Err(Failure::new("ca-certificate-missing", message)
                .hint(format!("have {} signed by the parent CA", home.request_path().display()))
                .hint(format!(
                    "then put what it signed in place: exeunt ca install FILE --home {}",
                    home.path().display()
                )));
        }
        Err(err) => {
            let message = format!("{} cannot be read: {err}", path.display());
            return Err(
                Failure::new("ca-certificate-missing", message).hint("restore it from your backup")
            );
        }
    };
    let invalid = |err: &dyn std::error::Error| {
        let message = format!("{}: {}", path.display(), chain(err));
        Failure::new("ca-certificate-invalid", message)
    };
    let der = decode_pem_or_der(&text, &["CERTIFICATE"]).map_err(|err| invalid(&err))?;
    Issuer::from_certificate(&der).map_err(|err| invalid(&err))
}

/// The CA's certificates with their keys, as an engine takes them.
///
/// # Errors
///
/// As [`read_certificates`], and when a key cannot be opened that is still to sign lists.
pub fn open_entries(home: &Home, config: &Config) -> Result<Vec<CaEntry>, Failure> {
    let certificates = read_certificates(home, config)?;
    let keys = open_keys(config, &certificates)?;
    let entry = |(own, key): (OwnCertificate, Option<Box<dyn SigningKey>>)| CaEntry {
        certificate: own.issuer.der().to_vec(),
        key,
    };
    Ok(certificates.into_iter().zip(keys).map(entry).collect())
}

/// The keys that the configuration declares, beside their certificates.
///
/// # Errors
///
/// When one cannot be opened. But one is not missed, only warned of, if an older one of the CA and all
/// certificates with it have expired: it signs nothing any more, and may have been destroyed.
pub fn open_keys(
    config: &Config,
    certificates: &[OwnCertificate],
) -> Result<Vec<Option<Box<dyn SigningKey>>>, Failure> {
    let newest = certificates.last().map(|it| it.key_index);
    let at = now().unix_seconds();
    let is_over = |own: &OwnCertificate| {
        let mut same = certificates.iter().filter(|it| it.key_index == own.key_index);
        newest != Some(own.key_index) && same.all(|it| it.issuer.not_after() < at)
    };
    let later = config.renewals.iter().map(|it| it.key.as_ref());
    let keys = [Some(&config.key)].into_iter().chain(later);
    let open = |(own, key): (&OwnCertificate, Option<&KeyConfig>)| {
        let Some(key) = key else { return Ok(None) };
        let failure = match open_key(key) {
            Ok(key) => return Ok(Some(key)),
            Err(failure) => failure,
        };
        if !is_over(own) {
            return Err(failure);
        }
        let Failure { code, message, .. } = failure;
        let index = own.index;
        tracing::warn!(code, error = message, index, "an expired key of the CA cannot be opened");
        let absent = AbsentKey::new(own.issuer.key(), own.issuer.spki_der().to_vec());
        Ok(Some(Box::new(absent) as Box<dyn SigningKey>))
    };
    certificates.iter().zip(keys).map(open).collect()
}

/// What is said of configured addresses that are the same for all certificates of the CA, where it has
/// several, or for all of its keys. Who looks there finds what is about another one.
pub fn address_warnings(config: &Config, has_certificates: bool, has_keys: bool) -> Vec<String> {
    let issuers = config.publication.ca_issuers.iter();
    let same = issuers.filter(|it| has_certificates && !tells_certificates_apart(it)).map(|it| {
        format!(
            "[publication] ca_issuers: {it} leads to the same certificate of the CA whichever one \
             issues; put %4 where its number belongs, as in http://pki.example/ca/ca%4.crt"
        )
    });
    let crl = &config.crl.settings;
    let deltas = if crl.has_deltas() { &crl.freshest_crl[..] } else { &[] };
    let lists = [
        ("[publication] crl_distribution_points", &config.publication.crl_distribution_points[..]),
        ("[crl] freshest", deltas),
        ("[crl] issuing_distribution_point", &crl.issuing_distribution_point[..]),
    ];
    let lists = lists.into_iter().flat_map(|(key, all)| all.iter().map(move |it| (key, it)));
    let same_list = lists.filter(|(_, it)| has_keys && !tells_keys_apart(it)).map(|(key, it)| {
        format!(
            "{key}: {it} leads to the list of the same key of the CA whichever one signs; put %8 \
             where its number belongs, as in http://pki.example/crl/ca%8%9.crl"
        )
    });
    same.chain(same_list).collect()
}

/// The same of the CA as it is.
pub fn warnings_of(config: &Config, own: &[OwnCertificate]) -> Vec<String> {
    address_warnings(config, 1 < own.len(), own.iter().any(|it| 0 < it.key_index))
}

/// What a start does about renewals once the store is settled: keys vouch for each other, and what they
/// signed is put beside the CA's certificates. A CA without it issues all the same.
pub fn cross_certify(home: &Home, engine: &Engine) {
    if let Err(err) = engine.cross_certify() {
        let error = chain(&err);
        tracing::error!(code = err.code(), error, "a key of the CA does not vouch for another");
    }
    for cross in engine.cross_certificates() {
        let path = home.path().join(format!("ca{}.cert.pem", cross.suffix()));
        let pem = encode_pem("CERTIFICATE", &cross.der);
        if fs::read(&path).is_ok_and(|it| it == pem.as_bytes()) {
            continue;
        }
        if let Err(err) = replace(&path, pem.as_bytes()) {
            tracing::warn!(code = err.code, error = err.message, "a cross certificate has no file");
        }
    }
}

/// Puts a file of the home, which is no secret, in the place of what may be there. Whoever reads it sees
/// all of the one or all of the other; when this returns, it is on the disk.
///
/// # Errors
///
/// What the file system said; the old one is there then.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(|err| {
        Failure::new("home-not-writable", format!("{} cannot be written: {err}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use exeunt_engine::{CaProfile, self_signed_root};
    use exeunt_keys::{Passphrase, SoftwareKey, secret_file};
    use exeunt_types::{KeyAlgorithm, Serial, UnixMillis};
    use exeunt_x509::Name;

    use super::*;

    #[test]
    fn a_key_whose_certificates_have_all_expired_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let made = |days: u64, name: &str| {
            let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
            let profile = CaProfile {
                subject: Name::parse("CN=Test").unwrap(),
                not_before: UnixMillis(0),
                not_after: UnixMillis(0).plus(Duration::from_hours(24 * days)),
            };
            let der = self_signed_root(&key, &profile, Serial::from_random([1; 16])).unwrap();
            fs::write(home.path().join(name), encode_pem("CERTIFICATE", &der)).unwrap();
            let passphrase = Passphrase::new("0123456789abcdef".to_owned()).unwrap();
            let pem = key.to_encrypted_pem(&passphrase).unwrap();
            secret_file::write_new(&home.path().join("passphrase"), b"0123456789abcdef").ok();
            secret_file::write_new(&home.path().join(format!("{name}.key")), pem.as_bytes())
        };
        // Of 1971 and of 2099.
        made(365, "old.pem").unwrap();
        made(130 * 365, "new.pem").unwrap();
        let text = r#"
            [ca]
            name = "Test"
            certificate = "old.pem"
            [key]
            file = "old.pem.key"
            passphrase_file = "passphrase"
            [[renewal]]
            certificate = "new.pem"
            [renewal.key]
            file = "new.pem.key"
            passphrase_file = "passphrase"
        "#;
        let config = Config::from_toml(text, home.path()).unwrap();
        fs::remove_file(home.path().join("old.pem.key")).unwrap();
        let entries = open_entries(&home, &config).unwrap();
        let keys: Vec<_> = entries.iter().map(|it| it.key.as_ref().unwrap()).collect();
        assert!(keys[0].sign(b"x").is_err() && keys[1].sign(b"x").is_ok());
        // One that is needed is missed.
        fs::remove_file(home.path().join("new.pem.key")).unwrap();
        assert_eq!(open_entries(&home, &config).unwrap_err().code, "key-file-missing");
    }

    #[test]
    fn addresses_that_a_renewal_makes_wrong_are_named_with_the_token_that_they_need() {
        let text = r#"
            [ca]
            name = "Test"
            certificate = "ca.cert.pem"
            [key]
            file = "k.pem"
            passphrase_env = "P"
            [publication]
            crl_distribution_points = ["http://p/a.crl", "http://p/ca%8%9.crl"]
            ca_issuers = ["http://p/a.crt", "http://p/ca%4.crt"]
            [crl]
            delta_period_s = 86400
            freshest = ["http://p/a+.crl"]
            issuing_distribution_point = ["http://p/a%8.crl", "http://p/b.crl"]
        "#;
        let config = Config::from_toml(text, Path::new("/h")).unwrap();
        assert_eq!(address_warnings(&config, false, false), [""; 0]);
        let of_certificate = address_warnings(&config, true, false);
        assert_eq!(of_certificate.len(), 1);
        assert!(of_certificate[0].contains("ca_issuers: http://p/a.crt "), "{of_certificate:?}");
        assert!(of_certificate[0].contains("%4"));
        let of_key = address_warnings(&config, true, true);
        let named = ["a.crt ", "points: http://p/a.crl ", "p/a+.crl ", "p/b.crl "];
        assert_eq!(of_key.len(), named.len(), "{of_key:?}");
        for (warning, name) in of_key.iter().zip(named) {
            assert!(warning.contains(name), "{warning}");
        }
        assert!(of_key[1..].iter().all(|it| it.contains("%8")));
    }

    #[test]
    fn files_are_numbered_as_the_original_does_it() {
        assert_eq!(Files::of(0).certificate, "ca.cert.pem");
        assert_eq!(Files::of(0).request, "ca.csr.pem");
        assert_eq!(Files::of(12).key, "secrets/ca(12).key.pem");
        for index in [0, 3] {
            let Files { certificate, chain, .. } = Files::of(index);
            assert_eq!(chain_path(&Path::new("/h").join(certificate)), Path::new("/h").join(chain));
        }
        assert_eq!(chain_path(Path::new("/etc/root.pem")), Path::new("/etc/root.pem.chain.pem"));
    }
}
