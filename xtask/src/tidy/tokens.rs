//! Rust sources as tokens: identifiers, string literals and paths, without comments and tests.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A word of a source file and the line that it is on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: usize,
}

/// What a source file consists of, as far as the checks need it.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Every identifier, in the order of the file.
    pub(super) identifiers: Vec<Word>,
    /// The content of every string literal, escapes and all; documentation comments are not among
    /// them.
    pub(super) strings: Vec<Word>,
    /// Every path of at least two segments, of expressions, types and `use` declarations alike:
    /// `use a::{b, c::d}` is the paths `a::b` and `a::c::d`.
    pub(super) paths: Vec<Vec<String>>,
    /// The names that `use` declarations bring in, with their paths: `use a::b as c` is `c` and
    /// `a::b`.
    pub(super) imports: Vec<(String, Vec<String>)>,
}

impl Tokens {
    /// Reads a source file. Items under `#[cfg(test)]` are left out where `with_tests` is false.
    ///
    /// # Errors
    ///
    /// The text is not Rust.
    pub(super) fn of(text: &str, with_tests: bool) -> Result<Self, proc_macro2::LexError> {
        let mut tokens = Self::default();
        tokens.walk(TokenStream::from_str(text)?, with_tests);
        Ok(tokens)
    }

    fn walk(&mut self, stream: TokenStream, with_tests: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            if let Some(end) = attribute_end(&trees, at) {
                let attribute = trees.get(end - 1).map(ToString::to_string).unwrap_or_default();
                if !with_tests && attribute.replace(' ', "") == "[cfg(test)]" {
                    at = item_end(&trees, end);
                } else {
                    self.attribute(&trees, end - 1, with_tests);
                    at = end;
                }
                continue;
            }
            at = match tree {
                TokenTree::Ident(word) if word == "use" => self.use_declaration(&trees, at + 1),
                TokenTree::Ident(_) => self.path(&trees, at),
                TokenTree::Literal(literal) => {
                    self.literal(literal);
                    at + 1
                }
                TokenTree::Group(group) => {
                    self.walk(group.stream(), with_tests);
                    at + 1
                }
                TokenTree::Punct(_) => at + 1,
            };
        }
    }

    /// Strings of attributes count (`reason = "..."`), those of `#[doc = "..."]` do not.
    fn attribute(&mut self, trees: &[TokenTree], at: usize, with_tests: bool) {
        let Some(TokenTree::Group(group)) = trees.get(at) else { return };
        let is_doc =
            matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc");
        if !is_doc {
            self.walk(group.stream(), with_tests);
        }
    }

    fn literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        if text.contains('"') {
            self.strings.push(Word { text, line: literal.span().start().line });
        }
    }

    /// The path that begins here; answers where it ends.
    fn path(&mut self, trees: &[TokenTree], mut at: usize) -> usize {
        let mut segments = Vec::new();
        while let Some(TokenTree::Ident(word)) = trees.get(at) {
            self.identifiers.push(Word { text: word.to_string(), line: word.span().start().line });
            segments.push(word.to_string());
            at += 1;
            if !is_colons(trees, at) {
                break;
            }
            at += 2;
        }
        if segments.len() > 1 {
            self.paths.push(segments);
        }
        at
    }

    fn use_declaration(&mut self, trees: &[TokenTree], at: usize) -> usize {
        let end = (at..trees.len())
            .find(|at| matches!(&trees[*at], TokenTree::Punct(mark) if mark.as_char() == ';'))
            .unwrap_or(trees.len());
        // `use<'a>` of a return type is no declaration.
        if matches!(trees.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == '<') {
            return at;
        }
        self.use_tree(&trees[at..end], &[]);
        end + 1
    }

    fn use_tree(&mut self, trees: &[TokenTree], prefix: &[String]) {
        let parts = trees.split(|tree| matches!(tree, TokenTree::Punct(mark) if mark.as_char() == ','));
        for part in parts {
            let mut path = prefix.to_vec();
            let mut name = None;
            let mut renamed = false;
            for tree in part {
                match tree {
                    TokenTree::Ident(word) if word == "as" => renamed = true,
                    TokenTree::Ident(word) => {
                        self.identifiers
                            .push(Word { text: word.to_string(), line: word.span().start().line });
                        name = Some(word.to_string());
                        if !renamed {
                            path.push(word.to_string());
                        }
                    }
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.use_tree(&inner, &path);
                        name = None;
                    }
                    TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            let Some(name) = name else { continue };
            if path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name };
            self.imports.push((name, path.clone()));
            self.paths.push(path);
        }
    }
}

fn is_colons(trees: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(trees.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// Where the attribute that begins here ends: after its brackets.
fn attribute_end(trees: &[TokenTree], at: usize) -> Option<usize> {
    let mark = |at: usize, mark: char| matches!(trees.get(at), Some(TokenTree::Punct(found)) if found.as_char() == mark);
    if !mark(at, '#') {
        return None;
    }
    let brackets = if mark(at + 1, '!') { at + 2 } else { at + 1 };
    let is_group = matches!(trees.get(brackets), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket);
    is_group.then_some(brackets + 1)
}

/// Where the item that begins here ends: after its braces or its semicolon.
fn item_end(trees: &[TokenTree], mut at: usize) -> usize {
    while let Some(tree) = trees.get(at) {
        at += 1;
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at,
            TokenTree::Punct(mark) if mark.as_char() == ';' => return at,
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_imports_and_strings_are_found_and_tests_left_out() {
        let text = r#"
            use crate::{a::X, b::{self, Y as Z}};
            /// "not a string"
            fn f() { b::g("said"); let _ = super::c::H; }
            #[cfg(test)]
            mod tests { use crate::d::T; const S: &str = "tests"; }
        "#;
        let tokens = Tokens::of(text, false).unwrap();
        let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        for expected in ["crate::a::X", "crate::b", "crate::b::Y", "b::g", "super::c::H"] {
            assert!(tokens.paths.contains(&path(expected)), "{expected}: {:?}", tokens.paths);
        }
        assert!(!tokens.paths.contains(&path("crate::d::T")));
        assert!(tokens.imports.contains(&("Z".into(), path("crate::b::Y"))));
        assert_eq!(tokens.strings, [Word { text: "\"said\"".into(), line: 4 }]);
        assert!(Tokens::of(text, true).unwrap().paths.contains(&path("crate::d::T")));
    }
}
