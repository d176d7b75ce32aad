//! The pages without a session.

use crate::html::Html;
use crate::layout::{Page, document};
use crate::path;

/// Asks for a key; `message` says why it is asked again.
pub fn login_page(message: Option<&str>) -> String {
    let mut main = Html::new();
    main.raw("<section class=\"narrow panel\">\n<h1>Sign in</h1>\n");
    if let Some(message) = message {
        main.put("<p class=\"alert\" role=\"alert\">{}</p>\n", &[message]);
    }
    main.put("<form class=\"stack\" method=\"post\" action=\"{}\">\n", &[path::LOGIN]);
    main.raw("<label for=\"key\">API key</label>\n");
    main.raw("<input id=\"key\" name=\"key\" type=\"password\" required autofocus autocomplete=\"current-password\" spellcheck=\"false\" aria-describedby=\"hint\">\n");
    main.raw("<p id=\"hint\" class=\"soft\">A key with the role <b>viewer</b> or <b>admin</b>. The first start of <code>bedplate serve</code> printed one; an admin makes more with <code>bedplate key create NAME --team TEAM --role viewer</code>.</p>\n");
    main.raw("<button class=\"main\" type=\"submit\">Sign in</button>\n</form>\n</section>\n");
    document(&Page { title: "Sign in", refresh: None, signed_in: false }, main)
}

/// Something could not be shown.
pub fn error_page(message: &str) -> String {
    let mut main = Html::new();
    main.raw("<section class=\"narrow panel\">\n<h1>This page cannot be shown</h1>\n");
    main.put("<p class=\"alert\" role=\"alert\">{}</p>\n", &[message]);
    main.put("<p><a href=\"{}\">To the overview</a></p>\n</section>\n", &[path::OVERVIEW]);
    document(&Page { title: "Not shown", refresh: None, signed_in: false }, main)
}
