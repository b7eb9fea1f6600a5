//! Import statements of Python source, found in its tokens.
//!
//! No parser, and no need of one: an import statement begins a logical line, or follows `;` or `:` outside of brackets,
//! with the word `import` or `from`, which are keywords and mean nothing else there. Strings (with docstrings),
//! comments, brackets and joined lines are understood, so that imports inside of strings do not count. A string in one
//! pair of quotes ends with its line at the latest, so that nested quotes in an f-string can spoil one line only.

/// What the rest of a statement means.
enum Statement {
    /// Nothing was read of it yet.
    Fresh,
    /// After `import` or a comma in it: the words of a module's name.
    Import(String),
    /// In `import a as b`, after `a`.
    Renamed,
    /// After `from`: the words of a module's name.
    From(String),
    /// Not, or no longer, of interest.
    Other,
}

enum Token<'a> {
    Word(&'a [u8]),
    Sign(u8),
    Text,
    LineEnd,
}

/// Calls `found` with every imported module as it is written: `import os.path, re` gives two, `from .a import (b, c)`
/// gives `.a`.
pub fn each(source: &[u8], found: &mut dyn FnMut(String)) {
    let mut tokens = Tokens { source, at: 0, depth: 0 };
    let mut statement = Statement::Fresh;
    while let Some(token) = tokens.next() {
        let ends = match token {
            Token::LineEnd => true,
            Token::Sign(b';' | b':') => tokens.depth == 0,
            _ => false,
        };
        statement = if ends { finish(statement, found) } else { proceed(statement, token, found) };
    }
    finish(statement, found);
}

fn proceed(statement: Statement, token: Token, found: &mut dyn FnMut(String)) -> Statement {
    match (statement, token) {
        (Statement::Fresh, Token::Word(b"import")) => Statement::Import(String::new()),
        (Statement::Fresh, Token::Word(b"from")) => Statement::From(String::new()),
        (Statement::From(name), Token::Word(b"import")) => {
            report(name, found);
            Statement::Other
        }
        (Statement::Import(name), Token::Word(b"as")) => {
            report(name, found);
            Statement::Renamed
        }
        (Statement::Import(name), Token::Sign(b',')) => {
            report(name, found);
            Statement::Import(String::new())
        }
        (Statement::Renamed, Token::Word(_)) => Statement::Renamed,
        (Statement::Renamed, Token::Sign(b',')) => Statement::Import(String::new()),
        (Statement::Import(name), Token::Word(word)) => Statement::Import(name + &String::from_utf8_lossy(word)),
        (Statement::Import(name), Token::Sign(b'.')) => Statement::Import(name + "."),
        (Statement::From(name), Token::Word(word)) => Statement::From(name + &String::from_utf8_lossy(word)),
        (Statement::From(name), Token::Sign(b'.')) => Statement::From(name + "."),
        _ => Statement::Other,
    }
}

fn finish(statement: Statement, found: &mut dyn FnMut(String)) -> Statement {
    if let Statement::Import(name) = statement {
        report(name, found);
    }
    Statement::Fresh
}

fn report(name: String, found: &mut dyn FnMut(String)) {
    if !name.is_empty() {
        found(name);
    }
}

struct Tokens<'a> {
    source: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = self.peek(0)?;
            match byte {
                b'#' => self.skip_while(|byte| byte != b'\n'),
                b'\\' => self.join_lines(),
                b'\n' | b'\r' => {
                    self.at += 1;
                    if self.depth == 0 {
                        return Some(Token::LineEnd);
                    }
                }
                b'"' | b'\'' => return Some(self.text(byte)),
                _ if is_word(byte) => return Some(self.word()),
                b' ' | b'\t' | b'\x0c' => self.at += 1,
                _ => return Some(self.sign(byte)),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).map_or(false, &wanted) {
            self.at += 1;
        }
    }

    /// A backslash, with the line end that it hides.
    fn join_lines(&mut self) {
        let windows = self.peek(1) == Some(b'\r') && self.peek(2) == Some(b'\n');
        self.at = (self.at + if windows { 3 } else { 2 }).min(self.source.len());
    }

    fn sign(&mut self, byte: u8) -> Token<'a> {
        self.at += 1;
        match byte {
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        Token::Sign(byte)
    }

    /// A name, a keyword or a number; the prefix of a string is a part of the string.
    fn word(&mut self) -> Token<'a> {
        let start = self.at;
        self.skip_while(is_word);
        let word = &self.source[start..self.at];
        match self.peek(0) {
            Some(quote @ (b'"' | b'\'')) if is_prefix(word) => self.text(quote),
            _ => Token::Word(word),
        }
    }

    /// A string in one pair of quotes or three; `at` is its first quote. A backslash guards the next byte, in raw
    /// strings too.
    fn text(&mut self, quote: u8) -> Token<'a> {
        let long = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if long { 3 } else { 1 };
        while let Some(byte) = self.peek(0) {
            let closes = byte == quote && (!long || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote)));
            if closes {
                self.at += if long { 3 } else { 1 };
                break;
            }
            match byte {
                b'\\' => self.join_lines(),
                b'\n' if !long => break,
                _ => self.at += 1,
            }
        }
        Token::Text
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_prefix(word: &[u8]) -> bool {
    word.len() <= 2 && word.iter().all(|byte| b"rRbBuUfFtT".contains(byte))
}
