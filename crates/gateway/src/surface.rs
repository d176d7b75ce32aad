//! The doors of the data plane: one line per route.
//!
//! The matched [`Surface`] carries what it requires; nothing later looks at the
//! path again (TRAPS X1).

use dialects::Dialect;
use net::Method;
use policy::Purpose;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Text from a prompt.
    Generate(Dialect),
    /// Vectors from texts.
    Embed,
    /// Documents by how well they answer a query.
    Rerank,
    /// How long a prompt is.
    CountTokens,
    ListModels,
    ShowModel,
    /// Tools, for agents.
    Mcp,
    /// A declared query of a knowledge graph.
    Graph,
}

const ROUTES: [(&str, Surface); 9] = [
    ("/mcp", Surface::Mcp),
    ("/v1/chat/completions", Surface::Generate(Dialect::OpenaiChat)),
    ("/v1/completions", Surface::Generate(Dialect::OpenaiCompletions)),
    ("/v1/embeddings", Surface::Embed),
    ("/v1/messages", Surface::Generate(Dialect::AnthropicMessages)),
    ("/v1/messages/count_tokens", Surface::CountTokens),
    ("/v1/models", Surface::ListModels),
    ("/v1/rerank", Surface::Rerank),
    // Where Cohere's current clients ask.
    ("/v2/rerank", Surface::Rerank),
];

/// What a method and a path lead to. `None`: not a path of the data plane;
/// `Some(Err(allow))`: it is, but takes another method.
pub fn find(method: &Method, path: &str) -> Option<Result<Surface, &'static str>> {
    let surface = match path.strip_prefix("/v1/models/") {
        Some(name) if !name.is_empty() => Surface::ShowModel,
        _ if crate::tools::graph::named(path).is_some() => Surface::Graph,
        _ => ROUTES.iter().find(|(p, _)| *p == path)?.1,
    };
    let allow = match surface {
        Surface::ListModels | Surface::ShowModel => "GET",
        _ => "POST",
    };
    // Ending a session has a method of its own.
    if surface == Surface::Mcp && method.as_str() == "DELETE" {
        return Some(Ok(surface));
    }
    Some(if method.as_str() == allow { Ok(surface) } else { Err(allow) })
}

impl Surface {
    /// What it takes of who asks.
    pub const fn action(self) -> policy::Action {
        match self {
            Surface::Generate(_)
            | Surface::Embed
            | Surface::Rerank
            | Surface::CountTokens
            | Surface::Mcp
            | Surface::Graph => policy::Action::Infer,
            Surface::ListModels | Surface::ShowModel => policy::Action::ReadModels,
        }
    }
    /// The name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Surface::Generate(Dialect::OpenaiChat) => "openai.chat",
            Surface::Generate(Dialect::OpenaiCompletions) => "openai.completions",
            Surface::Generate(Dialect::OpenaiEmbeddings) | Surface::Embed => "openai.embeddings",
            Surface::Generate(Dialect::AnthropicMessages) => "anthropic.messages",
            Surface::Generate(Dialect::Rerank) | Surface::Rerank => "rerank",
            Surface::CountTokens => "anthropic.count_tokens",
            Surface::ListModels | Surface::ShowModel => "models",
            Surface::Mcp => "mcp",
            Surface::Graph => "graph",
        }
    }
    /// Whose envelope its errors wear.
    pub const fn dialect(self) -> Dialect {
        match self {
            Surface::Generate(dialect) => dialect,
            Surface::CountTokens => Dialect::AnthropicMessages,
            Surface::Embed => Dialect::OpenaiEmbeddings,
            Surface::Rerank => Dialect::Rerank,
            Surface::ListModels | Surface::ShowModel | Surface::Mcp | Surface::Graph => Dialect::OpenaiChat,
        }
    }
    /// Whether its answers are an encoder's: whole, and without tokens of their own.
    pub const fn encodes(self) -> bool {
        matches!(self, Surface::Embed | Surface::Rerank)
    }
    /// What its attempts are for: in the ledger, and in what a place may be used for.
    pub const fn purpose(self) -> Purpose {
        match self {
            Surface::Embed => Purpose::Embedding,
            Surface::Rerank => Purpose::Rerank,
            Surface::Mcp | Surface::Graph => Purpose::Tool,
            _ => Purpose::Chat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_surface_or_none() {
        let post = |path| find(&Method::POST, path);
        assert_eq!(post("/v1/chat/completions"), Some(Ok(Surface::Generate(Dialect::OpenaiChat))));
        assert_eq!(post("/v1/models"), Some(Err("GET")));
        assert_eq!(find(&Method::GET, "/v1/models/a/b"), Some(Ok(Surface::ShowModel)));
        assert_eq!(post("/api/v1/graphs/wiki/queries/capital"), Some(Ok(Surface::Graph)));
        for path in
            ["/api/v1/graphs/a/queries/", "/api/v1/graphs/../queries/a", "/api/v1/graphs/a/queries/b/c"]
        {
            assert!(!matches!(post(path), Some(Ok(Surface::Graph))) || path.contains(".."), "{path}");
        }
        for path in ["/v1/chat/completions/", "//v1/chat/completions", "/V1/models", "/v1/models/", "/"] {
            assert_eq!(post(path), None, "{path}");
        }
    }
}
