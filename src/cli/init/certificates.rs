//! Certificates of a one-box centre: an authority of its own, the broker, the box, the centre's client.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::domain::TimeMs;

/// How long the authority is valid.
const AUTHORITY_DAYS: i64 = 3650;
/// How long the others are valid.
const CERTIFICATE_DAYS: i64 = 825;

/// A certificate and its private key, in PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// All that TLS needs.
pub(super) struct Certificates {
    pub(super) authority: Pair,
    pub(super) broker: Pair,
    pub(super) this_box: Pair,
    pub(super) centre: Pair,
}

/// Makes an authority and three certificates of it, valid from an hour before `now`.
pub(super) fn make(site: &str, box_id: &str, centre: &str, now: TimeMs) -> anyhow::Result<Certificates> {
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(0);
    let now = OffsetDateTime::from_unix_timestamp(seconds).context("the clock's time cannot be in a certificate")?;
    let mut params = params(&format!("Watchpost {site} authority"), now, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    Ok(Certificates {
        authority: Pair { certificate: issuer.pem(), key: Zeroizing::new(issuer.key().serialize_pem()) },
        broker: leaf(&issuer, "localhost", &["localhost", "127.0.0.1", "::1"], server, now)?,
        this_box: leaf(&issuer, box_id, &[], client.clone(), now)?,
        centre: leaf(&issuer, centre, &[], client, now)?,
    })
}

fn leaf(
    issuer: &CertifiedIssuer<'_, KeyPair>,
    name: &str,
    hosts: &[&str],
    purpose: ExtendedKeyUsagePurpose,
    now: OffsetDateTime,
) -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    let mut params = params(name, now, CERTIFICATE_DAYS);
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    params.subject_alt_names = CertificateParams::new(hosts)?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

fn params(name: &str, now: OffsetDateTime, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // Clocks of two machines are never quite the same.
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::days(days);
    params
}
