//! Steps 1 and 2: the body is read under its limit, and its envelope scanned.
//!
//! One pass over the bytes finds the few fields that admission and routing
//! need. The whole request is only decoded if a target speaks another dialect.

use std::cell::OnceCell;

use bytes::Bytes;
use dialects::{Decoded, Dialect, Envelope, Extension};
use net::server::Request;
use report::Report;

use crate::account::Arrival;

/// A request as the client wrote it, and what was read of it.
pub(crate) struct Asked {
    pub dialect: Dialect,
    pub body: Bytes,
    pub envelope: Envelope,
    /// What the client asks of us alone; it is not in the body any more.
    pub extension: Extension,
    decoded: OnceCell<Decoded>,
    /// The decoded request is not what the client wrote any more.
    rewritten: bool,
    /// Fields that a guard's rewriting left out.
    left_out: Vec<String>,
}

pub(crate) async fn decode(arrival: &mut Arrival, request: Request) -> Result<Asked, Report> {
    let mut body = read(arrival, request).await?;
    let from = runtime::clock::monotonic_us();
    let mut envelope = dialects::scan(&body).map_err(Report::from)?;
    let mut extension = Extension::default();
    if let Some((asked, rest)) = dialects::extension::take(&body, &envelope).map_err(Report::from)? {
        envelope = dialects::scan(&rest).map_err(Report::from)?;
        (extension, body) = (asked, rest);
    }
    if arrival.surface.dialect() == Dialect::OpenaiChat
        && let Some((wanted, rest)) = dialects::file_search::take(&body, &envelope).map_err(Report::from)?
    {
        if extension.retrieve.is_some() {
            return Err(Report::new("DI0004", "what to retrieve is said twice")
                .at("bedplate.retrieve")
                .because("the tool file_search says it too")
                .hint("keep one of them"));
        }
        envelope = dialects::scan(&rest).map_err(Report::from)?;
        (extension.retrieve, body) = (wanted, rest);
    }
    let converses = matches!(arrival.surface.dialect(), Dialect::OpenaiChat | Dialect::AnthropicMessages);
    if extension != Extension::default() && !converses {
        return Err(Report::new(
            "DI0004",
            "what was written or said elsewhere goes only before a chat's question",
        )
        .at("bedplate")
        .hint("ask /v1/chat/completions or /v1/messages"));
    }
    arrival.step("decode", from, String::new());
    Ok(Asked::new(arrival.surface.dialect(), body, envelope, extension))
}

/// A request that the gateway wrote itself.
pub(crate) fn written(arrival: &mut Arrival, body: Bytes) -> Result<Asked, Report> {
    commit(arrival, &body);
    let envelope = dialects::scan(&body).map_err(Report::from)?;
    Ok(Asked::new(arrival.surface.dialect(), body, envelope, Extension::default()))
}

/// The body's bytes, at most the gateway's limit.
pub(crate) async fn read(arrival: &mut Arrival, request: Request) -> Result<Bytes, Report> {
    let from = runtime::clock::monotonic_us();
    // An absent type is taken for JSON, as the field's servers do; another type is not.
    if let Some(kind) = request.header(net::header::CONTENT_TYPE) {
        let media = kind.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(Report::new("GW0003", format!("the body is {media:.80}, not application/json"))
                .hint("send `content-type: application/json`"));
        }
    }
    let limit = request.body.limit();
    let body = request.body.read_all(limit).await.map_err(|error| match error {
        net::Error::TooLarge { limit, declared } => {
            let size = declared.map_or_else(|| format!("over {limit} bytes"), |n| format!("{n} bytes"));
            Report::new("GW0004", format!("the body is {size}; the limit is {limit} bytes"))
        }
        other => Report::new("DI0001", "the body did not arrive whole").because(other.to_string()),
    })?;
    commit(arrival, &body);
    arrival.step("receive", from, String::new());
    Ok(body)
}

/// Takes down how long the body is, and a commitment to it.
fn commit(arrival: &mut Arrival, body: &[u8]) {
    arrival.request_bytes = body.len() as u64;
    arrival.request = arrival.salts.as_ref().map(|salts| {
        let mut commitment = salts.begin(arrival.id, audit::Part::Request);
        commitment.update(body);
        commitment.finish()
    });
}

impl Asked {
    fn new(dialect: Dialect, body: Bytes, envelope: Envelope, extension: Extension) -> Asked {
        let decoded = OnceCell::new();
        Asked { dialect, body, envelope, extension, decoded, rewritten: false, left_out: Vec::new() }
    }

    /// The whole request, decoded once.
    pub fn decoded(&self) -> Result<&Decoded, Report> {
        if let Some(decoded) = self.decoded.get() {
            return Ok(decoded);
        }
        let decoded = dialects::decode_request(self.dialect, &self.body).map_err(Report::from)?;
        Ok(self.decoded.get_or_init(|| decoded))
    }

    /// Changes what targets are asked. From here on the client's own bytes go nowhere.
    ///
    /// # Errors
    /// As [`Asked::decoded`].
    pub fn rewrite<T>(&mut self, edit: impl FnOnce(&mut chat::Request) -> T) -> Result<T, Report> {
        self.decoded()?;
        let decoded = self.decoded.get_mut().expect("decoded a line above");
        self.rewritten = true;
        Ok(edit(&mut decoded.request))
    }

    /// Whether a target of the client's dialect gets the client's bytes.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// The body that guards made of it takes the place of the client's.
    pub fn replace(&mut self, body: Bytes, left_out: Vec<String>) -> Result<(), Report> {
        self.envelope = dialects::scan(&body).map_err(Report::from)?;
        (self.body, self.left_out) = (body, left_out);
        self.decoded = OnceCell::new();
        Ok(())
    }

    /// The fields that no target is told, because guards could not read them.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The parameters that the local engine is not told: it takes canonical requests only (TRAPS S2).
    pub fn unheard(&self) -> Vec<String> {
        let Some(decoded) = self.decoded.get() else { return Vec::new() };
        let rest = decoded.rest.iter().map(|(name, _)| name.clone());
        rest.chain(decoded.lost.iter().cloned()).chain(self.left_out.iter().cloned()).collect()
    }

    /// A guess of the prompt's tokens that rather overstates: three bytes of
    /// text to a token (English has about four), and four for the frame of each
    /// message, whose number is not known here.
    pub fn input_tokens_estimate(&self) -> u64 {
        self.envelope.text_bytes as u64 / 3 + 16
    }

    /// What no tokenizer exceeds: a token to each byte of text (byte fallback at
    /// its worst), and one to eight bytes of anything inline (an image of
    /// 400 KB counts as 50,000, twice the dearest there is).
    pub fn input_tokens_max(&self) -> u64 {
        let text = self.envelope.text_bytes as u64;
        text + (self.envelope.body_len as u64).saturating_sub(text) / 8 + 16
    }

    pub fn tier(&self) -> chat::Tier {
        match self.envelope.service_tier.as_deref() {
            None | Some("default" | "standard" | "standard_only") => chat::Tier::Standard,
            Some("auto") => chat::Tier::Auto,
            Some("flex") => chat::Tier::Flex,
            Some("priority") => chat::Tier::Priority,
            Some("batch") => chat::Tier::Batch,
            Some(other) => chat::Tier::Other(other.into()),
        }
    }
}
