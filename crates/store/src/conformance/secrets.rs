//! Secrets.

use crate::{Error, SECRET_MAX, Store};

pub fn secrets_live_and_die(store: &dyn Store) {
    let names = || store.secret_names().expect("they read");
    assert_eq!(names(), Vec::<String>::new());
    store.put_secret("openai", b"sk-1").expect("it fits");
    store.put_secret("anthropic", &[0, 255, 128]).expect("any bytes");
    store.put_secret("openai", b"sk-2").expect("it may be replaced");
    assert_eq!(names(), ["anthropic", "openai"]);
    assert_eq!(store.secret("openai").expect("it reads").as_deref(), Some(&b"sk-2"[..]));
    assert_eq!(store.secret("anthropic").expect("it reads").as_deref(), Some(&[0, 255, 128][..]));
    assert_eq!(store.secret("none").expect("it reads"), None);
    store.put_secret("large", &vec![1; SECRET_MAX]).expect("the limit fits");
    assert!(matches!(store.put_secret("larger", &vec![1; SECRET_MAX + 1]), Err(Error::Io(_))));
    assert!(matches!(store.put_secret("", b"x"), Err(Error::Io(_))));
    assert!(store.remove_secret("openai").expect("it is removed"));
    assert!(!store.remove_secret("openai").expect("it was removed"));
    assert_eq!(names(), ["anthropic", "large"]);
}
