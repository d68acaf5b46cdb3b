//! Whether refresh-svc has the keys that grants are sealed to. Only their ids are compared: this
//! program cannot open a grant.

use std::collections::BTreeMap;

use latchkey_config::Environment;
use latchkey_sealing::{KeyId, SealingKey};

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::service::Service;
use crate::wording::{counted, listed};
use crate::world::World;

#[derive(Debug, Default)]
struct Seen {
    /// Id of the key of auth-svc.
    public: Option<String>,
    /// Ids of the keys of refresh-svc; empty if they are not given.
    private: Vec<String>,
    /// Refresh tokens by the id of their key. `None` if the database does not tell.
    stored: Option<BTreeMap<String, i64>>,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let private: Vec<String> = world
        .sources_of(Service::Refresh)
        .flat_map(|source| private_ids(&source.environment))
        .collect();
    if private.is_empty() {
        return Err(NotLooked::NotSet("SEALING_PRIVATE_KEYS"));
    }
    let (stored, not_stored) = match stored(world).await {
        Ok(stored) => (Some(stored), None),
        Err(why) => (None, Some(why)),
    };
    let public = world
        .sources_of(Service::Auth)
        .find_map(|source| public_id(&source.environment));
    let seen = Seen {
        public,
        private,
        stored,
    };
    let mut lines = vec![format!("refresh-svc has {}", seen.private.join(", "))];
    lines.extend(
        seen.public
            .iter()
            .map(|key| format!("auth-svc seals with {key}")),
    );
    lines.extend(not_stored.map(|why| format!("stored grants: {why}")));
    let stored = seen.stored.iter().flatten();
    lines.extend(stored.map(|(key, tokens)| format!("{key} sealed {tokens} refresh tokens")));
    Ok(Looked {
        seen: lines,
        findings: judge(&seen),
        detail: None,
    })
}

async fn stored(world: &World) -> Result<BTreeMap<String, i64>, NotLooked> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT key_id, refresh_tokens FROM operators.sealing_key")
            .fetch_all(world.pool().await?)
            .await
            .map_err(|error| NotLooked::of_statement(&error))?;
    Ok(rows.into_iter().collect())
}

/// The ids in `SEALING_PRIVATE_KEYS`. What follows the colon is not read.
fn private_ids(environment: &Environment) -> Vec<String> {
    let keys = environment.list("SEALING_PRIVATE_KEYS").unwrap_or_default();
    let ids = keys.iter().filter_map(|key| key.split_once(':'));
    ids.filter_map(|(id, _)| id.parse::<KeyId>().ok())
        .map(|id| id.to_string())
        .collect()
}

fn public_id(environment: &Environment) -> Option<String> {
    let key: Option<SealingKey> = environment.optional_parsed("SEALING_PUBLIC_KEY").ok()?;
    key.map(|key| key.id().to_string())
}

fn judge(seen: &Seen) -> Vec<Finding> {
    let is_known = |key: &String| seen.private.contains(key);
    let unknown = seen.public.iter().filter(|key| !is_known(key));
    let mismatch = unknown.map(|key| mismatch(key, &seen.private));
    let stored = seen.stored.iter().flatten();
    let lost = stored.filter(|(key, _)| !is_known(key));
    let lost = lost.map(|(key, tokens)| self::lost(key, *tokens));
    lost.chain(mismatch).collect()
}

fn lost(key: &str, tokens: i64) -> Finding {
    let tokens = counted(tokens, "refresh token", "refresh tokens");
    Finding {
        code: "sealing_key_lost",
        runbook: Runbook::SealingKey,
        problem: format!("the sealing key {key} is missing: it sealed {tokens}"),
        looked_at: "the key ids of the stored grants, against SEALING_PRIVATE_KEYS of refresh-svc"
            .to_owned(),
        remedy: format!(
            "add the key {key} to SEALING_PRIVATE_KEYS, behind the first one, from your backup of \
             the keys"
        ),
    }
}

fn mismatch(public: &str, private: &[String]) -> Finding {
    Finding {
        code: "sealing_key_mismatch",
        runbook: Runbook::SealingKey,
        problem: format!(
            "refresh-svc cannot open what auth-svc seals: the key {public} is not among {}",
            listed(private)
        ),
        looked_at: "SEALING_PUBLIC_KEY of auth-svc and SEALING_PRIVATE_KEYS of refresh-svc"
            .to_owned(),
        remedy: "give both services the same pair; during a rotation refresh-svc gets the private \
                 key first"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    #[test]
    fn ids_are_read_and_keys_are_not() {
        let environment = [("SEALING_PRIVATE_KEYS", "k1:s3cret,k2:s3cret")]
            .into_iter()
            .collect();
        assert_eq!(private_ids(&environment), ["k1", "k2"]);
    }

    #[test]
    fn a_key_that_sealed_a_grant_must_be_there() {
        let mut seen = Seen {
            public: Some("k2".to_owned()),
            private: vec!["k2".to_owned()],
            stored: Some([("k2".to_owned(), 1)].into()),
        };
        assert_eq!(judge(&seen), []);
        seen.stored = Some([("k1".to_owned(), 7)].into());
        seen.public = Some("k3".to_owned());
        let findings = judge(&seen);
        assert_eq!(
            codes(&findings),
            ["sealing_key_lost", "sealing_key_mismatch"]
        );
        assert!(findings[0].problem.ends_with("it sealed 7 refresh tokens"));
    }
}
