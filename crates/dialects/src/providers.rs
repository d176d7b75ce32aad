//! Providers that this project knows by name: facts, in `providers.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::Dialect;

/// How a provider wants its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `authorization: Bearer KEY`
    #[default]
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
    /// `api-key: KEY` (Azure)
    ApiKey,
    None,
}

impl Auth {
    /// Header name and the text before the key.
    pub const fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Auth::Bearer => Some(("authorization", "Bearer ")),
            Auth::XApiKey => Some(("x-api-key", "")),
            Auth::ApiKey => Some(("api-key", "")),
            Auth::None => None,
        }
    }
}

/// Where a provider differs from its dialect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Understands `stream_options.include_usage`.
    pub stream_options: bool,
    /// The name of the output limit: `max_tokens` or `max_completion_tokens`;
    /// `None` leaves what the client wrote.
    pub max_tokens_field: Option<String>,
    /// Takes sampling fields beyond OpenAI's: `top_k`, `min_p`, `repetition_penalty`.
    pub extended_sampling: bool,
    /// Understands `reasoning_effort`.
    pub reasoning_effort: bool,
    /// Reads back `reasoning_content` on assistant messages.
    pub reasoning_content: bool,
    /// What to send where the dialect demands a limit and the client gave none (Anthropic).
    pub max_tokens_default: u32,
}

impl Default for Quirks {
    fn default() -> Quirks {
        Quirks {
            stream_options: true,
            max_tokens_field: None,
            extended_sampling: false,
            reasoning_effort: true,
            reasoning_content: false,
            max_tokens_default: 4096,
        }
    }
}

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The key of its table.
    #[serde(skip)]
    pub name: String,
    /// For people.
    pub title: String,
    /// `openai` or `anthropic`.
    pub family: Family,
    /// Without a trailing slash; paths such as `/chat/completions` follow.
    pub base_url: String,
    #[serde(default)]
    pub auth: Auth,
    /// The environment variable its key usually sits in.
    #[serde(default)]
    pub key_env: Option<String>,
    /// Headers that each request needs, such as `anthropic-version`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Paths that differ, by dialect name.
    #[serde(default)]
    pub paths: BTreeMap<String, String>,
    /// A fixed query, without `?` (Azure's `api-version=...`).
    #[serde(default)]
    pub query: Option<String>,
    /// The dialects it serves beyond the family's chat: `openai-completions`, `openai-embeddings`, `rerank`.
    #[serde(default)]
    pub serves: Vec<String>,
    #[serde(default)]
    pub quirks: Quirks,
}

/// Which family of dialects a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Openai,
    Anthropic,
}

impl Provider {
    /// The dialect in which its chat models are asked.
    pub const fn chat_dialect(&self) -> Dialect {
        match self.family {
            Family::Openai => Dialect::OpenaiChat,
            Family::Anthropic => Dialect::AnthropicMessages,
        }
    }
    /// Whether it has an endpoint for the dialect.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        dialect == self.chat_dialect() || self.serves.iter().any(|s| s == dialect.name())
    }
    /// What follows the base URL, query included.
    pub fn path(&self, dialect: Dialect) -> String {
        let plain = match dialect {
            Dialect::OpenaiChat => "/chat/completions",
            Dialect::OpenaiCompletions => "/completions",
            Dialect::OpenaiEmbeddings => "/embeddings",
            Dialect::AnthropicMessages => "/messages",
            Dialect::Rerank => "/rerank",
        };
        let path = self.paths.get(dialect.name()).map_or(plain, String::as_str);
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_string(),
        }
    }
}

/// The table, in alphabetic order of the name.
pub fn all() -> &'static [Provider] {
    static TABLE: OnceLock<Vec<Provider>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let table: BTreeMap<String, Provider> =
            toml::from_str(include_str!("../providers.toml")).expect("a test loads providers.toml");
        table.into_iter().map(|(name, provider)| Provider { name, ..provider }).collect()
    })
}

/// The provider of that name.
pub fn by_name(name: &str) -> Option<&'static Provider> {
    let table = all();
    table.binary_search_by(|p| p.name.as_str().cmp(name)).ok().map(|i| &table[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_loads_and_says_only_what_can_be() {
        for p in all() {
            assert!(p.base_url.starts_with("http") && !p.base_url.ends_with('/'), "{}", p.name);
            assert!(
                p.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                p.name
            );
            let dialects: Vec<&str> = Dialect::ALL.iter().map(|d| d.name()).collect();
            for name in p.serves.iter().chain(p.paths.keys()) {
                assert!(dialects.contains(&name.as_str()), "{}: {name}", p.name);
            }
            assert!(p.key_env.is_none() || p.auth != Auth::None, "{}", p.name);
        }
        for name in [
            "anthropic",
            "azure-openai",
            "deepseek",
            "groq",
            "llama-server",
            "mistral",
            "ollama",
            "openai",
            "openrouter",
            "sglang",
            "together",
            "vllm",
        ] {
            assert!(by_name(name).is_some(), "{name}");
        }
        assert!(by_name("groqq").is_none());
    }

    #[test]
    fn the_file_is_alphabetic() {
        let text = include_str!("../providers.toml");
        let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix('[')?.strip_suffix(']')).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn a_path_carries_the_fixed_query() {
        let azure = by_name("azure-openai").expect("there");
        assert_eq!(azure.path(Dialect::OpenaiChat), "/chat/completions?api-version=2024-10-21");
        assert_eq!(azure.auth.header(), Some(("api-key", "")));
        let anthropic = by_name("anthropic").expect("there");
        assert!(anthropic.speaks(Dialect::AnthropicMessages) && !anthropic.speaks(Dialect::OpenaiChat));
    }
}
