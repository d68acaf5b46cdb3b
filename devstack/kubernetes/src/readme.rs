//! The commands of `deploy/kubernetes/README.md`. They are run as they stand there, so that the
//! document is true.

use std::fs;

use anyhow::Context as _;

use crate::session::workspace;

/// Returns the blocks of shell commands below a heading, in their order.
///
/// # Errors
/// The document has no such heading.
pub fn commands(heading: &str) -> anyhow::Result<Vec<String>> {
    let file = workspace().join("deploy/kubernetes/README.md");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let section = section(&text, heading)
        .with_context(|| format!("{} has no section {heading}", file.display()))?;
    Ok(blocks(section))
}

fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n"))?;
    rest.split("\n## ").next()
}

fn blocks(section: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "```sh" {
            continue;
        }
        // A block of a list is indented.
        let indent = line.len() - line.trim_start().len();
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .map(|line| line.get(indent..).unwrap_or_default())
            .collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_of_one_section_are_found() {
        let text = "# A\n\n## One\n\n```sh\na\n```\n\n1. List:\n\n   ```sh\n   b \\\n       c\n   ```\n\
                    \n## Two\n\n```sh\nd\n```\n";
        let one = section(text, "One").unwrap();
        assert_eq!(blocks(one), ["a", "b \\\n    c"]);
        assert_eq!(section(text, "Three"), None);
    }
}
