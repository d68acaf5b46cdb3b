//! The modules of one crate and which of them use which.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use anyhow::Context as _;

use crate::graph::Graph;
use crate::imports::{self, Path, Source};

/// More re-exports in a row than any crate has.
const MOST_RE_EXPORTS: u8 = 20;

/// A module that has a file of its own, by its path from the crate's root.
type Modules = BTreeMap<Path, Module>;

struct Module {
    file: String,
    source: Source,
}

/// Which file of a crate uses which others.
///
/// A name counts for the file that defines it: a re-export is not a use. Tests are left out.
///
/// # Errors
/// If a file cannot be read or is not Rust.
pub fn crate_graph(root: &FilePath, crate_directory: &str) -> anyhow::Result<Graph> {
    let mut graph = Graph::new();
    for start in ["src/lib.rs", "src/main.rs"] {
        let file = format!("{crate_directory}/{start}");
        if !root.join(&file).exists() {
            continue;
        }
        let mut modules = Modules::new();
        let children = format!("{crate_directory}/src");
        read_module(root, file, &children, Path::new(), &mut modules)?;
        for (path, module) in &modules {
            let used = graph.entry(module.file.clone()).or_default();
            for name in named(&module.source) {
                if let Some(file) = defining_file(&modules, path, &name, MOST_RE_EXPORTS)
                    && file != module.file
                {
                    used.insert(file.to_owned());
                }
            }
        }
    }
    Ok(graph)
}

fn read_module(
    root: &FilePath,
    file: String,
    children: &str,
    path: Path,
    modules: &mut Modules,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root.join(&file)).with_context(|| file.clone())?;
    let source = imports::read(&text).with_context(|| file.clone())?;
    for child in &source.children {
        let child_file = format!("{children}/{child}.rs");
        let child_path = [path.as_slice(), std::slice::from_ref(child)].concat();
        let grandchildren = format!("{children}/{child}");
        read_module(root, child_file, &grandchildren, child_path, modules)?;
    }
    modules.insert(path, Module { file, source });
    Ok(())
}

/// Every path that a file names, with an imported first segment written out.
fn named(source: &Source) -> Vec<Path> {
    let imports = source.imports.iter().map(|(_, path)| path.clone());
    let paths = source.paths.iter().map(|path| {
        let import = source.imports.iter().find(|(name, _)| *name == path[0]);
        match import {
            Some((_, start)) => [start.as_slice(), &path[1..]].concat(),
            None => path.clone(),
        }
    });
    imports.chain(paths).collect()
}

/// The file of this crate that defines what `name` means inside the module `at`, or `None` if it
/// means something of another crate.
fn defining_file<'a>(
    modules: &'a Modules,
    at: &Path,
    name: &[String],
    re_exports_left: u8,
) -> Option<&'a str> {
    let mut module = at.clone();
    let mut rest = name;
    match rest.first()?.as_str() {
        "crate" => module = Path::new(),
        "self" => {}
        "super" => {
            module.pop()?;
        }
        first
            if modules
                .get(at)?
                .source
                .children
                .iter()
                .any(|child| child == first) =>
        {
            module.push(first.to_owned());
        }
        _ => return None,
    }
    rest = &rest[1..];
    while rest.first().is_some_and(|segment| segment == "super") {
        module.pop()?;
        rest = &rest[1..];
    }
    while let Some(segment) = rest.first() {
        let current = modules.get(&module)?;
        if current.source.children.contains(segment) {
            module.push(segment.clone());
            rest = &rest[1..];
            continue;
        }
        let left = re_exports_left.checked_sub(1)?;
        if let Some((_, path)) = current
            .source
            .re_exports
            .iter()
            .find(|(name, _)| name == segment)
        {
            let path = [path.as_slice(), &rest[1..]].concat();
            return defining_file(modules, &module, &path, left).or(Some(&current.file));
        }
        return Some(&current.file);
    }
    Some(&modules.get(&module)?.file)
}
