//! Receipts, as somebody hands them in.
#![no_main]

use audit::{Kind, Receipt, Signer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(receipt) = Receipt::parse(&text) {
        assert_eq!(receipt.to_string(), text);
        let log = Signer::new("example.com/log", Kind::Log, [1; 32]).expect("a name");
        assert!(receipt.verify(log.verifier(), &[], 0).is_err());
    }
});
