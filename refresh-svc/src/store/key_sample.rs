//! Some of the tokens that a key seals.

use latchkey_domain::GrantBinding;
use latchkey_sealing::{KeyId, TokenKind};

use super::credential::BindingColumns;
use super::{LONG_STATEMENT, Store, StoreError};

/// A stored token with what opening it needs.
pub struct SampleToken {
    /// The owner that the token is sealed for.
    pub binding: GrantBinding,
    /// The kind of the token.
    pub kind: TokenKind,
    /// The token, sealed.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for SampleToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampleToken")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    binding: BindingColumns,
    is_refresh: bool,
    sealed: Vec<u8>,
}

impl Store {
    /// Random tokens that name `key`: at most `most` access tokens, refresh tokens and refresh
    /// tokens of earlier sign-ins each. A row that cannot be parsed is left out.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn sample_of_key(
        &self,
        key: &KeyId,
        most: i64,
    ) -> Result<Vec<SampleToken>, StoreError> {
        let query = sqlx::query_as(
            "SELECT c.workspace_id, c.user_id, c.provider, c.issuer, c.subject,
                    token.is_refresh, token.sealed
             FROM ((SELECT account_id, false AS is_refresh, sealed_access_token AS sealed
                    FROM vault.credential WHERE access_token_key_id = $1
                    ORDER BY random() LIMIT $2)
                   UNION ALL
                   (SELECT account_id, true, sealed_refresh_token
                    FROM vault.credential WHERE refresh_token_key_id = $1
                    ORDER BY random() LIMIT $2)
                   UNION ALL
                   (SELECT account_id, true, sealed_refresh_token
                    FROM vault.replaced_grant WHERE refresh_token_key_id = $1
                    ORDER BY random() LIMIT $2)) AS token
             JOIN vault.credential AS c USING (account_id)",
        )
        .bind(key.as_str())
        .bind(most);
        let rows: Vec<Row> = self.fetch_all(LONG_STATEMENT, query).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                Some(SampleToken {
                    binding: row.binding.parse().ok()?,
                    kind: if row.is_refresh {
                        TokenKind::Refresh
                    } else {
                        TokenKind::Access
                    },
                    sealed: row.sealed,
                })
            })
            .collect())
    }
}
