//! What a vault answers: the first byte chooses the status.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((status, body)) = data.split_first() else { return };
    if let Ok(answer) = kms_vault::read_answer(100 + u16::from(*status) * 2, body) {
        let _ = (answer.ciphertext(), answer.plaintext(), answer.versions());
    }
});
