//! The page at `/`: sessions around the console's renderings.

use net::StatusCode;
use net::server::{Request, Response};

use crate::front::Front;

#[derive(Default)]
pub struct Pages {}

pub fn owns(path: &str) -> bool {
    path == "/"
}

pub async fn answer(_front: Front, _request: Request) -> Response {
    Response::text(StatusCode::OK, "bedplate\n")
}
