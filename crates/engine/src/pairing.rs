//! How a query and a document become one text for a model that ranks.

use gguf::Header;
use scheduler::Token;

use crate::Error;
use crate::llama::Model;

/// What stands around and between the two texts.
#[derive(Debug, PartialEq)]
pub(crate) struct Pairing {
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Fixed(Vec<Token>),
    Query,
    Document,
}

impl Pairing {
    /// By the model's own template for it, or as its tokenizer frames a pair:
    /// `[CLS] query [SEP] document [SEP]` of BERT, `<s> query </s></s> document
    /// </s>` of RoBERTa. Control tokens come from here alone, never from the
    /// texts (TRAPS X6).
    pub(crate) fn of(header: &Header, model: &Model) -> Result<Pairing, Error> {
        if let Some(template) = header.text("tokenizer.chat_template.rerank") {
            return Pairing::of_template(template, |text| model.tokenize(text, false, true));
        }
        let marks = model.pair_marks();
        let ends = [marks.eos, marks.sep];
        let between: Vec<Token> = match ends.iter().flatten().copied().collect::<Vec<_>>() {
            none if none.is_empty() => marks.any_end.into_iter().collect(),
            some => some,
        };
        let last = marks.eos.or(marks.sep).or(marks.any_end);
        let fixed = |tokens: Vec<Token>| (!tokens.is_empty()).then_some(Piece::Fixed(tokens));
        let pieces = [
            fixed(model.wants_bos().into_iter().collect()),
            Some(Piece::Query),
            fixed(between),
            Some(Piece::Document),
            fixed(last.into_iter().collect()),
        ];
        Ok(Pairing { pieces: pieces.into_iter().flatten().collect() })
    }

    fn of_template(
        template: &str,
        tokenize: impl Fn(&str) -> Result<Vec<Token>, Error>,
    ) -> Result<Pairing, Error> {
        let mut pieces = Vec::new();
        let mut rest = template;
        loop {
            let next = [("{query}", true), ("{document}", false)]
                .into_iter()
                .filter_map(|(name, is_query)| Some((rest.find(name)?, name.len(), is_query)))
                .min();
            let (at, length, is_query) = match next {
                Some(found) => found,
                None => break,
            };
            if at > 0 {
                pieces.push(Piece::Fixed(tokenize(&rest[..at])?));
            }
            pieces.push(if is_query { Piece::Query } else { Piece::Document });
            rest = &rest[at + length..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Fixed(tokenize(rest)?));
        }
        match pieces.contains(&Piece::Query) && pieces.contains(&Piece::Document) {
            true => Ok(Pairing { pieces }),
            false => Err(Error::Failed("its template for ranking names no query or no document".into())),
        }
    }

    pub(crate) fn pair(&self, query: &[Token], document: &[Token]) -> Vec<Token> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Fixed(tokens) => tokens,
            Piece::Query => query,
            Piece::Document => document,
        });
        pieces.flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_in_one_pass() {
        let tokenize = |text: &str| Ok(text.bytes().map(Token::from).collect());
        let pairing = Pairing::of_template("a{document}b{query}c", tokenize).expect("it names both");
        // What a text says about placeholders is text.
        assert_eq!(pairing.pair(&[1, 2], &[3]), [97, 3, 98, 1, 2, 99]);
        assert!(Pairing::of_template("{query} alone", tokenize).is_err());
    }
}
