//! [`LocalTls`]: a cluster whose servers speak TLS; [`CertificateAuthority`]: certificates for tests.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::config::credentials::Credentials;
use crate::config::tls::TlsConfig;
use crate::connection::tls::TlsConnector;
use crate::connection::transport::TcpConnector;
use crate::error::Error;
use crate::testkit::form::Access;
use crate::testkit::process::Ports;
use crate::testkit::server::StartError;

/// Between the first and the last day of a certificate that is good.
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

/// Before now, for clocks that differ.
const SINCE: Duration = Duration::from_secs(24 * 3600);

/// Makes certificates that those who trust it take, and nobody else.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

/// A certificate and its private key, in PEM. `Debug` shows neither.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, as PKCS #8.
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity { .. }")
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateAuthority { .. }")
    }
}

fn failed(error: rcgen::Error) -> Error {
    Error::usage(format!("the certificate cannot be made: {error}"))
}

impl CertificateAuthority {
    /// A new one with a key of its own.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn new(name: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().map_err(failed)?;
        let root = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), root })
    }

    /// Its own certificate in PEM: what others trust.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A certificate for servers and clients of these names, DNS names or IP addresses. Good for a year.
    ///
    /// # Errors
    ///
    /// If a name is not valid.
    pub fn issue<S: Into<String>>(&self, names: impl IntoIterator<Item = S>) -> Result<Identity, Error> {
        let now = SystemTime::now();
        self.issue_for(names, now - SINCE, now + VALID)
    }

    /// The same, but it expired an hour ago.
    ///
    /// # Errors
    ///
    /// If a name is not valid.
    pub fn issue_expired<S: Into<String>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Identity, Error> {
        let now = SystemTime::now();
        self.issue_for(names, now - SINCE, now - Duration::from_secs(3600))
    }

    fn issue_for<S: Into<String>>(
        &self,
        names: impl IntoIterator<Item = S>,
        from: SystemTime,
        to: SystemTime,
    ) -> Result<Identity, Error> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.not_before = from.into();
        params.not_after = to.into();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// How the servers of a [`LocalCluster`](crate::testkit::LocalCluster) speak TLS; for
/// [`LocalClusterBuilder::tls`](crate::testkit::LocalClusterBuilder::tls).
///
/// Their certificate, of an authority that is made for the cluster, is for `localhost` and 127.0.0.1. The nodes speak TLS among
/// themselves too, unless [`plain_ports_told`](Self::plain_ports_told).
#[derive(Clone, Debug)]
#[must_use]
pub struct LocalTls {
    ports: Ports,
    names: Vec<String>,
    asks_clients: bool,
}

impl Default for LocalTls {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalTls {
    /// TLS only, and every client must show a certificate (the servers' default).
    pub fn new() -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        Self { ports: Ports::Tls, names: names.into(), asks_clients: true }
    }

    /// A port without TLS as well, on each server. Nodes are still named by their ports for TLS;
    /// [`LocalCluster::other_port_of`](crate::testkit::LocalCluster::other_port_of) tells the other.
    pub fn with_plain_port(mut self) -> Self {
        self.ports = Ports::TlsAndPlain;
        self
    }

    /// Both ports, and the plain ones are told to all clients, those that came by TLS included (`tls-cluster no`). Nodes are named by
    /// them.
    pub fn plain_ports_told(mut self) -> Self {
        self.ports = Ports::PlainAndTls;
        self
    }

    /// Takes clients without a certificate (`tls-auth-clients no`).
    pub fn any_client(mut self) -> Self {
        self.asks_clients = false;
        self
    }

    /// What the servers' certificate is for, DNS names or IP addresses; default `localhost` and 127.0.0.1.
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }
}

/// What a cluster with TLS was made with.
#[derive(Debug)]
pub struct ClusterTls {
    ports: Ports,
    authority: CertificateAuthority,
    client: Identity,
    folder: PathBuf,
    lines: String,
    server_name: Option<String>,
}

impl ClusterTls {
    /// Makes the certificates, below `home`.
    pub(super) fn prepare(tls: LocalTls, home: &Path) -> Result<Self, StartError> {
        let authority = CertificateAuthority::new("keyslot testkit")?;
        let server = authority.issue(tls.names.clone())?;
        let client = authority.issue(["client"])?;
        let folder = home.join("tls");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text);
        fs::create_dir_all(&folder)
            .and_then(|()| write("ca.pem", authority.root()))
            .and_then(|()| write("server.pem", &server.certificate))
            .and_then(|()| write("server.key", &server.key))
            .and_then(|()| write("client.pem", &client.certificate))
            .and_then(|()| write("client.key", &client.key))
            .map_err(StartError::io(format!("write certificates in {}", folder.display())))?;
        let lines = format!(
            "tls-cert-file {0}/server.pem\ntls-key-file {0}/server.key\ntls-ca-cert-file {0}/ca.pem\n\
             tls-auth-clients {1}\ntls-replication {2}\n",
            folder.display(),
            if tls.asks_clients { "yes" } else { "no" },
            if tls.ports == Ports::PlainAndTls { "no" } else { "yes" },
        );
        let is_for_address = tls.names.iter().any(|name| name == "127.0.0.1");
        let server_name = tls.names.into_iter().next().filter(|_| !is_for_address);
        Ok(Self { ports: tls.ports, authority, client, folder, lines, server_name })
    }

    /// Trusts the cluster, and shows an identity that the cluster takes.
    pub fn config(&self) -> TlsConfig {
        self.anonymous().identity_pem(&self.client.certificate, &self.client.key)
    }

    /// Trusts the cluster, and shows nothing.
    pub fn anonymous(&self) -> TlsConfig {
        let tls = TlsConfig::new().roots_pem(self.authority.root());
        match &self.server_name {
            Some(name) => tls.server_name(name),
            None => tls,
        }
    }

    /// Who made the certificates, and can make more.
    #[must_use]
    pub fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// The folder of `ca.pem`, `server.pem`, `server.key`, `client.pem` and `client.key`. Servers read theirs again by
    /// `CONFIG SET tls-cert-file <path>`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn lines(&self) -> &str {
        &self.lines
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    /// Whether the port by which nodes are named is one for TLS.
    pub(super) fn is_asked_by_tls(&self) -> bool {
        match self.ports {
            Ports::Tls | Ports::TlsAndPlain => true,
            Ports::Plain | Ports::PlainAndTls => false,
        }
    }

    pub(super) fn access(&self, credentials: Option<Credentials>) -> Result<Access, StartError> {
        if !self.is_asked_by_tls() {
            return Ok(Access::plain(credentials));
        }
        let connector = TlsConnector::over(Arc::new(TcpConnector), self.config().read()?);
        Ok(Access { credentials, connector: Arc::new(connector) })
    }
}
