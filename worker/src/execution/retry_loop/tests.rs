use super::*;

fn error(class: Class) -> AttemptError {
    AttemptError {
        class,
        ..AttemptError::out_of_time(None)
    }
}

#[test]
fn a_bounded_failure_is_counted_for_itself_and_in_a_row() {
    let mut attempts = Attempts::default();
    for _ in 0..7 {
        assert_eq!(attempts.record(error(Class::Transient), None), Next::Again);
    }
    for _ in 0..3 {
        assert_eq!(
            attempts.record(error(Class::TransientAtMost(3)), None),
            Next::Again
        );
    }
    assert_eq!(
        attempts.record(error(Class::TransientAtMost(3)), None),
        Next::Never
    );
}

#[test]
fn a_race_that_goes_on_is_none() {
    let mut attempts = Attempts::default();
    let mut next = || attempts.record(error(Class::Race), None);
    for _ in 0..2 * MAX_RACES {
        assert_eq!(next(), Next::Again);
    }
    attempts.since = Instant::now().checked_sub(MIN_RACE_TIME);
    assert_eq!(attempts.record(error(Class::Race), None), Next::Never);
    // It takes both.
    assert_eq!(attempts.record(error(Class::Transient), None), Next::Again);
    assert_eq!(attempts.record(error(Class::Race), None), Next::Again);
    attempts.since = Instant::now().checked_sub(MIN_RACE_TIME);
    assert_eq!(attempts.record(error(Class::Race), None), Next::Again);
}

#[test]
fn only_a_server_that_cannot_be_reached_is_taken_for_gone() {
    let past = Some(Instant::now());
    let unreachable = AttemptError {
        unreachable: true,
        ..error(Class::Transient)
    };
    assert_eq!(
        Attempts::default().record(unreachable.clone(), past),
        Next::Never
    );
    assert_eq!(Attempts::default().record(unreachable, None), Next::Again);
    assert_eq!(
        Attempts::default().record(error(Class::Transient), past),
        Next::Again
    );
}
