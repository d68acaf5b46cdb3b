//! Keyset pagination: an opaque token holds the position of the last row of a page.

use latchkey_domain::AccountId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::status::RpcError;

const DEFAULT_SIZE: i32 = 50;
const MAX_SIZE: i32 = 500;

/// The start of a page, after a row, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) after: Option<(OffsetDateTime, AccountId)>,
    pub(super) size: usize,
}

impl Page {
    pub(super) fn read(size: i32, token: &str) -> Result<Self, RpcError> {
        if size < 0 {
            return Err(RpcError::invalid("page_size", "must not be negative"));
        }
        if size > MAX_SIZE {
            return Err(RpcError::invalid(
                "page_size",
                format!("must be at most {MAX_SIZE}"),
            ));
        }
        let size = if size == 0 { DEFAULT_SIZE } else { size };
        let after = if token.is_empty() {
            None
        } else {
            let position = position(token)
                .ok_or_else(|| RpcError::invalid("page_token", "is not a token of this service"))?;
            Some(position)
        };
        Ok(Self {
            after,
            size: usize::try_from(size).unwrap_or(0),
        })
    }
}

fn position(token: &str) -> Option<(OffsetDateTime, AccountId)> {
    let (micros, id) = token.split_once('_')?;
    let micros: i64 = micros.parse().ok()?;
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok()?;
    Some((time, Uuid::parse_str(id).ok()?.into()))
}

/// The token of the page that begins after a row.
pub(super) fn token(time: OffsetDateTime, id: AccountId) -> String {
    format!(
        "{}_{}",
        time.unix_timestamp_nanos() / 1_000,
        id.as_uuid().simple()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_row(seconds in 0_i64..4_000_000_000, id in any::<u128>()) {
            let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let id = AccountId::from(Uuid::from_u128(id));
            let page = Page::read(7, &token(time, id)).unwrap();
            prop_assert_eq!(page, Page { after: Some((time, id)), size: 7 });
        }

        #[test]
        fn no_token_panics(text in ".{0,60}") {
            let _ = Page::read(0, &text);
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(Page::read(0, "").unwrap().size, 50);
        assert_eq!(Page::read(500, "").unwrap().size, 500);
        let beyond = Page::read(501, "").unwrap_err().to_string();
        assert_eq!(beyond, "page_size: must be at most 500");
        assert!(Page::read(-1, "").is_err());
    }
}
