//! PEM (RFC 7468): what key files are written in.

use data_encoding::BASE64;
use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use zeroize::Zeroizing;

/// The first section of a PEM text, whose end must be there.
pub(super) fn section(bytes: &[u8]) -> Result<(SectionKind, Vec<u8>), String> {
    <(SectionKind, Vec<u8>)>::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => "not a PEM file (no -----BEGIN line)".to_owned(),
        other => format!("broken PEM: {other}"),
    })
}

/// PEM (RFC 7468) with lines of 64 characters.
pub(super) fn text(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(BASE64.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: every index is a character boundary.
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}
