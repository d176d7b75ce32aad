//! Every error code, in alphabetic order: one line each, and a page each in
//! `docs/errors/`. `cargo xtask tidy` fails on a code without a page.

use crate::{Blame, Class, Code, Entry};

const fn e(code: &'static str, class: Class, blame: Blame, title: &'static str) -> Entry {
    Entry { code: Code(code), class, blame, title }
}

use Blame::{Client, Upstream, Us};
use Class as C;

#[rustfmt::skip]
pub const CODES: &[Entry] = &[
    e("DI0001", C::Invalid, Client, "the body is not valid JSON"),
    e("DI0002", C::Invalid, Client, "a JSON object repeats a key"),
    e("DI0003", C::Invalid, Client, "the JSON is nested too deeply"),
    e("DI0004", C::Invalid, Client, "a field has the wrong type or value"),
    e("DI0005", C::Invalid, Client, "a required field is missing"),
    e("DI0006", C::Invalid, Client, "a parameter cannot be translated for this target"),
    e("EN0001", C::ContextLength, Client, "the prompt is longer than the model's context"),
    e("EN0002", C::Unavailable, Us, "the engine's queue is full"),
    e("EN0003", C::Internal, Us, "the engine failed"),
    e("EN0004", C::Invalid, Client, "the local engine cannot do what was asked"),
    e("EN0005", C::Invalid, Us, "the file is not a model that can be loaded"),
    e("EN0006", C::Invalid, Us, "the model needs more memory than is allowed"),
    e("GW0001", C::NotFound, Client, "no such path"),
    e("GW0002", C::Method, Client, "the path does not take this method"),
    e("GW0003", C::MediaType, Client, "the body is not application/json"),
    e("GW0004", C::TooLarge, Client, "the body is over the limit"),
    e("GW0005", C::NotFound, Client, "no model has that name"),
    e("GW0006", C::Unavailable, Us, "the server is shutting down"),
    e("GW0007", C::Internal, Us, "the record of the request could not be made durable"),
    e("ID0001", C::Unauthenticated, Client, "no API key was sent"),
    e("ID0002", C::Unauthenticated, Client, "the API key is not known"),
    e("ID0003", C::Unauthenticated, Client, "the API key has expired"),
    e("ID0004", C::Unauthenticated, Client, "the API key was revoked"),
    e("ID0005", C::Forbidden, Client, "the key may not use this model"),
    e("ID0006", C::Forbidden, Client, "the key may not do this"),
    e("ID0007", C::RateLimited, Client, "the key is over its rate limit"),
    e("LG0201", C::OverBudget, Client, "the budget is spent"),
    e("LG0202", C::OverBudget, Client, "the request could cost more than the budget has left"),
    e("LG0203", C::OverBudget, Client, "the model has no price and a hard budget applies"),
    e("SE0001", C::Internal, Us, "the master key does not open the key ring"),
    e("SE0002", C::Internal, Us, "the master key's file can be read by others"),
    e("SE0003", C::Internal, Us, "a key file is damaged"),
    e("SE0004", C::Internal, Us, "the master key is missing"),
    e("SE0005", C::Internal, Us, "the text given as master key is not one"),
    e("SE0006", C::Internal, Us, "a key file cannot be read or written"),
    e("SE0007", C::Internal, Us, "a sealed value is damaged"),
    e("SE0008", C::Internal, Us, "the kind of master key is another"),
    e("ST0001", C::Conflict, Us, "the data directory is in use by another process"),
    e("ST0002", C::Internal, Us, "the master key does not open the store"),
    e("ST0003", C::Unavailable, Us, "the disk is full"),
    e("ST0004", C::Unavailable, Us, "the data directory cannot be written"),
    e("ST0005", C::Internal, Us, "the store was written by a newer version"),
    e("ST0006", C::Internal, Us, "stored data is damaged"),
    e("ST0007", C::Conflict, Client, "the name is taken"),
    e("ST0008", C::NotFound, Client, "no such thing is stored"),
    e("ST0009", C::Unavailable, Us, "the store is closed"),
    e("ST0010", C::Unavailable, Us, "storage failed"),
    e("UP0001", C::BadUpstream, Upstream, "the provider refused the request"),
    e("UP0002", C::BadUpstream, Upstream, "the provider could not be reached"),
    e("UP0003", C::Timeout, Upstream, "the provider did not answer in time"),
    e("UP0004", C::BadUpstream, Upstream, "the provider's answer could not be read"),
    e("UP0005", C::BadUpstream, Upstream, "the provider cut the stream"),
    e("UP0006", C::RateLimited, Upstream, "the provider is over its rate limit"),
];
