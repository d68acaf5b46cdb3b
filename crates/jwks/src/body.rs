//! The body of an HTTP response, read up to a bound.

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is longer than the bound.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// The connection failed before the end of the body. The URL is taken out of the error.
    #[error(transparent)]
    Connection(reqwest::Error),
}

/// Reads the body of a response. The bound counts bytes after decompression.
///
/// # Errors
/// The body is longer than `limit` bytes, or the connection fails.
pub async fn read_body(
    response: &mut reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let failed = |error: reqwest::Error| BodyError::Connection(error.without_url());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
