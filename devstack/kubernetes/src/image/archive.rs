//! Writes tar archives (POSIX.1-1988, ustar). Owner and time are always 0, so that equal content
//! gives equal bytes.

/// Size of a header, and of the blocks of content.
const BLOCK: usize = 512;
/// Longest name without a prefix.
const NAME: usize = 100;

/// An archive.
#[derive(Debug, Default)]
pub struct Archive(Vec<u8>);

impl Archive {
    /// Adds a directory.
    ///
    /// # Errors
    /// The path has more than 100 bytes.
    pub fn directory(&mut self, path: &str, mode: u32) -> anyhow::Result<()> {
        self.header(path, mode, 0, b'5')
    }

    /// Adds a file. A slash at the beginning of the path is removed.
    ///
    /// # Errors
    /// The path has more than 100 bytes.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        self.header(path, mode, content.len(), b'0')?;
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Returns the archive, which two empty blocks end.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    fn header(&mut self, path: &str, mode: u32, size: usize, kind: u8) -> anyhow::Result<()> {
        let path = path.trim_start_matches('/');
        anyhow::ensure!(path.len() <= NAME, "{path} is too long for an archive");
        let mut header = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, width: usize| {
            header.extend_from_slice(text.as_bytes());
            header.resize(header.len() + width - text.len(), 0);
        };
        field(path, NAME);
        field(&format!("{mode:07o}"), 8);
        // Owner and group.
        field("0000000", 8);
        field("0000000", 8);
        field(&format!("{size:011o}"), 12);
        // Time of the last change.
        field("00000000000", 12);
        // The sum of the header's bytes, with spaces in its own place.
        field("        ", 8);
        field(char::from(kind).encode_utf8(&mut [0; 4]), 1);
        // Target of a link.
        field("", 100);
        field("ustar", 6);
        field("00", 2);
        header.resize(BLOCK, 0);
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        let sum = format!("{sum:06o}\0 ");
        for (place, byte) in header.iter_mut().skip(148).zip(sum.bytes()) {
            *place = byte;
        }
        self.0.extend_from_slice(&header);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_the_archive() {
        let directory = tempfile::tempdir().unwrap();
        let mut archive = Archive::default();
        archive.directory("tmp", 0o1777).unwrap();
        archive.file("/etc/passwd", 0o644, b"root").unwrap();
        let file = directory.path().join("a.tar");
        std::fs::write(&file, archive.finish()).unwrap();
        let list = Command::new("tar").arg("-tvf").arg(&file).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let mut lines = list.lines();
        assert!(lines.next().unwrap().starts_with("drwxrwxrwt 0/0"));
        let passwd = lines.next().unwrap();
        assert!(passwd.starts_with("-rw-r--r-- 0/0"), "{passwd}");
        assert!(passwd.ends_with(" etc/passwd"), "{passwd}");
        assert_eq!(lines.next(), None);
    }
}
