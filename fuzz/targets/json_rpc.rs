//! What an MCP client or server sends: read or refused, and what is read is
//! written and read again as the same.
#![no_main]

use mcp::{Message, decode, failure, read_call, read_page, request, success};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match decode(data) {
        Ok(Message::Request { id, method, params }) => {
            let again = decode(&request(&id, &method, params.clone().into()));
            assert_eq!(again, Ok(Message::Request { id, method, params }));
        }
        Ok(Message::Response { id, result: Ok(result) }) => {
            let again = decode(&success(&id, result.clone()));
            assert_eq!(again, Ok(Message::Response { id, result: Ok(result.clone()) }));
            if let Ok(page) = read_page(&result) {
                for (definition, _) in page.tools {
                    definition.digest();
                }
            }
            let _ = read_call(result);
        }
        Ok(_) => {}
        Err((id, error)) => {
            let _ = failure(id.as_ref(), &error);
        }
    }
});
