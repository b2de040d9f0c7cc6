//! `${…}` in the strings of a case: variables and integer arithmetic.

use std::collections::BTreeMap;

use crate::value::Cell;

/// Named values of a running case.
#[derive(Clone, Debug, Default)]
pub struct Vars {
    values: BTreeMap<String, Cell>,
}

impl Vars {
    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: Cell) {
        self.values.insert(name.to_owned(), value);
    }

    /// Sets a variable to an integer.
    pub fn set_int(&mut self, name: &str, value: impl Into<i128>) {
        let value: i128 = value.into();
        self.set(
            name,
            match i64::try_from(value) {
                Ok(value) => Cell::Integer(value),
                Err(_) => Cell::Text(value.to_string().into_bytes()),
            },
        );
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Result<&Cell, String> {
        self.values.get(name).ok_or_else(|| format!("no variable {name:?} is set"))
    }

    /// Replaces every `${…}`; `$${` stands for `${`.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        if !text.contains("${") {
            return Ok(text.to_owned());
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                out.push_str(&rest[..at - 1]);
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let end =
                inner.find('}').ok_or_else(|| format!("\"${{\" without \"}}\" in {text:?}"))?;
            let expression = inner[..end].trim();
            match self.values.get(expression) {
                Some(value) => out.push_str(&value.to_plain_text()),
                None => out.push_str(&self.int(expression)?.to_string()),
            }
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Evaluates an expression, written with or without `${…}`.
    pub fn int(&self, expression: &str) -> Result<i128, String> {
        let filled;
        let source = if expression.contains("${") {
            filled = self.fill(expression)?;
            &filled
        } else {
            expression
        };
        let mut parser = Parser { vars: self, source, rest: source };
        let value = parser.sum()?;
        if parser.rest.trim().is_empty() {
            Ok(value)
        } else {
            Err(format!("{:?} is no expression", source))
        }
    }
}

struct Parser<'a> {
    vars: &'a Vars,
    source: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<i128, String> {
        let mut value = self.product()?;
        loop {
            let next = if self.eat('+') {
                let right = self.product()?;
                value.checked_add(right)
            } else if self.eat('-') {
                let right = self.product()?;
                value.checked_sub(right)
            } else {
                return Ok(value);
            };
            value = next.ok_or_else(|| self.overflow())?;
        }
    }

    fn product(&mut self) -> Result<i128, String> {
        let mut value = self.factor()?;
        loop {
            let next = if self.eat('*') {
                let right = self.factor()?;
                value.checked_mul(right)
            } else if self.eat('/') {
                let right = self.factor()?;
                value.checked_div(right)
            } else if self.eat('%') {
                let right = self.factor()?;
                value.checked_rem(right)
            } else {
                return Ok(value);
            };
            value = next.ok_or_else(|| self.overflow())?;
        }
    }

    fn factor(&mut self) -> Result<i128, String> {
        if self.eat('-') {
            return Ok(-self.factor()?);
        }
        if self.eat('(') {
            let value = self.sum()?;
            if !self.eat(')') {
                return Err(format!("\")\" is missing in {:?}", self.source));
            }
            return Ok(value);
        }
        let rest = self.rest.trim_start();
        let len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(len);
        self.rest = after;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            word.parse().map_err(|_| format!("{word:?} is no integer in {:?}", self.source))
        } else if word.is_empty() {
            Err(format!("{:?} is no expression", self.source))
        } else {
            let value = self.vars.get(word)?;
            value.to_plain_text().parse().map_err(|_| format!("{word} = {value} is no integer"))
        }
    }

    fn eat(&mut self, symbol: char) -> bool {
        match self.rest.trim_start().strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn overflow(&self) -> String {
        format!("{:?} cannot be computed", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        let mut vars = Vars::default();
        vars.set_int("i", 7);
        vars.set_int("big", u64::MAX);
        vars.set("name", Cell::Text(b"x'y".to_vec()));
        vars
    }

    #[test]
    fn text_is_filled() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a${i}b${name}", "a7bx'y"),
            ("${i+1} ${ i * (2 - 5) } ${-i % 4}", "8 -21 -3"),
            ("${big} ${big+1}", "18446744073709551615 18446744073709551616"),
            ("$${i}", "${i}"),
            ("$1 {}", "$1 {}"),
        ] {
            assert_eq!(vars().fill(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for text in ["${", "${x}", "${i+}", "${1/0}", "${name+1}", "${i 2}", "${(i}"] {
            assert!(vars().fill(text).is_err(), "{text}");
        }
        assert_eq!(vars().int("i*2"), Ok(14));
        assert_eq!(vars().int("${i}0"), Ok(70));
    }
}
