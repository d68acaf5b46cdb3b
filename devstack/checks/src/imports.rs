//! Reads the paths that one source file names.

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// A path that a file names, segment by segment, as it is written.
pub type Path = Vec<String>;

/// What one source file declares and names, without its tests.
#[derive(Default)]
pub struct Source {
    /// Modules that are declared with `mod name;`.
    pub children: Vec<String>,
    /// Names that are imported for the file's own use, each with its path.
    pub imports: Vec<(String, Path)>,
    /// Names that are handed on (`pub use`), each with its path.
    pub re_exports: Vec<(String, Path)>,
    /// Paths in types and expressions, of two segments or more.
    pub paths: Vec<Path>,
}

/// Reads a source file.
///
/// # Errors
/// If the text is not Rust.
pub fn read(text: &str) -> syn::Result<Source> {
    let mut source = Source::default();
    source.visit_file(&syn::parse_file(text)?);
    Ok(source)
}

impl Source {
    fn import(&mut self, tree: &UseTree, mut path: Path, handed_on: bool) {
        match tree {
            UseTree::Path(next) => {
                path.push(next.ident.to_string());
                self.import(&next.tree, path, handed_on);
            }
            UseTree::Name(name) => self.imported(name.ident.to_string(), path, handed_on, None),
            UseTree::Rename(name) => {
                let alias = name.rename.to_string();
                self.imported(name.ident.to_string(), path, handed_on, Some(alias));
            }
            UseTree::Glob(_) if handed_on => {}
            UseTree::Glob(_) => self.paths.push(path),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), handed_on);
                }
            }
        }
    }

    fn imported(&mut self, name: String, mut path: Path, handed_on: bool, alias: Option<String>) {
        if name != "self" {
            path.push(name);
        }
        let Some(last) = path.last().cloned() else {
            return;
        };
        let entry = (alias.unwrap_or(last), path);
        if handed_on {
            self.re_exports.push(entry);
        } else {
            self.imports.push(entry);
        }
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(module) if is_test(&module.attrs) => {}
            Item::Mod(module) if module.content.is_none() => {
                self.children.push(module.ident.to_string());
            }
            Item::Use(item) if is_test(&item.attrs) => {}
            Item::Use(item) => {
                let handed_on = !matches!(item.vis, Visibility::Inherited);
                self.import(&item.tree, Path::new(), handed_on);
            }
            Item::Fn(function) if is_test(&function.attrs) => {}
            Item::Impl(block) if is_test(&block.attrs) => {}
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments = path.segments.iter();
            self.paths
                .push(segments.map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let name = attribute.path();
        name.is_ident("test")
            || (name.is_ident("cfg")
                && attribute
                    .meta
                    .require_list()
                    .is_ok_and(|list| list.tokens.to_string().contains("test")))
    })
}
