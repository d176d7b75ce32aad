//! `oauth` of a tool server: the token that it is sent, and as whom.
//!
//! The identity provider is named here and declared on the host (`serve
//! --identity`): a token of somebody who signed in is shown to whoever gave it to
//! them, and to no address that a manifest names.

use report::Report;

use crate::kinds::provider::{KeyFrom, key};
use crate::read::Fields;

#[derive(Clone, Debug, PartialEq)]
pub struct OAuth {
    /// As in the identity file.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: KeyFrom,
    /// At least one of the two.
    pub audience: Option<String>,
    pub resource: Option<String>,
    pub scope: Option<String>,
    pub identity: CallAs,
}

/// As whom a tool server is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CallAs {
    /// Its caller, by token exchange; whoever has no token to exchange may not call it.
    #[default]
    Caller,
    /// This deployment, by client credentials.
    Server,
    /// Its caller where there is a token to exchange, else this deployment.
    CallerOrServer,
}

const IDENTITIES: [(&str, CallAs); 3] =
    [("caller", CallAs::Caller), ("server", CallAs::Server), ("caller-or-server", CallAs::CallerOrServer)];

pub(crate) fn read(mut fields: Fields) -> Option<OAuth> {
    let at = fields.at;
    let issuer = word(&mut fields, "issuer");
    let client_id = word(&mut fields, "clientId");
    let client_secret = key(&mut fields);
    let audience = fields.has("audience").then(|| word(&mut fields, "audience")).flatten();
    let resource = fields.has("resource").then(|| word(&mut fields, "resource")).flatten();
    let scope = fields.text("scope");
    let identity = fields.choice("as", &IDENTITIES).unwrap_or_default();
    if client_secret.is_none() {
        let hint = "name where the client's secret is: `keyEnv: NAME` or `keySecret: NAME`";
        fields.problems.missing(&fields.path_of("keySecret"), at, hint);
    }
    if audience.is_none() && resource.is_none() {
        // A token for anybody would be one for everybody.
        let hint =
            "say whom the token is for, as the identity provider calls it: `audience`, `resource` or both";
        fields.problems.missing(&fields.path_of("audience"), at, hint);
    }
    fields.finish();
    Some(OAuth {
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret?,
        audience,
        resource,
        scope,
        identity,
    })
}

/// One word that goes into a form as it is.
fn word(fields: &mut Fields, name: &'static str) -> Option<String> {
    let Some(node) = fields.take(name) else {
        fields.problems.missing(&fields.path_of(name), fields.at, "the identity provider says what it is");
        return None;
    };
    let path = fields.path_of(name);
    let value = crate::read::text(node, &path, fields.problems)?;
    if (1..=512).contains(&value.len()) && value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Some(value);
    }
    fields.problems.push(
        Report::new("MF0009", format!("`{path}` is not accepted"))
            .at(fields.problems.place(node.at))
            .because("it must be 1 to 512 printable ASCII characters"),
    );
    None
}
