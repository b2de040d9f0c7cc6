//! From the comments of a .proto file to Markdown.
//!
//! Blank lines part paragraphs, and each rule begins an item of a list. Indented lines with gaps in them are a
//! table or a picture and stay as they are. Names of rules become links, and where a rule is laid down, the
//! target of one.

use std::fmt::Write as _;

/// Renders a comment. `link` says where a rule that is only mentioned stands.
pub(super) fn markdown(comment: &str, link: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for block in blocks(comment) {
        if !out.is_empty() {
            out.push_str(if matches!(block, Block::Item(_)) { "\n" } else { "\n\n" });
        }
        match block {
            Block::Heading(text) => {
                let _ = write!(out, "## {text}");
            }
            Block::Picture(lines) => {
                let _ = write!(out, "```text\n{}\n```", lines.join("\n"));
            }
            Block::Paragraph(text) => out.push_str(&inline(&text, link)),
            Block::Item(text) => {
                let _ = write!(out, "- {}", inline(&text, link));
            }
        }
    }
    out
}

/// The rules that a comment lays down, in order.
pub(super) fn definitions(comment: &str) -> Vec<String> {
    let text: Vec<&str> = comment.split_whitespace().collect();
    let text = text.join(" ");
    brackets(&text)
        .filter(|(_, end, _)| is_definition(&text[*end..]))
        .map(|(_, _, name)| name.to_owned())
        .collect()
}

#[derive(Debug, PartialEq)]
enum Block {
    Heading(String),
    Picture(Vec<String>),
    Paragraph(String),
    Item(String),
}

fn blocks(comment: &str) -> Vec<Block> {
    let lines: Vec<&str> =
        comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let mut blocks = Vec::new();
    for group in lines.split(|line| line.trim().is_empty()) {
        let mut at = 0;
        while at < group.len() {
            let is_indented = |line: &str| line.starts_with("  ");
            let inside = is_indented(group[at]);
            let length = group[at..].iter().take_while(|line| is_indented(line) == inside).count();
            let run = &group[at..at + length];
            at += length;
            if inside && run.iter().any(|line| has_gap(line)) {
                blocks.push(Block::Picture(run.iter().map(|line| line[2..].to_owned()).collect()));
            } else if let [line] = run
                && is_heading(line)
            {
                blocks.push(Block::Heading(sentence_case(line)));
            } else {
                blocks.extend(paragraphs(run));
            }
        }
    }
    blocks
}

/// Lines that flow, parted where a rule begins.
fn paragraphs(lines: &[&str]) -> Vec<Block> {
    let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let mut starts: Vec<usize> = brackets(&text)
        .filter(|(_, end, _)| is_definition(&text[*end..]))
        .map(|(start, _, _)| start)
        .collect();
    let mut blocks = Vec::new();
    let first = starts.first().copied().unwrap_or(text.len());
    if first > 0 {
        blocks.push(Block::Paragraph(text[..first].trim().to_owned()));
    }
    starts.push(text.len());
    for pair in starts.windows(2) {
        blocks.push(Block::Item(text[pair[0]..pair[1]].trim().to_owned()));
    }
    blocks
}

/// Columns or lines drawn with characters.
fn has_gap(line: &str) -> bool {
    line.trim().contains("   ") || line.contains("──") || line.trim() == "▲ │"
}

fn is_heading(line: &str) -> bool {
    line.len() > 2 && line.chars().all(|c| c.is_ascii_uppercase() || c == ' ')
}

fn sentence_case(line: &str) -> String {
    match line {
        "SQL" => line.to_owned(),
        _ => line[..1].to_owned() + &line[1..].to_lowercase(),
    }
}

/// Names of rules become links or targets; nothing else has a meaning in Markdown.
fn inline(text: &str, link: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut from = 0;
    for (start, end, name) in brackets(text) {
        out.push_str(&escaped(&text[from..start]));
        from = end;
        match (is_definition(&text[end..]), link(name)) {
            (true, _) => {
                let _ = write!(out, "<a id=\"{name}\"></a>**\\[{name}\\]**");
            }
            (false, Some(target)) => {
                let _ = write!(out, "[\\[{name}\\]]({target})");
            }
            (false, None) => out.push_str(&escaped(&text[start..end])),
        }
    }
    out.push_str(&escaped(&text[from..]));
    out
}

/// A rule is laid down where its text follows its name, and only mentioned elsewhere.
fn is_definition(rest: &str) -> bool {
    rest.strip_prefix(' ').is_some_and(|rest| !MENTIONS.iter().any(|word| rest.starts_with(word)))
}

/// Start, end and name of everything in brackets that looks like a rule's name.
fn brackets(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    text.match_indices('[').filter_map(move |(start, _)| {
        let length = text[start..].find(']')?;
        let name = &text[start + 1..start + length];
        let (area, rule) = name.split_once('.')?;
        let is_name = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        };
        (is_name(area) && is_name(rule)).then_some((start, start + length + 1, name))
    })
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        let begins_word = !text[..at].ends_with(|c: char| c.is_alphanumeric());
        match c {
            '*' | '<' | '>' | '[' | ']' | '|' | '`' => {
                out.push('\\');
                out.push(c);
            }
            '_' if begins_word => out.push_str("\\_"),
            c => out.push(c),
        }
    }
    out
}

/// What follows the name of a rule that stands elsewhere.
const MENTIONS: [&str; 2] = ["says", "holds"];

#[cfg(test)]
mod tests {
    use super::*;

    fn render(comment: &str) -> String {
        markdown(comment, &|name| Some(format!("page.md#{name}")))
    }

    #[test]
    fn paragraphs_lists_pictures_and_headings_are_told_apart() {
        let shown = render(
            " HEAD LINE\n\n One\n line.\n   [a.one] First\n   goes on.\n   [a.two] Second.\n\n Bytes:\n\n   08 03    three\n",
        );
        assert_eq!(
            shown,
            "## Head line\n\nOne line.\n- <a id=\"a.one\"></a>**\\[a.one\\]** First goes on.\n\
             - <a id=\"a.two\"></a>**\\[a.two\\]** Second.\n\nBytes:\n\n```text\n08 03    three\n```"
        );
    }

    #[test]
    fn a_rule_is_laid_down_once_and_mentioned_elsewhere() {
        let comment = " [a.one] Ends as [a.two] says, see [a.one].";
        assert_eq!(definitions(comment), ["a.one"]);
        assert!(render(comment).contains("as [\\[a.two\\]](page.md#a.two) says"));
        let shown = render(" Two: [a.one] one. [a.two] two.");
        assert_eq!(shown.lines().filter(|line| line.starts_with("- ")).count(), 2, "{shown}");
    }

    #[test]
    fn nothing_of_a_comment_is_taken_for_markdown() {
        assert_eq!(
            render(" a*b <c> _lix_x statements[2].rows"),
            "a\\*b \\<c\\> \\_lix_x statements\\[2\\].rows"
        );
    }
}
