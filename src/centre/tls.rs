//! TLS of the session with the broker: rustls with `ring`, both sides with certificates, from PEM files.
//!
//! Faults are found when the files are read and name the file: the TLS handshake would only say "bad certificate".
//! Files are read anew for every call, so a renewed certificate is taken at the next connect.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::keys;
use crate::clock::Clock;
use crate::domain::ClockState;

/// Largest PEM file that is read, in bytes.
const MAX_FILE: usize = 256 * 1024;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or a private key can be read by others.
    #[error("tls: {0}")]
    File(#[from] keys::Error),
    /// A file is not what it should be.
    #[error("tls: {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what is wanted.
        reason: String,
    },
    /// A certificate whose time is over or has not come.
    #[error("tls: {}: certificate {reason}: renew it, or set the clock", path.display())]
    Validity {
        /// The file.
        path: PathBuf,
        /// Since or from when.
        reason: String,
    },
    /// The private key is not that of the certificate.
    #[error("tls: {} is not the key of {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// rustls refused the parts together.
    #[error("tls: {reason}")]
    Config {
        /// What it said.
        reason: String,
    },
}

/// The three files of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authority that the broker's certificate must come from.
    pub ca: PathBuf,
    /// The client's certificate (CN = box id), with those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key, 0600.
    pub private_key: PathBuf,
}

/// Makes `ring` the process's provider; once, further calls do nothing.
pub fn install_provider() {
    // An Err says that there is one already: it serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The client side of mutual TLS with the broker.
///
/// # Errors
/// Names the file and what is wrong with it: not PEM, no certificate, wrong key, expired. Validity is judged only by
/// a clock that was set.
pub fn client_config(files: &TlsFiles, clock: &Clock) -> Result<Arc<ClientConfig>, Error> {
    install_provider();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = read_certificates(&files.ca)?;
    let roots = Arc::new(root_store(&files.ca, &authorities)?);
    let chain = read_certificates(&files.certificate)?;
    keys::refuse_exposed(&files.private_key)?;
    let key = read_private_key(&files.private_key)?;
    if clock.state() != ClockState::Unset {
        let judge = Judge::new(&roots, &provider, clock)?;
        judge.check(&files.ca, &authorities)?;
        judge.check(&files.certificate, &chain)?;
    }
    let refused = |e: rustls::Error| match e {
        rustls::Error::InconsistentKeys(_) => {
            Error::KeyMismatch { key: files.private_key.clone(), certificate: files.certificate.clone() }
        }
        rustls::Error::InvalidCertificate(what) => {
            let reason = format!("a certificate that TLS cannot use: {what} (X.509 version 3 is wanted)");
            Error::Content { path: files.certificate.clone(), reason }
        }
        other => Error::Content { path: files.private_key.clone(), reason: other.to_string() },
    };
    let config_error = |e: String| Error::Config { reason: e };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|e| config_error(e.to_string()))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| config_error(e.to_string()))?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(refused)?;
    Ok(Arc::new(config))
}

/// The certificates in a PEM file, in its order; at least one.
///
/// # Errors
/// [`Error::File`], [`Error::Content`].
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = super::boxes::read_file(path, MAX_FILE)?;
    let bad = |reason: String| Error::Content { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| bad(format!("broken PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(bad("no certificate in PEM (-----BEGIN CERTIFICATE-----) in it".to_owned()));
    }
    Ok(certificates)
}

/// Whether the first certificate of one file was issued, directly or by those behind it, by an authority of the other.
///
/// # Errors
/// Files that cannot be read or hold no certificates.
pub fn is_issued_by(authorities: &Path, certificate: &Path, clock: &Clock) -> Result<bool, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(root_store(authorities, &read_certificates(authorities)?)?);
    let judge = Judge::new(&roots, &provider, clock)?;
    let chain = read_certificates(certificate)?;
    let Some((leaf, between)) = chain.split_first() else { return Ok(false) };
    let unknown = |e: &CertificateError| matches!(e, CertificateError::UnknownIssuer | CertificateError::BadSignature);
    match judge.verifier.verify_client_cert(leaf, between, judge.now) {
        Err(rustls::Error::InvalidCertificate(error)) => Ok(!unknown(&error)),
        Ok(_) | Err(_) => Ok(true),
    }
}

fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = zeroize::Zeroizing::new(super::boxes::read_file(path, MAX_FILE)?);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let reason = match error {
            pem::Error::NoItemsFound => "no private key in PEM (-----BEGIN PRIVATE KEY-----) in it".to_owned(),
            other => format!("broken PEM: {other}"),
        };
        Error::Content { path: path.to_owned(), reason }
    })
}

fn root_store(path: &Path, authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|e| Error::Content {
            path: path.to_owned(),
            reason: format!("no certificate of an authority: {e}"),
        })?;
    }
    Ok(roots)
}

/// Judges validity: rustls looks at the dates of a certificate before it asks who issued it.
struct Judge {
    verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    now: UnixTime,
}

impl Judge {
    fn new(roots: &Arc<RootCertStore>, provider: &Arc<CryptoProvider>, clock: &Clock) -> Result<Self, Error> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|e| Error::Config { reason: e.to_string() })?;
        Ok(Self { verifier, now: UnixTime::since_unix_epoch(Duration::from_millis(clock.utc().0)) })
    }

    fn check(&self, path: &Path, certificates: &[CertificateDer<'static>]) -> Result<(), Error> {
        for certificate in certificates {
            let validity = |reason: String| Err(Error::Validity { path: path.to_owned(), reason });
            match self.verifier.verify_client_cert(certificate, &[], self.now) {
                Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                    return validity(format!("expired at {}", when(not_after)));
                }
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                    return validity(format!("is valid only from {}", when(not_before)));
                }
                Err(rustls::Error::InvalidCertificate(CertificateError::Expired)) => {
                    return validity("has expired".to_owned());
                }
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet)) => {
                    return validity("is not valid yet".to_owned());
                }
                Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)) => {
                    return Err(Error::Content { path: path.to_owned(), reason: "broken certificate".to_owned() });
                }
                // Issuer and purpose are the other side's to judge: its authority need not be the one in `ca`.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn when(time: UnixTime) -> String {
    crate::domain::TimeMs(time.as_secs().saturating_mul(1000)).to_string()
}
