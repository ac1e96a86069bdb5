//! Why there is no session with the broker, in words an operator can act on.
//!
//! rumqttc and rustls report through several layers of wrapped errors; [`Fault::of`] looks through them and names one of a
//! few causes. The text of the innermost error is kept as evidence. Called by `session` and `client`, which say a fault
//! once a change and not once an attempt.

use std::error::Error as StdError;
use std::fmt;

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};
use rustls::{AlertDescription, CertificateError};

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Nothing listens at the address, or it cannot be reached.
    Unreachable,
    /// The broker's name has no address.
    Unresolved,
    /// The broker accepted the connection and then said nothing.
    Silent,
    /// The broker's certificate comes from another CA than the one that is trusted here.
    UntrustedBroker,
    /// The broker's certificate is for another name.
    WrongName,
    /// The broker's certificate is outside its dates, by our clock.
    BrokerCertificateDates,
    /// The broker's certificate cannot be used for another reason, or it does not speak TLS as we do.
    Tls,
    /// Our own certificate, its key or the CA file cannot be used.
    OurFiles,
    /// The broker refused our certificate.
    OurCertificateRefused,
    /// The broker refused this client or what it wanted to do.
    NotAuthorised,
    /// Another client with the same id took the session over.
    TakenOver,
    /// The connection ended.
    Closed,
    /// The broker broke the protocol, or we did.
    Protocol,
}

impl Cause {
    /// What is wrong, as one clause.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "the broker cannot be reached",
            Self::Unresolved => "the broker's name cannot be resolved",
            Self::Silent => "the broker does not answer",
            Self::UntrustedBroker => "the broker's certificate comes from another CA than the one trusted here",
            Self::WrongName => "the broker's certificate is for another name",
            Self::BrokerCertificateDates => "the broker's certificate is not valid at this date",
            Self::Tls => "the TLS handshake failed",
            Self::OurFiles => "our TLS files cannot be used",
            Self::OurCertificateRefused => "the broker refused our certificate",
            Self::NotAuthorised => "the broker does not authorise us",
            Self::TakenOver => "another client took over our session",
            Self::Closed => "the broker closed the connection",
            Self::Protocol => "broker and client disagree on the protocol",
        }
    }

    /// Whether trying again soon is in vain: somebody has to change something.
    #[must_use]
    pub fn is_lasting(self) -> bool {
        match self {
            Self::UntrustedBroker
            | Self::WrongName
            | Self::BrokerCertificateDates
            | Self::Tls
            | Self::OurFiles
            | Self::OurCertificateRefused
            | Self::NotAuthorised => true,
            Self::Unreachable | Self::Unresolved | Self::Silent | Self::TakenOver | Self::Closed | Self::Protocol => {
                false
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => "check that the broker runs, its address and port, and firewalls between",
            Self::Unresolved => "check the host in the broker's URL and the DNS of this machine",
            Self::Silent => "the broker hangs or something between drops packets: look at the broker's log and load",
            Self::UntrustedBroker => {
                "do not go around it: give the CA that signed the broker's certificate, or find out who answers there"
            }
            Self::WrongName => {
                "use the name that the certificate carries in the broker's URL, or issue a new certificate"
            }
            Self::BrokerCertificateDates => "check this machine's clock, then renew the broker's certificate",
            Self::Tls => "check that the port is the broker's TLS port",
            Self::OurFiles => "put right the file that is named; it is read again at the next attempt",
            Self::OurCertificateRefused => {
                "check that our certificate is signed by the CA that the broker trusts, and that it has not expired"
            }
            Self::NotAuthorised => "check that the broker's ACL knows this client: its user is our certificate's CN",
            Self::TakenOver => "two clients use the same id: box ids are unique in the fleet",
            Self::Closed => "if it happens again, look at the broker's log",
            Self::Protocol => "the broker must speak MQTT 5: check its version and its log",
        }
    }
}

/// A cause with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The cause.
    pub cause: Cause,
    /// The innermost error's own words.
    pub evidence: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause.as_str(), self.evidence)
    }
}

impl Fault {
    /// A fault seen by ourselves.
    #[must_use]
    pub fn new(cause: Cause, evidence: impl Into<String>) -> Self {
        Self { cause, evidence: evidence.into() }
    }

    /// What lies behind rumqttc's error.
    #[must_use]
    pub fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::Timeout(_) => Self::new(Cause::Silent, "no CONNACK in time"),
            ConnectionError::ConnectionRefused(code) => Self::new(of_code(*code), format!("CONNACK {code:?}")),
            ConnectionError::MqttState(state) => of_state(state),
            ConnectionError::Io(io) => of_io(io),
            ConnectionError::Tls(tls) => {
                innermost_io(tls).map_or_else(|| Self::new(Cause::Tls, tls.to_string()), of_io)
            }
            ConnectionError::NotConnAck(packet) => {
                Self::new(Cause::Protocol, format!("the first packet is no CONNACK: {packet:?}"))
            }
            ConnectionError::RequestsDone => Self::new(Cause::Protocol, error.to_string()),
        }
    }
}

fn of_code(code: ConnectReturnCode) -> Cause {
    use ConnectReturnCode as C;
    match code {
        C::NotAuthorized
        | C::BadUserNamePassword
        | C::Banned
        | C::BadAuthenticationMethod
        | C::BadClientId
        | C::ClientIdentifierNotValid => Cause::NotAuthorised,
        C::ServiceUnavailable | C::ServerUnavailable | C::ServerBusy | C::ConnectionRateExceeded => Cause::Silent,
        _ => Cause::Protocol,
    }
}

fn of_state(state: &StateError) -> Fault {
    match state {
        StateError::ServerDisconnect { reason_code, .. } => {
            let cause = match reason_code {
                DisconnectReasonCode::SessionTakenOver => Cause::TakenOver,
                DisconnectReasonCode::NotAuthorized => Cause::NotAuthorised,
                DisconnectReasonCode::KeepAliveTimeout => Cause::Silent,
                _ => Cause::Closed,
            };
            Fault::new(cause, format!("DISCONNECT {reason_code:?}"))
        }
        StateError::ConnFail { reason } => Fault::new(of_code(*reason), format!("CONNACK {reason:?}")),
        StateError::ConnectionAborted => Fault::new(Cause::Closed, "end of stream"),
        StateError::AwaitPingResp | StateError::CollisionTimeout => Fault::new(Cause::Silent, state.to_string()),
        other => innermost_io(other).map_or_else(|| Fault::new(Cause::Protocol, other.to_string()), of_io),
    }
}

/// The I/O error at the bottom of `error`, when there is one.
fn innermost_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a std::io::Error> {
    // rumqttc holds the codec's error without naming it as a source.
    if let Some(StateError::Deserialization(inner)) = error.downcast_ref::<StateError>() {
        return innermost_io(inner);
    }
    let mut next = Some(error);
    let mut found = None;
    while let Some(e) = next {
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            found = Some(io);
        }
        next = e.source();
    }
    found
}

fn of_io(io: &std::io::Error) -> Fault {
    use std::io::ErrorKind as K;
    if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    let cause = match io.kind() {
        K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown => Cause::Unreachable,
        K::TimedOut => Cause::Silent,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => Cause::Closed,
        _ if io.to_string().contains("lookup address") => Cause::Unresolved,
        _ => Cause::Unreachable,
    };
    Fault::new(cause, io.to_string())
}

fn of_tls(tls: &rustls::Error) -> Fault {
    use AlertDescription as A;
    use CertificateError as C;
    let cause = match tls {
        rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => Cause::UntrustedBroker,
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => Cause::WrongName,
        rustls::Error::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => Cause::BrokerCertificateDates,
        rustls::Error::AlertReceived(
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
            | A::DecryptError
            | A::HandshakeFailure,
        ) => Cause::OurCertificateRefused,
        _ => Cause::Tls,
    };
    Fault::new(cause, tls.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls_io(error: rustls::Error) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn a_certificate_of_another_ca_is_named_as_such() {
        let io = tls_io(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        let fault = Fault::of(&ConnectionError::Tls(rumqttc::v5::TlsError::Io(io)));
        assert_eq!(fault.cause, Cause::UntrustedBroker);
        assert!(fault.to_string().contains("another CA"), "{fault}");
    }

    #[test]
    fn a_refused_certificate_is_found_below_the_codec() {
        // In TLS 1.3 the broker's verdict on our certificate arrives with the first read, after the handshake.
        let io = tls_io(rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        let state = StateError::Deserialization(io.into());
        assert_eq!(Fault::of(&ConnectionError::MqttState(state)).cause, Cause::OurCertificateRefused);
    }

    #[test]
    fn a_refused_port_and_an_unauthorised_client_are_told_apart() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Fault::of(&ConnectionError::Io(refused)).cause, Cause::Unreachable);
        let code = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        assert_eq!(Fault::of(&code).cause, Cause::NotAuthorised);
    }
}
