//! Walks the spanned tree of one file, so that every wrong value is told with its place.
//!
//! A [`Node`] is one table. Each read records the value with its origin or a problem, and goes on:
//! nothing stops at the first error. [`Node::finish`] then refuses the keys nobody asked for. A key
//! that was misspelt is told once, as unknown, and not again as missing.

use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::Setting;
use crate::config::doc::{Doc, Report};
use crate::config::problem::{Fault, Origin, nearest, suggest};
use crate::config::secret::{is_secret, is_secret_key};
use crate::config::values::{Kind, Shape};

/// First part of the name of every overriding environment variable.
pub(super) const OVERRIDE_PREFIX: &str = "TIDEKEEPER";

/// What reading one key came to.
enum Field<T> {
    Absent,
    Wrong,
    Good(T),
}

/// One table being read.
pub(super) struct Node<'a> {
    doc: &'a Doc<'a>,
    report: &'a RefCell<Report<'a>>,
    table: Option<&'a DeTable<'a>>,
    place: usize,
    scope: String,
    path: String,
    is_overridable: bool,
    asked: Vec<&'static str>,
    missing: Vec<(&'static str, String)>,
}

impl<'a> Node<'a> {
    /// The top table; `scope` begins the keys of its settings, as in `chains.base`.
    pub(super) fn top(doc: &'a Doc<'a>, scope: &str, report: &'a RefCell<Report<'a>>) -> Self {
        Self {
            doc,
            report,
            table: Some(doc.root.get_ref()),
            place: doc.root.span().start,
            scope: scope.to_owned(),
            path: String::new(),
            is_overridable: true,
            asked: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// A key that must be there.
    pub(super) fn need<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<T> {
        match self.read(key, kind) {
            Field::Good(value) => Some(value),
            Field::Wrong => None,
            Field::Absent => {
                self.missing.push((key, format!("add {key} = {}", kind.example())));
                None
            }
        }
    }

    /// A key that names this file; the environment must not rename it.
    pub(super) fn identity<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<T> {
        let was = std::mem::replace(&mut self.is_overridable, false);
        let value = self.need(key, kind);
        self.is_overridable = was;
        value
    }

    /// A key that may be absent: `Some(None)` when it is, `None` when it is wrong.
    pub(super) fn may<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<Option<T>> {
        match self.read(key, kind) {
            Field::Good(value) => Some(Some(value)),
            Field::Wrong => None,
            Field::Absent => Some(None),
        }
    }

    /// A key with a default, which is recorded as such.
    pub(super) fn or<T>(&mut self, key: &'static str, kind: &Kind<T>, text: &str) -> Option<T> {
        match self.read(key, kind) {
            Field::Good(value) => Some(value),
            Field::Wrong => None,
            Field::Absent => {
                let (value, shape) = (text.to_owned(), kind.shape());
                let setting = Setting { value, origin: Origin::Default, shape };
                self.report.borrow_mut().settings.insert(self.full(key), setting);
                kind.parse(text).ok()
            }
        }
    }

    /// A table that must be there.
    pub(super) fn table(&mut self, key: &'static str, why: &str) -> Option<Node<'a>> {
        self.asked.push(key);
        if self.value(key).is_none() {
            self.missing.push((key, format!("add the table [{}]: {why}", self.dotted(key))));
            return None;
        }
        self.child(key)
    }

    /// A table that may be absent; its keys then have their defaults.
    pub(super) fn table_or_defaults(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.asked.push(key);
        if self.value(key).is_some() {
            return self.child(key);
        }
        Some(self.node_at(None, self.place, self.dotted(key)))
    }

    /// The named tables under a key, as in `[venues.hedge]`.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Node<'a>)> {
        self.asked.push(key);
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = self.as_table(key, value) else {
            return Vec::new();
        };
        let parent = self.dotted(key);
        let mut nodes: Vec<(String, Node<'a>)> = Vec::new();
        for (name, value) in table {
            let path = format!("{parent}.{}", bare_or_quoted(name.get_ref()));
            let part = variable_part(name.get_ref());
            if let Some((other, _)) = nodes.iter().find(|(other, _)| variable_part(other) == part) {
                let what = format!("shares its environment name {part} with [{parent}.{other}]");
                let fault = Fault::new(what, "rename one of them");
                self.push(self.doc.origin(name.span().start), &path, fault);
            }
            match value.get_ref() {
                DeValue::Table(table) => {
                    let node = self.node_at(Some(table), value.span().start, path);
                    nodes.push((name.get_ref().to_string(), node));
                }
                other => self.push(
                    self.doc.origin(name.span().start),
                    &path,
                    Fault::new(
                        format!("is a {}, not a table", other.type_str()),
                        format!("write [{path}] and its keys below"),
                    ),
                ),
            }
        }
        nodes
    }

    /// The tables of an array, as in `[[endpoints]]`.
    pub(super) fn array(&mut self, key: &'static str) -> Vec<Node<'a>> {
        self.asked.push(key);
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let items = value.get_ref().as_array();
        let Some(items) = items else {
            let fault = Fault::new("must be an array of tables", format!("write [[{key}]]"));
            self.fault(key, fault);
            return Vec::new();
        };
        let mut nodes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.dotted(key));
            let DeValue::Table(table) = item.get_ref() else {
                let fault = Fault::new("must be a table", "write { … } or [[…]]");
                self.push(self.doc.origin(item.span().start), &path, fault);
                continue;
            };
            let mut node = self.node_at(Some(table), item.span().start, path);
            node.is_overridable = false;
            nodes.push(node);
        }
        nodes
    }

    /// A list of strings, none of them twice, at least one.
    pub(super) fn list<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<Vec<T>> {
        self.asked.push(key);
        let Some(value) = self.value(key) else {
            self.missing.push((key, format!("add {key} = [{}]", kind.example())));
            return None;
        };
        let Some(items) = value.get_ref().as_array().filter(|items| !items.is_empty()) else {
            let help = format!("write {key} = [{}]", kind.example());
            self.fault(key, Fault::new("must be a list of strings, not empty", help));
            return None;
        };
        let (mut parsed, mut texts) = (Vec::new(), Vec::new());
        for item in items {
            let result = kind.text_of(key, item.get_ref()).and_then(|text| {
                if texts.contains(&text) {
                    return Err(Fault::new("is listed twice", "remove one of them"));
                }
                let value = kind.parse(&text)?;
                texts.push(text);
                Ok(value)
            });
            match result {
                Ok(value) => parsed.push(value),
                Err(fault) => {
                    self.push(self.doc.origin(item.span().start), &self.dotted(key), fault);
                }
            }
        }
        if parsed.len() < items.len() {
            return None;
        }
        let origin = self.doc.origin(value.span().start);
        let setting = Setting { value: texts.join(", "), origin, shape: kind.shape() };
        self.report.borrow_mut().settings.insert(self.full(key), setting);
        Some(parsed)
    }

    /// The values of a table whose keys are the operator's own names, as in `{ USDT = "10000" }`;
    /// none when it is absent, `None` when one of them is wrong.
    pub(super) fn values<T>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
    ) -> Option<Vec<(String, T)>> {
        self.asked.push(key);
        let Some(value) = self.value(key) else {
            return Some(Vec::new());
        };
        let table = self.as_table(key, value)?;
        let node = self.node_at(Some(table), value.span().start, self.dotted(key));
        let (mut values, mut are_right) = (Vec::new(), true);
        for (name, _) in table {
            let name: &str = name.get_ref();
            match node.read_named(name, kind) {
                Field::Good(value) => values.push((name.to_owned(), value)),
                Field::Wrong | Field::Absent => are_right = false,
            }
        }
        are_right.then_some(values)
    }

    /// Marks keys as known here without reading them.
    pub(super) fn skip_all(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// Whether the file has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Whether the value of a key is a string.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    /// Tells a problem with the value of a key.
    pub(super) fn fault(&self, key: &str, fault: Fault) {
        self.push(self.origin_of(key), &self.dotted(key), fault);
    }

    /// Tells a problem with the table itself.
    pub(super) fn fault_here(&self, fault: Fault) {
        let key = if self.path.is_empty() { "(file)".to_owned() } else { self.path.clone() };
        self.push(self.doc.origin(self.place), &key, fault);
    }

    /// Where a key's value came from; where the table stands when it is absent.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        if let Some(setting) = self.report.borrow().settings.get(&self.full(key)) {
            return setting.origin.clone();
        }
        self.doc.origin(self.value(key).map_or(self.place, |value| value.span().start))
    }

    /// Refuses the keys nobody asked for, then tells what is missing.
    pub(super) fn finish(self) {
        let mut meant = Vec::new();
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let origin = self.doc.origin(key.span().start);
            let fault = if is_secret_key(name) {
                meant.push(format!("{name}_env"));
                Fault::new(
                    "secrets do not belong in files",
                    format!("put it in the environment and name it: {name}_env = \"TK_…\""),
                )
            } else {
                meant.extend(nearest(name, &self.asked).map(str::to_owned));
                Fault::new("is not a known key", suggest(name, &self.asked))
            };
            self.push(origin, &self.dotted(name), fault);
        }
        if !self.doc.is_whole() {
            return;
        }
        for (key, help) in &self.missing {
            if !meant.iter().any(|name| name == key) {
                let fault = Fault::new("is missing", help.clone());
                self.push(self.doc.origin(self.place), &self.dotted(key), fault);
            }
        }
    }

    fn read<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Field<T> {
        self.asked.push(key);
        self.read_named(key, kind)
    }

    fn read_named<T>(&self, key: &str, kind: &Kind<T>) -> Field<T> {
        let (text, origin) = match self.override_of(key) {
            Some((name, text)) => (text, Origin::Env { name }),
            None => {
                let Some(value) = self.value(key) else {
                    return Field::Absent;
                };
                let origin = self.doc.origin(value.span().start);
                match kind.text_of(key, value.get_ref()) {
                    Ok(text) => (text, origin),
                    Err(fault) => {
                        self.push(origin, &self.dotted(key), fault);
                        return Field::Wrong;
                    }
                }
            }
        };
        let parsed = if kind.shape() == Shape::Text && is_secret(&text) {
            Err(Fault::new(
                "looks like a secret, and secrets do not belong in configuration",
                "put it in an environment variable or a credentials file and write only its name; \
                 if it was ever saved or shared, replace it",
            ))
        } else {
            kind.parse(&text)
        };
        match parsed {
            Ok(value) => {
                let setting = Setting { value: text, origin, shape: kind.shape() };
                self.report.borrow_mut().settings.insert(self.full(key), setting);
                Field::Good(value)
            }
            Err(fault) => {
                self.push(origin, &self.dotted(key), fault);
                Field::Wrong
            }
        }
    }

    /// The overriding variable of a key and its value, when it is set.
    fn override_of(&self, key: &str) -> Option<(String, String)> {
        if !self.is_overridable {
            return None;
        }
        let full = self.full(key);
        let name = override_name(&full);
        let env = self.report.borrow().env;
        self.report.borrow_mut().overrides.insert(name.clone(), full);
        env(&name).map(|value| (name, value))
    }

    fn child(&self, key: &'static str) -> Option<Node<'a>> {
        let value = self.value(key)?;
        let table = self.as_table(key, value)?;
        Some(self.node_at(Some(table), value.span().start, self.dotted(key)))
    }

    fn as_table(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<&'a DeTable<'a>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let what = format!("is a {}, not a table", value.get_ref().type_str());
            let help = format!("write [{}] and its keys below", self.dotted(key));
            self.fault(key, Fault::new(what, help));
        }
        table
    }

    fn node_at(&self, table: Option<&'a DeTable<'a>>, place: usize, path: String) -> Node<'a> {
        Node {
            doc: self.doc,
            report: self.report,
            table,
            place,
            scope: self.scope.clone(),
            path,
            is_overridable: self.is_overridable,
            asked: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.and_then(|table| table.get(key))
    }

    fn push(&self, origin: Origin, key: &str, fault: Fault) {
        if self.doc.tells(&origin) {
            self.report.borrow_mut().tell(origin, &self.scope, key, fault);
        }
    }

    fn dotted(&self, key: &str) -> String {
        let key = bare_or_quoted(key);
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{}", self.scope, self.dotted(key))
    }
}

/// `TIDEKEEPER__AGENT__API__LISTEN` for `agent.api.listen`.
fn override_name(key: &str) -> String {
    let parts: Vec<String> = key.split('.').map(variable_part).collect();
    format!("{OVERRIDE_PREFIX}__{}", parts.join("__"))
}

/// A name as it stands in a variable's name; two tables must not share it.
pub(super) fn variable_part(name: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }
    };
    name.chars().filter(|c| *c != '"').map(letter).collect()
}

/// A key as it stands in a dotted path.
pub(super) fn bare_or_quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { format!("{key:?}") }
}
