//! SIGTERM: what runs is finished, what comes is refused, and the exit is 0.

use journeys::{World, binary, eventually};
use testkit::{Ask, Provider};

#[test]
fn a_stream_under_way_is_finished_and_new_requests_are_refused() {
    let Some(binary) = binary() else { return };
    let mut world = World::new(binary);
    let provider = Provider::start();
    world.provider("scripted", "openai", &provider.url(), &["paced:150", "echo"]);
    let key = world.team("people");
    let address = world.server.address();
    let mut open = world.chat(&key, "paced:150", true).open(address).expect("reach the server");
    open.until("echo").expect("the first piece");

    world.server.signal("TERM").expect("signal the server");
    // From now on either nobody listens, or the answer is a 503 that says to come back.
    eventually("new requests are refused", || match world.chat(&key, "echo", false).send(address) {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => {
            assert_eq!((answer.status, answer.header("bedplate-error")), (503, Some("GW0006")), "{answer:?}");
            Some(())
        }
        Err(_) => Some(()),
    });
    if let Ok(ready) = Ask::get("/readyz").send(address) {
        assert_eq!(ready.status, 503, "{ready:?}");
    }

    let answer = open.rest().expect("the rest of the stream");
    assert!(answer.whole && answer.body.contains("[DONE]"), "{answer:?}");
    assert!(answer.body.contains(": bedplate-cost "), "{answer:?}");
    let status = world.server.wait().expect("the server ends");
    assert_eq!(status.code(), Some(0), "{}", world.server.stderr());
    assert!(world.server.stderr().contains("server.stopped"), "{}", world.server.stderr());
    let id = answer.header("x-request-id").expect("an id").to_owned();
    let world = world.killed();
    assert_eq!(world.record(&id)["outcome"], "completed");
    world.check_books();
}

#[test]
fn an_idle_server_ends_at_once_and_a_second_signal_does_no_harm() {
    let Some(binary) = binary() else { return };
    for name in ["TERM", "INT"] {
        let mut world = World::new(&binary);
        world.server.signal(name).expect("signal the server");
        // It may be gone already.
        let _ = world.server.signal(name);
        let status = world.server.wait().expect("the server ends");
        // The second one means: at once.
        assert!(matches!(status.code(), Some(0 | 130)), "{name}: {status}");
    }
}
