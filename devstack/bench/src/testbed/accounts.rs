//! Creates accounts as sync-svc does, with sealed tokens.

use std::sync::Arc;

use anyhow::Context as _;
use latchkey_demo_provider::Flavour;
use latchkey_domain::{AccessToken, AccountId, GrantBinding, RefreshToken, UserId, WorkspaceId};
use latchkey_opening::OpeningKey;

use super::{SCOPES, Testbed, token_text};

/// Number of accounts that are sealed and inserted at once.
const BATCH: usize = 1_000;

impl Testbed {
    /// Creates accounts with a token that is valid for another 50 minutes.
    pub async fn add_valid(&self, count: usize) -> anyhow::Result<Vec<AccountId>> {
        let grants = (0..count).map(|number| (token_text(number), format!("1//{number:060}")));
        self.add(Flavour::Google, grants.collect(), 50 * 60).await
    }

    /// Creates accounts with an expired access token and a valid refresh token.
    pub async fn add_expired(
        &self,
        flavour: Flavour,
        count: usize,
    ) -> anyhow::Result<Vec<AccountId>> {
        let mut grants = Vec::with_capacity(count);
        for _ in 0..count {
            let grant = self.demo.grant(flavour, "ada", &SCOPES);
            grants.push(grant.context("the demo provider has no account ada")?);
        }
        self.add(flavour, grants, -10).await
    }

    async fn add(
        &self,
        flavour: Flavour,
        grants: Vec<(String, String)>,
        expires_in: i32,
    ) -> anyhow::Result<Vec<AccountId>> {
        let mut accounts = Vec::with_capacity(grants.len());
        for batch in grants.chunks(2 * BATCH) {
            let (one, other) = batch.split_at(batch.len() / 2);
            let (one, other) = tokio::try_join!(
                self.add_batch(flavour, one.to_vec(), expires_in),
                self.add_batch(flavour, other.to_vec(), expires_in)
            )?;
            accounts.extend(one);
            accounts.extend(other);
        }
        Ok(accounts)
    }

    async fn add_batch(
        &self,
        flavour: Flavour,
        grants: Vec<(String, String)>,
        expires_in: i32,
    ) -> anyhow::Result<Vec<AccountId>> {
        let binding = GrantBinding {
            workspace: WorkspaceId::generate(),
            user: UserId::generate(),
            provider: provider(flavour).parse()?,
            issuer: self.demo.issuer(flavour).parse()?,
            subject: SUBJECT.parse()?,
        };
        let (key, of) = (Arc::clone(&self.key), binding.clone());
        let rows = tokio::task::spawn_blocking(move || seal(&key, &of, &grants)).await??;
        let ids = rows.accounts.clone();
        sqlx::query(
            "INSERT INTO vault.credential
                 (account_id, workspace_id, user_id, provider, issuer, subject, handle,
                  sealed_access_token, access_token_expires_at, sealed_refresh_token,
                  granted_scopes, authenticated_at, vouched_handle)
             SELECT account, $2, $3, $10, $4, $5, account || '@acme.example',
                    access, now() + make_interval(secs => $8), refresh, $9,
                    now() - interval '10 minutes', account || '@acme.example'
             FROM unnest($1::uuid[], $6::bytea[], $7::bytea[]) AS new (account, access, refresh)",
        )
        .bind(rows.accounts)
        .bind(binding.workspace.as_uuid())
        .bind(binding.user.as_uuid())
        .bind(binding.issuer.as_str())
        .bind(SUBJECT)
        .bind(rows.access)
        .bind(rows.refresh)
        .bind(f64::from(expires_in))
        .bind(SCOPES.map(str::to_owned).to_vec())
        .bind(binding.provider.as_str())
        .execute(&self.pool)
        .await?;
        Ok(ids.into_iter().map(AccountId::from).collect())
    }
}

/// Returns the provider's name in the configuration.
fn provider(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Google => "google",
        Flavour::Microsoft => "microsoft",
        Flavour::Oidc => "demo",
    }
}

const SUBJECT: &str = "100000000000000000001";

struct Rows {
    accounts: Vec<uuid::Uuid>,
    access: Vec<Vec<u8>>,
    refresh: Vec<Vec<u8>>,
}

fn seal(
    key: &OpeningKey,
    binding: &GrantBinding,
    grants: &[(String, String)],
) -> anyhow::Result<Rows> {
    let mut rows = Rows {
        accounts: Vec::new(),
        access: Vec::new(),
        refresh: Vec::new(),
    };
    for (access, refresh) in grants {
        let key = key.sealing_key();
        rows.accounts.push(AccountId::generate().as_uuid());
        rows.access
            .push(key.seal_access_token(&AccessToken::new(access.as_str()), binding)?);
        rows.refresh
            .push(key.seal_refresh_token(&RefreshToken::new(refresh.as_str()), binding)?);
    }
    Ok(rows)
}
