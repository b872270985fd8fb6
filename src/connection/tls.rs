//! [`TlsConnector`]: TLS over the connections of another connector.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::config::tls::{TlsMaterial, name_of};
use crate::node::NodeAddr;
use crate::transport::{Connector, Transport};

/// Makes each connection with the material of that moment. What is connected already goes on with what it was made with.
#[derive(Debug)]
pub(crate) struct TlsConnector {
    inner: Arc<dyn Connector>,
    material: ArcSwap<TlsMaterial>,
}

impl TlsConnector {
    pub(crate) fn over(inner: Arc<dyn Connector>, material: TlsMaterial) -> Self {
        Self { inner, material: ArcSwap::from_pointee(material) }
    }

    /// For the connections that are made from now on.
    pub(crate) fn reload(&self, material: TlsMaterial) {
        self.material.store(Arc::new(material));
    }
}

impl Connector for TlsConnector {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let stream = self.inner.connect(node).await?;
            // Behind the connect, which may have taken a while.
            let material = self.material.load_full();
            let name = match &material.server_name {
                Some(name) => name.clone(),
                None => name_of(node.host()).map_err(io::Error::other)?,
            };
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&material.client));
            let stream = connector.connect(name, stream).await.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), CLOSED),
                _another => told(error),
            })?;
            Ok(Box::new(Encrypted(stream)) as Box<dyn Transport>)
        })
    }
}

const CLOSED: &str = "TLS: it closed the connection during the handshake; is it a port without TLS (redis://, or a cluster \
                      whose nodes tell plain ports because of `tls-cluster no`)?";

/// A stream whose reader drives what the last write has left over.
///
/// rustls takes more than the socket does and keeps the rest, which leaves when the stream is flushed. Those who write here
/// hold what was taken for written, and wait for the reply.
struct Encrypted(TlsStream<Box<dyn Transport>>);

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.get_ref().1.wants_write()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.0).poll_flush(cx)
        {
            // What has arrived before the end is still to be read.
            return match Pin::new(&mut self.0).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(Err(told(error))),
            };
        }
        Pin::new(&mut self.0).poll_read(cx, buffer).map(|read| match read {
            // Servers that are killed say no goodbye, and a reply that was cut off shows by its form.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read.map_err(told),
        })
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes).map_err(told)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes).map_err(told)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(told)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The error in words that say what to do.
fn told(error: io::Error) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return error;
    };
    io::Error::new(error.kind(), format!("TLS: {}", words(cause)))
}

fn words(error: &TlsError) -> String {
    let hint = match error {
        TlsError::InvalidCertificate(cause) => hint_of_certificate(cause),
        TlsError::AlertReceived(alert) => hint_of_alert(*alert),
        TlsError::InvalidMessage(_) => {
            "it answered in something else than TLS; is it a port without TLS (redis://, or a cluster whose nodes tell plain \
             ports because of `tls-cluster no`)?"
        }
        TlsError::PeerIncompatible(_) => {
            "it has no version or cipher of TLS in common with this client (1.2 and 1.3)"
        }
        _any_other => "",
    };
    if hint.is_empty() { error.to_string() } else { format!("{hint} ({error})") }
}

fn hint_of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => {
            "the server's certificate was issued by nobody who is trusted: name its CA by TlsConfig::roots_file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name: add this one to it (an IP address as an IP SAN), or say which name \
             it has by TlsConfig::server_name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or look at the clock here"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: look at the clock here"
        }
        // By its words: the type of this cause is that of a crate behind rustls.
        CertificateError::Other(cause) if cause.to_string() == "CaUsedAsEndEntity" => {
            "the server shows the certificate of a CA, as `openssl req -x509` makes it: let the CA issue one for the server, or \
             make a self-signed one with `-addext basicConstraints=critical,CA:FALSE`"
        }
        _any_other => "the server's certificate is refused",
    }
}

fn hint_of_alert(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => {
            "the server demands a certificate of the client: give one by TlsConfig::identity_files"
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown => "the server refuses the certificate of this client",
        // TLS 1.2 has no other word for a certificate that is missing.
        AlertDescription::HandshakeFailure => {
            "the server refuses the handshake; it may demand a certificate of the client (TlsConfig::identity_files)"
        }
        _any_other => "the server has ended it",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::words;

    /// Until the year 2126: `openssl req -x509 -nodes -days 36500 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=redis
    /// -addext subjectAltName=IP:127.0.0.1`.
    const AS_OPENSSL_MAKES_IT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS6gAwIBAgIUJM20RLZLf4MeQlqohGkgbMHX/JowCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFcmVkaXMwIBcNMjYxMTIzMDczMDE5WhgPMjEyNjEwMzAwNzMw
MTlaMBAxDjAMBgNVBAMMBXJlZGlzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
wihtBAKD56X9dM3Um0qUCIl6akEB77Lb7UFUEwHhH9beQnMBw4vmbHlXu/hSQisp
/+g1ujTqPv5ZPOsHufy2q6NkMGIwHQYDVR0OBBYEFJrUc+z/F8TL7FRVYmpBw9UZ
h71tMB8GA1UdIwQYMBaAFJrUc+z/F8TL7FRVYmpBw9UZh71tMA8GA1UdEwEB/wQF
MAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNJADBGAiEAmKPX/aUx
tMromDP8nN5rxW8sc/0vjkG7qtMl2cG3Au8CIQDObDDhis3fH+fJ7aMX5tYdk+D+
KxNXViJsJHlrZ3Glmw==
-----END CERTIFICATE-----
";

    /// The same with `-addext basicConstraints=critical,CA:FALSE`.
    const OF_NO_CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhjCCASugAwIBAgIUSl8PscUCEesePgsw0xebaGNW/kUwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFcmVkaXMwIBcNMjYxMTIzMDczMDE5WhgPMjEyNjEwMzAwNzMw
MTlaMBAxDjAMBgNVBAMMBXJlZGlzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
+FEWRJqq5t6Rucw7aGhHgPMsEXZmejF+kDFq1NNwhqUWlFTx/gDTMLV/5PzbeU4J
cIc0Ihj2w1xVuhHd71JdXqNhMF8wHQYDVR0OBBYEFI/I0LTMJm1pvm9E9nfiqO3i
NRAnMB8GA1UdIwQYMBaAFI/I0LTMJm1pvm9E9nfiqO3iNRAnMA8GA1UdEQQIMAaH
BH8AAAEwDAYDVR0TAQH/BAIwADAKBggqhkjOPQQDAgNJADBGAiEAv6wQ/w8pPwjG
KaEu2kwzpkA0H5T8hw2kquAWcbn/U50CIQCBIGvUC5ipqc5D2zgug3JDYYX7UcLc
aQwhNIly4qoxIQ==
-----END CERTIFICATE-----
";

    /// What is said of a server that shows this certificate to a client which trusts it.
    fn judged(pem: &str) -> Result<(), String> {
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).map_err(|error| words(&error))?;
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let name = ServerName::try_from("127.0.0.1").map_err(|error| error.to_string())?;
        let verdict = verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now());
        verdict.map(drop).map_err(|error| words(&error))
    }

    #[test]
    fn a_self_signed_certificate_is_its_own_root_unless_it_is_that_of_a_ca() {
        assert_eq!(judged(OF_NO_CA), Ok(()));
        let error = judged(AS_OPENSSL_MAKES_IT).unwrap_err();
        assert!(error.starts_with("the server shows the certificate of a CA"), "{error}");
    }
}
