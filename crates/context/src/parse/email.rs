//! One e-mail as its reader shows it: who, when, about what, and the body that is displayed.

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

use super::build::Builder;
use super::{Error, Format, Kind, Why, html, plain};

/// Messages within each other.
const NESTED_MAX: usize = 8;
/// Addresses and attachments that are named.
const NAMED_MAX: usize = 50;

pub(super) fn read(bytes: &[u8], builder: &mut Builder<'_>) -> Result<(), Error> {
    let malformed = || Error::Malformed { format: Format::Email, line: 1, why: "no header is there".into() };
    let message = MessageParser::default().parse(bytes).ok_or_else(malformed)?;
    if message.from().is_none() && message.subject().is_none() && message.date().is_none() {
        return Err(malformed());
    }
    show(&message, builder, 0)
}

fn show(message: &Message<'_>, builder: &mut Builder<'_>, depth: usize) -> Result<(), Error> {
    if depth > NESTED_MAX.min(builder.limits.depth) {
        return Err(Error::TooDeep { max: NESTED_MAX });
    }
    // Bodies are decoded: no position is the document's.
    builder.sources(None);
    header(message, builder)?;
    // What is displayed is HTML where there is some; the plain text beside it is not seen.
    for part in message.html_bodies() {
        match &part.body {
            PartType::Html(text) => html::read(text, builder)?,
            PartType::Text(text) => plain::paragraphs(text, builder)?,
            _ => {}
        }
    }
    if message.html_bodies().any(|part| matches!(part.body, PartType::Html(_))) {
        for part in message.text_bodies() {
            if let PartType::Text(text) = &part.body {
                builder.hide(Why::Alternative, text, 0..0);
            }
        }
    }
    for part in message.attachments() {
        if let PartType::Message(inner) = &part.body {
            show(inner, builder, depth + 1)?;
        }
    }
    Ok(())
}

fn header(message: &Message<'_>, builder: &mut Builder<'_>) -> Result<(), Error> {
    let mut lines = Vec::new();
    for (name, address) in [("From", message.from()), ("To", message.to()), ("Cc", message.cc())] {
        if let Some(address) = address {
            lines.push(format!("{name}: {}", people(address)));
        }
    }
    if let Some(date) = message.date() {
        lines.push(format!("Date: {}", date.to_rfc3339()));
    }
    if let Some(subject) = message.subject() {
        builder.title(subject);
        lines.push(format!("Subject: {subject}"));
    }
    let attached: Vec<&str> =
        message.attachments().filter_map(|part| part.attachment_name()).take(NAMED_MAX).collect();
    if !attached.is_empty() {
        lines.push(format!("Attachments: {}", attached.join(", ")));
    }
    builder.block(Kind::Header, &lines.join("\n"), 0..0)
}

fn people(address: &Address<'_>) -> String {
    let shown = address.iter().take(NAMED_MAX).map(|person| match (&person.name, &person.address) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => String::new(),
    });
    shown.collect::<Vec<_>>().join(", ")
}
