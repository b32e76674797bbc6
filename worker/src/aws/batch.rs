//! The answers to the entries of a batch, of which a service names those alone that it did not take.

/// What became of each of `count` entries, which have their index for an id: one may be in a batch twice. `sent` has the
/// entries that failed, by their ids.
pub(crate) fn answers<E: Clone>(
    count: usize,
    sent: Result<impl IntoIterator<Item = (String, E)>, E>,
) -> Vec<Result<(), E>> {
    match sent {
        Ok(failed) => {
            let mut answers = vec![Ok(()); count];
            for (id, error) in failed {
                let index = id.parse::<usize>().ok();
                if let Some(answer) = index.and_then(|index| answers.get_mut(index)) {
                    *answer = Err(error);
                }
            }
            answers
        }
        Err(error) => vec![Err(error); count],
    }
}

#[cfg(test)]
mod tests {
    use super::answers;

    #[test]
    fn each_entry_has_the_answer_to_it() {
        let failed = [("2", "two"), ("0", "zero"), ("9", "none of these")];
        let failed = failed.map(|(id, error)| (id.to_owned(), error));
        assert_eq!(answers(3, Ok(failed)), [Err("zero"), Ok(()), Err("two")]);
        let unsent: Result<Vec<_>, _> = Err("unsent");
        assert_eq!(answers(2, unsent), [Err("unsent"), Err("unsent")]);
    }
}
