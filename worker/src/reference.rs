//! The parts of the manual that are made from the code: this test compares them, and with `UPDATE_REFERENCE=1`, as
//! `make reference` runs it, writes them.

use std::fs;
use std::path::Path;

use crate::{plan, postgres_error, request};

const BEGIN: &str = "<!-- made by `make reference` -->\n";
const END: &str = "<!-- end of what is made -->\n";

#[test]
fn the_schema_and_the_manual_say_what_the_code_says() {
    hold("templates/properties.schema.json", |_| {
        format!("{:#}\n", request::reference::schema())
    });
    hold("docs/properties.md", |page| {
        between_the_marks(page, &request::reference::markdown())
    });
    hold("docs/sqlstates.md", |page| {
        between_the_marks(page, &postgres_error::reference::markdown())
    });
    hold("docs/update-recipes.md", |page| {
        between_the_marks(page, &plan::recipes::markdown())
    });
}

/// Compares a file with what the code makes of it, or writes that.
fn hold(name: &str, make: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let made = make(&text);
    #[allow(
        clippy::disallowed_methods,
        reason = "a variable of make's, not a setting of the worker's"
    )]
    let shall_write = std::env::var_os("UPDATE_REFERENCE").is_some();
    if shall_write {
        fs::write(&path, made).unwrap();
    } else {
        assert!(text == made, "{name} is out of date: run `make reference`");
    }
}

/// The page, with what is made between its two marks.
fn between_the_marks(page: &str, made: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    format!("{before}{BEGIN}{made}{END}{after}")
}
