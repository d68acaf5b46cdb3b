//! The output of `callgrind_annotate`, by the parts of the program.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// Parts of the program, and what the names of their functions contain. The first one that fits
/// counts.
const PARTS: [(&str, &[&str]); 11] = [
    (
        "allocator",
        &[
            "malloc", "free", "realloc", "calloc", "__rust_", "rdl_", "mi_", "_mi_",
        ],
    ),
    (
        "copying and comparing memory",
        &["memcpy", "memmove", "memset", "memcmp", "bcmp"],
    ),
    (
        "TLS",
        &["rustls", "aws_lc", "ring", "aes", "gcm", "sha", "chacha"],
    ),
    ("HTTP/2", &["h2::", "hyper", "http::", "HeaderMap", "hpack"]),
    ("audit", &["audit"]),
    ("PostgreSQL", &["sqlx"]),
    ("gRPC", &["tonic", "prost", "tower"]),
    ("Tokio", &["tokio", "mio", "parking_lot", "slab"]),
    (
        "traces and metrics",
        &["tracing", "metrics", "opentelemetry"],
    ),
    (
        "own code",
        &["refresh_svc", "latchkey", "moka", "null_service", "uuid"],
    ),
    ("C library", &["libc", "pthread", "clock_gettime", "libm"]),
];
/// Everything else.
const OTHER: &str = "other";

/// Instructions by part.
#[derive(Debug)]
pub struct Profile {
    calls: usize,
    total: u64,
    parts: BTreeMap<&'static str, u64>,
}

impl Profile {
    /// Reads the output of `callgrind_annotate`.
    ///
    /// # Errors
    /// The output has no total.
    pub fn parse(text: &str, calls: usize) -> anyhow::Result<Self> {
        let total = text
            .lines()
            .find(|line| line.ends_with("PROGRAM TOTALS"))
            .and_then(leading_number)
            .context("callgrind_annotate prints no total")?;
        let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
        for line in text.lines() {
            if let Some((_, function)) = line.split_once(')')
                && let Some(instructions) = leading_number(line)
                && !line.ends_with("PROGRAM TOTALS")
            {
                *parts.entry(part_of(function)).or_default() += instructions;
            }
        }
        let known: u64 = parts.values().sum();
        *parts.entry(OTHER).or_default() += total.saturating_sub(known);
        Ok(Self {
            calls,
            total,
            parts,
        })
    }

    /// Instructions of one call.
    pub fn per_call(&self) -> f64 {
        self.by_calls(self.total)
    }

    /// The parts with the most instructions first.
    pub fn parts(&self) -> impl Iterator<Item = &'static str> {
        let mut parts: Vec<_> = self.parts.iter().map(|(part, all)| (*all, *part)).collect();
        parts.sort_unstable_by(|one, other| other.cmp(one));
        parts.into_iter().map(|(_, part)| part)
    }

    /// Instructions of one call in a part.
    pub fn part(&self, part: &str) -> f64 {
        self.by_calls(self.parts.get(part).copied().unwrap_or_default())
    }

    #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
    fn by_calls(&self, instructions: u64) -> f64 {
        instructions as f64 / self.calls.max(1) as f64
    }
}

fn part_of(function: &str) -> &'static str {
    let mut parts = PARTS.iter();
    parts
        .find(|(_, names)| names.iter().any(|name| function.contains(name)))
        .map_or(OTHER, |(part, _)| part)
}

/// The number at the start of a line, such as `1,234 (10.00%)`.
fn leading_number(line: &str) -> Option<u64> {
    let number = line.trim_start().split(' ').next()?;
    number.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_counted_by_part() {
        let text = "\
--------------------------------------------------------------------------------
Ir
--------------------------------------------------------------------------------
10,000 (100.0%)  PROGRAM TOTALS

--------------------------------------------------------------------------------
Ir               file:function
--------------------------------------------------------------------------------
5,000 (50.00%)  ???:h2::codec::framed_read::decode_frame [/x/refresh-svc]
3,000 (30.00%)  ./malloc/malloc.c:malloc [/usr/lib/libc.so.6]
1,000 (10.00%)  ???:something [/x/y]
";
        let profile = Profile::parse(text, 10).unwrap();
        assert!((profile.per_call() - 1_000.0).abs() < 1e-9);
        assert!((profile.part("HTTP/2") - 500.0).abs() < 1e-9);
        assert!((profile.part("allocator") - 300.0).abs() < 1e-9);
        assert!((profile.part("other") - 200.0).abs() < 1e-9);
        assert_eq!(profile.parts().next(), Some("HTTP/2"));
        assert!(Profile::parse("nothing", 1).is_err());
    }
}
