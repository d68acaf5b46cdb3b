//! The providers: how each is started, and the variables with which Latchkey uses it.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use devstack::Options;
use latchkey_e2e::packages;
use latchkey_servers::{Child, ChildSpec, free_port};
use latchkey_signing_keys::{Algorithm, generate};

const CLIENT_ID: &str = "latchkey";
const CLIENT_SECRET: &str = "a-secret-that-is-long-enough";
/// The only tenant, so that Microsoft's people belong to one organisation.
const TENANT: &str = "5d5f6f0c-2f0f-4d37-9b5f-0d3b0f6a3b11";

/// A provider of another author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// npm `oidc-provider`, certified.
    OidcProvider,
    /// The same, for a client that authenticates with a key (`private_key_jwt`).
    OidcProviderByKey,
    /// npm `oauth2-mock-server`.
    MockServer,
    /// npm `emulate` as Google.
    Google,
    /// npm `emulate` as Microsoft.
    Microsoft,
    /// npm `emulate` as Okta.
    Okta,
    /// npm `@hellocoop/mockin`.
    Hello,
    /// PyPI `oidc-provider-mock`.
    PythonMock,
    /// PyPI `django-oauth-toolkit`.
    Django,
}

const ALL: [Foreign; 9] = [
    Foreign::OidcProvider,
    Foreign::OidcProviderByKey,
    Foreign::MockServer,
    Foreign::Google,
    Foreign::Microsoft,
    Foreign::Okta,
    Foreign::Hello,
    Foreign::PythonMock,
    Foreign::Django,
];

/// The ports. The stack needs the variables of every provider before the first one runs.
struct Ports {
    public: u16,
    providers: [u16; ALL.len()],
}

static PORTS: LazyLock<Result<Ports, String>> = LazyLock::new(|| {
    let next = || free_port().map_err(|error| error.to_string());
    let mut providers = [0; ALL.len()];
    for port in &mut providers {
        *port = next()?;
    }
    Ok(Ports {
        public: next()?,
        providers,
    })
});

/// The key with which the client authenticates.
static CLIENT_KEY: LazyLock<Option<String>> =
    LazyLock::new(|| generate(Algorithm::ES256, None).ok());

fn client_key() -> anyhow::Result<String> {
    CLIENT_KEY.clone().context("no key was generated")
}

fn ports() -> anyhow::Result<&'static Ports> {
    PORTS
        .as_ref()
        .map_err(|problem| anyhow::anyhow!("{problem}"))
}

/// The options of a stack with every provider.
pub fn options() -> anyhow::Result<Options> {
    let mut options = Options::test();
    options.public_port = Some(ports()?.public);
    for foreign in ALL {
        for (name, value) in foreign.variables()? {
            options.environment.insert(name, value);
        }
    }
    Ok(options)
}

/// An HTTP client for requests to the providers.
pub fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()?)
}

/// The URL at which browsers reach Latchkey.
pub fn public_url() -> anyhow::Result<String> {
    Ok(format!("http://localhost:{}", ports()?.public))
}

impl Foreign {
    /// Name of the provider at Latchkey.
    pub fn name(self) -> &'static str {
        match self {
            Self::OidcProvider => "foreign",
            Self::OidcProviderByKey => "foreign_by_key",
            Self::MockServer => "mock_server",
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Okta => "okta",
            Self::Hello => "hello",
            Self::PythonMock => "python_mock",
            Self::Django => "django",
        }
    }

    /// Path that starts a sign-in.
    pub fn path(self) -> String {
        match self {
            Self::Google | Self::Microsoft => format!("/auth/{}", self.name()),
            _ => format!("/auth/oidc/{}", self.name()),
        }
    }

    /// Login of the person at the provider.
    pub fn login(self) -> String {
        match self {
            // The provider makes the mail address from the login.
            Self::OidcProvider | Self::OidcProviderByKey => self.name().to_owned(),
            _ => self.address(),
        }
    }

    /// Mail address of the person.
    pub fn address(self) -> String {
        format!("{}@acme.example", self.name())
    }

    /// Base URL of the provider.
    pub fn base(self) -> anyhow::Result<String> {
        // The issuer of the mock server has this host.
        let host = match self {
            Self::MockServer => "localhost",
            _ => "127.0.0.1",
        };
        Ok(format!("http://{host}:{}", self.port()?))
    }

    /// URL of the discovery document.
    pub fn discovery(self) -> anyhow::Result<String> {
        let base = self.base()?;
        let below = match self {
            Self::Microsoft => format!("/{TENANT}/v2.0"),
            Self::Django => "/o".to_owned(),
            _ => String::new(),
        };
        Ok(format!("{base}{below}/.well-known/openid-configuration"))
    }

    fn port(self) -> anyhow::Result<u16> {
        ALL.iter()
            .zip(ports()?.providers)
            .find_map(|(foreign, port)| (*foreign == self).then_some(port))
            .context("the provider has no port")
    }

    /// The variables that configure the provider at Latchkey.
    fn variables(self) -> anyhow::Result<Vec<(String, String)>> {
        let base = self.base()?;
        let prefix = match self {
            Self::Google => "AUTH_GOOGLE".to_owned(),
            Self::Microsoft => "AUTH_MICROSOFT".to_owned(),
            _ => format!("AUTH_OIDC_{}", self.name().to_uppercase()),
        };
        let mut variables = vec![("CLIENT_ID", CLIENT_ID.to_owned())];
        if !matches!(
            self,
            Self::MockServer | Self::Hello | Self::OidcProviderByKey
        ) {
            variables.push(("CLIENT_SECRET", CLIENT_SECRET.to_owned()));
        }
        variables.extend(match self {
            Self::MockServer => vec![
                ("ISSUER", base),
                ("SCOPES", "openid email offline_access".to_owned()),
                // The provider announces no other method.
                ("TOKEN_AUTH_METHOD", "none".to_owned()),
            ],
            Self::Google => vec![("ISSUER", base)],
            Self::Microsoft => vec![("AUTHORITY", base), ("TENANT_ID", TENANT.to_owned())],
            Self::OidcProvider | Self::Okta => vec![
                ("ISSUER", base),
                ("SCOPES", "openid email profile offline_access".to_owned()),
            ],
            Self::OidcProviderByKey => vec![
                ("ISSUER", base),
                ("SCOPES", "openid email profile offline_access".to_owned()),
                ("TOKEN_AUTH_METHOD", "private_key_jwt".to_owned()),
                ("TOKEN_AUTH_AUDIENCE", "issuer".to_owned()),
                ("PRIVATE_KEY", client_key()?),
            ],
            Self::Hello => vec![
                ("ISSUER", base),
                // The provider refuses `profile` and `offline_access`: each scope is a claim.
                ("SCOPES", "openid email name".to_owned()),
                // The provider announces another method and reads the id from the body only.
                ("TOKEN_AUTH_METHOD", "none".to_owned()),
            ],
            Self::PythonMock => vec![
                ("ISSUER", base),
                ("SCOPES", "openid email profile".to_owned()),
                // Only a sign-in with data connects an account.
                ("MESSAGING_SCOPES", "address".to_owned()),
                ("ROTATION", "none".to_owned()),
            ],
            Self::Django => vec![
                ("ISSUER", format!("{base}/o")),
                ("MESSAGING_SCOPES", "notes.read".to_owned()),
                ("ROTATION", "strict".to_owned()),
            ],
        });
        Ok(variables
            .into_iter()
            .map(|(name, value)| (format!("{prefix}_{name}"), value))
            .collect())
    }

    /// Starts the provider and waits until it listens.
    pub async fn start(self) -> anyhow::Result<Child> {
        let port = self.port()?;
        let mut child = Child::start(self.child(port)?)?;
        child
            .wait_until(Duration::from_mins(1), || async {
                tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .is_ok()
            })
            .await?;
        if self == Self::Hello {
            // The people of the provider have addresses of another domain.
            let claims = format!(
                r#"{{"sub":"ada","email":"{}","name":"Ada"}}"#,
                self.address()
            );
            http()?
                .put(format!("{}/mock/claims", self.base()?))
                .header("Content-Type", "application/json")
                .body(claims)
                .send()
                .await?
                .error_for_status()?;
        }
        Ok(child)
    }

    fn child(self, port: u16) -> anyhow::Result<ChildSpec> {
        let public_url = public_url()?;
        let name = self.name();
        let family = match self {
            Self::Google | Self::Microsoft => "",
            _ => "oidc/",
        };
        let apis = match self {
            Self::Google | Self::Microsoft => format!("/auth/{name}-apis"),
            _ => format!("/auth/oidc-apis/{name}"),
        };
        let redirects = format!(
            "{public_url}/auth/{family}{name}/redirect {public_url}{apis}/get-access-token"
        );
        let spec = match self {
            Self::PythonMock | Self::Django => {
                let place = packages::install_python("foreign-provider-python")?;
                let log = place.join(format!("{name}.log"));
                let data = place.join(format!("{name}.sqlite"));
                ChildSpec::new(name, packages::python(&place), &place, &log).env("DATA", data)
            }
            _ => {
                let place = packages::install_npm("foreign-provider")?;
                let log = place.join(format!("{name}.log"));
                ChildSpec::new(name, "node", &place, &log)
            }
        };
        let spec = match self {
            Self::OidcProvider => spec.arg("server.mjs").env("ACCESS_TOKEN_TTL", "3600"),
            Self::OidcProviderByKey => spec.arg("server.mjs").env("ACCESS_TOKEN_TTL", "3600").env(
                "JWKS_URI",
                format!("{public_url}/.well-known/client-jwks.json"),
            ),
            Self::MockServer => spec.arg("oauth2-mock-server.mjs"),
            Self::Google | Self::Microsoft | Self::Okta => spec
                .arg("emulate.mjs")
                .env("SERVICE", name)
                .env("TENANT", TENANT),
            Self::Hello => spec
                .arg("node_modules/@hellocoop/mockin/src/server.js")
                .env("IP", "127.0.0.1"),
            Self::PythonMock => spec
                .arg("-m")
                .arg("oidc_provider_mock")
                .arg(format!("--port={port}"))
                .arg(format!("--user-claims={}", self.python_person()))
                .env("AUTHLIB_INSECURE_TRANSPORT", "1"),
            Self::Django => spec.arg("django_provider.py"),
        };
        Ok(spec
            .env("PORT", port.to_string())
            .env("CLIENT_ID", CLIENT_ID)
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("REDIRECT_URIS", redirects)
            .env("PERSON", self.address()))
    }

    fn python_person(self) -> String {
        let address = self.address();
        format!(r#"{{"sub":"{address}","email":"{address}","email_verified":true}}"#)
    }
}
