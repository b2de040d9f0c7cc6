//! Regular expressions as JSON Schema means them: those of ECMAScript, by code points.
//!
//! Guarantee: a match takes as many steps as its budget allows and no more, and the stack stays
//! flat however long the text is. What is not understood does not compile.

use std::fmt;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) source: Box<str>,
    program: Vec<Op>,
    sets: Vec<Set>,
    slots: usize,
}

/// The steps that are left for matching.
#[derive(Debug)]
pub(super) struct Budget(pub(super) u64);

/// The budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    problem: String,
    /// The character at which it was noticed.
    position: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at character {}", self.problem, self.position)
    }
}

impl Pattern {
    pub(super) fn compile(source: &str) -> Result<Self, Malformed> {
        let (tree, names, has_references) = Parser::new(source).whole()?;
        let mut compiler = Compiler {
            program: Vec::new(),
            sets: Vec::new(),
            slots: 2 * (names.len() + 1),
            names,
            has_references,
            emitted: 0,
        };
        compiler.emit(&tree, false).map_err(|problem| Malformed { problem, position: 0 })?;
        compiler.program.push(Op::Match);
        let Compiler { program, sets, slots, .. } = compiler;
        Ok(Self { source: source.into(), program, sets, slots })
    }

    /// Whether any part of the text matches.
    pub(super) fn is_match(&self, text: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
        let mut run = Run {
            pattern: self,
            text,
            slots: vec![usize::MAX; self.slots],
            stack: Vec::new(),
            budget,
        };
        if matches!(self.program[0], Op::Start) {
            return Ok(run.go(0, 0)?.is_some());
        }
        for (start, _) in text.char_indices() {
            if run.go(0, start)?.is_some() {
                return Ok(true);
            }
        }
        Ok(run.go(0, text.len())?.is_some())
    }
}

/// A matching in progress.
struct Run<'a> {
    pattern: &'a Pattern,
    text: &'a str,
    /// Where groups begin and end, and where rounds of loops began.
    slots: Vec<usize>,
    stack: Vec<Frame>,
    budget: &'a mut Budget,
}

/// What to do when a way turns out to lead nowhere.
enum Frame {
    Try {
        op: usize,
        position: usize,
    },
    /// A run of characters that may end earlier, down to `low`.
    Shorten {
        op: usize,
        low: usize,
        position: usize,
    },
    Restore {
        slot: usize,
        position: usize,
    },
}

impl Run<'_> {
    /// Follows the program to a match; where it ended, or none with everything as before.
    fn go(&mut self, mut op: usize, mut position: usize) -> Result<Option<usize>, Exhausted> {
        let bottom = self.stack.len();
        loop {
            self.budget.0 = self.budget.0.checked_sub(1).ok_or(Exhausted)?;
            if self.stack.len() > MAX_STACK {
                return Err(Exhausted);
            }
            let next = match &self.pattern.program[op] {
                Op::Match => return Ok(Some(position)),
                Op::One { what, is_back } => self.one(what, position, *is_back).map(|to| {
                    position = to;
                    op + 1
                }),
                Op::Many(what) => {
                    let low = position;
                    while let Some(to) = self.one(what, position, false) {
                        position = to;
                        self.budget.0 = self.budget.0.checked_sub(1).ok_or(Exhausted)?;
                    }
                    if position > low {
                        self.stack.push(Frame::Shorten { op: op + 1, low, position });
                    }
                    Some(op + 1)
                }
                Op::Start => (position == 0).then_some(op + 1),
                Op::End => (position == self.text.len()).then_some(op + 1),
                Op::Word { is_negated } => {
                    let before = self.text[..position].chars().next_back();
                    let after = self.text[position..].chars().next();
                    let is_boundary = before.is_some_and(is_word) != after.is_some_and(is_word);
                    (is_boundary != *is_negated).then_some(op + 1)
                }
                Op::Split { first, second } => {
                    self.stack.push(Frame::Try { op: *second, position });
                    Some(*first)
                }
                Op::Jump(to) => Some(*to),
                Op::Save(slot) => {
                    self.set(*slot, position);
                    Some(op + 1)
                }
                Op::Clear { from, to } => {
                    for slot in *from..*to {
                        self.set(slot, usize::MAX);
                    }
                    Some(op + 1)
                }
                Op::Moved(slot) => (self.slots[*slot] != position).then_some(op + 1),
                Op::Back { group, is_back } => {
                    self.repeat_group(*group, position, *is_back).map(|to| {
                        position = to;
                        op + 1
                    })
                }
                Op::Look { is_negated, end } => {
                    let (is_negated, end) = (*is_negated, *end);
                    let height = self.stack.len();
                    let found = self.go(op + 1, position)?.is_some();
                    if found && is_negated {
                        self.unwind(height);
                    } else {
                        // What a look ahead has captured stays, its other ways do not.
                        let mut kept = height;
                        for index in height..self.stack.len() {
                            if matches!(self.stack[index], Frame::Restore { .. }) {
                                self.stack.swap(kept, index);
                                kept += 1;
                            }
                        }
                        self.stack.truncate(kept);
                    }
                    (found != is_negated).then_some(end)
                }
            };
            op = match next {
                Some(next) => next,
                None => match self.backtrack(bottom) {
                    Some((op, at)) => {
                        position = at;
                        op
                    }
                    None => return Ok(None),
                },
            };
        }
    }

    fn one(&self, what: &One, position: usize, is_back: bool) -> Option<usize> {
        let found = match is_back {
            false => self.text[position..].chars().next()?,
            true => self.text[..position].chars().next_back()?,
        };
        let fits = match what {
            One::Char(wanted) => found as u32 == *wanted,
            One::Any => !matches!(found, '\n' | '\r' | '\u{2028}' | '\u{2029}'),
            One::Set(index) => self.pattern.sets[*index].contains(found),
        };
        let length = found.len_utf8();
        fits.then(|| if is_back { position - length } else { position + length })
    }

    /// What a group has captured, once more; a group that captured nothing matches nothing.
    fn repeat_group(&self, group: usize, position: usize, is_back: bool) -> Option<usize> {
        let (start, end) = (self.slots[2 * group], self.slots[2 * group + 1]);
        if start == usize::MAX || end == usize::MAX {
            return Some(position);
        }
        let captured = &self.text[start..end];
        match is_back {
            false => self.text[position..].starts_with(captured).then(|| position + captured.len()),
            true => self.text[..position].ends_with(captured).then(|| position - captured.len()),
        }
    }

    fn set(&mut self, slot: usize, position: usize) {
        let old = std::mem::replace(&mut self.slots[slot], position);
        self.stack.push(Frame::Restore { slot, position: old });
    }

    fn backtrack(&mut self, bottom: usize) -> Option<(usize, usize)> {
        while self.stack.len() > bottom {
            match self.stack.pop()? {
                Frame::Try { op, position } => return Some((op, position)),
                Frame::Shorten { op, low, position } => {
                    let last = self.text[..position].chars().next_back()?;
                    let position = position - last.len_utf8();
                    if position > low {
                        self.stack.push(Frame::Shorten { op, low, position });
                    }
                    return Some((op, position));
                }
                Frame::Restore { slot, position } => self.slots[slot] = position,
            }
        }
        None
    }

    fn unwind(&mut self, bottom: usize) {
        while self.backtrack(bottom).is_some() {}
    }
}

#[derive(Debug)]
enum Op {
    One {
        what: One,
        is_back: bool,
    },
    /// As many as there are, then fewer.
    Many(One),
    Start,
    End,
    Word {
        is_negated: bool,
    },
    Split {
        first: usize,
        second: usize,
    },
    Jump(usize),
    Save(usize),
    Clear {
        from: usize,
        to: usize,
    },
    /// Something was consumed since the slot was saved.
    Moved(usize),
    Back {
        group: usize,
        is_back: bool,
    },
    /// The body follows and ends in `Match`.
    Look {
        is_negated: bool,
        end: usize,
    },
    Match,
}

/// What one character may be.
#[derive(Clone, Copy, Debug)]
enum One {
    Char(u32),
    Any,
    Set(usize),
}

type Class = fn(char) -> bool;

#[derive(Clone, Debug, Default)]
struct Set {
    is_negated: bool,
    ranges: Vec<(u32, u32)>,
    /// Classes that are functions, and whether what is not in them is meant.
    classes: Vec<(Class, bool)>,
}

impl Set {
    fn contains(&self, char: char) -> bool {
        let code = char as u32;
        let found = self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&code))
            || self.classes.iter().any(|(class, is_negated)| class(char) != *is_negated);
        found != self.is_negated
    }
}

struct Compiler {
    program: Vec<Op>,
    sets: Vec<Set>,
    slots: usize,
    names: Vec<Option<String>>,
    has_references: bool,
    /// How many parts were emitted, those without instructions too.
    emitted: usize,
}

impl Compiler {
    /// `is_back`: inside a look behind, where everything is matched from right to left.
    fn emit(&mut self, tree: &Tree, is_back: bool) -> Result<(), String> {
        self.emitted += 1;
        if self.emitted > MAX_PROGRAM {
            return Err("the pattern is too large".into());
        }
        match tree {
            Tree::Char(_) | Tree::Any | Tree::Set(_) => {
                let what = self.one(tree).expect("these are one character");
                self.program.push(Op::One { what, is_back });
            }
            Tree::Start => self.program.push(Op::Start),
            Tree::End => self.program.push(Op::End),
            Tree::Word { is_negated } => self.program.push(Op::Word { is_negated: *is_negated }),
            Tree::Sequence(parts) => {
                for index in 0..parts.len() {
                    let index = if is_back { parts.len() - 1 - index } else { index };
                    self.emit(&parts[index], is_back)?;
                }
            }
            Tree::Either(ways) => {
                let mut jumps = Vec::new();
                let (last, others) = ways.split_last().expect("there is always one way");
                for way in others {
                    let split = self.reserve();
                    self.emit(way, is_back)?;
                    jumps.push(self.reserve());
                    self.program[split] =
                        Op::Split { first: split + 1, second: self.program.len() };
                }
                self.emit(last, is_back)?;
                for jump in jumps {
                    self.program[jump] = Op::Jump(self.program.len());
                }
            }
            Tree::Group { body, number: None } => self.emit(body, is_back)?,
            Tree::Group { body, number: Some(number) } => {
                let (first, second) =
                    (2 * number + usize::from(is_back), 2 * number + usize::from(!is_back));
                if self.has_references {
                    self.program.push(Op::Save(first));
                }
                self.emit(body, is_back)?;
                if self.has_references {
                    self.program.push(Op::Save(second));
                }
            }
            Tree::Number(group) if *group > self.names.len() => {
                return Err(format!("there is no group {group}"));
            }
            Tree::Number(group) => self.program.push(Op::Back { group: *group, is_back }),
            Tree::Name(name) => {
                let found = self.names.iter().position(|other| other.as_ref() == Some(name));
                let group = found.ok_or_else(|| format!("there is no group {name}"))? + 1;
                self.program.push(Op::Back { group, is_back });
            }
            Tree::Look { body, is_behind, is_negated } => {
                let look = self.reserve();
                self.emit(body, *is_behind)?;
                self.program.push(Op::Match);
                self.program[look] = Op::Look { is_negated: *is_negated, end: self.program.len() };
            }
            Tree::Repeat { body, min, max, is_lazy, groups } => {
                for _ in 0..*min {
                    self.round(body, *groups, is_back)?;
                }
                if let (None, false, false, Some(what)) = (max, *is_lazy, is_back, self.one(body)) {
                    self.program.push(Op::Many(what));
                    return Ok(());
                }
                // Without an upper bound one optional round is repeated, else there is one for each.
                let mut splits = Vec::new();
                for _ in 0..max.map_or(1, |max| max - min) {
                    splits.push(self.reserve());
                    let slot = self.slots;
                    if body.may_be_empty() {
                        self.slots += 1;
                        self.program.push(Op::Save(slot));
                    }
                    self.round(body, *groups, is_back)?;
                    if body.may_be_empty() {
                        self.program.push(Op::Moved(slot));
                    }
                }
                if max.is_none() {
                    self.program.push(Op::Jump(splits[0]));
                }
                for at in splits {
                    let (inside, past) = (at + 1, self.program.len());
                    self.program[at] = match is_lazy {
                        false => Op::Split { first: inside, second: past },
                        true => Op::Split { first: past, second: inside },
                    };
                }
            }
        }
        Ok(())
    }

    /// One round of a loop forgets what the round before captured.
    fn round(&mut self, body: &Tree, groups: (usize, usize), is_back: bool) -> Result<(), String> {
        if self.has_references && groups.0 < groups.1 {
            self.program.push(Op::Clear { from: 2 * (groups.0 + 1), to: 2 * (groups.1 + 1) });
        }
        self.emit(body, is_back)
    }

    fn reserve(&mut self) -> usize {
        self.program.push(Op::Match);
        self.program.len() - 1
    }

    fn one(&mut self, tree: &Tree) -> Option<One> {
        match tree {
            Tree::Char(code) => Some(One::Char(*code)),
            Tree::Any => Some(One::Any),
            Tree::Set(set) => {
                self.sets.push(set.clone());
                Some(One::Set(self.sets.len() - 1))
            }
            _ => None,
        }
    }
}

enum Tree {
    Char(u32),
    Any,
    Set(Set),
    Start,
    End,
    Word {
        is_negated: bool,
    },
    Sequence(Vec<Tree>),
    Either(Vec<Tree>),
    Group {
        body: Box<Tree>,
        number: Option<usize>,
    },
    Number(usize),
    Name(String),
    Look {
        body: Box<Tree>,
        is_behind: bool,
        is_negated: bool,
    },
    Repeat {
        body: Box<Tree>,
        min: u32,
        max: Option<u32>,
        is_lazy: bool,
        /// The groups inside: how many were open before, and after.
        groups: (usize, usize),
    },
}

impl Tree {
    fn may_be_empty(&self) -> bool {
        match self {
            Tree::Char(_) | Tree::Any | Tree::Set(_) => false,
            Tree::Start | Tree::End | Tree::Word { .. } | Tree::Look { .. } => true,
            Tree::Number(_) | Tree::Name(_) => true,
            Tree::Sequence(parts) => parts.iter().all(Tree::may_be_empty),
            Tree::Either(ways) => ways.iter().any(Tree::may_be_empty),
            Tree::Group { body, .. } => body.may_be_empty(),
            Tree::Repeat { body, min, .. } => *min == 0 || body.may_be_empty(),
        }
    }
}

struct Parser {
    chars: Vec<char>,
    position: usize,
    names: Vec<Option<String>>,
    has_references: bool,
    depth: usize,
}

type Parsed<T> = Result<T, Malformed>;

impl Parser {
    fn new(source: &str) -> Self {
        let chars = source.chars().collect();
        Self { chars, position: 0, names: Vec::new(), has_references: false, depth: 0 }
    }

    fn whole(mut self) -> Parsed<(Tree, Vec<Option<String>>, bool)> {
        let tree = self.either()?;
        match self.peek() {
            None => Ok((tree, self.names, self.has_references)),
            Some(_) => self.fail("unmatched )"),
        }
    }

    fn either(&mut self) -> Parsed<Tree> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("too many groups inside each other");
        }
        let mut ways = vec![self.sequence()?];
        while self.eat('|') {
            ways.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(if ways.len() == 1 { ways.remove(0) } else { Tree::Either(ways) })
    }

    fn sequence(&mut self) -> Parsed<Tree> {
        let mut parts = Vec::new();
        while let Some(next) = self.peek() {
            if matches!(next, '|' | ')') {
                break;
            }
            let before = self.names.len();
            let part = self.part()?;
            parts.push(self.repeated(part, before)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::Sequence(parts) })
    }

    fn repeated(&mut self, part: Tree, before: usize) -> Parsed<Tree> {
        let start = self.position;
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.counts()? {
                Some(counts) => counts,
                None => return Ok(part),
            },
            _ => return Ok(part),
        };
        if self.position == start {
            self.position += 1;
        }
        if matches!(part, Tree::Start | Tree::End | Tree::Word { .. } | Tree::Look { .. }) {
            return self.fail("nothing to repeat");
        }
        let is_lazy = self.eat('?');
        if matches!(self.peek(), Some('*' | '+' | '?')) {
            return self.fail("nothing to repeat");
        }
        let groups = (before, self.names.len());
        Ok(Tree::Repeat { body: Box::new(part), min, max, is_lazy, groups })
    }

    /// `{2}`, `{2,}` or `{2,5}`; none: the brace stands for itself.
    fn counts(&mut self) -> Parsed<Option<(u32, Option<u32>)>> {
        let start = self.position;
        self.position += 1;
        let min = self.number();
        let max = if self.eat(',') { self.number() } else { min };
        let is_open = self.chars[self.position - 1] == ',';
        let Some(min) = min.filter(|_| self.eat('}')) else {
            self.position = start;
            return Ok(None);
        };
        let max = if is_open { None } else { max };
        if max.is_some_and(|max| max < min) {
            return self.fail("numbers out of order in {}");
        }
        if min.max(max.unwrap_or(0)) as usize > MAX_PROGRAM {
            return self.fail("the pattern is too large");
        }
        Ok(Some((min, max)))
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(10)) {
            number = Some(number.unwrap_or(0u32).saturating_mul(10).saturating_add(digit));
            self.position += 1;
        }
        number
    }

    fn part(&mut self) -> Parsed<Tree> {
        let next = self.next()?;
        Ok(match next {
            '^' => Tree::Start,
            '$' => Tree::End,
            '.' => Tree::Any,
            '(' => return self.group(),
            '[' => Tree::Set(self.set()?),
            '\\' => return self.escape(),
            '*' | '+' | '?' => return self.fail("nothing to repeat"),
            '{' => {
                self.position -= 1;
                let is_count = self.counts()?.is_some();
                self.position += 1;
                if is_count {
                    return self.fail("nothing to repeat");
                }
                Tree::Char('{' as u32)
            }
            other => Tree::Char(other as u32),
        })
    }

    fn group(&mut self) -> Parsed<Tree> {
        enum Kind {
            Plain(Option<usize>),
            Look { is_behind: bool, is_negated: bool },
        }
        let kind = if !self.eat('?') {
            self.names.push(None);
            Kind::Plain(Some(self.names.len()))
        } else {
            match self.next()? {
                ':' => Kind::Plain(None),
                '=' => Kind::Look { is_behind: false, is_negated: false },
                '!' => Kind::Look { is_behind: false, is_negated: true },
                '<' => match self.peek() {
                    Some(sign @ ('=' | '!')) => {
                        self.position += 1;
                        Kind::Look { is_behind: true, is_negated: sign == '!' }
                    }
                    _ => {
                        let name = self.name()?;
                        if self.names.iter().any(|other| other.as_ref() == Some(&name)) {
                            return self.fail("a group's name comes twice");
                        }
                        self.names.push(Some(name));
                        Kind::Plain(Some(self.names.len()))
                    }
                },
                _ => return self.fail("unknown kind of group"),
            }
        };
        let body = Box::new(self.either()?);
        if !self.eat(')') {
            return self.fail("missing )");
        }
        Ok(match kind {
            Kind::Plain(number) => Tree::Group { body, number },
            Kind::Look { is_behind, is_negated } => Tree::Look { body, is_behind, is_negated },
        })
    }

    /// The name of a group, up to its `>`.
    fn name(&mut self) -> Parsed<String> {
        let mut name = String::new();
        loop {
            match self.next()? {
                '>' if !name.is_empty() => return Ok(name),
                next if next.is_alphabetic() || matches!(next, '_' | '$') => name.push(next),
                next if next.is_numeric() && !name.is_empty() => name.push(next),
                _ => return self.fail("a group's name is malformed"),
            }
        }
    }

    fn escape(&mut self) -> Parsed<Tree> {
        let next = self.next()?;
        Ok(match next {
            'b' => Tree::Word { is_negated: false },
            'B' => Tree::Word { is_negated: true },
            'k' => {
                if !self.eat('<') {
                    return self.fail("a reference needs a name");
                }
                self.has_references = true;
                Tree::Name(self.name()?)
            }
            '1'..='9' => {
                self.position -= 1;
                self.has_references = true;
                Tree::Number(self.number().map_or(usize::MAX, |number| number as usize))
            }
            _ => {
                self.position -= 1;
                match self.atom()? {
                    Atom::Char(code) => Tree::Char(code),
                    Atom::Class(class, is_negated) => {
                        Tree::Set(Set { classes: vec![(class, is_negated)], ..Set::default() })
                    }
                }
            }
        })
    }

    fn set(&mut self) -> Parsed<Set> {
        let mut set = Set { is_negated: self.eat('^'), ..Set::default() };
        loop {
            let first = match self.next()? {
                ']' => return Ok(set),
                '\\' => self.set_escape()?,
                other => Atom::Char(other as u32),
            };
            let is_range = self.peek() == Some('-')
                && self.chars.get(self.position + 1).is_some_and(|after| *after != ']');
            match first {
                Atom::Char(first) if is_range => {
                    self.position += 1;
                    let last = match self.next()? {
                        '\\' => self.set_escape()?,
                        other => Atom::Char(other as u32),
                    };
                    match last {
                        Atom::Char(last) if last < first => {
                            return self.fail("a range of characters is out of order");
                        }
                        Atom::Char(last) => set.ranges.push((first, last)),
                        Atom::Class(class, is_negated) => {
                            set.ranges.extend([(first, first), ('-' as u32, '-' as u32)]);
                            set.classes.push((class, is_negated));
                        }
                    }
                }
                Atom::Char(code) => set.ranges.push((code, code)),
                Atom::Class(class, is_negated) => set.classes.push((class, is_negated)),
            }
        }
    }

    fn set_escape(&mut self) -> Parsed<Atom> {
        if self.eat('b') {
            return Ok(Atom::Char(8));
        }
        if self.eat('-') {
            return Ok(Atom::Char('-' as u32));
        }
        self.atom()
    }

    /// An escape that stands for characters, after its backslash.
    fn atom(&mut self) -> Parsed<Atom> {
        let next = self.next()?;
        Ok(match next {
            'd' | 'D' => Atom::Class(|char| char.is_ascii_digit(), next == 'D'),
            'w' | 'W' => Atom::Class(is_word, next == 'W'),
            's' | 'S' => Atom::Class(is_space, next == 'S'),
            'p' | 'P' => Atom::Class(self.property()?, next == 'P'),
            't' => Atom::Char(9),
            'n' => Atom::Char(10),
            'v' => Atom::Char(11),
            'f' => Atom::Char(12),
            'r' => Atom::Char(13),
            '0' if !self.peek().is_some_and(|after| after.is_ascii_digit()) => Atom::Char(0),
            'c' => match self.next()? {
                letter if letter.is_ascii_alphabetic() => Atom::Char(letter as u32 % 32),
                _ => return self.fail("\\c needs a letter"),
            },
            'x' => Atom::Char(self.hexadecimal(2)?),
            'u' => Atom::Char(self.unicode()?),
            other if other.is_ascii_alphanumeric() => {
                return self.fail(&format!("unknown escape \\{other}"));
            }
            other => Atom::Char(other as u32),
        })
    }

    fn unicode(&mut self) -> Parsed<u32> {
        if self.eat('{') {
            let mut code = 0u32;
            let start = self.position;
            while let Some(digit) = self.peek().and_then(|next| next.to_digit(16)) {
                code = code.saturating_mul(16).saturating_add(digit);
                self.position += 1;
            }
            return match self.position > start && code <= char::MAX as u32 && self.eat('}') {
                true => Ok(code),
                false => self.fail("malformed \\u{}"),
            };
        }
        let high = self.hexadecimal(4)?;
        let start = self.position;
        if (0xd800..0xdc00).contains(&high)
            && self.eat('\\')
            && self.eat('u')
            && let Ok(low @ 0xdc00..=0xdfff) = self.hexadecimal(4)
        {
            return Ok(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        }
        self.position = start;
        Ok(high)
    }

    fn hexadecimal(&mut self, digits: usize) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..digits {
            match self.next()?.to_digit(16) {
                Some(digit) => code = code * 16 + digit,
                None => return self.fail("a hexadecimal digit is missing"),
            }
        }
        Ok(code)
    }

    /// `{Name}` of `\p{Name}`: what Rust itself knows about characters.
    fn property(&mut self) -> Parsed<Class> {
        let start = self.position;
        let mut name = String::new();
        if self.eat('{') {
            while let Some(next) = self.peek().filter(|next| *next != '}') {
                name.push(next);
                self.position += 1;
            }
            self.eat('}');
        }
        for prefix in ["General_Category=", "gc="] {
            if let Some(category) = name.strip_prefix(prefix) {
                name = category.to_owned();
            }
        }
        let class: Class = match name.as_str() {
            "L" | "Letter" | "Alphabetic" | "Alpha" => char::is_alphabetic,
            "Lu" | "Uppercase_Letter" | "Uppercase" | "Upper" => char::is_uppercase,
            "Ll" | "Lowercase_Letter" | "Lowercase" | "Lower" => char::is_lowercase,
            "N" | "Number" => char::is_numeric,
            "White_Space" | "space" => char::is_whitespace,
            "Cc" | "Control" | "cntrl" => char::is_control,
            "ASCII" => |char: char| char.is_ascii(),
            "Any" => |_: char| true,
            _ => {
                self.position = start;
                return self.fail(&format!("unknown property of characters {name:?}"));
            }
        };
        Ok(class)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.position).copied()
    }

    fn next(&mut self) -> Parsed<char> {
        match self.peek() {
            Some(next) => {
                self.position += 1;
                Ok(next)
            }
            None => self.fail("the pattern ends too early"),
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    fn fail<T>(&self, problem: &str) -> Parsed<T> {
        Err(Malformed { problem: problem.to_owned(), position: self.position })
    }
}

enum Atom {
    Char(u32),
    Class(Class, bool),
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// ECMAScript's white space and line ends: Unicode's but for U+0085, and the byte order mark.
fn is_space(char: char) -> bool {
    char != '\u{85}' && char.is_whitespace() || char == '\u{feff}'
}

/// Of groups inside each other.
const MAX_DEPTH: usize = 100;
/// Of instructions, which `{n,m}` multiplies.
const MAX_PROGRAM: usize = 20_000;
/// Of ways not tried yet.
const MAX_STACK: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let pattern =
            Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        pattern.is_match(text, &mut Budget(1_000_000)).unwrap()
    }

    #[test]
    fn patterns_match_as_in_ecmascript() {
        for (pattern, yes, no) in [
            ("", &["", "a"][..], &[][..]),
            ("a|bc", &["xa", "bc"], &["b", ""]),
            ("^a.c$", &["abc", "aäc", "a\u{1f600}c"], &["a\nc", "ac", "abcd"]),
            ("^\\d{2,3}$", &["12", "123"], &["1", "1234", "١٢"]),
            ("^\\w+@\\w+$", &["a_1@b"], &["ä@b"]),
            ("^\\s$", &[" ", "\u{a0}", "\u{feff}", "\u{2028}"], &["\u{85}", "x"]),
            ("^[^]$", &["x", "\n"], &[""]),
            ("[]", &[], &["", "x"]),
            ("^[a-c\\-\\]x.]+$", &["a-]x."], &["d"]),
            ("^[\\w-]+$", &["a-b"], &["a b"]),
            ("^[\\b]$", &["\u{8}"], &["b"]),
            ("\\bfoo\\b", &["a foo."], &["afoo", "foo_"]),
            ("\\Boo", &["foo"], &["oo"]),
            ("^(?!.*//)/.+$", &["/a/b"], &["/a//b"]),
            ("(?<=\\$)\\d+(?!\\.)", &["$12"], &["12", "$1."]),
            ("(?<!a|b.)c", &["xc", "c"], &["ac", "bxc"]),
            ("^(a+)b\\1$", &["aabaa"], &["aaba"]),
            ("^(?<q>['\"]).*\\k<q>$", &["'x'", "\"\""], &["'x\""]),
            ("^(?:(a)|b)*\\1$", &["ab", "aa"], &[]),
            ("^(?:a?)*$", &["", "aaa"], &["b"]),
            ("^(?:a*?)+?$", &["", "aaa"], &["b"]),
            ("^(a?){3}$", &["", "aaa"], &["aaaa"]),
            (
                "^\\u00e4\\x41\\u{1F600}\\uD83D\\uDE00\\t\\cA$",
                &["äA\u{1f600}\u{1f600}\t\u{1}"],
                &[],
            ),
            ("^\\p{L}\\P{N}$", &["ßx"], &["1x", "x1"]),
            ("^[\\p{Lu}_]+$", &["Ä_"], &["ä"]),
            ("^a{,2}{$", &["a{,2}{"], &["aa"]),
            ("^x*?y$", &["y", "xxy"], &["x"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} matches {text:?}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} does not match {text:?}");
            }
        }
    }

    #[test]
    fn malformed_patterns_do_not_compile() {
        for pattern in [
            "(",
            ")",
            "a)",
            "[",
            "[b-a]",
            "*",
            "a**",
            "a{2,1}",
            "{1}",
            "^*",
            "(?i:a)",
            "(?<1>a)",
            "(?<a>x)(?<a>y)",
            "\\",
            "\\k<a>",
            "\\1",
            "\\q",
            "\\x1",
            "\\u{110000}",
            "\\p{Foo}",
            "\\c1",
            "a{99999}",
            "((a{1000}){1000}){1000}",
            "((){20000}){20000}",
            "(?:(?=a))(?=a)*",
        ] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::compile(&("(".repeat(5_000) + &")".repeat(5_000))).is_err());
    }

    #[test]
    fn matching_ends_when_its_budget_does() {
        let pattern = Pattern::compile("^(a+)+$").unwrap();
        let text = "a".repeat(40) + "!";
        assert_eq!(pattern.is_match(&text, &mut Budget(1_000_000)), Err(Exhausted));
        assert_eq!(pattern.is_match("aaa", &mut Budget(1_000)), Ok(true));
    }

    #[test]
    fn long_texts_need_no_deep_stack() {
        let pattern = Pattern::compile("^(/[^/]+)+$").unwrap();
        let path = "/segment".repeat(20_000);
        assert_eq!(pattern.is_match(&path, &mut Budget(10_000_000)), Ok(true));
        assert_eq!(pattern.is_match(&(path + "/"), &mut Budget(10_000_000)), Ok(false));
    }

    /// What another implementation says, over all short patterns of an alphabet and some texts.
    #[test]
    fn another_engine_agrees() {
        let parts = [
            "a", "b", ".", "^", "$", "|", "*", "+?", "?", "{2}", "{1,2}", "(", "(?:", "(?=", "(?!",
            "(?<=", "(?<!", ")", "[ab]", "[^a]", "\\1", "\\b", "\\w",
        ];
        let texts = ["", "a", "b", "ab", "ba", "aa", "aab", "abab", "b\na", "abba", "ä"];
        let mut state = 1u64;
        let mut compiled = 0;
        for _ in 0..60_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let mut choice = state >> 16;
            let length = 1 + choice % 8;
            let mut source = String::new();
            for _ in 0..length {
                choice /= 11;
                source += parts[((choice ^ state >> 40) % parts.len() as u64) as usize];
            }
            let open = source.matches('(').count().saturating_sub(source.matches(')').count());
            source += &")".repeat(open);
            let theirs = regress::Regex::with_flags(&source, "u");
            let ours = match Pattern::compile(&source) {
                Ok(ours) => ours,
                // The other engine repeats what ECMAScript does not let be repeated.
                Err(malformed) if malformed.problem == "nothing to repeat" => continue,
                Err(malformed) => {
                    assert!(theirs.is_err(), "{source}: {malformed}");
                    continue;
                }
            };
            let Ok(theirs) = theirs else { continue };
            compiled += 1;
            for text in texts {
                let expected = theirs.find(text).is_some();
                let found = ours.is_match(text, &mut Budget(1_000_000));
                assert_eq!(found, Ok(expected), "{source} on {text:?}");
            }
        }
        assert!(compiled > 10_000, "{compiled}");
    }
}
