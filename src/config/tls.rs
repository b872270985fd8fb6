//! [`TlsConfig`]: whom to trust and what to show, as data; read and checked when it is put to use.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Error;

/// How connections are made by TLS; by [`ClientBuilder::tls`](crate::ClientBuilder::tls). Feature `tls`.
///
/// The defaults trust the system's roots, show no certificate of their own, and hold the server to the host of the node's
/// address, be it a name or an IP address (which the certificate must then have as an IP SAN). TLS 1.2 and 1.3.
///
/// Files are read when the client is built, and again each time by [`Client::reload_tls`](crate::Client::reload_tls). `Debug`
/// shows their paths and no key.
///
/// ```no_run
/// # async fn example() -> keyslot::Result<()> {
/// use keyslot::{Client, TlsConfig};
///
/// let tls = TlsConfig::new().roots_file("ca.pem").identity_files("client.pem", "client.key");
/// let client = Client::builder().url("rediss://10.0.0.1:6379").tls(tls).connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TlsConfig {
    /// Empty: the system's.
    roots: Vec<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
    verification: Verification,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Verification {
    #[default]
    On,
    Off,
}

/// Where certificates or a key are.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(Arc<[u8]>),
    Der(Arc<[u8]>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => fmt::Debug::fmt(path, f),
            Self::Text(_) => f.write_str("PEM"),
            Self::Der(_) => f.write_str("DER"),
        }
    }
}

impl TlsConfig {
    /// The system's roots, no certificate of the client, and the host of each node's address as its name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in this PEM file instead of the system's roots; more than one call adds up.
    pub fn roots_file(mut self, path: impl AsRef<Path>) -> Self {
        self.roots.push(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// Trusts these certificates in PEM instead of the system's roots; more than one call adds up.
    pub fn roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(Pem::Text(pem.as_ref().into()));
        self
    }

    /// Trusts this certificate in DER instead of the system's roots; more than one call adds up.
    pub fn root_der(mut self, der: impl AsRef<[u8]>) -> Self {
        self.roots.push(Pem::Der(der.as_ref().into()));
        self
    }

    /// The client's certificate with its chain, and its private key, as PEM files: for servers that ask for one
    /// (`tls-auth-clients`, which is on by default). Default: none.
    pub fn identity_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity =
            Some((Pem::File(certificate.as_ref().to_owned()), Pem::File(key.as_ref().to_owned())));
        self
    }

    /// The same as PEM texts.
    pub fn identity_pem(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some((Pem::Text(certificate.as_ref().into()), Pem::Text(key.as_ref().into())));
        self
    }

    /// The same as DER: one certificate, and its key as PKCS #8, PKCS #1 or SEC 1.
    pub fn identity_der(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some((Pem::Der(certificate.as_ref().into()), Pem::Der(key.as_ref().into())));
        self
    }

    /// The name, or IP address, that the certificate of every node must be for, whatever address is dialled. A name is also
    /// sent as SNI. Default: the host of the node's address, as the cluster tells it or the seed says.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Takes any certificate of anybody: **whoever can reach the wire can read and change everything**, passwords included.
    ///
    /// For a try on one's own machine. The client says on standard error that verification is off, each time that this is
    /// put to use. Everything that this is used for can be had safely: [`roots_file`](Self::roots_file) with the certificate of
    /// who issued the server's, or with the server's own if it is self-signed and is not marked as that of a CA (`openssl req
    /// -x509` marks it so, unless told `-addext basicConstraints=critical,CA:FALSE`), and [`server_name`](Self::server_name) for
    /// one that is for another name.
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.verification = Verification::Off;
        self
    }

    /// [`TlsConfig::read`] on a thread that may block.
    pub(crate) async fn read_elsewhere(self) -> Result<TlsMaterial, Error> {
        let reading = tokio::task::spawn_blocking(move || self.read()).await;
        reading.unwrap_or_else(|ended| Err(Error::config("TLS: the reading ended early").with_source(ended)))
    }

    /// Reads the files and checks everything. Blocks for as long as that takes.
    pub(crate) fn read(&self) -> Result<TlsMaterial, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config(format!("TLS: {error}")))?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.verification {
            Verification::On => {
                WebPkiServerVerifier::builder_with_provider(Arc::new(self.read_roots()?), provider)
                    .build()
                    .map_err(|error| Error::config(format!("TLS: the roots are of no use: {error}")))?
            }
            Verification::Off => {
                // `eprintln` would panic where nobody reads it any more.
                let _told = writeln!(
                    io::stderr(),
                    "keyslot: TLS certificates are NOT verified (danger_accept_invalid_certificates): whoever can reach the \
                     wire can read and change everything"
                );
                Arc::new(Unverified::of(&provider))
            }
        };
        // The one way to give a verifier by hand; which one it is was settled above.
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let client = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate, "the client's certificate")?;
                builder.with_client_auth_cert(chain, private_key(key)?).map_err(|error| {
                    Error::config(format!(
                        "TLS: the client's certificate ({certificate:?}) and key ({key:?}) cannot be used: {error}"
                    ))
                })?
            }
        };
        let server_name = self.server_name.as_deref().map(name_of).transpose()?;
        Ok(TlsMaterial { client: Arc::new(client), server_name })
    }

    fn read_roots(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        if self.roots.is_empty() {
            let found = rustls_native_certs::load_native_certs();
            // A system may have certificates that nobody can read any more; as long as there is another, they are its affair.
            let (added, _ignored) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
                return Err(Error::config(format!(
                    "TLS: the system has no trusted roots (Debian and Ubuntu: apt-get install ca-certificates; or name \
                     some by TlsConfig::roots_file) {}",
                    errors.join("; ")
                )));
            }
        }
        for root in &self.roots {
            for certificate in certificates(root, "the roots")? {
                store.add(certificate).map_err(|error| {
                    Error::config(format!("TLS: a root of {root:?} is not valid: {error}"))
                })?;
            }
        }
        Ok(store)
    }
}

/// What a connection is made with: whole, and swapped as a whole.
pub(crate) struct TlsMaterial {
    pub(crate) client: Arc<ClientConfig>,
    /// Of every node, if it is not that of its address.
    pub(crate) server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// A host as certificates have it.
pub(crate) fn name_of(host: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        Error::config(format!(
            "TLS: \"{host}\" is neither a DNS name nor an IP address, so no certificate can be for it: give the name by \
             TlsConfig::server_name"
        ))
    })
}

fn certificates(pem: &Pem, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = match pem {
        Pem::Der(der) => return Ok(vec![CertificateDer::from(der.to_vec())]),
        Pem::File(path) => read_file(path, what)?,
        Pem::Text(text) => text.to_vec(),
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_none) => Err(Error::config(format!("TLS: {what} ({pem:?}): there is no certificate in it"))),
        Err(error) => Err(Error::config(format!("TLS: {what} ({pem:?}): {error}"))),
    }
}

/// Errors say nothing of what is in it.
fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Error> {
    let what = "the client's private key";
    let text = match pem {
        Pem::Der(der) => {
            return PrivateKeyDer::try_from(der.to_vec()).map_err(|_| {
                Error::config(format!("TLS: {what} (DER) is none of PKCS #8, PKCS #1 and SEC 1"))
            });
        }
        Pem::File(path) => read_file(path, what)?,
        Pem::Text(text) => text.to_vec(),
    };
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        Error::config(format!(
            "TLS: {what} ({pem:?}): there is no private key in PEM in it (one with a passphrase cannot be read)"
        ))
    })
}

fn read_file(path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        Error::config(format!("TLS: {what}: {} cannot be read", path.display())).with_source(error)
    })
}

/// Takes every certificate; the handshake's signatures are still held to it.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl Unverified {
    fn of(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{self, Read};
    use std::process::{Command, Stdio};

    use super::{TlsConfig, name_of};

    #[test]
    fn what_cannot_be_read_is_named_and_no_key_is_shown() {
        let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        for (tls, text) in [
            (TlsConfig::new().roots_file("/no/ca.pem"), "the roots: /no/ca.pem cannot be read: No such file"),
            (TlsConfig::new().roots_pem("nothing"), "the roots (PEM): there is no certificate in it"),
            (TlsConfig::new().root_der("nothing"), "a root of DER is not valid"),
            (
                TlsConfig::new().danger_accept_invalid_certificates().identity_pem(secret, secret),
                "the client's certificate (PEM): there is no certificate in it",
            ),
        ] {
            assert!(!format!("{tls:?}").contains("c2VjcmV0"));
            let error = tls.read().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert!(!format!("{error:?}").contains("c2VjcmV0"));
        }
    }

    /// Runs itself once more, with nobody at the other end of its standard error.
    #[test]
    fn a_warning_that_nobody_reads_any_more_is_no_reason_to_fail() {
        const AGAIN: &str = "KEYSLOT_TEST_WITHOUT_STANDARD_ERROR";
        const NAME: &str = "config::tls::tests::a_warning_that_nobody_reads_any_more_is_no_reason_to_fail";
        if env::var_os(AGAIN).is_some() {
            // It ends when the other end of the standard error is closed.
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
            assert!(TlsConfig::new().danger_accept_invalid_certificates().read().is_ok());
            return;
        }
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(AGAIN, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        drop(child.stdin.take());
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && told.contains("1 passed"), "{told}");
    }

    #[test]
    fn a_name_may_be_an_address() {
        for host in ["node-1.example.com", "10.0.0.1", "::1"] {
            assert!(name_of(host).is_ok(), "{host}");
        }
        assert!(name_of("two words").is_err());
    }
}
