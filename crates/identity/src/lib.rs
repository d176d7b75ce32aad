//! Who somebody is elsewhere: identity providers, their tokens, and how people
//! sign in with them.
//!
//! Pure: bytes and times in, answers out. What has to be fetched (a provider's
//! metadata, its keys, a code's tokens) is fetched by the caller, with the
//! addresses and bodies that this crate names.
//!
//! Tokens are verified here on `ring`, which the TLS stack brings anyway, rather
//! than by a JWT library: decision 016 says which were looked at and why not.
//! The algorithms are a closed list of signatures by public keys. There is no
//! HMAC and no `none` in it, so that neither can be asked for by a token.

mod config;
mod exchange;
mod jwk;
mod jwt;
mod login;
mod oidc;

pub use config::{Config, Grant, Issuer};
pub use exchange::{Exchange, Granted};
pub use jwk::KeySet;
pub use jwt::{Algorithm, Claims, Refused, TOKEN_BYTES_MAX, Unverified, looks_like_a_token};
pub use login::{Attempt, Callback, authorization_url, challenge};
pub use oidc::{Device, DeviceAnswer, METADATA_BYTES_MAX, Metadata, Tokens, form};
