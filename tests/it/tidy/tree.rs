//! The project's own text files, as a test sees them.
//!
//! Reads what is not ignored by `.gitignore`; knows no rule.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::rust::{self, Named, Token};

/// One text file; `tokens` and `code` (the tokens outside tests) are empty where it is not Rust.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    pub(super) code: Vec<Token>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let tokens = if is_rust(path) { rust::tokens(text) } else { Vec::new() };
        let code = rust::split_tests(&tokens).0;
        Self { path: path.to_owned(), text: text.to_owned(), tokens, code }
    }

    /// The module that the file is, from the crate's root; `None` where it is not of the library.
    pub(super) fn module(&self) -> Option<Vec<String>> {
        let inside = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let inside = inside.strip_suffix("/mod").unwrap_or(inside);
        let is_root = inside == "lib" || inside == "main";
        (!is_root).then(|| inside.split('/').map(str::to_owned).collect())
    }

    /// What the code outside tests names of this crate: (path from the root, line).
    pub(super) fn names(&self) -> Vec<(Vec<String>, usize)> {
        let Some(module) = self.module() else {
            return Vec::new();
        };
        let resolve = |named: Named| Some((rust::resolve(&module, &named)?, named.line));
        rust::paths(&self.code).into_iter().filter_map(resolve).collect()
    }
}

pub(super) fn is_rust(path: &str) -> bool {
    path.rsplit('.').next() == Some("rs")
}

/// Every text file of the project, tracked or about to be.
pub(super) static TREE: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join(".gitignore")).expect("the project has .gitignore");
    assert!(!ignored.contains(['*', '!', '?']), ".gitignore: teach tests/it/tidy.rs its patterns");
    let mut tree = Vec::new();
    walk(root, "", &ignored, &mut tree);
    let prefixes: Vec<String> = tree.iter().flat_map(test_files).collect();
    for source in &mut tree {
        if prefixes.iter().any(|prefix| source.path.starts_with(prefix)) {
            source.code.clear();
        }
    }
    tree
});

/// Reads what is text and not ignored; links are not followed.
fn walk(root: &Path, folder: &str, ignored: &str, tree: &mut Vec<Source>) {
    let entries = fs::read_dir(root.join(folder)).expect("a folder of the tree is readable");
    for entry in entries {
        let entry = entry.expect("an entry of the tree is readable");
        let name = entry.file_name().into_string().expect("names in the tree are UTF-8");
        let path = format!("{folder}{name}");
        let is_ignored = |line: &str| {
            let line = line.trim_end_matches('/').trim_start_matches('/');
            line == path || (line == name && !line.contains('/'))
        };
        if name == ".git" || ignored.lines().any(is_ignored) {
            continue;
        }
        let kind = entry.file_type().expect("an entry of the tree has a type");
        if kind.is_dir() {
            walk(root, &format!("{path}/"), ignored, tree);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).expect("a file of the tree is readable");
            if let Ok(text) = String::from_utf8(bytes) {
                tree.push(Source::new(&path, &text));
            }
        }
    }
}

/// The beginnings of the paths of the modules that this file declares for tests only.
fn test_files(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| stem.strip_suffix(root));
    let folder = folder.unwrap_or(stem);
    let names = rust::split_tests(&source.tokens).1;
    names.iter().flat_map(|n| [format!("{folder}/{n}.rs"), format!("{folder}/{n}/")]).collect()
}
