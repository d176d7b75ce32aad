//! Why something was not found, kept or understood.

use context::memory::Refusal;
use report::Report;
use units::TurnId;

use crate::memory::because;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("there is no collection \"{0}\"")]
    NoCollection(String),
    #[error("there is a collection \"{0}\" already")]
    Taken(String),
    #[error("the collection \"{name}\" holds documents")]
    NotEmpty { name: String },
    #[error("the source \"{0}\" belongs to a document that others share")]
    NotYours(String),
    #[error("\"{0}\" belongs to a document that a source of the collection brings in")]
    OfSource(String),
    /// A source that cannot be read, as whoever reads it says it.
    #[error("{}", .0.what)]
    Source(Report),
    #[error("{source_name}: {why}")]
    Document { source_name: String, why: context::parse::Error },
    #[error("what a collection keeps of itself cannot be read: {0}")]
    Settings(String),
    /// As whoever lends the model says it.
    #[error("{}", .0.what)]
    Model(Report),
    #[error("the collection's vectors are by {kept}, and these by {made}")]
    OtherEmbedder { kept: String, made: String },
    #[error("the vectors that model \"{model}\" made cannot be used: {why}")]
    Vector { model: String, why: String },
    #[error("others changed it meanwhile, again and again")]
    Contended,
    #[error("of {0} judged questions too few are left to fit a gate to")]
    TooFew(usize),
    #[error("whoever asks has no memory of their own")]
    NoOwner,
    #[error("there is no turn {0} of the caller's")]
    NoTurn(TurnId),
    #[error("nothing is recorded: {}", because(*.0))]
    NotAFact(Refusal),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Index(#[from] vectors::Error),
}

impl Error {
    /// As a person is shown it.
    pub fn report(&self) -> Report {
        match self {
            Error::NoCollection(name) => Report::new("CT0003", format!("there is no collection \"{name:.100}\""))
                .because("no collection of the key's team has that name or id")
                .hint("`bedplate collection list` shows them"),
            Error::Taken(name) => Report::new("CT0004", format!("there is a collection \"{name:.100}\" already")),
            Error::NotEmpty { name } => Report::new("CT0004", format!("the collection \"{name}\" holds documents"))
                .because("a line that is missing in a file should not delete documents")
                .hint(format!("`bedplate collection remove {name} --confirm {name}` deletes them, once no manifest declares it")),
            Error::NotYours(source) => Report::new("CT0004", format!("the source \"{source:.200}\" is taken"))
                .because("it belongs to a document that you may not read, which you would replace unseen")
                .hint("put yours under another source, or ask its readers"),
            Error::OfSource(source) => Report::new("CT0004", format!("\"{source:.200}\" belongs to a source of the collection"))
                .because("what a source brings in is replaced by that source alone")
                .hint("put yours under another name"),
            Error::Source(report) => report.clone(),
            Error::Document { source_name, why } => why.report().at(source_name.chars().take(200).collect::<String>()),
            Error::Settings(why) => {
                Report::new("ST0006", "what a collection keeps of itself cannot be read").because(why.clone())
            }
            Error::Model(report) => report.clone(),
            Error::OtherEmbedder { kept, made } => {
                Report::new("EM0001", format!("the collection's vectors are by {kept:.200}, and these by {made:.200}"))
                    .because("the model's name leads to other weights than it did, or to another of its targets")
                    .hint("`bedplate collection reindex NAME` embeds all of it with what the name leads to now")
            }
            Error::Vector { model, why } => {
                Report::new("EM0002", format!("the vectors that model \"{model:.200}\" made cannot be used"))
                    .because(why.clone())
            }
            Error::Contended => Report::new("CT0004", "others changed it meanwhile, again and again")
                .hint("put it once more")
                .retry(report::Retry::Yes),
            Error::TooFew(given) => {
                Report::new("CX0030", format!("too few of {given} judged questions are left to fit a gate to"))
                    .because(format!(
                        "it takes {} in one script, each with a source that has a grade above 0",
                        context::rank::DEV_MIN
                    ))
                    .hint("judge more questions; until then the rule holds that needs no fitting")
            }
            Error::NoOwner => Report::new("CX0005", "whoever asks has no memory of their own")
                .because("an agent that acts for a user hears what is neither its own nor theirs alone")
                .hint("ask with the user's key, or leave `bedplate.conversation` and `bedplate.recall` out"),
            Error::NoTurn(id) => Report::new("CT0003", format!("there is no turn \"{id}\""))
                .hint("`bedplate memory export` shows yours with their ids"),
            Error::NotAFact(refusal) => Report::new("CX0006", "the turn does not say so").because(because(*refusal)),
            Error::Store(error) => error.report(),
            Error::Index(error) => error.report(),
        }
    }
}
