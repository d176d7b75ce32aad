//! What a collection keeps of itself as text that means nothing to the store.

use serde_json::{Value, json};
use store::documents::{AccessError, Acl, Subject};

use crate::Error;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Who reads a document that names nobody.
    pub acl: Acl,
    /// The model that is to make its vectors; `None`: the built-in embedder. Which one does
    /// now, the live generation says.
    pub embedder: Option<String>,
    /// Whether documents that are put are read for what they relate. Collections that were made
    /// before there was a graph keep none.
    pub graph: bool,
}

impl Settings {
    pub fn to_text(&self) -> String {
        let words: Vec<String> = self.acl.subjects().map(ToString::to_string).collect();
        let mut value = json!({ "acl": words });
        if let Some(model) = &self.embedder {
            value["embedder"] = Value::from(model.as_str());
        }
        if self.graph {
            value["graph"] = Value::Bool(true);
        }
        value.to_string()
    }

    /// # Errors
    /// [`Error::Settings`] for what [`Settings::to_text`] did not write.
    pub fn read(text: &str) -> Result<Settings, Error> {
        let broken = |why: String| Error::Settings(why);
        let value: Value = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
        let words = value["acl"].as_array().ok_or_else(|| broken("no list of readers".into()))?;
        let subjects: Result<Vec<Subject>, _> =
            words.iter().map(|w| w.as_str().unwrap_or_default().parse()).collect();
        let subjects = subjects.map_err(|e: AccessError| broken(e.to_string()))?;
        let acl = Acl::new(subjects).map_err(|e| broken(e.to_string()))?;
        let embedder = value["embedder"].as_str().map(str::to_owned);
        Ok(Settings { acl, embedder, graph: value["graph"] == true })
    }
}
