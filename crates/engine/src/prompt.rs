//! From a request to tokens and settings, or to the reason why not.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use chat::{Format, Message, Part, Reasoning, Request, Role, ToolChoice};
use constrain::Vocabulary;
use scheduler::{Constraint, Sampling, Token};
use serde_json::{Map, Value as Json, json};
use units::Micros;

use crate::llama::Model;
use crate::parse::{Family, SplitOptions, Think};
use crate::template::{Input, Template};
use crate::{Error, structured};

/// What a model file says about drawing its tokens (`general.sampling.*`), or
/// the usual values of small models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SamplingDefaults {
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub repetition: f32,
}

impl SamplingDefaults {
    pub(crate) fn of(header: &gguf::Header) -> SamplingDefaults {
        let number = |key: &str, otherwise: f64| {
            let value = header.get(&format!("general.sampling.{key}")).and_then(gguf::Value::as_f64);
            value.filter(|v| v.is_finite() && *v >= 0.0).unwrap_or(otherwise) as f32
        };
        SamplingDefaults {
            temperature: number("temp", 0.8),
            top_k: number("top_k", 0.0) as u32,
            top_p: number("top_p", 1.0),
            min_p: number("min_p", 0.05),
            repetition: number("penalty_repeat", 1.0).max(0.01),
        }
    }
}

/// A rendered prompt.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub text: String,
    pub tokens: Vec<Token>,
    pub split: SplitOptionsSeed,
    /// So many tokens at its beginning are the operator's.
    pub pin: u32,
    /// What the answer is held to.
    pub constraint: Option<Box<dyn Constraint>>,
}

/// What the splitters of the choices will look for.
#[derive(Clone, Debug, Default)]
pub(crate) struct SplitOptionsSeed(SplitOptions);

impl SplitOptionsSeed {
    pub(crate) fn options(self, id_prefix: String) -> SplitOptions {
        SplitOptions { id_prefix, ..self.0 }
    }
}

/// What prompts are made with.
pub(crate) struct Prompter {
    template: Template,
    /// Texts of the model's control tokens, and the characters they begin with.
    control: Vec<String>,
    starts: BTreeSet<char>,
    /// Built when the first answer is held to something: a second for 150,000 tokens.
    vocabulary: OnceLock<Result<Vocabulary, constrain::Error>>,
    /// The tokens of operators' messages as they were rendered; the newest last.
    leads: Mutex<Vec<(String, Arc<[Token]>)>>,
}

/// Operators' prompts whose tokens are kept: each feature has one, of 8,000 tokens at most.
const LEADS_MAX: usize = 64;

/// Texts of control tokens in a user's words stay words: each is put between
/// two of these before the template sees it, and tokenized apart (TRAPS X6).
const MARKS: std::ops::Range<u32> = 0xf_0000..0xf_0040;

impl Prompter {
    pub(crate) fn new(template: Template, control: Vec<String>) -> Prompter {
        let starts = control.iter().filter_map(|t| t.chars().next()).collect();
        Prompter { template, control, starts, vocabulary: OnceLock::new(), leads: Mutex::default() }
    }

    /// Compiles what the answer must be, before anything is admitted.
    fn constraint(
        &self,
        model: &Model,
        request: &Request,
        family: Family,
        think: Think,
    ) -> Result<Option<Box<dyn Constraint>>, Error> {
        if !structured::asks(request) {
            return Ok(None);
        }
        let vocabulary = self.vocabulary.get_or_init(|| {
            let (pieces, ends) = model.grammar_pieces();
            Vocabulary::new(pieces, &ends)
        });
        let vocabulary = vocabulary.as_ref().map_err(|e| Error::Failed(e.to_string()))?;
        structured::constraint(request, family, think, vocabulary).map(Some)
    }

    /// A chat, through the template.
    pub(crate) fn chat(&self, model: &Model, request: &Request, now: Micros) -> Result<Prompt, Error> {
        refuse_unsupported(request)?;
        let with_tools = with_tools(request);
        let (text, mark) = self.render(request, now)?;
        let tokens = self.tokenize(model, &text, mark)?;
        let family = self.template.family();
        let (open, close) = family.think();
        let thinking = self.template.mentions(open);
        let opened = thinking && text.trim_end().ends_with(open);
        let off = request.reasoning == Some(Reasoning::Off) || text.trim_end().ends_with(close);
        let think = match (opened, thinking && !off) {
            (true, _) => Think::Opened,
            (false, true) => Think::Maybe,
            _ => Think::Never,
        };
        let split = SplitOptionsSeed(SplitOptions {
            family,
            thinking,
            starts_thinking: opened,
            tools: if with_tools { structured::known(request) } else { Arc::default() },
            one_call: request.parallel_tool_calls == Some(false),
            json: request.format != Format::Text,
            id_prefix: String::new(),
        });
        let constraint = self.constraint(model, request, family, think)?;
        Ok(Prompt { text, tokens, split, pin: 0, constraint })
    }

    /// How many tokens of a prompt come from its first `count` messages: as many as it
    /// has in common with those alone. None where the template takes no such chat.
    pub(crate) fn lead(
        &self,
        model: &Model,
        request: &Request,
        count: usize,
        tokens: &[Token],
        now: Micros,
    ) -> u32 {
        let messages = request.messages.iter().take(count).cloned().collect();
        // Without tools, which are the client's: they end what is alike.
        let alone = Request { messages, reasoning: request.reasoning.clone(), ..Request::default() };
        let lead = self.render(&alone, now).and_then(|(text, mark)| self.lead_tokens(model, text, mark));
        let Ok(lead) = lead else { return 0 };
        tokens.iter().zip(&*lead).take_while(|(a, b)| a == b).count() as u32
    }

    /// Tokenizes 10 KB in about a millisecond, so the last ones are kept.
    fn lead_tokens(&self, model: &Model, text: String, mark: char) -> Result<Arc<[Token]>, Error> {
        let lock = || self.leads.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, tokens)) = lock().iter().find(|(known, _)| *known == text) {
            return Ok(Arc::clone(tokens));
        }
        let tokens: Arc<[Token]> = self.tokenize(model, &text, mark)?.into();
        let mut leads = lock();
        if leads.len() >= LEADS_MAX {
            leads.remove(0);
        }
        leads.push((text, Arc::clone(&tokens)));
        Ok(tokens)
    }

    /// A chat as the template writes it, and the character around what must stay words in it.
    fn render(&self, request: &Request, now: Micros) -> Result<(String, char), Error> {
        let with_tools = with_tools(request);
        if with_tools && !self.template.mentions("tools") {
            return Err(unsupported("this model's chat template has no tools"));
        }
        let mark = self.unused_mark(request)?;
        let messages = messages(request, &|text| self.guard(text, mark))?;
        let tools = if with_tools { Some(tools(request, &|text| self.guard(text, mark))?) } else { None };
        let size = |list: &[Json]| list.iter().map(|m| m.to_string().len()).sum::<usize>();
        let input = Input {
            messages: &messages,
            tools: tools.as_deref(),
            thinking: matches!(request.reasoning, Some(Reasoning::Off)).then_some(false),
            effort: match &request.reasoning {
                Some(Reasoning::Effort(effort)) => Some(effort),
                _ => None,
            },
            now,
            bytes: size(&messages) + tools.as_deref().map_or(0, size),
        };
        Ok((self.template.render(&input)?, mark))
    }

    /// A legacy completion: the texts of the messages, as they are.
    pub(crate) fn completion(&self, model: &Model, request: &Request) -> Result<Prompt, Error> {
        refuse_unsupported(request)?;
        if request.suffix.as_ref().is_some_and(|s| !s.is_empty()) {
            return Err(unsupported("text after the hole (`suffix`) is not supported"));
        }
        let mut text = String::new();
        for message in &request.messages {
            for part in &message.parts {
                match part {
                    Part::Text(t) => text.push_str(t),
                    _ => return Err(unsupported("a completion's prompt is text only")),
                }
            }
        }
        let tokens = model.tokenize(&text, true, true)?;
        if tokens.is_empty() {
            return Err(unsupported("the prompt is empty"));
        }
        let constraint = self.constraint(model, request, Family::Unknown, Think::Never)?;
        Ok(Prompt { text, tokens, split: SplitOptionsSeed::default(), pin: 0, constraint })
    }

    fn unused_mark(&self, request: &Request) -> Result<char, Error> {
        let mut texts: Vec<&str> =
            request.messages.iter().flat_map(|m| &m.parts).flat_map(texts_of).collect();
        texts.extend(request.messages.iter().filter_map(|m| m.name.as_deref()));
        for tool in &request.tools {
            texts.extend(
                [Some(&tool.name), tool.description.as_ref(), tool.parameters.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(String::as_str),
            );
        }
        MARKS
            .filter_map(char::from_u32)
            .find(|mark| !texts.iter().any(|t| t.contains(*mark)))
            .ok_or_else(|| unsupported("the messages use all private characters"))
    }

    /// Puts the texts of control tokens between marks.
    fn guard(&self, text: &str, mark: char) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        'next: while let Some(c) = rest.chars().next() {
            if self.starts.contains(&c) {
                let found =
                    self.control.iter().filter(|t| rest.starts_with(t.as_str())).max_by_key(|t| t.len());
                if let Some(token) = found {
                    out.push(mark);
                    out.push_str(token);
                    out.push(mark);
                    rest = &rest[token.len()..];
                    continue 'next;
                }
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        out
    }

    fn tokenize(&self, model: &Model, text: &str, mark: char) -> Result<Vec<Token>, Error> {
        // Templates write the first token themselves, or leave it to the tokenizer.
        let bos = self.template.bos();
        let whole = bos.is_empty() || !text.starts_with(bos);
        let mut pieces = text.split(mark);
        let mut tokens = model.tokenize(pieces.next().unwrap_or(""), whole, true)?;
        for (i, piece) in pieces.enumerate() {
            let theirs = i % 2 == 0;
            tokens.extend(model.tokenize(piece, false, !theirs)?);
        }
        if tokens.is_empty() {
            return Err(unsupported("the prompt is empty"));
        }
        Ok(tokens)
    }
}

fn with_tools(request: &Request) -> bool {
    !request.tools.is_empty() && request.tool_choice != ToolChoice::None
}

fn texts_of(part: &Part) -> Vec<&str> {
    match part {
        Part::Text(t) | Part::Refusal(t) => vec![t],
        Part::Reasoning { text, .. } => vec![text],
        Part::ToolCall { name, arguments, .. } => vec![name, arguments],
        Part::ToolResult { parts, .. } => parts.iter().flat_map(texts_of).collect(),
        Part::Image(_) => Vec::new(),
    }
}

/// What the local engine cannot keep is refused, not ignored.
fn refuse_unsupported(request: &Request) -> Result<(), Error> {
    let has_image = |m: &Message| {
        m.parts.iter().any(|p| match p {
            Part::Image(_) => true,
            Part::ToolResult { parts, .. } => parts.iter().any(|p| matches!(p, Part::Image(_))),
            _ => false,
        })
    };
    if request.messages.iter().any(has_image) {
        return Err(unsupported("images are not supported by the local engine"));
    }
    structured::check(request)
}

/// The messages as templates know them.
fn messages(request: &Request, guard: &dyn Fn(&str) -> String) -> Result<Vec<Json>, Error> {
    let mut out = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        let (mut text, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
        let mut results = 0;
        for part in &message.parts {
            match part {
                Part::Text(t) | Part::Refusal(t) => text.push_str(&guard(t)),
                Part::Reasoning { text: t, .. } => thinking.push_str(&guard(t)),
                Part::ToolCall { id, name, arguments } => {
                    let arguments = guard(arguments);
                    let arguments =
                        serde_json::from_str::<Json>(&arguments).unwrap_or(Json::String(arguments));
                    let function = json!({"name": guard(name), "arguments": arguments});
                    calls.push(json!({"type": "function", "id": id, "function": function}));
                }
                Part::ToolResult { id, parts, .. } => {
                    let inner: String = parts.iter().flat_map(texts_of).map(guard).collect();
                    out.push(json!({"role": "tool", "tool_call_id": id, "content": inner}));
                    results += 1;
                }
                Part::Image(_) => return Err(unsupported("images are not supported by the local engine")),
            }
        }
        if results > 0 && text.is_empty() && calls.is_empty() {
            continue;
        }
        let mut fields = Map::new();
        fields.insert("role".into(), role.into());
        fields.insert("content".into(), text.into());
        if let Some(name) = &message.name {
            fields.insert("name".into(), guard(name).into());
        }
        if !thinking.is_empty() {
            fields.insert("reasoning_content".into(), thinking.into());
        }
        if !calls.is_empty() {
            fields.insert("tool_calls".into(), calls.into());
        }
        out.push(Json::Object(fields));
    }
    if out.is_empty() {
        return Err(unsupported("there is no message"));
    }
    Ok(out)
}

fn tools(request: &Request, guard: &dyn Fn(&str) -> String) -> Result<Vec<Json>, Error> {
    let tool = |t: &chat::Tool| {
        let parameters: Json = match &t.parameters {
            Some(schema) => serde_json::from_str(&guard(schema)).map_err(|e| {
                unsupported(&format!("the parameters of tool \"{}\" are not JSON: {e}", t.name))
            })?,
            None => json!({"type": "object", "properties": {}}),
        };
        let mut function = Map::new();
        function.insert("name".into(), guard(&t.name).into());
        if let Some(description) = &t.description {
            function.insert("description".into(), guard(description).into());
        }
        function.insert("parameters".into(), parameters);
        Ok(json!({"type": "function", "function": function}))
    };
    request.tools.iter().map(tool).collect()
}

/// The settings of a request, with the model's own for those it leaves open.
/// `entropy` is the seed when none is given.
pub(crate) fn sampling(
    request: &Request,
    defaults: SamplingDefaults,
    n_vocab: u32,
    entropy: u64,
) -> Result<Sampling, Error> {
    let s = &request.sampling;
    let number = |name: &str, value: Option<f32>, otherwise: f32, min: f32, max: f32| match value {
        None => Ok(otherwise),
        Some(v) if v.is_finite() && (min..=max).contains(&v) => Ok(v),
        Some(v) => Err(unsupported(&format!("{name} is {v}; it must be between {min} and {max}"))),
    };
    let mut bias = Vec::with_capacity(s.logit_bias.len());
    for (token, value) in &s.logit_bias {
        if *token >= n_vocab || !value.is_finite() {
            return Err(unsupported(&format!("logit_bias of token {token}: there are {n_vocab} tokens")));
        }
        bias.push((*token, *value));
    }
    if request.logprobs.is_some_and(|k| k > 20) {
        return Err(unsupported("at most 20 log-probabilities are told per token"));
    }
    Ok(Sampling {
        temperature: number("temperature", s.temperature, defaults.temperature, 0.0, 100.0)?,
        top_k: s.top_k.unwrap_or(defaults.top_k),
        top_p: number("top_p", s.top_p, defaults.top_p, 0.0, 1.0)?,
        min_p: number("min_p", s.min_p, defaults.min_p, 0.0, 1.0)?,
        presence: number("presence_penalty", s.presence_penalty, 0.0, -100.0, 100.0)?,
        frequency: number("frequency_penalty", s.frequency_penalty, 0.0, -100.0, 100.0)?,
        repetition: number("repetition_penalty", s.repetition_penalty, defaults.repetition, 0.01, 100.0)?,
        seed: s.seed.map_or(entropy, |seed| seed as u64),
        bias,
        logprobs: request.logprobs,
    })
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported(what.to_owned())
}
