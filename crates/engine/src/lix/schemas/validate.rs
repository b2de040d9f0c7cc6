//! JSON Schema, draft 7, with `nullable` of OpenAPI; `format`, `default` and unknown keywords say
//! nothing. What stands beside `$ref` holds too.
//!
//! Guarantee: a check ends, with an answer, after a bounded number of steps and levels, whatever the
//! schema and the value are.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

use super::pattern::{Budget, Pattern};

/// A compiled document.
#[derive(Debug)]
pub(super) struct Validator {
    nodes: Vec<Node>,
    root: usize,
}

/// One thing that does not fit.
#[derive(Debug)]
pub(super) struct Problem {
    /// A JSON pointer into the value; empty: the value itself.
    pub(super) path: String,
    /// Begins with "must".
    pub(super) message: String,
    /// What was found there, shortened.
    pub(super) received: String,
}

impl Validator {
    /// The error names the place in the document and what is wrong with it.
    pub(super) fn compile(document: &Value) -> Result<Self, String> {
        let mut compiler = Compiler {
            document,
            nodes: Vec::new(),
            known: HashMap::new(),
            ids: HashMap::new(),
            patterns: HashMap::new(),
            depth: 0,
        };
        compiler.note_ids(document, "", 0);
        let root = compiler.at("")?;
        let validator = Self { nodes: compiler.finish()?, root };
        validator.refuse_circles()?;
        Ok(validator)
    }

    /// Everything that does not fit; empty: it fits.
    pub(super) fn problems(&self, value: &Value) -> Vec<Problem> {
        let mut run = Run::new(self);
        if run.check(self.root, value, &Path::Root) && !run.is_exhausted {
            return Vec::new();
        }
        if !run.is_exhausted {
            run = Run { problems: Some(Vec::new()), ..Run::new(self) };
            run.check(self.root, value, &Path::Root);
        }
        let mut problems = run.problems.unwrap_or_default();
        if run.is_exhausted {
            let message = "must be simple enough to be checked; this takes too long".to_owned();
            problems.push(Problem { path: String::new(), message, received: shown(value) });
        }
        problems
    }

    /// Likewise, for an object that is not wrapped in a value.
    pub(super) fn problems_of(&self, object: &Map<String, Value>) -> Vec<Problem> {
        let mut run = Run::new(self);
        match run.check_top(object) && !run.is_exhausted {
            true => Vec::new(),
            false => self.problems(&Value::Object(object.clone())),
        }
    }

    /// A schema that applies itself to the same value would never end.
    fn refuse_circles(&self) -> Result<(), String> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        let mut stack = Vec::new();
        for start in 0..self.nodes.len() {
            stack.push((start, false));
            while let Some((id, is_left)) = stack.pop() {
                if is_left {
                    marks[id] = Mark::Done;
                    continue;
                }
                match marks[id] {
                    Mark::Done => continue,
                    Mark::Open => return Err("$ref: a schema refers to itself".into()),
                    Mark::New => {}
                }
                marks[id] = Mark::Open;
                stack.push((id, true));
                for next in self.nodes[id].in_place() {
                    match marks[next] {
                        Mark::New => stack.push((next, false)),
                        Mark::Open => return Err("$ref: a schema refers to itself".into()),
                        Mark::Done => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// A schema within the document.
#[derive(Debug, Default)]
struct Node {
    /// `false`: nothing fits.
    is_never: bool,
    types: Types,
    constant: Option<Value>,
    choices: Option<Vec<Value>>,
    numbers: Option<Box<Numbers>>,
    strings: Option<Box<Strings>>,
    arrays: Option<Box<Arrays>>,
    objects: Option<Box<Objects>>,
    logic: Option<Box<Logic>>,
}

#[derive(Debug, Default)]
struct Numbers {
    minimum: Option<Number>,
    above: Option<Number>,
    maximum: Option<Number>,
    below: Option<Number>,
    multiple_of: Option<Number>,
}

#[derive(Debug, Default)]
struct Strings {
    min: Option<usize>,
    max: Option<usize>,
    pattern: Option<Rc<Pattern>>,
}

#[derive(Debug, Default)]
struct Arrays {
    min: Option<usize>,
    max: Option<usize>,
    is_unique: bool,
    /// Of the items by position.
    first: Vec<usize>,
    /// Of the items after them.
    rest: Option<usize>,
    contains: Option<usize>,
}

#[derive(Debug, Default)]
struct Objects {
    min: Option<usize>,
    max: Option<usize>,
    /// Sorted by name.
    properties: Vec<Property>,
    required_properties: usize,
    patterns: Vec<(Rc<Pattern>, usize)>,
    others: Others,
    names: Option<usize>,
    dependencies: Vec<(Box<str>, Dependency)>,
}

impl Objects {
    /// The property of a name, which is there from now on.
    fn property(&mut self, name: &str) -> &mut Property {
        let place = self.properties.binary_search_by(|property| (*property.name).cmp(name));
        let place = place.unwrap_or_else(|place| {
            self.properties.insert(place, Property { name: name.into(), ..Property::default() });
            place
        });
        &mut self.properties[place]
    }
}

#[derive(Debug, Default)]
struct Property {
    name: Box<str>,
    /// None: it is required and nothing else is said about it.
    node: Option<usize>,
    is_required: bool,
    /// It is one of `properties`, so it is no additional one.
    is_declared: bool,
}

/// `additionalProperties`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Others {
    #[default]
    Any,
    None,
    Node(usize),
}

#[derive(Debug)]
enum Dependency {
    Names(Vec<Box<str>>),
    Node(usize),
}

#[derive(Debug, Default)]
struct Logic {
    all: Vec<usize>,
    any: Option<Vec<usize>>,
    one: Option<Vec<usize>>,
    not: Option<usize>,
    condition: Option<usize>,
    then: Option<usize>,
    otherwise: Option<usize>,
}

impl Node {
    /// The schemas that apply to the very same value.
    fn in_place(&self) -> Vec<usize> {
        let mut nodes = Vec::new();
        if let Some(logic) = &self.logic {
            nodes.extend(&logic.all);
            nodes.extend(logic.any.iter().flatten());
            nodes.extend(logic.one.iter().flatten());
            nodes
                .extend([logic.not, logic.condition, logic.then, logic.otherwise].iter().flatten());
        }
        for (_, dependency) in self.objects.iter().flat_map(|objects| &objects.dependencies) {
            if let Dependency::Node(node) = dependency {
                nodes.push(*node);
            }
        }
        nodes
    }
}

/// A set of JSON's types; the empty one says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Types(u8);

const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

impl Types {
    fn named(name: &str) -> Option<Self> {
        TYPES.iter().position(|other| *other == name).map(|position| Self(1 << position))
    }

    fn fits(self, value: &Value) -> bool {
        let bits = match value {
            Value::String(_) => 1 << 0,
            Value::Number(number) => {
                let wants_integer = self.0 & 0b110 == 0b100;
                if wants_integer { u8::from(is_integer(number)) << 2 } else { 1 << 1 }
            }
            Value::Bool(_) => 1 << 3,
            Value::Object(_) => 1 << 4,
            Value::Array(_) => 1 << 5,
            Value::Null => 1 << 6,
        };
        self.0 == 0 || self.0 & bits != 0
    }

    fn names(self) -> String {
        let names = TYPES.iter().enumerate().filter(|(position, _)| self.0 & 1 << position != 0);
        names.map(|(_, name)| *name).collect::<Vec<_>>().join(" or ")
    }
}

/// A value being checked.
struct Run<'a> {
    validator: &'a Validator,
    /// None: only whether it fits is of interest.
    problems: Option<Vec<Problem>>,
    budget: Budget,
    depth: usize,
    is_exhausted: bool,
}

/// Where in the value a check is.
enum Path<'a> {
    Root,
    Property(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Property(parent, name) => parent.pointer() + "/" + &escape(name),
            Path::Item(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// Says what does not fit and goes on only if all problems are wanted.
macro_rules! demand {
    ($run:ident, $fits:ident, $condition:expr, $value:expr, $path:expr, $($message:tt)+) => {
        if !$condition {
            if !$run.refuse($path, $value, || format!($($message)+)) {
                return false;
            }
            $fits = false;
        }
    };
}

/// Applies a schema and goes on after a failure only if all problems are wanted.
macro_rules! follow {
    ($run:ident, $fits:ident, $check:expr) => {
        if !$check {
            if $run.problems.is_none() || $run.is_exhausted {
                return false;
            }
            $fits = false;
        }
    };
}

impl<'a> Run<'a> {
    fn new(validator: &'a Validator) -> Self {
        let budget = Budget(MAX_STEPS);
        Self { validator, problems: None, budget, depth: 0, is_exhausted: false }
    }

    fn check(&mut self, node: usize, value: &Value, path: &Path<'_>) -> bool {
        if !self.enter() {
            return false;
        }
        let fits = self.check_entered(node, value, path);
        self.depth -= 1;
        fits
    }

    /// The root, for an object; without the keywords that need a whole value it is not copied.
    fn check_top(&mut self, object: &Map<String, Value>) -> bool {
        let validator = self.validator;
        let node = &validator.nodes[validator.root];
        let is_plain = !node.is_never
            && (node.types.0 == 0 || node.types.0 & 1 << 4 != 0)
            && node.constant.is_none()
            && node.choices.is_none()
            && node.logic.is_none();
        match &node.objects {
            Some(objects) if is_plain && objects.dependencies.is_empty() => {
                self.check_object(objects, object, None, &Path::Root)
            }
            None if is_plain => true,
            _ => self.check(validator.root, &Value::Object(object.clone()), &Path::Root),
        }
    }

    fn enter(&mut self) -> bool {
        match self.budget.0.checked_sub(1) {
            Some(left) if self.depth < MAX_DEPTH => {
                self.budget.0 = left;
                self.depth += 1;
                true
            }
            _ => {
                self.is_exhausted = true;
                false
            }
        }
    }

    fn check_entered(&mut self, node: usize, value: &Value, path: &Path<'_>) -> bool {
        let node = &self.validator.nodes[node];
        let mut fits = true;
        if node.is_never {
            self.refuse(path, value, || "must not be there".into());
            return false;
        }
        if !node.types.fits(value) {
            self.refuse(path, value, || format!("must be {}", node.types.names()));
            return false;
        }
        if let Some(constant) = &node.constant {
            demand!(
                self,
                fits,
                equal(constant, value),
                value,
                path,
                "must be equal to constant {}",
                shown(constant)
            );
        }
        if let Some(choices) = &node.choices {
            let is_found = choices.iter().any(|choice| equal(choice, value));
            demand!(
                self,
                fits,
                is_found,
                value,
                path,
                "must be equal to one of the allowed values: {}",
                listed(choices)
            );
        }
        match value {
            Value::Number(number) => {
                if let Some(numbers) = &node.numbers {
                    follow!(self, fits, self.check_number(numbers, number, value, path));
                }
            }
            Value::String(text) => {
                if let Some(strings) = &node.strings {
                    follow!(self, fits, self.check_string(strings, text, value, path));
                }
            }
            Value::Array(items) => {
                if let Some(arrays) = &node.arrays {
                    follow!(self, fits, self.check_array(arrays, items, value, path));
                }
            }
            Value::Object(object) => {
                if let Some(objects) = &node.objects {
                    follow!(self, fits, self.check_object(objects, object, Some(value), path));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(logic) = &node.logic {
            follow!(self, fits, self.check_logic(logic, value, path));
        }
        fits
    }

    #[inline(never)]
    fn check_number(
        &mut self,
        numbers: &Numbers,
        number: &Number,
        value: &Value,
        path: &Path<'_>,
    ) -> bool {
        let mut fits = true;
        let is = |limit: &Number, wanted: &[Ordering]| wanted.contains(&compare(number, limit));
        if let Some(limit) = &numbers.minimum {
            let holds = is(limit, &[Ordering::Greater, Ordering::Equal]);
            demand!(self, fits, holds, value, path, "must be >= {limit}");
        }
        if let Some(limit) = &numbers.above {
            demand!(self, fits, is(limit, &[Ordering::Greater]), value, path, "must be > {limit}");
        }
        if let Some(limit) = &numbers.maximum {
            let holds = is(limit, &[Ordering::Less, Ordering::Equal]);
            demand!(self, fits, holds, value, path, "must be <= {limit}");
        }
        if let Some(limit) = &numbers.below {
            demand!(self, fits, is(limit, &[Ordering::Less]), value, path, "must be < {limit}");
        }
        if let Some(factor) = &numbers.multiple_of {
            let holds = is_multiple(number, factor);
            demand!(self, fits, holds, value, path, "must be multiple of {factor}");
        }
        fits
    }

    #[inline(never)]
    fn check_string(
        &mut self,
        strings: &Strings,
        text: &str,
        value: &Value,
        path: &Path<'_>,
    ) -> bool {
        let mut fits = true;
        if strings.min.is_some() || strings.max.is_some() {
            let length = text.chars().count();
            if let Some(min) = strings.min {
                demand!(
                    self,
                    fits,
                    length >= min,
                    value,
                    path,
                    "must NOT have fewer than {min} characters"
                );
            }
            if let Some(max) = strings.max {
                demand!(
                    self,
                    fits,
                    length <= max,
                    value,
                    path,
                    "must NOT have more than {max} characters"
                );
            }
        }
        if let Some(pattern) = &strings.pattern {
            let is_match = self.is_match(pattern, text);
            demand!(self, fits, is_match, value, path, "must match pattern \"{}\"", pattern.source);
        }
        fits
    }

    #[inline(never)]
    fn check_array(
        &mut self,
        arrays: &Arrays,
        items: &[Value],
        value: &Value,
        path: &Path<'_>,
    ) -> bool {
        let mut fits = true;
        if let Some(min) = arrays.min {
            demand!(
                self,
                fits,
                items.len() >= min,
                value,
                path,
                "must NOT have fewer than {min} items"
            );
        }
        if let Some(max) = arrays.max {
            demand!(
                self,
                fits,
                items.len() <= max,
                value,
                path,
                "must NOT have more than {max} items"
            );
        }
        if arrays.is_unique
            && let Some((first, second)) = twins(items)
        {
            demand!(
                self,
                fits,
                false,
                value,
                path,
                "must NOT have duplicate items (items {first} and {second} are equal)"
            );
        }
        for (index, item) in items.iter().enumerate() {
            let Some(node) = arrays.first.get(index).copied().or(arrays.rest) else { break };
            follow!(self, fits, self.check(node, item, &Path::Item(path, index)));
        }
        if let Some(contains) = arrays.contains {
            let found = items.iter().any(|item| self.probe(contains, item));
            demand!(self, fits, found, value, path, "must contain at least 1 valid item");
        }
        fits
    }

    /// `whole`: the object as a value; it is needed for dependencies and for problems.
    #[inline(never)]
    fn check_object(
        &mut self,
        objects: &Objects,
        object: &Map<String, Value>,
        whole: Option<&Value>,
        path: &Path<'_>,
    ) -> bool {
        let mut fits = true;
        let value = whole.unwrap_or(&Value::Null);
        if let Some(min) = objects.min {
            demand!(
                self,
                fits,
                object.len() >= min,
                value,
                path,
                "must NOT have fewer than {min} properties"
            );
        }
        if let Some(max) = objects.max {
            demand!(
                self,
                fits,
                object.len() <= max,
                value,
                path,
                "must NOT have more than {max} properties"
            );
        }

        let mut required = 0;
        for (name, member) in object {
            let inside = Path::Property(path, name);
            let declared =
                objects.properties.binary_search_by(|property| (*property.name).cmp(name));
            let mut is_additional = true;
            if let Ok(index) = declared {
                let property = &objects.properties[index];
                required += usize::from(property.is_required);
                is_additional = !property.is_declared;
                if let Some(node) = property.node {
                    follow!(self, fits, self.check(node, member, &inside));
                }
            }
            for (pattern, node) in &objects.patterns {
                if self.is_match(pattern, name) {
                    is_additional = false;
                    follow!(self, fits, self.check(*node, member, &inside));
                }
            }
            match objects.others {
                Others::Node(node) if is_additional => {
                    follow!(self, fits, self.check(node, member, &inside));
                }
                Others::None if is_additional => {
                    demand!(
                        self,
                        fits,
                        false,
                        value,
                        path,
                        "must NOT have additional properties: '{name}'"
                    );
                }
                _ => {}
            }
            if let Some(names) = objects.names {
                let is_valid = self.probe(names, &Value::String(name.clone()));
                demand!(
                    self,
                    fits,
                    is_valid,
                    value,
                    path,
                    "must have only valid property names: '{name}' is none"
                );
            }
        }

        if required < objects.required_properties {
            let required = objects.properties.iter().filter(|property| property.is_required);
            for Property { name, .. } in required {
                let is_there = object.contains_key(&**name);
                demand!(self, fits, is_there, value, path, "must have required property '{name}'");
            }
        }
        for (name, dependency) in &objects.dependencies {
            if !object.contains_key(&**name) {
                continue;
            }
            match dependency {
                Dependency::Names(names) => {
                    for other in names {
                        demand!(
                            self,
                            fits,
                            object.contains_key(&**other),
                            value,
                            path,
                            "must have property '{other}' when property '{name}' is present"
                        );
                    }
                }
                Dependency::Node(node) => follow!(self, fits, self.check(*node, value, path)),
            }
        }
        fits
    }

    #[inline(never)]
    fn check_logic(&mut self, logic: &Logic, value: &Value, path: &Path<'_>) -> bool {
        let mut fits = true;
        for node in &logic.all {
            follow!(self, fits, self.check(*node, value, path));
        }
        if let Some(any) = &logic.any {
            let found = any.iter().any(|node| self.probe(*node, value));
            demand!(self, fits, found, value, path, "must match a schema in anyOf");
        }
        if let Some(one) = &logic.one {
            let count = one.iter().filter(|node| self.probe(**node, value)).take(2).count();
            demand!(self, fits, count == 1, value, path, "must match exactly one schema in oneOf");
        }
        if let Some(not) = logic.not {
            let found = self.probe(not, value);
            demand!(self, fits, !found, value, path, "must NOT be valid");
        }
        if let Some(condition) = logic.condition {
            let branch = if self.probe(condition, value) { logic.then } else { logic.otherwise };
            if let Some(node) = branch {
                follow!(self, fits, self.check(node, value, path));
            }
        }
        fits
    }

    /// Whether a schema fits, without a word about why not.
    fn probe(&mut self, node: usize, value: &Value) -> bool {
        let problems = self.problems.take();
        let fits = self.check(node, value, &Path::Root);
        self.problems = problems;
        fits
    }

    fn is_match(&mut self, pattern: &Pattern, text: &str) -> bool {
        match pattern.is_match(text, &mut self.budget) {
            Ok(is_match) => is_match,
            Err(_) => {
                self.is_exhausted = true;
                false
            }
        }
    }

    /// Notes a problem, if they are wanted: then the answer is true.
    fn refuse(&mut self, path: &Path<'_>, value: &Value, message: impl FnOnce() -> String) -> bool {
        let Some(problems) = &mut self.problems else { return false };
        if self.is_exhausted || problems.len() >= MAX_PROBLEMS {
            return false;
        }
        problems.push(Problem { path: path.pointer(), message: message(), received: shown(value) });
        true
    }
}

/// A document on its way into nodes.
struct Compiler<'a> {
    document: &'a Value,
    /// Reserved first, so that schemas can refer to those around them.
    nodes: Vec<Option<Node>>,
    /// By JSON pointer.
    known: HashMap<String, usize>,
    /// Pointers by `$id` and `$anchor`.
    ids: HashMap<String, String>,
    patterns: HashMap<String, Rc<Pattern>>,
    depth: usize,
}

type Compiled<T> = Result<T, String>;

impl Compiler<'_> {
    fn finish(self) -> Compiled<Vec<Node>> {
        Ok(self.nodes.into_iter().map(|node| node.expect("filled when it was reserved")).collect())
    }

    fn note_ids(&mut self, value: &Value, pointer: &str, depth: usize) {
        match value {
            Value::Object(object) if depth < MAX_SCHEMA_DEPTH => {
                if let Some(id) = object.get("$id").and_then(Value::as_str) {
                    self.ids
                        .entry(id.trim_end_matches('#').to_owned())
                        .or_insert(pointer.to_owned());
                }
                if let Some(anchor) = object.get("$anchor").and_then(Value::as_str) {
                    self.ids.entry(format!("#{anchor}")).or_insert(pointer.to_owned());
                }
                for (name, member) in object {
                    self.note_ids(member, &format!("{pointer}/{}", escape(name)), depth + 1);
                }
            }
            Value::Array(items) if depth < MAX_SCHEMA_DEPTH => {
                for (index, item) in items.iter().enumerate() {
                    self.note_ids(item, &format!("{pointer}/{index}"), depth + 1);
                }
            }
            _ => {}
        }
    }

    /// The node of the schema at a JSON pointer.
    fn at(&mut self, pointer: &str) -> Compiled<usize> {
        if let Some(known) = self.known.get(pointer) {
            return Ok(*known);
        }
        self.depth += 1;
        if self.depth > MAX_SCHEMA_DEPTH {
            return Err(format!("{pointer}: schemas are nested too deep"));
        }
        let schema = self.document.pointer(pointer);
        let schema = schema.ok_or_else(|| format!("$ref: there is nothing at '#{pointer}'"))?;
        let id = self.nodes.len();
        self.nodes.push(None);
        self.known.insert(pointer.to_owned(), id);
        let node = match schema {
            Value::Bool(is_any) => Node { is_never: !is_any, ..Node::default() },
            Value::Object(schema) => self.node(schema, pointer)?,
            _ => return Err(format!("{pointer} must be a schema: an object or a boolean")),
        };
        self.nodes[id] = Some(node);
        self.depth -= 1;
        Ok(id)
    }

    fn node(&mut self, schema: &Map<String, Value>, at: &str) -> Compiled<Node> {
        let keywords = Keywords { schema, at };
        let mut node = Node {
            types: keywords.types()?,
            constant: schema.get("const").cloned(),
            choices: keywords.array("enum")?.cloned(),
            ..Node::default()
        };

        let numbers = Numbers {
            minimum: keywords.number("minimum")?,
            above: keywords.number("exclusiveMinimum")?,
            maximum: keywords.number("maximum")?,
            below: keywords.number("exclusiveMaximum")?,
            multiple_of: keywords.number("multipleOf")?,
        };
        if let Some(factor) = &numbers.multiple_of
            && compare(factor, &Number::from(0)) != Ordering::Greater
        {
            return Err(format!("{at}/multipleOf must be greater than 0"));
        }
        let says = |names: &[&str]| names.iter().any(|name| schema.contains_key(*name));
        if says(&["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"]) {
            node.numbers = Some(Box::new(numbers));
        }

        let strings = Strings {
            min: keywords.count("minLength")?,
            max: keywords.count("maxLength")?,
            pattern: match keywords.string("pattern")? {
                Some(source) => Some(self.pattern(source, &format!("{at}/pattern"))?),
                None => None,
            },
        };
        if says(&["minLength", "maxLength", "pattern"]) {
            node.strings = Some(Box::new(strings));
        }

        if says(&["minItems", "maxItems", "uniqueItems", "items", "contains"]) {
            node.arrays = Some(Box::new(self.arrays(&keywords)?));
        }
        if says(&OBJECT_KEYWORDS) {
            node.objects = Some(Box::new(self.objects(&keywords)?));
        }
        let logic = self.logic(&keywords)?;
        if says(&["$ref", "allOf", "anyOf", "oneOf", "not", "if"]) {
            node.logic = Some(Box::new(logic));
        }
        Ok(node)
    }

    fn arrays(&mut self, keywords: &Keywords<'_>) -> Compiled<Arrays> {
        let mut arrays = Arrays {
            min: keywords.count("minItems")?,
            max: keywords.count("maxItems")?,
            is_unique: keywords.boolean("uniqueItems")?.unwrap_or(false),
            contains: self.member(keywords, "contains")?,
            ..Arrays::default()
        };
        if let Some(Value::Array(_)) = keywords.schema.get("items") {
            arrays.first = self.members(keywords, "items")?.unwrap_or_default();
            arrays.rest = self.member(keywords, "additionalItems")?;
        } else {
            arrays.rest = self.member(keywords, "items")?;
        }
        Ok(arrays)
    }

    fn objects(&mut self, keywords: &Keywords<'_>) -> Compiled<Objects> {
        let at = keywords.at;
        let mut objects = Objects {
            min: keywords.count("minProperties")?,
            max: keywords.count("maxProperties")?,
            names: self.member(keywords, "propertyNames")?,
            others: match keywords.schema.get("additionalProperties") {
                None | Some(Value::Bool(true)) => Others::Any,
                Some(Value::Bool(false)) => Others::None,
                Some(_) => Others::Node(self.at(&format!("{at}/additionalProperties"))?),
            },
            ..Objects::default()
        };
        for name in keywords.object("properties")?.into_iter().flat_map(Map::keys) {
            let node = self.at(&format!("{at}/properties/{}", escape(name)))?;
            let property = objects.property(name);
            (property.node, property.is_declared) = (Some(node), true);
        }
        for name in keywords.names("required")?.unwrap_or_default() {
            objects.property(&name).is_required = true;
        }
        objects.required_properties =
            objects.properties.iter().filter(|property| property.is_required).count();
        for source in keywords.object("patternProperties")?.into_iter().flat_map(Map::keys) {
            let place = format!("{at}/patternProperties/{}", escape(source));
            objects.patterns.push((self.pattern(source, &place)?, self.at(&place)?));
        }
        for keyword in ["dependencies", "dependentRequired", "dependentSchemas"] {
            for (name, dependency) in keywords.object(keyword)?.into_iter().flatten() {
                let place = format!("{at}/{keyword}");
                let dependency = match dependency {
                    Value::Array(_) => {
                        let names = Keywords {
                            schema: keywords.object(keyword)?.expect("it is being read"),
                            at: &place,
                        };
                        Dependency::Names(names.names(name)?.unwrap_or_default())
                    }
                    _ => Dependency::Node(self.at(&format!("{place}/{}", escape(name)))?),
                };
                objects.dependencies.push((name.as_str().into(), dependency));
            }
        }
        Ok(objects)
    }

    fn logic(&mut self, keywords: &Keywords<'_>) -> Compiled<Logic> {
        let mut logic = Logic {
            all: self.members(keywords, "allOf")?.unwrap_or_default(),
            any: self.members(keywords, "anyOf")?,
            one: self.members(keywords, "oneOf")?,
            not: self.member(keywords, "not")?,
            condition: self.member(keywords, "if")?,
            then: self.member(keywords, "then")?,
            otherwise: self.member(keywords, "else")?,
        };
        if let Some(reference) = keywords.string("$ref")? {
            let pointer = self.resolve(reference)?;
            logic.all.push(self.at(&pointer)?);
        }
        Ok(logic)
    }

    /// The JSON pointer that a reference means. Only what is in the document can be meant.
    fn resolve(&self, reference: &str) -> Compiled<String> {
        let outside = || format!("$ref: '{reference}' is not in the document");
        let decoded = percent_decoded(reference);
        if let Some(pointer) = self.ids.get(decoded.trim_end_matches('#')) {
            return Ok(pointer.clone());
        }
        let (document, fragment) = decoded.split_once('#').unwrap_or((&decoded, ""));
        let base = match document {
            "" => "",
            id => self.ids.get(id).ok_or_else(outside)?,
        };
        match fragment {
            "" => Ok(base.to_owned()),
            pointer if pointer.starts_with('/') => Ok(format!("{base}{pointer}")),
            anchor => self.ids.get(&format!("#{anchor}")).cloned().ok_or_else(outside),
        }
    }

    fn member(&mut self, keywords: &Keywords<'_>, keyword: &str) -> Compiled<Option<usize>> {
        match keywords.schema.contains_key(keyword) {
            true => self.at(&format!("{}/{keyword}", keywords.at)).map(Some),
            false => Ok(None),
        }
    }

    fn members(&mut self, keywords: &Keywords<'_>, keyword: &str) -> Compiled<Option<Vec<usize>>> {
        let Some(schemas) = keywords.array(keyword)? else { return Ok(None) };
        let at = |index| format!("{}/{keyword}/{index}", keywords.at);
        (0..schemas.len()).map(|index| self.at(&at(index))).collect::<Compiled<_>>().map(Some)
    }

    fn pattern(&mut self, source: &str, place: &str) -> Compiled<Rc<Pattern>> {
        if let Some(known) = self.patterns.get(source) {
            return Ok(known.clone());
        }
        let pattern = Pattern::compile(source)
            .map_err(|malformed| format!("{place} is not a regular expression: {malformed}"))?;
        let pattern = Rc::new(pattern);
        self.patterns.insert(source.to_owned(), pattern.clone());
        Ok(pattern)
    }
}

/// Reads the keywords of one schema, each of which must have its shape.
struct Keywords<'a> {
    schema: &'a Map<String, Value>,
    at: &'a str,
}

impl<'a> Keywords<'a> {
    fn read<T>(
        &self,
        keyword: &str,
        shape: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Compiled<Option<T>> {
        let Some(value) = self.schema.get(keyword) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(format!("{}/{} must be {shape}", self.at, escape(keyword))),
        }
    }

    fn types(&self) -> Compiled<Types> {
        let types = self.read("type", "the name of a type or several", |value| match value {
            Value::String(name) => Types::named(name),
            Value::Array(names) if !names.is_empty() => {
                let named = |name: &Value| name.as_str().and_then(Types::named);
                names.iter().try_fold(Types(0), |types, name| Some(Types(types.0 | named(name)?.0)))
            }
            _ => None,
        })?;
        let is_nullable = self.boolean("nullable")?.unwrap_or(false);
        Ok(match types {
            Some(types) if is_nullable => Types(types.0 | 1 << 6),
            types => types.unwrap_or_default(),
        })
    }

    fn number(&self, keyword: &str) -> Compiled<Option<Number>> {
        self.read(keyword, "a number", |value| match value {
            Value::Number(number) => Some(number.clone()),
            _ => None,
        })
    }

    fn count(&self, keyword: &str) -> Compiled<Option<usize>> {
        self.read(keyword, "a whole number", |value| {
            let float = || value.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
            value.as_u64().or_else(|| float().map(|float| float as u64)).map(|count| count as usize)
        })
    }

    fn boolean(&self, keyword: &str) -> Compiled<Option<bool>> {
        self.read(keyword, "a boolean", Value::as_bool)
    }

    fn string(&self, keyword: &str) -> Compiled<Option<&'a str>> {
        self.read(keyword, "a string", Value::as_str)
    }

    fn array(&self, keyword: &str) -> Compiled<Option<&'a Vec<Value>>> {
        self.read(keyword, "an array", Value::as_array)
    }

    fn object(&self, keyword: &str) -> Compiled<Option<&'a Map<String, Value>>> {
        self.read(keyword, "an object", Value::as_object)
    }

    fn names(&self, keyword: &str) -> Compiled<Option<Vec<Box<str>>>> {
        self.read(keyword, "an array of names", |value| {
            value.as_array()?.iter().map(|name| name.as_str().map(Box::from)).collect()
        })
    }
}

/// Equality of JSON: numbers by value, objects without order.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare(one, other) == Ordering::Equal,
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| equal(one, other)))
        }
        _ => one == other,
    }
}

/// The positions of two equal items.
fn twins(items: &[Value]) -> Option<(usize, usize)> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let mut text = String::new();
        canonical(item, &mut text);
        if let Some(first) = seen.insert(text, index) {
            return Some((first, index));
        }
    }
    None
}

/// One text for all that is equal.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => match Decimal::of(number) {
            Some(decimal) => {
                let Decimal { digits, exponent } = decimal.reduced();
                let _ = write!(out, "{digits}e{exponent}");
            }
            None => out.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, member) in members {
                let _ = write!(out, "{name:?}:");
                canonical(member, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::String(text) => {
            let _ = write!(out, "{text:?}");
        }
        Value::Null | Value::Bool(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

/// A number as JSON writes it: digits times a power of ten.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    /// None: too long.
    fn of(number: &Number) -> Option<Self> {
        if let Some(integer) = number.as_i64() {
            return Some(Self { digits: integer.into(), exponent: 0 });
        }
        let text = number.to_string();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (&*text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        Some(Self { digits, exponent })
    }

    fn reduced(mut self) -> Self {
        if self.digits == 0 {
            return Self { digits: 0, exponent: 0 };
        }
        while self.digits % 10 == 0 {
            self.digits /= 10;
            self.exponent = self.exponent.saturating_add(1);
        }
        self
    }

    /// Both as multiples of the same power of ten.
    fn aligned(one: Self, other: Self) -> Option<(i128, i128)> {
        let exponent = one.exponent.min(other.exponent);
        let scaled = |decimal: Self| {
            let by = u32::try_from(decimal.exponent.checked_sub(exponent)?).ok()?;
            decimal.digits.checked_mul(10i128.checked_pow(by)?)
        };
        Some((scaled(one)?, scaled(other)?))
    }

    fn pair(one: &Number, other: &Number) -> Option<(i128, i128)> {
        Self::aligned(Self::of(one)?.reduced(), Self::of(other)?.reduced())
    }
}

fn compare(one: &Number, other: &Number) -> Ordering {
    match Decimal::pair(one, other) {
        Some((one, other)) => one.cmp(&other),
        None => float(one).total_cmp(&float(other)),
    }
}

fn is_multiple(number: &Number, factor: &Number) -> bool {
    match Decimal::pair(number, factor) {
        Some((number, factor)) => number % factor == 0,
        None => (float(number) / float(factor)).fract() == 0.0,
    }
}

fn is_integer(number: &Number) -> bool {
    number.as_i64().is_some()
        || match Decimal::of(number) {
            Some(decimal) => decimal.reduced().exponent >= 0,
            None => float(number).fract() == 0.0,
        }
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::INFINITY)
}

fn escape(name: &str) -> Cow<'_, str> {
    match name.contains(['~', '/']) {
        true => name.replace('~', "~0").replace('/', "~1").into(),
        false => name.into(),
    }
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let code = match others {
            [high, low, ..] if *first == b'%' => {
                let digit = |byte: &u8| (*byte as char).to_digit(16);
                digit(high).zip(digit(low)).map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &others[2..] } else { others };
    }
    String::from_utf8(bytes).map_or(text.into(), Cow::from)
}

/// A value for people.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

fn listed(values: &[Value]) -> String {
    values.iter().map(shown).collect::<Vec<_>>().join(", ")
}

const OBJECT_KEYWORDS: [&str; 10] = [
    "minProperties",
    "maxProperties",
    "properties",
    "required",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
];

/// Of schemas within schemas and values within values while checking.
const MAX_DEPTH: usize = 300;
/// Of schemas within schemas in a document.
const MAX_SCHEMA_DEPTH: usize = 200;
/// Of schemas applied and of characters matched for one value.
const MAX_STEPS: u64 = 5_000_000;
const MAX_PROBLEMS: usize = 20;
/// Of characters of a value in a message.
const MAX_SHOWN: usize = 200;
