//! The pages without a session.

use crate::html::Html;
use crate::layout::{Page, document};
use crate::path;

/// Asks for a key, or sends to the identity provider where there is one;
/// `message` says why it is asked again.
pub fn login_page(message: Option<&str>, provider: bool) -> String {
    let mut main = Html::new();
    main.raw("<section class=\"narrow panel\">\n<h1>Sign in</h1>\n");
    if let Some(message) = message {
        main.put("<p class=\"alert\" role=\"alert\">{}</p>\n", &[message]);
    }
    if provider {
        // A link and no form: the page's policy lets forms lead nowhere else.
        main.put(
            "<p><a class=\"main\" href=\"{}\">Sign in with your company's account</a></p>\n",
            &[path::SIGN_IN],
        );
    }
    main.put("<form class=\"stack\" method=\"post\" action=\"{}\">\n", &[path::LOGIN]);
    main.raw("<label for=\"key\">API key</label>\n");
    main.raw("<input id=\"key\" name=\"key\" type=\"password\" required autofocus autocomplete=\"current-password\" spellcheck=\"false\" aria-describedby=\"hint\">\n");
    main.raw("<p id=\"hint\" class=\"soft\">A key with the role <b>viewer</b> or <b>admin</b>. The first start of <code>bedplate serve</code> printed one; an admin makes more with <code>bedplate key create NAME --team TEAM --role viewer</code>.</p>\n");
    main.raw("<button class=\"main\" type=\"submit\">Sign in</button>\n</form>\n</section>\n");
    document(&Page { title: "Sign in", refresh: None, to: None, signed_in: false }, main)
}

/// Goes on to the overview by itself. A redirect would not do: a browser that
/// comes from another site does not send the session's cookie along it.
pub fn signed_in_page() -> String {
    let mut main = Html::new();
    main.raw("<section class=\"narrow panel\">\n<h1>Signed in</h1>\n");
    main.put("<p><a href=\"{}\">To the overview</a></p>\n</section>\n", &[path::OVERVIEW]);
    document(&Page { title: "Signed in", refresh: Some(0), to: Some(path::OVERVIEW), signed_in: true }, main)
}

/// Something could not be shown.
pub fn error_page(message: &str) -> String {
    let mut main = Html::new();
    main.raw("<section class=\"narrow panel\">\n<h1>This page cannot be shown</h1>\n");
    main.put("<p class=\"alert\" role=\"alert\">{}</p>\n", &[message]);
    main.put("<p><a href=\"{}\">To the overview</a></p>\n</section>\n", &[path::OVERVIEW]);
    document(&Page { title: "Not shown", refresh: None, to: None, signed_in: false }, main)
}
