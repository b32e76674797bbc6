use super::*;
use crate::credentials::AuthMethod;

fn guard() -> Guard {
    let policy = AuthPolicy {
        methods: vec![AuthMethod::ScramSha256],
        is_token: false,
        is_verified: true,
    };
    Guard::new(policy, BackendPid::default())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// What the driver gets of it, in whatever parts it arrives.
fn passed(sent: &[u8]) -> Vec<u8> {
    let passed = [1, 3, 7, sent.len()].map(|at_once| {
        let (mut guard, mut passed) = (guard(), Vec::new());
        for part in sent.chunks(at_once) {
            guard.receive(part, &mut passed).unwrap();
        }
        passed
    });
    assert!(passed.iter().all(|each| *each == passed[0]));
    passed[0].clone()
}

#[test]
fn the_driver_gets_what_it_needs_and_no_notices() {
    let (ok, row) = (message(b'R', &[0; 4]), message(b'D', b"\0\0"));
    let (ready, empty) = (message(b'Z', b"I"), message(b'I', b""));
    let sent = [
        ok.clone(),
        message(b'S', b"a\0b\0"),
        ready.clone(),
        message(b'N', b"M notice\0\0"),
        row.clone(),
        message(b'A', b"1234channel\0\0"),
        empty.clone(),
    ];
    assert_eq!(passed(&sent.concat()), [ok, ready, row, empty].concat());
}

#[test]
fn the_process_of_the_server_is_known_and_passed_on() {
    let key = message(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]);
    assert_eq!(passed(&key), key);
    let mut guard = guard();
    guard.receive(&key, &mut Vec::new()).unwrap();
    assert_eq!(guard.backend_pid.get(), 258);
}

#[test]
fn what_is_asked_for_and_not_allowed_does_not_reach_the_driver() {
    for code in [3, 5, 7] {
        let (mut guard, mut passed) = (guard(), Vec::new());
        let request = message(b'R', &[0, 0, 0, code, 1, 2, 3, 4]);
        let (last, first) = request.split_last().unwrap();
        guard.receive(first, &mut passed).unwrap();
        guard.receive(&[*last], &mut passed).unwrap_err();
        assert_eq!(passed, b"");
    }
    for wrong in [
        &b"R\0\0\0\x04"[..],
        b"R\0\x10\0\0",
        b"D\0\0\0\x03",
        b"HTTP/1.1 400",
    ] {
        let outcome = guard().receive(wrong, &mut Vec::new());
        let is_large = wrong.starts_with(b"HTTP");
        assert_eq!(outcome.is_ok(), is_large, "{wrong:?}");
    }
}

#[test]
fn a_message_that_is_too_large_is_refused_by_its_head() {
    let (mut guard, mut passed) = (guard(), Vec::new());
    guard.receive(b"D\x7f\xff\xff\xff", &mut passed).unwrap();
    assert!(guard.has_ended());
    assert!(passed.starts_with(b"E") && passed.ends_with(b"too much\0\0"));
    let before = passed.len();
    guard.receive(&[0; 100], &mut passed).unwrap();
    assert_eq!(passed.len(), before);
}

#[test]
fn small_messages_end_it_too_whatever_they_are() {
    for kind in [b'D', b'N', b'S', b'A', b'Z'] {
        let (mut guard, mut passed) = (guard(), Vec::new());
        let flood = message(kind, b"x").repeat(1000);
        let mut sent = 0;
        while !guard.has_ended() {
            guard.receive(&flood, &mut passed).unwrap();
            sent += 1000;
            assert!(sent < 100_000, "{kind}");
        }
    }
}

#[test]
fn what_the_client_sends_after_an_answer_begins_anew() {
    let (mut guard, mut passed) = (guard(), Vec::new());
    let half = message(b'D', &vec![0; EXCHANGE_BYTES / 2]);
    let ready = message(b'Z', b"I");
    for _ in 0..4 {
        guard.send();
        guard.receive(&half, &mut passed).unwrap();
        guard.receive(&ready, &mut passed).unwrap();
    }
    assert!(!guard.has_ended());
    guard.send();
    // Of one exchange.
    guard.receive(&half, &mut passed).unwrap();
    guard.send();
    guard.receive(&half, &mut passed).unwrap();
    assert!(guard.has_ended());
}
