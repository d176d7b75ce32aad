//! Notes, checkpoints and keys, as strangers send them.
#![no_main]

use audit::{Kind, Note, Signer, Verifier};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(note) = Note::parse(&text) {
        assert_eq!(note.to_string(), text);
        let log = Signer::new("example.com/log", Kind::Log, [1; 32]).expect("a name");
        let witness = Signer::new("example.com/w", Kind::Witness, [2; 32]).expect("a name");
        let known = [witness.verifier().clone()];
        // Nobody signs by chance.
        assert!(audit::open(&note, log.verifier(), &known).is_err());
        let mut cosigned = note.clone();
        cosigned.signatures = vec![audit::cosign(&note, &witness, data.len() as u64)];
        assert_eq!(Note::parse(&cosigned.to_string()), Ok(cosigned));
    }
    if let Ok(key) = Verifier::parse(&text) {
        assert_eq!(key.to_string(), text.trim());
    }
    let _ = Signer::parse(&text);
    if let Some(path) = audit::tile::Path::parse(&text) {
        assert_eq!(path.to_string(), text);
        let _ = path.end();
    }
    if let Ok(entries) = audit::tile::unbundle(data) {
        let entries: Vec<Vec<u8>> = entries.into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(audit::tile::bundle(&entries), data);
    }
});
